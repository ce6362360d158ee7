"""The forecast: what the next whole month of one subscriber may cost on every plan, from the months before it.

The steps, in their order:

1. The months known are summed up (`summarise`): usage by days of activity, so that partial months count as whole ones
   in proportion to their days.
2. The level of each quantity is the subscriber's own mean, drawn towards what is usual (`level`). This is the
   credibility estimate of Bühlmann and Straub (1970), "Glaubwürdigkeit für Schadensätze".
3. How far a month may be from the level depends on the level, on the number of months known, and on how far the
   subscriber's own months were from each other (`spread`).
4. The profile holds errors of such estimates in other people's months. Each of them makes one scenario of the next
   month, and each scenario is billed exactly on every plan. All scenarios weigh the same.

Doubles are only added, subtracted, multiplied, divided, compared and rounded up, one after the other in the order that
is written here, so that another language with IEEE 754 doubles gets the same bits. What follows from the bills is
computed with whole numbers. `forecast_many.py` is the same for many subscribers at once.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.billing.bill import Biller, Whole
from plan_recommender.billing.habits import ERROR_UNITS, SCENARIOS, Habit, HabitErrors, HabitProfile
from plan_recommender.billing.tariffs import MAX_USAGE

MAX_MONTHS: Final = 36
"""Past months that count at most, the latest ones."""

COVERED: Final = 57
"""Scenarios that a 90 % interval spans, with both of its ends.

They are 89 % of all, and a few others cost exactly as much as an end. Measured on two panels by subscriber, such
intervals cover 88 to 92 % of the bills on the plan held, and 91 to 94 % on all plans; with 58 it is one point more.
"""

COVERED_AFTER_ONE: Final = 58
"""The same, where part of one month is all that is known: there a profile of another operator counts most."""

COVERED_AFTER_WHOLE: Final = 60
"""The same, where one month is known and recorded as whole: it may be the first one, and usage may begin within it.

Other months would show that, but there are none. At one of two operators such months held half the usage of later ones,
and intervals of 57 scenarios covered 77 % of the bills that followed. Only the interval is wider: a larger spread would
make the expected bill dearer, and the advice worse for whoever did use the plan all month.
"""

WHOLE: Final = 0.99
"""Share of a month's days (0 to 1) from which a month counts as whole."""

TELLING: Final = 0.5
"""Share of a month (0 to 1) from which it says how far a subscriber's months are from each other."""

FIRST_PRIOR: Final = 0.25
"""Months by which what is usual counts when the first month is compared with what the others let expect."""

FIRST_LEAST: Final = 0.05
"""What a first month counts at least (whole months)."""

SPREAD_PRIOR: Final = 4.0
"""Months by which the usual spread counts beside the subscriber's own one."""

ROOT_STEPS: Final = 8
"""Steps of Newton's method; six are enough for the numbers that occur."""

Errors = npt.NDArray[np.float64]


class Month(NamedTuple):
    """What a subscriber used in one month."""

    calls: float
    minutes: float
    messages: float
    mb_used: float
    billed_minutes: float | None = None
    """Minutes after the rounding of each call; None: not known, the biller estimates them."""
    active_share: float = 1.0
    """Share of the month's days on which the subscriber was one, more than 0 and at most 1."""


class Used(NamedTuple):
    """What counts of a month for the forecast."""

    minutes: float
    """Billed minutes."""
    messages: float
    mb_used: float
    active_share: float


class Summary(NamedTuple):
    """What the months known say, summed up. Triples are billed minutes, messages and MB."""

    totals: tuple[float, float, float]
    """Usage of all months."""
    months: float
    """Whole months that this is the usage of."""
    distances: tuple[float, float, float]
    """Sum of the distances of the telling months from their mean, each scaled to a whole month."""
    telling: int
    """Months of which at least half is known."""


class Range(NamedTuple):
    """What the next month may cost, in smallest units."""

    expected: int
    """Mean of the scenarios, rounded half up."""
    low: int
    """Lower end of the interval, which includes both ends; so does the interval of a saving."""
    high: int


