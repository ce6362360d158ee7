"""Explanations are exact Shapley values of the scorer's log-odds, against a background that holds nobody's month."""

import hashlib
import itertools
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from pydantic import ValidationError
from sklearn.model_selection import train_test_split

from plan_recommender.background import FEWEST_SUBSCRIBERS, make_background
from plan_recommender.errors import ModelError
from plan_recommender.explainer import MOST_CENTRES, Background, Explainer
from plan_recommender.recommender import Recommender
from plan_recommender.registry import BACKGROUND_FILE, RegisteredModel
from plan_recommender.scorer import INPUT, OUTPUT, Scorer
from plan_recommender.table import read_labelled
from plan_recommender.threshold import Threshold
from plan_recommender.usage import FEATURE_NAMES, CustomerUsage, FeatureMatrix, matrix
from tests.conftest import TrainedModel

PROPERTY = settings(derandomize=True, deadline=None, max_examples=200)
AMOUNT = st.one_of(
    st.floats(min_value=0, allow_infinity=False),
    st.floats(0, 50_000),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-310, 1e308, np.finfo(np.float64).max]),
)
MONTH = st.tuples(AMOUNT, AMOUNT, AMOUNT, AMOUNT)
USUAL = st.tuples(st.floats(0, 200), st.floats(0, 1500), st.floats(0, 150), st.floats(0, 40_000))
SMALL = st.tuples(*[st.floats(0, 5)] * 4)
FURTHEST = 54 * math.log(2)


@pytest.fixture(scope="module")
def explainer(scorer: Scorer, model: RegisteredModel) -> Explainer:
    return Explainer(scorer, model.background())


