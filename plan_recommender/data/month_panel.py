"""Months of subscribers, as a file of such months holds them: usage, the plan held, and the days of activity."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.config.table_format import MonthsFormat
from plan_recommender.data.month_rows import MonthReader, MonthRow
from plan_recommender.data.table_file import open_table
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

COLUMNS = ("subscriber", "month", "plan", *FEATURE_NAMES, "billed_minutes")
SHARE = "active_share"

SHIPPED_MONTHS = Path(__file__).parents[2] / "subscriber_months.csv"
"""The synthetic months that are shipped."""

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


def read_panel(path: Path, *, rounds_calls: bool = False) -> Panel:
    """Read a file of months, as text, compressed with gzip or as Parquet.

    The columns `plan` and `billed_minutes` may be missing, and `billed_minutes` may be empty. The share of active days
    is the column `active_share`, or follows from the columns `registered_on` and `left_on` (dates; `left_on` may be
    empty); without them, every month counts as whole.

    Args:
        path: of the file.
        rounds_calls: whether the tariffs round each call up, so that billed minutes have to fit the calls.

    Raises:
        TableError: the file cannot be read, lacks a column, holds no month, or holds a cell that cannot be.
    """
    codes: dict[str, int] = {}
    found: list[MonthRow] = []
    with open_table(path, MonthsFormat()) as table:
        reader = MonthReader(table, None, rounds_calls=rounds_calls)
        for chunk in table.chunks():
            divided = reader.divide(chunk.rows)
            if divided.reasons:
                position, reason = next(iter(divided.reasons.items()))
                raise TableError(f"{path}: row {len(found) + position + 1} after the header: {reason}")
            found += divided.months.values()
    if not found:
        raise TableError(f"{path}: expected months, found none")
    keys = [(codes.setdefault(row.subscriber, len(codes)), row.month) for row in found]
    repeated = len(keys) - len(set(keys))
    if repeated:
        raise TableError(f"{path}: expected each month of a subscriber once, found {repeated:,} rows with one again")
    numbers = np.array(keys)
    order = np.lexsort((numbers[:, 1], numbers[:, 0]))
    names = ["", *reader.plans]
    plans = np.array([names[0 if row.plan is None else row.plan + 1] for row in found])[order]
    # None, where billed minutes are not known, becomes NaN.
    used = np.array([row.used for row in found], dtype=np.float64)[order]
    return Panel(numbers[order, 0], numbers[order, 1], plans, used[:, :4], used[:, 4], used[:, 5])
