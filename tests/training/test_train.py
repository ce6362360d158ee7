"""Training: reproducible, measured honestly, registered whole or not at all.

The file is long because runs that go well and runs that break are held against the same description of a whole result:
the artifacts, their metrics, and the state of the store.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bentoml
import joblib
import numpy as np
import pytest
from bentoml._internal.models import ModelStore
from sklearn import metrics as sk
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

import train
from plan_recommender import cli
from plan_recommender.config.load import load_settings
from plan_recommender.data import outputs
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.model import store as model_store
from plan_recommender.model.digests import sha256
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.model.record import DOCUMENT_FILE, MODEL_NAME, PIPELINE_FILE
from plan_recommender.model.store import RegisteredModel
from plan_recommender.model.tables import write_document
from plan_recommender.report import pages
from plan_recommender.training import publish
from plan_recommender.training import run as run_of_training
from plan_recommender.training.candidates import CLASSIFIER, PREPROCESSOR, USAGE, frame
from plan_recommender.training.run import Trained
from tests.conftest import ONE_THREAD, Answer, Command, TrainedModel, run, write_quick_configuration
from tests.training import disk
from tools.server import ROOT

DATA = ROOT / "users_behavior.csv"
PICTURES = {
    "roc_curve.png", "precision_recall.png", "confusion_matrix.png", "calibration.png",
    "importances.png", "model_curves.png", "model_maps.png",
}  # fmt: skip
ARTIFACTS = PICTURES | {
    "metrics.json", "findings.json", "candidates.csv", "model.joblib", "preprocessor.joblib",
    "run.json", "report.html", "model_card.md", "data_card.md", DOCUMENT_FILE,
}  # fmt: skip
TIMED = {"run.json", "report.html", "candidates.csv"}  # they tell the time, the tag, or how long fits took
KILLS = 3
WRITING_SECONDS = 1.2  # about as long as a run writes; a later kill finds it done


class InjectedError(Exception):
    """What the tests break a run with."""


def state(store: Path, artifacts: Path) -> dict[str, str]:
    """Every file of the store and the artifacts, by its SHA-256."""
    files = [p for folder in (store, artifacts) for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def metrics_of(artifacts: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((artifacts / "metrics.json").read_text())
    return document


def test_all_artifacts_are_there(trained: TrainedModel) -> None:
    assert {path.name for path in trained.artifacts.iterdir()} == ARTIFACTS
    for name in PICTURES:
        assert (trained.artifacts / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_majority_rule_is_measured_exactly(trained: TrainedModel) -> None:
    rule = metrics_of(trained.artifacts)["majority_rule"]
    assert rule["confusion_matrix"] == {
        "true_negative": 446, "false_positive": 0, "false_negative": 197, "true_positive": 0
    }  # fmt: skip
    share = 788 / 2571  # of Ultra in the training part
    assert rule["accuracy"] == 446 / 643
    assert (rule["precision"], rule["recall"], rule["f1"], rule["roc_auc"]) == (0, 0, 0, 0.5)
    assert rule["brier"] == pytest.approx((446 * share**2 + 197 * (1 - share) ** 2) / 643, rel=1e-12)
    assert rule["log_loss"] == pytest.approx(
        -(446 * np.log(1 - share) + 197 * np.log(share)) / 643, rel=1e-12
    )  # fmt: skip


def test_the_metrics_are_what_scikit_learn_finds_for_the_registered_pipeline(
    trained: TrainedModel, pipeline: Pipeline
) -> None:
    table = read_labelled(DATA)
    _, rows = train_test_split(np.arange(3214), test_size=0.2, random_state=42, stratify=table.target)
    target, probabilities = table.target[rows], pipeline.predict_proba(frame(table.features[rows]))[:, 1]
    answers = (probabilities >= 0.5).astype(int)
    found = metrics_of(trained.artifacts)
    tn, fp, fn, tp = (found["confusion_matrix"][k] for k in (
        "true_negative", "false_positive", "false_negative", "true_positive"))  # fmt: skip
    np.testing.assert_array_equal(sk.confusion_matrix(target, answers), [[tn, fp], [fn, tp]])
    assert found["accuracy"] == sk.accuracy_score(target, answers) == (tp + tn) / 643
    assert found["precision"] == sk.precision_score(target, answers) == tp / (tp + fp)
    assert found["recall"] == sk.recall_score(target, answers) == tp / (tp + fn)
    assert found["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn), rel=1e-12)
    # Rows that the pipeline ties may differ in the last digit of the tables' answer, which moves single pairs of rows.
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(target, probabilities), abs=5e-5)
    assert found["brier"] == pytest.approx(np.mean((target - probabilities) ** 2), rel=1e-9)
    assert found["log_loss"] == pytest.approx(sk.log_loss(target, probabilities), rel=1e-9)
    assert (found["test_rows"], found["seed"], found["threshold"]) == (643, 42, 0.5)
    assert found["data_sha256"] == sha256(DATA)


def test_the_pipeline_is_the_one_that_was_asked_for(pipeline: Pipeline) -> None:
    assert list(pipeline.named_steps) == [PREPROCESSOR, CLASSIFIER]
    classifier = pipeline.named_steps[CLASSIFIER]
    trees = getattr(classifier, "named_estimators_", {"trees": classifier})["trees"].get_params()
    asked = {"max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 8, "min_samples_leaf": 15,
             "l2_regularization": 5.0, "interaction_cst": "pairwise", "early_stopping": False,
             "random_state": 42}  # fmt: skip
    assert {name: trees[name] for name in asked} == asked
    table = read_labelled(DATA)
    rows, _ = train_test_split(np.arange(3214), test_size=0.2, random_state=42, stratify=table.target)
    usage = pipeline.named_steps[PREPROCESSOR].named_transformers_[USAGE]
    np.testing.assert_array_equal(usage["imputer"].statistics_, np.median(table.features[rows], axis=0))
    np.testing.assert_allclose(usage["scaler"].mean_, table.features[rows].mean(axis=0), rtol=1e-12)


def test_the_artifacts_hold_the_registered_pipeline_and_document(
    trained: TrainedModel, pipeline: Pipeline, model: RegisteredModel
) -> None:
    usage = frame(read_labelled(DATA).features)
    np.testing.assert_array_equal(
        joblib.load(trained.artifacts / "model.joblib").predict_proba(usage), pipeline.predict_proba(usage)
    )
    np.testing.assert_array_equal(
        joblib.load(trained.artifacts / "preprocessor.joblib").transform(usage),
        pipeline.named_steps[PREPROCESSOR].transform(usage),
    )
    document = (trained.artifacts / DOCUMENT_FILE).read_bytes()
    assert document == (model.path / DOCUMENT_FILE).read_bytes()
    assert document == write_document(model.document())
    assert json.loads((trained.artifacts / "run.json").read_text()) == {
        "model": trained.tag, "table": str(DATA), **model.record.model_dump(mode="json")
    }  # fmt: skip


def test_the_record_says_what_the_model_was_made_of(trained: TrainedModel, model: RegisteredModel) -> None:
    record = model.record
    assert record.data.model_dump() == {
        "file": "users_behavior.csv",
        "sha256": sha256(DATA),
        "rows": 3214,
        "training_rows": 2571,
        "training_ultra_share": 788 / 2571,
        "groups": None,
        "subscribers": None,
        "training_subscribers": None,
    }
    assert record.metrics == metrics_of(trained.artifacts)
    assert record.settings["seed"] == record.seed == 42
    assert record.settings["estimators"]["logistic_regression"]["solver"] == "liblinear"
    assert record.settings["data"]["path"] == DATA.name, "relative to where it was trained"
    assert record.advice == {"min_saving_share": 0.1, "min_p_saves": 0.5, "min_months": 1}
    assert record.months.model_dump() == {
        "file": "subscriber_months.csv", "sha256": sha256(ROOT / "subscriber_months.csv"), "months": 1841,
        "subscribers": 300,
    }  # fmt: skip
    assert not {"artifacts", "search", "mlflow"} & set(record.settings), "places of the machine it was trained on"
    assert record.proof["decisions_that_differ"] == 0
    assert record.proof["largest_difference"] <= record.proof["tolerance"] == 1e-12
    assert record.proof["rows"] >= 103_214
    assert record.versions == {"python": ".".join(map(str, sys.version_info[:3]))} | {
        name: version(name) for name in ("bentoml", "numpy", "pandas", "scikit-learn", "scipy")
    }
    assert record.digests == {name: sha256(model.path / name) for name in (
        "habits.json", "model.json", "reference.json", "saved_model.pkl", "training_rows.bin")}  # fmt: skip


def test_the_reference_profile_is_of_the_training_part(model: RegisteredModel) -> None:
    reference = ReferenceProfile.model_validate_json(model.reference())
    assert reference.rows == 2571
    table = read_labelled(DATA)
    rows, _ = train_test_split(np.arange(3214), test_size=0.2, random_state=42, stratify=table.target)
    for i, feature in enumerate(reference.features):
        assert feature.values == np.sort(table.features[rows, i]).tolist()
        assert sum(feature.counts) == 2571


def test_bentoml_lists_the_model_as_scikit_learn_users_expect(trained: TrainedModel) -> None:
    stored = bentoml.models.get(trained.tag)
    assert stored.info.module == "bentoml.sklearn"
    assert set(stored.info.signatures) == {"predict", "predict_proba"}
    assert stored.info.context.framework_name == "sklearn"


@pytest.mark.slow
def test_same_seed_and_data_give_the_same_result_in_another_process(
    trained: TrainedModel, model: RegisteredModel, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    # With another number of BLAS's threads, findings.json has other last digits; the model has not (test_selection).
    environment = {"BENTOML_HOME": str(home)} | ONE_THREAD
    result = run("train.py", "--artifacts", tmp_path / "artifacts", env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    same = ARTIFACTS - TIMED
    assert {n: sha256(tmp_path / "artifacts" / n) for n in same} == {n: sha256(trained.artifacts / n) for n in same}
    tag = re.fullmatch(r"registered (plan_recommender:\w+)", result.stdout.splitlines()[-1])
    assert tag
    again = model_store.read(Path(ModelStore(home / "models").get(tag[1]).path))
    assert again.record.digests == model.record.digests


@pytest.mark.slow
def test_another_seed_gives_another_split_and_another_scorer(
    command: Command, store: Path, quick: Path, tmp_path: Path, trained: TrainedModel, model: RegisteredModel
) -> None:
    assert command(train.main, "--config", quick, "--seed", 7).code == 0
    other = model_store.find()
    assert other.record.seed == other.record.settings["seed"] == 7
    assert other.record.digests[DOCUMENT_FILE] != model.record.digests[DOCUMENT_FILE]
    found = metrics_of(tmp_path / "artifacts")
    assert found["seed"] == 7
    assert found["roc_auc"] != metrics_of(trained.artifacts)["roc_auc"]


@pytest.mark.slow
def test_the_model_does_not_depend_on_the_size_of_the_proof(command: Command, store: Path, quick: Path) -> None:
    assert command(train.main, "--config", quick).code == 0
    first = model_store.find()
    quick.write_text(quick.read_text().replace("proof: {rows: 500}", "proof: {rows: 700}"))
    assert command(train.main, "--config", quick).code == 0
    second = model_store.find()
    assert second.record.proof["rows"] == first.record.proof["rows"] + 200
    assert second.record.digests == first.record.digests


@pytest.mark.slow
def test_what_a_run_prints(command: Command, store: Path, quick: Path, tmp_path: Path) -> None:
    answer = command(train.main, "--config", quick)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == f"{DATA}: 3,214 rows, 30.6% Ultra, empty cells imputed with the median: none"
    assert f"artifacts: {tmp_path / 'artifacts'}, of which report.html is for people" in lines
    assert "passed every check of the gate" in lines
    assert lines[-1] == f"registered {model_store.find().tag}"


@pytest.mark.slow
def test_a_second_run_becomes_the_latest_and_keeps_the_first(command: Command, store: Path, quick: Path) -> None:
    command(train.main, "--config", quick)
    first = model_store.find()
    command(train.main, "--config", quick, "--seed", 1)
    assert model_store.find().tag != first.tag
    assert model_store.find(first.tag) == first
    assert len(bentoml.models.list(MODEL_NAME)) == 2


@pytest.mark.slow
def test_missing_cells_are_imputed_and_counted(
    command: Command, store: Path, quick: Path, table: Callable[..., Path]
) -> None:
    rows = [line.split(",") for line in DATA.read_text().splitlines()[1:]]
    for i in range(0, 3000, 40):
        rows[i][2] = ""
    answer = command(train.main, "--config", quick, "--data", table(*map(",".join, rows)))
    assert answer.code == 0
    assert "empty cells imputed with the median: 75 in messages" in answer.out
    features = np.array([[np.nan if cell == "" else float(cell) for cell in row[:4]] for row in rows])
    target = [int(row[4]) for row in rows]
    training, _ = train_test_split(np.arange(len(rows)), test_size=0.2, random_state=42, stratify=target)
    medians = np.nanmedian(features[training], axis=0)
    scorer = model_store.find().scorer()
    empty = np.isnan(features[:, 2])
    filled = np.where(np.isnan(features), medians, features)
    np.testing.assert_array_equal(scorer.probabilities(features[empty]), scorer.probabilities(filled[empty]))


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["class_weight: none", "solver: lbfgs", "l1_ratio: 1.0", "C: 0.01"])
def test_every_allowed_estimator_setting_trains(command: Command, store: Path, quick: Path, setting: str) -> None:
    with quick.open("a", encoding="utf-8") as file:
        file.write(f"estimators: {{logistic_regression: {{{setting}}}}}\n")
    answer = command(train.main, "--config", quick)
    assert (answer.code, answer.err) == (0, "")
    name, value = setting.split(": ")
    stored = model_store.find().record.settings["estimators"]["logistic_regression"][name]
    assert str(stored) == value


def mixed_labels(rows: int, ultra: int) -> list[str]:
    return [f"{i % 50},{i % 50 * 7},{i % 9},{1000 + i},{int(i < ultra)}" for i in range(rows)]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "expected at least one row after the header, found none"),
        (["1,2,3,4,0"] * 20, "expected both labels 0 and 1 in column 'is_ultra', found only 0 in all 20 rows"),
        (["1,2,x,4,0"], "column 'messages', row 1: expected a finite number that is not negative, or an empty cell"),
        (["1,2,,4,0", "1,2,,4,1"], "expected at most 5.0% empty cells in column 'messages' (data.max_missing_share)"),
        (["1,2,3,4,0", "1,2,3,4,1"], "expected enough rows of both labels to split, found 1 Ultra of 2 rows"),
        (mixed_labels(10, 2), "expected enough rows of both labels to split"),
    ],
    ids=["no rows", "one class", "no number", "too many empty", "two rows", "no Ultra in the test part"],
)
def test_bad_data_is_refused_in_one_sentence_and_changes_nothing(
    command: Command, store: Path, quick: Path, tmp_path: Path, table: Callable[..., Path],
    lines: list[str], sentence: str,
) -> None:  # fmt: skip
    path = table(*lines)
    answer = command(train.main, "--config", quick, "--data", path)
    assert answer.code == 2
    assert answer.err.startswith(f"error: {path}: {sentence}")
    assert answer.err.count("\n") == 1
    assert state(store, tmp_path / "artifacts") == {}


def test_a_column_without_any_value_is_refused_in_one_sentence(
    store: Path, quick: Path, table: Callable[..., Path], command: Command
) -> None:
    quick.write_text("data: {max_missing_share: 1.0, min_rows: 1}\nproof: {rows: 500}\n")
    path = table(*[line.replace(line.split(",")[2], "", 1) for line in (f"1,2,7777,4,{i % 2}" for i in range(50))])
    answer = command(train.main, "--config", quick, "--data", path)
    assert answer.code == 2
    assert answer.err.startswith(f"error: {path}: ")
    assert "messages" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.slow
def test_a_real_command_line_exits_with_2_and_no_traceback(tmp_path: Path) -> None:
    result = run("train.py", "--data", "no.csv", env={"BENTOML_HOME": str(tmp_path)})
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: no.csv: expected a readable CSV file, found: No such file or directory\n"
    assert not (tmp_path / "models" / "plan_recommender").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--config", "no.yaml"],
            "error: no.yaml: expected a configuration file that can be read, found: No such file",
        ),
        (["--seed", "x"], "train.py: error: argument --seed: expected a whole number from 0 to 4294967295, found 'x'"),
        (["--artifacts", "."], "error: .: expected a folder of its own, found the working directory"),
    ],
)
def test_bad_arguments_exit_with_2(
    command: Command, store: Path, quick: Path, arguments: list[str], sentence: str
) -> None:
    answer = command(train.main, "--config", quick, *arguments)
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(sentence)
    assert list(store.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(quick: Path, tmp_path: Path) -> None:
    home, artifacts = tmp_path / "home", tmp_path / "artifacts"
    arguments = [sys.executable, "train.py", "--config", str(quick), "--artifacts", str(artifacts)]
    limited = ["bash", "-c", 'ulimit -f 8; exec "$@"', "limited", *arguments]  # no file above 8 KiB: the plots are
    env = os.environ | {"BENTOML_HOME": str(home)}
    result = subprocess.run(limited, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert not artifacts.exists()
    assert list((home / "models").glob("*")) == []


Break = Callable[[pytest.MonkeyPatch], None]


def before(target: str) -> Break:
    """Fail instead of a step."""

    def break_it(monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise InjectedError(target)

        monkeypatch.setattr(target, fail)

    return break_it


def signalled(target: str, owner: Any, name: str, number: int, when: str = "", first: bool = False) -> Break:
    """Send a signal to the process just after a step was done, or before; `when`: at the call with this text."""

    def break_it(monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(owner, name)

        def step(*arguments: Any, **options: Any) -> Any:
            if first:
                os.kill(os.getpid(), number)
            result = real(*arguments, **options)
            if not first and (not when or when in str(arguments[0])):
                os.kill(os.getpid(), number)
            return result

        monkeypatch.setattr(target, step)

    return break_it


STEPS = {
    "while comparing": before("plan_recommender.training.run.cross_validate"),
    "while fitting": before("plan_recommender.training.run.fit"),
    "while compiling": before("plan_recommender.training.run.compile_pipeline"),
    "while proving": before("plan_recommender.training.run.prove"),
    "while judging": before("plan_recommender.training.run.judge"),
    "while writing the pages": before("plan_recommender.report.pages.render_report"),
    "before the model is published": before("plan_recommender.training.publish.StagedModel.publish"),
    "before the artifacts are published": before("plan_recommender.data.outputs.StagedDirectory.publish"),
    "before promoting": before("plan_recommender.training.publish.StagedModel.promote"),
}


AFTER_FITTING = {
    "while judging", "while writing the pages", "before the model is published", "before the artifacts are published",
    "before promoting",
}  # fmt: skip


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What a quick run with seed 1 has before it is judged, for runs whose end alone matters."""
    settings = load_settings(write_quick_configuration(tmp_path_factory.mktemp("fitted")))
    return run_of_training.train(read_labelled(DATA), settings.model_copy(update={"seed": 1}))


