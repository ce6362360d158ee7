"""Columns of a table of months, judged at once: which rows are certainly months, and what they say.

A row that is not certain is left to `data.month_rows.MonthReader`, which reads cell by cell and says what is wrong.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.advising.arrays import binary, content, offsets
from plan_recommender.advising.month_batch import NO_PLAN, USED
from plan_recommender.billing.given_minutes import many_billed_hold
from plan_recommender.billing.tariffs import MAX_USAGE, MIN_ACTIVE_SHARE
from plan_recommender.data.months import days_in, month_number
from plan_recommender.model.features import FEATURE_NAMES

Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

_NO_MONTH: Final = -1
_NO_SUCH_PLAN: Final = -2
_NO_DATE: Final = 0
_BLANK: Final = -1
_PRINTABLE: Final = (0x21, 0x7E)
"""Bytes that are no blank and no part of one."""


class Coded(NamedTuple):
    """A column of text in which many cells are equal."""

    codes: npt.NDArray[np.int32]
    """Which of the texts each row has, shape (rows,)."""
    texts: list[str]


class Cells(NamedTuple):
    """The columns of some rows."""

    subscriber: Any
    """An Arrow array of bytes."""
    month: Coded
    plan: Coded | None
    dates: tuple[Coded, Coded] | None
    """Of the registration and of leaving, where no column has the share of active days."""
    numbers: dict[str, tuple[Doubles, Mask | None]]
    """The values of each column, NaN where a cell is empty, and a mask of the cells that are no usage."""


class Judged(NamedTuple):
    """What the rows say."""

    certain: Mask
    """Which rows are certainly months; the others' values mean nothing."""
    subscriber: Any
    months: npt.NDArray[np.int32]
    plans: npt.NDArray[np.int16]
    used: Doubles
    """Shape (6, rows), in the order of `USED`."""


def coded(texts: Iterable[str]) -> Coded:
    """Tell which cells are equal."""
    known: dict[str, int] = {}
    codes = [known.setdefault(text, len(known)) for text in texts]
    return Coded(np.array(codes, dtype=np.int32), list(known))


def judge(cells: Cells, plans: Sequence[str], *, rounds_calls: bool) -> Judged:
    """Judge rows as `MonthReader.divide` does.

    Args:
        cells: of the rows.
        plans: names of the plans, in lower case.
        rounds_calls: whether the tariffs round each call up.
    """
    subscriber, is_named = _stripped(cells.subscriber)
    months = _by_code(cells.month, [_month(text) for text in cells.month.texts], np.int32)
    certain = is_named & (months != _NO_MONTH)
    held = np.full(len(months), NO_PLAN, np.int16)
    if cells.plan is not None:
        held = _by_code(cells.plan, [_plan(text, plans) for text in cells.plan.texts], np.int16)
        certain &= held != _NO_SUCH_PLAN
    used = np.full((len(USED), len(months)), np.nan)
    for into, name in zip(used, USED, strict=True):
        if name in cells.numbers:
            values, wrong = cells.numbers[name]
            into[:] = values
            certain &= _possible(name, values)
            if wrong is not None:
                certain &= ~wrong
    if rounds_calls and "billed_minutes" in cells.numbers:
        calls, minutes, _, _, billed, _ = used
        certain &= np.isnan(billed) | many_billed_hold(calls, minutes, billed)
    if cells.dates is not None:
        used[-1] = _shares(months, *cells.dates)
        certain &= used[-1] > 0
    used[-1, np.isnan(used[-1])] = 1.0  # an empty share of days is a whole month
    return Judged(certain, subscriber, months, held, used)


def _stripped(column: Any) -> tuple[Any, Mask]:
    """Take the blanks around the cells away, and tell which are not empty then."""
    ends, text = offsets(column), content(column)
    named = ends[1:] > ends[:-1]
    edges = text[np.concatenate([ends[:-1][named], ends[1:][named] - 1])]
    if not len(edges) or (edges.min() >= _PRINTABLE[0] and edges.max() <= _PRINTABLE[1]):
        return column, named
    names = [name.decode(errors="surrogateescape").strip() for name in column.to_pylist()]
    column = binary([name.encode(errors="surrogateescape") for name in names])
    return column, np.diff(offsets(column)) > 0


def _month(text: str) -> int:
    number = month_number(text)
    return _NO_MONTH if number is None else number


def _plan(text: str, plans: Sequence[str]) -> int:
    name = text.strip().casefold()
    if not name:
        return NO_PLAN
    return plans.index(name) if name in plans else _NO_SUCH_PLAN


def _by_code(column: Coded, values: list[int], kind: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.array(values, dtype=kind)[column.codes]


def _possible(name: str, values: Doubles) -> Mask:
    """Tell which numbers a month can have in a column; NaN stands for an empty cell."""
    if name == "active_share":
        return np.isnan(values) | ((values >= MIN_ACTIVE_SHARE) & (values <= 1))
    possible: Mask = values <= MAX_USAGE
    return possible if name in FEATURE_NAMES else possible | np.isnan(values)


def _shares(months: npt.NDArray[np.int32], registered_on: Coded, left_on: Coded) -> Doubles:
    """Compute `months.share_by_dates` of every row; 0 or less where that is not possible."""
    known = np.unique(months[months != _NO_MONTH]).tolist()
    starts, days = np.zeros(len(months), np.int64), np.ones(len(months), np.int64)
    if known:
        at = np.searchsorted(known, np.maximum(months, known[0]))
        starts = np.array([date(month // 12, month % 12 + 1, 1).toordinal() for month in known])[at]
        days = np.array([days_in(month) for month in known])[at]
    registered, left = (
        _by_code(column, [_ordinal(text) for text in column.texts], np.int64) for column in (registered_on, left_on)
    )
    first = np.maximum(registered - starts, 0)
    end = np.where(left == _BLANK, days, left - starts + 1)
    shares = (np.where(end > 0, np.minimum(end, days), days) - first) / days
    shares[(registered == _NO_DATE) | (left == _NO_DATE)] = 0.0
    shares[registered == _BLANK] = 1.0
    return shares


def _ordinal(text: str) -> int:
    text = text.strip()
    if not text:
        return _BLANK
    try:
        return date.fromisoformat(text).toordinal()
    except ValueError:
        return _NO_DATE
