"""The gate: a model that is not good enough is refused, and everything stays as it was.

The file is long because most checks are tested twice, in whole runs and by themselves, on the same registered model,
whole or damaged.
"""

import hashlib
import html
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import bentoml
import numpy as np
import numpy.typing as npt
import pytest

import evaluate
import train
from plan_recommender import cli
from plan_recommender.config.load import load_settings
from plan_recommender.config.settings import Candidate, GateSettings, Settings
from plan_recommender.data.csv_table import LabelledTable, TextColumn, read_labelled
from plan_recommender.evaluation.calibration import measure_calibration
from plan_recommender.evaluation.metrics import ConfusionMatrix, Metrics
from plan_recommender.model import store as model_store
from plan_recommender.model.record import DOCUMENT_FILE, MODEL_NAME, TRAINING_ROWS_FILE
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.training import gate
from plan_recommender.training.fresh_rows import Answers
from plan_recommender.training.run import Trained, judge
from plan_recommender.training.selection import CrossValidated
from plan_recommender.training.split import row_keys, split_table
from tests.conftest import Command, TrainedModel
from tests.training.candidates import on_shipped, shipped
from tools.server import ROOT

DATA = ROOT / "users_behavior.csv"
SPLIT = split_table(shipped(), 0.2, 42)


def state(*folders: Path) -> dict[str, str]:
    """Every file, by its SHA-256."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def registered(store: Path, model: RegisteredModel, trained: TrainedModel, tmp_path: Path) -> RegisteredModel:
    """The session's good model, alone in a store of the test's own, and its artifacts where the next run's would be."""
    version = trained.tag.partition(":")[2]
    shutil.copytree(model.path, store / MODEL_NAME / version)
    (store / MODEL_NAME / "latest").write_text(version)
    shutil.copytree(trained.artifacts, tmp_path / "artifacts")
    return model_store.find()


def configuration(path: Path, trees: str = "{}", **gates: object) -> Path:
    """Write a quick configuration with these boosted trees and this gate."""
    path.write_text(
        f"data: {{path: {DATA}, min_rows: 1}}\n"
        "selection: {candidates: [majority_rule, logistic_regression, boosted_trees], folds: 2, repeats: 1}\n"
        f"estimators: {{boosted_trees: {trees}}}\n"
        f"gate: {json.dumps({'max_ece': 0.2, 'margin': 0.2} | gates)}\n"
        "money: {bootstrap_samples: 100}\nproof: {rows: 500}\n",
        encoding="utf-8",
    )
    return path


def shuffled_labels(path: Path) -> Path:
    header, *lines = DATA.read_text().splitlines()
    usage, labels = zip(*(line.rsplit(",", 1) for line in lines), strict=True)
    shuffled = np.random.default_rng(0).permutation(labels)
    path.write_text("\n".join([header, *map(",".join, zip(usage, shuffled, strict=True))]) + "\n")
    return path


def straight_labels(path: Path) -> Path:
    """The shipped usage with made-up plans, half of them Ultra, whose log-odds are straight lines of two features.

    Nothing is better on such a table than the baseline that knows nothing but straight lines.
    """
    header, *lines = DATA.read_text().splitlines()
    features = shipped().features
    minutes, mb_used = ((features - features.mean(axis=0)) / features.std(axis=0))[:, [1, 3]].T
    ultra = np.random.default_rng(0).random(len(features)) < 1 / (1 + np.exp(1.5 * (mb_used - minutes)))
    usage = [line.rpartition(",")[0] for line in lines]
    path.write_text("\n".join([header, *(f"{month},{int(label)}" for month, label in zip(usage, ultra, strict=True))]))
    return path


@dataclass(frozen=True)
class Refusal:
    """What the arguments of a refused run are made from, and the reason that it is given."""

    arguments: Callable[[Path], list[object]]
    reason: str


OVERCONFIDENT = "{trees: 100, learning_rate: 0.4, max_leaf_nodes: 8, min_samples_leaf: 15, l2_regularization: 0.1}"
"""Boosted trees that beat both baselines, and whose probabilities are too near to 0 and 1."""

