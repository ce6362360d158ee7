"""What any sensible champion does: the registered one, and every candidate that might have been it.

Directions are those of the shipped table, whose Ultra subscribers are its heavy and its very light users: of the
5 % with most data 81 % are on Ultra, of the middle 21 %, of the 5 % with least 49 %; minutes, messages and calls alike.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from plan_recommender.evaluation.metrics import Labels, Metrics, measure
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.scorer import Scorer
from tests.training.candidates import FAMILIES, on_shipped, shipped

CHAMPION = "the registered champion"
TYPICAL = (60.0, 420.0, 30.0, 17_000.0)  # about the medians of the table
LIGHT = (20.0, 120.0, 10.0, 6_000.0)
NOTHING = (0.0, 0.0, 0.0, 0.0)
MUCH_DATA = (60.0, 420.0, 30.0, 40_000.0)
MANY_MINUTES = (170.0, 1_200.0, 30.0, 17_000.0)
MANY_MESSAGES = (60.0, 420.0, 150.0, 17_000.0)
MUCH_OF_BOTH = (215.0, 1_500.0, 30.0, 45.0 * 1024)


@pytest.fixture(scope="module", params=[CHAMPION, *FAMILIES])
def answering(request: pytest.FixtureRequest) -> tuple[str, Scorer]:
    name = request.param
    scorer: Scorer = request.getfixturevalue("scorer") if name == CHAMPION else on_shipped(name).scorer
    return name, scorer


def probability(answering: tuple[str, Scorer], month: tuple[float, ...]) -> float:
    return float(answering[1].probabilities(np.array([month]))[0])


# What everybody expects


def test_a_light_user_is_recommended_smart(answering: tuple[str, Scorer]) -> None:
    assert probability(answering, LIGHT) < 0.5


def test_a_typical_user_is_recommended_smart_without_much_doubt(answering: tuple[str, Scorer]) -> None:
    assert probability(answering, TYPICAL) < 0.25


def test_who_needs_1500_minutes_and_45_gigabytes_is_recommended_ultra(answering: tuple[str, Scorer]) -> None:
    assert probability(answering, MUCH_OF_BOTH) > 0.5


def test_answers_tell_the_plans_of_the_shipped_table_apart(answering: tuple[str, Scorer]) -> None:
    scorer, table = answering[1], shipped()
    probabilities = scorer.probabilities(table.features)
    decisions = scorer.decide(table.features, probabilities)
    assert sk.roc_auc_score(table.target, probabilities) > 0.75
    assert np.mean(decisions == table.target) > 1 - table.target.mean()  # more than the majority rule gets right
    assert 0.1 < decisions.mean() < 0.35  # of the table 30.6 % are on Ultra
    assert probabilities.mean() == pytest.approx(table.target.mean(), abs=0.02)


# Directions


@pytest.mark.parametrize(
    "month", [MUCH_DATA, MANY_MINUTES, MANY_MESSAGES, MUCH_OF_BOTH], ids=["data", "minutes", "messages", "both"]
)
def test_heavy_use_raises_the_probability_of_a_typical_month(
    answering: tuple[str, Scorer], month: tuple[float, ...]
) -> None:
    assert probability(answering, month) > probability(answering, TYPICAL) + 0.1


def test_a_month_without_any_use_is_likelier_ultra_than_a_typical_one(answering: tuple[str, Scorer]) -> None:
    """The table's own surprise: it has Ultra subscribers who hardly use their phone."""
    table = shipped()
    least = (table.features < np.quantile(table.features, 0.1, axis=0)).any(axis=1)
    assert table.target[least].mean() > table.target.mean() + 0.1  # the data say so
    assert probability(answering, NOTHING) > probability(answering, TYPICAL) + 0.1


@pytest.mark.parametrize(("feature", "name"), [(0, "calls"), (1, "minutes"), (2, "messages"), (3, "mb_used")])
def test_the_heaviest_twentieth_of_each_feature_is_likelier_ultra_than_the_middle(
    answering: tuple[str, Scorer], feature: int, name: str
) -> None:
    column = shipped().features[:, feature]
    low, high, top = np.quantile(column, [0.25, 0.75, 0.95])
    middle, heavy = (column >= low) & (column <= high), column >= top
    for values in (shipped().target, answering[1].probabilities(shipped().features)):  # in the data, and so answered
        assert values[heavy].mean() > values[middle].mean() + 0.1


# What must not matter


def moved(
    scorer: Scorer, rows: FeatureMatrix, feature: int, amount: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """How far each row's answer moves, and whether it is decided otherwise, with so much more use."""
    more = rows.copy()
    more[:, feature] += amount
    before, after = scorer.probabilities(rows), scorer.probabilities(more)
    return np.abs(after - before), scorer.decide(rows, before) != scorer.decide(more, after)


@pytest.mark.parametrize(("feature", "trifle"), [(1, 0.001), (3, 0.01)], ids=["0.001 minutes", "0.01 MB"])
def test_a_trifle_more_of_use_changes_next_to_nothing(
    answering: tuple[str, Scorer], subscribers: FeatureMatrix, feature: int, trifle: float
) -> None:
    """Of fresh rows: a tree puts its steps half-way between two training rows, so these may lie right beside one."""
    scorer = answering[1]
    subscribers = subscribers[subscribers[:, feature] > 0]  # whether it is used at all is no trifle
    distances, decisions = moved(scorer, subscribers, feature, trifle)
    # A step is a step, however small the way over it, but hardly anybody stands that close to one.
    assert np.mean(distances > 1e-3) < 0.0005
    assert distances.mean() < 1e-5
    assert decisions.mean() < 0.0002
    # The control: half a month's use more is no trifle, by the same measure.
    distances, decisions = moved(scorer, subscribers, feature, {1: 500.0, 3: 10_000.0}[feature])
    assert distances.mean() > 0.01
    assert decisions.mean() > 0.01


@settings(derandomize=True, deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 300))
def test_neither_the_order_of_the_rows_nor_their_company_matters(
    answering: tuple[str, Scorer], subscribers: FeatureMatrix, seed: int, size: int
) -> None:
    scorer, rng = answering[1], np.random.default_rng(seed)
    rows = subscribers[rng.integers(0, len(subscribers), size)]
    answers = scorer.probabilities(rows)
    order = rng.permutation(size)
    assert scorer.probabilities(rows[order]).tobytes() == answers[order].tobytes()
    company = np.concatenate([subscribers[:37], rows, np.full((5, 4), 1e300)])
    assert scorer.probabilities(company)[37 : 37 + size].tobytes() == answers.tobytes()


