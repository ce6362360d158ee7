"""The months of many subscribers as arrays: what `advice_many` and `forecast_many` are asked with."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class ManyMonths(NamedTuple):
    """Months of many subscribers, one subscriber's after the other's, and each one's earliest first.

    What a `forecast.Month` holds, as columns: each of shape (months,).
    """

    calls: Doubles
    minutes: Doubles
    messages: Doubles
    mb_used: Doubles
    billed_minutes: Doubles
    """NaN where they are not known."""
    active_share: Doubles
    ends: Places
    """Where the months of each subscriber end, shape (subscribers,). Each has at least one, at most `MAX_MONTHS`."""

    @property
    def counts(self) -> Places:
        """Number of months of each subscriber, shape (subscribers,)."""
        return np.diff(self.ends, prepend=0)

    def take(self, start: int, end: int) -> "ManyMonths":
        """Give the months of the subscribers from place `start` to before place `end`."""
        first = int(self.ends[start - 1]) if start else 0
        last = int(self.ends[end - 1]) if end else 0
        (*columns, ends) = self
        taken = [column[first:last] for column in columns]
        return ManyMonths._make([*taken, ends[start:end] - first])
