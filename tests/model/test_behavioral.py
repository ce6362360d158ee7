"""What any sensible answer must satisfy: invariance, direction where the baseline has one, and the extremes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from plan_recommender.pipeline import CLASSIFIER
from plan_recommender.scorer import Scorer
from plan_recommender.usage import FEATURE_NAMES, FeatureMatrix

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


@pytest.mark.parametrize("column", range(4), ids=FEATURE_NAMES)
def test_more_of_one_feature_moves_the_answer_the_way_of_its_coefficient(
    scorer: Scorer, pipeline: Pipeline, subscribers: FeatureMatrix, column: int
) -> None:
    sign = np.sign(pipeline.named_steps[CLASSIFIER].coef_[0, column])
    assert sign in (-1, 1)
    ladder = np.repeat(subscribers[:200, None, :], 6, axis=1)
    ladder[:, :, column] += np.array([0, 1, 10, 100, 1000, 10_000])
    steps = np.diff(scorer.probabilities(ladder.reshape(-1, 4)).reshape(200, 6), axis=1)
    assert (sign * steps >= 0).all()
    assert (sign * steps[:, 0] > 0).all()


def test_more_data_speaks_for_ultra(scorer: Scorer) -> None:
    heavier = np.repeat(TYPICAL, 3, axis=0)
    heavier[:, 3] = [5_000, 17_000, 40_000]
    light, typical, heavy = scorer.probabilities(heavier).tolist()
    assert light < typical < heavy
    assert heavy > 0.5


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
    share = float(scorer.decide(scorer.probabilities(subscribers)).mean())
    assert 0.2 < share < 0.6