@pytest.fixture
def has_fitted(monkeypatch: pytest.MonkeyPatch, fitted: Trained) -> None:
    """Let runs in this process go on from there."""
    monkeypatch.setattr(run_of_training, "train", lambda *_: fitted)


def earlier_run(store: Path, artifacts: Path, trained: TrainedModel, copy_store: Callable[[Path], Path]) -> None:
    """Leave what a run before leaves, and a file of the user's own beside it."""
    copy_store(store.parent)
    shutil.copytree(trained.artifacts, artifacts)
    (artifacts / "evaluation.json").write_text("the user's own")


def leftovers(store: Path, artifacts: Path) -> list[str]:
    """What is in the folders of the store and the artifacts that no finished run leaves there."""
    beside = [path.name for path in store.parent.iterdir() if path.name != "models"]
    return [*beside, *(path.name for path in artifacts.parent.iterdir() if path.name.startswith("."))]


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_fails_at_a_step_changes_nothing(
    store: Path, quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest,
    trained: TrainedModel, copy_store: Callable[[Path], Path], step: str,
) -> None:  # fmt: skip
    if step in AFTER_FITTING:
        request.getfixturevalue("has_fitted")
    artifacts = tmp_path / "artifacts"
    earlier_run(store, artifacts, trained, copy_store)
    previous = state(store, artifacts)
    STEPS[step](monkeypatch)
    with pytest.raises(InjectedError):
        train.main(["--config", str(quick), "--seed", "1"])
    assert state(store, artifacts) == previous
    assert leftovers(store, artifacts) == []


