"""How the rows of a table stand in its text, which is all that a scorer of lines has to know of a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import Row
from plan_recommender.data.columns import find_columns
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES


@dataclass(frozen=True)
class Layout:
    """The columns of a table, and how they are written as text."""

    header: Row
    positions: list[int]
    """Of the four features, in the order of `FEATURE_NAMES`, in a row counted from 0."""
    sep: str = ","
    decimal: str = "."
    newline: bytes = b"\n"
    """What ends the last row if nothing does in the file."""

    @property
    def width(self) -> int:
        """Number of cells of a row."""
        return len(self.header)


def layout_of(
    path: Path | str,
    header: Row,
    sample: Callable[[], list[Row]],
    format: TableFormat,
    new: Sequence[str],
    newline: bytes = b"\n",
) -> Layout:
    """Find the features in a header.

    Args:
        path: of the file, or a name for it, for the error.
        header: its columns.
        sample: gives some rows, which help to say in an error what could be meant; otherwise it is not called.
        format: what the user said of the table.
        new: names of the columns that are added.
        newline: what ends a line.

    Raises:
        TableError: a feature is missing or there twice, or a column has the name of one that is added.
    """
    positions = find_columns(path, header, sample, [format.column(name) for name in FEATURE_NAMES], format)
    found = [column.strip() for column in header]
    taken = [name for name in new if name in found]
    if taken:
        raise TableError(f"{path}: expected no column named {', '.join(taken)}, which this command adds")
    return Layout(header, positions, format.sep, format.decimal, newline)
