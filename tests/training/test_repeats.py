"""A close comparison with the baselines, or check of calibration, is decided on many splits; another one on one."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import train
from plan_recommender.config.load import load_settings
from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import TableError
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.metrics import ConfusionMatrix, Metrics
from plan_recommender.training import repeats
from plan_recommender.training.gate import GateReport
from plan_recommender.training.repeats import OtherSplit, OtherSplits, compare_with_baselines
from plan_recommender.training.selection import CrossValidated
from tests.conftest import Command
from tests.training.candidates import shipped
from tools.gate_rates import measure
from tools.server import ROOT

SETTINGS = Settings.model_validate({"selection": {"folds": 2, "repeats": 2}})
NAMES: tuple[Candidate, ...] = ("majority_rule", "logistic_regression", "boosted_trees")


def results(gain: float, folds: int = 4) -> list[CrossValidated]:
    """A champion that is better than both baselines by this much; with 4 folds the standard error is 0.01."""
    counts = ConfusionMatrix(true_negative=1, false_positive=1, false_negative=1, true_positive=1)
    wobble = 0.01 * np.tile([1.0, -1.0], folds // 2) * np.sqrt(0.6)

    def scored(name: Candidate, better: Sequence[float]) -> CrossValidated:
        measured = [
            Metrics(
                accuracy=0.5, precision=0.5, recall=0.5, f1=0.5, log_loss=0.6, confusion_matrix=counts,
                roc_auc=0.9 if name == "boosted_trees" else 0.5, brier=0.2 - value,
            )
            for value in better
        ]  # fmt: skip
        return CrossValidated(name, measured, np.empty((1, 0)), [])

    return [*(scored(name, [0.0] * folds) for name in NAMES[:2]), scored(NAMES[2], (gain + wobble).tolist())]


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the further splits, which are not made; on each the champion is worse by 0.03."""
    seeds: list[int] = []

    def on_split(champion: Candidate, table: LabelledTable, settings: Settings, seed: int) -> OtherSplit:
        seeds.append(seed)
        return OtherSplit(table, results(-0.03, folds=2))

    monkeypatch.setattr(repeats, "_on_split", on_split)
    return seeds


def compare(gain: float, settings: Settings = SETTINGS) -> tuple[repeats.Compared, list[str]]:
    found, said = results(gain), list[str]()
    return compare_with_baselines(
        found[-1], found, OtherSplits(NAMES[2], shipped(), settings), settings, said.append
    ), said


@pytest.mark.parametrize(("gain", "passes"), [(0.02, True), (-0.02, False)])
def test_a_verdict_that_is_not_close_takes_no_more_than_one_split(splits: list[int], gain: float, passes: bool) -> None:
    compared, said = compare(gain)
    assert (splits, said, compared.splits) == ([], [], 1)
    assert all(check.passed for check in compared.checks) == passes
    assert all("splits" not in check.found for check in compared.checks)


def test_a_close_one_is_decided_on_all_splits_together(splits: list[int]) -> None:
    compared, said = compare(0.01)
    assert said == ["the comparison with the baselines is close: it is repeated on 8 other splits of the table"]
    assert compared.splits == 9
    assert not all(check.passed for check in compared.checks)  # it passed on one
    mean = (4 * 0.01 - 16 * 0.03) / 20
    assert f"better by {mean:+.4f}, standard error 0." in compared.checks[1].found
    assert all(
        check.found.endswith(" on 9 splits of the table, because it was close on one") for check in compared.checks
    )


def test_the_splits_are_the_same_for_every_seed(splits: list[int]) -> None:
    compare(0.01)
    first = [*splits]
    splits.clear()
    compare(0.01, SETTINGS.model_copy(update={"seed": 7}))
    assert splits == first
    assert len(set(first)) == 8


def test_where_no_other_split_can_be_made_the_first_one_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> OtherSplit:
        raise TableError("too few")

    monkeypatch.setattr(repeats, "_on_split", fail)
    compared, _ = compare(0.01)
    assert compared.splits == 1
    assert all(check.passed for check in compared.checks)
    calibrated, _ = calibrate(0.9, monkeypatch, [])
    assert calibrated.splits == 1
    assert calibrated.check.passed


def measured(ratio: float, limit: float = 0.08) -> Calibration:
    """As much of a calibration as the check looks at."""
    return Calibration(
        ece=ratio * limit, ece_limit=limit, ece_by_chance=0.05, brier=0.1, reliability=0.0, resolution=0.1,
        uncertainty=0.2, within_bin=0.0, slope=1.0, intercept=0.0, bins=[],
    )  # fmt: skip


def calibrate(
    ratio: float,
    monkeypatch: pytest.MonkeyPatch,
    others: list[float],
    limit: float = 0.08,
    settings: Settings = SETTINGS,
) -> tuple[repeats.CheckedCalibration, list[str]]:
    """Check a calibration whose error is a multiple of its limit on one split, and others on the others."""
    found, said = iter(others), list[str]()
    monkeypatch.setattr(repeats, "calibration_out_of_fold", lambda *_: measured(next(found)))
    splits = OtherSplits(NAMES[2], shipped(), settings)
    return repeats.check_calibration(measured(ratio, limit), NAMES[2], splits, settings, said.append), said


