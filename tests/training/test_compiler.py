"""Whatever candidate wins: the tables answer as what was fitted, change side at the same doubles, and are purified."""

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline

from plan_recommender.config.settings import Candidate, ProofSettings
from plan_recommender.errors import CompileError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.model.tables import PAIRS, FeatureTable, write_document
from plan_recommender.model.threshold import SegmentThresholds, Threshold
from plan_recommender.training import compiler
from plan_recommender.training.candidates import CLASSIFIER, PREPROCESSOR, USAGE, frame
from plan_recommender.training.compiler import compile_pipeline, prove
from tests.training.candidates import FAMILIES, HALF, Fitted, fitted, odd_tables, on_shipped, shipped
from tools.server import ROOT

TOLERANCE = 1e-12
LARGEST = float(np.finfo(np.float64).max)
QUICK = ProofSettings(rows=500)
SHAPES: list[tuple[Candidate, dict[str, Any]]] = [
    *[("binned_logistic", {"bins": bins}) for bins in (2, 3, 7, 10, 17, 50)],
    *[("binned_logistic", {"knots": knots}) for knots in (2, 4, 20)],
    ("binned_logistic", {"C": 0.1}),
    ("average", {}),
    ("boosted_trees", {"trees": 1, "max_leaf_nodes": 2}),
    ("boosted_trees", {"trees": 3, "min_samples_leaf": 5000}),  # every tree is one leaf
    ("boosted_trees", {"trees": 60, "learning_rate": 0.3, "l2_regularization": 0.0, "min_samples_leaf": 1}),
    ("boosted_trees", {"trees": 300, "max_leaf_nodes": 24}),
]
CELL = st.one_of(
    st.floats(0, 1e300),
    st.floats(0, 50_000),
    st.floats(0, 1e-300),
    st.integers(0, 300).map(float),
    st.sampled_from([0.0, 5e-324, 2.2250738585072014e-308, math.nan]),
)
ROWS = st.lists(st.tuples(CELL, CELL, CELL, CELL), min_size=1, max_size=20)


def name_of(shape: tuple[Candidate, dict[str, Any]]) -> str:
    candidate, parameters = shape
    return " ".join([candidate, *(f"{name}={value}" for name, value in parameters.items())])


def assert_alike(model: Fitted, features: FeatureMatrix) -> None:
    """The tables answer as what was fitted, and each row alone gets the bits that it has among others."""
    expected, found = model.expected(features), model.scorer.log_odds(features)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(found >= 0, expected >= 0)
    alone = [model.scorer.recommend(*row)[1] for row in features.tolist()]
    assert model.scorer.probabilities(features).tobytes() == np.array(alone).tobytes()


def around(feature: FeatureTable) -> list[float]:
    """Every cut of a feature, and the doubles on both sides of it."""
    return [v for cut in feature.cuts for v in (math.nextafter(cut, 0), cut, math.nextafter(cut, math.inf))]


@pytest.mark.parametrize("candidate", FAMILIES)
def test_the_tables_of_a_candidate_answer_as_what_was_fitted(candidate: Candidate, subscribers: FeatureMatrix) -> None:
    assert_alike(on_shipped(candidate), np.concatenate([shipped().features, subscribers[:3000]]))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_every_shape_of_a_candidate_compiles_to_what_was_fitted(
    shape: tuple[Candidate, dict[str, Any]], subscribers: FeatureMatrix
) -> None:
    candidate, parameters = shape
    model = fitted(candidate, shipped().features[:1200], shipped().target[:1200], **parameters)
    assert_alike(model, np.concatenate([shipped().features[:700], subscribers[:500]]))


@pytest.mark.parametrize("table", odd_tables())
@pytest.mark.parametrize(
    "shape",
    [("binned_logistic", {"bins": 20}), ("binned_logistic", {"bins": 7, "knots": 4}), ("boosted_trees", {})],
    ids=name_of,
)
def test_odd_tables_compile_to_what_was_fitted(
    shape: tuple[Candidate, dict[str, Any]], table: str, subscribers: FeatureMatrix
) -> None:
    candidate, parameters = shape
    features, target = odd_tables()[table]
    model = fitted(candidate, features, target, **parameters)
    assert_alike(model, np.concatenate([features, subscribers[:300]]))


