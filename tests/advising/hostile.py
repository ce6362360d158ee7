"""Tables of months with random faults: the outputs have to be those of the row by row form, to the byte.

`python -m tests.advising.hostile --files 2000` compares so many of them; with `--against FOLDER`, a worktree of commit
4806f16, with the advise.py that is there. The suite takes a few.
"""

import argparse
import ast
import csv
import io
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plan_recommender.advising.files import Advising, advise_files
from plan_recommender.billing.advice import Adviser
from plan_recommender.config.table_format import MonthsFormat
from plan_recommender.errors import TableError
from tests.advising import by_row
from tests.made_up_months import adviser as usual_adviser
from tests.scoring.hostile import ODD_NUMBERS

NAMES = ("subscriber", "month", "calls", "minutes", "messages", "mb_used")
SUBSCRIBERS = (
    *(
        "1",
        "2",
        "10",
        "A",
        "Zo\u00eb",
        "\u0416\u0443\u043a",
        " padded ",
        "\xa0wide\u2003",
        "two\nlines",
        "a\rb",
        'say "x"',
    ),
    *("a,b", "a;b", "\udcff", "\x00", "\x00x", "'=1+1", "\x1f", "x" * 300),
)
MONTHS = (
    "2018-01",
    "2018-1",
    "2018-02-28",
    "2018-02-30",
    " 2018-03 ",
    "2018-04-30 23:59:59",
    "2018-13",
    "",
    "May 2018",
)
PLANS = ("Smart", "ultra", "ULTRA ", "", " ", "Smart", "Surf")
DATES = ("", " ", "2018-03-10", "2018-01-31", "20180301", "2019-01-01", "2017-12-31", "10.3.2018", " 2018-02-01 ")


DIALECTS: tuple[tuple[str, Literal[".", ","]], ...] = ((",", "."), (",", "."), (";", ","), ("\t", "."), ("|", ","))
"""Separators and decimal signs."""


@dataclass(frozen=True)
class HostileTable:
    """A table, and how it is read."""

    content: bytes
    sep: str
    decimal: Literal[".", ","]
    block_bytes: int
    range_rows: int
    jobs: int

    @property
    def format(self) -> MonthsFormat:
        """How it is written."""
        return MonthsFormat(sep=self.sep, decimal=self.decimal)


def make(seed: int) -> HostileTable:
    """Make the table of a seed."""
    chance = random.Random(seed)  # noqa: S311  # nothing secret
    sep, decimal = chance.choice(DIALECTS)
    ends = chance.choice([["\n"], ["\n"], ["\r\n"], ["\r"], ["\n", "\r\n"], ["\n", "\r\n", "\n\n"]])
    faults = chance.choice([0.0, 0.0, 0.01, 0.1, 0.4])
    quoting = chance.choice(["needed", "needed", "all", "some", "stray"])
    header = [*NAMES, *(name for name in ("plan", "billed_minutes", "note") if chance.random() < 0.6)]
    header += chance.choice([[], ["active_share"], ["registered_on", "left_on"]])
    if chance.random() < 0.5:
        chance.shuffle(header)
    people = [str(i) for i in range(chance.choice([1, 5, 60]))]

    def write(cells: list[str]) -> str:
        return sep.join(_written(cell, quoting, sep, chance) for cell in cells)

    lines = [write([chance.choice([name, f" {name}"]) for name in header])]
    for _ in range(chance.choice([0, 1, 5, 40, 40, 300])):
        cells = _month(header, people, decimal, faults, chance)
        if chance.random() < faults / 5:
            cells = cells[:-1] if chance.random() < 0.5 else [*cells, "beyond"]
        lines.append(write(cells))
        if chance.random() < faults / 5:
            lines.append(chance.choice(["", " ", sep, '"', lines[-1]]))
    text = "".join(line + chance.choice(ends) for line in lines)
    if chance.random() < 0.3:
        text = text.rstrip("\r\n")
    mark = b"\xef\xbb\xbf" if chance.random() < 0.2 else b""
    return HostileTable(
        mark + text.encode(errors="surrogateescape"), sep, decimal,
        chance.choice([16, 200, 1_000, 5_000, 1 << 20]), chance.choice([1, 7, 50, 1 << 15]),
        chance.choice([1] * 30 + [2]),
    )  # fmt: skip


def _month(header: list[str], people: list[str], decimal: str, faults: float, chance: random.Random) -> list[str]:
    calls = chance.choice([0, chance.randrange(150)])
    minutes = round(calls * chance.uniform(0, 15), chance.randrange(3))
    usual = {
        "subscriber": chance.choice(people),
        "month": f"{chance.choice([2013, 2014, 2015, 2016, 2017, 2018, 2018, 2018])}-{chance.randrange(1, 13):02}",
        "calls": str(calls),
        "minutes": repr(minutes),
        "messages": str(chance.randrange(80)),
        "mb_used": repr(round(chance.lognormvariate(9.5, 1), 2)),
        "plan": chance.choice(["Smart", "Ultra"]),
        "billed_minutes": chance.choice(["", str(int(minutes + calls * chance.random()))]),
        "active_share": chance.choice(["", "1", "1.0000", repr(round(chance.uniform(0.01, 1), 4))]),
        "registered_on": chance.choice(["", "2014-05-03", "2015-01-01"]),
        "left_on": chance.choice(["", "", "2018-10-04"]),
        "note": "n",
    }
    odd = {
        "subscriber": chance.choice(SUBSCRIBERS),
        "month": chance.choice(MONTHS),
        "plan": chance.choice(PLANS),
        "registered_on": chance.choice(DATES),
        "left_on": chance.choice(DATES),
        "note": chance.choice(SUBSCRIBERS),
    }
    return [
        odd.get(name, chance.choice(ODD_NUMBERS)) if chance.random() < faults / 3 else
        usual[name].replace(".", decimal) for name in header
    ]  # fmt: skip


