"""The forecast of `forecast.py` for many subscribers at once, with the same bits and the same whole numbers.

Every operation on doubles happens to each subscriber in the order in which `forecast.py` has it: sums go from place to
place of the months, because a sum by NumPy adds in another order. A subscriber who has no month at a place adds 0.0
there, which changes no bit of a sum that is not negative.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.billing import forecast
from plan_recommender.billing.bill import Biller, Whole
from plan_recommender.billing.habits import ERROR_UNITS, SCENARIOS, Habit, HabitProfile
from plan_recommender.billing.many_months import Doubles, ManyMonths
from plan_recommender.billing.tariffs import MAX_USAGE

_AT_ONCE: Final = 256
"""Subscribers whose scenarios are billed at once: they stay in the processor's cache."""


class ManyRanges(NamedTuple):
    """`forecast.Range` of many subscribers on every plan, each of shape (plans, subscribers)."""

    expected: Whole
    low: Whole
    high: Whole


class ManySavings(NamedTuple):
    """`forecast.Saving` of many subscribers, each of shape (subscribers,)."""

    expected: Whole
    low: Whole
    high: Whole
    p_saves: Doubles


class ManyForecasts:
    """The bills of the scenarios of some subscribers' next months, and what follows from them."""

    def __init__(self, totals: Whole, covered: npt.NDArray[np.int64]) -> None:
        """Take the bills.

        Args:
            totals: in smallest units, shape (plans, subscribers, `SCENARIOS`).
            covered: scenarios that an interval of each subscriber spans, shape (subscribers,).
        """
        self._totals = totals
        self._covered = covered
        self.expected: Whole = (2 * totals.sum(axis=2) + SCENARIOS) // (2 * SCENARIOS)
        """Mean of the scenarios on every plan, rounded half up, shape (plans, subscribers)."""

    def ranges(self) -> ManyRanges:
        """Give what `Forecast.ranges` gives."""
        low, high = self._around(self.expected, np.sort(self._totals, axis=2))
        return ManyRanges(self.expected, low, high)

    def savings(self, held: Whole, advised: Whole) -> ManySavings:
        """Give what `Forecast.saving` gives, for one pair of plans of each subscriber, shape (subscribers,)."""
        each = np.arange(len(held))
        savings = self._totals[held, each] - self._totals[advised, each]
        expected = self.expected[held, each] - self.expected[advised, each]
        saves = np.count_nonzero(savings > 0, axis=1)
        savings.sort(axis=1)
        low, high = self._around(expected[None], savings[None])
        return ManySavings(expected, low[0], high[0], saves / SCENARIOS)

    def _around(self, expected: Whole, values: Whole) -> tuple[Whole, Whole]:
        """Find the shortest intervals of ascending values, shape (any, subscribers, scenarios), around the expected."""
        low, high = np.empty_like(expected), np.empty_like(expected)
        for covered in np.unique(self._covered).tolist():
            those = self._covered == covered
            of_those = values if those.all() else values[:, those]
            lows, highs = of_those[:, :, : SCENARIOS - covered + 1], of_those[:, :, covered - 1 :]
            shortest = np.argmin(highs - lows, axis=2)[:, :, None]  # of equally short ones the lowest
            low[:, those] = np.take_along_axis(lows, shortest, 2)[:, :, 0]
            high[:, those] = np.take_along_axis(highs, shortest, 2)[:, :, 0]
        return np.minimum(low, expected), np.maximum(high, expected)


class ManyForecaster:
    """Forecasts the next month's bills of many subscribers; see `forecast.Forecaster`."""

    at_once: Final = _AT_ONCE
    """Subscribers for whom a forecast is fastest."""

    def __init__(self, biller: Biller, profile: HabitProfile) -> None:
        self._biller = biller
        self._profile = profile
        columns = [
            np.array([errors.minutes, errors.messages, errors.mb_used], dtype=np.float64)
            for errors in (profile.errors_after_one, profile.errors_after_more)
        ]
        self._errors = np.stack(columns)  # shape (after one or more, quantities, scenarios)

    def forecast(self, months: ManyMonths) -> ManyForecasts:
        """Forecast the next whole month of every subscriber."""
        counts = months.counts
        usage = np.stack([months.calls, months.minutes, months.messages, months.mb_used])
        minutes = self._biller.billed_table(usage.T, months.billed_minutes)[0].astype(np.float64)
        padded = _padded([minutes, months.messages, months.mb_used, months.active_share], months.ends, counts)
        summary = _summarise(padded, counts, self._profile.usual)
        subscribers = len(counts)
        scenarios = np.zeros((4, subscribers, SCENARIOS))  # in the order of usage; the minutes are billed, so no calls
        errors = self._errors[(counts > 1).astype(np.intp)]
        for i, habit in enumerate(self._profile.habits):
            at = (summary.totals[i] + habit.prior_months * habit.usual) / (summary.months + habit.prior_months)
            size = _spread(summary, i, habit, at) / ERROR_UNITS
            np.multiply(errors[:, i], size[:, None], out=scenarios[i + 1])
            scenarios[i + 1] += at[:, None]
        np.maximum(scenarios, 0.0, out=scenarios)
        np.minimum(scenarios, MAX_USAGE, out=scenarios)
        totals = self._biller.totals(self._biller.billed_table(scenarios.reshape(4, -1).T))
        return ManyForecasts(totals.reshape(-1, subscribers, SCENARIOS), _covered(padded.active_share[0], counts))


