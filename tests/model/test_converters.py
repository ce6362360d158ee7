"""Whatever candidate wins: what is compiled answers as what was fitted, alone, in a batch, on a boundary."""

import hashlib
import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, PolynomialFeatures, SplineTransformer, StandardScaler

from plan_recommender.compiler import compile_pipeline, prove
from plan_recommender.config import Candidate, ProofSettings, Settings
from plan_recommender.converters import PairwiseLogistic
from plan_recommender.errors import CompileError
from plan_recommender.pipeline import CLASSIFIER, build_pipeline, fit, frame
from plan_recommender.scorer import Scorer
from plan_recommender.threshold import Threshold
from plan_recommender.usage import FEATURE_NAMES, FeatureMatrix
from tests.model.candidates import FAMILIES, HALF, Fitted, fitted, odd_tables, on_shipped, shipped
from tools.serving import ROOT

TOLERANCE = 1e-11
LARGEST = float(np.finfo(np.float64).max)
TYPICAL = np.array([60.0, 420.0, 30.0, 17_000.0])
SHAPES: list[tuple[Candidate, dict[str, Any]]] = [
    *[("spline_logistic", {"knots": k, "placement": p}) for k in (2, 3, 5, 8, 12, 20) for p in ("quantile", "uniform")],
    *[("binned_logistic", {"bins": bins}) for bins in (2, 3, 7, 10, 17, 50)],
    ("boosted_trees", {"trees": 1, "max_leaf_nodes": 2}),
    ("boosted_trees", {"trees": 3, "min_samples_leaf": 5000}),  # every tree is one leaf
    ("boosted_trees", {"trees": 60, "learning_rate": 1.0, "l2_regularization": 0.0, "min_samples_leaf": 1}),
    ("blend", {"quantile_knots": 5, "uniform_knots": 5}),
]
CELL = st.one_of(
    st.floats(0, LARGEST),
    st.floats(0, 50_000),
    st.floats(0, 1e-300),
    st.integers(0, 300).map(float),
    st.sampled_from([0.0, 5e-324, 2.2250738585072014e-308, LARGEST, math.nan]),
)
ROWS = st.lists(st.tuples(CELL, CELL, CELL, CELL), min_size=1, max_size=20)


def name_of(shape: tuple[Candidate, dict[str, Any]]) -> str:
    candidate, parameters = shape
    return " ".join([candidate, *(f"{name}={value}" for name, value in parameters.items())])


def assert_alike(model: Fitted, features: FeatureMatrix) -> None:
    """The compiled model answers as the fitted one, and so decides alike whatever the threshold, but for a hair."""
    expected, found = model.expected(features), model.scorer.probabilities(features)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(found >= 0.5, expected >= 0.5)


def assert_same_bits(model: Fitted, features: FeatureMatrix) -> None:
    """Each row alone gets the bits that it has in the batch."""
    batch = model.scorer.probabilities(features)
    alone = np.array([model.scorer.probabilities(features[i : i + 1])[0] for i in range(len(features))])
    assert batch.tobytes() == alone.tobytes()


@pytest.mark.parametrize("candidate", FAMILIES)
def test_a_compiled_candidate_answers_as_the_fitted_one(candidate: Candidate, subscribers: FeatureMatrix) -> None:
    model = on_shipped(candidate)
    assert_alike(model, np.concatenate([shipped().features, subscribers[:3000]]))


@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_every_shape_of_a_candidate_compiles_to_what_was_fitted(
    shape: tuple[Candidate, dict[str, Any]], subscribers: FeatureMatrix
) -> None:
    candidate, parameters = shape
    model = fitted(candidate, shipped().features[:1200], shipped().target[:1200], **parameters)
    rows = np.concatenate([shipped().features[:700], subscribers[:500]])
    assert_alike(model, rows)
    assert_same_bits(model, rows)


@pytest.mark.parametrize("table", odd_tables())
@pytest.mark.parametrize(
    "shape",
    [
        ("spline_logistic", {}),
        ("spline_logistic", {"knots": 12}),
        ("spline_logistic", {"knots": 4, "placement": "uniform"}),
        ("binned_logistic", {}),
        ("binned_logistic", {"bins": 7}),
        ("boosted_trees", {}),
        ("blend", {}),
    ],
    ids=name_of,
)
def test_odd_tables_compile_to_what_was_fitted(
    shape: tuple[Candidate, dict[str, Any]], table: str, subscribers: FeatureMatrix
) -> None:
    candidate, parameters = shape
    features, target = odd_tables()[table]
    model = fitted(candidate, features, target, **parameters)
    assert_alike(model, np.concatenate([features, subscribers[:300]]))
    assert_same_bits(model, features[:100])


