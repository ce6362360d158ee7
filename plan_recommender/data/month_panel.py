"""Months of subscribers, as a file of such months holds them: usage, the plan held, and the days of activity."""

import calendar
import csv
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

COLUMNS = ("subscriber", "month", "plan", *FEATURE_NAMES, "billed_minutes")
SHARE = "active_share"
_DATES = ("registered_on", "left_on")

Column = npt.NDArray[np.float64]


class Panel(NamedTuple):
    """Months, sorted by subscriber and time."""

    subscribers: npt.NDArray[np.int64]
    """Shape (months,): number of the subscriber, from 0, in the order of the file."""
    months: npt.NDArray[np.int64]
    """Shape (months,): calendar months since the year 0."""
    plans: npt.NDArray[np.str_]
    """Shape (months,): name of the plan held, in lower case."""
    usage: FeatureMatrix
    """Shape (months, 4), columns in the order of `FEATURE_NAMES`."""
    billed_minutes: Column
    """Shape (months,): minutes after the rounding of each call."""
    share: Column
    """Shape (months,): share of the days of the month on which the subscriber was active, above 0, at most 1."""

    @property
    def is_first(self) -> npt.NDArray[np.bool_]:
        """Whether a month is the first one of its subscriber, shape (months,)."""
        return np.concatenate([[True], self._differs])

    @property
    def is_last(self) -> npt.NDArray[np.bool_]:
        """Whether a month is the last one of its subscriber, shape (months,)."""
        return np.concatenate([self._differs, [True]])

    @property
    def _differs(self) -> npt.NDArray[np.bool_]:
        """Whether the next month is another subscriber's, shape (months - 1,)."""
        return np.not_equal(self.subscribers[1:], self.subscribers[:-1])


def month_number(text: str) -> int:
    """Turn `YYYY-MM` into calendar months since the year 0."""
    day = date.fromisoformat(f"{text}-01")
    return day.year * 12 + day.month - 1


def days_in(month: int) -> int:
    """Count the days of a month (calendar months since the year 0)."""
    return calendar.monthrange(month // 12, month % 12 + 1)[1]


def read_panel(path: Path) -> Panel:
    """Read a CSV file of months.

    The share of active days is the column `active_share`, or follows from the columns `registered_on` and `left_on`
    (dates; `left_on` may be empty).

    Raises:
        TableError: the file cannot be read, lacks a column, holds no month, or holds a cell that cannot be.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: expected a readable CSV file of months, found: {error}") from error
    if not rows:
        raise TableError(f"{path}: expected months, found none")
    missing = [name for name in COLUMNS if name not in rows[0]]
    if SHARE not in rows[0] and not set(_DATES) <= set(rows[0]):
        missing.append(f"{SHARE} (or {' and '.join(_DATES)})")
    if missing:
        raise TableError(f"{path}: expected the columns {', '.join(missing)}, found {', '.join(rows[0])}")
    codes: dict[str, int] = {}
    months, numbers = [], []
    for line, row in enumerate(rows, start=2):
        try:
            month = month_number(row["month"])
            share = float(row[SHARE]) if SHARE in row else _share(month, row["registered_on"], row["left_on"])
            values = [*(float(row[name]) for name in (*FEATURE_NAMES, "billed_minutes")), share]
            if not (np.isfinite(values).all() and min(values) >= 0 and 0 < share <= 1):
                raise ValueError("a number that cannot be")
        except (ValueError, TypeError) as error:
            raise TableError(f"{path}: line {line}: expected a month of usage, found {error}") from error
        months.append((codes.setdefault(row["subscriber"], len(codes)), month))
        numbers.append(values)
    keys, table = np.array(months), np.array(numbers)
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys, table = keys[order], table[order]
    plans = np.array([row["plan"].casefold() for row in rows])[order]
    return Panel(keys[:, 0], keys[:, 1], plans, table[:, :-2], table[:, -2], table[:, -1])


def _share(month: int, registered_on: str, left_on: str) -> float:
    """Share of the days of a month from the day of registration to the day of leaving, both included.

    A month that begins after the day of leaving counts as whole: if a file has it, the subscriber was there after all.
    """
    start, days = date(month // 12, month % 12 + 1, 1).toordinal(), days_in(month)
    first = max(date.fromisoformat(registered_on).toordinal() - start, 0)
    end = date.fromisoformat(left_on).toordinal() - start + 1 if left_on else days
    return ((min(end, days) if end > 0 else days) - first) / days
