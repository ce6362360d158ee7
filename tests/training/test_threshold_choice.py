"""The threshold: what its objective asks for, for everybody or for each segment, by rules worked out by hand."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from plan_recommender.config.settings import Settings
from plan_recommender.evaluation.metrics import Labels
from plan_recommender.evaluation.money import break_even_probability
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.training.threshold_choice import choose_threshold


def configured(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def threshold_for(
    objective: str, target: list[int] | Labels, probabilities: list[float] | npt.NDArray[np.float64], **sections: Any
) -> float:
    features = np.zeros((len(target), 4))
    settings = configured(threshold=objective, **sections)
    found = choose_threshold(features, np.array(target), np.array([probabilities]), settings)
    assert (found.objective, found.segments) == (objective, None)
    return found.value


@pytest.mark.parametrize("objective", ["f1", "accuracy"])
@pytest.mark.parametrize(
    ("smart", "ultra", "threshold"),
    [
        ([0.1, 0.2], [0.31, 0.9], 0.31),  # 0.21 to 0.31 part the two; a probability on the threshold is Ultra
        ([0.1, 0.62], [0.8, 0.9], 0.63),  # 0.63 to 0.80 do
        ([0.1, 0.3], [0.7, 0.9], 0.5),  # 0.5 does
        ([0.5], [0.5000001], 0.5),  # nothing on the grid parts them
    ],
)
def test_a_threshold_that_parts_the_plans_is_found_and_of_several_the_nearest_to_a_half(
    objective: str, smart: list[float], ultra: list[float], threshold: float
) -> None:
    target = [0] * len(smart) + [1] * len(ultra)
    assert threshold_for(objective, target, smart + ultra) == threshold


def test_each_objective_weighs_errors_in_its_own_way() -> None:
    # At 0.3 stand 10 rows of which 3 are Ultra, at 0.45 10 of which 4 are, at 0.8 10 of which 9 are.
    probabilities = np.repeat([0.3, 0.45, 0.8], 10)
    target = np.concatenate([np.arange(10) < ultra for ultra in (3, 4, 9)]).astype(np.int64)
    # Right from 0.8 on: 7 + 6 + 9 = 22; from 0.45: 7 + 4 + 9 = 20; from 0.3: 3 + 4 + 9 = 16.
    assert threshold_for("accuracy", target, probabilities) == 0.5  # 0.46 to 0.80 are alike
    # F1: 2*9/(16+10) = 0.692; 2*13/(16+20) = 0.722; 2*16/(16+30) = 0.696.
    assert threshold_for("f1", target, probabilities) == 0.45


def calibrated() -> tuple[Labels, npt.NDArray[np.float64]]:
    """Of 100 rows at each probability of a whole number of hundredths, just as many are Ultra."""
    hundredths = np.arange(1, 100)
    target = np.concatenate([np.arange(100) < ultra for ultra in hundredths]).astype(np.int64)
    return target, np.repeat(hundredths / 100, 100)


@pytest.mark.parametrize(
    ("uplift", "contact", "churn", "threshold"),
    [(300, 30, 150, 0.4), (100, 10, 20, 0.25), (200, 37, 0, 0.185), (60, 30, 600, 21 / 22), (10, 100, 50, 1.0)],
)
def test_the_most_profitable_threshold_is_the_break_even_probability_whatever_the_rows(
    uplift: float, contact: float, churn: float, threshold: float
) -> None:
    money = {"uplift_per_month": float(uplift), "contact_cost": float(contact), "churn_cost": float(churn)}
    found = threshold_for("expected_profit", *calibrated(), money=money)
    assert found == pytest.approx(threshold, abs=1e-15)
    assert found == break_even_probability(configured(money=money).money)


def test_on_calibrated_answers_accuracy_wants_a_half_and_f1_half_of_its_best_value() -> None:
    target, probabilities = calibrated()
    assert threshold_for("accuracy", target, probabilities) == 0.5
    best = threshold_for("f1", target, probabilities)
    decisions = probabilities >= best
    f1 = 2 * np.sum(decisions & (target == 1)) / (decisions.sum() + target.sum())
    assert best == pytest.approx(f1 / 2, abs=0.01)  # Lipton, Elkan & Naryanaswamy 2014


@hypothesis_settings(derandomize=True, deadline=None, max_examples=50)
@given(
    answers=st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=30),
    objective=st.sampled_from(["f1", "accuracy"]),
)
def test_no_other_threshold_of_the_grid_is_better(answers: list[tuple[int, float]], objective: str) -> None:
    target = np.array([label for label, _ in answers])
    probabilities = np.array([probability for _, probability in answers])

    def value(threshold: float) -> float:
        decisions = probabilities >= threshold
        found = np.sum(decisions & (target == 1))
        if objective == "f1":
            return float(2 * found / max(decisions.sum() + target.sum(), 1))
        return float(np.mean(decisions == target))

    chosen = value(threshold_for(objective, target, probabilities))
    assert chosen == pytest.approx(max(value(i / 100) for i in range(101)), abs=1e-9)


def test_repeats_count_together() -> None:
    """Two repeats that disagree: the threshold is that of all their answers together."""
    target = np.array([0, 1])
    answers = np.array([[0.2, 0.4], [0.5, 0.6]])  # alone, 0.40 and 0.51 to 0.60; together, 0.51 to 0.60 err once
    settings = configured(threshold="accuracy")
    together = choose_threshold(np.zeros((2, 4)), target, answers, settings).value
    # One error in four at 0.21 to 0.40 (0.5 is called Ultra) and at 0.51 to 0.60 (0.4 is called Smart).
    assert together == 0.51
    assert choose_threshold(np.zeros((2, 4)), target, answers[:1], settings).value == 0.4


def by_segment() -> tuple[FeatureMatrix, Labels, npt.NDArray[np.float64]]:
    """Nine rows, three in each third of mb_used, whose plans are parted at 0.2, 0.5 and 0.8."""
    features = np.zeros((9, 4))
    features[:, 3] = [1, 2, 3, 10, 20, 30, 100, 200, 300]
    probabilities = np.array([0.1, 0.2, 0.3, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9])
    return features, np.tile([0, 1, 1], 3), probabilities


def test_segments_are_the_thirds_of_the_training_part_and_each_has_its_own_threshold() -> None:
    features, target, probabilities = by_segment()
    settings = configured(threshold="accuracy", threshold_segments="mb_used")
    found = choose_threshold(features, target, probabilities[None], settings)
    assert found.segments is not None
    assert found.segments.feature == "mb_used"
    # Of nine values the terciles lie two thirds of the way from the 3rd to the 4th and a third from the 6th to the 7th.
    assert found.segments.bounds == pytest.approx([3 + 7 * 2 / 3, 30 + 70 / 3], rel=1e-12)
    assert found.segments.thresholds == [0.2, 0.5, 0.71]
    assert found.decide(features, probabilities).tolist() == target.tolist()
    assert found.decide(features, np.full(9, found.value)).tolist() != [1] * 9  # one number would not do


def test_who_is_in_no_segment_gets_everybodys_threshold() -> None:
    features, target, probabilities = by_segment()
    features, target = np.vstack([features, [[0, 0, 0, np.nan]] * 2]), np.append(target, [0, 1])
    probabilities = np.append(probabilities, [0.55, 0.65])
    settings = configured(threshold="accuracy", threshold_segments="mb_used")
    found = choose_threshold(features, target, probabilities[None], settings)
    assert found.segments is not None
    assert found.segments.thresholds == [0.2, 0.5, 0.71]
    assert found.segments.bounds == pytest.approx([3 + 7 * 2 / 3, 30 + 70 / 3], rel=1e-12)  # empty cells left out
    on, below = np.array([found.value]), np.array([math.nextafter(found.value, 0)])
    assert [found.decide(features[-1:], p).tolist() for p in (on, below)] == [[1], [0]]


def test_a_segment_without_rows_gets_everybodys_threshold() -> None:
    features, target, probabilities = by_segment()
    features[:, 2] = [0] * 8 + [1]  # both terciles are 0: nobody is light or medium
    settings = configured(threshold="accuracy", threshold_segments="messages")
    found = choose_threshold(features, target, probabilities[None], settings)
    everybody = choose_threshold(features, target, probabilities[None], configured(threshold="accuracy")).value
    assert found.segments is not None
    assert found.segments.model_dump() == {
        "feature": "messages", "bounds": [0, 0], "thresholds": [everybody, everybody, everybody]
    }  # fmt: skip


def test_configured_numbers_are_taken_as_they_are() -> None:
    features, target, probabilities = by_segment()
    plain = choose_threshold(features, target, probabilities[None], configured(threshold=0.123))
    assert (plain.value, plain.objective, plain.segments) == (0.123, "none", None)
    numbers = {"light": 0.1, "medium": 0.2, "heavy": 0.3}
    three = choose_threshold(
        features, target, probabilities[None], configured(threshold=numbers, threshold_segments="mb_used")
    )
    assert three.segments is not None
    assert (three.value, three.objective, three.segments.thresholds) == (0.2, "none", [0.1, 0.2, 0.3])