def _written(cell: str, quoting: str, sep: str, chance: random.Random) -> str:
    quoted = '"' + cell.replace('"', '""') + '"'
    if quoting == "all" or (quoting == "some" and chance.random() < 0.2):
        return quoted
    if quoting == "stray" and chance.random() < 0.03:
        return chance.choice([f'{cell}"', f'"{cell}"x', f' "{cell}"', f'5" {cell}'])
    return quoted if any(character in cell for character in (sep, '"', "\n", "\r")) else cell


def refusal_or_bytes(table: HostileTable, folder: Path, adviser: Adviser) -> list[bytes]:
    """Advise on a table as advise.py does; returns the bytes of both outputs, or the refusal."""
    source, output, rejects = (folder / name for name in ("in.csv", "out.csv", "rejects.csv"))
    source.write_bytes(table.content)
    advising = Advising(
        adviser, table.format, jobs=table.jobs, block_bytes=table.block_bytes, range_rows=table.range_rows
    )
    try:
        advised = advise_files([source], output, rejects, advising)
    except TableError as error:
        return [str(error).encode(errors="surrogateescape")]
    found = rejects.read_bytes()
    assert (advised.first_reject is None) == (advised.rejected == 0)
    return [output.read_bytes(), found]


def expected(table: HostileTable, folder: Path, adviser: Adviser) -> list[bytes]:
    """Advise on a table row by row."""
    source, output, rejects = (folder / name for name in ("in.csv", "out.csv", "rejects.csv"))
    source.write_bytes(table.content)
    try:
        by_row.advise(source, output, rejects, adviser, table.format)
    except TableError as error:
        return [str(error).encode(errors="surrogateescape")]
    return [output.read_bytes(), rejects.read_bytes()]


_OLD = """
import sys
from pathlib import Path

import advise
from plan_recommender.config.table_format import MonthsFormat
from plan_recommender.data.table_file import open_table
from plan_recommender.errors import TableError
from tests.made_up_months import adviser

for line in sys.stdin:
    folder, sep, decimal = line.rstrip("\\n").split(" ")
    paths = [Path(folder) / name for name in ("in.csv", "out.csv", "rejects.csv")]
    try:
        with open_table(paths[0], MonthsFormat(sep="\\t" if sep == "tab" else sep, decimal=decimal)) as table:
            advise.advise_table(table, *paths[1:], adviser(), None)
        print("done", flush=True)
    except TableError as error:
        print(ascii(str(error)), flush=True)
"""


def _of_worktree(program: subprocess.Popen[str], table: HostileTable, folder: Path) -> list[bytes]:
    (folder / "in.csv").write_bytes(table.content)
    assert program.stdin is not None
    assert program.stdout is not None
    print(folder, "tab" if table.sep == "\t" else table.sep, table.decimal, file=program.stdin, flush=True)
    said = program.stdout.readline().rstrip("\n")
    if said != "done":
        return [ast.literal_eval(said).encode(errors="surrogateescape")]
    return [(folder / name).read_bytes() for name in ("out.csv", "rejects.csv")]


def _as_old(found: list[bytes], table: HostileTable) -> list[object]:
    """Arrange outputs for a comparison with that commit, which quoted every row of rejects beside one with CR."""
    if len(found) == 1:
        return [ascii(found[0].decode(errors="surrogateescape"))]
    rejects = found[1].decode(errors="surrogateescape")
    return [found[0], list(csv.reader(io.StringIO(rejects, newline=""), delimiter=table.sep))]


def main() -> None:
    """Compare tables of many seeds, and say how many differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (default: 0)")
    parser.add_argument("--against", type=Path, help="worktree of commit 4806f16 (default: tests.advising.by_row)")
    options = parser.parse_args()
    program = None
    if options.against is not None:
        command = [sys.executable, "-c", _OLD]
        program = subprocess.Popen(
            command, cwd=options.against, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    different = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.first, options.first + options.files):
            table = make(seed)
            found = refusal_or_bytes(table, folder, usual_adviser())
            if program is None:
                differs = found != expected(table, folder, usual_adviser())
            else:
                differs = _as_old(found, table) != _as_old(_of_worktree(program, table, folder), table)
            if differs:
                different += 1
                print(f"seed {seed} differs", flush=True)
    print(f"{options.files:,} tables, {different:,} different")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
