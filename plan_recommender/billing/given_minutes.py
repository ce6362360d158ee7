"""Whether billed minutes that somebody gives can be true beside the calls and the call time of the same month."""

from typing import Any, Final, NamedTuple

import numpy as np

_SLACK: Final = 0.005
"""Minutes beyond a bound that are still within it: call times are written in hundredths of a minute."""


class Bounds(NamedTuple):
    """The least and the most minutes that a month can be billed; both may be."""

    low: float
    high: float

    def hold(self, billed_minutes: float) -> bool:
        """Say whether so many minutes can be billed."""
        return self.low - _SLACK <= billed_minutes <= self.high + _SLACK

    def __str__(self) -> str:
        """Write them for an error."""
        return f"from {self.low:.10g} to {self.high:.10g}"


def billed_bounds(calls: float, minutes: float) -> Bounds:
    """Give the bounds of the billed minutes where each call is rounded up to a whole minute.

    Rounding adds less than a minute to each call. An operator may also bill no minute for a call of length zero that
    its call time counts as one: so on a real panel 58 of 2,004 months are billed less than their call time, and one of
    them a whole minute less for each call. So billed minutes are within one minute for each call of the call time.
    """
    return Bounds(max(minutes - calls, 0.0), minutes + calls)


def many_billed_hold(calls: Any, minutes: Any, billed_minutes: Any) -> Any:
    """Say of arrays of equal shape, element by element, what `billed_bounds(…).hold` says."""
    low, high = np.maximum(minutes - calls, 0.0), minutes + calls
    return (low - _SLACK <= billed_minutes) & (billed_minutes <= high + _SLACK)
