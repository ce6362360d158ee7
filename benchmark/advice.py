"""Advise on months, beside the version before that did it row by row: processor time, time and memory.

usage: python -m benchmark.advice [--subscribers N] [--rounds N] [--long N] [--folder FOLDER]

It prints the table of docs/advice.md. It needs Linux. Exit code 1: the outputs differ.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.advice")

import argparse
import filecmp
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmark.measure import pinned
from plan_recommender import cli
from plan_recommender.data.month_synthesis import HEADER, csv_lines, generate_months
from plan_recommender.data.outputs import replacing
from plan_recommender.errors import PlanRecommenderError
from plan_recommender.model import store
from tools.server import ROOT

BEFORE: Final = "4806f16"
"""The last commit whose advise.py advised one subscriber after the other."""

_MONTHS: Final = 12
_SEED: Final = 42
_SAMPLE_SECONDS: Final = 0.02
_ANONYMOUS: Final = re.compile(r"^Pss_Anon:\s+([0-9]+) kB$", re.MULTILINE)


class Run(NamedTuple):
    """What a run took."""

    cpu_seconds: float
    """Of all its processes, with their start."""
    seconds: float
    mib: float
    """The most anonymous memory of all its processes together; what several share counts once."""


class Contender(NamedTuple):
    """A way to advise."""

    name: str
    folder: Path
    options: tuple[str, ...]
    cores: set[int]


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a table; returns 0, or 1 if the outputs differ."""
    options = _parser().parse_args(arguments)
    store.find()
    cores = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="benchmark-advice-") as name, _before() as before:
        folder = Path(name)
        contenders = [
            Contender(f"advise.py of {BEFORE}", before, (), set(cores[:1])),
            Contender("advise.py --jobs 1", ROOT, ("--jobs", "1"), set(cores[:1])),
            Contender("advise.py --jobs 2", ROOT, ("--jobs", "2"), set(cores)),  # of a short table the same as 1
        ]
        source = folder / "months.csv"
        rows = _write_months(source, options.subscribers)
        runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
        for _ in range(options.rounds):
            for i, contender in enumerate(contenders):
                runs[contender.name].append(_take(contender, source, folder / f"{i}.csv"))
        same = all(filecmp.cmp(folder / "0.csv", folder / f"{i}.csv", shallow=False) for i in (1, 2))
        what = f"{rows:,} months of {options.subscribers:,} subscribers"
        lines = [_line(contender.name, what, runs[contender.name], options.subscribers) for contender in contenders]
        if options.long:
            rows = _write_months(source, options.long)
            what = f"{rows:,} months of {options.long:,} subscribers"
            lines += [
                _line(contender.name, what, [_take(contender, source, folder / "long.csv")], options.long)
                for contender in contenders[1:]
            ]
    head = "| command | table | CPU seconds | microseconds a subscriber | seconds | MiB |"
    cli.say("\n".join([head, "| --- | --- | --- | --- | --- | --- |", *lines]))
    if not same:
        cli.warn("the outputs differ")
        return cli.ANSWER_IS_NO
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.advice",
        description=f"Advise on synthetic months, beside the version of {BEFORE}, in turns, and print a table.",
        epilog="Exit code 0: done; 1: the outputs differ; 2: could not be done.",
    )
    parser.add_argument("--subscribers", type=cli.positive_int, default=20_000, metavar="N", help="(default: 20000)")
    parser.add_argument("--rounds", type=cli.positive_int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument(
        "--long", type=cli.positive_int, metavar="N",
        help="then advise so many subscribers once, without the version before",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, help="where tables are written meanwhile (default: that of such files)")
    return parser


@contextmanager
def _before() -> Iterator[Path]:
    """Check the version before out into a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="advise-before-") as name:
        folder = Path(name) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        added = subprocess.run([*git, "add", "--detach", str(folder), BEFORE], capture_output=True, text=True)
        if added.returncode:
            raise PlanRecommenderError(f"expected commit {BEFORE} in the history, found: {added.stderr.strip()[-300:]}")
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True, capture_output=True)


def _write_months(path: Path, subscribers: int) -> int:
    rows = 0
    with replacing(path) as file:
        file.write(HEADER)
        for block in generate_months(subscribers, _MONTHS, _SEED):
            text = csv_lines(block)
            rows += text.count("\n")
            file.write(text)
    return rows


def _take(contender: Contender, source: Path, output: Path) -> Run:
    command = [sys.executable, "advise.py", "--input", str(source), "--output", str(output), *contender.options]
    started = time.monotonic()
    with pinned(contender.cores):  # the processes inherit it
        process = subprocess.Popen(command, cwd=contender.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = [0.0]
    with process:
        watch = threading.Thread(target=_watch, args=(process, peak))
        watch.start()
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.join()
    if process.returncode:
        raise PlanRecommenderError(f"{' '.join(command)}: expected exit code 0, found {said[-500:]}")
    return Run(usage.ru_utime + usage.ru_stime, time.monotonic() - started, peak[0])


def _watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    while process.returncode is None:
        peak[0] = max(peak[0], sum(map(_anonymous_mib, _family(process.pid))))
        time.sleep(_SAMPLE_SECONDS)


def _family(pid: int) -> list[int]:
    """Give a process, those that it has started, and theirs."""
    try:
        children = [
            int(child)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except OSError:  # it has ended
        return []
    return [pid, *(each for child in children for each in _family(child))]


def _anonymous_mib(pid: int) -> float:
    try:
        found = _ANONYMOUS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:  # it has ended
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def _line(name: str, what: str, runs: list[Run], subscribers: int) -> str:
    cpu, seconds, mib = (median(column) for column in zip(*runs, strict=True))
    return f"| {name} | {what} | {cpu:.2f} | {1e6 * cpu / subscribers:.0f} | {seconds:.2f} | {mib:.0f} |"
