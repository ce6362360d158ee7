"""What predict.py did on 2026-11-29, row by row: the reference that the files of every later version are held against.

This is its code of commit 4806f16 (predict.py, and of plan_recommender/data/ cells.py, csv_file.py and
table_output.py), reduced to text without options of columns. It shares no code with what it judges but the bins and
tables of one row, `Scorer.recommend`, and `recognise`.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plan_recommender.model.scorer import Scorer

FEATURES = ("calls", "minutes", "messages", "mb_used")
NEW = ["pred_is_ultra", "proba_is_ultra"]
UNREADABLE = (csv.Error, OSError, EOFError)
Row = list[str]

_SEPARATOR_LINE = re.compile(r"(?i:sep)=[^\w\s]|(?i:sep)=\t")


class ReferenceError(Exception):
    """The file is refused; the message is what the command says behind the path."""


@dataclass
class Scored:
    """What the command writes: the cells of every row of both files, with their headers."""

    output: list[Row]
    rejects: list[Row]
    rows: int = 0
    ultra: int = 0
    missing: list[int] = field(default_factory=lambda: [0] * 4)


def score(content: bytes, scorer: Scorer, sep: str = ",", decimal: str = ".") -> Scored:
    """Score the text of a file.

    Raises:
        ReferenceError: the file is refused.
    """
    header, rows = _read(content, sep)
    found = [name.strip() for name in header]
    positions = [found.index(name) for name in FEATURES]  # a ValueError: there is no such column
    scored = Scored([[*header, *NEW]], [["row", "reason", *header]])
    for row in _accepted(rows):
        scored.rows += 1
        values, reason = _judge(row, header, positions, decimal)
        if reason:
            fitted_row = fitted(row, len(header))
            scored.rejects.append([str(scored.rows), reason, *fitted_row])
            continue
        decision, probability = scorer.recommend(*values)
        scored.output.append([*row, str(decision), str(probability).replace(".", decimal)])
        scored.ultra += decision
        scored.missing = [n + int(value != value) for n, value in zip(scored.missing, values, strict=True)]
    if not scored.rows:
        raise ReferenceError("expected at least one row after the header, found none")
    return scored


def _read(content: bytes, sep: str) -> tuple[Row, Iterator[Row]]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text, delimiter=sep)
    try:
        header = next(filter(None, rows), None)
        if header and _SEPARATOR_LINE.fullmatch(sep.join(header)):
            header = next(filter(None, rows), None)
    except UNREADABLE as error:
        raise ReferenceError(f"expected CSV, found: {error}") from error
    if not header:
        raise ReferenceError("expected a header and at least one row, found an empty file")
    return header, filter(None, rows)


def _accepted(rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except UNREADABLE as error:
        raise ReferenceError(f"expected CSV, found: {error}") from error


def _judge(row: Row, header: Row, positions: list[int], decimal: str) -> tuple[list[float], str]:
    """Give the usage of a row, and why it is none."""
    if len(row) != len(header):
        return [], wrong_width(row, len(header))
    values: list[float] = []
    reasons: list[str] = []
    remedies: dict[str, None] = {}
    for position in positions:
        parsed, bad = parse_usage([row[position]], decimal)
        values.append(float(parsed[0]))
        if bad[0]:
            name = header[position].strip()
            reasons.append(f"{name}: {expected_usage(decimal)}, found {shortened(row[position])}")
            if what_helps := remedy(row[position], decimal):
                remedies[what_helps] = None
    return values, "; ".join([*reasons, *remedies])


_EXPECTED_USAGE = {
    ".": "expected a finite number that is not negative, or an empty cell",
    ",": "expected a finite number with a decimal comma that is not negative, or an empty cell",
}
_CELL_SHOWN = 40  # characters of a cell that an error repeats
_DECIMAL_COMMA = re.compile(r"\s*[0-9]+,[0-9]+\s*")
_THOUSANDS = re.compile(r"\s*[0-9]{1,3}(?:([.,' \u2019\u00a0\u202f])[0-9]{3})(?:\1[0-9]{3})*(?:([.,])[0-9]+)?\s*")
"""A number with separated thousands: the separator, and the decimal sign if there is one."""

_IF_DECIMAL = "if the comma is the decimal sign, pass --decimal ','"
_WITHOUT = "write the numbers without it (in a spreadsheet, cell format 0.00)"
_CALLED = {".": "point", ",": "comma", "'": "apostrophe", "\u2019": "apostrophe"}


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


def remedy(cell: str, decimal: str = ".") -> str:
    """Say what helps where `parse_usage` did not accept a number because of its signs; empty for any other cell.

    Numbers with separated thousands are recognised and not read, because 1.234 can be one number or another.
    """
    found = _THOUSANDS.fullmatch(cell)
    if found is None:
        return _IF_DECIMAL if decimal == "." and has_decimal_comma(cell) else ""
    separator, sign = found.groups()
    if sign == separator or (separator == decimal and sign is None and cell.count(separator) == 1):
        return ""  # no number, or one that is read
    called = _CALLED.get(separator, "blank")
    if decimal == "." and separator == "," and sign is None and cell.count(",") == 1:
        return f"{_IF_DECIMAL}; if it separates thousands, {_WITHOUT}"
    option = ""
    if sign is not None and sign != decimal:
        option = f"; {_IF_DECIMAL}" if sign == "," else "; the point is the decimal sign then: leave out --decimal ','"
    certainly = "the" if sign or separator not in ".," or cell.count(separator) > 1 else "if the"
    return f"{certainly} {called} separates thousands{':' if certainly == 'the' else ','} {_WITHOUT}{option}"


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
