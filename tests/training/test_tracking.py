"""Tracking: what MLflow keeps is what the run found, and no run depends on it."""

import io
import json
import math
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import train
from plan_recommender import cli
from plan_recommender.config.load import load_settings
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.errors import TrackingError
from plan_recommender.evaluation.comparison import COMPARED
from plan_recommender.model import store as model_store
from plan_recommender.model.digests import sha256
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.training import tracking
from plan_recommender.training.selection import cross_validate
from plan_recommender.training.split import split_table
from tests.conftest import Command, run, using, write_quick_configuration
from tests.pictures import blank_pictures
from tools.server import ROOT

if TYPE_CHECKING:  # it takes two seconds, which each process of pytest would wait that only collects the tests
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of MLflow's with its tables and no run: making the tables takes MLflow seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracked(quick: Path, empty_store: Path) -> Path:
    """The quick configuration, and an empty store beside it."""
    (quick.parent / "mlflow.db").write_bytes(empty_store.read_bytes())
    return quick


@dataclass(frozen=True)
class Finished:
    """What one tracked run printed and left."""

    config: Path
    out: str
    err: str

    @property
    def artifacts(self) -> Path:
        return self.config.parent / "artifacts"


@pytest.fixture(scope="module")
def run_once(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One tracked run, in a folder that holds a file of the user's own, with which several tests compare."""
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "subscribers.csv").write_text("the user's own")
    config, out, err = write_quick_configuration(folder), io.StringIO(), io.StringIO()
    with using(folder / "home"), blank_pictures(), redirect_stdout(out), redirect_stderr(err):
        assert train.main(["--config", str(config), "--mlflow"]) == 0
    return Finished(config, out.getvalue(), err.getvalue())


@pytest.fixture
def finished(run_once: Finished) -> Iterator[Finished]:
    """The tracked run, and its model store in use."""
    with using(run_once.config.parent / "home"):
        yield run_once


def client_of(config: Path) -> "MlflowClient":
    return tracking.connect(load_settings(config))


def runs_of(config: Path, experiment: str = "plan_recommender") -> "list[Run]":
    client = client_of(config)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


def test_what_is_kept_is_what_the_run_found(finished: Finished) -> None:
    tracked, artifacts = finished.config, finished.artifacts
    assert finished.err == ""
    (kept,) = runs_of(tracked)
    model = model_store.find()
    assert finished.out.splitlines()[-2:] == [
        f"registered {model.tag}",
        f"tracked as run {kept.info.run_id} in sqlite:///{tracked.parent / 'mlflow.db'}, experiment plan_recommender",
    ]
    assert (kept.info.status, kept.info.run_name) == ("FINISHED", model.tag)

    lineage = {
        "gate": "passed", "champion": model.record.estimator, "model": model.tag, "seed": "42",
        "data.file": "users_behavior.csv", "data.sha256": sha256(Path(load_settings(tracked).data.path)),
    }  # fmt: skip
    lineage |= {f"version.{name}": version for name, version in model.record.versions.items()}
    lineage |= {
        f"gate.check_{i}": f"passed: {check['name']}; found {check['found']}"
        for i, check in enumerate(model.record.gate, start=1)
    }
    assert {name: kept.data.tags[name] for name in lineage} == lineage

    settings = dict(tracking.flattened(load_settings(tracked).model_dump(mode="json")))
    assert set(kept.data.params) == set(settings)
    assert kept.data.params["selection.metric"] == "log_loss"
    assert json.loads(kept.data.params["selection.candidates"]) == settings["selection.candidates"]
    assert float(kept.data.params["estimators.boosted_trees.learning_rate"]) == 0.05

    metrics = json.loads((artifacts / "metrics.json").read_text())
    names = (*COMPARED, "precision", "recall")
    assert {n: kept.data.metrics[f"test.model.{n}"] for n in names} == {n: metrics[n] for n in names}
    rule = metrics["majority_rule"]
    assert {n: kept.data.metrics[f"test.majority_rule.{n}"] for n in names} == {n: rule[n] for n in names}
    counted = {n: kept.data.metrics[f"test.model.confusion_matrix.{n}"] for n in metrics["confusion_matrix"]}
    assert counted == metrics["confusion_matrix"]
    assert kept.data.metrics["expected_calibration_error"] == metrics["expected_calibration_error"]
    candidates = pd.read_csv(artifacts / "candidates.csv", index_col="candidate", float_precision="round_trip")
    for candidate, row in candidates.iterrows():
        for name in COMPARED:
            assert kept.data.metrics[f"{candidate}.{name}.mean"] == row[f"{name}_mean"]


def test_every_fold_of_every_candidate_is_kept(finished: Finished) -> None:
    tracked = finished.config
    (kept,) = runs_of(tracked)
    settings = load_settings(tracked)
    table = read_labelled(settings.data.path)
    rows = split_table(table, settings.split.test_share, settings.seed).training
    for result in cross_validate(table.features[rows], table.target[rows], settings):
        for name in COMPARED:
            history = client_of(tracked).get_metric_history(kept.info.run_id, f"{result.candidate}.{name}")
            folds = [entry.value for entry in sorted(history, key=lambda entry: entry.step)]
            assert folds == result.scores(name).tolist()
            assert [entry.step for entry in sorted(history, key=lambda entry: entry.step)] == [0, 1]


