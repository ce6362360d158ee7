"""A text table, row by row: its header and its rows as text.

A file is read in chunks, so that its size is not limited by memory. An empty cell is a missing value.
"""

import csv
import io
import itertools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import Row
from plan_recommender.data.table_reader import Chunk, TableReader
from plan_recommender.errors import TableError

CHUNK_ROWS = 50_000

UNREADABLE = (csv.Error, OSError, EOFError, zlib.error)
"""What reading raises when a file is not CSV, cannot be read to its end, or is damaged gzip."""

_SAMPLE_ROWS = 100
SEPARATOR_LINE = re.compile(r"(?i:sep)=[^\w\s]|(?i:sep)=\t")
"""A line before the header that tells Excel the separator."""


class TextSink(Protocol):
    """What text can be written to."""

    def write(self, text: str, /) -> object:
        """Take some text."""


@dataclass(frozen=True)
class CsvReader(TableReader):
    """An open text table: its header, and its rows in chunks."""

    _rows: Iterator[Row]

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order, up to `CHUNK_ROWS` at a time; lines without any character are skipped.

        A row has as many cells as its line, which may be more or fewer than the header has.

        Raises:
            TableError: the rest of the file cannot be read, or Python's csv module does not accept it, for instance
                because of a cell of more than 131,072 characters.
        """
        rows = (row for row in self._rows if row)
        while True:
            try:
                chunk = list(itertools.islice(rows, CHUNK_ROWS))
            except UNREADABLE as error:
                raise TableError(f"{self.path}: expected CSV, found: {error}") from error
            if not chunk:
                return
            yield Chunk(chunk)

    def _sample(self) -> list[Row]:
        try:
            return list(itertools.islice(filter(None, self._rows), _SAMPLE_ROWS))
        except UNREADABLE:
            return []  # the error is about the header, which could be read


def read_csv(path: Path, stream: BinaryIO, format: TableFormat, bom: bool) -> CsvReader:
    """Read the header of a text table, which is the first line with any character.

    A line before it such as `sep=;`, which tells Excel the separator, is passed over, because `format` says it. A byte
    order mark is dropped. Bytes that are not UTF-8 become surrogates, which a file opened with
    `errors="surrogateescape"` writes as the same bytes. A file with a header and no rows is accepted.

    Raises:
        TableError: the file cannot be read, is empty, or Python's csv module does not accept the header.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text, delimiter=format.sep)
    try:
        header = next(filter(None, rows), None)
        if header and SEPARATOR_LINE.fullmatch(format.sep.join(header)):
            header = next(filter(None, rows), None)
    except UNREADABLE as error:
        raise TableError(f"{path}: expected CSV, found: {error}") from error
    if not header:
        raise TableError(f"{path}: expected a header and at least one row, found an empty file")
    return CsvReader(path, format, header, bom, rows)


def write_rows(file: TextSink, rows: list[Row], sep: str = ",") -> None:
    """Write rows as lines that read back as the same cells; `file` must be open with `newline=""`."""
    plain = csv.writer(file, delimiter=sep, lineterminator="\n")
    # With this line ending, Python's writer does not quote a carriage return by itself, and readers would see two rows.
    if not any("\r" in cell for row in rows for cell in row):
        plain.writerows(rows)
        return
    quoted = csv.writer(file, delimiter=sep, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in cell for cell in row) else plain).writerow(row)
