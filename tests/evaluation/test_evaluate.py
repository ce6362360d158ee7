"""Measuring a registered model: on the rows it never saw, or on any labelled file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

import evaluate
import train
from plan_recommender.config.load import load_settings
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.model import store as model_store
from plan_recommender.model.digests import sha256
from plan_recommender.model.scorer import Scorer
from plan_recommender.training.split import split_table
from tests.conftest import Command, TrainedModel, run
from tools.server import ROOT
from tools.synthesise import main as synthesise

DATA = ROOT / "users_behavior.csv"
FILES = {
    "evaluation.json", "evaluation_roc_curve.png", "evaluation_confusion_matrix.png", "evaluation_calibration.png"
}  # fmt: skip
Table = Callable[..., Path]


def report(artifacts: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((artifacts / "evaluation.json").read_text())
    return document


@pytest.mark.slow
def test_by_default_it_measures_the_part_that_training_held_out(trained: TrainedModel, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    result = run("evaluate.py", "--model", trained.tag, "--artifacts", artifacts)
    assert (result.returncode, result.stderr) == (0, "")
    found, trainings = report(artifacts), json.loads((trained.artifacts / "metrics.json").read_text())
    shared = ("accuracy", "precision", "recall", "f1", "roc_auc", "brier", "log_loss", "confusion_matrix",
              "majority_rule", "threshold", "data_sha256")  # fmt: skip
    assert {key: found[key] for key in shared} == {key: trainings[key] for key in shared}
    assert (found["model"], found["rows"]) == (trained.tag, 643)
    assert result.stdout.splitlines()[0] == (
        f"{trained.tag} on the 643 rows of {DATA.name} that it was never trained on, 30.6% Ultra, threshold 0.5"
    )
    assert {path.name for path in artifacts.iterdir()} == FILES


def test_any_labelled_file_is_measured_whole(
    command: Command, trained: TrainedModel, scorer: Scorer, tmp_path: Path
) -> None:
    data = tmp_path / "later.csv"
    synthesise(["--rows", "700", "--seed", "5", "--out", str(data)])
    artifacts = tmp_path / "artifacts"
    answer = command(evaluate.main, "--data", data, "--model", trained.tag, "--artifacts", artifacts)
    assert (answer.code, answer.err) == (0, "")
    table = read_labelled(data)
    probabilities = scorer.probabilities(table.features)
    found = report(artifacts)
    assert found["accuracy"] == accuracy_score(table.target, probabilities >= 0.5)
    assert found["roc_auc"] == roc_auc_score(table.target, probabilities)
    assert (found["rows"], found["data_sha256"]) == (700, sha256(data))
    assert found["majority_rule"]["accuracy"] == 1 - table.target.mean()
    share = 788 / 2571  # the rule knows the training part only
    assert found["majority_rule"]["brier"] == pytest.approx(np.mean((table.target - share) ** 2), rel=1e-12)
    assert f"all 700 rows of {data}, " in answer.out
    assert "honest" not in answer.out


@pytest.mark.slow
def test_the_training_table_as_a_file_is_measured_with_a_warning(
    command: Command, trained: TrainedModel, tmp_path: Path
) -> None:
    answer = command(evaluate.main, "--data", DATA, "--model", trained.tag, "--artifacts", tmp_path / "artifacts")
    assert answer.code == 0
    assert report(tmp_path / "artifacts")["rows"] == 3214
    assert "(of which it was trained on 2,571, which flatters it: leave --data out for an honest figure)" in answer.out
    # So is a part of it in another file, with a column more.
    part = tmp_path / "part.csv"
    header, *lines = DATA.read_text().splitlines()
    part.write_text("\n".join([f"{header},region", *(f"{line},north" for line in lines[:1000])]) + "\n")
    again = command(evaluate.main, "--data", part, "--model", trained.tag, "--artifacts", tmp_path / "again")
    seen = np.isin(np.arange(1000), split_table(read_labelled(DATA), 0.2, 42).training).sum()
    assert f"all 1,000 rows of {part} (of which it was trained on {seen}, which flatters it" in again.out


@pytest.mark.slow
def test_the_model_that_is_named_is_measured_and_not_the_latest(
    command: Command, store: Path, quick: Path, tmp_path: Path
) -> None:
    artifacts = tmp_path / "artifacts"
    tags, measured = [], []
    for seed in (1, 2):
        assert command(train.main, "--config", quick, "--seed", seed).code == 0
        tags.append(model_store.find().tag)
        measured.append(json.loads((artifacts / "metrics.json").read_text()))
    for tag, trainings in zip(tags, measured, strict=True):
        assert command(evaluate.main, "--model", tag, "--artifacts", artifacts).code == 0
        assert report(artifacts)["model"] == tag
        assert report(artifacts)["roc_auc"] == trainings["roc_auc"]
    assert measured[0]["roc_auc"] != measured[1]["roc_auc"]
    assert json.loads((artifacts / "metrics.json").read_text()) == measured[1]  # training's artifacts stay


@pytest.mark.slow
def test_a_training_table_that_has_changed_or_gone_is_told(
    command: Command, store: Path, quick: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.csv"
    shutil.copyfile(DATA, data)
    assert command(train.main, "--config", quick, "--data", data).code == 0
    tag, artifacts = model_store.find().tag, load_settings(quick).artifacts.directory
    assert command(evaluate.main, "--artifacts", artifacts).code == 0  # the control
    (artifacts / "evaluation.json").unlink()
    before = sha256(data)
    with data.open("a") as file:
        file.write("1,2,3,4,0\n")
    answer = command(evaluate.main, "--artifacts", artifacts)
    assert (answer.code, answer.err) == (
        2,
        f"error: {data}: expected the table that {tag} was trained on (SHA-256 {before}), found another "
        f"({sha256(data)}), of which no test part is known; pass --data to measure on all of its rows\n",
    )
    data.unlink()
    answer = command(evaluate.main, "--artifacts", artifacts)
    assert (answer.code, answer.err) == (
        2, f"error: expected {data}, the table that {tag} was trained on, found no such file; "
        "run this in the folder where it was trained, with --artifacts the folder of that run, or pass --data\n"
    )  # fmt: skip
    answer = command(evaluate.main, "--artifacts", tmp_path / "elsewhere")
    assert answer.err.startswith("error: expected data.csv, the table that"), "the model names no folder"
    assert not (artifacts / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["1,2,3,4,1"] * 3, "expected both labels 0 and 1 in column 'is_ultra', found only 1 in all 3 rows"),
        (["1,2,3,4,1", "1,2,3,4,"], "column 'is_ultra', row 2: expected 0 or 1, or Smart or Ultra, found no label"),
        (["1,2,3,-4,1"], "column 'mb_used', row 1: expected a finite number that is not negative"),
        ([], "expected at least one row after the header, found none"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_and_changes_nothing(
    command: Command, trained: TrainedModel, table: Table, tmp_path: Path, lines: list[str], sentence: str
) -> None:
    path, artifacts = table(*lines), tmp_path / "artifacts"
    answer = command(evaluate.main, "--data", path, "--model", trained.tag, "--artifacts", artifacts)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {path}: {sentence}")
    assert answer.err.count("\n") == 1
    assert not artifacts.exists()


def test_empty_cells_are_imputed_however_many(command: Command, trained: TrainedModel, table: Table) -> None:
    path = table(",,,,0", "1,,,,1", ",2,,,0")
    answer = command(evaluate.main, "--data", path, "--model", trained.tag, "--artifacts", path.with_name("artifacts"))
    assert (answer.code, answer.err) == (0, "")
    assert report(path.with_name("artifacts"))["rows"] == 3


@pytest.mark.slow
def test_a_failure_on_the_way_leaves_the_previous_report(
    command: Command, trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = tmp_path / "artifacts"
    arguments = ["--data", str(DATA), "--model", trained.tag, "--artifacts", str(artifacts)]
    assert command(evaluate.main, *arguments).code == 0
    before = {path.name: path.read_bytes() for path in artifacts.iterdir()}

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(evaluate, "plot_confusion_matrix", fail)
        answer = command(evaluate.main, *arguments[2:])
    assert (answer.code, answer.err) == (2, "interrupted\n")
    assert {path.name: path.read_bytes() for path in artifacts.iterdir()} == before
    assert command(evaluate.main, *arguments[2:]).code == 0  # the control
    assert report(artifacts)["rows"] == 643


def test_an_unknown_model_is_refused(command: Command, trained: TrainedModel, tmp_path: Path) -> None:
    answer = command(evaluate.main, "--model", "plan_recommender:none", "--artifacts", tmp_path / "artifacts")
    assert answer.code == 2
    assert answer.err.startswith("error: expected the model plan_recommender:none in the BentoML model store ")
    assert list(tmp_path.iterdir()) == []
