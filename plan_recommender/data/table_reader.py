"""What every open table offers, whatever the format of its file: the header, and the rows as text in chunks."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import Row
from plan_recommender.data.columns import find_columns


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table, in the order of the file."""

    rows: list[Row]
    """The cells of each as text. A row of text may have more or fewer cells than the header."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class TableReader(ABC):
    """An open table. Its rows can be read once."""

    path: Path
    format: TableFormat
    """Numbers are written with its decimal sign, in Parquet too."""
    header: Row
    bom: bool
    """Whether the text begins with a byte order mark, which is not in the header."""

    def positions(self, columns: Sequence[str]) -> list[int]:
        """Find columns by their names in the table; returns their positions in a row, counted from 0.

        Raises:
            TableError: the header lacks one of them, or holds one more than once.
        """
        return find_columns(self.path, self.header, self._sample, columns, self.format)

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order, up to `CHUNK_ROWS` at a time.

        Raises:
            TableError: the rest of the file cannot be read.
        """

    @abstractmethod
    def _sample(self) -> list[Row]:
        """Give the first rows, for an error about the header; they are no longer among the chunks."""
