"""The verdict on a sample: descriptions by hand, what is judged drifted and what not, and no verdict on too little."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from plan_recommender.config.settings import DriftSettings
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.data.synthesis import generate
from plan_recommender.drift.reference import profile
from plan_recommender.drift.report import DriftReport
from plan_recommender.drift.verdict import Sample, compare
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import Values
from tools.server import ROOT

SMALL = DriftSettings(min_rows=4)
PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)
CALLS, MINUTES, MESSAGES, MB_USED = range(4)


def column(*values: float) -> Values:
    return np.array(values, dtype=np.float64)[:, None]


def one(reference: Values, current: Values, config: DriftSettings = SMALL) -> DriftReport:
    return compare(profile(reference, ["calls"], config), Sample(current), config)


def month(rows: int, seed: int) -> Values:
    return np.concatenate([chunk.features for chunk in generate(rows, seed)])


def judge(current: Values, config: DriftSettings | None = None) -> DriftReport:
    config = config or DriftSettings()
    return compare(profile(month(3214, 1), list(FEATURE_NAMES), config), Sample(current), config)


def test_statistics_of_a_feature_are_what_a_hand_computes() -> None:
    (found,) = one(column(1, 2, 3, 4), column(3, 4, 5, 6, 7)).features
    assert found.ks_statistic == pytest.approx(0.6)  # at 4: 4/4 against 2/5
    assert (found.reference_n, found.current_n) == (4, 5)
    assert (found.reference_mean, found.current_mean, found.reference_median, found.current_median) == (2.5, 5, 2.5, 5)
    assert found.above_old_percentile == 0.8  # the 95th percentile of 1 to 4 is 3.85
    assert found.change is not None
    error = math.sqrt(1.25 / 4 + 2 / 5)
    assert found.change == pytest.approx((2.5 - 2.5758293 * error, 2.5 + 2.5758293 * error))


@PROPERTY
@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=60), st.lists(st.floats(0, 1e6), min_size=4, max_size=60))
def test_statistic_and_p_value_are_scipys(before: list[float], after: list[float]) -> None:
    (found,) = one(column(*before), column(*after)).features
    expected = ks_2samp(before, after, method="asymp")
    assert (found.ks_statistic, found.ks_p_value) == (expected.statistic, expected.pvalue)


@PROPERTY
@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=60))
def test_a_sample_has_not_drifted_from_itself_in_any_order(values: list[float]) -> None:
    report = one(column(*values), column(*values[::-1]))
    (found,) = report.features
    assert (report.verdict, found.finding, found.p_value) == ("no drift", "no drift", 1)
    assert (found.psi, found.gap, found.phi, found.ks_statistic, found.ks_p_value) == (0, 0, 0, 0, 1)


def test_as_many_other_rows_of_the_same_world_are_no_drift() -> None:
    report = judge(month(5000, 2))
    assert (report.verdict, report.drifted) == ("no drift", [])
    assert {feature.finding for feature in report.features} == {"no drift"}
    assert {pair.finding for pair in report.pairs} == {"no drift"}


def test_five_percent_more_data_is_found_by_how_much() -> None:
    current = month(5000, 2)
    current[:, MB_USED] *= 1.05
    report = judge(current)
    assert (report.verdict, report.drifted) == ("drift", ["mb_used"])
    found = report.features[MB_USED]
    assert found.change is not None
    true = 0.05 / 1.05 * current[:, MB_USED].mean()
    assert found.change[0] < true < found.change[1]
    assert found.reasons == [f"gap {found.gap:.3f}, phi {found.phi:.3f} with p {found.p_value:.2g}"]


@pytest.mark.parametrize(("factor", "gap"), [(1.03, "0.05"), (1.3, "0.44")])
def test_the_setting_says_what_a_gap_means_on_the_shipped_table(factor: float, gap: str) -> None:
    shipped = read_labelled(ROOT / "users_behavior.csv").features
    reference = profile(shipped, list(FEATURE_NAMES), DriftSettings())
    found = compare(reference, Sample(shipped * [1, 1, 1, factor]), DriftSettings()).features[MB_USED]
    assert f"{found.gap:.2f}" == gap
    description = DriftSettings.model_fields["smallest_gap"].description
    assert description is not None
    assert re.search(rf"\b{(factor - 1) * 100:.0f} percent more .*make it {gap}\b", description)


def test_minutes_cut_loose_from_calls_are_found_though_no_feature_changes_by_itself() -> None:
    current = month(5000, 2)
    loose = np.random.default_rng(0).permutation(len(current))[:1000]
    current[loose, MINUTES] = current[loose[::-1], MINUTES]
    report = judge(current)
    assert (report.verdict, report.drifted) == ("drift", ["calls and minutes"])
    pair = report.pairs[0]
    assert pair.reference_association > pair.current_association + 0.1
    assert pair.finding == "drift"
    assert pair.p_value < 1e-9


def test_a_small_difference_in_a_huge_sample_is_not_relevant() -> None:
    rng = np.random.default_rng(0)
    before, now = (rng.normal(100, 1, (400_000, 1)) + shift for shift in (0, 0.02))
    report = one(before, now, DriftSettings())
    (found,) = report.features
    assert (report.verdict, report.drifted, found.finding) == ("no drift", [], "no relevant drift")
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert f"but gap {found.gap:.3f}" in found.reasons[0]
    assert "below what matters (0.05 and 0.1)" in found.reasons[0]
    assert one(before, now, DriftSettings(smallest_gap=0.01)).verdict == "drift"


def test_missing_values_are_left_out_and_their_share_is_watched() -> None:
    nan = math.nan
    reference = column(1, 2, 3, 4, 5, 6, 7, 8, 9, nan)
    report = one(reference, column(1, 2, 3, 4, 5, 6, 7, 8, 9, nan))
    (found,) = report.features
    assert (found.reference_n, found.current_n, found.psi, report.verdict) == (9, 9, 0, "no drift")
    assert (found.reference_missing_share, found.current_missing_share) == pytest.approx((0.1, 0.1))
    report = one(reference, column(1, 2, 3, 4, 5, 6, 7, 8, 9, *[nan] * 3))
    assert report.features[0].current_missing_share == pytest.approx(0.25)
    assert (report.verdict, report.features[0].reasons) == ("drift", ["empty cells 10.0% → 25.0% (threshold 10%)"])


@pytest.mark.parametrize(("before", "after", "which"), [(3, 4, "reference"), (4, 3, "current"), (4, 0, "current")])
def test_too_few_values_are_no_verdict(before: int, after: int, which: str) -> None:
    with pytest.raises(TableError) as caught:
        one(column(*range(before)), column(*range(after)))
    assert str(caught.value) == (
        f"feature 'calls': expected at least 4 values in the {which} sample (drift.min_rows), "
        f"found {min(before, after)}; collect more before asking for a verdict"
    )


def test_rows_of_few_subscribers_are_too_few_rows() -> None:
    config = DriftSettings()
    reference = profile(month(3214, 1), list(FEATURE_NAMES), config)
    rows = np.repeat(month(200, 2), 5, axis=0)
    assert compare(reference, Sample(rows), config).current_subscribers is None
    with pytest.raises(TableError) as caught:
        compare(reference, Sample(rows, np.repeat(np.arange(200), 5)), config)
    assert str(caught.value) == (
        "feature 'calls': expected at least 2,500 values in the current sample (drift.min_rows times their design "
        "effect of 5.0), found 1,000; collect more before asking for a verdict"
    )
    with pytest.raises(TableError, match="expected rows of at least 30 subscribers in the current sample, found 1;"):
        compare(reference, Sample(month(3000, 2), np.zeros(3000, dtype=np.int64)), config)


def test_the_feature_that_needs_the_most_rows_is_named_for_both_samples() -> None:
    rows, whose = month(400, 2), np.arange(400)
    rows[200:, MESSAGES], whose[200:] = rows[:200, MESSAGES], whose[:200]  # of messages alone both months are alike
    reference = profile(month(450, 1), list(FEATURE_NAMES), DriftSettings())
    with pytest.raises(TableError) as caught:
        compare(reference, Sample(rows, whose), DriftSettings())
    before, now, _ = str(caught.value).split("; ")
    assert before.startswith("feature 'calls': expected at least 500 values in the reference sample (drift.min_rows)")
    assert now.startswith("feature 'messages': expected at least 1,00")  # twice 500
    assert "values in the current sample (drift.min_rows times their design effect of 2.0), found 400" in now


def test_repeated_rows_of_subscribers_are_a_drift_only_where_nobody_says_whose_they_are() -> None:
    config = DriftSettings(min_rows=1)
    reference = profile(month(3214, 1), list(FEATURE_NAMES), config)
    rows, whose = np.repeat(month(150, 3), 60, axis=0), np.repeat(np.arange(150), 60)
    assert compare(reference, Sample(rows), config).verdict == "drift"
    report = compare(reference, Sample(rows, whose), config)
    assert (report.verdict, report.current_subscribers) == ("no drift", 150)
    assert [feature.design_effect for feature in report.features] == pytest.approx([60] * 4)
