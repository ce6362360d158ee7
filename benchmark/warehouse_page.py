"""The section on warehouses of docs/benchmark.md, written from the results of a run, and its goals."""

from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from benchmark.files_page import at_least, at_most

MIN_SQL_ROWS: Final = 0.5
"""Millions a CPU second."""
MAX_OF_SPARK_COPY: Final = 1.2

COPIES: Final = {
    "duckdb, copied": "duckdb, copied",
    "duckdb, scored with SQL": "duckdb, copied",
    "Spark, CSV copied": "Spark, CSV copied",
    "Spark, CSV scored": "Spark, CSV copied",
    "Spark, lines copied": "Spark, CSV copied",
    "Spark, Parquet copied": "Spark, Parquet copied",
    "Spark, Parquet scored": "Spark, Parquet copied",
    "Spark, Parquet scored with SQL": "Spark, Parquet copied",
}
"""Which copy each contender is compared with."""


class Run(NamedTuple):
    """One run of one contender."""

    cpu_seconds: float
    """Of all processes."""
    seconds: float


@dataclass(frozen=True)
class Measured:
    """Everything that a run has measured."""

    rows: int
    row_bytes: float
    rounds: int
    runs: dict[str, list[Run]]
    """By contender, one for each round."""
    conditions: str


def write_section(measured: Measured) -> tuple[str, bool]:
    """Write the section as Markdown; returns it, and whether every goal was kept."""
    rows = measured.rows / _cpu(measured, "duckdb, scored with SQL") / 1e6
    ratio = _cpu(measured, "Spark, CSV scored") / _cpu(measured, "Spark, CSV copied")
    goals = [
        at_least("duckdb: millions of rows scored with SQL in a CPU second", rows, MIN_SQL_ROWS),
        at_most("Spark: CPU seconds of CSV scored to CSV copied", ratio, MAX_OF_SPARK_COPY),
    ]
    lines = [
        "## In a warehouse",
        "",
        f"`python -m benchmark.warehouse`: {measured.rows:,} rows of {measured.row_bytes:.0f} bytes, medians of "
        f"{measured.rounds} rounds in turns, after",
        "one to warm up. Processor time is that of all processes (Spark: Java and Python workers) without their start.",
        "",
        "| contender | CPU seconds | of the copy | rows in a CPU second | seconds |",
        "| --- | --- | --- | --- | --- |",
        *(_line(measured, name, copy) for name, copy in COPIES.items()),
        "",
        "| goal | measured | |",
        "| --- | --- | --- |",
        *(f"| {goal.what} | {goal.found:.3g} | {'kept' if goal.kept else 'missed'} |" for goal in goals),
        "",
        "duckdb copies and scores a table in memory on one thread; all its probabilities are compared with those of",
        "the scorer. Spark runs as `local[1]`. The copies of CSV are by Spark's own reader and writer, and by lines of",
        "text; all lines that Spark has scored are compared with those of `predict.py`.",
        "",
        f"Measured on {measured.conditions}; compare ratios only.",
        "",
    ]
    return "\n".join(lines), all(goal.kept for goal in goals)


def _line(measured: Measured, name: str, copy: str) -> str:
    cpu = _cpu(measured, name)
    seconds = median(run.seconds for run in measured.runs[name])
    ratio = cpu / _cpu(measured, copy)
    return f"| {name} | {cpu:.2f} | {ratio:.2f} | {measured.rows / cpu:,.0f} | {seconds:.2f} |"


def _cpu(measured: Measured, name: str) -> float:
    return median(run.cpu_seconds for run in measured.runs[name])
