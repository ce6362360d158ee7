"""The cells of a table as text: the numbers that they hold, and how an error repeats them."""

import math
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

DECIMAL_REMEDY = "; if the comma is the decimal sign, pass --decimal ','"
"""The end of an error about cells of which one has a decimal comma, in a table read without that option."""

_EXPECTED_USAGE = {
    ".": "expected a finite number that is not negative, or an empty cell",
    ",": "expected a finite number with a decimal comma that is not negative, or an empty cell",
}
_CELL_SHOWN = 40  # characters of a cell that an error repeats
_DECIMAL_COMMA = re.compile(r"\s*[0-9]+,[0-9]+\s*")

Row = list[str]


def parse_usage(cells: Sequence[str], decimal: str = ".") -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Turn the cells of one feature into numbers.

    A cell is accepted if it is empty, blank or a finite number of at least 0. A number is written in ASCII without `_`:
    Python's float() also reads 1_000 and the digits of other scripts, which other programs do not.

    Args:
        cells: the text of each.
        decimal: `.` or `,`; with a comma, a number with a point is not accepted, because it could mean thousands.

    Returns:
        The values, shape (cells,), NaN where a cell is empty or blank; and a mask, shape (cells,), of the cells that
        are not accepted, whose values mean nothing.
    """
    if decimal == ",":
        # `_` makes a point as wrong as it is in 1_000, and only such cells have to be looked at one by one.
        cells = [cell.replace(".", "_").replace(",", ".") for cell in cells]
    try:
        values = np.array([float(cell) if cell else math.nan for cell in cells])
    except ValueError:
        values = np.array([_number(cell) for cell in cells])
    suspicious = ~(values >= 0) | np.isinf(values)
    text = "".join(cells)
    if "_" in text or not text.isascii():
        suspicious |= np.array(["_" in cell or not cell.isascii() for cell in cells])
    for i in np.flatnonzero(suspicious).tolist():
        if not cells[i].strip():
            values[i] = math.nan
            suspicious[i] = False
    return values, suspicious


def expected_usage(decimal: str = ".") -> str:
    """Say what an error expects of a cell that `parse_usage` does not accept."""
    return _EXPECTED_USAGE[decimal]


def has_decimal_comma(cell: str) -> bool:
    """Whether a cell is a number with a decimal comma; it could also be one with a comma for the thousands."""
    return _DECIMAL_COMMA.fullmatch(cell) is not None


def shortened(cell: str) -> str:
    """Quote a cell for an error; of one with more than 40 characters only the beginning, and then its length."""
    return repr(cell) if len(cell) <= _CELL_SHOWN else f"{cell[:_CELL_SHOWN]!r}… ({len(cell):,} characters)"


def readable(name: str) -> str:
    """Give a name unchanged, or `shortened` if it has more than 40 characters or some that cannot be printed."""
    return name if name.isprintable() and len(name) <= _CELL_SHOWN else shortened(name)


def wrong_width(row: Row, width: int) -> str:
    """Say that a row has more or fewer cells than the header, and what is in those beyond."""
    beyond = f"; beyond them: {', '.join(map(repr, row[width:]))}" if len(row) > width else ""
    return f"expected {width} cells, found {len(row)}{beyond}"


def fitted(row: Row, width: int) -> Row:
    """Give a row as many cells as the header has: cells beyond are dropped, and missing ones are empty."""
    return (row + [""] * width)[:width]


def _number(cell: str) -> float:
    """Read a number; NaN for anything that Python's float() does not read."""
    try:
        return float(cell)
    except ValueError:
        return math.nan
