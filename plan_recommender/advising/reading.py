"""A block of a table of months read: its months as a record batch, and which of its rows are none."""

import csv
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from plan_recommender.advising.arrays import arrow, binary, booleans, numbers
from plan_recommender.advising.cells import Cells, Coded, coded, judge
from plan_recommender.advising.month_batch import NO_PLAN, USED, month_batch, with_places
from plan_recommender.data.cells import Row, parse_usage
from plan_recommender.data.month_rows import DATES, Divided, MonthReader
from plan_recommender.data.parquet_file import batch_as_text, column_as_text
from plan_recommender.scoring.by_cell import lines_of, read_rows
from plan_recommender.scoring.plain_text import FIELD_LIMIT, PlainLines, Text, pieces, plain_lines
from plan_recommender.scoring.usage import NUMBERS, copy_usage

_CATEGORIES: Final = ("month", "plan", *DATES)
_DICTIONARY: Final = pa.dictionary(pa.int32(), pa.binary())


class Read(NamedTuple):
    """What a block holds."""

    rows: int
    months: Any
    """A record batch of `month_batch.SCHEMA`; the places are those of the rows in the block, from 0."""
    rejected: npt.NDArray[np.int64]
    """Which rows are no months, in ascending order."""


class BlockReader:
    """Reads blocks of tables that have the same columns. Calls do not depend on each other."""

    def __init__(self, reader: MonthReader, width: int, sep: str, decimal: str) -> None:
        """Take how rows are read.

        Args:
            reader: for rows that are not certainly months.
            width: number of cells of a row.
            sep: what separates the cells of text.
            decimal: decimal sign.
        """
        self._reader = reader
        self.width = width
        self._plans = reader.plans
        self._sep, self._decimal = sep, decimal
        self._positions = reader.positions
        self._numbers: list[str] = [name for name in USED if name in self._positions]
        self._parse = {
            quoted: pa.csv.ParseOptions(delimiter=sep, quote_char='"' if quoted else False) for quoted in (False, True)
        }
        named = {position: name for name, position in self._positions.items()}
        self._names = [named.get(i, str(i)) for i in range(width)]
        kinds = {name: _DICTIONARY if name in _CATEGORIES else pa.float64() for name in self._positions}
        self._kinds = kinds | {"subscriber": pa.binary()}
        self._convert = [self._options(texts) for texts in (False, True)]

    def text(self, block: Text) -> Read:
        """Read a block of whole rows of text.

        Raises:
            csv.Error: Python's csv module does not accept a row.
        """
        lines = plain_lines(block, self._sep)
        if lines is None:
            return self._by_cell(block)
        read = self._plain(block, lines)
        if read is None:
            cut = [(piece, plain_lines(piece, self._sep)) for piece in pieces(block)]
            return _together([(found and self._plain(piece, found)) or self._by_cell(piece) for piece, found in cut])
        return read

    def batch(self, batch: Any) -> Read:
        """Read a `pyarrow.RecordBatch` of any types, as `data.parquet_file` writes them as text.

        Raises:
            TableError: a column holds values that cannot be written as text.
        """
        cells: dict[str, Any] = {}
        for name, position in self._positions.items():
            column = batch.column(position)
            if name in self._numbers and str(column.type) in NUMBERS:
                values = np.empty(batch.num_rows)
                cells[name] = values, copy_usage(column, values)
                continue
            texts = column_as_text(batch.schema.names[position], column, self._decimal)
            cells[name] = texts if name == "subscriber" else self._from_texts(name, texts)
        cells["subscriber"] = binary([text.encode(errors="surrogateescape") for text in cells["subscriber"]])
        return self._read(batch.num_rows, cells, lambda places: self.batch_rows(batch, places))

    def batch_rows(self, batch: Any, places: npt.NDArray[np.int64]) -> list[Row]:
        """Give some rows of a record batch as text."""
        return batch_as_text(batch.take(arrow(places, pa.int64())), self._decimal)

    def rows(self, block: Text, places: Sequence[int]) -> list[Row]:
        """Give the cells of some rows of a block of text."""
        lines = plain_lines(block, self._sep)
        if lines is None or not _are_rows(lines):
            rows = list(read_rows(lines_of(_decoded(block)), self._sep))
            return [rows[place].cells for place in places]
        return self._lines(block, lines, places)

    def divide(self, rows: list[Row]) -> Divided:
        """Read rows cell by cell, as `MonthReader.divide` does."""
        return self._reader.divide(rows)

    def _plain(self, block: Text, lines: PlainLines) -> Read | None:
        """Read lines that are rows; None if they are not all as wide as the header."""
        if not _are_rows(lines) or int(np.diff(lines.ends, prepend=0).max()) > FIELD_LIMIT:
            return None
        for texts in (False, True):
            table = self._table(block, texts)
            if table is not None:
                break
        if table is None or table.num_rows != len(lines.ends):
            return None
        cells = {name: self._from_arrow(name, table.column(name).chunk(0)) for name in self._positions}
        return self._read(table.num_rows, cells, lambda places: self._lines(block, lines, places.tolist()))

    def _table(self, block: Text, texts: bool) -> Any:
        options = pa.csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=self._names)
        try:
            return pa.csv.read_csv(
                pa.BufferReader(pa.py_buffer(block)), options, self._parse[b'"' in block], self._convert[texts]
            )
        except pa.ArrowInvalid:  # a row of another width, or a cell that is no number
            return None

    def _options(self, texts: bool) -> Any:
        kinds = {name: pa.binary() if texts and name in self._numbers else kind for name, kind in self._kinds.items()}
        return pa.csv.ConvertOptions(
            include_columns=list(self._positions),
            column_types=kinds,
            null_values=[""],
            decimal_point=self._decimal,
            check_utf8=False,
        )

    def _from_arrow(self, name: str, column: Any) -> Any:
        if name == "subscriber":
            return column
        if name in _CATEGORIES:
            texts = [_decoded(text) for text in column.dictionary.to_pylist()]
            return Coded(numbers(column.indices, np.int32), texts)
        if pa.types.is_binary(column.type):
            return parse_usage([_decoded(text) for text in column.to_pylist()], self._decimal)
        values = np.empty(len(column))
        return values, copy_usage(column, values)

    def _from_texts(self, name: str, texts: list[str]) -> Any:
        return coded(texts) if name in _CATEGORIES else parse_usage(texts, self._decimal)

    def _read(self, count: int, columns: dict[str, Any], rows: Callable[[npt.NDArray[np.int64]], list[Row]]) -> Read:
        dates = (columns[DATES[0]], columns[DATES[1]]) if DATES[0] in columns else None
        used = {name: columns[name] for name in self._numbers}
        cells = Cells(columns["subscriber"], columns["month"], columns.get("plan"), dates, used)
        judged = judge(cells, self._plans, rounds_calls=self._reader.rounds_calls)
        months = month_batch(
            judged.subscriber, judged.months, np.arange(count, dtype=np.int64), judged.plans, judged.used
        )  # fmt: skip
        odd = np.flatnonzero(~judged.certain)
        if not len(odd):
            return Read(count, months, odd)
        others = self._divided(rows(odd))
        others = others._replace(months=_at(others.months, odd), rejected=odd[others.rejected])
        months = months.filter(booleans(judged.certain))
        if others.months.num_rows:
            months = pa.concat_batches([months, others.months])
            in_order = np.argsort(numbers(months.column(2), np.int64))
            months = months.take(arrow(in_order, pa.int64()))
        return Read(count, months, others.rejected)

    def _by_cell(self, block: Text) -> Read:
        return self._divided([row.cells for row in read_rows(lines_of(_decoded(block)), self._sep)])

    def _divided(self, rows: list[Row]) -> Read:
        divided = self._reader.divide(rows)
        found = list(divided.months.values())
        used = np.array([month.used for month in found], dtype=np.float64).reshape(-1, len(USED))
        months = month_batch(
            binary([month.subscriber.encode(errors="surrogateescape") for month in found]),
            np.array([month.month for month in found], np.int32),
            np.array(list(divided.months), np.int64),
            np.array([NO_PLAN if month.plan is None else month.plan for month in found], np.int16),
            np.ascontiguousarray(used.T),
        )
        return Read(len(rows), months, np.array(list(divided.reasons), np.int64))

    def _lines(self, block: Text, lines: PlainLines, places: Sequence[int]) -> list[Row]:
        starts = _starts(lines)
        texts = (_decoded(block[starts[place] : lines.ends[place]]) for place in places)
        return list(csv.reader(texts, delimiter=self._sep))


def _decoded(text: Text) -> str:
    return text.decode("utf-8", errors="surrogateescape")


def _starts(lines: PlainLines) -> npt.NDArray[np.intp]:
    starts = np.zeros(len(lines.ends), np.intp)
    starts[1:] = lines.ends[:-1] + len(lines.end)
    return starts


def _are_rows(lines: PlainLines) -> bool:
    """Whether there is no line without any character, which is no row."""
    return bool(len(lines.ends)) and bool((lines.ends > _starts(lines)).all())


def _at(months: Any, places: npt.NDArray[np.int64]) -> Any:
    """Give the months with other places: those that stand at their present ones in `places`."""
    return with_places(months, places[numbers(months.column(2), np.int64)])


def _together(parts: list[Read]) -> Read:
    months, rejected, first = [], [], 0
    for part in parts:
        places = np.arange(first, first + part.rows)
        months.append(_at(part.months, places))
        rejected.append(part.rejected + first)
        first += part.rows
    return Read(first, pa.concat_batches(months), np.concatenate(rejected))