@pytest.mark.parametrize("candidate", FAMILIES)
@settings(derandomize=True, deadline=None, max_examples=60)
@given(rows=ROWS)
def test_any_usage_gets_the_fitted_answer(candidate: Candidate, rows: list[tuple[float, ...]]) -> None:
    assert_alike(on_shipped(candidate), np.array(rows))


@pytest.mark.parametrize("candidate", FAMILIES)
def test_at_every_cut_document_and_pipeline_change_side_at_the_same_double(candidate: Candidate) -> None:
    model = on_shipped(candidate)
    rows = []
    for i, feature in enumerate(model.document.features):
        assert feature.cuts
        for row in shipped().features[:40].tolist():
            rows += [[*row[:i], value, *row[i + 1 :]] for value in around(feature)]
    assert_alike(model, np.array(rows))


def test_a_cut_that_is_one_double_off_is_noticed(subscribers: FeatureMatrix) -> None:
    model = on_shipped("boosted_trees")
    prove(model.document, model.pipeline, shipped().features, QUICK, seed=1)  # the control
    for i, j in ((0, 3), (3, -1)):
        for towards in (0.0, math.inf):
            features = list(model.document.features)
            cuts = list(features[i].cuts)
            cuts[j] = math.nextafter(cuts[j], towards)
            features[i] = features[i].model_copy(update={"cuts": cuts})
            moved = model.document.model_copy(update={"features": features})
            with pytest.raises(CompileError, match="the model was not registered"):
                prove(moved, model.pipeline, shipped().features, QUICK, seed=1)


SMALL: dict[Candidate, dict[str, Any]] = {
    "binned_logistic": {"bins": 4, "knots": 3},
    "boosted_trees": {"trees": 3},
    "average": {"bins": 4, "knots": 3, "trees": 3},
}


@pytest.mark.parametrize("candidate", FAMILIES)
def test_a_curve_is_what_a_feature_adds_and_a_map_what_the_pair_adds_beside_the_curves(candidate: Candidate) -> None:
    """By their definition: means of the pipeline's own answers, in every combination of the bins of a small model."""
    model = fitted(candidate, shipped().features[:800], shipped().target[:800], **SMALL[candidate])
    document = model.document
    values = [[*f.cuts, math.nextafter(f.cuts[-1], math.inf)] if f.cuts else [0.0] for f in document.features]
    rows = np.array(np.meshgrid(*values, indexing="ij")).reshape(4, -1).T
    everywhere = model.expected(rows).reshape([len(v) for v in values])
    weights = [feature.weights for feature in document.features]

    def mean(*held: int) -> Any:
        """Over all features but these, each drawn by its weights."""
        left: Any = everywhere
        for i in reversed(range(4)):
            if i not in held:
                left = np.tensordot(left, weights[i], axes=(i, 0))
        return left

    constant = mean()
    assert document.constant == pytest.approx(float(constant), abs=1e-12)
    curves = [mean(i) - constant for i in range(4)]
    for i in range(4):
        np.testing.assert_allclose(document.curves[i], curves[i], rtol=0, atol=1e-12)
    for (i, j), matrix in document.matrices.items():
        beside = mean(i, j) - constant - curves[i][:, np.newaxis] - curves[j]
        np.testing.assert_allclose(matrix, beside, rtol=0, atol=1e-12)


def test_weights_are_the_training_part_s_rows_with_missing_ones_at_the_median() -> None:
    features, target = odd_tables()["empty cells"]
    document = fitted("boosted_trees", features, target).document
    for i, feature in enumerate(document.features):
        column = features[:, i]
        assert feature.median == np.nanmedian(column)
        filled = np.where(np.isnan(column), feature.median, column)
        expected = [int(np.sum((filled > low) & (filled <= high))) for low, high in bins_of(feature)]
        assert feature.training_rows == expected
        assert sum(expected) == len(features)