def scorer_of(score: str, *constants: tuple[str, list[float], list[int]]) -> Scorer:
    """A scorer whose log-odds are `score`, shape (rows, 1), of assignments `output = Operator inputs; ...`."""
    initializers = [helper.make_tensor(name, TensorProto.DOUBLE, shape, values) for name, values, shape in constants]
    steps = [re.split(" = | ", step) for step in score.split("; ")]
    nodes = [
        *(helper.make_node(operator, inputs, [output]) for output, operator, *inputs in steps),
        helper.make_node("Sub", ["score", "score"], ["zero"]),
        helper.make_node("Concat", ["zero", "score"], ["scores"], axis=1),
        helper.make_node("Softmax", ["scores"], [OUTPUT], axis=1),  # unlike Sigmoid, precise for small probabilities
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, [None, w]) for n, w in ((INPUT, 4), (OUTPUT, 2))]
    graph = helper.make_graph(nodes, "hand_made", ends[:1], ends[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Scorer(model.SerializeToString(), Threshold(value=0.5))


def additive(*coefficients: float) -> Scorer:
    return scorer_of("score = MatMul usage w", ("w", list(coefficients), [4, 1]))


def product_of_two() -> Scorer:
    """Log-odds = calls * minutes: an interaction, the same in both; messages and data do nothing."""
    columns = [("first", [1.0, 0, 0, 0], [4, 1]), ("second", [0, 1.0, 0, 0], [4, 1])]
    return scorer_of("a = MatMul usage first; b = MatMul usage second; score = Mul a b", *columns)


def background_of(*centres: tuple[float, ...], weights: list[float] | None = None) -> Background:
    usages = [CustomerUsage(**dict(zip(FEATURE_NAMES, centre, strict=True))) for centre in centres]
    return Background(centres=usages, weights=weights or [1 / len(usages)] * len(usages), typical=usages[0])


def shapley_by_all_orders(scorer: Scorer, background: Background, row: FeatureMatrix) -> npt.NDArray[np.float64]:
    """The definition: let the features join in each of the 24 orders, and average what each changes."""

    def value(held: tuple[int, ...]) -> float:
        mixed = matrix(background.centres).copy()
        mixed[:, list(held)] = row[0, list(held)]
        return float(np.average(scorer.log_odds(mixed), weights=background.weights))

    changes = np.zeros(4)
    orders = list(itertools.permutations(range(4)))
    for order in orders:
        for i, feature in enumerate(order):
            changes[feature] += value(order[: i + 1]) - value(order[:i])
    return changes / len(orders)


@PROPERTY
@given(month=MONTH)
def test_contributions_and_base_value_sum_to_the_log_odds_of_the_row_alone(
    explainer: Explainer, scorer: Scorer, month: tuple[float, ...]
) -> None:
    row = np.array([month])
    found = explainer.explain(row)
    parts = [found.base_value, *found.contributions.tolist()]
    assert all(map(math.isfinite, parts))
    assert math.fsum(parts) == pytest.approx(found.log_odds, rel=1e-9, abs=1e-12 * max(map(abs, parts)))
    assert found.log_odds == scorer.log_odds(row)[0]


@PROPERTY
@given(month=st.one_of(MONTH, USUAL))
def test_log_odds_are_the_logit_of_the_probability(scorer: Scorer, month: tuple[float, ...]) -> None:
    row = np.array([month])
    probability = float(scorer.probabilities(row)[0])
    log_odds = float(scorer.log_odds(row)[0])
    if 1e-15 < probability < 1 - 1e-15:
        lost = 2.0**-53 / (1 - probability)  # near 1, the probability is rounded to a multiple of 2 ** -53
        assert log_odds == pytest.approx(math.log(probability) - math.log1p(-probability), rel=1e-9, abs=2 * lost)
    else:
        assert 33 < abs(log_odds) <= FURTHEST + 1e-9
        assert (log_odds > 0) == (probability > 0.5)


@pytest.mark.parametrize("score", [-800.0, -40.0, -37.0, -36.0, -1.0, 0.0, 1.0, 36.0, 37.0, 40.0, 800.0, 1e300])
def test_log_odds_are_precise_up_to_where_a_probability_cannot_be_told_from_0_or_1(score: float) -> None:
    scorer = additive(1, -1, 0, 0)
    row = np.array([[max(score, 0), max(-score, 0), 0, 0]])
    assert scorer.log_odds(row)[0] == pytest.approx(max(-FURTHEST, min(FURTHEST, score)), abs=1e-12)
    assert (scorer.probabilities(row)[0] == 1) == (score >= 37)


def test_no_rows_have_no_log_odds(scorer: Scorer) -> None:
    assert scorer.log_odds(np.empty((0, 4))).shape == (0,)


@PROPERTY
@given(month=USUAL)
def test_contributions_are_the_average_over_all_24_orders(
    explainer: Explainer, scorer: Scorer, month: tuple[float, ...]
) -> None:
    row = np.array([month])
    expected = shapley_by_all_orders(scorer, explainer.background, row)
    np.testing.assert_allclose(explainer.explain(row).contributions, expected, rtol=0, atol=1e-11)


@PROPERTY
@given(row=SMALL, centres=st.lists(SMALL, min_size=1, max_size=8))
def test_an_interaction_is_explained_as_by_all_24_orders(
    row: tuple[float, ...], centres: list[tuple[float, ...]]
) -> None:
    scorer, background = product_of_two(), background_of(*centres)
    found = Explainer(scorer, background).explain(np.array([row])).contributions
    expected = shapley_by_all_orders(scorer, background, np.array([row]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_in_an_additive_model_each_contribution_is_coefficient_times_distance_from_the_weighted_mean() -> None:
    coefficients = np.array([0.5, -0.25, 2.0, 0.125])
    centres = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8], [2, 2, 0, 9]])
    weights = [0.5, 0.375, 0.125]
    background = background_of(*map(tuple, centres.tolist()), weights=weights)
    row = np.array([[3.0, 1, 4, 2]])
    found = Explainer(additive(*coefficients), background).explain(row)
    mean = weights @ centres
    assert found.base_value == pytest.approx(coefficients @ mean, abs=1e-12)
    np.testing.assert_allclose(found.contributions, coefficients * (row[0] - mean), rtol=0, atol=1e-12)


def test_features_that_do_nothing_contribute_nothing_and_equal_ones_the_same() -> None:
    background = background_of((1, 2, 3, 4), (2, 1, 7, 5))  # calls and minutes have the same distribution in it
    found = Explainer(product_of_two(), background).explain(np.array([[3.0, 3, 100, 200]])).contributions
    np.testing.assert_allclose(found[2:], 0, rtol=0, atol=1e-14)
    assert found[0] == pytest.approx(found[1], abs=1e-12)
    assert found[0] == pytest.approx((9 - 2) / 2, abs=1e-12)  # the efficiency of two alike: half the difference each


def test_a_request_scores_at_most_900_rows_in_one_call_beside_the_row_alone(
    scorer: Scorer, model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = Explainer(scorer, model.background())
    calls: list[int] = []
    log_odds = scorer.log_odds

    def counted(features: FeatureMatrix) -> npt.NDArray[np.float64]:
        calls.append(len(features))
        return log_odds(features)

    monkeypatch.setattr(scorer, "log_odds", counted)
    explainer.explain(np.array([[85, 516.7, 56, 22696.96]]))
    assert calls == [1, 14 * len(model.background().centres)]
    assert sum(calls) <= 1 + 14 * MOST_CENTRES <= 900


class BrokenScorer(Scorer):
    """Fails as a damaged session would."""

    def __init__(self, fault: Exception | float) -> None:
        self._fault = fault

    def log_odds(self, features: FeatureMatrix) -> npt.NDArray[np.float64]:
        if isinstance(self._fault, Exception):
            raise self._fault
        return np.full(len(features), self._fault)


@pytest.mark.parametrize(
    ("fault", "found"),
    [(RuntimeError("session lost"), "found: session lost"), (math.nan, "found some that are not a number")],
    ids=["raises", "answers NaN"],
)
def test_a_scorer_that_cannot_answer_is_a_model_error(fault: Exception | float, found: str) -> None:
    background = background_of((1, 2, 3, 4))
    assert Explainer(BrokenScorer(0.5), background).explain(np.ones((1, 4))).log_odds == 0.5  # the control
    with pytest.raises(ModelError, match=found):
        Explainer(BrokenScorer(fault), background)


def test_the_registered_background_is_that_of_the_training_part(trained: TrainedModel, model: RegisteredModel) -> None:
    table = read_labelled(trained.data)
    rows, _ = train_test_split(np.arange(3214), test_size=0.2, random_state=42, stratify=table.target)
    training = table.features[rows]
    background = model.background()
    assert background == make_background(training, 42)
    assert background != make_background(training, 43)
    assert matrix(background.centres)[:, 0].tolist() == sorted(matrix(background.centres)[:, 0].tolist())
    typical = matrix([background.typical])[0]
    np.testing.assert_allclose(typical, np.median(training, axis=0), rtol=1e-5)
    mean = np.array(background.weights) @ matrix(background.centres)
    np.testing.assert_allclose(mean, training.mean(axis=0), rtol=1e-5)


def test_a_background_holds_nobodys_month_and_every_centre_is_of_several_subscribers(
    trained: TrainedModel, subscribers: FeatureMatrix
) -> None:
    outlier = np.array([[240, 1600, 230, 49_000.0]])  # k-means gives such a month a cluster of its own
    features = np.concatenate([read_labelled(trained.data).features, outlier])
    background = make_background(features, 42)
    assert 40 <= len(background.centres) <= MOST_CENTRES
    assert min(background.weights) * len(features) >= FEWEST_SUBSCRIBERS - 1e-6
    for centre in matrix(background.centres):
        assert not np.isclose(features, centre, rtol=1e-5).all(axis=1).any()


def test_the_centres_are_nearer_to_the_subscribers_than_one_mean_is(subscribers: FeatureMatrix) -> None:
    features = subscribers[:3000]
    scale = features.std(axis=0)
    centres = matrix(make_background(features, 1).centres)
    nearest = (((features[:, np.newaxis] - centres) / scale) ** 2).sum(axis=2).min(axis=1).mean()
    assert nearest < 0.15 * 4  # four is the mean squared distance from the one mean


def test_of_a_long_table_every_row_counts_though_a_sample_is_clustered(subscribers: FeatureMatrix) -> None:
    features = np.concatenate([subscribers, subscribers[:7777] * 1.5])
    background = make_background(features, 1)
    counts = np.array(background.weights) * len(features)
    np.testing.assert_allclose(counts, counts.round(), rtol=0, atol=1e-6)
    mean = np.array(background.weights) @ matrix(background.centres)
    np.testing.assert_allclose(mean, features.mean(axis=0), rtol=1e-5)


def test_a_missing_value_is_imputed_with_the_median() -> None:
    features = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4], [np.nan, 2, 3, 4], [1, np.nan, np.nan, 4]])
    assert make_background(features, 1) == background_of((1, 2, 3, 4))


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("features", "centres"),
    [
        (np.array([[1.0, 2, 3, 4]]), 1),
        (np.zeros((50, 4)), 1),
        (np.repeat([[1.0, 2, 3, 4], [1, 2, 3, 5], [9, 9, 9, 9]], [10, 10, 10], axis=0), 3),
        (np.repeat([[1.0, 2, 3, 4], [1, 2, 3, 5], [9, 9, 9, 9]], [10, 10, 3], axis=0), 2),
        (np.arange(16.0).reshape(4, 4), 1),
        (RNG.integers(0, 2, (500, 4)) * 1.0, 16),
        (RNG.random((500, 4)) * 1e-300, 1),
    ],
    ids=["one row", "all zero", "three months", "one of them rare", "four rows", "sixteen months", "no variance left"],
)
def test_fewer_distinct_months_than_centres_make_fewer_centres(features: FeatureMatrix, centres: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        background = make_background(features, 1)
    assert len(background.centres) == centres
    assert math.fsum(background.weights) == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"weights": [0.5, 0.25]}, "sum to 1, found a sum of 0.75"),
        ({"weights": [1.0]}, "expected 2 weights, one a centre, found 1"),
        ({"weights": [1.5, -0.5]}, "less than or equal to 1"),
        ({"centres": []}, "at least 1 item"),
        ({"centres": [{"calls": 1.0}] * 2}, "Field required"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_a_background_that_training_would_not_write_is_refused(change: dict[str, object], problem: str) -> None:
    good = background_of((1, 2, 3, 4), (5, 6, 7, 8)).model_dump()
    Background.model_validate(good)  # the control
    with pytest.raises(ValidationError, match=problem):
        Background.model_validate(good | change)


@pytest.fixture
def copied(model: RegisteredModel, copy_store: Callable[[Path], Path], tmp_path: Path) -> RegisteredModel:
    return replace(model, path=copy_store(tmp_path / "home"))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one digit": lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"2", 1)),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "a folder": make_folder,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_background_is_refused_with_its_path_and_what_to_do(copied: RegisteredModel, damage: str) -> None:
    Recommender(copied)  # the control
    path = copied.path / BACKGROUND_FILE
    DAMAGE[damage](path)
    with pytest.raises(ModelError) as caught:
        Recommender(copied)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected the registered background of the explanations, found")
    assert message.endswith("; train again")
    assert "\n" not in message


def test_a_background_of_another_version_is_refused_even_with_its_digest(copied: RegisteredModel) -> None:
    content = b'{"centres":[]}'
    (copied.path / BACKGROUND_FILE).write_bytes(content)
    digests = copied.record.digests | {BACKGROUND_FILE: hashlib.sha256(content).hexdigest()}
    other = replace(copied, record=copied.record.model_copy(update={"digests": digests}))
    with pytest.raises(ModelError, match=r"expected a background of this version; centres: .*; train again$"):
        other.background()