def test_the_same_question_gets_the_same_answer_and_stays_as_it_was(
    answering: tuple[str, Scorer], subscribers: FeatureMatrix
) -> None:
    rows = subscribers[:500].copy()
    answers = {answering[1].probabilities(rows).tobytes() for _ in range(5)}
    assert len(answers) == 1
    np.testing.assert_array_equal(rows, subscribers[:500])


# Metrics that know what they measure


def example(rows: int = 400) -> tuple[Labels, npt.NDArray[np.float64], Labels]:
    rng = np.random.default_rng(5)
    probabilities = np.round(rng.random(rows), 2)  # with ties
    target = (rng.random(rows) < probabilities).astype(np.int64)
    return target, probabilities, (probabilities >= 0.4).astype(np.int64)


def close(found: Metrics, expected: Metrics, *names: str) -> None:
    for name in names or tuple(set(Metrics.model_fields) - {"confusion_matrix"}):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12), name


def test_metrics_are_scikit_learns_own() -> None:
    target, probabilities, decisions = example()
    expected = {
        "accuracy": sk.accuracy_score(target, decisions),
        "precision": sk.precision_score(target, decisions),
        "recall": sk.recall_score(target, decisions),
        "f1": sk.f1_score(target, decisions),
        "roc_auc": sk.roc_auc_score(target, probabilities),
        "brier": sk.brier_score_loss(target, probabilities),
        "log_loss": sk.log_loss(target, probabilities),
    }
    found = measure(target, probabilities, decisions).model_dump()
    counts = found.pop("confusion_matrix")
    assert found == pytest.approx(expected, rel=1e-12)
    tn, fp, fn, tp = sk.confusion_matrix(target, decisions).ravel().tolist()
    assert counts == {"true_negative": tn, "false_positive": fp, "false_negative": fn, "true_positive": tp}


def test_every_row_twice_and_rows_in_another_order_change_no_metric() -> None:
    target, probabilities, decisions = example()
    once = measure(target, probabilities, decisions)
    twice = measure(np.tile(target, 2), np.tile(probabilities, 2), np.tile(decisions, 2))
    close(twice, once)
    assert {name: count * 2 for name, count in once.confusion_matrix} == dict(twice.confusion_matrix)
    order = np.random.default_rng(1).permutation(len(target))
    shuffled = measure(target[order], probabilities[order], decisions[order])
    close(shuffled, once)
    assert shuffled.confusion_matrix == once.confusion_matrix


def test_naming_the_plans_the_other_way_round_mirrors_the_metrics() -> None:
    target, probabilities, decisions = example()
    found, mirrored = measure(target, probabilities, decisions), measure(1 - target, 1 - probabilities, 1 - decisions)
    close(mirrored, found, "accuracy", "roc_auc", "brier", "log_loss")
    one, other = found.confusion_matrix, mirrored.confusion_matrix
    assert (one.true_negative, one.false_positive) == (other.true_positive, other.false_negative)
    assert (one.true_positive, one.false_negative) == (other.true_negative, other.false_positive)
    # Flipping the probabilities alone turns the ranking round.
    assert measure(target, 1 - probabilities, decisions).roc_auc == pytest.approx(1 - found.roc_auc, rel=1e-12)


def test_what_keeps_the_ranking_keeps_the_auc_and_what_keeps_the_decisions_keeps_their_metrics() -> None:
    target, probabilities, decisions = example()
    found, squared = measure(target, probabilities, decisions), measure(target, probabilities**2, decisions)
    close(squared, found, "accuracy", "precision", "recall", "f1", "roc_auc")
    assert squared.brier > found.brier  # the labels were drawn from the probabilities, so that these are best
    assert squared.log_loss > found.log_loss


@pytest.mark.parametrize(("answer", "gain"), [(1, {"true_positive": 1}), (0, {"false_negative": 1})])
def test_one_row_more_is_counted_where_it_belongs(answer: int, gain: dict[str, int]) -> None:
    target, probabilities, decisions = example()
    before = measure(target, probabilities, decisions)
    after = measure(np.append(target, 1), np.append(probabilities, 0.9), np.append(decisions, answer))
    counts: dict[str, Any] = before.confusion_matrix.model_dump()
    assert after.confusion_matrix.model_dump() == {name: n + gain.get(name, 0) for name, n in counts.items()}
    assert after.accuracy == pytest.approx((before.accuracy * 400 + answer) / 401, rel=1e-12)
    assert after.brier == pytest.approx((before.brier * 400 + 0.01) / 401, rel=1e-12)