@pytest.mark.parametrize(("ratio", "limit", "passes"), [(0.6, 0.08, True), (1.6, 0.08, False), (1.2, 0.025, True)])
def test_a_calibration_that_is_not_close_takes_no_other_split(
    splits: list[int], monkeypatch: pytest.MonkeyPatch, ratio: float, limit: float, passes: bool
) -> None:
    calibrated, said = calibrate(ratio, monkeypatch, [], limit)  # the last one is below gate.max_ece
    assert (splits, said, calibrated.splits) == ([], [], 1)
    assert calibrated.check.passed == passes
    if not passes:
        assert calibrated.check.advice.startswith("the error is 0.0480 too large; ")  # than 0.08, which is shown
    assert "splits" not in calibrated.check.found


@pytest.mark.parametrize(("ratio", "other", "passes"), [(1.07, 0.9, True), (0.9, 1.07, False)])
def test_the_median_of_all_splits_decides_a_close_calibration(
    splits: list[int], monkeypatch: pytest.MonkeyPatch, ratio: float, other: float, passes: bool
) -> None:
    calibrated, said = calibrate(ratio, monkeypatch, [other] * 5 + [3.0, 0.1, 0.2])
    assert said == ["the calibration error is close to its limit: it is measured on 8 other splits of the table"]
    assert (len(splits), calibrated.splits, calibrated.check.passed) == (8, 9, passes)
    assert calibrated.check.found.endswith(
        f"; on 9 splits of the table the median is {other:.2f} times the limit, "
        "which decides, because it was close on one"
    )
    assert f"{ratio * 0.08:.4f} out of fold" in calibrated.check.found
    if not passes:
        assert calibrated.check.advice.startswith("the median, 1.07 times the limit, may be once the limit at most; ")


def test_both_checks_use_the_same_splits_and_make_them_once(splits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    found, others = results(0.01), OtherSplits(NAMES[2], shipped(), SETTINGS)
    compare_with_baselines(found[-1], found, others, SETTINGS)
    monkeypatch.setattr(repeats, "calibration_out_of_fold", lambda *_: measured(0.5))
    assert repeats.check_calibration(measured(1.1), NAMES[2], others, SETTINGS).check.passed
    assert len(splits) == 8


@pytest.mark.slow
def test_models_that_are_calibrated_pass_and_those_that_are_off_by_six_points_do_not() -> None:
    """The short form of `tools.gate_rates`, whose table is in docs/training.md."""
    calibrated, off = (measure(rows, off_by, False, 20, 42) for rows, off_by in ((400, 0.0), (2_000, 0.06)))
    assert calibrated.accepted >= 0.95
    assert off.accepted == 0


def first_rows(path: Path, rows: int) -> Path:
    path.write_text("\n".join((ROOT / "users_behavior.csv").read_text().splitlines()[: rows + 1]) + "\n")
    return path


@pytest.mark.slow
def test_a_table_that_passed_by_the_luck_of_its_seed_is_refused_and_the_look_is_noted(
    command: Command, store: Path, quick: Path, tmp_path: Path
) -> None:
    data = first_rows(tmp_path / "few.csv", 200)
    artifacts = tmp_path / "new" / "artifacts"  # in a folder that the run has to make
    answer = command(train.main, "--config", quick, "--data", data, "--seed", 4, "--artifacts", artifacts)
    assert (answer.code, answer.err) == (1, "")
    lines = answer.out.splitlines()
    assert "the comparison with the baselines is close: it is repeated on 4 other splits of the table" in lines
    refused = [line for line in lines if line.startswith("refused: ")]
    assert refused
    assert all(line.endswith(" on 5 splits of the table, because it was close on one") for line in refused)
    report = (tmp_path / "new" / "refused" / "report.html").read_text()
    looked = "no other model was measured on a test part of this table before, as far as new/looks.jsonl tells"
    assert looked in lines
    assert "decided on 5 splits of the\ntable together" in report
    assert (
        f"Of the test part nothing was measured but its share in the comparison with the baselines; {looked}." in report
    )
    (look,) = (tmp_path / "new" / "looks.jsonl").read_text().splitlines()
    assert json.loads(look)["model"] is None


@pytest.mark.slow
def test_the_card_of_a_model_that_just_passed_says_so_and_that_of_another_does_not(
    command: Command, store: Path, quick: Path, tmp_path: Path
) -> None:
    card = load_settings(quick).artifacts.directory / "model_card.md"
    close = command(train.main, "--config", quick, "--data", first_rows(tmp_path / "few.csv", 400))
    assert (close.code, close.err) == (0, "")
    assert "is close" in close.out
    sentence = "The decision to register the model was close, and was made on 5 splits of the table"
    assert sentence in card.read_text()
    clear = command(train.main, "--config", quick)  # all rows
    assert (clear.code, clear.err) == (0, "")
    assert "is close" not in clear.out
    assert "was close" not in card.read_text()


def test_a_report_names_what_the_test_part_took_part_in() -> None:
    assert not GateReport(checks=[]).looked
    assert GateReport(checks=[], calibration_splits=17).looked_in == ["the check of calibration"]
    assert GateReport(checks=[], splits=17, calibration_splits=17).looked_in == [
        "the comparison with the baselines", "the check of calibration",
    ]  # fmt: skip
