"""Months of subscribers, as a file of such months holds them: usage, the plan held, and the days of activity."""

import calendar
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.data.table_file import open_table
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

COLUMNS = ("subscriber", "month", "plan", *FEATURE_NAMES, "billed_minutes")
SHARE = "active_share"

SHIPPED_MONTHS = Path(__file__).parents[2] / "subscriber_months.csv"
"""The synthetic months that are shipped."""

_REQUIRED = ("subscriber", "month", *FEATURE_NAMES)
DATES = ("registered_on", "left_on")

Column = npt.NDArray[np.float64]


class Panel(NamedTuple):
    """Months, sorted by subscriber and time."""

    subscribers: npt.NDArray[np.int64]
    """Shape (months,): number of the subscriber, from 0, in the order of the file."""
    months: npt.NDArray[np.int64]
    """Shape (months,): calendar months since the year 0."""
    plans: npt.NDArray[np.str_]
    """Shape (months,): name of the plan held, in lower case; empty where it is not known."""
    usage: FeatureMatrix
    """Shape (months, 4), columns in the order of `FEATURE_NAMES`."""
    billed_minutes: Column
    """Shape (months,): minutes after the rounding of each call, NaN where they are not known."""
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
    """Read a file of months, as text, compressed with gzip or as Parquet.

    The columns `plan` and `billed_minutes` may be missing, and `billed_minutes` may be empty. The share of active days
    is the column `active_share`, or follows from the columns `registered_on` and `left_on` (dates; `left_on` may be
    empty); without them, every month counts as whole.

    Raises:
        TableError: the file cannot be read, lacks a column, holds no month, or holds a cell that cannot be.
    """
    codes: dict[str, int] = {}
    months: list[tuple[int, int]] = []
    numbers: list[list[float]] = []
    held: list[str] = []
    with open_table(path) as table:
        table.positions(_REQUIRED)
        header = [name.strip() for name in table.header]
        for chunk in table.chunks():
            for cells in chunk.rows:
                try:
                    row = dict(zip(header, cells, strict=True))
                    month = month_number(row["month"])
                    values = [*(float(row[name]) for name in FEATURE_NAMES), _share(month, row)]
                    billed = float(row.get("billed_minutes") or "nan")
                    if not (np.isfinite(values).all() and min(values) >= 0 and 0 < values[-1] <= 1 and not billed < 0):
                        raise ValueError("a number that cannot be")
                except ValueError as error:
                    raise TableError(
                        f"{path}: row {len(months) + 1} after the header: expected a month of usage, found {error}"
                    ) from error
                months.append((codes.setdefault(row["subscriber"], len(codes)), month))
                numbers.append([*values, billed])
                held.append(row.get("plan", "").casefold())
    if not months:
        raise TableError(f"{path}: expected months, found none")
    repeated = len(months) - len(set(months))
    if repeated:
        raise TableError(f"{path}: expected each month of a subscriber once, found {repeated:,} rows with one again")
    keys, usage = np.array(months), np.array(numbers)
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys, usage = keys[order], usage[order]
    return Panel(keys[:, 0], keys[:, 1], np.array(held)[order], usage[:, :4], usage[:, 5], usage[:, 4])


def share_by_dates(month: int, registered_on: str, left_on: str) -> float:
    """Compute the share of the days of a month from the day of registration to the day of leaving, both included.

    A month that begins after the day of leaving counts as whole: if a file has it, the subscriber was there after all.
    """
    start, days = date(month // 12, month % 12 + 1, 1).toordinal(), days_in(month)
    first = max(date.fromisoformat(registered_on).toordinal() - start, 0)
    end = date.fromisoformat(left_on).toordinal() - start + 1 if left_on else days
    return ((min(end, days) if end > 0 else days) - first) / days


def _share(month: int, row: dict[str, str]) -> float:
    """Share of the days of a month on which the subscriber was active, as the row says, otherwise 1."""
    if row.get(SHARE):
        return float(row[SHARE])
    if not set(DATES) <= set(row):
        return 1.0
    return share_by_dates(month, row["registered_on"], row["left_on"])
