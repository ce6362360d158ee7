"""The section on files of docs/benchmark.md, written from the results of a run, and its goals."""

from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from benchmark.process import QUIET, Taken

MIN_OF_TEXT_COPY: Final = 0.6
MAX_OF_CSV_COPY: Final = 0.45
MIN_OF_PARQUET_COPY: Final = 0.6
MIN_TWO_JOBS: Final = 1.7
MAX_MIB: Final = 150
MAX_START_SECONDS: Final = 0.6

_FEW: Final = ("predict.py --explain", "pandas and scikit-learn", "predict.py before", "predict.py of the seed")
"""Contenders that were given the file with fewer rows."""

OURS: Final = (
    *("predict.py", "predict.py, two jobs", "predict.py, Parquet", "predict.py, Parquet, two jobs"),
    *("predict.py --explain", "predict.py, 100 rows"),
)
"""The contenders that are this commit's predict.py."""

_CURVE: Final = 10  # moments at which the memory of the long file is told


@dataclass(frozen=True)
class Measured:
    """Everything that a run has measured."""

    rows: int
    few: int
    """Rows of the file for contenders that score row by row."""
    row_bytes: float
    rounds: int
    taken: dict[str, list[Taken]]
    """By contender, one for each round."""
    long: int
    memory: Taken
    """Of the long file."""
    conditions: str
    seed: bool
    """Whether the seed's predict.py was measured."""


class Goal(NamedTuple):
    """A goal, and what was found."""

    what: str
    found: float | None
    """None: it could not be measured."""
    kept: bool | None


def write_section(measured: Measured) -> tuple[str, bool]:
    """Write the section as Markdown; returns it, and whether every goal was kept."""
    goals = _goals(measured)
    lines = [
        "## Files",
        "",
        f"`python -m benchmark.files`: {measured.rows:,} rows of {measured.row_bytes:.0f} bytes in a memory file "
        f"system, medians of {measured.rounds} rounds in turns.",
        "Processor time is that of the whole process, with its start, and memory its anonymous memory. A process is",
        f"pinned to one core, with two jobs to two. `--explain` and what scores row by row got {measured.few:,} rows.",
        "",
        "| contender | CPU seconds | nanoseconds a row | seconds | MiB |",
        "| --- | --- | --- | --- | --- |",
        *(_line(measured, name) for name in measured.taken),
        "",
        "| goal | measured | |",
        "| --- | --- | --- |",
        *map(_goal_line, goals),
        "",
        f"{measured.long:,} rows on all cores: {measured.memory.cpu_seconds:.1f} CPU seconds, "
        f"{measured.memory.seconds:.1f} s; the most anonymous memory in every tenth of the time (MiB): "
        f"{_curve(measured.memory)}.",
        "",
        "The copies are of the same files: by pyarrow as text, with default options but on one thread; by Python's csv",
        "module; of Parquet by pyarrow on one thread, batch by batch. Of pandas and scikit-learn it is `read_csv`, the",
        "fitted pipeline and `to_csv`. Before is predict.py of commit 4806f16, which scored row by row; its output has",
        "the same bytes. " + _seed_words(measured),
        "",
        f"Measured on {measured.conditions}; compare ratios only.",
        "",
    ]
    return "\n".join(lines), all(goal.kept is not False for goal in goals)


def _goals(measured: Measured) -> list[Goal]:
    ours = _seconds(measured, "predict.py")
    text = _seconds(measured, "pyarrow, text copied") / ours
    rows = ours / _seconds(measured, "Python csv, copied")
    parquet = _seconds(measured, "pyarrow, Parquet copied") / _seconds(measured, "predict.py, Parquet")
    start = _seconds(measured, "predict.py, 100 rows")
    runs = [taken for name in OURS for taken in measured.taken[name]]
    mib = max(taken.peak_mib for taken in [measured.memory, *runs])
    return [
        at_least("CSV: CPU seconds of pyarrow's text copy to ours", text, MIN_OF_TEXT_COPY),
        at_most("CSV: our CPU seconds to those of Python csv's copy", rows, MAX_OF_CSV_COPY),
        at_least("Parquet: CPU seconds of pyarrow's copy to ours", parquet, MIN_OF_PARQUET_COPY),
        _two_jobs(measured),
        at_most("the most anonymous memory of our runs (MiB)", mib, MAX_MIB),
        at_most("CPU seconds for 100 rows", start, MAX_START_SECONDS),
    ]


def _goal_line(goal: Goal) -> str:
    if goal.found is None:
        return f"| {goal.what} | | not measured |"
    return f"| {goal.what} | {goal.found:.3g} | {'kept' if goal.kept else 'missed'} |"


def _two_jobs(measured: Measured) -> Goal:
    """Compare two jobs with one, once started, in rounds in which the machine did nothing else."""
    what = "CSV: speed of two jobs on two cores to that of one on one, once started"
    walls = []
    for name in ("predict.py", "predict.py, two jobs", "predict.py, 100 rows"):
        quiet = [taken.seconds for taken in measured.taken[name] if taken.others <= QUIET]
        if not quiet:
            return Goal(f"{what}, ≥ {MIN_TWO_JOBS:g}: other processes took the cores in every round", None, None)
        walls.append(median(quiet))
    one, two, start = walls
    return at_least(what, (one - start) / (two - start), MIN_TWO_JOBS)


def at_least(what: str, found: float, goal: float) -> Goal:
    """Compare what was found with the least that is wanted."""
    return Goal(f"{what}, ≥ {goal:g}", found, found >= goal)


def at_most(what: str, found: float, goal: float) -> Goal:
    """Compare what was found with the most that is wanted."""
    return Goal(f"{what}, ≤ {goal:g}", found, found <= goal)


def _line(measured: Measured, name: str) -> str:
    rows = measured.few if name in _FEW else 100 if name == "predict.py, 100 rows" else measured.rows
    seconds = _seconds(measured, name)
    each = f"{seconds / rows * 1e9:,.0f}" if rows > 100 else ""
    return f"| {name} | {seconds:.2f} | {each} | {_wall(measured, name):.2f} | {_mib(measured, name):.0f} |"


def _seconds(measured: Measured, name: str) -> float:
    return median(taken.cpu_seconds for taken in measured.taken[name])


def _wall(measured: Measured, name: str) -> float:
    return median(taken.seconds for taken in measured.taken[name])


def _mib(measured: Measured, name: str) -> float:
    return max(taken.peak_mib for taken in measured.taken[name])


def _curve(taken: Taken) -> str:
    most = []
    for part in range(_CURVE):
        low, high = (taken.seconds * (part + step) / _CURVE for step in (0, 1))
        found = [mib for moment, mib in taken.memory if low <= moment < high]
        most.append(f"{max(found, default=0):.0f}")
    return ", ".join(most)


def _seed_words(measured: Measured) -> str:
    if measured.seed:
        return "The seed's is that of commit 4afb38a with a model that it trained, which scored with ONNX Runtime."
    return "The seed's predict.py needs ONNX Runtime and was not measured: name an interpreter with --seed-python."
