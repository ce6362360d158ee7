"""What the outputs made from a table are called, and text that is written as the table was that it came from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from plan_recommender.data.cells import Row
from plan_recommender.data.compression import SUFFIXES
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.outputs import replacing
from plan_recommender.data.table_reader import TableReader
from plan_recommender.errors import OutputError

REJECT_COLUMNS = ("row", "reason")
"""What a table of rejects has before the columns of the table that was read."""

_PARQUET = ".parquet"
_NOT_WRITTEN = (".xlsx", ".xls", ".ods", ".zip")


def rejects_beside(output: Path) -> Path:
    """Name the file of rejects of an output for which no other is named: `x.rejects.csv` beside `x.csv`."""
    path = Path(output.resolve().name)
    if path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    return output.parent / f"{path.stem}.rejects.csv"


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
