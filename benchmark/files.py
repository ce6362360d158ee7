"""`make benchmark`: score files, beside copies of them without scoring, and beside other ways to score them.

usage: python -m benchmark.files [--rows N] [--rounds N] [--long N] [--seed-python PATH] [--folder FOLDER] [--out FILE]

It writes the section on files of docs/benchmark.md. It needs Linux. Exit code 1: a goal was missed.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.files")

import argparse
import importlib.metadata
import itertools
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from benchmark.files_page import Measured, write_section
from benchmark.page import with_section
from benchmark.process import Taken, take
from plan_recommender import cli
from plan_recommender.data.outputs import replacing
from plan_recommender.data.synthesis import generate
from plan_recommender.model import store
from plan_recommender.model.record import PIPELINE_FILE
from tools.server import ROOT

PAGE: Final = ROOT / "docs" / "benchmark.md"
BEFORE: Final = "4806f16"
"""The last commit whose predict.py scored row by row."""

SEED: Final = "4afb38a"
"""The first commit of this repository."""

_DISTINCT_ROWS: Final = 1_000_000
_SLOW_ROWS: Final = 50  # times fewer rows for what scores row by row
MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108  # on a disk its speed would be measured

Job = Callable[[], Taken]


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the section; returns 0, or 1 if a goal was missed."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="benchmark-files-") as folder:
        measured = _measure(options, Path(folder))
    section, kept = write_section(measured)
    with replacing(options.out) as file:
        text = options.out.read_text(encoding="utf-8") if options.out.exists() else ""
        file.write(with_section(text, "files", section))
    cli.say(f"\n{section}\n{options.out}: written")
    return cli.DONE if kept else cli.ANSWER_IS_NO


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.files",
        description="Score files beside copies of them and beside other ways. Exit code 1: a goal was missed.",
    )
    parser.add_argument("--rows", type=cli.positive_int, default=10_000_000, help="of a file (default: %(default)s)")
    parser.add_argument("--rounds", type=cli.positive_int, default=3, help="how often each (default: %(default)s)")
    parser.add_argument(
        "--long", type=cli.positive_int, default=100_000_000, metavar="N",
        help="rows of the file that memory is watched with (default: %(default)s, 8 GB with what becomes of it)",
    )  # fmt: skip
    parser.add_argument(
        "--seed-python", type=Path, metavar="PATH",
        help=f"an interpreter with the training lock of commit {SEED}, whose predict.py is measured then",
    )  # fmt: skip
    parser.add_argument(
        "--folder", type=Path, default=MEMORY_FOLDER, help="where files are written (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=PAGE, metavar="FILE", help="page with the section (default: docs/benchmark.md)"
    )
    return parser


def _measure(options: argparse.Namespace, folder: Path) -> Measured:
    source, parquet = folder / "in.csv", folder / "in.parquet"
    write_table(source, options.rows)
    write_parquet(source, parquet)
    few = folder / "few.csv"
    with source.open("rb") as all_rows, few.open("wb") as file:
        file.writelines(itertools.islice(all_rows, 1 + options.rows // _SLOW_ROWS))
    start = folder / "start.csv"
    write_table(start, 100)
    jobs = _jobs(options, folder, source, parquet, few, start)
    taken: dict[str, list[Taken]] = {name: [] for name in jobs}
    for number in range(1, options.rounds + 1):
        for name, job in jobs.items():
            taken[name].append(job())
            last = taken[name][-1]
            cli.say(
                f"round {number}, {name}: {last.cpu_seconds:.2f} CPU s, {last.seconds:.2f} s, {last.peak_mib:.0f} MiB"
            )
    _check_equal(folder)
    long = folder / "long.csv"
    write_table(long, options.long)
    cores = sorted(os.sched_getaffinity(0))
    memory = take(_predict(long, folder / "long.out.csv", len(cores)), set(cores), ROOT)
    cli.say(f"{options.long:,} rows: {memory.cpu_seconds:.1f} CPU s, {memory.seconds:.1f} s, {memory.peak_mib:.0f} MiB")
    packages = ("numpy", "orjson", "pandas", "pyarrow", "scikit-learn")
    return Measured(
        rows=options.rows,
        few=options.rows // _SLOW_ROWS,
        row_bytes=source.stat().st_size / options.rows,
        rounds=options.rounds,
        taken=taken,
        long=options.long,
        memory=memory,
        conditions=f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {processor()}, {len(cores)} cores, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages),
        seed=options.seed_python is not None,
    )


def _jobs(
    options: argparse.Namespace, folder: Path, source: Path, parquet: Path, few: Path, start: Path
) -> dict[str, Job]:
    """Name the contenders; each is one run of a command."""
    cores = sorted(os.sched_getaffinity(0))
    one, two = {cores[0]}, set(cores[:2])
    model = store.find()
    pipeline = model.path / PIPELINE_FILE
    before = _unpacked(BEFORE, folder / "before")

    def copy(*arguments: str | Path) -> Job:
        return lambda: take([sys.executable, "-m", "benchmark.peers.file_copies", *arguments], one, ROOT)

    def ours(source: Path, name: str, jobs: int, cores: set[int], *options: str) -> Job:
        return lambda: take([*_predict(source, folder / name, jobs), *options], cores, ROOT)

    def old(python: Path | str, place: Path, home: Path | None, name: str, *options: str) -> Job:
        command = [str(python), "predict.py", "--input", str(few), "--output", str(folder / name), *options]
        return lambda: take(command, one, place, {} if home is None else {"BENTOML_HOME": str(home)})

    jobs = {
        "predict.py": ours(source, "ours.csv", 1, one),
        "pyarrow, text copied": copy("pyarrow", source, folder / "pyarrow.csv"),
        "Python csv, copied": copy("csv", source, folder / "csv.csv"),
        "predict.py, two jobs": ours(source, "two.csv", 2, two),
        "predict.py, Parquet": ours(parquet, "ours.parquet", 1, one),
        "predict.py, Parquet, two jobs": ours(parquet, "two.parquet", 2, two),
        "pyarrow, Parquet copied": copy("parquet", parquet, folder / "copy.parquet"),
        "predict.py, 100 rows": ours(start, "start.out.csv", 1, one),
        "predict.py --explain": ours(few, "explained.csv", 1, one, "--explain"),
        "pandas and scikit-learn": copy("pandas", few, folder / "pandas.csv", pipeline),
        "predict.py before": old(sys.executable, before, None, "before.csv", "--accept-drift"),
    }
    if options.seed_python is not None:
        place, home = _unpacked(SEED, folder / "seed"), folder / "seed-home"
        take([options.seed_python, "train.py"], set(cores), place, {"BENTOML_HOME": str(home)})
        jobs["predict.py of the seed"] = old(options.seed_python, place, home, "seed.csv")
    return jobs


def _predict(source: Path, output: Path, jobs: int) -> list[str]:
    files = ["--input", str(source), "--output", str(output)]
    return [sys.executable, "predict.py", *files, "--jobs", str(jobs), "--accept-drift"]


def write_table(path: Path, rows: int) -> None:
    """Write a table of six columns; beyond a million rows, the same ones come again."""
    features = np.concatenate([chunk.features for chunk in generate(min(rows, _DISTINCT_ROWS), seed=1)])
    lines = [
        f"{10_000_000 + i},{calls:.0f},{minutes:.2f},{messages:.0f},{mb_used:.2f},{i % 2}\n"
        for i, (calls, minutes, messages, mb_used) in enumerate(features.tolist())
    ]
    with path.open("w", encoding="utf-8") as file:
        file.write("id,calls,minutes,messages,mb_used,group\n")
        for start in range(0, rows, len(lines)):
            file.writelines(lines[: rows - start])


def write_parquet(source: Path, path: Path) -> None:
    """Write the same table as Parquet."""
    import pyarrow.csv
    import pyarrow.parquet

    with pyarrow.csv.open_csv(source) as reader, pyarrow.parquet.ParquetWriter(path, reader.schema) as writer:
        rows = pyarrow.Table.from_batches(reader)
        writer.write_table(rows)


def _check_equal(folder: Path) -> None:
    """Compare what one job and two have written, and what was written before."""
    ours, two = (folder / "ours.csv").read_bytes(), (folder / "two.csv").read_bytes()
    assert ours == two, "expected the same bytes of one job and of two"
    assert ours.startswith((folder / "before.csv").read_bytes()), "expected the bytes of before"


def _unpacked(commit: str, place: Path) -> Path:
    """Put the files of a commit into a folder."""
    place.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(place)], input=archive, check=True)
    return place


def commit() -> str:
    """Name the commit that is measured."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def processor() -> str:
    """Name the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