@pytest.mark.slow
@pytest.mark.usefixtures("has_fitted")  # what is to be written is the same every time
@pytest.mark.parametrize("earlier_runs", [0, 1])
def test_a_run_that_cannot_write_on_changes_nothing(
    command: Command, store: Path, quick: Path, tmp_path: Path,
    trained: TrainedModel, copy_store: Callable[[Path], Path], earlier_runs: int,
) -> None:  # fmt: skip
    """Whichever file or folder it is that it cannot make or put in its place, from the first to the last."""
    artifacts = tmp_path / "artifacts"
    if earlier_runs:
        earlier_run(store, artifacts, trained, copy_store)
    previous = state(store, artifacts)

    def run_until(write: int | None) -> tuple[Answer, int]:
        with disk.failing(tmp_path, write) as written:
            return command(train.main, "--config", quick, "--seed", 1), len(written)

    copies = shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-before"), symlinks=True)
    answer, writes = run_until(None)
    # The control: where it can write, the same run changes all of it.
    assert (answer.code, answer.err) == (0, "")
    assert metrics_of(artifacts)["seed"] == model_store.find().record.seed == 1
    assert len(bentoml.models.list(MODEL_NAME)) == earlier_runs + 1
    between = range(3, writes, -(-writes // 4)) if earlier_runs else ()
    for failing in sorted({1, writes - 1, writes, *between}):
        for place in (artifacts, store):
            shutil.rmtree(place, ignore_errors=True)
            if (copies / place.relative_to(tmp_path)).exists():
                shutil.copytree(copies / place.relative_to(tmp_path), place)
        answer, written = run_until(failing)
        assert (answer.code, written >= failing) == (2, True)
        assert answer.err.count("\n") == 1
        assert "No space left on device" in answer.err
        assert state(store, artifacts) == previous, failing
        assert leftovers(store, artifacts) == []


PUBLISH = "plan_recommender.training.publish.StagedModel.publish"
PROMOTE = "plan_recommender.training.publish.StagedModel.promote"
INTERRUPTIONS = {
    "before the model is published": signalled(PUBLISH, publish.StagedModel, "publish", signal.SIGINT, first=True),
    "after the model was published": signalled(PUBLISH, publish.StagedModel, "publish", signal.SIGTERM),
    "after the artifacts were published": signalled(
        "plan_recommender.data.outputs.StagedDirectory.publish", outputs.StagedDirectory, "publish", signal.SIGINT
    ),
    "after promoting": signalled(PROMOTE, publish.StagedModel, "promote", signal.SIGTERM),
    "while it tidies up": signalled("shutil.rmtree", shutil, "rmtree", signal.SIGINT),
    "before the last lines": signalled("plan_recommender.cli.say", cli, "say", signal.SIGINT, "passed every check"),
    "after the last line": signalled("plan_recommender.cli.say", cli, "say", signal.SIGTERM, "registered plan_rec"),
}


@pytest.mark.slow
@pytest.mark.usefixtures("has_fitted")
@pytest.mark.parametrize("moment", INTERRUPTIONS)
def test_a_run_that_is_interrupted_once_it_publishes_registers_and_says_so(
    command: Command, store: Path, quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    artifacts = tmp_path / "artifacts"
    with monkeypatch.context() as broken:
        INTERRUPTIONS[moment](broken)
        answer = command(train.main, "--config", quick, "--seed", 1)
    assert (answer.code, answer.err) == (0, "")
    registered = model_store.find()
    assert answer.out.splitlines()[-3:] == [
        "passed every check of the gate",
        f"artifacts: {artifacts}, of which report.html is for people",
        f"registered {registered.tag}",
    ]
    assert metrics_of(artifacts)["seed"] == registered.record.seed == 1
    assert json.loads((artifacts / "run.json").read_text())["model"] == registered.tag
    registered.scorer()
    assert leftovers(store, artifacts) == []


@pytest.mark.slow
@pytest.mark.usefixtures("has_fitted")
def test_a_run_that_is_interrupted_before_it_publishes_changes_nothing(
    command: Command, store: Path, quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    trained: TrainedModel, copy_store: Callable[[Path], Path],
) -> None:  # fmt: skip
    """The control: while it still writes the pages, it stops."""
    artifacts = tmp_path / "artifacts"
    earlier_run(store, artifacts, trained, copy_store)
    previous = state(store, artifacts)
    with monkeypatch.context() as broken:
        signalled(
            "plan_recommender.report.pages.render_report", pages, "render_report", signal.SIGINT, first=True
        )(broken)  # fmt: skip
        answer = command(train.main, "--config", quick, "--seed", 1)
    assert (answer.code, answer.err) == (2, "interrupted\n")
    assert state(store, artifacts) == previous
    assert leftovers(store, artifacts) == []


@pytest.mark.slow
def test_the_latest_model_stays_the_latest_until_the_artifacts_of_the_new_one_are_there(
    command: Command, store: Path, quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BentoML by itself lets `:latest` name a model as soon as it is stored."""
    assert command(train.main, "--config", quick).code == 0
    previous = model_store.latest_version()
    publish_artifacts, seen = outputs.StagedDirectory.publish, []

    def publish_and_look(artifacts: outputs.StagedDirectory) -> None:
        seen.append((len(bentoml.models.list(MODEL_NAME)), model_store.latest_version()))
        publish_artifacts(artifacts)

    monkeypatch.setattr(outputs.StagedDirectory, "publish", publish_and_look)
    assert command(train.main, "--config", quick, "--seed", 1).code == 0
    assert seen == [(2, previous)]
    assert model_store.latest_version() != previous


def check_whole(home: Path, artifacts: Path) -> int:
    """Whatever is in the store can be used, and the artifacts are all of one run; returns how many models there are."""
    models = ModelStore(home / "models")
    listed = [model_store.read(Path(found.path)) for found in models.list(MODEL_NAME)]
    for found in listed:
        found.scorer()
        for name, digest in found.record.digests.items():
            assert sha256(found.path / name) == digest
    latest = model_store.read(Path(models.get(model_store.LATEST).path))
    assert latest.tag in [found.tag for found in listed]
    assert {path.name for path in artifacts.iterdir()} == ARTIFACTS
    document = json.loads((artifacts / "run.json").read_text())
    assert document["model"] == latest.tag
    assert metrics_of(artifacts) == document["metrics"] == latest.record.metrics
    assert sha256(artifacts / "model.joblib") == latest.record.digests[PIPELINE_FILE]
    assert sha256(artifacts / DOCUMENT_FILE) == latest.record.digests[DOCUMENT_FILE]
    return len(listed)


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_the_old_or_the_new_state_whole(
    copy_store: Callable[[Path], Path], trained: TrainedModel, tmp_path: Path, quick: Path
) -> None:
    home, artifacts = tmp_path / "home", tmp_path / "artifacts"
    copy_store(home)
    shutil.copytree(trained.artifacts, artifacts)
    assert check_whole(home, artifacts) == 1
    arguments = [sys.executable, "train.py", "--config", str(quick), "--artifacts", str(artifacts), "--seed"]
    env = os.environ | {"BENTOML_HOME": str(home)}
    rng = random.Random(0)  # noqa: S311  # moments to kill at, not secrets
    killed = 0
    for i in range(KILLS):
        process = subprocess.Popen([*arguments, str(i + 2)], cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
        while process.poll() is None and not list(tmp_path.glob(".artifacts.*")):
            time.sleep(0.005)  # until it begins to write
        time.sleep(rng.uniform(0, WRITING_SECONDS))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        check_whole(home, artifacts)
        for left in tmp_path.glob(".artifacts.*"):
            shutil.rmtree(left)
    assert killed >= KILLS // 2
    models = check_whole(home, artifacts)
    subprocess.run([*arguments, "99"], cwd=ROOT, env=env, check=True, capture_output=True)
    assert check_whole(home, artifacts) == models + 1  # the control: left alone, it registers
    assert metrics_of(artifacts)["seed"] == 99
