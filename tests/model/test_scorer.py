"""One scorer for every path: a row alone, in a batch of any size, and read in JavaScript gets the same bits."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from plan_recommender.errors import ModelError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.scorer import BLOCK, Scorer, _Guide
from plan_recommender.model.store import RegisteredModel
from plan_recommender.model.tables import ModelDocument, write_document
from plan_recommender.model.threshold import SegmentThresholds, Threshold
from plan_recommender.training.candidates import frame
from tests.conftest import leave_out
from tests.training.candidates import fitted, shipped
from tools.server import ROOT

PROPERTY = settings(derandomize=True, deadline=None, max_examples=200)
USAGE_CELL = st.one_of(
    st.floats(min_value=0, allow_infinity=False), st.floats(0, 50_000), st.just(math.nan), st.integers(0, 300)
)
ROWS = st.lists(st.tuples(USAGE_CELL, USAGE_CELL, USAGE_CELL, USAGE_CELL), min_size=1, max_size=40)
SEGMENTS = SegmentThresholds(feature="mb_used", bounds=[9_000.0, 20_000.0], thresholds=[0.2, 0.5, 0.7])


def of(document: ModelDocument, threshold: float) -> Scorer:
    return Scorer(document.model_copy(update={"threshold": Threshold(value=threshold)}))


def test_scorer_and_pipeline_decide_alike_and_differ_by_at_most_1e_12(
    scorer: Scorer, pipeline: Pipeline, subscribers: FeatureMatrix
) -> None:
    for features in (shipped().features, subscribers):
        expected = pipeline.predict_proba(frame(features))[:, 1]
        compiled = scorer.probabilities(features)
        np.testing.assert_allclose(compiled, expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(scorer.decide(features, compiled), pipeline.predict(frame(features)))


@PROPERTY
@given(rows=ROWS)
def test_a_row_alone_gets_the_same_bits_as_in_a_batch(scorer: Scorer, rows: list[tuple[float, ...]]) -> None:
    features = np.array(rows, dtype=np.float64)
    batch = scorer.probabilities(features)
    alone = [scorer.recommend(*row) for row in features.tolist()]
    assert batch.tobytes() == np.array([probability for _, probability in alone]).tobytes()
    assert scorer.decide(features, batch).tolist() == [prediction for prediction, _ in alone]
    log_odds = [scorer.log_odds_of(scorer.bins(*row)) for row in features.tolist()]
    assert scorer.log_odds(features).tobytes() == np.array(log_odds).tobytes()


@PROPERTY
@given(rows=ROWS)
def test_any_usage_gets_a_probability(scorer: Scorer, rows: list[list[float]]) -> None:
    probabilities = scorer.probabilities(np.array(rows, dtype=np.float64))
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_a_large_batch_gets_the_same_bits_as_its_parts(scorer: Scorer, subscribers: FeatureMatrix) -> None:
    subscribers = np.tile(subscribers, (2, 1))
    assert len(subscribers) > 2 * BLOCK
    whole = scorer.probabilities(subscribers)
    for size in (1, 7, 64, 4096, BLOCK, BLOCK + 1):
        rows = min(len(subscribers), 600 * size)
        parts = [scorer.probabilities(subscribers[i : min(i + size, rows)]) for i in range(0, rows, size)]
        assert np.concatenate(parts).tobytes() == whole[:rows].tobytes()


CUTS = st.lists(
    st.one_of(st.floats(0, 1.7e308), st.floats(0, 500), st.floats(0, 1e-9), st.sampled_from([0.0, 5e-324, 1e308])),
    max_size=80,
    unique=True,
).map(sorted)


@PROPERTY
@given(cuts=CUTS, values=st.lists(st.floats(0, allow_infinity=False), max_size=20))
def test_a_guide_table_finds_the_bins_of_a_bisection(cuts: list[float], values: list[float]) -> None:
    around = [math.nextafter(cut, direction) for cut in cuts for direction in (0, math.inf)]
    asked = np.array([*values, *cuts, *(value for value in around if math.isfinite(value)), 0.0, -0.0, 1.7e308])
    assert _Guide(cuts).bins(asked).tolist() == np.searchsorted(np.array(cuts), asked).tolist()


def test_no_rows_get_no_answers(scorer: Scorer) -> None:
    probabilities = scorer.probabilities(np.empty((0, 4)))
    assert probabilities.shape == scorer.log_odds(np.empty((0, 4))).shape == (0,)
    assert scorer.decide(np.empty((0, 4)), probabilities).shape == (0,)


def test_rows_that_are_a_view_are_scored_as_their_copy(scorer: Scorer, subscribers: FeatureMatrix) -> None:
    fortran = np.asfortranarray(subscribers[:100])
    strided = subscribers[:200:2]
    np.testing.assert_array_equal(scorer.probabilities(fortran), scorer.probabilities(subscribers[:100].copy()))
    np.testing.assert_array_equal(scorer.probabilities(strided), scorer.probabilities(strided.copy()))


def test_rows_are_left_as_they_were(scorer: Scorer, subscribers: FeatureMatrix) -> None:
    rows = subscribers[:50].copy()
    rows[3, 1] = np.nan
    before = rows.tobytes()
    scorer.probabilities(rows)
    assert rows.tobytes() == before


def test_a_probability_on_the_threshold_is_ultra(model: RegisteredModel, subscribers: FeatureMatrix) -> None:
    document = model.document()
    for row in subscribers[:50].tolist():
        _, probability = of(document, 0.5).recommend(*row)
        for threshold, decision in (
            (probability, 1),
            (math.nextafter(probability, 1), 0),
            (math.nextafter(probability, 0), 1),
        ):
            scorer = of(document, threshold)
            assert scorer.recommend(*row) == (decision, probability)
            assert scorer.decide(np.array([row]), np.array([probability])).tolist() == [decision]


@pytest.mark.parametrize(("threshold", "decisions"), [(0.0, [1, 1, 1]), (0.5, [0, 1, 1]), (1.0, [0, 0, 1])])
def test_the_threshold_decides(model: RegisteredModel, threshold: float, decisions: list[int]) -> None:
    scorer = of(model.document(), threshold)
    assert scorer.decide(np.zeros((3, 4)), np.array([0.0, 0.5, 1.0])).tolist() == decisions


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
    "missing": lambda path: path.unlink(),
    "a folder": make_folder,
}
FILES: dict[str, tuple[str, Callable[[RegisteredModel], object]]] = {
    DOCUMENT_FILE: ("model document", lambda model: model.scorer()),
    "reference.json": ("reference profile", lambda model: model.reference()),
    "training_rows.bin": ("keys of its training rows", lambda model: model.training_rows()),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_with_its_path_and_what_to_do(
    copied: RegisteredModel, name: str, damage: str
) -> None:
    what, read = FILES[name]
    read(copied)  # the control
    path = copied.path / name
    DAMAGE[damage](path)
    with pytest.raises(ModelError) as caught:
        read(copied)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected the registered {what}, found ")
    assert "\n" not in message
    assert "train again" in message


def test_a_file_in_the_place_of_another_is_refused(copied: RegisteredModel) -> None:
    path = copied.path / DOCUMENT_FILE
    shutil.copyfile(path.with_name("reference.json"), path)
    with pytest.raises(ModelError, match="expected the registered model document, found an altered one"):
        copied.scorer()


def in_javascript(document: Path, rows: FeatureMatrix, place: Path) -> list[dict[str, float]]:
    """What the reference reader answers."""
    node = shutil.which("node")
    if node is None:
        leave_out("the reader in JavaScript is not tried: there is no node")
    (place / "rows.json").write_text(
        json.dumps(
            [
                {name: None if math.isnan(v) else v for name, v in zip(FEATURE_NAMES, row, strict=True)}
                for row in rows.tolist()
            ]
        )
    )
    command: list[str | Path] = [node, ROOT / "examples" / "reader.mjs", document, f"@{place / 'rows.json'}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    answers: list[dict[str, float]] = json.loads(ran.stdout)
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("segments", [None, SEGMENTS])
def test_the_reader_in_javascript_gives_the_same_bits(
    segments: SegmentThresholds | None, subscribers: FeatureMatrix, tmp_path: Path
) -> None:
    threshold = Threshold(value=0.45, segments=segments)
    compiled = fitted("boosted_trees", shipped().features, shipped().target, threshold)
    path = tmp_path / "model.json"
    path.write_bytes(write_document(compiled.document))
    cuts = max((feature.cuts for feature in compiled.document.features), key=len)
    around = np.array([v for cut in cuts for v in (math.nextafter(cut, 0), cut, math.nextafter(cut, math.inf))])
    on_cuts = np.tile(np.array([85, 516.7, 56, 22_696.96]), (4 * len(around), 1))
    for i in range(4):
        on_cuts[i * len(around) : (i + 1) * len(around), i] = around
    missing = shipped().features[:200].copy()
    missing[np.random.default_rng(0).random(missing.shape) < 0.3] = np.nan
    extremes = np.array([[0.0] * 4, [-0.0] * 4, [1.7976931348623157e308] * 4, [5e-324] * 4])
    rows = np.concatenate([shipped().features, subscribers, on_cuts, missing, extremes])
    answers = in_javascript(path, rows, tmp_path)
    expected = compiled.scorer.probabilities(rows)
    assert np.array([a["probability_is_ultra"] for a in answers]).tobytes() == expected.tobytes()
    assert [a["prediction"] for a in answers] == compiled.scorer.decide(rows, expected).tolist()