def test_rows_of_a_plan_and_the_range_are_those_of_the_known_values() -> None:
    features, target = odd_tables()["empty cells"]
    document = fitted("boosted_trees", features, target).document
    for i, feature in enumerate(document.features):
        for label, found in enumerate((feature.smart_rows, feature.ultra_rows)):
            column = features[target == label, i]  # a comparison with NaN is False
            assert found == [int(np.sum((column > low) & (column <= high))) for low, high in bins_of(feature)]
        assert (feature.smallest, feature.largest) == (np.nanmin(features[:, i]), np.nanmax(features[:, i]))
        assert feature.whole == (FEATURE_NAMES[i] in ("calls", "messages"))


def bins_of(feature: FeatureTable) -> list[tuple[float, float]]:
    return list(zip([-math.inf, *feature.cuts], [*feature.cuts, math.inf], strict=True))


def test_the_bounds_of_segments_are_cuts_and_change_no_log_odds(subscribers: FeatureMatrix) -> None:
    segments = SegmentThresholds(feature="messages", bounds=[0.0, 33.25], thresholds=[0.1, 0.4, 0.9])
    plain = on_shipped("boosted_trees")
    threshold = Threshold(value=0.5, segments=segments)
    segmented = fitted("boosted_trees", shipped().features, shipped().target, threshold)
    cuts = [document.features[2].cuts for document in (plain.document, segmented.document)]
    assert set(cuts[1]) - set(cuts[0]) == {math.nextafter(33.25, 0)}  # no usage is below 0
    np.testing.assert_allclose(
        segmented.scorer.log_odds(subscribers), plain.scorer.log_odds(subscribers), rtol=0, atol=TOLERANCE
    )


def test_the_same_pipeline_compiles_to_the_same_bytes(pipeline: Pipeline, model: RegisteredModel) -> None:
    content = (model.path / DOCUMENT_FILE).read_bytes()
    training, target = shipped().features, shipped().target  # of the whole table, so not all of it is the same
    first = compile_pipeline(pipeline, HALF, training, target)
    assert write_document(first) == write_document(compile_pipeline(pipeline, HALF, training, target))
    assert [f.cuts for f in first.features] == [f.cuts for f in model.document().features]
    assert content != write_document(first)