REFUSALS = {
    "labels that mean nothing": Refusal(
        lambda folder: [
            "--config", configuration(folder / "config.yaml"), "--data", shuffled_labels(folder / "shuffled.csv")
        ],
        "refused: expected ROC AUC better than majority_rule's by more than 2 standard errors, found ",
    ),
    "a baseline that is better": Refusal(
        lambda folder: [
            "--config", configuration(folder / "config.yaml"), "--data", straight_labels(folder / "straight.csv")
        ],
        "refused: expected ROC AUC better than logistic_regression's, found ",
    ),
    "probabilities that are not calibrated": Refusal(
        lambda folder: ["--config", configuration(folder / "config.yaml", OVERCONFIDENT, max_ece=0.03)],
        "refused: expected calibration error (ECE) at most 0.03, found 0.",
    ),
    "worse than the registered model": Refusal(
        lambda folder: ["--config", configuration(folder / "config.yaml", "{trees: 10, max_leaf_nodes: 4}")],
        "refused: expected Brier score not worse than that of plan_recommender:",
    ),
}  # fmt: skip
ALONE = {"worse than the registered model"}
"""Nothing else is wrong with these."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refused_model_leaves_everything_as_it_was_and_the_old_one_serving(
    command: Command, store: Path, registered: RegisteredModel, tmp_path: Path, kind: str
) -> None:
    before = state(store, tmp_path / "artifacts")
    answer = command(train.main, *REFUSALS[kind].arguments(tmp_path))
    assert (answer.code, answer.err) == (1, "")
    lines = answer.out.splitlines()
    reasons = [line for line in lines if line.startswith("refused: ")]
    assert any(reason.startswith(REFUSALS[kind].reason) for reason in reasons), reasons
    assert (len(reasons) == 1) == (kind in ALONE)
    assert lines[-1] == "nothing was registered; the model store and the artifacts are as they were"
    assert not any(line.startswith("registered ") for line in lines)
    assert not any(line.startswith("roc_auc") for line in lines)  # the test part stays unseen
    report = (tmp_path / "refused" / "report.html").read_text()
    advice = [line.removeprefix("what helps: ") for line in lines if line.startswith("what helps: ")]
    first, _, rest = report.partition('id="candidates"')
    assert "This model was refused and is not registered." in first
    assert advice
    assert all(html.escape(text, quote=False) in html.unescape(first) for text in advice)
    assert 'id="gate"' in rest
    assert 'id="quality"' not in rest
    assert {"findings.json", "candidates.csv", "model.json"} < {path.name for path in (tmp_path / "refused").iterdir()}
    assert "roc_auc" not in json.loads((tmp_path / "refused" / "metrics.json").read_text())
    assert state(store, tmp_path / "artifacts") == before
    assert model_store.find() == registered
    assert [path.name for path in store.parent.iterdir()] == ["models"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_table_in_gigabytes_does_not_replace_a_model_in_megabytes(
    command: Command, store: Path, registered: RegisteredModel, tmp_path: Path
) -> None:
    before = state(store, tmp_path / "artifacts")
    header, *lines = DATA.read_text().splitlines()
    data = tmp_path / "gigabytes.csv"
    cells = [line.split(",") for line in lines]
    data.write_text("\n".join([header, *(f"{c},{m},{s},{float(mb) / 1024!r},{u}" for c, m, s, mb, u in cells)]) + "\n")
    options = ("--config", configuration(tmp_path / "config.yaml"), "--data", data)
    refused = command(train.main, *options)
    assert refused.code == 2
    assert "mb_used looks like gigabytes: median 16." in refused.err
    assert f"expected a table like the one that {registered.tag} was trained on" in refused.err
    assert "--accept-drift" in refused.err
    assert state(store, tmp_path / "artifacts") == before
    measured = command(evaluate.main, "--data", data, "--artifacts", tmp_path / "evaluation")
    assert measured.code == 0
    assert measured.err.startswith("warning: mb_used looks like gigabytes: median ")
    assert measured.err.endswith(f" ({data})\n")
    accepted = command(train.main, *options, "--accept-drift")
    assert accepted.code in (0, 1)  # as the gate decides
    assert "warning: mb_used looks like gigabytes" in accepted.out


@pytest.mark.slow
def test_who_looks_at_a_test_part_again_is_told(command: Command, store: Path, quick: Path) -> None:
    artifacts = load_settings(quick).artifacts.directory
    history = f"{artifacts.parent.name}/looks.jsonl"
    none = f"no other model was measured on a test part of this table before, as far as {history} tells"
    first = command(train.main, "--config", quick)
    assert none in first.out.splitlines()
    again = command(evaluate.main, "--config", quick, "--artifacts", artifacts)  # the same model: nothing was changed
    assert none in again.out.splitlines()
    assert "1 other model was measured" in command(train.main, "--config", quick, "--seed", 7).out
    quick.write_text(quick.read_text() + "estimators: {boosted_trees: {trees: 90}}\n")
    changed = command(train.main, "--config", quick)
    assert f"2 other models were measured on a test part of this table before ({history}): if what was" in changed.out
    assert "2 other models were measured" in (artifacts / "report.html").read_text()
    quick.write_text(quick.read_text().replace("margin: 0.2", "margin: 0").replace("trees: 90", "trees: 10"))
    for _ in range(2):  # the second time it is the same model again
        assert command(train.main, "--config", quick).code == 1  # compared with the registered model on these rows
    quick.write_text(quick.read_text().replace("margin: 0", "margin: 1").replace("trees: 10", "trees: 110"))
    assert "4 other models were measured on a test part" in command(train.main, "--config", quick).out


def test_a_model_that_is_as_good_as_the_registered_one_is_registered(
    command: Command, store: Path, registered: RegisteredModel, tmp_path: Path
) -> None:
    """The control of the refusals: the same command, the same registered model, nothing amiss."""
    before = state(tmp_path / "artifacts")
    answer = command(train.main, "--config", configuration(tmp_path / "config.yaml"))
    assert (answer.code, answer.err) == (0, "")
    assert "passed every check of the gate" in answer.out.splitlines()
    new = model_store.find()
    assert new.tag != registered.tag
    assert model_store.find(registered.tag) == registered
    assert state(tmp_path / "artifacts") != before
    check = new.record.gate[-1]
    assert check["name"] == f"Brier score not worse than that of {registered.tag} on the same rows"
    # All of the test part, because both were split in the same way.
    assert " on 643 rows of the test part that neither was trained on: " in check["found"]
    card = (tmp_path / "artifacts" / "model_card.md").read_text()
    assert all(f"| {check['name']} | {check['found']} |" in card.splitlines() for check in new.record.gate)


def test_the_first_model_is_compared_with_the_baselines_only(command: Command, store: Path, tmp_path: Path) -> None:
    answer = command(train.main, "--config", configuration(tmp_path / "config.yaml", "{trees: 10, max_leaf_nodes: 4}"))
    assert (answer.code, answer.err) == (0, "")  # it is refused where there is a better one
    checks = model_store.find().record.gate
    assert [check["name"] for check in checks] == [
        "ROC AUC better than majority_rule's by more than 2 standard errors",
        "Brier score better than majority_rule's",
        "ROC AUC better than logistic_regression's",
        "Brier score better than logistic_regression's",
        "calibration error (ECE) at most 0.2",
        "a test part of at least 20 rows",
    ]
    assert all(check["passed"] for check in checks)


def damage_document(model: RegisteredModel) -> None:
    (model.path / DOCUMENT_FILE).write_bytes(b"{}")


def damage_training_rows(model: RegisteredModel) -> None:
    (model.path / TRAINING_ROWS_FILE).unlink()


def damage_record(model: RegisteredModel) -> None:
    (model.path / "model.yaml").write_text("name: [")


@pytest.mark.parametrize("damage", [damage_document, damage_record])
def test_a_damaged_registered_model_is_told_and_blocks_nothing(
    capsys: pytest.CaptureFixture[str],
    registered: RegisteredModel,
    judged: Callable[[], gate.GateReport],
    damage: Callable[[RegisteredModel], None],
) -> None:
    damage(registered)
    verdict = judged()
    assert verdict.passed
    assert not [check for check in verdict.checks if registered.tag in check.name]
    out = capsys.readouterr().out
    assert out.startswith("warning: not compared with the registered model, which cannot answer: ")
    assert out.count("\n") == 1


def test_a_registered_model_that_answers_but_cannot_be_compared_with_is_not_replaced(
    registered: RegisteredModel, judged: Callable[[], gate.GateReport]
) -> None:
    damage_training_rows(registered)
    verdict = judged()
    assert not verdict.passed
    (failed,) = [check for check in verdict.checks if not check.passed]
    assert failed.name == f"Brier score not worse than that of {registered.tag} on the same rows"
    assert failed.found.startswith(f"that they cannot be compared: {registered.path / TRAINING_ROWS_FILE}: ")


@pytest.mark.slow
def test_a_run_beside_a_damaged_registered_model_tells_it_and_registers(
    command: Command, store: Path, registered: RegisteredModel, tmp_path: Path
) -> None:
    damage_document(registered)
    answer = command(train.main, "--config", configuration(tmp_path / "config.yaml"))
    assert (answer.code, answer.err) == (0, "")
    (warning,) = [line for line in answer.out.splitlines() if line.startswith("warning: ")]
    assert warning.startswith(
        f"warning: not compared with the registered model, which cannot answer: {registered.path}"
    )
    assert "passed every check of the gate" in answer.out.splitlines()
    assert model_store.find().tag != registered.tag


def test_a_whole_registered_model_is_compared_with_and_nothing_is_told(
    capsys: pytest.CaptureFixture[str], registered: RegisteredModel, judged: Callable[[], gate.GateReport]
) -> None:
    """The control of the damages."""
    verdict = judged()
    assert [check.passed for check in verdict.checks if registered.tag in check.name] == [True]
    assert capsys.readouterr().out == ""


@pytest.fixture
def judged() -> Callable[[], gate.GateReport]:
    """Judge a candidate as good as the registered model, without the training before it."""
    settings = Settings.model_validate({"gate": {"max_ece": 1.0}, "comparison": {"bootstrap_samples": 100}})
    candidate = on_shipped("boosted_trees")
    scorer = candidate.scorer
    target, answers = shipped().target, scorer.probabilities(shipped().features)
    champion = replace(scored("boosted_trees", 0.8, 0.1), probabilities=answers[None, SPLIT.training])
    results = [scored("majority_rule", 0.5, 0.2), champion]
    trained = Trained(
        split=SPLIT,
        compared=shipped().take(SPLIT.training),
        results=results,
        candidates=[],
        champion="boosted_trees",
        calibration=measure_calibration(target, answers, 10, 0),
        pipeline=candidate.pipeline,
        document=candidate.document,
        scorer=scorer,
        proof=cast(Any, None),
    )
    return lambda: judge(trained, shipped(), settings, cli.say)


def scored(candidate: Candidate, roc_auc: float | list[float], brier: float | list[float]) -> CrossValidated:
    counts = ConfusionMatrix(true_negative=1, false_positive=1, false_negative=1, true_positive=1)
    aucs, briers = np.broadcast_to(roc_auc, 2).tolist(), np.broadcast_to(brier, 2).tolist()
    folds = [
        Metrics(
            accuracy=0.5, precision=0.5, recall=0.5, f1=0.5, log_loss=0.6, confusion_matrix=counts, roc_auc=a, brier=b
        )
        for a, b in zip(aucs, briers, strict=True)
    ]
    return CrossValidated(candidate, folds, np.empty((1, 0)), [0.1, 0.1])


# The rules, by hand: two folds, so that the standard error of gains a and b is |a - b| * sqrt(0.75), 0.866 |a - b|.


@pytest.mark.parametrize(
    ("auc", "brier", "passed"),
    [
        ([0.6, 0.6], [0.1, 0.1], [True, True]),  # the same gain on every fold
        ([0.60, 0.80], [0.1, 0.1], [False, True]),  # 0.2 better, twice its standard error 0.346
        ([0.65, 0.75], [0.1, 0.1], [True, True]),  # 0.2 better, twice its standard error 0.173
        ([0.6, 0.6], [0.19, 0.205], [True, True]),  # 0.0025 better, standard error 0.013: any gain
        ([0.6, 0.6], [0.19, 0.215], [True, False]),
        ([0.5, 0.5], [0.2, 0.2], [False, False]),  # alike is not better
        ([0.4, 0.4], [0.3, 0.3], [False, False]),  # and worse is not, however sure
    ],
)
def test_usage_must_tell_the_plans_apart_and_the_probabilities_beat_their_shares(
    auc: list[float], brier: list[float], passed: list[bool]
) -> None:
    settings = Settings.model_validate({"selection": {"folds": 2}})
    champion = scored("boosted_trees", auc, brier)
    strong = scored("binned_logistic", 0.99, 0.01)  # no baseline: never asked for
    checks = gate.check_baselines(champion, [scored("majority_rule", 0.5, 0.2), strong, champion], settings)
    assert [check.name for check in checks] == [
        "ROC AUC better than majority_rule's by more than 2 standard errors",
        "Brier score better than majority_rule's",
    ]
    assert [check.passed for check in checks] == passed


def test_both_baselines_must_be_beaten() -> None:
    settings = Settings.model_validate({"selection": {"folds": 2}})
    majority, logistic = scored("majority_rule", 0.5, 0.2), scored("logistic_regression", 0.7, 0.15)
    champion = scored("binned_logistic", 0.7, 0.15)  # as good as one of them
    checks = gate.check_baselines(champion, [majority, logistic, champion], settings)
    assert [check.passed for check in checks] == [True, True, False, False]
    assert not gate.GateReport(checks=checks).passed
    assert gate.GateReport(checks=checks[:2]).passed


def test_of_version_1_any_gain_is_enough_and_a_loss_is_refused() -> None:
    settings = Settings.model_validate({"selection": {"folds": 2}})
    strong = scored("majority_rule", 0.5, 0.25)
    for auc, passed in (([0.62, 0.70], True), ([0.58, 0.70], True), ([0.58, 0.66], False)):  # against 0.63 and 0.63
        champion = scored("boosted_trees", auc, 0.1)
        results = [strong, scored("logistic_regression", [0.63, 0.63], 0.2), champion]
        checks = {check.name: check for check in gate.check_baselines(champion, results, settings)}
        assert checks["ROC AUC better than logistic_regression's"].passed == passed


@pytest.mark.parametrize(("most", "passed"), [(0.0999, False), (0.1001, True)])
def test_calibration_is_bounded(most: float, passed: bool) -> None:
    target, answers = np.tile([1, 1, 0, 0, 0], 200), np.full(1000, 0.5)  # says 0.5 where it is 0.4
    calibration = measure_calibration(target, answers, 10, 0)
    assert calibration.ece == pytest.approx(0.1, rel=1e-12)
    check = gate.check_calibration(calibration, GateSettings(max_ece=most))
    assert check.passed == passed
    assert check.found.startswith("0.1000 out of fold; of perfectly calibrated models on as many rows, 97.5 % show at ")


def test_an_error_that_chance_often_makes_passes() -> None:
    target = np.random.default_rng(3).permutation(np.tile([1, 0], 30))
    calibration = measure_calibration(target, np.linspace(0.3, 0.7, 60), 10, 0)
    assert calibration.ece > 0.03
    for limit, passed in ((calibration.ece, True), (math.nextafter(calibration.ece, 0), False)):
        few = calibration.model_copy(update={"ece_limit": limit})
        assert gate.check_calibration(few, GateSettings(max_ece=0.03)).passed == passed


@dataclass(frozen=True)
class Registered:
    """As much of a registered model as the gate looks at."""

    rows: npt.NDArray[np.uint64]
    answers: Scorer
    tag: str = "plan_recommender:old"
    seed: int = 42
    groups: str | None = None

    @property
    def record(self) -> SimpleNamespace:
        data = SimpleNamespace(groups=self.groups, training_subscribers=None)
        return SimpleNamespace(seed=self.seed, settings={"split": {"test_share": 0.2}}, data=data)

    def training_rows(self) -> npt.NDArray[np.uint64]:
        return self.rows

    def scorer(self) -> Scorer:
        return self.answers


def check_registered(
    table: LabelledTable,
    seen: npt.NDArray[np.uint64],
    margin: float = 0.01,
    seed: int = 42,
    groups: str | None = None,
) -> gate.Check:
    """A candidate against another, on this test part; the other was trained on the rows of these keys."""
    settings = Settings.model_validate({"gate": {"margin": margin}, "comparison": {"bootstrap_samples": 100}})
    new = on_shipped("boosted_trees").scorer
    old = cast(RegisteredModel, Registered(seen, on_shipped("binned_logistic").scorer, seed=seed, groups=groups))
    answers = Answers(table, new.probabilities(table.features)[None])
    return gate.check_registered(old, answers, NO_ROWS, settings)


NOTHING = np.empty(0, dtype=np.uint64)
NO_ROWS = Answers(shipped().take(np.arange(0)), np.empty((1, 0)))


@pytest.mark.parametrize(
    ("difference", "low", "high", "passed"),
    [
        (-0.010, -0.020, -0.001, True),  # better
        (0.000, -0.005, 0.005, True),
        (0.005, -0.001, 0.011, True),  # worse, but perhaps by chance, and by less than the margin
        (0.0099, -0.005, 0.025, True),  # by nearly the margin
        (0.005, 0.000, 0.010, True),  # the interval begins at zero, and is not above it
        (0.005, 0.001, 0.009, False),  # worse for sure, though within the margin
        (0.011, -0.005, 0.027, False),  # perhaps by chance, but beyond the margin
        (0.030, 0.010, 0.050, False),
    ],
)
def test_worse_is_an_interval_wholly_above_zero_or_a_difference_above_the_margin(
    monkeypatch: pytest.MonkeyPatch, difference: float, low: float, high: float, passed: bool
) -> None:
    monkeypatch.setattr(gate, "mean_interval", lambda *_: (low, high))
    table = shipped().take(SPLIT.test)
    old = on_shipped("binned_logistic").scorer.probabilities(table.features)
    before = (old - table.target) ** 2
    new = np.abs(table.target - np.sqrt(np.clip(before + difference, 0, 1)))  # about this much worse, row by row
    exact = float(np.mean((new - table.target) ** 2 - before))
    answers = Answers(table, new[None])
    registered = cast(RegisteredModel, Registered(NOTHING, on_shipped("binned_logistic").scorer))
    settings = Settings.model_validate({"gate": {"margin": 0.01 + exact - difference}})
    check = gate.check_registered(registered, answers, NO_ROWS, settings)
    assert check.passed == passed
    assert check.found.startswith(
        f"{before.mean() + exact:.4f} against {before.mean():.4f} on 643 rows of the test part that neither "
        f"was trained on: {exact:+.4f}, 95% interval {low:+.4f} to {high:+.4f}, margin "
    )


def test_the_two_are_compared_on_the_rows_that_the_registered_model_was_not_trained_on() -> None:
    table = shipped().take(SPLIT.test)
    keys = row_keys(table)
    assert len(np.unique(keys)) == len(keys) == 643  # no row of the part is there twice
    check = check_registered(table, keys[100:300])
    kept = table.take(np.r_[0:100, 300:643])
    old, new = (
        np.mean((on_shipped(name).scorer.probabilities(kept.features) - kept.target) ** 2)
        for name in ("binned_logistic", "boosted_trees")
    )
    assert check.found.startswith(
        f"{new:.4f} against {old:.4f} on 443 rows of the test part that neither was trained on: {new - old:+.4f}"
    )


def test_the_margin_is_for_all_rows_that_are_new_so_that_one_split_does_not_decide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = shipped().take(SPLIT.test)
    old = on_shipped("binned_logistic").scorer
    registered = cast(RegisteredModel, Registered(NOTHING, old))
    few, more = table.take(np.arange(30)), table.take(np.arange(30, 330))

    def farther(part: LabelledTable, by: float) -> Answers:
        """Answers that are farther from the label than the registered model's."""
        error = np.clip(np.abs(part.target - old.probabilities(part.features)) + by, 0, 1)
        return Answers(part, np.abs(part.target - error)[None])

    settings = Settings.model_validate({"gate": {"margin": 0.01}, "comparison": {"bootstrap_samples": 100}})
    monkeypatch.setattr(gate, "mean_interval", lambda *_: (-1.0, 1.0))  # the other rule says nothing
    assert not gate.check_registered(registered, farther(few, 0.05), NO_ROWS, settings).passed
    together = gate.check_registered(registered, farther(few, 0.05), farther(more, 0.0), settings)
    assert together.passed
    assert " on 330 rows with those out of fold, margin 0.01" in together.found
    assert not gate.check_registered(registered, farther(few, 0.0), farther(more, 0.1), settings).passed