@pytest.mark.parametrize("candidate", FAMILIES)
@settings(derandomize=True, deadline=None, max_examples=60)
@given(rows=ROWS)
def test_any_usage_gets_the_fitted_answer_and_the_same_bits_alone(
    candidate: Candidate, rows: list[tuple[float, ...]]
) -> None:
    model, features = on_shipped(candidate), np.array(rows)
    assert_alike(model, features)
    assert_same_bits(model, features)


@pytest.mark.parametrize("candidate", FAMILIES)
def test_a_row_has_the_same_bits_in_batches_of_every_size_and_at_every_place(
    candidate: Candidate, subscribers: FeatureMatrix
) -> None:
    scorer = on_shipped(candidate).scorer
    rows = subscribers[:1100]
    alone = np.array([scorer.probabilities(rows[i : i + 1])[0] for i in range(len(rows))])
    for size in (*range(1, 71), *range(995, 1006)):  # the scorer works in blocks of 1,000
        first = size % 13  # so that a batch begins at another address
        assert scorer.probabilities(rows[first : first + size]).tobytes() == alone[first : first + size].tobytes()


def boundaries(model: Fitted) -> list[tuple[int, float]]:
    """Where the answer has an edge: (feature, standardised value) of knots, bin edges and the trees' thresholds."""
    found: set[tuple[int, float]] = set()
    classifier = model.classifier
    parts = classifier.estimators_ if hasattr(classifier, "estimators_") else [classifier]
    for part in parts:
        if isinstance(part, HistGradientBoostingClassifier):
            for (tree,) in part._predictors:
                inner = tree.nodes[tree.nodes["is_leaf"] == 0]
                found |= set(zip(inner["feature_idx"].tolist(), inner["num_threshold"].tolist(), strict=True))
        elif "bins" in part.named_steps:
            for i, edges in enumerate(part["bins"].bin_edges_):
                found |= {(i, edge) for edge in edges[1:-1].tolist()}
        else:
            for i, spline in enumerate(part["splines"].bsplines_):
                found |= {(i, knot) for knot in spline.t[3:-3].tolist()}
    return sorted(found)


def beside(model: Fitted) -> tuple[FeatureMatrix, npt.NDArray[np.float64]]:
    """Typical months with one feature at a boundary and the few doubles beside it, and the boundary of each row."""
    rows, edges = [], []
    for feature, edge in boundaries(model):
        usage = edge * model.scaler.scale_[feature] + model.scaler.mean_[feature]
        if usage < 0:
            continue
        ladder = [usage]
        for _ in range(4):
            ladder = [math.nextafter(ladder[0], -math.inf), *ladder, math.nextafter(ladder[-1], math.inf)]
        for value in ladder:
            if value >= 0:
                rows.append(np.where(np.arange(4) == feature, value, TYPICAL))
                edges.append(edge - float((value - model.scaler.mean_[feature]) / model.scaler.scale_[feature]))
    return np.array(rows), np.array(edges)


@pytest.mark.parametrize("candidate", FAMILIES)
def test_values_on_a_boundary_and_beside_it_are_answered_as_by_the_fitted_model(candidate: Candidate) -> None:
    model = on_shipped(candidate)
    rows, distances = beside(model)
    # The rows are where they are meant to be: on the boundary, and on both sides of it.
    assert (distances == 0).any()
    assert (distances > 0).any()
    assert (distances < 0).any()
    assert np.abs(distances).max() < 1e-12
    assert_alike(model, rows)
    assert_same_bits(model, rows[:200])


def test_a_cast_to_single_precision_would_change_decisions_on_the_boundaries_of_trees() -> None:
    """The control of the test above: its rows tell a scorer in single precision from the real one."""
    model = on_shipped("boosted_trees")
    rows, _ = beside(model)
    single = model.standardised(rows).astype(np.float32).astype(np.float64)
    expected, cast = model.expected(rows), model.classifier.predict_proba(single)[:, 1]
    changed = np.flatnonzero(np.abs(expected - cast) > 1e-4)
    assert len(changed) > 20
    for i in changed[:20]:
        threshold = Threshold(value=(expected[i] + cast[i]) / 2)
        scorer = Scorer(model.graph, threshold)
        found = scorer.decide(rows[[i]], scorer.probabilities(rows[[i]]))
        assert found == scorer.decide(rows[[i]], expected[[i]])
        assert found != scorer.decide(rows[[i]], cast[[i]])


