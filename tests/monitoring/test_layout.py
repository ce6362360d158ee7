"""Counts of rows in the bins of a profile: exact, additive, and with distances that independent code finds, too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from plan_recommender.config.settings import DriftSettings
from plan_recommender.data.synthesis import generate
from plan_recommender.drift.reference import COARSE_QUANTILES, QUANTILES, profile
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import Values
from plan_recommender.monitoring.distance import gap, population_stability_index
from plan_recommender.monitoring.layout import ROWS, Layout

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)


def month(rows: int, seed: int) -> Values:
    return np.concatenate([chunk.features for chunk in generate(rows, seed)])


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1), st.floats(0.1, 10))
def test_psi_is_the_two_relative_entropies(pairs: list[tuple[int, int]], smoothing: float) -> None:
    before, after = ([pair[i] for pair in pairs] for i in (0, 1))
    r, c = (np.array(counts) + smoothing for counts in (before, after))
    r, c = r / r.sum(), c / c.sum()
    expected = float((rel_entr(c, r) + rel_entr(r, c)).sum())
    assert population_stability_index(before, after, smoothing) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert population_stability_index(before, before, smoothing) == 0


def test_the_gap_of_two_bins_is_what_a_hand_computes() -> None:
    found = gap(np.array([50.0, 50.0]), np.array([25.0, 75.0]))
    # F is 1/2 and 1/4 at the one edge, H is 75/200; the weight of the edge is half of all rows.
    assert float(found.distance) == pytest.approx((0.5 * 0.25**2 / (0.375 * 0.625)) ** 0.5)
    assert float(gap(np.array([3.0, 4.0]), np.array([6.0, 8.0])).distance) == 0


def test_bins_end_at_quantiles_of_the_reference_and_zeros_make_one_edge() -> None:
    values = np.arange(1001, dtype=float)[:, None]
    (feature,) = profile(values, ["calls"], DriftSettings()).features
    assert feature.edges == [1000 * q for q in QUANTILES]
    assert [feature.edges[i] for i in feature.coarse] == [1000 * q for q in COARSE_QUANTILES]
    assert sum(feature.counts) == 1001
    heap = np.repeat([0.0, 1.0, 2.0], [650, 270, 80])[:, None]
    (feature,) = profile(heap, ["messages"], DriftSettings()).features
    assert (feature.edges, feature.counts) == ([0, 1, 2], [650, 270, 80, 0])


def test_beside_a_model_bins_end_at_its_cuts_that_are_nearest_to_the_quantiles() -> None:
    values = np.arange(1000, dtype=float)[:, None]
    cuts = [5.0, 12.0, 95.0, 111.0, 480.0, 900.0, 985.0]
    (feature,) = profile(values, ["calls"], DriftSettings(), cuts=[cuts]).features
    assert set(feature.edges) <= set(cuts)
    assert 12.0 in feature.edges  # .013 is nearer to .01 than .006
    assert 5.0 not in feature.edges
    assert feature.counts == np.histogram(values, [-1, *np.array(feature.edges) + 0.5, 1000])[0].tolist()


def test_every_row_is_counted_once_in_every_quantity_and_pair() -> None:
    rows = month(2000, 3)
    reference = profile(month(3214, 1), list(FEATURE_NAMES), DriftSettings())
    layout = Layout(reference)
    counts = layout.count(layout.codes(rows), None)
    assert counts[ROWS] == 2000
    assert [int(counts[cells].sum()) for cells in (*layout.margins, *layout.pair_cells)] == [2000] * 10
    for i, (feature, cells) in enumerate(zip(reference.features, layout.margins, strict=True)):
        by_hand = np.histogram(rows[:, i], [-np.inf, *np.nextafter(feature.edges, np.inf), np.inf])[0]
        assert counts[cells].tolist() == by_hand.tolist()
    first, second = ([f.edges[k] for k in f.coarse] for f in (reference.features[0], reference.features[3]))
    ends = [[-np.inf, *np.nextafter(edges, np.inf), np.inf] for edges in (first, second)]
    by_hand = np.histogram2d(rows[:, 0], rows[:, 3], ends)[0]
    assert counts[layout.pair_cells[2]].tolist() == by_hand.ravel().tolist()
    found = layout.cells_of(layout.codes(rows))
    assert np.bincount(found.ravel(), minlength=layout.cells)[1:].tolist() == counts[1:].tolist()


def test_counts_of_parts_add_up_and_a_profile_counts_its_own_sample() -> None:
    rows = month(3214, 1)
    rows[::7, 2] = np.nan
    reference = profile(rows, list(FEATURE_NAMES), DriftSettings())
    layout = Layout(reference)
    whole = layout.count(layout.codes(rows), None)
    parts = [layout.count(layout.codes(rows[i::3]), None) for i in range(3)]
    assert np.array_equal(whole, sum(parts))
    assert np.array_equal(whole, layout.reference(reference))
    assert int(whole[layout.margins[2]].sum()) == len(rows) - len(rows[::7])


def test_a_profile_of_some_features_is_that_of_these_alone() -> None:
    rows = month(1000, 1)
    reference = profile(rows, list(FEATURE_NAMES), DriftSettings())
    turned = reference.of(["mb_used", "calls"])
    alone = profile(rows[:, [3, 0]], ["mb_used", "calls"], DriftSettings())
    assert turned == alone
