"""Logged predictions are joined with plans that became known later, and measured beside training."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

import evaluate
from plan_recommender.config.load import load_settings
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.data.late_labels import read_late_labels
from plan_recommender.data.prediction_log import read_log
from plan_recommender.errors import TableError
from plan_recommender.evaluation.comparison import MetricInterval
from plan_recommender.evaluation.late_labels import AtTraining, compare_with_training, evaluate_late
from plan_recommender.model.scorer import Scorer
from plan_recommender.serving.settings import variable
from tests.conftest import Answer, Command, TrainedModel
from tests.logged import line, write_log
from tools.server import ROOT, serving

SETTINGS = load_settings(ROOT / "model_config.yaml")
Table = Callable[..., Path]
Late = Callable[..., tuple[Answer, dict[str, Any]]]


@pytest.fixture
def late(command: Command, tmp_path: Path, quick: Path) -> Late:
    """Run the command on a log of these lines and a table of these labels."""

    def run(lines: list[str], labels: list[str], *more: str, header: str = "reference,is_ultra") -> Any:
        write_log(tmp_path / "log", *lines)
        (tmp_path / "labels.csv").write_text("\n".join([header, *labels]) + "\n")
        artifacts = tmp_path / "artifacts"
        files = ["--log", tmp_path / "log", "--labels", tmp_path / "labels.csv", "--artifacts", artifacts]
        answer = command(evaluate.main, *files, "--config", quick, *more)
        written = artifacts / "late_labels.json"
        return answer, json.loads(written.read_text()) if written.exists() else {}

    return run


def drawn(seed: int, count: int, start: int = 0) -> tuple[list[float], list[int], list[str]]:
    """Probabilities, labels that they are right about as often as they say, and references."""
    rng = np.random.default_rng(seed)
    probabilities = rng.uniform(0.02, 0.98, count)
    names = [f"s{i}" for i in range(start, start + count)]
    return probabilities.tolist(), (rng.random(count) < probabilities).astype(int).tolist(), names


def test_metrics_are_those_of_the_joined_rows_by_week(late: Late) -> None:
    first, second = drawn(1, 300), drawn(2, 200, start=300)
    lines = [line(probability=p, reference=r, days=i % 7) for i, (p, _, r) in enumerate(zip(*first, strict=True))]
    lines += [line(probability=p, reference=r, days=7) for p, _, r in zip(*second, strict=True)]
    labels = [f"{r},{y}" for part in (first, second) for _, y, r in zip(*part, strict=True)]
    answer, found = late(lines, labels)
    assert (answer.code, answer.err) == (0, "")
    (model,) = found["models"]
    assert [week["week"] for week in model["weeks"]] == ["2026-W45", "2026-W46"]
    for measured, (probabilities, target, _) in zip(model["weeks"], (first, second), strict=True):
        p, y = np.array(probabilities), np.array(target)
        assert measured["labelled"] == measured["predictions"] == measured["units"] == len(y)
        assert measured["accuracy"] == pytest.approx(np.mean((p >= 0.5) == y), rel=1e-12)
        assert measured["brier"] == pytest.approx(brier_score_loss(y, p), rel=1e-12)
        assert measured["log_loss"] == pytest.approx(log_loss(y, p), rel=1e-12)
        assert measured["roc_auc"] == pytest.approx(roc_auc_score(y, p), rel=1e-12)
        error = np.sqrt(measured["accuracy"] * (1 - measured["accuracy"]) / len(y))
        ends = measured["intervals"]["accuracy"]
        assert (ends["high"] - ends["low"]) / 2 == pytest.approx(1.96 * error, rel=0.15)
        for name, interval in measured["intervals"].items():
            assert interval["low"] < measured[name] < interval["high"]
    assert model["all_weeks"]["labelled"] == 500
    assert model["training"] is None
    assert "plan_recommender:a is not in the model store, so that what training measured is not known" in answer.out


def test_what_cannot_be_joined_is_counted_and_named(late: Late) -> None:
    lines = [line(reference=name) for name in ("a", "b", "c", "d", "e")] + [line(), line(), line(reference="no label")]
    labels = ["a,0", "a,0", "a,Smart", "b,0", "b,1", "b,1", "c,Ultra", "d,", "e,1", ",1", "x,1", "y,0"]
    answer, found = late(lines, labels)
    assert answer.code == 0
    counts = {name: value for name, value in found.items() if isinstance(value, int)}
    assert counts == {
        "predictions": 8, "without_reference": 2, "without_label": 2, "with_conflicting_labels": 1, "superseded": 0,
        "label_rows": 12, "label_rows_unlabelled": 1, "label_rows_without_reference": 1, "labels_repeated": 2,
        "labels_conflicting": 1, "labels_unknown": 2,
    }  # fmt: skip
    assert (found["conflicting"], found["unknown"]) == (["b"], ["x", "y"])
    assert found["models"][0]["all_weeks"]["labelled"] == 3
    assert found["models"][0]["all_weeks"]["accuracy"] == pytest.approx(1 / 3)
    assert "warning: 1 reference left out for conflicting labels: 'b'" in answer.out
    assert "warning: 2 references of labels that no prediction has: 'x', 'y'" in answer.out


def test_a_reference_counts_once_in_a_week_by_its_last_prediction(late: Late) -> None:
    lines = [
        line(probability=0.9, reference="a", days=2), line(probability=0.1, reference="a", days=1),
        line(probability=0.2, reference="a", days=8), line(probability=0.3, reference="a", days=2, model="m:2"),
    ]  # fmt: skip
    _, found = late(lines, ["a,1"])
    one, other = found["models"]
    assert [(week["labelled"], week["predictions"], week["accuracy"]) for week in one["weeks"]] == [
        (1, 2, 1),
        (1, 1, 0),
    ]
    assert (one["all_weeks"]["labelled"], one["all_weeks"]["units"], one["all_weeks"]["accuracy"]) == (2, 1, 0.5)
    assert (other["all_weeks"]["labelled"], other["all_weeks"]["accuracy"]) == (1, 0)
    assert found["superseded"] == 1


def test_weeks_are_iso_weeks_in_utc(late: Late) -> None:
    lines = [line(reference="a", days=-1 / 3 - 1e-6), line(reference="b", days=-1 / 3), line(reference="c", days=60)]
    _, found = late(lines, ["a,0", "b,0", "c,0"])
    assert [week["week"] for week in found["models"][0]["weeks"]] == ["2026-W44", "2026-W45", "2026-W53"]


def test_intervals_go_by_the_subscribers_that_the_labels_name(late: Late) -> None:
    """Ten months of each subscriber, all alike: they say no more than one."""
    probabilities, target, names = drawn(3, 60)
    lines, labels = [], []
    for month in range(10):
        for p, y, name in zip(probabilities, target, names, strict=True):
            lines.append(line(probability=p, reference=f"{name}-{month}"))
            labels.append(f"{name}-{month},{y},{name}")
    _, by_subscriber = late(lines, labels, header="reference,is_ultra,subscriber")
    _, by_other_name = late(lines, labels, "--groups", "who", header="reference,is_ultra,who")
    _, by_reference = late(lines, labels, header="reference,is_ultra,ignored")
    ends = [found["models"][0]["all_weeks"]["intervals"] for found in (by_subscriber, by_other_name, by_reference)]
    assert ends[0] == ends[1]
    assert [found["models"][0]["all_weeks"]["units"] for found in (by_subscriber, by_reference)] == [60, 600]
    widths = [interval["brier"]["high"] - interval["brier"]["low"] for interval in ends]
    assert widths[0] / widths[2] == pytest.approx(np.sqrt(10), rel=0.15)


def test_one_label_only_has_no_auc_and_few_subscribers_no_interval(late: Late) -> None:
    _, found = late([line(reference=f"s{i}") for i in range(30)], [f"s{i},0" for i in range(30)])
    measured = found["models"][0]["all_weeks"]
    assert measured["roc_auc"] is None
    assert set(measured["intervals"]) == {"accuracy", "brier", "log_loss"}
    answer, found = late([line(reference=f"s{i}") for i in range(19)], [f"s{i},{i % 2}" for i in range(19)])
    assert found["models"][0]["all_weeks"]["intervals"] == {}
    assert answer.code == 0


def of_the_model(scorer: Scorer, tag: str, turned: int) -> tuple[list[str], list[str]]:
    """Predictions of the trained model for rows of its table, and their labels, of which every so many is the other."""
    table = read_labelled(ROOT / "users_behavior.csv")
    probabilities = scorer.probabilities(table.features)
    decisions = scorer.decide(table.features, probabilities)
    lines, labels = [], []
    for i, usage in enumerate(table.features.tolist()[:1000]):
        lines.append(line(usage, float(probabilities[i]), f"s{i}", model=tag, prediction=int(decisions[i])))
        label = int(table.target[i])
        labels.append(f"s{i},{1 - label if turned and i % turned == 0 else label}")
    return lines, labels


@pytest.mark.parametrize(
    ("turned", "word", "beyond"),
    [(0, "", None), (10, "fell", True), (60, "", False)],
    ids=["same", "worse", "little"],
)
def test_one_sentence_says_whether_it_is_beyond_chance(
    late: Late, trained: TrainedModel, scorer: Scorer, turned: int, word: str, beyond: bool | None
) -> None:
    answer, found = late(*of_the_model(scorer, trained.tag, turned))
    (model,) = found["models"]
    metrics = json.loads((trained.artifacts / "metrics.json").read_text())
    for name in ("accuracy", "brier", "log_loss", "roc_auc"):
        assert model["training"][name] == metrics[name]
    assert (model["training"]["rows"], model["training"]["units"]) == (643, 643)
    change = model["change"]
    assert change["difference"] == pytest.approx(model["all_weeks"]["accuracy"] - metrics["accuracy"])
    (sentence,) = [text for text in answer.out.splitlines() if text.startswith("verdict: ")]
    said = "more than chance makes" if change["beyond_chance"] else "which chance may have made"
    assert sentence.endswith(said)
    assert word in sentence
    assert beyond is None or change["beyond_chance"] is beyond
    assert f"{abs(100 * change['difference']):.1f} points since training (95% interval: " in sentence


def test_a_change_is_found_beyond_chance_as_seldom_as_it_should_be() -> None:
    """Of a model that has not changed, about one in twenty; of one that fell by ten points, nearly all."""
    rng = np.random.default_rng(5)
    counts = {}
    for truth in (0.8, 0.7):
        beyond = 0
        for _ in range(2000):
            before, later = rng.binomial(643, 0.8) / 643, rng.binomial(500, truth) / 500
            half = 1.96 * np.sqrt(later * (1 - later) / 500)
            training = AtTraining(rows=643, units=643, accuracy=before, brier=0, log_loss=0, roc_auc=0)
            interval = MetricInterval(low=later - half, high=later + half)
            beyond += compare_with_training(later, interval, training, 0.95).beyond_chance
        counts[truth] = beyond / 2000
    assert 0.03 < counts[0.8] < 0.07
    assert counts[0.7] > 0.95


@pytest.mark.parametrize(
    ("lines", "labels", "sentence"),
    [
        ([line()], ["a,1"], "expected predictions with a reference, found none in 1: clients have to send the header"),
        ([line(reference="a")], ["b,1"], "predictions have references such as 'a', labels such as 'b'"),
        ([line(reference="a")], ["a,"], "predictions have references such as 'a', labels none"),
        ([line(reference="a")], ["a,2"], "column 'is_ultra', row 1: expected 0 or 1, or Smart or Ultra, or an empty"),
        ([line(reference="a")], ["a,1,3"], "row 1: expected 2 cells, found 3"),
        ([], ["a,1"], "expected at least one prediction, found none in 1 file"),
    ],
)
def test_what_cannot_be_measured_is_exit_code_2(late: Late, lines: list[str], labels: list[str], sentence: str) -> None:
    answer, found = late(lines or ["{}"], labels)
    assert (answer.code, found) == (2, {})
    assert sentence in answer.err


def test_labels_may_be_plans_in_a_column_that_is_mapped(late: Late) -> None:
    lines = [line(reference="a"), line(reference="b")]
    answer, _ = late(lines, ["a,Smart", "b,Ultra"], header="reference,plan")
    assert answer.code == 2
    assert "did you mean --map is_ultra=plan?" in answer.err
    answer, found = late(lines, ["a,Smart", "b,Ultra"], "--map", "is_ultra=plan", header="reference,plan")
    assert answer.code == 0
    assert found["models"][0]["all_weeks"]["accuracy"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--log", "x"], "--log and --labels: expected both"),
        (["--labels", "x"], "--log and --labels: expected both"),
        (["--log", "x", "--labels", "y", "--data", "z"], "expected no --data, --model or --group with it"),
        (["--since", "2026-11-01"], "--since and --until: expected --log DIR"),
    ],
)
def test_options_that_do_not_go_together(command: Command, arguments: list[str], sentence: str) -> None:
    answer = command(evaluate.main, *arguments)
    assert answer.code == 2
    assert sentence in answer.err


def test_since_and_until_choose_what_is_measured(late: Late) -> None:
    lines = [line(reference="a"), line(reference="b", days=7), line(reference="c", days=14)]
    _, found = late(lines, ["a,0", "b,0", "c,0"], "--since", "2026-11-09", "--until", "2026-11-16")
    assert [week["week"] for week in found["models"][0]["weeks"]] == ["2026-W46"]
    assert found["unknown"] == ["a", "c"]


@pytest.mark.slow
def test_what_a_real_service_logged_is_measured(
    late: Late, command: Command, trained: TrainedModel, scorer: Scorer, tmp_path: Path
) -> None:
    table = read_labelled(ROOT / "users_behavior.csv").take(np.arange(400))
    names = ("calls", "minutes", "messages", "mb_used")
    bodies = [dict(zip(names, usage, strict=True)) for usage in table.features.tolist()]
    log = tmp_path / "served"
    with serving(env={variable("prediction_log"): str(log)}) as server, httpx.Client(base_url=server.url) as http:
        for i, body in enumerate(bodies[:200]):
            http.post("/predict", json=body, headers={"x-reference": f"one-{i}"})
        http.post("/predict_batch", json={"rows": bodies[200:]}, headers={"x-reference": "batch"})
        time.sleep(0.1)
    labels = tmp_path / "known.csv"
    references = [*(f"one-{i}" for i in range(200)), *(f"batch/{i}" for i in range(200))]
    pairs = zip(references, table.target.tolist(), strict=True)
    labels.write_text("reference,is_ultra\n" + "".join(f"{name},{label}\n" for name, label in pairs))
    found = evaluate_late(read_log(log), read_late_labels(labels), SETTINGS)
    (model,) = found.models
    probabilities = scorer.probabilities(table.features)
    assert (model.model, model.all_weeks.labelled) == (trained.tag, 400)
    assert model.all_weeks.accuracy == np.mean(scorer.decide(table.features, probabilities) == table.target)
    assert model.all_weeks.log_loss == pytest.approx(log_loss(table.target, probabilities), rel=1e-12)


def test_a_file_without_the_column_of_references_is_refused(table: Table) -> None:
    with pytest.raises(TableError, match="expected the columns reference, is_ultra; missing reference"):
        read_late_labels(table("1,2,3,4,0"))
