"""The first half of advising: every row of the tables is read once, and becomes a month in a run or a mark."""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.advising.arrays import numbers
from plan_recommender.advising.marks import Marks
from plan_recommender.advising.month_batch import BLOCK, sorted_months, with_places
from plan_recommender.advising.reading import BlockReader, Read
from plan_recommender.advising.runs import Run, write_run
from plan_recommender.advising.sources import Source, parts
from plan_recommender.advising.workers import Map
from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.plausibility import refuse_mistakes
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.scoring.progress import Report

FIRST_ROWS: Final = 50_000
"""So many rows of each table are looked at for mistakes, including those that are rejected."""

_Rows = npt.NDArray[np.int64]


class Part(NamedTuple):
    """A part of a table, to be read."""

    block: int
    """Its number, from 0 over all tables."""
    source: int
    content: Any
    done: int
    """How much of all files was read up to its end (bytes)."""
    is_first: bool
    """Whether its features are needed, because it may be among the first rows."""


class Taken(NamedTuple):
    """What became of a part."""

    source: int
    rows: int
    no_month: _Rows
    """Which of its rows are no months."""
    again: _Rows
    """Which have the month of an earlier one of its rows, each with that row, shape (rows, 2)."""
    run: Run
    done: int
    features: Any
    """Usage of its months, shape (months, 4), with the row of each; None if it is not needed."""


class Intake(NamedTuple):
    """All rows of the tables."""

    runs: list[Run]
    blocks: _Rows
    """The first row of each block, counted from 0 over all tables, and behind them the number of all rows."""
    tables: _Rows
    """The same of each table."""


class Taker:
    """Takes parts of tables in. Calls do not depend on each other."""

    def __init__(self, reader: BlockReader, sources: Sequence[Source], folder: Path) -> None:
        self._reader = reader
        self._sources = sources
        self._folder = folder

    def take(self, part: Part) -> Taken:
        """Read a part, and write its months as a run.

        Raises:
            TableError: Python's csv module does not accept a row, or values of Parquet cannot be written as text.
            OutputError: there is no room.
        """
        read = read_part(self._reader, self._sources[part.source], part.content)
        places = numbers(read.months.column(2), np.int64)
        features = None
        if part.is_first:
            columns = [numbers(read.months.column(name), np.float64) for name in FEATURE_NAMES]
            features = np.column_stack(columns), places
        moved = with_places(read.months, places + part.block * BLOCK)
        months, _, again = sorted_months(moved)
        run = write_run(self._folder, months)
        return Taken(part.source, read.rows, read.rejected, again % BLOCK, run, part.done, features)


def read_part(reader: BlockReader, source: Source, content: Any) -> Read:
    """Read a part of a table.

    Raises:
        TableError: as `Taker.take`.
    """
    try:
        return reader.batch(content) if source.kind == "parquet" else reader.text(content)
    except csv.Error as error:
        raise TableError(f"{source.path}: expected CSV, found: {error}") from error
    except TableError as error:
        raise TableError(f"{source.path}: {error}") from error


def take_in(
    sources: Sequence[Source],
    format: TableFormat,
    take: Map[Part, Taken],
    marks: Marks,
    usual: ReferenceProfile | None,
    report: Report,
    block_bytes: int,
) -> Intake:
    """Read all tables to their ends.

    Args:
        sources: the tables.
        format: how they are written.
        take: calls `Taker.take`, in this process or in others.
        marks: takes the rows that are rejected so far; of the months that are in several blocks it learns later.
        usual: what the first rows of each table are compared with; None: nothing.
        report: is told of the progress.
        block_bytes: size of a part of text.

    Raises:
        TableError: a table has no row, cannot be read to its end, or its first rows look mistaken.
        OutputError: there is no room.
    """
    looks = [_FirstRows(source.path, usual) for source in sources]
    runs, blocks, tables = [], [0], [0] * (len(sources) + 1)
    for taken in take(_parts(sources, format, block_bytes, lambda source: looks[source].is_open)):
        looks[taken.source].add(taken)
        marks.append(taken.rows, taken.no_month, taken.again)
        runs.append(taken.run)
        blocks.append(marks.rows)
        tables[taken.source + 1] = marks.rows
        report(taken.done, taken.rows)
    for look, source, start, end in zip(looks, sources, tables[:-1], tables[1:], strict=True):
        look.close()
        if start >= end:
            raise TableError(f"{source.path}: expected at least one row after the header, found none")
    marks.complete()
    return Intake(runs, np.array(blocks), np.array(tables))


def _parts(
    sources: Sequence[Source], format: TableFormat, block_bytes: int, is_first: Callable[[int], bool]
) -> Iterator[Part]:
    block = before = 0
    for i, source in enumerate(sources):
        for content, done in parts(source, format, block_bytes):
            yield Part(block, i, content, before + done, is_first(i))
            block += 1
        before += source.status[0]


class _FirstRows:
    """The first rows of a table, until they are known to look like what is usual."""

    def __init__(self, path: Path, usual: ReferenceProfile | None) -> None:
        self._path, self._usual = path, usual
        self._rows = 0
        self._features: list[npt.NDArray[np.float64]] = []
        self.is_open = usual is not None

    def add(self, taken: Taken) -> None:
        if not self.is_open:
            return
        features, places = taken.features
        self._features.append(features[places + self._rows < FIRST_ROWS])
        self._rows += taken.rows
        if self._rows >= FIRST_ROWS:
            self.close()

    def close(self) -> None:
        if self.is_open and self._usual is not None and self._rows:
            refuse_mistakes(self._path, np.concatenate(self._features), self._usual)
        self.is_open = False