class Saving(NamedTuple):
    """What the next month may cost less on one plan than on another, in smallest units.

    It is less than 0 where the month costs more.
    """

    expected: int
    """The difference of what is expected on both plans."""
    low: int
    high: int
    p_saves: float
    """Share of the scenarios in which it costs less (0 to 1); where both plans cost the same, nothing is saved."""


class Forecast:
    """The bills of the scenarios of one subscriber's next month, and what follows from them."""

    def __init__(self, totals: Whole, covered: int = COVERED) -> None:
        """Take the bills of the scenarios.

        Args:
            totals: in smallest units, shape (plans, `SCENARIOS`).
            covered: scenarios that an interval spans, with both of its ends.
        """
        self._totals = totals
        self._covered = covered
        self._expected = [_rounded_mean(total) for total in totals.sum(axis=1).tolist()]

    def ranges(self) -> list[Range]:
        """Give expectation and 90 % interval of the bill on every plan, in the order of the tariffs."""
        ranges = []
        for expected, bills in zip(self._expected, np.sort(self._totals, axis=1).tolist(), strict=True):
            ranges.append(Range(expected, *_around(expected, *_shortest(bills, self._covered))))
        return ranges

    def saving(self, held: int, advised: int) -> Saving:
        """Compare two plans, given as places in the tariffs: what the advised one costs less than the held one."""
        savings: list[int] = np.sort(self._totals[held] - self._totals[advised]).tolist()
        saves = SCENARIOS - bisect_right(savings, 0)
        expected = self._expected[held] - self._expected[advised]
        low, high = _around(expected, *_shortest(savings, self._covered))
        return Saving(expected, low, high, saves / SCENARIOS)


class Forecaster:
    """Forecasts the next month's bill of one subscriber at a time; the same months always give the same numbers."""

    def __init__(self, biller: Biller, profile: HabitProfile) -> None:
        self._biller = biller
        self._profile = profile
        self._after_one = _array(profile.errors_after_one)
        self._after_more = _array(profile.errors_after_more)

    def forecast(self, months: Sequence[Month]) -> Forecast:
        """Forecast the next whole month.

        Args:
            months: those known, at least one, the earliest first. What is used of them is at most `MAX_USAGE` each.

        Raises:
            ValueError: there is no month.
        """
        if not months:
            raise ValueError("months: expected at least one month, found none")
        billed = self._biller.minutes
        used = [
            Used(billed(calls, minutes, billed_minutes), messages, mb_used, active_share)
            for calls, minutes, messages, mb_used, billed_minutes, active_share in months
        ]
        summary = summarise(used, self._profile.usual)
        errors = self._after_one if len(months) == 1 else self._after_more
        scale = np.zeros((2, 4, 1))  # the size of a hundredth of a spread, and the level, of each quantity
        for i, habit in enumerate(self._profile.habits):
            at = level(summary, i, habit)
            scale[0, i + 1, 0] = spread(summary, i, habit, at) / ERROR_UNITS
            scale[1, i + 1, 0] = at
        usage = errors * scale[0]
        usage += scale[1]
        np.maximum(usage, 0.0, out=usage)
        np.minimum(usage, MAX_USAGE, out=usage)
        return Forecast(self._biller.totals(self._biller.billed_table(usage.T)), _covered(used))


def summarise(used: Sequence[Used], usual: tuple[float, float, float]) -> Summary:
    """Sum up the months of one subscriber.

    Usage often begins later than a registration says: first months that should be whole by it held half the usage of
    later ones at one operator. Whoever uses much less in such a month than the other months, and what is usual, let
    expect has probably begun within it. It counts with the third power of its share of what was to be expected, in the
    mean of minutes and data. Where other months are known, a subscriber who does use little loses hardly anything by
    this, because the others say so too; where none is, the forecast stays nearer to what is usual.

    Args:
        used: the months, at least one, the earliest first.
        usual: of a whole month: billed minutes, messages and MB.
    """
    minutes = messages = mb_used = months = 0.0
    for month in used[1:]:
        minutes += month[0]
        messages += month[1]
        mb_used += month[2]
        months += month[3]
    first, counts = used[0], 1.0
    if first[3] >= WHOLE:
        others = months + FIRST_PRIOR
        of_minutes = first[0] * others / (minutes + FIRST_PRIOR * usual[0])
        of_data = first[2] * others / (mb_used + FIRST_PRIOR * usual[2])
        share = (of_minutes + of_data) / 2
        if share < 1:
            counts = max(share * share * share, FIRST_LEAST)
    totals = (minutes + counts * first[0], messages + counts * first[1], mb_used + counts * first[2])
    months += counts * first[3]
    telling = [month for month in (used if counts >= TELLING else used[1:]) if month[3] >= TELLING]
    return Summary(totals, months, _distances(telling), len(telling))