class _Padded(NamedTuple):
    """Months place by place, each of shape (places, subscribers), with 0.0 where a subscriber has none."""

    minutes: Doubles
    """Billed minutes."""
    messages: Doubles
    mb_used: Doubles
    active_share: Doubles


class _Summary(NamedTuple):
    """`forecast.Summary` of many subscribers; arrays of shape (subscribers,)."""

    totals: tuple[Doubles, Doubles, Doubles]
    months: Doubles
    distances: tuple[Doubles, Doubles, Doubles]
    telling: npt.NDArray[np.int64]


def _padded(columns: list[Doubles], ends: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> _Padded:
    subscriber = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(columns[0])) - np.repeat(ends - counts, counts)
    padded = np.zeros((len(columns), int(counts.max()), len(counts)))
    for into, column in zip(padded, columns, strict=True):
        into[place, subscriber] = column
    return _Padded(*padded)


def _summarise(used: _Padded, counts: npt.NDArray[np.int64], usual: tuple[float, float, float]) -> _Summary:
    """Sum up the months, as `forecast.summarise` does for one subscriber."""
    quantities = (used.minutes, used.messages, used.mb_used)
    minutes, messages, mb_used, months = (_sum(column[1:]) for column in used)
    others = months + forecast.FIRST_PRIOR
    of_minutes = used.minutes[0] * others / (minutes + forecast.FIRST_PRIOR * usual[0])
    of_data = used.mb_used[0] * others / (mb_used + forecast.FIRST_PRIOR * usual[2])
    share = (of_minutes + of_data) / 2
    begun = (used.active_share[0] >= forecast.WHOLE) & (share < 1)
    first = np.where(begun, np.maximum(share * share * share, forecast.FIRST_LEAST), 1.0)
    totals = (
        minutes + first * used.minutes[0],
        messages + first * used.messages[0],
        mb_used + first * used.mb_used[0],
    )
    tells = used.active_share >= forecast.TELLING  # a place without a month has the share 0.0
    tells[0] &= first >= forecast.TELLING
    telling = np.count_nonzero(tells, axis=0)
    shares = np.where(tells, used.active_share, 1.0)
    several = telling >= 2
    one, two, three = (
        np.where(several, _distance(np.where(tells, column / shares, 0.0), tells, telling), 0.0)
        for column in quantities
    )
    return _Summary(totals, months + first * used.active_share[0], (one, two, three), telling)


def _spread(summary: _Summary, i: int, habit: Habit, at: Doubles) -> Doubles:
    """Estimate how far a month may be from the level, as `forecast.spread` does for one subscriber."""
    usual = habit.spread + habit.spread_share * at
    known = (summary.telling >= 2) & (usual > 0)
    times_usual = summary.distances[i] / np.where(known, usual, 1.0)
    own = (times_usual + forecast.SPREAD_PRIOR) / (summary.telling - 0.5 + forecast.SPREAD_PRIOR)
    value = 1 + 1 / (summary.months + habit.prior_months)
    root = (1 + value) / 2
    for _ in range(forecast.ROOT_STEPS):
        root = (root + value / root) / 2
    return usual * np.where(known, own, 1.0) * root


def _sum(places: Doubles) -> Doubles:
    """Add up, one place after the other, shape (places, subscribers)."""
    total = np.zeros(places.shape[1])
    for values in places:
        total += values
    return total


def _distance(values: Doubles, tells: npt.NDArray[np.bool_], telling: npt.NDArray[np.int64]) -> Doubles:
    """Sum up the distances of the telling months from their mean."""
    mean = _sum(values) / np.maximum(telling, 1)
    return _sum(np.where(tells, np.abs(values - mean), 0.0))


def _covered(first_share: Doubles, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Say how many scenarios an interval spans, by the months known."""
    one = np.where(first_share >= forecast.WHOLE, forecast.COVERED_AFTER_WHOLE, forecast.COVERED_AFTER_ONE)
    return np.where(counts > 1, forecast.COVERED, one)
