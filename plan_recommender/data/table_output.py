"""A table with new columns, written as the table was that it came from: text as text, Parquet as Parquet or as text."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, TextIO

from plan_recommender.data.cells import Row
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.outputs import replacing, replacing_bytes
from plan_recommender.data.parquet_file import ParquetOutput, ParquetReader
from plan_recommender.data.table_reader import Chunk, TableReader
from plan_recommender.errors import OutputError

_PARQUET = ".parquet"
_NOT_WRITTEN = (".xlsx", ".xls", ".ods", ".zip")


class WideTable(Protocol):
    """The rows of a table, each with two new cells."""

    def write(self, chunk: Chunk, kept: list[int], integers: list[int], doubles: list[float]) -> None:
        """Write some rows of a chunk, by their positions in it, with their new values."""


def check_names(output: Path, rejects: Path, *, parquet: bool) -> None:
    """Refuse names that say another format than the one that would be written.

    Args:
        output: the name of a table with new columns.
        rejects: the name of the table of rejects, which is always text.
        parquet: whether the table that is read is Parquet.

    Raises:
        OutputError: a name ends in what is not written.
    """
    for path in (output, rejects):
        if path.suffix.lower() in _NOT_WRITTEN:
            raise OutputError(f"{path}: expected a name that ends in .csv or .csv.gz, because CSV is written")
    if rejects.suffix.lower() == _PARQUET:
        raise OutputError(f"{rejects}: expected a name that ends in .csv, because rejects are written as CSV")
    if output.suffix.lower() == _PARQUET and not parquet:
        raise OutputError(
            f"{output}: expected a name that ends in .csv, because the input is text, whose columns have no types that "
            "Parquet could keep"
        )


@contextmanager
def replacing_table(path: Path, table: TableReader, integer: str, double: str) -> Iterator[WideTable]:
    """Open a table that replaces `path` when the block ends: the columns of another one, and two new ones.

    It is Parquet if its name ends in `.parquet`, otherwise text with the separator and the decimal sign of the format
    of `table`, and with a byte order mark if `table` has one. It is compressed if its name ends in `.gz`.

    Args:
        path: of the file to write.
        table: the table with the first columns; it must be Parquet if `path` is.
        integer: name of the first new column, of whole numbers.
        double: name of the second new column, of floating-point numbers, which read back as the same.

    Raises:
        OutputError: the file cannot be written.
    """
    if path.suffix.lower() == _PARQUET and isinstance(table, ParquetReader):
        with replacing_bytes(path) as file, closing(ParquetOutput(file, table, integer, double)) as output:
            yield output
    else:
        with replacing_text(path, table, [*table.header, integer, double]) as text:
            yield _TextOutput(text, table)


@contextmanager
def replacing_text(path: Path, table: TableReader, header: Row) -> Iterator[TextIO]:
    """Open a text file that replaces `path` when the block ends; it begins with a header in the format of `table`.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as text:
        if table.bom:
            text.write("\ufeff")
        write_rows(text, [header], table.format.sep)
        yield text


class _TextOutput:
    def __init__(self, file: TextIO, table: TableReader) -> None:
        self._file = file
        self._sep, self._decimal = table.format.sep, table.format.decimal

    def write(self, chunk: Chunk, kept: list[int], integers: list[int], doubles: list[float]) -> None:
        numbers = [repr(double) for double in doubles]
        if self._decimal != ".":
            numbers = [number.replace(".", self._decimal) for number in numbers]
        cells = zip(kept, integers, numbers, strict=True)
        write_rows(self._file, [[*chunk.rows[i], str(integer), number] for i, integer, number in cells], self._sep)
