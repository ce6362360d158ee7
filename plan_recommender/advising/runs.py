"""The months of tables of any size in temporary files, from which they come back subscriber by subscriber.

Each block of a table becomes a run: its months, sorted by subscriber. A range of the subscribers is gathered from all
runs, in each of which it stands together. So memory holds one block or one range in each process. The files are mapped
into memory and not read, so that the system keeps of them what it has room for.
"""

import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from plan_recommender.advising.month_batch import SCHEMA, Sorted, sorted_months
from plan_recommender.errors import OutputError

RANGE_ROWS: Final = 1 << 15
"""Months that a range has, about; more only if one subscriber has more."""

_SAMPLES: Final = 32
"""Subscribers of each run by whom the ranges are chosen."""


class Run(NamedTuple):
    """Where the months of a block are."""

    file: str
    start: int
    """Where it begins in the file (bytes)."""
    size: int
    rows: int
    sample: list[bytes]
    """Some of its subscribers, spread evenly over its rows, in ascending order."""


class Slices(NamedTuple):
    """The part of each run that holds a range of the subscribers; runs without such are left out."""

    runs: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of months."""
        return int((self.ends - self.starts).sum())


@contextmanager
def months_folder(beside: Path | None) -> Iterator[Path]:
    """Make a temporary folder beside a file, or where such folders are; it is removed when the block ends.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        if beside is None:
            folder = tempfile.TemporaryDirectory(prefix="months.")
        else:
            resolved = beside.resolve()
            resolved.parent.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(dir=resolved.parent, prefix=f".{resolved.name}.months.")
    except OSError as error:
        raise OutputError(f"{beside}: expected a folder that can be written, found: {error.strerror}") from error
    with folder as name:
        yield Path(name)


@contextmanager
def having_room(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system within the block into one about room for temporary files.

    Raises:
        OutputError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        found = error.strerror or error
        raise OutputError(f"{folder.parent}: expected room in it for temporary files, found: {found}") from error


def write_run(folder: Path, months: Any) -> Run:
    """Write sorted months behind the runs that this process has written.

    Raises:
        OutputError: there is no room.
    """
    file = folder / f"{os.getpid()}.months"
    with having_room(folder), file.open("ab") as stream:
        start = stream.tell()
        content = months.serialize()
        stream.write(content)
    rows = months.num_rows
    at = sorted({int(place) for place in np.linspace(0, rows - 1, _SAMPLES)}) if rows else []
    sample = [months.column(0)[place].as_py() for place in at]
    return Run(str(file), start, content.size, rows, sample)


def borders(runs: Sequence[Run], range_rows: int = RANGE_ROWS) -> list[bytes]:
    """Choose the subscribers at whom a range of about so many months begins, but for the first range."""
    samples = sorted((name, run.rows / len(run.sample)) for run in runs for name in run.sample)
    chosen: list[bytes] = []
    rows = 0.0
    for name, weight in samples:
        if rows >= range_rows and name != (chosen[-1] if chosen else samples[0][0]):
            chosen.append(name)
            rows = 0.0
        rows += weight
    return chosen


class RunReader:
    """Reads runs, in any process."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs
        self._files: dict[str, Any] = {}

    def cut(self, run: int, borders: Sequence[bytes]) -> npt.NDArray[np.int64]:
        """Give where the ranges of subscribers begin in a run, and where the last one ends."""
        names = self._batch(run).column(0).to_pylist()
        return np.array([0, *(bisect_left(names, border) for border in borders), len(names)], dtype=np.int64)

    def gather(self, slices: Slices) -> Sorted:
        """Give the months of a range, sorted."""
        parts = [
            self._batch(run).slice(start, end - start)
            for run, start, end in zip(*(column.tolist() for column in slices), strict=True)
        ]
        return sorted_months(pa.concat_batches(parts))

    def _batch(self, run: int) -> Any:
        file, start, size, _, _ = self._runs[run]
        if file not in self._files:
            self._files[file] = pa.py_buffer(np.memmap(file, np.uint8, "r"))
        return pa.ipc.read_record_batch(self._files[file].slice(start, size), SCHEMA)


def slices_of(cuts: npt.NDArray[np.int64], range: int) -> Slices:
    """Give the parts of a range.

    Args:
        cuts: as `RunReader.cut` gives them for each run, shape (runs, ranges + 1).
        range: its number, from 0.
    """
    starts, ends = cuts[:, range], cuts[:, range + 1]
    runs = np.flatnonzero(ends > starts)
    return Slices(runs, starts[runs], ends[runs])