def level(summary: Summary, i: int, habit: Habit) -> float:
    """Estimate quantity `i` of a whole month: the subscriber's own mean, and what is usual as `prior_months` of it."""
    return (summary.totals[i] + habit.prior_months * habit.usual) / (summary.months + habit.prior_months)


def spread(summary: Summary, i: int, habit: Habit, at: float) -> float:
    """Estimate how far quantity `i` of the next month may typically be from its estimated level `at`.

    It is the product of three factors. The first is the spread that is usual at this level. The second is how far the
    subscriber's own months were from each other, as a share of what is usual, with a prior: the distances of `n` months
    from their own mean add up to about n - 1/2 usual ones, because n √(1 - 1/n) is a little less than that. The third
    is the root of 1 + 1 / months, because the level is uncertain itself.
    """
    usual = habit.spread + habit.spread_share * at
    own = 1.0
    if summary.telling >= 2 and usual > 0:
        own = (summary.distances[i] / usual + SPREAD_PRIOR) / (summary.telling - 0.5 + SPREAD_PRIOR)
    return usual * own * _root(1 + 1 / (summary.months + habit.prior_months))


def _distances(months: list[Used]) -> tuple[float, float, float]:
    if len(months) < 2:
        return 0.0, 0.0, 0.0
    minutes = [month[0] / month[3] for month in months]
    messages = [month[1] / month[3] for month in months]
    mb_used = [month[2] / month[3] for month in months]
    return _distance(minutes), _distance(messages), _distance(mb_used)


def _distance(values: list[float]) -> float:
    """Sum up the distances from the mean, one after the other: the built-in sum rounds differently from Python 3.12."""
    total = 0.0
    for value in values:
        total += value
    mean = total / len(values)
    distance = 0.0
    for value in values:
        distance += value - mean if value > mean else mean - value
    return distance


def _root(value: float) -> float:
    """Take the square root of a number from 1 to about 100, by Newton's method, the same in every language."""
    root = (1 + value) / 2
    for _ in range(ROOT_STEPS):
        root = (root + value / root) / 2
    return root


def _rounded_mean(total: int) -> int:
    """Divide the sum of the scenarios' bills by their number, rounded half up."""
    return (2 * total + SCENARIOS) // (2 * SCENARIOS)


def _around(expected: int, low: int, high: int) -> tuple[int, int]:
    """Extend an interval to what is expected, which may lie beyond it: rare dear months count in it, and not here."""
    return min(low, expected), max(high, expected)


def _covered(used: Sequence[Used]) -> int:
    """Say how many scenarios an interval spans, by the months known."""
    if len(used) > 1:
        return COVERED
    return COVERED_AFTER_WHOLE if used[0].active_share >= WHOLE else COVERED_AFTER_ONE


def _shortest(values: list[int], covered: int) -> tuple[int, int]:
    """Find the shortest interval that spans so many of ascending values; of equally short ones the lowest.

    Many months cost exactly the fee. An interval with equal tails leaves out nothing below the fee, and so covers more
    than it says; the shortest one begins at the fee and leaves out only what is dear and rare.
    """
    low, high = values[0], values[covered - 1]
    for other_low, other_high in zip(values[1:], values[covered:], strict=False):
        if other_high - other_low < high - low:
            low, high = other_low, other_high
    return low, high


def _array(errors: HabitErrors) -> Errors:
    """Arrange errors like usage, shape (4, scenarios): the minutes are billed ones, and there are no calls to add."""
    return np.array([[0] * SCENARIOS, errors.minutes, errors.messages, errors.mb_used], dtype=np.float64)
