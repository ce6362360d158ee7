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
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.billing.bill import Biller, Whole
from plan_recommender.billing.habits import ERROR_UNITS, SCENARIOS, Habit, HabitErrors, HabitProfile

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

_REMEMBERED: Final = 1024
"""Roots that are remembered: mostly whole months are known, whose number says what root is needed."""

Errors = npt.NDArray[np.float64]

_EACH: Final = np.ones(SCENARIOS, dtype=np.int64)


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


MonthUsed = tuple[float, float, float, float, float | None, float]
"""What a `Month` holds; making a plain tuple takes less time."""


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
        self.expected: list[int] = [_rounded_mean(total) for total in totals.dot(_EACH).tolist()]
        """What the next month is expected to cost on every plan, in the order of the tariffs."""

    def ranges(self) -> list[Range]:
        """Give expectation and 90 % interval of the bill on every plan, in the order of the tariffs."""
        bills = self._totals.copy()
        bills.sort(axis=1)
        lows, highs = bills[:, : SCENARIOS - self._covered + 1].tolist(), bills[:, self._covered - 1 :].tolist()
        return [Range(*_around(*of_plan)) for of_plan in zip(self.expected, lows, highs, strict=True)]

    def saving(self, held: int, advised: int) -> Saving:
        """Compare two plans, given as places in the tariffs: what the advised one costs less than the held one."""
        differences = self._totals[held] - self._totals[advised]
        differences.sort()
        savings: list[int] = differences.tolist()
        saves = SCENARIOS - bisect_right(savings, 0)
        expected = self.expected[held] - self.expected[advised]
        lows, highs = savings[: SCENARIOS - self._covered + 1], savings[self._covered - 1 :]
        return Saving(*_around(expected, lows, highs), saves / SCENARIOS)


