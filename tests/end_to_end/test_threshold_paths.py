"""A threshold is one thing: whatever it is, HTTP, files, evaluation, records and the scorer decide by the same one."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import confusion_matrix

import evaluate
import predict
import train
from plan_recommender.model import store as model_store
from plan_recommender.model.features import FEATURE_NAMES, PLANS
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.store import RegisteredModel
from plan_recommender.training.split import split_table
from tests.conftest import using
from tests.pictures import blank_pictures
from tests.training.candidates import shipped
from tools.server import ROOT, serving

pytestmark = pytest.mark.slow

DATA = ROOT / "users_behavior.csv"
ROWS = np.arange(0, 3000, 10)  # 300 of them, asked of every path
THRESHOLDS: dict[str, dict[str, object]] = {
    "0.5": {"threshold": 0.5},
    "0.3": {"threshold": 0.3},
    "the most profitable": {"threshold": "expected_profit"},
    "three numbers": {
        "threshold": {"light": 0.6, "medium": 0.1, "heavy": 0.9},
        "threshold_segments": "mb_used",
    },
    "the best F1 of each third": {"threshold": "f1", "threshold_segments": "minutes"},
}


@dataclass(frozen=True)
class Trained:
    """A model in a store of its own, and what its run left."""

    home: Path
    artifacts: Path
    model: RegisteredModel

    def decisions(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Of rows of the shipped table, by the registered scorer in this process."""
        scorer, features = self.model.scorer(), shipped().features[rows]
        return scorer.decide(features, scorer.probabilities(features))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """One small model, registered with each of the thresholds."""
    found = {}
    for name, threshold in THRESHOLDS.items():
        folder = tmp_path_factory.mktemp("threshold")
        settings = threshold | {
            "data": {"path": str(DATA)},
            "selection": {
                "candidates": ["majority_rule", "logistic_regression", "boosted_trees"], "folds": 2, "repeats": 1
            },
            "estimators": {"boosted_trees": {"trees": 40}},
            "gate": {"max_ece": 0.2},
            "money": {"bootstrap_samples": 100},
            "proof": {"rows": 500},
        }  # fmt: skip
        (folder / "config.yaml").write_text(json.dumps(settings))  # which is YAML too
        with using(folder / "home"), blank_pictures():
            assert train.main(["--config", str(folder / "config.yaml")]) == 0
            found[name] = Trained(folder / "home", folder / "artifacts", model_store.find())
    return found


def month(row: int) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, shipped().features[row].tolist(), strict=True))


def test_the_models_differ_in_their_thresholds_only_and_decide_otherwise(models: dict[str, Trained]) -> None:
    """The bounds of the thirds are cut points, so that one model's bins are finer; its answers are the same."""
    documents = {name: trained.model.record.digests[DOCUMENT_FILE] for name, trained in models.items()}
    assert len(set(documents.values())) == len(THRESHOLDS)
    answers = [trained.model.scorer().log_odds(shipped().features) for trained in models.values()]
    assert max(np.ptp(answers, axis=0)) <= 1e-12
    decisions = {name: trained.decisions(ROWS).tobytes() for name, trained in models.items()}
    assert len(set(decisions.values())) == len(THRESHOLDS)


def test_the_document_tells_the_threshold_that_was_asked_for(models: dict[str, Trained]) -> None:
    thresholds = {name: trained.model.document().threshold for name, trained in models.items()}
    assert {name: t.objective for name, t in thresholds.items()} == {
        "0.5": "none", "0.3": "none", "the most profitable": "expected_profit", "three numbers": "none",
        "the best F1 of each third": "f1",
    }  # fmt: skip
    assert (thresholds["0.5"].value, thresholds["0.3"].value) == (0.5, 0.3)
    three, best = thresholds["three numbers"].segments, thresholds["the best F1 of each third"].segments
    assert three is not None
    assert best is not None
    assert (three.feature, three.thresholds) == ("mb_used", [0.6, 0.1, 0.9])
    assert best.feature == "minutes"
    assert len(set(best.thresholds)) > 1
    training = shipped().features[split_table(shipped(), 0.2, 42).training]
    assert three.bounds == np.quantile(training[:, 3], [1 / 3, 2 / 3]).tolist()
    assert best.bounds == np.quantile(training[:, 1], [1 / 3, 2 / 3]).tolist()
    for name in ("0.5", "0.3", "the most profitable"):
        assert thresholds[name].segments is None


