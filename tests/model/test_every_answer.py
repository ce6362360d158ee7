"""What any sensible answer must satisfy: order, repetition, and the extremes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.scorer import Scorer

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)
LARGEST = float(np.finfo(np.float64).max)
SMALLEST = 5e-324
TYPICAL = np.array([[60.0, 420.0, 30.0, 17_000.0]])


@PROPERTY
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 300))
def test_the_order_of_the_rows_does_not_matter(
    scorer: Scorer, subscribers: FeatureMatrix, seed: int, size: int
) -> None:
    order = np.random.default_rng(seed).permutation(size)
    rows = subscribers[:size]
    assert scorer.probabilities(rows[order]).tobytes() == scorer.probabilities(rows)[order].tobytes()


@PROPERTY
@given(row=st.integers(0, 19_999), copies=st.integers(2, 200))
def test_a_row_sent_again_gets_the_same_answer(
    scorer: Scorer, subscribers: FeatureMatrix, row: int, copies: int
) -> None:
    answers = scorer.probabilities(np.repeat(subscribers[row : row + 1], copies, axis=0))
    assert len(set(answers.tolist())) == 1


def test_asking_does_not_change_what_was_asked(scorer: Scorer, subscribers: FeatureMatrix) -> None:
    rows = subscribers[:100].copy()
    first = scorer.probabilities(rows)
    np.testing.assert_array_equal(rows, subscribers[:100])
    np.testing.assert_array_equal(scorer.probabilities(rows), first)


@pytest.mark.parametrize(
    "row",
    [
        [0.0] * 4,
        [SMALLEST] * 4,
        [1e9] * 4,
        [1e300] * 4,
        [LARGEST] * 4,
        [LARGEST, 0, LARGEST, 0],
        [0, LARGEST, 0, LARGEST],
        [np.nan] * 4,
        [np.nan, LARGEST, np.nan, 0],
    ],
    ids=repr,
)
def test_the_extremes_get_a_probability(scorer: Scorer, row: list[float]) -> None:
    (probability,) = scorer.probabilities(np.array([row])).tolist()
    assert 0 <= probability <= 1


def test_the_answers_are_neither_all_smart_nor_all_ultra(scorer: Scorer, subscribers: FeatureMatrix) -> None:
    share = float(scorer.decide(subscribers, scorer.probabilities(subscribers)).mean())
    assert 0.1 < share < 0.5