class Forecaster:
    """Forecasts the next month's bill of one subscriber at a time; the same months always give the same numbers."""

    def __init__(self, biller: Biller, profile: HabitProfile) -> None:
        self._biller = biller
        self._scenarios = biller.scenarios(SCENARIOS)
        self._profile = profile
        self._after_one, self._after_more = (
            np.repeat(_array(errors), self._scenarios.repeats // SCENARIOS, axis=0).ravel()
            for errors in (profile.errors_after_one, profile.errors_after_more)
        )

    def forecast(self, months: Sequence[MonthUsed]) -> Forecast:
        """Forecast the next whole month.

        Args:
            months: those known, at least one, the earliest first. What is used of them is at most `MAX_USAGE` each.

        Raises:
            ValueError: there is no month.
        """
        if not months:
            raise ValueError("months: expected at least one month, found none")
        habits = self._profile.habits
        calls, minutes, messages, mb_used, billed_minutes, shares = zip(*months, strict=True)
        billed = [*map(float, self._biller.minutes(calls, minutes, billed_minutes))]  # floats add up faster than a mix
        summary = summarise(billed, messages, mb_used, shares, self._profile.usual)
        levels = [level(summary, i, habit) for i, habit in enumerate(habits)]
        units = [spread(summary, i, habit, levels[i]) / ERROR_UNITS for i, habit in enumerate(habits)]
        repeated = np.array(units + levels).repeat(self._scenarios.repeats)
        errors = self._after_one if len(months) == 1 else self._after_more
        usage = errors * repeated[: len(errors)]
        usage += repeated[len(errors) :]
        return Forecast(self._scenarios.totals(usage), _covered(shares))


def summarise(
    minutes: Sequence[float],
    messages: Sequence[float],
    mb_used: Sequence[float],
    shares: Sequence[float],
    usual: tuple[float, float, float],
) -> Summary:
    """Sum up the months of one subscriber.

    Usage often begins later than a registration says: first months that should be whole by it held half the usage of
    later ones at one operator. Whoever uses much less in such a month than the other months, and what is usual, let
    expect has probably begun within it. It counts with the third power of its share of what was to be expected, in the
    mean of minutes and data. Where other months are known, a subscriber who does use little loses hardly anything by
    this, because the others say so too; where none is, the forecast stays nearer to what is usual.

    Args:
        minutes: billed minutes of the months, at least one, the earliest first; so are the next three.
        messages: sent.
        mb_used: data.
        shares: of the month's days on which the subscriber was active, more than 0 and at most 1.
        usual: of a whole month: billed minutes, messages and MB.
    """
    used = zip(minutes, messages, mb_used, shares, strict=True)
    first_minutes, first_messages, first_data, first_share = next(used)
    all_minutes = all_messages = all_data = months = 0.0
    for of_minutes, of_messages, of_data, share in used:
        all_minutes += of_minutes
        all_messages += of_messages
        all_data += of_data
        months += share
    counts = 1.0
    if first_share >= WHOLE:
        others = months + FIRST_PRIOR
        by_minutes = first_minutes * others / (all_minutes + FIRST_PRIOR * usual[0])
        by_data = first_data * others / (all_data + FIRST_PRIOR * usual[2])
        expected = (by_minutes + by_data) / 2
        if expected < 1:
            counts = max(expected * expected * expected, FIRST_LEAST)
    totals = (
        all_minutes + counts * first_minutes,
        all_messages + counts * first_messages,
        all_data + counts * first_data,
    )
    distances, telling = _distances((minutes, messages, mb_used), shares, 0 if counts >= TELLING else 1)
    return Summary(totals, months + counts * first_share, distances, telling)


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


def _distances(
    quantities: tuple[Sequence[float], Sequence[float], Sequence[float]], shares: Sequence[float], start: int
) -> tuple[tuple[float, float, float], int]:
    """Give `Summary.distances` and `Summary.telling` of the months from `start` on."""
    one, two, three = quantities
    if min(shares) == 1:  # of whole months there is nothing to scale
        one, two, three = one[start:], two[start:], three[start:]
    else:
        places = [i for i in range(start, len(shares)) if shares[i] >= TELLING]
        one, two, three = ([quantity[i] / shares[i] for i in places] for quantity in quantities)
    if len(one) < 2:
        return (0.0, 0.0, 0.0), len(one)
    return (_distance(one), _distance(two), _distance(three)), len(one)


def _distance(values: Sequence[float]) -> float:
    """Sum up the distances from the mean, one after the other: the built-in sum rounds differently from Python 3.12."""
    total = 0.0
    for value in values:
        total += value
    mean = total / len(values)
    distance = 0.0
    for value in values:
        distance += value - mean if value > mean else mean - value
    return distance


@lru_cache(_REMEMBERED)
def _root(value: float) -> float:
    """Take the square root of a number from 1 to about 100, by Newton's method, the same in every language."""
    root = (1 + value) / 2
    for _ in range(ROOT_STEPS):
        root = (root + value / root) / 2
    return root


def _rounded_mean(total: int) -> int:
    """Divide the sum of the scenarios' bills by their number, rounded half up."""
    return (2 * total + SCENARIOS) // (2 * SCENARIOS)


def _covered(shares: Sequence[float]) -> int:
    """Say how many scenarios an interval spans, by the months known."""
    if len(shares) > 1:
        return COVERED
    return COVERED_AFTER_WHOLE if shares[0] >= WHOLE else COVERED_AFTER_ONE


def _around(expected: int, lows: list[int], highs: list[int]) -> tuple[int, int, int]:
    """Find the shortest interval, and extend it to what is expected; `lows` and `highs` are the ends of each.

    Many months cost exactly the fee. An interval with equal tails leaves out nothing below the fee, and so covers more
    than it says; the shortest one begins at the fee and leaves out only what is dear and rare. Of equally short ones it
    is the lowest. What is expected may lie beyond it: the rare dear months count in it.
    """
    low, high = lows[0], highs[0]
    shortest = high - low
    for other_low, other_high in zip(lows, highs, strict=True):
        if other_high - other_low < shortest:
            low, high = other_low, other_high
            shortest = high - low
    return expected, low if low < expected else expected, high if high > expected else expected


def _array(errors: HabitErrors) -> Errors:
    """Arrange errors by quantity, shape (3, scenarios)."""
    return np.array([errors.minutes, errors.messages, errors.mb_used], dtype=np.float64)