def test_the_artifacts_of_the_run_are_kept_and_nothing_else(finished: Finished, tmp_path: Path) -> None:
    tracked, artifacts = finished.config, finished.artifacts
    (kept,) = runs_of(tracked)
    client = client_of(tracked)
    names = {file.path for file in client.list_artifacts(kept.info.run_id)}
    written = {path.name for path in artifacts.iterdir()} - {"subscribers.csv"}
    assert {"report.html", "model.joblib", "metrics.json", DOCUMENT_FILE} <= written
    assert names == {name for name in written if not name.endswith(".joblib")} | {tracking.GATE_FILE}
    for name in names - {tracking.GATE_FILE}:
        copy = Path(client.download_artifacts(kept.info.run_id, name, str(tmp_path)))
        assert copy.read_bytes() == (artifacts / name).read_bytes()
    local = tracked.parent / tracking.LOCAL_ARTIFACTS
    assert local.is_dir()  # beside the store, not in the working directory
    assert [path for path in local.rglob("*") if path.suffix in (".pkl", ".joblib")] == []


def test_the_kept_model_answers_as_the_registered_one(finished: Finished, tmp_path: Path) -> None:
    import mlflow

    tracked = finished.config
    (kept,) = runs_of(tracked)
    (logged,) = client_of(tracked).search_logged_models(
        [kept.info.experiment_id], f"source_run_id = '{kept.info.run_id}'"
    )
    assert logged.name == tracking.MODEL
    usage = pd.DataFrame(
        [[85, 516.7, 56, 22696.96], [4, 21.5, 0, 1200], [np.nan, 300, 10, 5000]],
        columns=list(FEATURE_NAMES), dtype=float,
    )  # fmt: skip
    scorer = model_store.find().scorer()
    probabilities = scorer.probabilities(usage.to_numpy())
    expected = pd.DataFrame(
        {"prediction": scorer.decide(usage.to_numpy(), probabilities), "probability_is_ultra": probabilities}
    )
    model = mlflow.pyfunc.load_model(logged.artifact_location)
    pd.testing.assert_frame_equal(model.predict(usage), expected, check_exact=True)
    backwards = usage[list(reversed(FEATURE_NAMES))]  # columns count by their names
    pd.testing.assert_frame_equal(model.predict(backwards), expected, check_exact=True)
    files = Path(logged.artifact_location.removeprefix("file://")).rglob("*")
    (document,) = [path for path in files if path.name == DOCUMENT_FILE]
    assert document.read_bytes() == (model_store.find().path / DOCUMENT_FILE).read_bytes()
    # Where there is no checkout, the model brings what it needs of this project's code.
    elsewhere = run(ROOT / "tests/programs/ask_mlflow_model.py", logged.artifact_location, cwd=tmp_path)
    assert elsewhere.stdout == f"{probabilities.tolist()} [] True\n", elsewhere.stderr


def test_a_refused_run_is_kept_without_a_model(command: Command, store: Path, tracked: Path, tmp_path: Path) -> None:
    trees = "{trees: 100, learning_rate: 0.4, max_leaf_nodes: 8, l2_regularization: 0.1}"  # overconfident
    quick = tracked.read_text().replace("max_ece: 0.2", "max_ece: 0.03")
    tracked.write_text(f"{quick}estimators: {{boosted_trees: {trees}}}\n")
    answer = command(train.main, "--config", tracked, "--mlflow")
    assert (answer.code, answer.err) == (1, "")
    (kept,) = runs_of(tracked)
    assert kept.data.tags["gate"] == "refused"
    assert "model" not in kept.data.tags
    checks = {name: text for name, text in kept.data.tags.items() if name.startswith("gate.check_")}
    assert [text.partition(":")[0] for _, text in sorted(checks.items())].count("refused") == 1
    client = client_of(tracked)
    assert [file.path for file in client.list_artifacts(kept.info.run_id)] == [tracking.GATE_FILE]
    report = json.loads(
        Path(client.download_artifacts(kept.info.run_id, tracking.GATE_FILE, str(tmp_path))).read_text()
    )
    assert [check["passed"] for check in report["checks"]] == [True, True, True, True, False, True]
    assert client.search_logged_models([kept.info.experiment_id]) == []
    assert not any(name.startswith("test.") for name in kept.data.metrics)  # the test part was not looked at
    assert list(store.iterdir()) == []


def test_the_setting_tracks_every_run_in_the_experiment_it_names(command: Command, store: Path, tracked: Path) -> None:
    with tracked.open("a") as file:
        file.write("mlflow: {enabled: true, experiment: tariffs of spring}\n")
    assert command(train.main, "--config", tracked).code == 0
    assert command(train.main, "--config", tracked, "--again").code == 0
    names = {kept.data.tags["model"] for kept in runs_of(tracked, "tariffs of spring")}
    assert len(names) == 2
    assert model_store.find().tag in names


