"""Files with random faults of dialect, and what has to hold of each: the same as row by row, whatever the blocks.

`python -m tests.scoring.hostile --files 10000` holds so many of them against the reference; the suite takes a few.
"""

import argparse
import csv
import random
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.recognise import BOM
from plan_recommender.errors import TableError
from plan_recommender.model import store
from plan_recommender.model.scorer import Scorer
from plan_recommender.scoring.answers import Answerer
from plan_recommender.scoring.files import Scoring, Task, score_file
from tests.scoring import row_by_row

ODD_NUMBERS = (
    *("", " ", "\t", "nan", "NaN", "inf", "-inf", "Infinity", "-1", "-0", "-0.0", "+5", "  7 ", "7\t", "1_000", "0x10"),
    *("1e5", "1E-3", "1e999", "1e-999", "5e", ".5", "5.", ".", "1.234,5", "1,234.5", "12,5", "1 234", "\u0661\u0662"),
    *("\uff11", "abc", "1\x00", "\x0b3", "3\x0c", "\xa04", "4\u2003", "1e308", "2.2250738585072014e-308", "4.9e-324"),
    *(
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827021181583404541015625",
        "9007199254740993",
    ),
    *("--1", "1-", "true", "None", "null"),
)
ODD_TEXTS = (
    *("", "a", "Zo\u00eb", "two\nlines", "two\r\nlines", "a\rb", 'say "x"', '"', '""', "a,b", "a;b", " padded "),
    *("'=1+1", "\ufeff", "\udcff\udcfe", "\udcc3", "x" * 300, "\x00", "\x85", "\u2028"),
)
FEATURES = row_by_row.FEATURES


@dataclass(frozen=True)
class HostileFile:
    """A file, and the options that it is read with."""

    content: bytes
    sep: str
    decimal: str
    block_bytes: int
    jobs: int


def make(seed: int) -> HostileFile:
    """Make the file of a seed."""
    chance = random.Random(seed)  # noqa: S311  # nothing secret
    sep, decimal = chance.choice([(",", "."), (",", "."), (";", "."), (";", ","), ("\t", "."), ("|", ",")])
    ends = chance.choice([["\n"], ["\n"], ["\r\n"], ["\r\n"], ["\r"], ["\n", "\r\n"], ["\n", "\r\n", "\r", "\n\n"]])
    faults = chance.choice([0.0, 0.0, 0.01, 0.1, 0.5])
    quoting = chance.choice(["never", "needed", "all", "some", "stray"])
    header = [chance.choice([name, name, f" {name} "]) for name in FEATURES]
    header += [chance.choice(["id", "note", "", "id"]) for _ in range(chance.randrange(4))]
    chance.shuffle(header)

    def write(cells: list[str]) -> str:
        return sep.join(_written(cell, quoting, sep, chance) for cell in cells)

    lines = [write(header)]
    if chance.random() < 0.05:
        lines.insert(0, f"sep={sep}")
    for _ in range(chance.choice([0, 1, 2, 5, 30, 30, 200])):
        cells = [_cell(name.strip(), decimal, faults, chance) for name in header]
        if chance.random() < faults / 4:
            cells = cells[:-1] if chance.random() < 0.5 else [*cells, "beyond"]
        lines.append(write(cells))
        if chance.random() < faults / 4:
            lines.append(chance.choice(["", " ", sep, '"']))
    if chance.random() < 0.003:
        lines.append("x" * 140_000)
    text = "".join(line + chance.choice(ends) for line in lines)
    if chance.random() < 0.3:
        text = text.rstrip("\r\n")
    if chance.random() < 0.02:
        text = text[: chance.randrange(len(text))]
    mark = b"\xef\xbb\xbf" if chance.random() < 0.2 else b""
    content = mark + text.encode("utf-8", errors="surrogateescape")
    return HostileFile(content, sep, decimal, chance.choice([16, 64, 300, 2_000, 1 << 20]), chance.choice([1, 1, 1, 2]))


def _cell(name: str, decimal: str, faults: float, chance: random.Random) -> str:
    if name not in FEATURES:
        return chance.choice(ODD_TEXTS if chance.random() < faults else ("a", "b7", "Zo\u00eb"))
    if chance.random() < faults / 2:
        return chance.choice(ODD_NUMBERS)
    whole = name in ("calls", "messages") and chance.random() < 0.8
    number = str(chance.randrange(200)) if whole else repr(round(chance.uniform(0, 30_000), chance.randrange(1, 16)))
    return number.replace(".", decimal)