@pytest.mark.parametrize("candidate", FAMILIES)
def test_beyond_the_training_data_the_answer_is_that_of_its_edge(candidate: Candidate) -> None:
    scorer = on_shipped(candidate).scorer
    most = shipped().features.max(axis=0)
    for feature in range(4):
        rows = np.repeat(TYPICAL[None], 4, axis=0)
        rows[:, feature] = [most[feature], most[feature] * 2, 1e300, LARGEST]
        assert len(set(scorer.probabilities(rows).tolist())) == 1


@pytest.mark.parametrize("candidate", FAMILIES)
def test_usage_that_overflows_when_standardised_is_answered_as_the_largest_that_does_not(candidate: Candidate) -> None:
    features, target = odd_tables()["few send one"]
    model = fitted(candidate, features, target)
    assert model.scaler.scale_[2] < 1
    rows = np.repeat(TYPICAL[None], 3, axis=0)
    rows[:, 2] = [1e300, 1e308, LARGEST]
    with np.errstate(over="ignore"):
        assert np.isinf((rows[2, 2] - model.scaler.mean_[2]) / model.scaler.scale_[2])  # the control
    answers = model.scorer.probabilities(rows)
    assert len(set(answers.tolist())) == 1
    np.testing.assert_allclose(answers[:1], model.expected(rows[:1]), rtol=0, atol=TOLERANCE)
    proof = prove(model.scorer, model.pipeline, features, ProofSettings(rows=100), seed=1)
    assert (proof.decisions_that_differ, proof.rows_beyond_tolerance) == (0, 0)


def test_the_majority_rule_compiles_so_that_the_gate_can_refuse_it() -> None:
    model = fitted("majority_rule", shipped().features, shipped().target)
    for rows in (1, 3, 1500):
        assert model.scorer.probabilities(shipped().features[:rows]).tolist() == [shipped().target.mean()] * rows


def written_out(form: PairwiseLogistic, x: FeatureMatrix) -> npt.NDArray[np.float64]:
    terms: npt.NDArray[np.float64] = form.constant + (x * (form.linear + x @ form.pairs)).sum(axis=1)
    return terms


def test_the_form_of_a_regression_on_products_by_hand() -> None:
    x, y = np.array([[1.0, 2.0], [3.0, 5.0], [2.0, 2.0], [0.0, 1.0]]), np.array([0, 1, 0, 1])
    products = PolynomialFeatures(2, interaction_only=True, include_bias=False).fit(x)
    scaler = StandardScaler().fit(products.transform(x))
    logistic = LogisticRegression().fit(scaler.transform(products.transform(x)), y)
    # Of columns a, b and ab: the slopes 4, 6, 8 on (a - 1) / 2, (b - 2) / 3, (ab - 3) / 4, and the constant 5.
    scaler.mean_, scaler.scale_ = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])
    logistic.coef_, logistic.intercept_ = np.array([[4.0, 6.0, 8.0]]), np.array([5.0])
    form = PairwiseLogistic.of(products, scaler, logistic)
    assert form.constant == 5 - 4 / 2 * 1 - 6 / 3 * 2 - 8 / 4 * 3 == -7
    assert form.linear.tolist() == [2, 2]
    assert form.pairs.tolist() == [[0, 0], [2, 0]]
    assert written_out(form, np.array([[3.0, 5.0]])).tolist() == [-7 + 2 * 3 + 2 * 5 + 2 * 15]
    unscaled = PairwiseLogistic.of(products, None, logistic)
    assert (unscaled.constant, unscaled.linear.tolist(), unscaled.pairs.tolist()) == (5, [4, 6], [[0, 0], [8, 0]])


@pytest.mark.parametrize("candidate", ["binned_logistic", "spline_logistic"])
def test_the_form_of_a_fitted_candidate_is_its_regression_on_the_products_written_out(candidate: Candidate) -> None:
    steps = on_shipped(candidate).classifier.named_steps
    form = PairwiseLogistic.of(steps["pairs"], steps.get("scaler"), steps["logistic"])
    columns = steps["bins" if candidate == "binned_logistic" else "splines"].transform(
        on_shipped(candidate).standardised(shipped().features)
    )
    products = steps["pairs"].transform(columns)
    expected = steps["logistic"].decision_function(
        steps["scaler"].transform(products) if "scaler" in steps else products
    )
    np.testing.assert_allclose(written_out(form, columns), expected, rtol=0, atol=1e-11)


