"""Two models on the same rows: differences by hand, resamples against scikit-learn, and two --model of evaluate.py."""

import itertools
import json
import math
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

import evaluate
import train
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.evaluation.comparison import COMPARED, PairedComparison, compare_paired, weighted_auc
from plan_recommender.evaluation.metrics import Labels, Probabilities, log_losses, measure
from plan_recommender.model import store as model_store
from plan_recommender.training.split import split_table
from tests.conftest import Command, TrainedModel
from tools.server import ROOT
from tools.synthesise import main as synthesise

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
DATA = ROOT / "users_behavior.csv"
Table = Callable[..., Path]
Answers = tuple[Probabilities, Labels]


def decided(probabilities: Probabilities) -> Answers:
    return probabilities, (probabilities >= 0.5).astype(np.int64)


def sample(rows: int, seed: int = 0) -> tuple[Labels, Answers, Answers]:
    """Labels, the probabilities they were drawn from, and the same blurred and rounded, so that there are ties."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(1, 2, rows)
    target = (rng.random(rows) < probabilities).astype(np.int64)
    blurred: Probabilities = np.clip(probabilities + rng.normal(0, 0.2, rows), 0.02, 0.98).round(1)
    return target, decided(blurred), decided(probabilities)


def compare(rows: int = 300, samples: int = 500, seed: int = 0, confidence: float = 0.95) -> PairedComparison:
    return compare_paired(*sample(rows), samples, confidence, seed)


def test_the_differences_are_what_a_hand_computes() -> None:
    target = np.array([1, 1, 0, 0])
    found = compare_paired(
        target, decided(np.array([0.6, 0.4, 0.6, 0.4])), decided(np.array([0.9, 0.6, 0.6, 0.1])), 4000, 0.95, seed=0
    )
    assert found.rows == 4
    assert (found.accuracy.first, found.accuracy.second, found.accuracy.difference) == (0.5, 0.75, 0.25)
    assert (found.f1.first, found.f1.second) == pytest.approx((0.5, 0.8))
    assert (found.roc_auc.first, found.roc_auc.second) == (0.5, 0.875)  # 3 of 4 pairs right, and a tie
    assert found.brier.first == pytest.approx((0.16 + 0.36 + 0.36 + 0.16) / 4)
    assert found.brier.difference == pytest.approx((0.01 + 0.16 + 0.36 + 0.01) / 4 - 0.26)
    losses = [math.log(0.6), math.log(0.4), math.log(0.4), math.log(0.6)]
    assert found.log_loss.first == pytest.approx(-sum(losses) / 4)
    # Only the second row is answered right by the second model alone, so that a resample's difference is its share of
    # the four rows: 0 in about 30 % of the resamples, 3/4 in about 5 %, and never 1, which would be one label only.
    assert (found.accuracy.low, found.accuracy.high) == (0, 0.75)


def test_the_points_are_the_metrics_of_an_evaluation() -> None:
    target, first, second = sample(300)
    found, before, after = compare(300), measure(target, *first), measure(target, *second)
    for name in COMPARED:
        metric = getattr(found, name)
        assert (metric.first, metric.second) == (getattr(before, name), getattr(after, name))
        assert metric.difference == metric.second - metric.first


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_loss_of_the_rows_has_the_bits_of_scikit_learns(seed: int) -> None:
    target, (blurred, _), (drawn, _) = sample(300, seed)
    extreme = np.where(np.arange(300) % 3 == 0, target, drawn)  # certain and right; turned round, wrong
    for probabilities in (blurred, drawn, extreme, 1 - extreme):
        assert log_losses(target, probabilities).mean() == log_loss(target, probabilities)


def test_a_model_beside_itself_differs_in_nothing() -> None:
    target, first, _ = sample(100)
    found = compare_paired(target, first, first, 100, 0.95, seed=1)
    for name in COMPARED:
        metric = getattr(found, name)
        assert (metric.difference, metric.low, metric.high) == (0, 0, 0)


def test_swapping_the_models_turns_the_differences_round() -> None:
    target, first, second = sample(200)
    one = compare_paired(target, first, second, 300, 0.9, seed=5)
    other = compare_paired(target, second, first, 300, 0.9, seed=5)
    for name in COMPARED:
        there, back = getattr(one, name), getattr(other, name)
        assert (back.difference, back.low, back.high) == pytest.approx((-there.difference, -there.high, -there.low))


WEIGHTED = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.5, 0.50000001, 0.9, 1.0]), st.integers(0, 5)),
    min_size=2,
    max_size=40,
).filter(lambda rows: {y for y, _, w in rows if w} == {0, 1})


@PROPERTY
@given(WEIGHTED)
def test_the_weighted_auc_is_scikit_learns(rows: list[tuple[int, float, int]]) -> None:
    target, probabilities, weights = (np.array(column) for column in zip(*rows, strict=True))
    others = np.ones(len(rows))
    found = weighted_auc(target, probabilities, np.vstack([weights, others]).astype(np.float64))
    assert found[0] == pytest.approx(roc_auc_score(target, probabilities, sample_weight=weights), abs=1e-12)
    assert found[1] == pytest.approx(roc_auc_score(target, probabilities), abs=1e-12)


def exact_intervals(
    target: Labels, first: Answers, second: Answers, confidence: float
) -> dict[str, tuple[float, float]]:
    """The intervals over all resamples of a few rows, each with its probability, but for those of one label.

    The metrics are those of the rows repeated. A quantile must be the same a little to either side, or the resamples
    that are drawn could miss it.
    """
    rows, differences, chances = len(target), [], []
    for counts in itertools.product(range(rows + 1), repeat=rows):
        again = np.repeat(np.arange(rows), counts)
        if len(again) != rows or len(set(target[again])) < 2:
            continue
        before, after = (measure(target[again], p[again], d[again]) for p, d in (first, second))
        differences.append([getattr(after, name) - getattr(before, name) for name in COMPARED])
        chances.append(1 / math.prod(map(math.factorial, counts)))
    intervals: dict[str, tuple[float, float]] = {}
    for name, values in zip(COMPARED, np.array(differences).round(12).T, strict=True):
        order = np.argsort(values)
        below = np.cumsum(np.array(chances)[order]) / sum(chances)

        def quantile(share: float, sorted_values: np.ndarray[Any, Any] = values[order], below: Any = below) -> float:
            near = {float(sorted_values[np.searchsorted(below, share + more)]) for more in (-0.008, 0, 0.008)}
            (found,) = near
            return found

        intervals[name] = (quantile((1 - confidence) / 2), quantile((1 + confidence) / 2))
    return intervals


def test_the_intervals_are_those_of_all_resamples_in_which_both_labels_occur() -> None:
    target = np.array([1, 0, 0, 1])
    first, second = decided(np.array([0.9, 0.1, 0.6, 0.3])), decided(np.array([0.6, 0.2, 0.3, 0.7]))
    expected = exact_intervals(target, first, second, 0.8)
    found = compare_paired(target, first, second, 50_000, 0.8, seed=0)
    for name in COMPARED:
        metric = getattr(found, name)
        assert (metric.low, metric.high) == pytest.approx(expected[name], abs=1e-9), name
        assert metric.low < metric.high


@pytest.mark.slow
def test_more_resamples_take_no_more_memory() -> None:
    target, first, second = sample(20_000)

    def most(samples: int) -> int:
        tracemalloc.start()
        compare_paired(target, first, second, samples, 0.95, seed=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert most(25) < 0.5 * most(250)  # the control: up to a limit, more take more
    assert most(500) < 1.2 * most(250)


def test_intervals_hold_their_point_and_are_as_wide_as_the_normal_approximation() -> None:
    target, first, second = sample(650)
    found = compare(650, 4000)
    for name in COMPARED:
        metric = getattr(found, name)
        assert metric.low < metric.difference < metric.high
    by_row = (second[1] == target).astype(float) - (first[1] == target)
    assert found.accuracy.high - found.accuracy.low == pytest.approx(2 * 1.96 * by_row.std() / math.sqrt(650), rel=0.1)
    squares = (second[0] - target) ** 2 - (first[0] - target) ** 2
    assert found.brier.high - found.brier.low == pytest.approx(2 * 1.96 * squares.std() / math.sqrt(650), rel=0.1)


def test_a_higher_confidence_is_a_wider_interval() -> None:
    narrow, wide = compare(confidence=0.5).roc_auc, compare(confidence=0.99).roc_auc
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_order_of_the_rows_changes_nothing_but_noise() -> None:
    target, first, second = sample(400)
    order = np.random.default_rng(0).permutation(400)
    one = compare_paired(target, first, second, 2000, 0.95, seed=0)
    shuffled = [(p[order], d[order]) for p, d in (first, second)]
    other = compare_paired(target[order], shuffled[0], shuffled[1], 2000, 0.95, seed=0)
    for name in COMPARED:
        there, back = getattr(one, name), getattr(other, name)
        assert back.difference == pytest.approx(there.difference)
        width = there.high - there.low
        assert (back.low, back.high) == pytest.approx((there.low, there.high), abs=0.15 * width)


def test_the_same_seed_gives_the_same_answer_and_it_reads_back() -> None:
    one = compare(seed=3)
    assert compare(seed=3) == one
    assert compare(seed=4).roc_auc.low != one.roc_auc.low
    assert PairedComparison.model_validate_json(one.model_dump_json()) == one


@pytest.fixture
def two(command: Command, store: Path, quick: Path) -> Callable[..., tuple[str, str]]:
    """Train two models, the second with options of its own; returns their tags."""

    def train_both(*options: object) -> tuple[str, str]:
        assert command(train.main, "--config", quick).code == 0
        first = model_store.find().tag
        assert command(train.main, "--config", quick, *options).code == 0
        return first, model_store.find().tag

    return train_both


def stored(artifacts: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((artifacts / "comparison.json").read_text())
    return document


@pytest.mark.slow
def test_two_models_are_compared_on_the_test_part_of_the_first(
    command: Command, two: Callable[..., tuple[str, str]], quick: Path, tmp_path: Path
) -> None:
    eager = tmp_path / "eager.yaml"
    eager.write_text(quick.read_text() + "threshold: 0.1\n")
    first, second = two("--config", eager)
    artifacts = tmp_path / "evaluation"
    alone = []
    for tag in (first, second):
        assert command(evaluate.main, "--model", tag, "--artifacts", artifacts).code == 0
        alone.append(json.loads((artifacts / "evaluation.json").read_text()))
    shutil.rmtree(artifacts)
    answer = command(evaluate.main, "--model", first, "--model", second, "--artifacts", artifacts)
    assert (answer.code, answer.err) == (0, "")
    assert [path.name for path in artifacts.iterdir()] == ["comparison.json"]
    found = stored(artifacts)
    assert (found["first"]["model"], found["second"]["model"], found["rows"]) == (first, second, 643)
    for name in COMPARED:
        assert [found[name]["first"], found[name]["second"]] == [document[name] for document in alone]
        assert found[name]["low"] <= found[name]["difference"] <= found[name]["high"]
        row = next(line.split() for line in answer.out.splitlines() if line.startswith(f"{name} "))
        assert row[1:4] == [
            f"{alone[0][name]:.4f}", f"{alone[1][name]:.4f}", f"{alone[1][name] - alone[0][name]:+.4f}"
        ]  # fmt: skip
    assert found["accuracy"]["difference"] < -0.02  # the same probabilities, but Ultra is answered too often
    assert (found["roc_auc"]["difference"], found["brier"]["difference"]) == (0, 0)
    assert f"second: {second} on the same rows, threshold 0.1; neither was trained on them\n" in answer.out
    assert f"first:  {first} on the 643 rows of {DATA.name} that it was never trained on, " in answer.out


@pytest.mark.slow
def test_a_second_model_that_saw_the_rows_is_told(
    command: Command, two: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    first, second = two("--seed", 7)
    answer = command(evaluate.main, "--model", first, "--model", second, "--artifacts", tmp_path / "a")
    assert answer.code == 0
    tests = [split_table(read_labelled(DATA), 0.2, model_store.find(tag).record.seed).test for tag in (first, second)]
    seen = len(set(tests[0]) - set(tests[1]))
    assert 0 < seen < 643
    sentence = f"trained on {seen} of them, so that the comparison favours it"
    assert f"; {sentence}\n" in answer.out
    assert stored(tmp_path / "a")["second"]["training"] == sentence


@pytest.mark.slow
def test_a_second_model_of_another_table_is_told(
    command: Command, two: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    synthesise(["--rows", "5000", "--seed", "5", "--out", str(other)])
    first, second = two("--data", other)
    answer = command(evaluate.main, "--model", first, "--model", second, "--artifacts", tmp_path / "a")
    assert "; neither was trained on them\n" in answer.out
    # On the second's own table, it was trained on its training part.
    answer = command(evaluate.main, "--model", first, "--model", second, "--data", other, "--artifacts", tmp_path / "a")
    assert "; trained on 4,000 of them, so that the comparison favours it\n" in answer.out
    assert stored(tmp_path / "a")["rows"] == 5000


def test_the_resamples_are_those_of_the_configuration(command: Command, trained: TrainedModel, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("comparison: {bootstrap_samples: 123, confidence: 0.8}\nseed: 9\n")
    answer = command(
        evaluate.main, "--model", trained.tag, "--model", trained.tag, "--config", config, "--artifacts", tmp_path / "a"
    )
    found = stored(tmp_path / "a")
    assert (found["samples"], found["confidence"], found["seed"]) == (123, 0.8, 9)
    assert "80% interval" in answer.out
    scorer = model_store.find(trained.tag).scorer()
    table = read_labelled(DATA)
    test = split_table(table, 0.2, 42).test
    decisions = scorer.decide(table.features[test], scorer.probabilities(table.features[test]))
    assert found["accuracy"]["first"] == accuracy_score(table.target[test], decisions)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--model", "a", "--model", "b", "--model", "c"],
            "argument --model: expected one model, or two to compare, found 3",
        ),
        (["--model", "a", "--model", "b", "--group", "region"], "argument --group: expected one --model, found two"),
    ],
)
def test_more_than_can_be_compared_is_refused(command: Command, options: list[str], sentence: str) -> None:
    answer = command(evaluate.main, *options)
    assert answer.code == 2
    assert sentence in answer.err
