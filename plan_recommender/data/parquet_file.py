"""A table in Parquet: its rows as they are, and as text, so that everything reads them as it reads CSV."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data import csv_file
from plan_recommender.data.cells import Row, readable
from plan_recommender.data.table_reader import Chunk, TableReader
from plan_recommender.errors import MissingLibraryError, TableError

_SAMPLE_ROWS: Final = 100
_BUFFER_BYTES: Final = 1 << 18  # for each column


@dataclass(frozen=True)
class ParquetReader(TableReader):
    """An open Parquet file: its header, and its rows in chunks as text, or in record batches."""

    file: Any
    """The `pyarrow.parquet.ParquetFile`."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order, up to `CHUNK_ROWS` at a time; empty values are empty cells.

        Raises:
            TableError: the rest of the file cannot be read.
        """
        for batch in self.batches(csv_file.CHUNK_ROWS):
            yield Chunk(self._rows(batch))

    def batches(self, rows: int) -> Iterator[Any]:
        """Yield the rows in order as `pyarrow.RecordBatch`, up to so many at a time.

        Raises:
            TableError: the rest of the file cannot be read.
        """
        import pyarrow as pa

        try:
            yield from filter(len, self.file.iter_batches(batch_size=rows, use_threads=False))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self.path, error) from error

    def sample(self) -> list[Row]:
        """Give the first rows, for an error about the header; they are no longer among the batches."""
        return next((self._rows(batch) for batch in self.batches(_SAMPLE_ROWS)), [])

    def _sample(self) -> list[Row]:
        return self.sample()

    def _rows(self, batch: Any) -> list[Row]:
        try:
            return batch_as_text(batch, self.format.decimal)
        except TableError as error:
            raise TableError(f"{self.path}: {error}") from error


def batch_as_text(batch: Any, decimal: str) -> list[Row]:
    """Write the rows of a `pyarrow.RecordBatch` as text.

    Args:
        batch: of any types.
        decimal: decimal sign of the numbers, which read back as the same.

    Raises:
        TableError: a column holds values that cannot be written as text.
    """
    names = batch.schema.names
    columns = [column_as_text(name, column, decimal) for name, column in zip(names, batch.columns, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def column_as_text(name: str, column: Any, decimal: str) -> list[str]:
    """Write the values of one `pyarrow.Array` as cells, as `batch_as_text` does; `name` is for its error."""
    import pyarrow as pa

    try:
        values = column.to_pylist()
    except (ValueError, OverflowError):  # Python has no date after the year 9999
        try:
            values = column.cast(pa.string()).to_pylist()
        except pa.ArrowException as error:
            raise TableError(
                f"expected values that can be written as text in column {readable(name)}, found {column.type}"
            ) from error
    return [_text(value, decimal) for value in values]


@contextmanager
def read_parquet(path: Path, format: TableFormat) -> Iterator[ParquetReader]:
    """Open a Parquet file and read its schema.

    Raises:
        TableError: the file is damaged or has no columns.
        MissingLibraryError: the library that reads it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            f"{path}: expected the library pyarrow to read Parquet, found none; install it with "
            "`pip install --require-hashes --no-deps -r requirements/training.txt`, or save the table as CSV"
        ) from error
    try:
        # Columns are read through small buffers, so that memory does not grow with the file's row groups.
        file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    with file:
        header = list(file.schema_arrow.names)
        if not header:
            raise TableError(f"{path}: expected columns, found a Parquet file without any")
        yield ParquetReader(path, format, header, False, file)


def _damaged(path: Path, error: Exception) -> TableError:
    return TableError(f"{path}: expected a complete Parquet file, found: {' '.join(str(error).split())}")


def _text(value: object, decimal: str) -> str:
    """Write a value as a cell; a number reads back as the same number."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).replace(".", decimal)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="surrogateescape")
    if isinstance(value, list | dict):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, Decimal):
        return str(value).replace(".", decimal)
    return str(value)