@pytest.mark.parametrize("place", ["a folder that is a file", "nobody listens", "no such kind of store"])
def test_a_store_that_fails_costs_a_warning_and_no_model(
    command: Command, store: Path, quick: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    uri = {
        "a folder that is a file": "sqlite:///file/mlflow.db",
        "nobody listens": f"http://127.0.0.1:{port}",
        "no such kind of store": "gopher://127.0.0.1",
    }[place]
    with quick.open("a") as file:
        file.write(f"mlflow: {{tracking_uri: '{uri}'}}\n")
    answer = command(train.main, "--config", quick, "--mlflow")
    model = model_store.find()
    model.scorer()
    assert answer.code == 0
    expected = f"warning: not tracked, {model.tag} is registered all the same: mlflow.tracking_uri "
    assert answer.err.startswith(expected)
    assert ": expected a store that takes the run, found: " in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out.splitlines()[-1] == f"registered {model.tag}"
    assert (tmp_path / "artifacts" / "report.html").is_file()


def test_a_run_that_was_broken_off_while_it_was_logged_is_not_finished(
    command: Command, store: Path, tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> None:
        raise TrackingError("the disk is full")

    monkeypatch.setattr("plan_recommender.training.tracking._log_model", fail)
    answer = command(train.main, "--config", tracked, "--mlflow")
    assert (answer.code, answer.err.count("\n")) == (0, 1)
    assert answer.err.endswith("found: the disk is full\n")
    assert [kept.info.status for kept in runs_of(tracked)] == ["FAILED"]
    model_store.find().scorer()


def test_by_default_nothing_is_tracked_or_searched_and_no_library_is_loaded(
    quick: Path, empty_store: Path, tmp_path: Path
) -> None:
    def ran(*more: str) -> subprocess.CompletedProcess[str]:
        arguments = ["--config", str(quick), "--artifacts", str(tmp_path / "artifacts"), *more]
        return run("-m", "tests.programs.train_and_tell", *arguments, env={"BENTOML_HOME": str(tmp_path / "home")})

    before = {path.name for path in tmp_path.iterdir()}
    assert ran().stdout.splitlines()[-1] == "0 []"
    assert {path.name for path in tmp_path.iterdir()} - before == {"artifacts", "home", "looks.jsonl"}
    # The control: tracked, the same run loads it and leaves its artifacts.
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    watched = ran("--mlflow", "--again")
    assert watched.stdout.splitlines()[-1].startswith("0 ['mlflow'")
    assert watched.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} - before == {
        "artifacts", "home", "looks.jsonl", "mlflow.db", tracking.LOCAL_ARTIFACTS
    }  # fmt: skip


def test_without_mlflow_tracking_says_what_to_install(quick: Path, tmp_path: Path) -> None:
    refused = run(
        *("-m", "tests.programs.train_without", "mlflow", "--mlflow"),
        *("--config", quick, "--artifacts", tmp_path / "artifacts"),
        env={"BENTOML_HOME": str(tmp_path / "home")},
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: --mlflow or mlflow.enabled: expected the optional library mlflow, found ")
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "artifacts").exists()


def test_mlflow_tells_nobody_of_its_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    ran = run("-m", "tests.programs.mlflow_telemetry")
    assert ran.stdout == "True None\n", ran.stderr


def test_settings_are_flattened_to_their_leaves() -> None:
    nested = {"a": 1, "b": {"c": [1, 2], "d": {"e": None}}}
    assert dict(tracking.flattened(nested)) == {"a": 1, "b.c": [1, 2], "b.d.e": None}


def test_long_values_are_cut_to_what_mlflow_takes(command: Command, store: Path, tracked: Path) -> None:
    with tracked.open("a") as file:
        file.write("mlflow: {enabled: true}\n")
    currency = "x" * 7000
    tracked.write_text(tracked.read_text().replace("money: {", f"money: {{currency: {currency}, "))
    answer = command(train.main, "--config", tracked)
    assert (answer.code, answer.err) == (0, "")
    (kept,) = runs_of(tracked)
    assert kept.data.params["money.currency"] == "x" * 6000
    assert not any(math.isnan(value) for value in kept.data.metrics.values())


@pytest.mark.parametrize("moment", ["before it is tracked", "while it is tracked"])
def test_an_interruption_costs_the_tracking_and_not_what_the_run_says(
    command: Command, store: Path, tracked: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    say, calls = cli.say, []

    def say_and_signal(text: str) -> None:
        say(text)
        if moment.startswith("before") and text.startswith("registered "):
            os.kill(os.getpid(), signal.SIGTERM)

    def never_ends(*_: object) -> str:
        calls.append("tracking")
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
        return "not interrupted"

    monkeypatch.setattr(cli, "say", say_and_signal)
    monkeypatch.setattr(tracking, "track", never_ends)
    answer = command(train.main, "--config", tracked, "--mlflow")
    tag = model_store.find().tag
    assert answer.code == 0
    assert answer.err == f"warning: not tracked to its end, {tag} is registered all the same: interrupted\n"
    assert answer.out.splitlines()[-1] == f"registered {tag}"
    assert calls == ([] if moment.startswith("before") else ["tracking"])
