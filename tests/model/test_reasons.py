"""Reasons are exact Shapley values, sum to the last bit, and say where the plan would be the other one."""

import itertools
import math
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plan_recommender.config.settings import Candidate
from plan_recommender.model.reasons import Reasons
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.model.tables import ModelDocument
from plan_recommender.model.threshold import SegmentThresholds, Threshold
from tests.training.candidates import FAMILIES, fitted, on_shipped, shipped

PROPERTY = settings(derandomize=True, deadline=None, max_examples=200)
AMOUNT = st.one_of(
    st.floats(min_value=0, allow_infinity=False),
    st.floats(0, 50_000),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-310, 1e308, sys.float_info.max]),
)
USUAL = st.tuples(st.floats(0, 200), st.floats(0, 1500), st.floats(0, 150), st.floats(0, 40_000))
MONTH = st.one_of(st.tuples(AMOUNT, AMOUNT, AMOUNT, AMOUNT), USUAL)
Month = tuple[float, float, float, float]
SEGMENTS = SegmentThresholds(feature="mb_used", bounds=[9_000.0, 20_000.0], thresholds=[0.2, 0.5, 0.7])


def reasons_of(document: ModelDocument) -> Reasons:
    return Reasons(document, Scorer(document))


@pytest.fixture(scope="module")
def reasons(model: RegisteredModel) -> Reasons:
    return reasons_of(model.document())


def every_log_odds(document: ModelDocument) -> npt.NDArray[np.float64]:
    """The log-odds of every combination of bins, by the plain sum of the document's numbers."""
    shape = [len(curve) for curve in document.curves]
    total = np.full(shape, document.constant)
    for i, curve in enumerate(document.curves):
        total += curve.reshape([-1 if k == i else 1 for k in range(4)])
    for (i, j), matrix in document.matrices.items():
        total += matrix.reshape([shape[k] if k in (i, j) else 1 for k in range(4)])
    return total


def shapley_by_coalitions(
    everywhere: npt.NDArray[np.float64], weights: list[npt.NDArray[np.float64]], bins: tuple[int, ...]
) -> tuple[float, list[float]]:
    """The definition, by brute force over the 16 coalitions and every combination of bins of the features left out.

    Returns the value of no feature, and the Shapley value of each (Shapley 1953).
    """

    def value(held: frozenset[int]) -> float:
        mean: Any = everywhere
        for i in reversed(range(4)):  # the last axis first, so that the others keep their place
            mean = mean.take(bins[i], axis=i) if i in held else np.tensordot(mean, weights[i], axes=(i, 0))
        return float(mean)

    values = {frozenset(held): value(frozenset(held)) for n in range(5) for held in itertools.combinations(range(4), n)}
    shapley = []
    for i in range(4):
        total = 0.0
        for held, before in values.items():
            if i not in held:
                share = math.factorial(len(held)) * math.factorial(3 - len(held)) / math.factorial(4)
                total += share * (values[held | {i}] - before)
        shapley.append(total)
    return values[frozenset()], shapley


@pytest.mark.parametrize("candidate", FAMILIES)
def test_contributions_are_the_shapley_values_by_brute_force_over_the_16_coalitions(candidate: Candidate) -> None:
    # Few bins, so that every combination of them fits into memory.
    few: dict[Candidate, dict[str, Any]] = {
        "binned_logistic": {"bins": 9}, "boosted_trees": {"trees": 12}, "average": {"bins": 7, "trees": 5}
    }  # fmt: skip
    model = fitted(candidate, shipped().features, shipped().target, **few[candidate])
    reasons, everywhere = reasons_of(model.document), every_log_odds(model.document)
    weights = [feature.weights for feature in model.document.features]
    for row in shipped().features[:60].tolist():
        month: Month = (row[0], row[1], row[2], row[3])
        base_value, expected = shapley_by_coalitions(everywhere, weights, model.scorer.bins(*month))
        found = reasons.explain(month)
        assert found.base_value == pytest.approx(base_value, abs=1e-11)
        np.testing.assert_allclose(found.contributions, expected, rtol=0, atol=1e-11)


@PROPERTY
@given(month=MONTH)
def test_base_value_and_contributions_sum_to_the_log_odds_to_the_last_bit(
    reasons: Reasons, scorer: Scorer, month: Month
) -> None:
    found = reasons.explain(month)
    assert found.base_value + sum(found.contributions) == found.log_odds
    assert sum(reversed(found.contributions)) + found.base_value == found.log_odds
    assert found.log_odds == scorer.log_odds(np.array([month]))[0]


def test_an_average_subscriber_s_contributions_average_to_nothing() -> None:
    """Over independently drawn features, every contribution has a mean of 0: what the others have in common."""
    model = on_shipped("boosted_trees")
    drawn = np.column_stack([np.random.default_rng(i).permutation(shipped().features[:, i]) for i in range(4)])
    reasons = reasons_of(model.document)
    contributions = np.array([reasons.explain((r[0], r[1], r[2], r[3])).contributions for r in drawn.tolist()])
    error = contributions.std(axis=0) / math.sqrt(len(drawn))
    assert (np.abs(contributions.mean(axis=0)) < 5 * error).all()


