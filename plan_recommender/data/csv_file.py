"""A CSV file of subscribers, row by row: its header and its rows as text, and the numbers that cells hold.

A file is read in chunks, so that its size is not limited by memory. An empty cell is a missing value.
"""

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from plan_recommender.errors import TableError

CHUNK_ROWS = 50_000
EXPECTED_USAGE = "expected a finite number that is not negative, or an empty cell"
"""What an error says about a cell that `parse_usage` does not accept."""

_NAMES_SHOWN = 10  # column names that an error lists
_CELL_SHOWN = 40  # characters of a cell that an error repeats

Row = list[str]


@dataclass(frozen=True)
class CsvReader:
    """An open CSV file: its header, and its rows in chunks."""

    path: Path
    header: Row
    _rows: Iterator[Row]

    def positions(self, columns: Sequence[str]) -> list[int]:
        """Find columns by their names; returns their positions in a row, counted from 0.

        Blanks around a name in the header are ignored.

        Raises:
            TableError: the header lacks one of them, or holds one more than once.
        """
        found = [name.strip() for name in self.header]
        shown = ", ".join(map(readable, found[:_NAMES_SHOWN])) + (", …" if len(found) > _NAMES_SHOWN else "")
        missing = [name for name in columns if name not in found]
        if missing:
            raise TableError(
                f"{self.path}: expected the columns {', '.join(columns)}; missing {', '.join(missing)}; found {shown}"
            )
        twice = [name for name in columns if found.count(name) > 1]
        if twice:
            raise TableError(f"{self.path}: expected each column once, found {', '.join(twice)} more than once")
        return [found.index(name) for name in columns]

    def chunks(self) -> Iterator[list[Row]]:
        """Yield the rows in order, up to `CHUNK_ROWS` at a time; lines without any character are skipped.

        A row has as many cells as its line, which may be more or fewer than the header has. The rows can be read once.

        Raises:
            TableError: the rest of the file cannot be read, or Python's csv module does not accept it, for instance
                because of a cell of more than 131,072 characters.
        """
        rows = (row for row in self._rows if row)
        while True:
            try:
                chunk = list(itertools.islice(rows, CHUNK_ROWS))
            except (csv.Error, OSError) as error:
                raise TableError(f"{self.path}: expected CSV, found: {error}") from error
            if not chunk:
                return
            yield chunk


@contextmanager
def open_csv(path: Path) -> Iterator[CsvReader]:
    """Open a comma-separated file and read its header, the first line with any character.

    A byte order mark is dropped. Bytes that are not UTF-8 become surrogates, which a file opened with
    `errors="surrogateescape"` writes as the same bytes. A file with a header and no rows is accepted.

    Raises:
        TableError: the file cannot be read, is empty, or Python's csv module does not accept the header.
    """
    try:
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise TableError(f"{path}: expected a readable CSV file, found: {error.strerror}") from error
    with file:
        yield CsvReader(path, *_split_header(path, file))


def parse_usage(cells: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Turn the cells of one feature into numbers.

    A cell is accepted if it is empty, blank or a finite number of at least 0. A number is written in ASCII without `_`:
    Python's float() also reads 1_000 and the digits of other scripts, which other programs do not.

    Returns:
        The values, shape (cells,), NaN where a cell is empty or blank; and a mask, shape (cells,), of the cells that
        are not accepted, whose values mean nothing.
    """
    try:
        values = np.array([float(cell) if cell else math.nan for cell in cells])
    except ValueError:
        values = np.array([_number(cell) for cell in cells])
    suspicious = ~(values >= 0) | np.isinf(values)
    text = "".join(cells)
    if "_" in text or not text.isascii():
        suspicious |= np.array(["_" in cell or not cell.isascii() for cell in cells])
    for i in np.flatnonzero(suspicious).tolist():
        if not cells[i].strip():
            values[i] = math.nan
            suspicious[i] = False
    return values, suspicious


def write_rows(file: TextIO, rows: list[Row]) -> None:
    """Write rows as comma-separated lines that read back as the same cells; `file` must be open with `newline=""`."""
    # With this line ending, Python's writer does not quote a carriage return by itself, and readers would see two rows.
    returns = any("\r" in cell for row in rows for cell in row)
    csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL).writerows(rows)


def shortened(cell: str) -> str:
    """Quote a cell for an error; of one with more than 40 characters only the beginning, and then its length."""
    return repr(cell) if len(cell) <= _CELL_SHOWN else f"{cell[:_CELL_SHOWN]!r}… ({len(cell):,} characters)"


def readable(name: str) -> str:
    """Give a name unchanged, or `shortened` if it has more than 40 characters or some that cannot be printed."""
    return name if name.isprintable() and len(name) <= _CELL_SHOWN else shortened(name)


def _split_header(path: Path, file: TextIO) -> tuple[Row, Iterator[Row]]:
    """Read the header; returns it and the rows behind it, of which those of empty lines are empty."""
    rows = csv.reader(file)
    try:
        header = next(filter(None, rows), None)
    except (csv.Error, OSError) as error:
        raise TableError(f"{path}: expected CSV, found: {error}") from error
    if not header:
        raise TableError(f"{path}: expected a header and at least one row, found an empty file")
    return header, rows


def _number(cell: str) -> float:
    """Read a number; NaN for anything that Python's float() does not read."""
    try:
        return float(cell)
    except ValueError:
        return math.nan