# One number and one for each segment. Whether they were chosen or given makes no difference to a service, which reads
# them from the model's document; servers with the threshold 0.5 are those of all other tests.
@pytest.mark.parametrize("name", ["the most profitable", "the best F1 of each third"])
def test_a_server_decides_as_the_scorer_does(models: dict[str, Trained], name: str) -> None:
    trained = models[name]
    decisions = trained.decisions(ROWS).tolist()
    probabilities = trained.model.scorer().probabilities(shipped().features[ROWS]).tolist()
    expected = [
        {"prediction": decision, "probability_is_ultra": probability, "recommended_plan": PLANS[decision]}
        for decision, probability in zip(decisions, probabilities, strict=True)
    ]
    months = [month(row) for row in ROWS.tolist()]
    with serving(env={"BENTOML_HOME": str(trained.home)}) as server, httpx.Client(base_url=server.url) as client:
        batch = client.post("/predict_batch", json={"rows": months}, timeout=30).json()
        assert batch == {"predictions": expected, "model": trained.model.tag}
        for usage, answer in zip(months, expected, strict=True):
            assert client.post("/predict", json=usage).json() == answer | {"model": trained.model.tag}
        explanation = client.post("/explain", json=months[0]).json()
        assert {key: explanation[key] for key in expected[0]} == expected[0]
        about = client.get("/model").json()
    threshold = trained.model.document().threshold.model_dump(mode="json")
    assert about["threshold"] == threshold["value"]
    assert about["threshold_objective"] == threshold["objective"]
    assert about["segment_thresholds"] == list(filter(None, [threshold["segments"]]))
    assert about["metrics"] == json.loads((trained.artifacts / "metrics.json").read_text())


@pytest.mark.parametrize("name", THRESHOLDS)
def test_a_file_is_scored_as_the_scorer_decides(models: dict[str, Trained], name: str, tmp_path: Path) -> None:
    trained, output = models[name], tmp_path / "scored.csv"
    header, *lines = DATA.read_text().splitlines()
    # And two who are in no segment, because the feature that tells it is empty.
    source = write(tmp_path / "input.csv", [header, *(lines[i] for i in ROWS), "60,420,30,,0", "60,,30,17000,0"])
    with using(trained.home):
        assert predict.main(["--input", str(source), "--output", str(output)]) == 0
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    scorer = trained.model.scorer()
    features = np.vstack([shipped().features[ROWS], [[60, 420, 30, np.nan], [60, np.nan, 30, 17000]]])
    probabilities = scorer.probabilities(features)
    assert [float(row["proba_is_ultra"]) for row in rows] == probabilities.tolist()
    assert [int(row["pred_is_ultra"]) for row in rows] == scorer.decide(features, probabilities).tolist()


@pytest.mark.parametrize("name", ["three numbers", "the best F1 of each third"])
def test_a_threshold_that_is_given_holds_for_every_segment(
    models: dict[str, Trained], name: str, tmp_path: Path
) -> None:
    trained, output = models[name], tmp_path / "scored.csv"
    with using(trained.home):
        assert predict.main(["--input", str(DATA), "--output", str(output), "--threshold", "0.2"]) == 0
    with output.open(newline="") as file:
        found = [int(row["pred_is_ultra"]) for row in csv.DictReader(file)]
    scorer = trained.model.scorer()
    probabilities = scorer.probabilities(shipped().features)
    assert found == (probabilities >= 0.2).astype(int).tolist()
    assert found != scorer.decide(shipped().features, probabilities).tolist()  # the control


@pytest.mark.parametrize("name", THRESHOLDS)
def test_evaluation_and_metrics_count_what_the_scorer_decides(
    models: dict[str, Trained], name: str, tmp_path: Path
) -> None:
    trained = models[name]
    header, *lines = DATA.read_text().splitlines()
    labelled = write(tmp_path / "labelled.csv", [header, *(lines[i] for i in ROWS)])
    with using(trained.home):
        assert evaluate.main(["--data", str(labelled), "--artifacts", str(tmp_path / "on_the_rows")]) == 0
        assert evaluate.main(["--artifacts", str(tmp_path / "on_the_test_part")]) == 0
    threshold = trained.model.document().threshold.model_dump(mode="json")
    wanted = (threshold["value"], list(filter(None, [threshold["segments"]])))
    test_part = split_table(shipped(), 0.2, 42).test
    for folder, rows in (("on_the_rows", ROWS), ("on_the_test_part", test_part)):
        found = json.loads((tmp_path / folder / "evaluation.json").read_text())
        assert found["confusion_matrix"] == counted(trained, rows)
        assert (found["threshold"], found["segment_thresholds"]) == wanted
    metrics = json.loads((trained.artifacts / "metrics.json").read_text())
    assert metrics["confusion_matrix"] == counted(trained, test_part)
    assert (metrics["threshold"], metrics["segment_thresholds"]) == wanted
    findings = json.loads((trained.artifacts / "findings.json").read_text())
    assert findings["threshold"] == threshold


def counted(trained: Trained, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    tn, fp, fn, tp = confusion_matrix(shipped().target[rows], trained.decisions(rows)).ravel().tolist()
    return {"true_negative": tn, "false_positive": fp, "false_negative": fn, "true_positive": tp}


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
