"""Segments and their quality: by hand on a few rows, against scikit-learn on many."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, precision_score, recall_score, roc_auc_score

from plan_recommender.data.synthesis import generate
from plan_recommender.errors import TableError
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.evaluation.slices import (
    ConfidentError,
    SliceMetrics,
    measure_slices,
    most_confident_errors,
    tercile_bounds,
    worst_slices,
)
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)
NAN = math.nan


def usage(*calls: float) -> FeatureMatrix:
    """Rows that differ in their calls only; everything else is zero."""
    return np.array([[value, 0, 0, 0] for value in calls], dtype=np.float64)


def labels(*values: int) -> Labels:
    return np.array(values, dtype=np.int64)


def sample(rows: int, seed: int) -> tuple[FeatureMatrix, Labels, Probabilities, Labels]:
    features = np.concatenate([chunk.features for chunk in generate(rows, seed=seed)])
    rng = np.random.default_rng(seed)
    features[rng.random(features.shape) < 0.05] = NAN
    probabilities = rng.beta(1, 2, rows)
    target = (rng.random(rows) < probabilities).astype(np.int64)
    return features, target, probabilities, (probabilities >= 0.4).astype(np.int64)


BOUNDS = {"calls": (2.0, 4.0), "minutes": (1.0, 2.0), "messages": (1.0, 2.0), "mb_used": (1.0, 2.0)}


def test_bounds_are_the_terciles_of_what_is_there() -> None:
    features = np.array([[1, NAN, 5, 0], [4, 7, 5, 0], [NAN, 1, 5, 0], [7, 4, 5, 3], [10, 10, 5, 3]])
    bounds = tercile_bounds(features)
    assert list(bounds) == list(FEATURE_NAMES)
    assert bounds["calls"] == pytest.approx((4, 7))
    assert bounds["minutes"] == pytest.approx((4, 7))
    assert bounds["messages"] == pytest.approx((5, 5), abs=0)
    assert bounds["mb_used"] == pytest.approx((0, 2))  # at 4/3 and 8/3 of the way along 0, 0, 0, 3, 3


def test_a_feature_without_values_cannot_be_cut() -> None:
    with pytest.raises(TableError, match="feature 'minutes': expected values to cut into segments, found only empty"):
        tercile_bounds(np.array([[1, NAN, 1, 1], [2, NAN, 2, 2]]))


def test_every_row_is_in_the_segment_that_its_value_names() -> None:
    features = usage(0, 1, 2, 3, 4, 5, NAN)
    target, decisions = labels(0, 1, 0, 1, 0, 1, 0), labels(0, 1, 1, 0, 0, 1, 1)
    found = measure_slices(features, target, np.full(7, 0.5), decisions, BOUNDS)
    calls = [s for s in found if s.feature == "calls"]
    assert [(s.segment, s.rows) for s in calls] == [
        ("zero", 1),
        ("light", 2),
        ("medium", 2),
        ("heavy", 2),
        ("missing", 1),
    ]
    assert [s.accuracy for s in calls] == [1, 1, 0, 1, 0]
    # The other features are all zero: light too, and nothing else.
    assert [(s.feature, s.segment, s.rows) for s in found if s.feature != "calls"] == [
        (name, segment, 7) for name in FEATURE_NAMES[1:] for segment in ("zero", "light")
    ]


def test_coinciding_bounds_leave_medium_empty() -> None:
    bounds = BOUNDS | {"calls": (3.0, 3.0)}
    found = measure_slices(usage(1, 3, 5), labels(0, 0, 1), np.full(3, 0.5), labels(0, 0, 1), bounds)
    assert [(s.segment, s.rows) for s in found if s.feature == "calls"] == [("light", 1), ("heavy", 2)]


def test_every_measure_is_what_a_hand_computes() -> None:
    target, decisions = labels(1, 1, 0, 0, 0), labels(1, 0, 1, 0, 0)
    probabilities = np.array([0.9, 0.4, 0.6, 0.1, 0.2])
    found = measure_slices(usage(1, 1, 1, 1, 1), target, probabilities, decisions, BOUNDS)[0]
    # Wilson: with z the 97.5% quantile, (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    z, p, n = 1.959963984540054, 3 / 5, 5
    middle, reach = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (found.feature, found.segment, found.rows) == ("calls", "light", 5)
    assert (found.ultra_share, found.recommended_share, found.majority_accuracy) == (0.4, 0.4, 0.6)
    assert (found.accuracy, found.precision, found.recall, found.f1) == (0.6, 0.5, 0.5, 0.5)
    assert found.roc_auc == pytest.approx(5 / 6)
    assert found.brier == pytest.approx((0.01 + 0.36 + 0.36 + 0.01 + 0.04) / 5)
    assert found.mean_probability == pytest.approx(0.44)
    assert found.accuracy_low == pytest.approx((middle - reach) / (1 + z**2 / n))
    assert found.accuracy_high == pytest.approx((middle + reach) / (1 + z**2 / n))


@pytest.mark.parametrize(
    ("target", "decisions", "expected"),
    [
        (labels(0, 0), labels(0, 0), (None, None, None, None)),
        (labels(0, 0), labels(1, 0), (0, None, 0, None)),
        (labels(1, 1), labels(0, 0), (None, 0, 0, None)),
        (labels(1, 0), labels(0, 0), (None, 0, 0, 1)),
    ],
)
def test_what_cannot_be_measured_is_none(target: Labels, decisions: Labels, expected: tuple[float | None, ...]) -> None:
    found = measure_slices(usage(1, 1), target, np.array([0.4, 0.3]), decisions, BOUNDS)[0]
    assert (found.precision, found.recall, found.f1, found.roc_auc) == expected


@pytest.mark.slow
@PROPERTY
@given(st.integers(0, 10_000), st.integers(20, 300))
def test_measures_are_scikit_learns_and_segments_cover_every_row_once(seed: int, rows: int) -> None:
    features, target, probabilities, decisions = sample(rows, seed)
    bounds = tercile_bounds(features)
    found = measure_slices(features, target, probabilities, decisions, bounds)
    for j, name in enumerate(FEATURE_NAMES):
        of_feature = [s for s in found if s.feature == name]
        assert sum(s.rows for s in of_feature if s.segment != "zero") == rows
        heavy = next(s for s in of_feature if s.segment == "heavy")
        members = features[:, j] >= bounds[name][1]
        y, p, d = target[members], probabilities[members], decisions[members]
        assert heavy.rows == members.sum()
        assert heavy.accuracy == accuracy_score(y, d)
        assert heavy.brier == pytest.approx(brier_score_loss(y, p))
        assert heavy.precision == (precision_score(y, d) if d.any() else None)
        assert heavy.recall == (recall_score(y, d) if y.any() else None)
        assert heavy.f1 == (pytest.approx(f1_score(y, d)) if y.any() or d.any() else None)
        assert heavy.roc_auc == (roc_auc_score(y, p) if len(np.unique(y)) == 2 else None)
        assert heavy.accuracy_low <= heavy.accuracy <= heavy.accuracy_high


def test_the_order_of_the_rows_changes_nothing() -> None:
    columns = sample(400, seed=1)
    bounds = tercile_bounds(columns[0])
    order = np.random.default_rng(2).permutation(400)
    one = measure_slices(*columns, bounds)
    features, target, probabilities, decisions = columns
    other = measure_slices(features[order], target[order], probabilities[order], decisions[order], bounds)
    for before, after in zip(one, other, strict=True):
        assert after.model_dump() == pytest.approx(before.model_dump())


def test_the_worst_slices_are_the_least_accurate_ones_with_enough_rows() -> None:
    columns = sample(300, seed=4)
    slices = measure_slices(*columns, tercile_bounds(columns[0]))
    enough = [s for s in slices if s.rows >= 30]
    assert len(enough) < len(slices)
    found = worst_slices(slices, min_rows=30, count=4)
    assert len(found) == 4
    assert [s.accuracy for s in found] == sorted(s.accuracy for s in enough)[:4]
    assert worst_slices(slices, min_rows=30, count=100) == sorted(enough, key=lambda s: s.accuracy)
    assert worst_slices(slices, min_rows=301, count=4) == []
    assert [SliceMetrics.model_validate_json(s.model_dump_json()) for s in found] == found


def test_the_most_confident_errors_come_first() -> None:
    target, decisions = labels(0, 0, 0, 1, 1, 1, 1), labels(1, 1, 0, 0, 0, 0, 1)
    probabilities = np.array([0.7, 0.9, 0.1, 0.3, 0.05, 0.3, 0.8])
    features = usage(1, 2, 3, 4, NAN, 6, 7)
    rows = np.array([10, 20, 30, 40, 50, 60, 70])
    found = most_confident_errors(features, target, probabilities, decisions, rows, count=2)
    assert [(e.row, e.kind, e.probability) for e in found] == [
        (20, "false positive", 0.9),
        (10, "false positive", 0.7),
        (50, "false negative", 0.05),
        (40, "false negative", 0.3),  # of equals, the one that comes first
    ]
    assert [e.calls for e in found] == [2, 1, None, 4]
    assert found[0].model_dump() == {
        "row": 20, "kind": "false positive", "probability": 0.9, "calls": 2, "minutes": 0, "messages": 0, "mb_used": 0
    }  # fmt: skip
    assert [ConfidentError.model_validate_json(e.model_dump_json()) for e in found] == found
    assert len(most_confident_errors(features, target, probabilities, decisions, rows, count=10)) == 5
    assert most_confident_errors(features, target, probabilities, target, rows, count=10) == []
