"""The forecast of the next bill: its steps by hand, and what has to hold whatever the months are."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from plan_recommender.billing.bill import Biller
from plan_recommender.billing.forecast import Forecast, Forecaster, Month, Summary, level, spread, summarise
from plan_recommender.billing.habits import SCENARIOS, Habit, HabitErrors, HabitProfile
from plan_recommender.billing.tariffs import MAX_USAGE, load_tariffs, shipped_tariffs

AMOUNT = st.floats(0, MAX_USAGE) | st.floats(0, 50_000)
MONTH = st.builds(
    Month, AMOUNT, AMOUNT, AMOUNT, AMOUNT, st.none() | AMOUNT, st.floats(0, 1, exclude_min=True) | st.just(1.0)
)
MONTHS = st.lists(MONTH, min_size=1, max_size=36)


@pytest.fixture(scope="module")
def profile() -> HabitProfile:
    """A profile with errors from -1.6 to 1.55 spreads, in another order for each quantity."""
    steps = [5 * (i - SCENARIOS // 2) for i in range(SCENARIOS)]
    errors = HabitErrors(minutes=steps, messages=steps[::-1], mb_used=steps[1::2] + steps[::2])
    return HabitProfile(
        subscribers=100,
        targets=1000,
        minutes=Habit(usual=400, prior_months=0.5, spread=20, spread_share=0.1),
        messages=Habit(usual=30, prior_months=0.1, spread=3, spread_share=0.2),
        mb_used=Habit(usual=16_000, prior_months=0.25, spread=1000, spread_share=0.15),
        errors_after_one=errors,
        errors_after_more=errors,
    )


@pytest.fixture(scope="module")
def forecaster(profile: HabitProfile) -> Forecaster:
    return Forecaster(Biller(load_tariffs(shipped_tariffs())), profile)


def test_months_are_summed_up_by_their_days() -> None:
    minutes, messages, mb_used = (200, 420, 380), (10, 0, 30), (8000, 17_000, 15_000)
    summary = summarise(minutes, messages, mb_used, (0.5, 1.0, 1.0), (400, 30, 16_000))
    assert summary.totals == (1000.0, 40.0, 40_000.0)
    assert summary.months == 2.5
    # Scaled to whole months: 400, 420 and 380 minutes, 20, 0 and 30 messages, 16,000, 17,000 and 15,000 MB.
    assert summary.distances == pytest.approx((40, 100 / 3, 2000), rel=1e-15)
    assert summary.telling == 3


def test_a_first_month_with_little_usage_counts_less() -> None:
    usual = (400.0, 30.0, 16_000.0)
    alike = summarise((400, 400), (30, 30), (16_000, 16_000), (1.0, 1.0), usual)
    assert alike.months == 2
    half = summarise((200, 400), (30, 30), (8000, 16_000), (1.0, 1.0), usual)
    # Minutes and data are half of what the other month and a quarter of a usual one let expect.
    assert half.months == 1 + 0.5**3
    assert half.totals == (400 + 200 / 8, 30 + 30 / 8, 16_000 + 8000 / 8)
    assert half.telling == 1
    recorded = summarise((200, 400), (30, 30), (8000, 16_000), (0.5, 1.0), usual)  # its share says the same
    assert recorded.months == 1.5
    other = summarise((400, 200), (30, 30), (16_000, 8000), (1.0, 1.0), usual)  # only the first month is meant
    assert other.months == 2


def test_a_level_is_drawn_towards_what_is_usual() -> None:
    habit = Habit(usual=400, prior_months=0.5, spread=20, spread_share=0.1)
    summary = Summary((1200.0, 0.0, 0.0), 2.0, (0.0, 0.0, 0.0), 0)
    assert level(summary, 0, habit) == (1200 + 0.5 * 400) / 2.5 == 560


def test_a_spread_follows_level_own_distances_and_months() -> None:
    habit = Habit(usual=400, prior_months=0.5, spread=20, spread_share=0.1)
    unknown = Summary((0.0, 0.0, 0.0), 0.5, (0.0, 0.0, 0.0), 0)
    assert spread(unknown, 0, habit, 500) == pytest.approx(70 * math.sqrt(2), rel=1e-15)
    even = Summary((0.0, 0.0, 0.0), 3.5, (0.0, 0.0, 0.0), 4)  # four months that are alike
    assert spread(even, 0, habit, 500) == pytest.approx(70 * (4 / 7.5) * math.sqrt(1.25), rel=1e-15)
    uneven = Summary((0.0, 0.0, 0.0), 3.5, (1050.0, 0.0, 0.0), 4)  # 15 usual spreads
    assert spread(uneven, 0, habit, 500) == pytest.approx(70 * (19 / 7.5) * math.sqrt(1.25), rel=1e-15)


def test_a_forecast_is_the_bills_of_its_scenarios(forecaster: Forecaster, profile: HabitProfile) -> None:
    months = [Month(60, 400, 30, 16_000, 430), Month(60, 400, 30, 16_000, 430), Month(60, 400, 30, 16_000, 430)]
    smart = smart_by_hand(summarise([430] * 3, [30] * 3, [16_000] * 3, [1.0] * 3, profile.usual), profile)
    assert len(set(smart)) > 5, "the scenarios differ"
    forecast = forecaster.forecast(months)
    found = forecast.ranges()
    assert found[0].expected == math.floor(Fraction(sum(smart), SCENARIOS) + Fraction(1, 2))
    assert (found[0].low, found[0].high) == around(found[0].expected, smart)
    assert found[1] == (195_000, 195_000, 195_000)
    saving = forecast.saving(1, 0)
    assert saving.expected == 195_000 - found[0].expected
    assert (saving.low, saving.high) == around(saving.expected, [195_000 - bill for bill in smart])
    assert saving.p_saves == sum(bill < 195_000 for bill in smart) / SCENARIOS


@given(st.lists(st.integers(0, 2000), min_size=SCENARIOS, max_size=SCENARIOS), st.sampled_from([57, 58, 60]))
@settings(max_examples=200, deadline=None)
def test_an_interval_is_the_shortest_with_so_many_scenarios_and_of_equal_ones_the_lowest(
    bills: list[int], covered: int
) -> None:
    (found,) = Forecast(np.array([bills]), covered).ranges()
    assert found.expected == math.floor(Fraction(sum(bills), SCENARIOS) + Fraction(1, 2))
    assert (found.low, found.high) == around(found.expected, bills, covered)


@pytest.mark.parametrize(
    ("shares", "covered"),
    [([0.5], 58), ([0.98], 58), ([0.99], 60), ([1.0], 60), ([1.0, 1.0], 57), ([0.5, 1.0], 57), ([1.0] * 12, 57)],
)
def test_after_one_month_an_interval_spans_more_scenarios_and_most_where_it_is_recorded_as_whole(
    forecaster: Forecaster, profile: HabitProfile, shares: list[float], covered: int
) -> None:
    months = [Month(60, 900, 10, 1000, 930, share) for share in shares]
    count = len(shares)
    summary = summarise([930] * count, [10] * count, [1000] * count, shares, profile.usual)
    smart = smart_by_hand(summary, profile)
    forecast = forecaster.forecast(months)
    found = forecast.ranges()[0]
    assert (found.low, found.high) == around(found.expected, smart, covered)
    assert len({around(found.expected, smart, other) for other in (57, 58, 60)}) == 3, "the numbers differ"
    saving = forecast.saving(1, 0)
    assert (saving.low, saving.high) == around(saving.expected, [195_000 - bill for bill in smart], covered)


def test_bills_that_are_mostly_the_fee_are_told_as_the_fee() -> None:
    assert Forecast(np.array([[550] * 64])).ranges() == [(550, 550, 550)]
    # What is expected, 615.625, counts the rare dear months, and is within the interval.
    assert Forecast(np.array([[550] * 57 + [1150] * 7])).ranges() == [(616, 550, 616)]
    assert Forecast(np.array([[550] * 56 + [750] + [1150] * 7])).ranges() == [(619, 550, 750)]


@given(MONTHS)
@settings(max_examples=300, deadline=None)
def test_whatever_the_months_the_forecast_is_finite_exact_and_within_bounds(
    forecaster: Forecaster, months: list[Month]
) -> None:
    forecast = forecaster.forecast(months)
    ranges = forecast.ranges()
    fees = (55_000, 195_000)
    for fee, outlook in zip(fees, ranges, strict=True):
        assert fee <= outlook.low <= outlook.high < 10**15
        assert fee <= outlook.expected < 10**15
    there, back = forecast.saving(0, 1), forecast.saving(1, 0)
    assert there.expected == -back.expected == ranges[0].expected - ranges[1].expected
    assert 0 <= there.p_saves + back.p_saves <= 1
    again = forecaster.forecast(months)
    assert again.ranges() == ranges


@given(MONTH.filter(lambda month: month.active_share == 1), st.integers(2, 12))
@settings(max_examples=100, deadline=None)
def test_more_months_alike_never_widen_a_spread(profile: HabitProfile, month: Month, count: int) -> None:
    habit = profile.mb_used
    widths = []
    for n in range(2, count + 2):
        summary = summarise([month.minutes] * n, [month.messages] * n, [month.mb_used] * n, [1.0] * n, profile.usual)
        widths.append(spread(summary, 2, habit, 20_000.0))
    assert all(after <= before for before, after in pairwise(widths))


def test_no_month_is_no_forecast(forecaster: Forecaster) -> None:
    with pytest.raises(ValueError, match="expected at least one month, found none"):
        forecaster.forecast([])


def test_a_profile_of_nobody_is_refused(profile: HabitProfile) -> None:
    document = profile.model_dump()
    assert HabitProfile.model_validate(document) == profile
    for change in (
        {"minutes": document["minutes"] | {"usual": 0.0}},
        {"errors_after_one": document["errors_after_one"] | {"minutes": [0]}},
        {"schema_version": 2},
        {"names": ["somebody"]},
    ):
        with pytest.raises(ValidationError):
            HabitProfile.model_validate(document | change)


def smart_by_hand(summary: Summary, profile: HabitProfile) -> list[int]:
    """The bills of the scenarios on Smart; after one month and after more, the errors of this profile are the same."""
    usage = []
    for i, (habit, errors) in enumerate(zip(profile.habits, vars(profile.errors_after_more).values(), strict=True)):
        at = level(summary, i, habit)
        usage.append([max(0.0, at + error / 100 * spread(summary, i, habit, at)) for error in errors])
    return [
        55_000
        + 300 * max(0, math.ceil(minutes) - 500)
        + 300 * max(0, math.ceil(messages) - 50)
        + 20_000 * max(0, math.ceil(math.ceil(mb_used) / 1024) - 15)
        for minutes, messages, mb_used in zip(*usage, strict=True)
    ]


def around(expected: int, values: list[int], covered: int = 57) -> tuple[int, int]:
    """The shortest interval that holds so many values, of equal ones the lowest, extended to what is expected."""
    ordered = sorted(values)
    candidates = [(high - low, low, high) for low, high in zip(ordered, ordered[covered - 1 :], strict=False)]
    _, low, high = min(candidates)
    return min(low, expected), max(high, expected)
