"""A table in Parquet: its rows as text, so that everything reads them as it reads CSV, and as they are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data import csv_file
from plan_recommender.data.cells import Row, readable
from plan_recommender.data.table_reader import Chunk, TableReader
from plan_recommender.errors import MissingLibraryError, TableError

_SAMPLE_ROWS = 100


@dataclass(frozen=True)
class ParquetReader(TableReader):
    """An open Parquet file: its header, and its rows in chunks, as text and as record batches."""

    file: Any
    """The `pyarrow.parquet.ParquetFile`."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order, up to `CHUNK_ROWS` at a time; empty values are empty cells.

        Raises:
            TableError: the rest of the file cannot be read.
        """
        for batch in self._batches(csv_file.CHUNK_ROWS):
            yield Chunk(self._rows(batch), batch)

    def _sample(self) -> list[Row]:
        return next((self._rows(batch) for batch in self._batches(_SAMPLE_ROWS)), [])

    def _batches(self, rows: int) -> Iterator[Any]:
        import pyarrow as pa

        try:
            yield from filter(len, self.file.iter_batches(batch_size=rows))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self.path, error) from error

    def _rows(self, batch: Any) -> list[Row]:
        columns = [self._cells(name, column) for name, column in zip(self.header, batch.columns, strict=True)]
        return [list(row) for row in zip(*columns, strict=True)]

    def _cells(self, name: str, column: Any) -> list[str]:
        import pyarrow as pa

        try:
            values = column.to_pylist()
        except (ValueError, OverflowError):  # Python has no date after the year 9999
            try:
                values = column.cast(pa.string()).to_pylist()
            except pa.ArrowException as error:
                raise TableError(
                    f"{self.path}: expected values that can be written as text in column {readable(name)}, "
                    f"found {column.type}"
                ) from error
        return [_text(value, self.format.decimal) for value in values]


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
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    with file:
        header = list(file.schema_arrow.names)
        if not header:
            raise TableError(f"{path}: expected columns, found a Parquet file without any")
        yield ParquetReader(path, format, header, False, file)


NewCell = int | float | str
"""What a new column may hold, of one of these types."""


class ParquetOutput:
    """A Parquet file with the columns of another one, of the same types, and new ones."""

    def __init__(self, file: BinaryIO, table: ParquetReader, new: Mapping[str, type[NewCell]]) -> None:
        """Begin the file; it has to be closed to be complete.

        Args:
            file: to write to.
            table: the file with the first columns.
            new: the types of the new columns by their names.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = table.file.schema_arrow  # its metadata say to pandas what the first columns are
        types = {int: pa.int64(), float: pa.float64(), str: pa.string()}
        self._types = [types[kind] for kind in new.values()]
        for name, kind in zip(new, self._types, strict=True):
            schema = schema.append(pa.field(name, kind))
        self._schema = schema
        self._writer = pq.ParquetWriter(file, self._schema)

    def write(self, chunk: Chunk, kept: list[int], *new: Sequence[NewCell]) -> None:
        """Write some rows of a chunk, by their positions in it, with the values of each new column."""
        import pyarrow as pa

        columns = chunk.batch.take(pa.array(kept, type=pa.int64())).columns
        added = [pa.array(values, type=kind) for values, kind in zip(new, self._types, strict=True)]
        self._writer.write_batch(pa.record_batch([*columns, *added], schema=self._schema))

    def close(self) -> None:
        """Write what makes the file complete."""
        self._writer.close()


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