def test_of_rows_out_of_fold_all_repeats_count() -> None:
    table = shipped().take(SPLIT.test[:100])
    answers = Answers(table, np.stack([np.full(100, 0.2), np.full(100, 0.6)]))
    ultra = table.target == 1
    assert answers.brier[ultra] == pytest.approx((0.8**2 + 0.4**2) / 2)
    assert answers.brier[~ultra] == pytest.approx((0.2**2 + 0.6**2) / 2)


def test_a_registered_model_knows_its_training_rows_and_no_others(model: RegisteredModel) -> None:
    seen = model.training_rows()
    assert np.isin(row_keys(shipped().take(SPLIT.training)), seen).all()
    assert not np.isin(row_keys(shipped().take(SPLIT.test)), seen).any()
    other_labels = replace(shipped(), target=1 - shipped().target)  # the same usage, the other plan: another row
    assert not np.isin(row_keys(other_labels), seen).any()


def test_a_row_is_known_again_by_its_usage_and_label_however_they_are_written(table: Callable[..., Path]) -> None:
    keys = row_keys(
        read_labelled(table("0,1,2,,1", "-0,1.0,2e0, ,1", "0.0,1,2,,1", "0,1,2,0,1", "0,1,2,,0", "1,0,2,,1"))
    )
    assert len(set(keys[:3].tolist())) == 1
    assert len(set(keys.tolist())) == 4