def _written(cell: str, quoting: str, sep: str, chance: random.Random) -> str:
    quoted = '"' + cell.replace('"', '""') + '"'
    if quoting == "never":
        return cell.replace("\n", " ").replace("\r", " ").replace('"', "").replace(sep, "")
    if quoting == "all" or (quoting == "some" and chance.random() < 0.2):
        return quoted
    if quoting == "stray" and chance.random() < 0.05:
        return chance.choice([f'{cell}"', f'"{cell}"x', f' "{cell}"', f'5" {cell}', f'"{cell}'])
    return quoted if any(character in cell for character in (sep, '"', "\n", "\r")) else cell


def check(file: HostileFile, scorer: Scorer, answerer: Answerer, folder: Path) -> None:
    """Score a file both ways; the outputs must have the same cells, and the bytes of the other columns stay."""
    source, task = folder / "in.csv", Task(folder / "in.csv", folder / "out.csv", folder / "rejects.csv")
    source.write_bytes(file.content)
    format = TableFormat(sep=file.sep, decimal="," if file.decimal == "," else ".")
    scoring = Scoring(answerer, format, None, file.jobs, None, file.block_bytes)
    try:
        expected = row_by_row.score(file.content, scorer, file.sep, file.decimal)
    except ValueError:  # a header that was cut off has not all of the columns
        return
    except row_by_row.ReferenceError as refusal:
        expect_refusal(f"{source}: {refusal}", lambda: score_file(task, scoring))
        return
    counts = score_file(task, scoring)
    found, rejects = (_rows(path, file.sep) for path in (task.output, task.rejects))
    assert found == expected.output, _first_difference(found, expected.output)
    assert rejects == expected.rejects, _first_difference(rejects, expected.rejects)
    assert (counts.rows, counts.scored, counts.rejected) == (
        expected.rows, len(expected.output) - 1, len(expected.rejects) - 1,
    )  # fmt: skip
    assert (counts.ultra, counts.missing) == (expected.ultra, expected.missing)
    _check_bytes(file, task.output.read_bytes(), expected)


def expect_refusal(sentence: str, score: Callable[[], object]) -> None:
    """Check that scoring is refused with a sentence."""
    found = "no refusal"
    try:
        score()
    except TableError as error:
        found = str(error)
    assert found == sentence, f"expected {sentence}, found {found}"


def _rows(path: Path, sep: str) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file, delimiter=sep))


def _first_difference(found: list[list[str]], expected: list[list[str]]) -> str:
    pairs = zip(found, expected, strict=False)
    return next((f"found {a}, expected {b}" for a, b in pairs if a != b), f"{len(found)} rows, not {len(expected)}")


def _check_bytes(file: HostileFile, output: bytes, expected: row_by_row.Scored) -> None:
    """Take the new cells out of the output: what is left stands in the input, in this order."""
    parts, start, place = [], 0, 0
    for row in expected.output:
        new = "".join(file.sep + cell for cell in row[-2:]).encode()
        end = output.index(new, start)
        parts.append(output[start:end])
        start = end + len(new)
        line = re.sub(rb"^(\r\n|\r|\n)", b"", parts[-1].removeprefix(BOM))
        place = file.content.find(line, place)
        if place < 0 and row is expected.output[-1] and b'"' in file.content:
            return  # a cell in quotes that the end of the file had left open was closed
        assert place >= 0, f"{line!r} is not in the input"
        place += len(line)
    if len(expected.rejects) == 1 and not re.search(rb"sep=|(\r\n|\r|\n)[\r\n]", file.content):
        left = b"".join(parts) + output[start:]
        assert left in (file.content, file.content + output[start:]), "the line ends have changed"


def main() -> None:
    """Check files of many seeds, and say how many differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (default: 0)")
    options = parser.parse_args()
    document = store.find().document()
    scorer, answerer = Scorer(document), Answerer(document)
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.files):
            try:
                check(make(seed), scorer, answerer, Path(folder))
            except AssertionError as error:
                different += 1
                print(f"seed {seed}: {str(error)[:400]}", flush=True)
    print(f"{options.files:,} files, {different:,} different")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