def nearest_change(scorer: Scorer, document: ModelDocument, month: Month, feature: int) -> float | None:
    """By brute force: decide at every end of every bin, and take the nearest where the plan is the other one."""
    cuts = document.features[feature].cuts
    ends = np.array(sorted({*cuts, *np.nextafter(cuts, np.inf).tolist()}))
    rows = np.tile(np.array(month), (len(ends), 1))
    rows[:, feature] = ends
    other = scorer.decide(rows, scorer.probabilities(rows)) != scorer.recommend(*month)[0]
    return min(ends[other].tolist(), key=lambda end: (abs(end - month[feature]), end), default=None)


THRESHOLDS = [
    Threshold(value=0.5),
    Threshold(value=0.31),
    Threshold(value=0.0),
    Threshold(value=1.0),
    Threshold(value=0.5, segments=SEGMENTS),
]


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=str)
def test_the_plan_changes_at_the_nearest_value_that_brute_force_finds(threshold: Threshold) -> None:
    model = fitted("boosted_trees", shipped().features, shipped().target, threshold)
    reasons = reasons_of(model.document)
    changes = 0
    for row in shipped().features[:150].tolist():
        month: Month = (row[0], row[1], row[2], row[3])
        found = reasons.explain(month).changes
        assert found == [nearest_change(model.scorer, model.document, month, i) for i in range(4)]
        changes += sum(change is not None for change in found)
    assert (changes > 0) == (threshold.segments is not None or 0 < threshold.value < 1)


@PROPERTY
@given(month=USUAL, steps=st.lists(st.floats(0, 1), min_size=5, max_size=5))
@example(month=(5.0, 25.0, 101.0, 0.0), steps=[1.0] * 5)  # 1.0 of the way was beyond the change
def test_at_the_change_the_plan_is_the_other_one_and_between_it_is_the_same(
    reasons: Reasons, scorer: Scorer, month: Month, steps: list[float]
) -> None:
    before = scorer.recommend(*month)[0]
    for i, change in enumerate(reasons.explain(month).changes):
        if change is None:
            continue
        changed = list(month)
        changed[i] = change
        assert scorer.recommend(*changed)[0] == 1 - before
        for step in steps:
            between = month[i] + step * (change - month[i])
            # Rounded, it may be the change itself, or the double beyond it.
            is_between = min(month[i], change) < between < max(month[i], change)
            changed[i] = between if is_between else month[i]
            assert scorer.recommend(*changed)[0] == before


@pytest.mark.slow
def test_a_probability_on_the_threshold_is_told_from_one_below_it() -> None:
    """The bounds in log-odds decide nothing that the probability would decide otherwise."""
    model = on_shipped("boosted_trees")
    for row in shipped().features[:40].tolist():
        month: Month = (row[0], row[1], row[2], row[3])
        _, probability = model.scorer.recommend(*month)
        for value in (probability, math.nextafter(probability, 1), math.nextafter(probability, 0)):
            document = model.document.model_copy(update={"threshold": Threshold(value=value)})
            scorer = Scorer(document)
            found = Reasons(document, scorer).explain(month).changes
            assert found == [nearest_change(scorer, document, month, i) for i in range(4)]


def test_of_two_values_as_near_the_smaller_is_given() -> None:
    """In the middle of a bin whose neighbours both decide otherwise, by a threshold that only that bin reaches."""
    model, found = on_shipped("boosted_trees"), 0
    for row in shipped().features[:100].tolist():
        for i in range(4):
            here, cuts = model.scorer.bins(*row)[i], model.document.features[i].cuts
            if not 0 < here < len(cuts):
                continue
            low, high = cuts[here - 1], math.nextafter(cuts[here], math.inf)
            below, middle, above = ([*row[:i], value, *row[i + 1 :]] for value in (low, (low + high) / 2, high))
            probabilities = model.scorer.probabilities(np.array([below, middle, above])).tolist()
            if max(probabilities[0], probabilities[2]) < probabilities[1] and middle[i] - low == high - middle[i]:
                threshold = Threshold(value=probabilities[1])
                reasons = reasons_of(model.document.model_copy(update={"threshold": threshold}))
                assert reasons.explain((middle[0], middle[1], middle[2], middle[3])).changes[i] == low
                found += 1
        if found >= 5:
            break
    assert found >= 5


@PROPERTY
@given(st.lists(MONTH, min_size=1, max_size=20))
def test_the_contributions_of_many_are_bit_for_bit_those_of_each(reasons: Reasons, months: list[Month]) -> None:
    scorer = reasons._scorer
    found = reasons.contributions_of_many(scorer.bins_of_many(np.array(months)))
    assert found.tolist() == [reasons.contributions(scorer.bins(*month)) for month in months]
