"""A table with new columns, written as the table was that it came from: text as text, Parquet as Parquet or as text."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, TextIO

from plan_recommender.data.cells import Row
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.outputs import replacing, replacing_bytes
from plan_recommender.data.parquet_file import NewCell, ParquetOutput, ParquetReader
from plan_recommender.data.table_reader import Chunk, TableReader
from plan_recommender.errors import OutputError

REJECT_COLUMNS = ("row", "reason")
"""What a table of rejects has before the columns of the table that was read."""

_PARQUET = ".parquet"
_NOT_WRITTEN = (".xlsx", ".xls", ".ods", ".zip")


class WideTable(Protocol):
    """The rows of a table, each with new cells."""

    def write(self, chunk: Chunk, kept: list[int], *new: Sequence[NewCell]) -> None:
        """Write some rows of a chunk, by their positions in it, with the values of each new column."""


def rejects_beside(output: Path) -> Path:
    """Name the file of rejects of an output for which no other is named: `x.rejects.csv` beside `x.csv`."""
    return output.parent / f"{Path(output.resolve().name.removesuffix('.gz')).stem}.rejects.csv"


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
def replacing_table(path: Path, table: TableReader, new: Mapping[str, type[NewCell]]) -> Iterator[WideTable]:
    """Open a table that replaces `path` when the block ends: the columns of another one, and new ones.

    It is Parquet if its name ends in `.parquet`, otherwise text with the separator and the decimal sign of the format
    of `table`, and with a byte order mark if `table` has one. It is compressed if its name ends in `.gz`.

    Args:
        path: of the file to write.
        table: the table with the first columns; it must be Parquet if `path` is.
        new: the types of the new columns by their names; floating-point numbers read back as the same.

    Raises:
        OutputError: the file cannot be written.
    """
    if path.suffix.lower() == _PARQUET and isinstance(table, ParquetReader):
        with replacing_bytes(path) as file, closing(ParquetOutput(file, table, new)) as output:
            yield output
    else:
        with replacing_text(path, table, [*table.header, *new]) as text:
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

    def write(self, chunk: Chunk, kept: list[int], *new: Sequence[NewCell]) -> None:
        cells = zip(*(self._cells(column) for column in new), strict=True)
        rows = [[*chunk.rows[i], *added] for i, added in zip(kept, cells, strict=True)]
        write_rows(self._file, rows, self._sep)

    def _cells(self, column: Sequence[NewCell]) -> list[str]:
        cells = [str(value) for value in column]  # of a double, the shortest text that reads back as the same
        if self._decimal != "." and column and isinstance(column[0], float):
            return [cell.replace(".", self._decimal) for cell in cells]
        return cells
