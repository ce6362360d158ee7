"""The rows that are rejected, each with its number and the reason: if there are any, the tables are read again."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plan_recommender.advising.intake import Intake
from plan_recommender.advising.marks import NO_MONTH, Marks
from plan_recommender.advising.reading import BlockReader
from plan_recommender.advising.sources import Source, parts
from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import Row, fitted

_Rows = npt.NDArray[np.int64]

FILE_COLUMN = "file"
"""What rejects of several tables have before the number of the row in its table."""


class Rejects:
    """Finds the rows that are rejected, in the order of the tables."""

    def __init__(self, sources: Sequence[Source], reader: BlockReader, intake: Intake, marks: Marks) -> None:
        self._sources = sources
        self._reader = reader
        self._intake = intake
        self._tables = intake.tables.tolist()
        self._marks = marks
        self.first: str | None = None
        """Which row was rejected first, and why."""

    def write(self, format: TableFormat, block_bytes: int, write: Callable[[list[Row]], object]) -> None:
        """Hand over the rows that are marked, if there are any: where each stands, the reason, and its cells.

        Raises:
            TableError: a file has changed since it was read.
        """
        if not self._marks.count:
            return
        block = 0
        for i, source in enumerate(self._sources):
            for content, _ in parts(source, format, block_bytes):
                start, end = self._intake.blocks[block : block + 2].tolist()
                block += 1
                marks = self._marks.of(start, end)
                places = np.flatnonzero(marks)
                if len(places):
                    write(self._rejected(i, content, start, places, marks[places]))

    def _rejected(self, source: int, content: Any, start: int, places: _Rows, marks: _Rows) -> list[Row]:
        reader = self._reader
        is_batch = self._sources[source].kind == "parquet"
        rows = reader.batch_rows(content, places) if is_batch else reader.rows(content, places.tolist())
        divided = reader.divide(rows)
        rejected = []
        for k, (place, mark, row) in enumerate(zip(places.tolist(), marks.tolist(), rows, strict=True)):
            if mark == NO_MONTH:
                reason = divided.reasons[k]
            else:
                month = divided.months[k].month
                found = f"{month // 12:04}-{month % 12 + 1:02} again, which is in {self._where(mark)}"
                reason = f"month: expected each month of a subscriber once, found {found}"
            table, number = self._position(start + place)
            if self.first is None:
                self.first = f"{self._row(table, number)}, {reason}"
            file = [str(self._sources[table].path)] if len(self._sources) > 1 else []
            rejected.append([*file, str(number), reason, *fitted(row, reader.width)])
        return rejected

    def _where(self, mark: int) -> str:
        return self._row(*self._position(self._marks.earlier(mark)))

    def _row(self, table: int, number: int) -> str:
        return f"row {number} of {self._sources[table].path}" if len(self._sources) > 1 else f"row {number}"

    def _position(self, row: int) -> tuple[int, int]:
        """Turn a row, counted from 0 over all tables, into its table and its number there, counted from 1."""
        table = bisect_right(self._tables, row) - 1
        return table, row - self._tables[table] + 1
