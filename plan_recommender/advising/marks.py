"""Which rows of a table are rejected, in a temporary file: a number for each row, and no memory for any."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from plan_recommender.advising.runs import having_room

NO_MONTH: Final = -1
"""Marks a row that is no month. A number above 0 is that of the row which has the same month, counted from 1."""

_Rows = npt.NDArray[np.int64]


class Marks:
    """Marks of rows, which are counted from 0 over all tables. Most of the file is never written, and takes no room."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "marks"
        self._path.touch()
        self.rows = 0
        self.count = 0
        """Rows that are marked."""

    def append(self, rows: int, no_month: _Rows, again: _Rows) -> None:
        """Mark rows of a block that follows those before.

        Args:
            rows: of the block.
            no_month: which rows of the block are no months.
            again: which rows have the month of an earlier row, each with that row, shape (rows, 2); both are counted
                from the block's first row.

        Raises:
            OutputError: there is no room.
        """
        first = self.rows
        self.rows += rows
        if not len(no_month) and not len(again):
            return
        marks = np.zeros(rows, np.int64)
        marks[no_month] = NO_MONTH
        marks[again[:, 0]] = again[:, 1] + first + 1
        self.count += len(no_month) + len(again)
        with having_room(self._folder), self._path.open("r+b") as file:
            file.seek(first * marks.itemsize)
            file.write(marks.tobytes())

    def complete(self) -> None:
        """Take note that there are no more rows; now `mark` and `of` can be called."""
        with having_room(self._folder), self._path.open("r+b") as file:
            file.truncate(self.rows * 8)
        self._marks = np.memmap(self._path, np.int64, "r+") if self.rows else np.zeros(0, np.int64)

    def mark(self, again: _Rows) -> None:
        """Mark rows that have the month of an earlier row, each with that row, shape (rows, 2), counted from 0."""
        self._marks[again[:, 0]] = again[:, 1] + 1
        self.count += len(again)

    def of(self, start: int, end: int) -> _Rows:
        """Give the marks of the rows from `start` to before `end`."""
        return np.asarray(self._marks[start:end])

    def earlier(self, mark: int) -> int:
        """Give the row, counted from 0, that has the month of a row with this mark, and is not rejected itself."""
        row = mark - 1
        while (before := int(self._marks[row])) > 0:
            row = before - 1
        return row
