"""The compiled scorer answers as the pipeline does, and is loaded only when it is the one that was registered."""

import hashlib
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from plan_recommender.compiler import compile_pipeline, prove
from plan_recommender.config import ProofSettings
from plan_recommender.errors import CompileError, ModelError
from plan_recommender.pipeline import CLASSIFIER, PREPROCESSOR, USAGE, frame
from plan_recommender.registry import SCORER_FILE, RegisteredModel
from plan_recommender.scorer import INPUT, OUTPUT, Scorer, load_scorer
from plan_recommender.table import read_labelled
from plan_recommender.threshold import Threshold
from plan_recommender.usage import FeatureMatrix
from tools.serving import ROOT

PROPERTY = settings(derandomize=True, deadline=None, max_examples=200)
HALF = Threshold(value=0.5)
QUICK = ProofSettings(rows=500)
USAGE_CELL = st.one_of(
    st.floats(min_value=0, allow_infinity=False), st.floats(0, 50_000), st.just(math.nan), st.integers(0, 300)
)
ROWS = st.lists(st.tuples(USAGE_CELL, USAGE_CELL, USAGE_CELL, USAGE_CELL), min_size=1, max_size=40)


def test_scorer_and_pipeline_decide_alike_and_differ_by_at_most_1e_12(
    scorer: Scorer, pipeline: Pipeline, subscribers: FeatureMatrix
) -> None:
    for features in (read_labelled(ROOT / "users_behavior.csv").features, subscribers):
        expected = pipeline.predict_proba(frame(features))[:, 1]
        compiled = scorer.probabilities(features)
        np.testing.assert_allclose(compiled, expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(scorer.decide(features, compiled), pipeline.predict(frame(features)))


@PROPERTY
@given(rows=ROWS)
def test_scorer_and_pipeline_agree_on_any_usage(scorer: Scorer, pipeline: Pipeline, rows: list[list[float]]) -> None:
    features = np.array(rows, dtype=np.float64)
    expected = pipeline.predict_proba(frame(features))[:, 1]
    np.testing.assert_allclose(scorer.probabilities(features), expected, rtol=0, atol=1e-12)


@PROPERTY
@given(rows=ROWS)
def test_a_row_alone_gets_the_same_bits_as_in_a_batch(scorer: Scorer, rows: list[list[float]]) -> None:
    features = np.array(rows, dtype=np.float64)
    batch = scorer.probabilities(features)
    alone = [scorer.probabilities(features[i : i + 1])[0] for i in range(len(features))]
    assert batch.tobytes() == np.array(alone).tobytes()


@PROPERTY
@given(rows=ROWS)
def test_any_usage_gets_a_probability(scorer: Scorer, rows: list[list[float]]) -> None:
    probabilities = scorer.probabilities(np.array(rows, dtype=np.float64))
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_a_large_batch_gets_the_same_bits_as_its_parts(scorer: Scorer, subscribers: FeatureMatrix) -> None:
    whole = scorer.probabilities(subscribers)
    for size in (1, 7, 64, 4096):
        parts = [scorer.probabilities(subscribers[i : i + size]) for i in range(0, 5000, size)]
        assert np.concatenate(parts)[:5000].tobytes() == whole[:5000].tobytes()


def test_no_rows_get_no_answers(scorer: Scorer) -> None:
    probabilities = scorer.probabilities(np.empty((0, 4)))
    assert probabilities.shape == (0,)
    assert scorer.decide(np.empty((0, 4)), probabilities).shape == (0,)


def test_rows_that_are_a_view_are_scored_as_their_copy(scorer: Scorer, subscribers: FeatureMatrix) -> None:
    fortran = np.asfortranarray(subscribers[:100])
    strided = subscribers[:200:2]
    np.testing.assert_array_equal(scorer.probabilities(fortran), scorer.probabilities(subscribers[:100].copy()))
    np.testing.assert_array_equal(scorer.probabilities(strided), scorer.probabilities(strided.copy()))


@PROPERTY
@given(rows=ROWS)
def test_a_missing_value_is_the_training_median(scorer: Scorer, pipeline: Pipeline, rows: list[list[float]]) -> None:
    medians = pipeline.named_steps[PREPROCESSOR].named_transformers_[USAGE]["imputer"].statistics_
    features = np.array(rows, dtype=np.float64)
    filled = np.where(np.isnan(features), medians, features)
    assert scorer.probabilities(features).tobytes() == scorer.probabilities(filled).tobytes()


def test_a_probability_on_the_threshold_is_ultra(model: RegisteredModel, subscribers: FeatureMatrix) -> None:
    graph = (model.path / SCORER_FILE).read_bytes()
    for probability in Scorer(graph, HALF).probabilities(subscribers[:50]).tolist():
        on = np.array([probability])
        for threshold, decision in (
            (probability, 1),
            (math.nextafter(probability, 1), 0),
            (math.nextafter(probability, 0), 1),
        ):
            assert Scorer(graph, Threshold(value=threshold)).decide(subscribers[:1], on).tolist() == [decision]


@pytest.mark.parametrize(("threshold", "decisions"), [(0.0, [1, 1, 1]), (0.5, [0, 1, 1]), (1.0, [0, 0, 1])])
def test_the_threshold_decides(model: RegisteredModel, threshold: float, decisions: list[int]) -> None:
    scorer = Scorer((model.path / SCORER_FILE).read_bytes(), Threshold(value=threshold))
    assert scorer.decide(np.zeros((3, 4)), np.array([0.0, 0.5, 1.0])).tolist() == decisions


def test_the_same_pipeline_compiles_to_the_same_bytes(pipeline: Pipeline, model: RegisteredModel) -> None:
    graph = compile_pipeline(pipeline)
    assert graph == compile_pipeline(pipeline) == (model.path / SCORER_FILE).read_bytes()


def another(pipeline: Pipeline) -> Pipeline:
    table = read_labelled(ROOT / "users_behavior.csv")
    return clone(pipeline).fit(frame(table.features[:800]), table.target[:800])


def test_the_proof_fails_for_the_scorer_of_another_pipeline(
    scorer: Scorer, pipeline: Pipeline, subscribers: FeatureMatrix
) -> None:
    table = subscribers[:1000]
    proof = prove(scorer, pipeline, table, QUICK, seed=1)
    assert (proof.rows, proof.decisions_that_differ, proof.rows_beyond_tolerance) == (1000 + 500 + 7**4, 0, 0)
    assert proof.largest_difference <= 1e-12
    with pytest.raises(CompileError, match=r"on all 3,901 rows .* the model was not registered"):
        prove(scorer, another(pipeline), table, QUICK, seed=1)


def test_the_proof_fails_when_only_probabilities_differ(pipeline: Pipeline, subscribers: FeatureMatrix) -> None:
    shifted = clone(pipeline).fit(*training_part())
    shifted.named_steps[CLASSIFIER]._baseline_prediction += 1e-2
    always_ultra = Scorer(compile_pipeline(shifted), Threshold(value=0.0))  # so that no decision can differ
    with pytest.raises(CompileError, match=r"found 0 other decisions and [1-9][0-9,]* larger differences"):
        prove(always_ultra, pipeline, subscribers[:1000], QUICK, seed=1)
    prove(always_ultra, shifted, subscribers[:1000], QUICK, seed=1)


def training_part() -> tuple[object, object]:
    table = read_labelled(ROOT / "users_behavior.csv")
    return frame(table.features), table.target


def test_a_pipeline_of_another_shape_is_not_compiled(pipeline: Pipeline) -> None:
    reordered = clone(pipeline)
    reordered.named_steps[PREPROCESSOR].transformers = [
        (name, transformer, columns[::-1]) for name, transformer, columns in reordered[PREPROCESSOR].transformers
    ]
    reordered.fit(*training_part())
    with pytest.raises(CompileError, match="expected one transformer 'usage' over"):
        compile_pipeline(reordered)


@pytest.fixture
def copied(model: RegisteredModel, copy_store: Callable[[Path], Path], tmp_path: Path) -> RegisteredModel:
    return replace(model, path=copy_store(tmp_path / "home"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "one bit": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "another file": lambda path: shutil.copyfile(path.with_name("reference.json"), path),
    "missing": lambda path: path.unlink(),
    "a folder": make_folder,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_scorer_is_refused_with_its_path_and_what_to_do(copied: RegisteredModel, damage: str) -> None:
    copied.scorer()  # the control
    path = copied.path / SCORER_FILE
    DAMAGE[damage](path)
    with pytest.raises(ModelError) as caught:
        copied.scorer()
    message = str(caught.value)
    assert message.startswith(f"{path}: expected the ")
    assert "\n" not in message
    assert "train again" in message


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_reference_is_refused_with_its_path_and_what_to_do(copied: RegisteredModel, damage: str) -> None:
    assert copied.reference().startswith(b"{")
    path = copied.path / "reference.json"
    if damage == "another file":
        shutil.copyfile(path.with_name(SCORER_FILE), path)
    else:
        DAMAGE[damage](path)
    with pytest.raises(ModelError) as caught:
        copied.reference()
    assert str(caught.value).startswith(f"{path}: expected the registered reference profile, found ")
    assert "train again" in str(caught.value)


def test_bytes_that_are_no_graph_are_refused_even_with_their_digest(tmp_path: Path) -> None:
    path = tmp_path / "scorer.onnx"
    path.write_bytes(b"not a graph")
    digest = hashlib.sha256(b"not a graph").hexdigest()
    with pytest.raises(ModelError) as caught:
        load_scorer(path, digest, HALF)
    assert str(caught.value).startswith(f"{path}: expected a compiled scorer (ONNX), found: ")


@pytest.mark.parametrize(
    ("name", "kind", "width", "fits"),
    [
        (INPUT, TensorProto.DOUBLE, 4, True),
        ("x", TensorProto.DOUBLE, 4, False),
        (INPUT, TensorProto.FLOAT, 4, False),
        (INPUT, TensorProto.DOUBLE, 5, False),
    ],
)
def test_a_graph_with_other_inputs_is_refused(name: str, kind: int, width: int, fits: bool) -> None:
    graph = identity(name, kind, width).SerializeToString()
    if fits:
        assert Scorer(graph, HALF).probabilities(np.array([[0.1, 0.2, 0.3, 0.4]])).tolist() == [0.2]
    else:
        with pytest.raises(ModelError, match="expected a compiled scorer with"):
            Scorer(graph, HALF)


def identity(name: str, kind: int, width: int) -> ModelProto:
    node = helper.make_node("Identity", [name], [OUTPUT])
    ends = [helper.make_tensor_value_info(n, kind, [None, width]) for n in (name, OUTPUT)]
    graph = helper.make_graph([node], "identity", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
