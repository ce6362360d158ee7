"""Text that pyarrow reads exactly as Python's csv module and float() do, found out without reading it cell by cell.

A block is plain if every line is one row with the header's number of cells, quotes stand around whole cells only, and
every cell of the four features is empty or a number that pyarrow reads. Everything else is left to `by_cell`.
"""

import csv
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.scoring.layout import Layout
from plan_recommender.scoring.usage import copy_usage

FIELD_LIMIT: Final = csv.field_size_limit()
"""A longer cell (characters) is refused by Python's csv module, so a longer line (bytes) is left to it."""

_QUOTE, _LF, _CR = b'"\n\r'

_PIECE: Final = 1 << 16
"""A block with anything odd in it is read in pieces of about this size (bytes), of which only some are odd."""

_MAX_BYTES: Final = 2**29
"""A longer block could become more than Arrow's arrays of bytes hold, once its new cells are added."""

Text = bytes | bytearray


class PlainLines(NamedTuple):
    """The lines of a block, each of which is one row."""

    ends: npt.NDArray[np.intp]
    """Where the end of each line begins, shape (lines,)."""
    end: bytes
    """What ends every line; the last one may have none."""


def plain_lines(block: Text, sep: str) -> PlainLines | None:
    """Find the lines of a block that begins with a row; None unless it is proved that each line is one row.

    That is so without any quote; and if each quote opens a cell or closes one, in turns, and no cell holds a quote or
    the end of a line. Lines have to end alike, with LF or CR LF.
    """
    text = np.frombuffer(block, np.uint8)
    feeds = np.flatnonzero(text == _LF)
    end = b"\n"
    ends = feeds
    if b"\r" in block:
        ends = feeds - 1
        if block.count(b"\r") != len(feeds) or not len(feeds) or ends[0] < 0 or not (text[ends] == _CR).all():
            return None
        end = b"\r\n"
    if b'"' in block and not _quotes_stand_around_cells(text, feeds, ord(sep)):
        return None
    if len(text) and text[-1] != _LF:
        ends = np.append(ends, len(text))
    return PlainLines(ends, end)


def pieces(block: Text) -> Iterator[bytes]:
    """Cut a block at ends of lines."""
    start = 0
    while start < len(block):
        end = block.find(b"\n", start + _PIECE) + 1 or len(block)
        yield bytes(block[start:end])
        start = end


def _quotes_stand_around_cells(text: npt.NDArray[np.uint8], feeds: npt.NDArray[np.intp], sep: int) -> bool:
    quotes = np.flatnonzero(text == _QUOTE)
    opening, closing = quotes[::2], quotes[1::2]
    if len(opening) != len(closing):
        return False
    before = text[opening[1:] - 1] if opening[0] == 0 else text[opening - 1]
    after = text[closing[:-1] + 1] if closing[-1] == len(text) - 1 else text[closing + 1]
    return bool(
        ((before == sep) | (before == _LF)).all()
        and ((after == sep) | (after == _LF) | (after == _CR)).all()
        and (np.searchsorted(feeds, opening) == np.searchsorted(feeds, closing)).all()
    )


class PlainReader:
    """Reads the features of plain blocks of one table."""

    def __init__(self, layout: Layout) -> None:
        names = [str(i) for i in range(layout.width)]
        features = [names[position] for position in layout.positions]
        self._sep = layout.sep
        self._names = names
        self._width = layout.width
        self._unquoted, self._quoted = (
            pa.csv.ParseOptions(delimiter=layout.sep, quote_char=quote) for quote in (False, '"')
        )
        self._convert = pa.csv.ConvertOptions(
            include_columns=features,
            column_types=dict.fromkeys(features, pa.float64()),
            null_values=[""],
            decimal_point=layout.decimal,
            check_utf8=False,
        )

    def read(self, block: Text) -> tuple[PlainLines, FeatureMatrix] | None:
        """Read the features of a block of rows, of shape (rows, 4), NaN where a cell is empty; None if it is not plain.

        The columns of the features are contiguous in memory.
        """
        if len(block) > _MAX_BYTES:
            return None
        lines = plain_lines(block, self._sep)
        if lines is None or _has_longer_line(lines.ends, FIELD_LIMIT):
            return None
        table = self._table(block)
        if table is None or table.num_rows != len(lines.ends):  # pyarrow passes over empty lines
            return None
        features = np.empty((len(FEATURE_NAMES), len(lines.ends)))
        for values, column in zip(features, table.columns, strict=True):
            if copy_usage(column.chunk(0), values) is not None:
                return None
        return lines, features.T

    def _table(self, block: Text) -> Any:
        options = pa.csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=self._names)
        parse = self._quoted if b'"' in block else self._unquoted
        try:
            return pa.csv.read_csv(
                pa.BufferReader(pa.py_buffer(block)),
                read_options=options,
                parse_options=parse,
                convert_options=self._convert,
            )
        except pa.ArrowInvalid:  # a row of another width, or a cell that is no number
            return None


def _has_longer_line(ends: npt.NDArray[np.intp], most: int) -> bool:
    if not len(ends):
        return False
    # If a line ends in every stretch of half the length, there is no longer one; that takes a few look-ups.
    at = np.searchsorted(ends, np.arange(0, ends[-1] + most // 2, most // 2))
    return bool((at[1:] == at[:-1]).any()) and bool(np.diff(ends, prepend=0).max() > most)