class Unheard(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier that no converter knows."""

    def fit(self, X: FeatureMatrix, y: object) -> "Unheard":
        self.classes_ = np.array([0, 1])
        self.n_features_in_ = X.shape[1]
        return self


PAIRS = PolynomialFeatures(2, interaction_only=True, include_bias=False)


def on_columns(first: Any, pairs: Any = PAIRS) -> Pipeline:
    return Pipeline([("columns", first), ("pairs", pairs), ("logistic", LogisticRegression(max_iter=500))])


def bins(**changed: Any) -> KBinsDiscretizer:
    return KBinsDiscretizer(3, **{"encode": "onehot-dense", "strategy": "uniform", **changed})


REFUSED: dict[str, tuple[Any, str]] = {
    "splines that go on in a line": (on_columns(SplineTransformer(extrapolation="linear")), "SplineTransformer"),
    "periodic splines": (on_columns(SplineTransformer(extrapolation="periodic")), "SplineTransformer"),
    "splines without one of them": (
        on_columns(SplineTransformer(extrapolation="constant", include_bias=False)),
        "SplineTransformer",
    ),
    "quadratic splines": (on_columns(SplineTransformer(degree=2, extrapolation="constant")), "SplineTransformer"),
    "bins in numbers": (on_columns(bins(encode="ordinal")), "KBinsDiscretizer(encode='onehot-dense')"),
    "squares": (
        on_columns(bins(), PolynomialFeatures(2, include_bias=False)),
        "PolynomialFeatures(2, interaction_only=True",
    ),
    "products of three": (
        on_columns(bins(), PolynomialFeatures(3, interaction_only=True, include_bias=False)),
        "PolynomialFeatures(2, interaction_only=True",
    ),
    "a column of ones": (
        on_columns(bins(), PolynomialFeatures(2, interaction_only=True)),
        "PolynomialFeatures(2, interaction_only=True",
    ),
    "trees on categories": (
        HistGradientBoostingClassifier(max_iter=3, categorical_features=[2], max_bins=255),
        "HistGradientBoostingClassifier on numerical features",
    ),
    "another rule without features": (DummyClassifier(strategy="stratified"), "DummyClassifier(strategy='prior')"),
    "an unheard-of classifier": (Unheard(), "Unable to find a shape calculator for type"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_converters_do_not_know_is_refused_in_one_sentence(kind: str) -> None:
    classifier, named = REFUSED[kind]
    pipeline = build_pipeline("majority_rule", Settings())
    pipeline.steps[-1] = (CLASSIFIER, classifier)
    features = shipped().features[:300].copy()
    features[:, 2] = np.arange(300) % 5  # categories must be few
    pipeline.fit(frame(features), shipped().target[:300])
    if kind == "trees on categories":  # the trees do split on them
        assert any(tree.nodes["is_categorical"].any() for (tree,) in classifier._predictors)
    with pytest.raises(CompileError) as caught:
        compile_pipeline(pipeline)
    message = str(caught.value)
    assert message.startswith("expected a pipeline that compiles to ONNX, found: ")
    assert named in message
    assert "\n" not in message
    assert len(message) < 300


def test_what_the_converters_know_is_not_refused() -> None:
    """The control of the test above: its pipelines differ from this one in what they are refused for."""
    pipeline = build_pipeline("majority_rule", Settings())
    pipeline.steps[-1] = (CLASSIFIER, on_columns(bins()))
    pipeline.fit(frame(shipped().features[:300]), shipped().target[:300])
    scorer = Scorer(compile_pipeline(pipeline), HALF)
    expected = pipeline.predict_proba(frame(shipped().features))[:, 1]
    np.testing.assert_allclose(scorer.probabilities(shipped().features), expected, rtol=0, atol=TOLERANCE)


DIGESTS = """
import hashlib
from plan_recommender.config import Settings
from tests.model.candidates import FAMILIES, fitted, shipped
for name in FAMILIES:
    graph = fitted(name, shipped().features[:400], shipped().target[:400]).graph
    print(hashlib.sha256(graph).hexdigest())
"""


def test_a_candidate_compiles_to_the_same_bytes_again_and_in_processes_that_hash_otherwise() -> None:
    features, target = shipped().features[:400], shipped().target[:400]
    here = []
    for candidate in FAMILIES:
        pipeline = fit(candidate, Settings(), features, target)
        graph = compile_pipeline(pipeline)
        assert compile_pipeline(pipeline) == graph
        here.append(hashlib.sha256(graph).hexdigest())
    assert len(set(here)) == len(FAMILIES)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DIGESTS],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert out.split() == here


def test_the_graph_takes_one_matrix_of_doubles_in_the_order_of_the_features() -> None:
    """Swapping two features changes the answer: the order of the columns is not lost on the way."""
    scorer = on_shipped("boosted_trees").scorer
    assert FEATURE_NAMES == ("calls", "minutes", "messages", "mb_used")
    swapped = TYPICAL[[1, 0, 2, 3]]
    assert scorer.probabilities(TYPICAL[None]) != scorer.probabilities(swapped[None])
