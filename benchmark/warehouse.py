"""`make benchmark`: score with SQL in duckdb and on Spark, beside copies by the same engine without scoring.

usage: python -m benchmark.warehouse [--rows N] [--rounds N] [--folder FOLDER] [--out FILE]

It writes the section on warehouses of docs/benchmark.md. It needs duckdb, PySpark and Java 17. Exit code 1: a goal was
missed.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.warehouse")

import argparse
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import psutil
from pyspark.sql import SparkSession

from benchmark.files import MEMORY_FOLDER, PAGE, commit, processor, write_parquet, write_table
from benchmark.page import with_section
from benchmark.warehouse_page import Measured, Run, write_section
from plan_recommender import cli
from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.outputs import replacing
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.sql.statement import Query, write_query
from plan_recommender.model.tables import ModelDocument
from plan_recommender.scoring.spark.jobs import Files, score_files, score_text_files
from plan_recommender.scoring.spark.shipped import ship
from tools.server import ROOT

_SETTINGS: Final = {"spark.ui.enabled": "false", "spark.driver.memory": "2g", "spark.log.level": "ERROR"}

Job = Callable[[Path], object]
"""Does all of the work, and writes to a folder that is not there."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the section; returns 0, or 1 if a goal was missed."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="benchmark-warehouse-") as folder:
        measured = _measure(options, Path(folder))
    section, kept = write_section(measured)
    with replacing(options.out) as file:
        text = options.out.read_text(encoding="utf-8") if options.out.exists() else ""
        file.write(with_section(text, "warehouse", section))
    cli.say(f"\n{section}\n{options.out}: written")
    return cli.DONE if kept else cli.ANSWER_IS_NO


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.warehouse",
        description="Score with SQL in duckdb and on Spark, beside copies by the same engine. Exit code 1: a goal was "
        "missed.",
    )
    parser.add_argument("--rows", type=cli.positive_int, default=5_000_000, help="of a table (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=cli.positive_int, default=3, help="how often each, after one to warm up (default: %(default)s)"
    )
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
    runs: dict[str, list[Run]] = {}
    with duckdb.connect() as connection:
        _in_turns(_duckdb_jobs(connection, parquet), options.rounds, folder, runs)
        _check_scores(connection)
    with _spark(folder) as spark:
        _in_turns(_spark_jobs(spark, source, parquet), options.rounds, folder, runs)
        score_text_files(spark, Files([str(source)], str(folder / "lines")), *_model())
    _check_lines(source, folder)
    packages = ("duckdb", "numpy", "pyarrow", "pyspark")
    return Measured(
        rows=options.rows,
        row_bytes=source.stat().st_size / options.rows,
        rounds=options.rounds,
        runs=runs,
        conditions=f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {processor()}, "
        f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}, {_java()}, "
        + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages),
    )


def _duckdb_jobs(connection: duckdb.DuckDBPyConnection, parquet: Path) -> dict[str, Job]:
    connection.execute("SET threads = 1")
    connection.execute("CREATE TABLE subscribers AS SELECT * FROM read_parquet(?)", [str(parquet)])
    query = write_query(store.find().document(), Query("duckdb", "subscribers"))

    def create(text: str) -> Job:
        return lambda _: connection.execute(f"CREATE OR REPLACE TABLE {text}")

    return {
        "duckdb, copied": create("copied AS SELECT * FROM subscribers"),
        "duckdb, scored with SQL": create(f"scored AS {query}"),
    }


def _spark_jobs(spark: SparkSession, source: Path, parquet: Path) -> dict[str, Job]:
    model = _model()
    spark.read.parquet(str(parquet)).createOrReplaceTempView("subscribers")
    query = write_query(model[0], Query("spark", "subscribers"))

    def scored_text(out: Path) -> object:
        return score_text_files(spark, Files([str(source)], str(out)), *model)

    def scored_parquet(out: Path) -> object:
        return score_files(spark, Files([str(parquet)], str(out)), *model)

    return {
        "Spark, CSV copied": lambda out: spark.read.csv(str(source), header=True).write.csv(str(out), header=True),
        "Spark, CSV scored": scored_text,
        "Spark, lines copied": lambda out: spark.read.text(str(source)).write.text(str(out)),
        "Spark, Parquet copied": lambda out: spark.read.parquet(str(parquet)).write.parquet(str(out)),
        "Spark, Parquet scored": scored_parquet,
        "Spark, Parquet scored with SQL": lambda out: spark.sql(query).write.parquet(str(out)),
    }


def _model() -> tuple[ModelDocument, TableFormat, None, dict[str, str]]:
    """Give what scores, in the order of the arguments of a job."""
    found = store.find()
    return found.document(), TableFormat(), None, {"model": found.tag}


def _in_turns(jobs: dict[str, Job], rounds: int, folder: Path, runs: dict[str, list[Run]]) -> None:
    """Run every job once without counting it, and then in turns."""
    out = folder / "out"
    for number in range(rounds + 1):
        for name, job in jobs.items():
            cpu, started = _cpu_seconds(), time.monotonic()
            job(out)
            run = Run(_cpu_seconds() - cpu, time.monotonic() - started)
            shutil.rmtree(out, ignore_errors=True)
            if number:
                runs.setdefault(name, []).append(run)
                cli.say(f"round {number}, {name}: {run.cpu_seconds:.2f} CPU s, {run.seconds:.2f} s")


def _cpu_seconds() -> float:
    """Processor time of this process, of Java and of the Python workers, ended ones too."""
    this = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in [this, *this.children(recursive=True)])


@contextmanager
def _spark(folder: Path) -> Iterator[SparkSession]:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[1]").appName("benchmark")
    for name, value in _SETTINGS.items() | {("spark.local.dir", str(folder))}:
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        ship(spark)
        yield spark
    finally:
        spark.stop()


def _check_scores(connection: duckdb.DuckDBPyConnection) -> None:
    found = connection.table("scored").fetchnumpy()
    features = np.column_stack([found[name] for name in FEATURE_NAMES]).astype(np.float64)
    scorer = store.find().scorer()
    expected = scorer.probabilities(features)
    assert (found["proba_is_ultra"] == expected).all(), "expected the bits of the scorer"
    assert (found["pred_is_ultra"] == scorer.decide(features, expected)).all(), "expected its decisions"


def _check_lines(source: Path, folder: Path) -> None:
    """Compare all lines that Spark has written with those of predict.py, in any order."""
    expected = folder / "expected.csv"
    command = [sys.executable, "predict.py", "--input", str(source), "--output", str(expected), "--accept-drift"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with expected.open("rb") as file:
        header = next(file)
        total = _sum(file)
    parts = [part.open("rb") for part in (folder / "lines").glob("part-*")]
    assert all(next(part) == header for part in parts), "expected the header in every file"
    assert sum(map(_sum, parts)) == total, "expected the lines of predict.py"


def _sum(lines: Iterable[bytes]) -> int:
    """A number that depends on all lines and not on their order."""
    return sum(map(hash, lines))


def _java() -> str:
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    return f"Java {said.split(chr(34))[1]}"