@pytest.mark.parametrize(("left", "refused"), [(0, True), (19, True), (20, False)])
def test_with_fewer_than_twenty_rows_to_compare_on_a_model_is_refused(left: int, refused: bool) -> None:
    table = shipped().take(SPLIT.test)
    order = np.argsort(-np.arange(643) % 7, kind="stable")  # both plans among the last twenty
    table = table.take(order)
    check = check_registered(table, row_keys(table)[: 643 - left], margin=1.0)
    too_few = f"only {left} rows of the test part that neither model was trained on, of which "
    assert check.found.startswith(too_few) == refused
    if refused:
        assert not check.passed
        assert check.found.endswith(
            f"{int(table.target[643 - left :].sum())} Ultra; expected at least 20 with both plans"
        )
        assert check.advice == f"train on a table with new rows; {REMOVE}"


REMOVE = "or, if new models should not be compared with it, remove it: bentoml models delete plan_recommender:old"


@pytest.mark.parametrize(
    ("seed", "was", "now", "ways"),
    [
        (42, None, None, ""),
        (7, None, None, ", or with the seed 7 and test_share 0.2 of plan_recommender:old"),
        (42, None, "who", ", because plan_recommender:old was trained without --groups, on rows of subscribers who"),
        (7, "a b", None, ", because plan_recommender:old was trained with --groups 'a b', on rows of subscribers who"),
        (42, "who", "who", ", or with other subscriber numbers, if people who share theirs with those of that model"),
    ],
)
def test_ways_out_of_too_few_new_rows_change_something(seed: int, was: str | None, now: str | None, ways: str) -> None:
    part = shipped().take(SPLIT.test)
    people = TextColumn(np.arange(643) // 2, tuple(f"s{i}" for i in range(322)))
    table = part if now is None else replace(part, texts={"who": people}, groups="who")
    check = check_registered(table, row_keys(part), seed=seed, groups=was)
    assert check.found.startswith("only 0 rows of the test part")
    assert check.advice.startswith(f"train on a table with new rows{ways}")
    assert check.advice.endswith(f"; {REMOVE}")
    assert (ways == "") == (check.advice == f"train on a table with new rows; {REMOVE}")


def test_rows_of_one_plan_only_are_too_few_however_many() -> None:
    table = shipped().take(SPLIT.test)
    check = check_registered(table, row_keys(table.take(np.flatnonzero(table.target == 1))))
    assert not check.passed
    assert check.found.startswith("only 446 rows of the test part that neither model was trained on, of which 0 Ultra")


def test_a_run_on_rows_that_the_registered_model_has_all_seen_is_refused(
    command: Command, store: Path, registered: RegisteredModel, tmp_path: Path
) -> None:
    header, *lines = DATA.read_text().splitlines()
    seen = tmp_path / "seen.csv"
    seen.write_text("\n".join([header, *(lines[i] for i in SPLIT.training[:1500])]) + "\n")
    before = state(store, tmp_path / "artifacts")
    answer = command(train.main, "--config", configuration(tmp_path / "config.yaml"), "--data", seen)
    assert (answer.code, answer.err) == (1, "")
    (reason,) = [line for line in answer.out.splitlines() if line.startswith("refused: ")]
    assert "found only 0 rows of the test part that neither model was trained on, of which 0 Ultra" in reason
    assert "what helps: train on a table with new rows; or, if new models should not be compared" in answer.out
    assert state(store, tmp_path / "artifacts") == before
    assert len(bentoml.models.list(MODEL_NAME)) == 1
