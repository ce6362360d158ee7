"""Profile and verdict: exact numbers on small samples, what each threshold decides, and no verdict on too little."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from plan_recommender.config.settings import DriftSettings
from plan_recommender.drift.reference import profile
from plan_recommender.drift.verdict import compare
from plan_recommender.errors import TableError
from plan_recommender.model.profile import Values, population_stability_index

SMALL = DriftSettings(bins=4, min_rows=4)
PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)


def column(*values: float) -> Values:
    return np.array(values, dtype=np.float64)[:, None]


def one(reference: Values, current: Values, config: DriftSettings = SMALL) -> Any:
    report = compare(profile(reference, ["calls"], config), current, config)
    return report.features[0]


def test_psi_is_what_a_hand_computes() -> None:
    # Without smoothing: shares 1/2, 1/2 and 1/4, 3/4.
    by_hand = (1 / 4 - 1 / 2) * math.log(1 / 2) + (3 / 4 - 1 / 2) * math.log(3 / 2)
    assert population_stability_index([2, 2], [1, 3], 0) == pytest.approx(by_hand, rel=1e-14)
    # With half a row added to each bin: 2.5/5, 2.5/5 and 0.5/5, 4.5/5.
    by_hand = (0.1 - 0.5) * math.log(0.2) + (0.9 - 0.5) * math.log(1.8)
    assert population_stability_index([2, 2], [0, 4], 0.5) == pytest.approx(by_hand, rel=1e-14)


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1), st.floats(0.1, 10))
def test_psi_is_symmetric_not_negative_and_zero_for_the_same(pairs: list[tuple[int, int]], smoothing: float) -> None:
    before, after = ([pair[i] for pair in pairs] for i in (0, 1))
    psi = population_stability_index(before, after, smoothing)
    assert psi >= 0
    assert population_stability_index(after, before, smoothing) == pytest.approx(psi, rel=1e-9, abs=1e-12)
    assert population_stability_index(before, before, smoothing) == 0


def test_bins_are_the_quantiles_of_the_reference_with_open_ends() -> None:
    (feature,) = profile(column(*range(1, 9)), ["calls"], SMALL).features
    assert feature.edges == [2.75, 4.5, 6.25]
    assert feature.counts == [2, 2, 2, 2]
    assert feature.values == [1, 2, 3, 4, 5, 6, 7, 8]
    # Far outside of the reference, every value still has a bin: 3 below, 1 above.
    found = one(column(*range(1, 9)), column(0, 0, 0, 1e12))
    shares = [(2.5 / 10, 3.5 / 6), (2.5 / 10, 0.5 / 6), (2.5 / 10, 0.5 / 6), (2.5 / 10, 1.5 / 6)]
    assert found.psi == pytest.approx(sum((c - r) * math.log(c / r) for r, c in shares), rel=1e-12)


def test_a_value_on_an_edge_belongs_to_the_bin_below_in_both_samples() -> None:
    reference = column(0, 1, 2, 3, 4)  # quartiles 1, 2, 3
    (feature,) = profile(reference, ["calls"], SMALL).features
    assert (feature.edges, feature.counts) == ([1, 2, 3], [2, 1, 1, 1])
    assert one(reference, reference).psi == 0


def test_a_heap_of_zeros_makes_one_edge() -> None:
    reference = column(*[0] * 6, 1, 2)
    (feature,) = profile(reference, ["messages"], SMALL).features
    assert (feature.edges, feature.counts) == ([0, 0.25], [6, 0, 2])
    (feature,) = profile(column(*[0] * 8), ["messages"], SMALL).features
    assert (feature.edges, feature.counts) == ([0], [8, 0])
    found = one(column(*[0] * 8), column(0, 0, 5, 5))
    shares = [(8.5 / 9, 2.5 / 5), (0.5 / 9, 2.5 / 5)]
    assert found.psi == pytest.approx(sum((c - r) * math.log(c / r) for r, c in shares), rel=1e-12)


def test_the_ks_statistic_is_what_a_hand_computes() -> None:
    found = one(column(1, 2, 3, 4), column(3, 4, 5, 6, 7))
    assert found.ks_statistic == pytest.approx(0.6)  # at 4: 4/4 against 2/5
    assert (found.reference_n, found.current_n) == (4, 5)
    assert (found.reference_median, found.current_median) == (2.5, 5)
    assert one(column(1, 2, 3, 4), column(5, 6, 7, 8)).ks_statistic == 1


@PROPERTY
@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=60), st.lists(st.floats(0, 1e6), min_size=4, max_size=60))
def test_statistic_and_p_value_are_scipys(before: list[float], after: list[float]) -> None:
    found, expected = one(column(*before), column(*after)), ks_2samp(before, after, method="asymp")
    assert (found.ks_statistic, found.ks_p_value) == (expected.statistic, expected.pvalue)


@PROPERTY
@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=60))
def test_a_sample_has_not_drifted_from_itself_in_any_order(values: list[float]) -> None:
    found = one(column(*values), column(*values[::-1]))
    assert (found.psi, found.ks_statistic, found.ks_p_value, found.drifted) == (0, 0, 1, False)


def test_missing_values_are_left_out_and_their_share_is_watched() -> None:
    nan = math.nan
    reference = column(1, 2, 3, 4, 5, 6, 7, 8, 9, nan)
    found = one(reference, column(1, 2, 3, 4, 5, 6, 7, 8, 9, nan))
    assert (found.reference_n, found.current_n, found.psi, found.drifted) == (9, 9, 0, False)
    assert (found.reference_missing_share, found.current_missing_share) == pytest.approx((0.1, 0.1))
    found = one(reference, column(1, 2, 3, 4, 5, 6, 7, 8, 9, *[nan] * 3))
    assert found.current_missing_share == pytest.approx(0.25)
    assert found.reasons == ["empty cells 10.0% → 25.0% (threshold 10%)"]


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, ["PSI", "KS"]),
        ({"psi_threshold": 100.0}, ["KS"]),
        ({"ks_threshold": 0.9}, ["PSI"]),
        ({"ks_alpha": 0.0}, ["PSI"]),
        ({"psi_threshold": 100.0, "ks_threshold": 0.9}, []),
    ],
    ids=str,
)
def test_each_threshold_decides(change: dict[str, float], reasons: list[str]) -> None:
    found = one(column(*range(100)), column(*range(50, 150)), DriftSettings(**(SMALL.model_dump() | change)))
    assert found.ks_statistic == pytest.approx(0.5)
    assert [reason.split()[0] for reason in found.reasons] == reasons
    assert found.drifted == bool(reasons)


def test_a_value_on_the_threshold_has_drifted() -> None:
    before, after = column(*range(100)), column(*range(30, 130))
    psi = one(before, after).psi
    for threshold, drifted in ((psi, True), (math.nextafter(psi, 9), False)):
        config = DriftSettings(bins=4, psi_threshold=threshold, ks_threshold=1.0)
        assert one(before, after, config).drifted is drifted


def test_a_small_difference_in_a_huge_sample_is_no_drift() -> None:
    rng = np.random.default_rng(0)
    found = one(rng.normal(0, 1, (200_000, 1)), rng.normal(0.05, 1, (200_000, 1)), DriftSettings())
    assert found.ks_p_value < 1e-10
    assert not found.drifted


@pytest.mark.parametrize(("before", "after", "which"), [(3, 4, "reference"), (4, 3, "current"), (4, 0, "current")])
def test_too_few_values_are_no_verdict(before: int, after: int, which: str) -> None:
    with pytest.raises(TableError) as caught:
        one(column(*range(before)), column(*range(after)))
    assert str(caught.value) == (
        f"feature 'calls': expected at least 4 values in the {which} sample (drift.min_rows), "
        f"found {min(before, after)}; collect more before asking for a verdict"
    )


def test_a_stored_profile_keeps_a_seeded_sample_and_counts_every_value() -> None:
    values = np.random.default_rng(0).random((5000, 1))
    config = DriftSettings(reference_rows=1000)
    kept, again, other = (profile(values, ["calls"], config, seed).features[0] for seed in (1, 1, 2))
    assert kept == again
    assert kept.values != other.values
    assert len(kept.values) == len(set(kept.values)) == 1000
    assert set(kept.values) <= set(values[:, 0].tolist())
    assert sum(kept.counts) == 5000
    assert kept.counts == other.counts