@pytest.mark.slow
def test_another_process_compiles_to_the_same_bytes() -> None:
    def printed(seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": seed}
        ran = subprocess.run(
            [sys.executable, "-m", "tests.programs.compile_candidates"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout

    assert printed("1") == printed("2")


def with_classifier(pipeline: Pipeline, classifier: Any) -> Pipeline:
    other = Pipeline([(PREPROCESSOR, clone(pipeline[PREPROCESSOR])), (CLASSIFIER, classifier)])
    return other.fit(frame(shipped().features), shipped().target)


def test_trees_that_join_three_features_do_not_pass_the_proof() -> None:
    pipeline = on_shipped("boosted_trees").pipeline
    trees = HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=0)
    pairs = clone(trees).set_params(interaction_cst="pairwise")
    for classifier, passes in ((pairs, True), (trees, False)):
        other = with_classifier(pipeline, classifier)
        document = compile_pipeline(other, HALF, shipped().features, shipped().target)
        if passes:
            prove(document, other, shipped().features, QUICK, seed=1)
        else:
            with pytest.raises(CompileError, match=r"differ by at most 1e-12; found .* not registered"):
                prove(document, other, shipped().features, QUICK, seed=1)


def test_an_estimator_of_another_kind_is_not_compiled() -> None:
    pipeline = on_shipped("boosted_trees").pipeline
    forest = with_classifier(pipeline, RandomForestClassifier(n_estimators=3, random_state=0))
    with pytest.raises(CompileError, match="an estimator whose bins are known, found RandomForestClassifier"):
        compile_pipeline(forest, HALF, shipped().features, shipped().target)


def test_a_pipeline_of_another_shape_is_not_compiled() -> None:
    pipeline = on_shipped("boosted_trees").pipeline
    reordered = clone(pipeline)
    reordered.named_steps[PREPROCESSOR].transformers = [
        (name, transformer, columns[::-1]) for name, transformer, columns in reordered[PREPROCESSOR].transformers
    ]
    reordered.fit(frame(shipped().features), shipped().target)
    with pytest.raises(CompileError, match="expected one transformer 'usage' over"):
        compile_pipeline(reordered, HALF, shipped().features, shipped().target)


def test_tables_that_are_too_large_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = on_shipped("boosted_trees").pipeline
    monkeypatch.setattr(compiler, "MAX_BYTES", 10_000)
    with pytest.raises(CompileError, match=r"expected a model of at most 10,000 bytes, found [0-9,]+; fewer"):
        compile_pipeline(pipeline, HALF, shipped().features, shipped().target)


def test_log_odds_beyond_what_sums_exactly_are_not_compiled() -> None:
    pipeline = on_shipped("boosted_trees").pipeline
    steep = with_classifier(pipeline, clone(pipeline[CLASSIFIER]))
    steep.named_steps[CLASSIFIER]._baseline_prediction += 200
    with pytest.raises(CompileError, match="found: expected log-odds below 128, found up to"):
        compile_pipeline(steep, HALF, shipped().features, shipped().target)


def test_the_proof_fails_for_the_tables_of_another_pipeline(subscribers: FeatureMatrix) -> None:
    pipeline = on_shipped("boosted_trees").pipeline
    table = subscribers[:1000]
    document = compile_pipeline(pipeline, HALF, shipped().features, shipped().target)
    proof = prove(document, pipeline, table, QUICK, seed=1)
    cuts = sum(len({*around(feature)}) for feature in document.features)
    assert proof.rows == 1000 + 500 + 20 + 20 * cuts + 7**4
    assert proof.decisions_that_differ == 0
    assert proof.largest_difference <= TOLERANCE
    another = clone(pipeline).fit(frame(shipped().features[:800]), shipped().target[:800])
    with pytest.raises(CompileError, match=rf"on all {proof.rows:,} rows.* the model was not registered"):
        prove(document, another, table, QUICK, seed=1)


def test_the_proof_fails_when_only_log_odds_differ(subscribers: FeatureMatrix) -> None:
    pipeline = on_shipped("boosted_trees").pipeline
    shifted = clone(pipeline).fit(frame(shipped().features), shipped().target)
    shifted.named_steps[CLASSIFIER]._baseline_prediction += 1e-11
    # So that no decision can differ:
    document = compile_pipeline(shifted, Threshold(value=0.0), shipped().features, shipped().target)
    with pytest.raises(CompileError, match=r"found 0 other decisions and a largest difference of 1\.\d*e-11;"):
        prove(document, with_classifier(pipeline, clone(pipeline[CLASSIFIER])), subscribers[:1000], QUICK, seed=1)
    prove(document, shifted, subscribers[:1000], QUICK, seed=1)


def test_the_proof_fails_when_only_a_decision_differs() -> None:
    """A threshold between two probabilities of one row that are equal but for rounding."""
    model = on_shipped("boosted_trees")
    expected = 1 / (1 + np.exp(-model.expected(shipped().features)))
    found = model.scorer.probabilities(shipped().features)
    row = int(np.argmax(expected - found))
    assert 0 < expected[row] - found[row] < 1e-12
    document = model.document.model_copy(update={"threshold": Threshold(value=float(expected[row]))})
    with pytest.raises(CompileError, match=r"found [1-9]\d* other decisions and a largest difference of \S*e-1[34];"):
        prove(document, model.pipeline, shipped().features, QUICK, seed=1)


def test_usage_beyond_what_the_pipeline_can_standardise_is_answered_as_the_largest_that_it_can() -> None:
    model = on_shipped("boosted_trees")
    largest = np.array([[LARGEST] * 4, [1e300] * 4])
    assert len(set(model.scorer.log_odds(largest).tolist())) == 1


def test_a_missing_value_is_the_training_median(pipeline: Pipeline, scorer: Scorer) -> None:
    medians = pipeline.named_steps[PREPROCESSOR].named_transformers_[USAGE]["imputer"].statistics_
    for i in range(len(FEATURE_NAMES)):
        rows = shipped().features[:50].copy()
        rows[:, i] = np.nan
        filled = np.where(np.isnan(rows), medians, rows)
        assert scorer.probabilities(rows).tobytes() == scorer.probabilities(filled).tobytes()
        assert [scorer.recommend(*row) for row in rows.tolist()] == [scorer.recommend(*row) for row in filled.tolist()]


def test_there_is_a_map_of_every_pair() -> None:
    assert PAIRS == ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
