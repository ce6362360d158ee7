"""Text cut into blocks at ends of rows, without reading more cells than it takes to be sure where a row ends."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from plan_recommender.data.cells import Row
from plan_recommender.data.csv_file import SEPARATOR_LINE, UNREADABLE
from plan_recommender.data.recognise import BOM
from plan_recommender.errors import TableError
from plan_recommender.scoring.by_cell import lines_of, read_rows
from plan_recommender.scoring.plain_text import Text, plain_lines

BLOCK_BYTES: Final = 1 << 21
"""Size of a block: half of it takes a tenth more processor time, and twice as much saves next to none."""

_HEADER_BYTES: Final = 1 << 16
_SAMPLE_ROWS: Final = 100


class ByteStream(Protocol):
    """A binary file that is read."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Read up to as many bytes as the buffer holds; returns how many, 0 at the end."""

    def seek(self, offset: int, /) -> int:
        """Go to a place, counted from the beginning (bytes); only a run that goes on asks for it."""


class Block(NamedTuple):
    """Whole rows of a text."""

    text: bytearray
    end: int
    """Where the block ends in the text (bytes)."""


class Header(NamedTuple):
    """The first row of a text."""

    names: Row
    text: bytes
    """As it stands there, without its line's end, and with a byte order mark if there is one."""
    newline: bytes
    """What ends its line."""


class RowBlocks:
    """Cuts a text into its header and blocks of rows, which depend on nothing but the text and where one began."""

    def __init__(self, path: Path, stream: ByteStream, sep: str, block_bytes: int = BLOCK_BYTES) -> None:
        """Begin at the start of a text.

        Args:
            path: for errors.
            stream: the text.
            sep: what separates the columns.
            block_bytes: size of a block, unless a row is longer.
        """
        self._path = path
        self._stream = stream
        self._sep = sep
        self._size = block_bytes
        self._data = bytearray()
        self._start = 0
        self._is_whole = False

    def header(self) -> Header:
        """Read the header, which is the first line with any character.

        A line before it such as `sep=;`, which tells Excel the separator, is passed over.

        Raises:
            TableError: the text cannot be read, is empty, or Python's csv module does not accept the header.
        """
        size = min(self._size, _HEADER_BYTES)
        while True:
            self._fill(size)
            header = self._first_row()
            if header is not None:
                return header
            if self._is_whole:
                raise TableError(f"{self._path}: expected a header and at least one row, found an empty file")
            size *= 2

    def sample(self) -> list[Row]:
        """Give the first rows after the header, for an error about it; they stay where they are."""
        rows: list[Row] = []
        try:
            for row in read_rows(lines_of(_decoded(self._data)), self._sep):
                rows.append(row.cells)
                if len(rows) == _SAMPLE_ROWS:
                    break
        except csv.Error:
            return []  # the error is about the header, which could be read
        return rows

    def seek(self, start: int) -> None:
        """Go on at a place where a block ended, in a stream that can be sought in."""
        self._stream.seek(start)
        self._data, self._start, self._is_whole = bytearray(), start, False

    def __iter__(self) -> Iterator[Block]:
        """Yield the rows after the header in blocks.

        Raises:
            TableError: the rest of the text cannot be read, or Python's csv module does not accept a row.
        """
        size = self._size
        while True:
            self._fill(size)
            data = self._data
            if not data:
                return
            end = len(data) if self._is_whole else self._end_of_rows(data)
            if not end:
                size *= 2
                continue
            size = self._size
            self._data = data[end:]
            del data[end:]
            self._start += end
            yield Block(data, self._start)

    def _fill(self, size: int) -> None:
        """Read on until there are so many bytes, or all that are left."""
        have = len(self._data)
        if have >= size or self._is_whole:
            return
        data = bytearray(size)
        data[:have] = self._data
        try:
            with memoryview(data) as view:
                while have < size:
                    read = self._stream.readinto(view[have:])
                    if not read:
                        self._is_whole = True
                        break
                    have += read
        except UNREADABLE as error:
            raise TableError(f"{self._path}: expected CSV, found: {error}") from error
        del data[have:]
        self._data = data

    def _first_row(self) -> Header | None:
        """Take the header out of what was read; None if it goes on."""
        mark = len(BOM) if self._data.startswith(BOM) else 0
        lines = lines_of(_decoded(self._data[mark:]))
        if not self._is_whole:
            lines = lines[:-1]  # the last one may go on
        try:
            rows = read_rows(lines, self._sep)
            header = next(rows, None)
            if header is not None and SEPARATOR_LINE.fullmatch(self._sep.join(header.cells)):
                header = next(rows, None)
        except csv.Error as error:
            raise TableError(f"{self._path}: expected CSV, found: {error}") from error
        if header is None or (header.is_open and not self._is_whole):
            return None
        self._start = mark + _bytes_of(lines[: header.lines])
        text = bytes(self._data[:mark]) + _encoded(header.text)
        self._data = self._data[self._start :]
        return Header(header.cells, text, header.end.encode() or b"\n")

    def _end_of_rows(self, data: Text) -> int:
        """Find the end of the last row that is certainly whole; 0 if there is none."""
        end = data.rfind(b"\n") + 1
        if end and (data.find(b'"', 0, end) < 0 or plain_lines(data[:end], self._sep) is not None):
            return end
        lines = lines_of(_decoded(data))[:-1]  # the last one may go on
        whole = 0
        try:
            for row in read_rows(lines, self._sep):
                if not row.is_open:
                    whole = row.lines
        except csv.Error as error:
            raise TableError(f"{self._path}: expected CSV, found: {error}") from error
        return _bytes_of(lines[:whole])


def _decoded(data: Text) -> str:
    return data.decode("utf-8", errors="surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def _bytes_of(lines: list[str]) -> int:
    return len(_encoded("".join(lines)))
