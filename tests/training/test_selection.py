"""The champion: found on the training part alone, by a rule that can be worked out by hand."""

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from plan_recommender.config.settings import Candidate, Metric, Settings
from plan_recommender.evaluation.comparison import COMPARED
from plan_recommender.evaluation.metrics import ConfusionMatrix, Labels, Metrics
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.tables import write_document
from plan_recommender.report.artifacts import candidates_csv
from plan_recommender.report.terminal import candidates_table
from plan_recommender.training import run, selection
from plan_recommender.training.candidates import fit, frame
from plan_recommender.training.selection import CrossValidated, cross_validate, interval, standard_error, summarise
from plan_recommender.training.split import compared_part, row_keys, split_table
from tests.training.candidates import shipped
from tools.server import ROOT

QUICK: dict[str, Any] = {
    "selection": {"folds": 2, "repeats": 1},
    "estimators": {"boosted_trees": {"trees": 30}},
    "proof": {"rows": 100},
    "money": {"bootstrap_samples": 100},
}


def configured(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def of_selection(**changed: Any) -> Settings:
    return configured(selection=changed)


# The folds and the parts


def test_both_parts_have_the_tables_share_of_ultra_and_every_row_once() -> None:
    table = shipped()
    split = split_table(table, 0.2, 42)
    assert sorted([*split.training.tolist(), *split.test.tolist()]) == list(range(3214))
    assert (len(split.test), table.target[split.test].sum()) == (643, 197)  # of 3,214 rows 985 are Ultra
    assert table.target.sum() == 985


def test_a_large_training_part_is_compared_on_a_stratified_sample_of_it() -> None:
    table = shipped()
    settings = configured(selection={"max_rows": 1000})
    part = compared_part(table, settings)
    assert len(part.target) == 1000
    assert part.target.mean() == pytest.approx(table.target.mean(), abs=1e-3)
    assert np.isin(row_keys(part), row_keys(table)).all()
    np.testing.assert_array_equal(compared_part(table, settings).features, part.features)
    assert compared_part(table.take(np.arange(1000)), settings).target.tolist() == table.target[:1000].tolist()
    assert compared_part(table, configured()) is table


@pytest.mark.slow
def test_every_fold_has_the_share_of_ultra_and_every_row_is_left_out_once_a_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares: list[tuple[int, int]] = []

    def watched(candidate: Candidate, settings: Settings, features: FeatureMatrix, target: Labels) -> Any:
        shares.append((len(target), int(target.sum())))
        return fit("majority_rule", settings, features, target)

    monkeypatch.setattr(selection, "fit", watched)
    features, target = shipped().features[:1000], shipped().target[:1000]
    fitted = ["majority_rule", "logistic_regression", "binned_logistic", "boosted_trees"]  # and no average of others
    settings = of_selection(folds=5, repeats=3, candidates=fitted)
    results = cross_validate(features, target, settings)
    ultra = int(target.sum())
    assert len(shares) == len(settings.selection.candidates) * 5 * 3
    assert {rows for rows, _ in shares} == {800}
    assert {positive for _, positive in shares} <= {math.floor(ultra * 0.8), math.ceil(ultra * 0.8)}
    by_candidate = [shares[i : i + 15] for i in range(0, len(shares), 15)]
    assert all(folds == by_candidate[0] for folds in by_candidate)  # of the same folds
    for result in results:
        assert len(result.folds) == 15
        # Every row has an out-of-fold answer in every repeat: the share of Ultra of a training part.
        assert result.probabilities.shape == (3, 1000)
        assert np.abs(result.probabilities - ultra / 1000).max() <= 1 / 800


def test_an_average_of_fitted_members_is_the_one_that_is_fitted_by_itself() -> None:
    features, target = shipped().features[:300], shipped().target[:300]
    baselines = ["majority_rule", "logistic_regression"]
    together = of_selection(candidates=[*baselines, "average", "boosted_trees", "binned_logistic"], folds=2, repeats=1)
    alone = of_selection(candidates=[*baselines, "average", "boosted_trees"], folds=2, repeats=1)
    results = cross_validate(features, target, together)
    assert [result.candidate for result in results] == together.selection.candidates
    _, _, average, *members = results
    by_itself = cross_validate(features, target, alone)[2]
    np.testing.assert_array_equal(average.probabilities, by_itself.probabilities)
    assert average.folds == by_itself.folds
    for fold in range(2):
        assert average.fit_seconds[fold] > sum(member.fit_seconds[fold] for member in members)


def test_out_of_fold_answers_come_from_models_that_did_not_see_the_row() -> None:
    """A tree with a leaf for every row knows by heart what it saw: its own rows it gets right, others not."""
    features, target = shipped().features[:400], np.random.default_rng(0).integers(0, 2, 400)  # nothing to learn
    settings = configured(
        selection={"candidates": ["majority_rule", "logistic_regression", "boosted_trees"], "folds": 4, "repeats": 1},
        estimators={
            "boosted_trees": {
                "trees": 60, "learning_rate": 1.0, "max_leaf_nodes": 400, "min_samples_leaf": 1, "l2_regularization": 0
            }
        },
    )  # fmt: skip
    by_heart = cross_validate(features, target, settings)[2]
    seen = fit("boosted_trees", settings, features, target).predict_proba(frame(features))[:, 1]
    assert np.mean((seen >= 0.5) == target) > 0.99  # the control
    assert 0.4 < np.mean((by_heart.probabilities[0] >= 0.5) == target) < 0.6


def found_out(trained: run.Trained) -> dict[str, object]:
    """All that is settled before the test part is looked at."""
    return {
        "champion": trained.champion,
        "candidates": trained.candidates,
        "threshold": trained.scorer.threshold,
        "calibration": trained.calibration,
        "document": write_document(trained.document),
        "out of fold": [result.probabilities.tobytes() for result in trained.results],
    }


@pytest.mark.slow
def test_nothing_in_the_test_part_changes_the_champion_its_threshold_or_the_scorer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = shipped().take(np.arange(1200))
    split = split_table(table, 0.25, 1)
    monkeypatch.setattr(run, "split_table", lambda *_: split)  # it is stratified by the labels, that change here
    settings = configured(**QUICK, threshold="f1", threshold_segments="mb_used")
    first = run.train(table, settings)
    rng = np.random.default_rng(3)
    features, target = table.features.copy(), table.target.copy()
    features[split.test] = rng.uniform(0, 1e6, (len(split.test), 4))
    target[split.test] = rng.integers(0, 2, len(split.test))
    second = run.train(replace(table, features=features, target=target), settings)
    assert found_out(second) == found_out(first)
    changed = replace(table, features=features, target=target)
    looked = [run.look(*seen, settings).results.model for seen in ((first, table), (second, changed))]
    assert looked[0] != looked[1]  # the change is there to be seen by whoever looks
    # The control: as small a change in the training part is seen.
    features, target = table.features.copy(), table.target.copy()
    target[split.training[:200]] ^= 1
    features[split.training[200], 3] += 5000
    third = found_out(run.train(replace(table, features=features, target=target), settings))
    same = [name for name, found in found_out(first).items() if third[name] == found]
    assert set(same) <= {"champion"}


# The rule of one standard error


def measured(**scores: float) -> Metrics:
    nothing = {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5, "roc_auc": 0.5, "brier": 0.2}
    counts = ConfusionMatrix(true_negative=1, false_positive=1, false_negative=1, true_positive=1)
    return Metrics.model_validate({**nothing, "log_loss": 0.6, "confusion_matrix": counts, **scores})


def scored(candidate: Candidate, scores: list[float], metric: Metric = "log_loss") -> CrossValidated:
    return CrossValidated(candidate, [measured(**{metric: score}) for score in scores], np.empty((1, 0)), [0.1, 0.3])


def champion(results: list[CrossValidated], metric: Metric = "log_loss", folds: int = 2) -> str:
    summaries = summarise(results, of_selection(metric=metric, folds=folds))
    (winner,) = [summary.candidate for summary in summaries if summary.champion]
    return winner


@pytest.mark.parametrize(
    ("behind", "winner"),
    [
        # Two folds: the standard error of differences a and b is |a - b| / sqrt(2) * sqrt(1/2 + 1) = 0.866 |a - b|.
        ([0.1, 0.4], "boosted_trees"),  # 0.25 behind, standard error 0.2598, but that of the best is 0.2165
        ([0.05, 0.35], "binned_logistic"),  # 0.20 behind, standard error 0.2598, that of the best 0.2165
        ([0.1, 0.3], "boosted_trees"),  # 0.20 behind, standard error 0.1732
        ([0.2, 0.2], "boosted_trees"),  # always as much behind: no standard error
        ([0.0, 0.0], "binned_logistic"),  # not behind at all
        ([-0.3, 0.1], "binned_logistic"),  # the best itself
    ],
)
def test_the_first_candidate_within_one_standard_error_of_the_best_wins(behind: list[float], winner: str) -> None:
    best = np.array([0.5, 0.25])
    results = [scored("binned_logistic", (best + behind).tolist()), scored("boosted_trees", best.tolist())]
    assert champion(results) == winner


@pytest.mark.parametrize("metric", COMPARED)
def test_of_each_metric_the_rule_knows_which_way_is_better(metric: Metric) -> None:
    low, high = [0.25, 0.25], [0.75, 0.75]
    for first, second in ((low, high), (high, low)):
        results = [scored("binned_logistic", first, metric), scored("boosted_trees", second, metric)]
        better_is_low = metric in ("brier", "log_loss")
        assert champion(results, metric) == ("binned_logistic" if (first is low) == better_is_low else "boosted_trees")


def test_of_equal_candidates_the_first_in_the_configuration_wins() -> None:
    names: list[Candidate] = ["binned_logistic", "average", "boosted_trees"]
    for _ in names:
        names = [*names[1:], names[0]]
        assert champion([scored(name, [0.4, 0.5]) for name in names]) == names[0]


@pytest.mark.parametrize(
    ("majority", "logistic"),
    [
        ([0.1, 0.3], [0.2, 0.3]),  # both are better than any other
        ([0.9, 0.9], [0.1, 0.3]),  # one is
        ([0.4, 0.5], [0.4, 0.5]),  # both are as good as the best, and before it
        ([0.3, 0.8], [0.6, 0.3]),  # both are within one standard error of the best, and before it
    ],
)
def test_a_baseline_is_never_the_champion_however_good_it_is(majority: list[float], logistic: list[float]) -> None:
    results = [
        scored("majority_rule", majority), scored("logistic_regression", logistic),
        scored("binned_logistic", [0.7, 0.8]), scored("boosted_trees", [0.4, 0.5]),
    ]  # fmt: skip
    summaries = summarise(results, of_selection(folds=2))
    assert [s.champion for s in summaries] == [False, False, False, True]
    # The best that the others are held against is the best of those that can win: a baseline may be before it.
    assert [s.behind_best for s in summaries] == pytest.approx(
        [np.mean(majority) - 0.45, np.mean(logistic) - 0.45, 0.3, 0]
    )
    # The control: the same scores of a candidate that can win do win.
    assert champion([scored("binned_logistic", logistic), results[3]]) == (
        "binned_logistic" if np.mean(logistic) <= 0.45 else "boosted_trees"
    )


def test_the_distance_is_taken_from_the_best_and_not_from_the_next_better() -> None:
    """Three candidates, each within one standard error of the next: the first is not within one of the best."""
    results = [
        scored("binned_logistic", [0.5, 1.1]), scored("average", [0.4, 0.6]), scored("boosted_trees", [0.1, 0.4])
    ]  # fmt: skip
    summaries = summarise(results, of_selection(folds=2))
    assert [s.behind_best for s in summaries] == pytest.approx([0.55, 0.25, 0])
    # Of the differences 0.4, 0.7 and 0.3, 0.2, none above that of the best, 0.1 and 0.4.
    assert [s.standard_error for s in summaries] == pytest.approx([0.866025 * 0.3, 0.866025 * 0.1, 0], rel=1e-5)
    assert [s.champion for s in summaries] == [False, False, True]


SCORES = np.array([0.70, 0.74, 0.72, 0.80])  # mean 0.74, variance (0.0016 + 0 + 0.0004 + 0.0036) / 3


def test_the_standard_error_has_the_correction_of_nadeau_and_bengio() -> None:
    # Two repeats of two folds: tested on as many rows as trained on, 1/4 + 1.
    assert standard_error(SCORES, folds=2) == pytest.approx(math.sqrt(0.0056 / 3 * 1.25), rel=1e-12)
    # One of four folds: a third as many, 1/4 + 1/3.
    assert standard_error(SCORES, folds=4) == pytest.approx(math.sqrt(0.0056 / 3 * 7 / 12), rel=1e-12)
    assert standard_error(np.full(20, 0.7), folds=5) == pytest.approx(0, abs=1e-15)


def test_the_interval_is_the_t_interval_of_that_standard_error() -> None:
    # Student's t with 3 degrees of freedom: 3.182446 leaves 2.5 % above, 2.353363 leaves 5 %.
    found = interval(SCORES, folds=2, confidence=0.95)
    assert found.mean == pytest.approx(0.74, rel=1e-12)
    assert (found.low, found.high) == pytest.approx(
        (0.74 - 3.182446 * 0.0483046, 0.74 + 3.182446 * 0.0483046), rel=1e-6
    )
    narrower = interval(SCORES, folds=2, confidence=0.9)
    assert narrower.high - narrower.mean == pytest.approx(2.353363 * 0.0483046, rel=1e-6)


def test_the_printed_table_and_the_csv_agree() -> None:
    features, target = shipped().features[:600], shipped().target[:600]
    settings = configured(**QUICK)
    results = cross_validate(features, target, settings)
    summaries = summarise(results, settings)
    header, *lines = candidates_table(results, summaries).splitlines()
    rows = list(csv.DictReader(io.StringIO(candidates_csv(results, summaries))))
    assert header.split() == ["candidate", *COMPARED, "fit"]
    assert [row["candidate"] for row in rows] == list(settings.selection.candidates)
    for line, row, result in zip(lines, rows, results, strict=True):
        assert line.startswith("*") == (row["champion"] == "1")
        name, *cells = line[1:].split()
        assert name == row["candidate"]
        for metric, mean, half in zip(COMPARED, cells[0::2], cells[1::2], strict=False):
            low, middle, high = (float(row[f"{metric}_{end}"]) for end in ("low", "mean", "high"))
            assert low <= middle <= high
            assert middle == pytest.approx(result.scores(metric).mean(), rel=1e-12)
            assert mean == f"{middle:.4f}"
            assert half == f"±{high - middle:.4f}"
        milliseconds = re.search(r"(\d+) ms$", line)
        assert milliseconds
        assert milliseconds[1] == f"{float(row['fit_seconds_median']) * 1000:.0f}"
        assert float(row["fit_seconds_low"]) <= float(row["fit_seconds_median"]) <= float(row["fit_seconds_high"])
    assert sum(row["champion"] == "1" for row in rows) == 1


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    wanted = QUICK | {"threshold": "f1", "selection": {"folds": 2, "repeats": 1}}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.programs.train_and_digest", json.dumps(wanted)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            text=True,
        )
        for threads in ("1", "2")
    ]
    one, two = (json.loads(process.communicate(timeout=120)[0]) for process in processes)
    assert one.pop("threads") == [1]
    assert 2 in two.pop("threads")  # the control
    assert one == two
