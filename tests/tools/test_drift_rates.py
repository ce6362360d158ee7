"""The measurements of the verdicts on drift: what they print, and that too many false alarms fail them."""

import re

import pytest

from plan_recommender.monitoring import evidence
from tests.conftest import Command
from tools import drift_rates, drift_runs, expected_loss
from tools.server import ROOT

pytestmark = pytest.mark.slow

RATE = r"\d+\.\d+?% \(\d+\.\d+% to \d+\.\d+%\)"


def test_rates_of_single_samples_have_intervals_and_too_many_false_alarms_fail(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_rates, "_SIZES", (500, 2000))
    arguments = ("--samples", "8", "--power-samples", "2", "--seed", "5")
    answer = command(drift_rates.main, *arguments)
    assert (answer.code, answer.err) == (0, "")
    assert len(re.findall(rf"^\| .* \| [\d,]+ \| {RATE} \|$", answer.out, re.MULTILINE)) == 6
    assert "| minutes cut loose in all | 100.0% (" in answer.out
    # The control: subscribers whose rows count as if they were strangers'.
    of_subscribers = drift_rates._Trials.of_subscribers
    monkeypatch.setattr(
        drift_rates._Trials, "of_subscribers", lambda self, rows, _, trial: of_subscribers(self, rows, False, trial)
    )
    assert command(drift_rates.main, *arguments).code == 1


def test_runs_of_streams_are_measured_and_too_many_false_alarms_fail(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_runs, "_DAYS", 5)
    monkeypatch.setattr(drift_runs, "_LONGEST_DAYS", 4)
    arguments = ("--streams", "20", "--delay-streams", "10", "--look-hours", "12", "--seed", "5")
    answer = command(drift_runs.main, *arguments)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.count("0.00% (0.00% to 16.11%)") == 4
    assert re.search(r"^\| minutes cut loose in all \| 240 \(240\) \| 0% \|$", answer.out, re.MULTILINE)
    monkeypatch.setattr(evidence, "ALARM_DAYS", 0.5)
    assert command(drift_runs.main, *arguments).code == 1


def test_the_expected_loss_stands_beside_the_true_one(command: Command, trained: object) -> None:
    answer = command(expected_loss.main, "--rows", "5000")
    assert (answer.code, answer.err) == (0, "")
    assert len(answer.out.splitlines()) == 3 + 10
    assert re.search(r"^\| data \+30 % \| -\d\.\d, -\d\.\d \| \+0\.\d{4}, \+0\.\d{4} \|$", answer.out, re.MULTILINE)


def test_the_weekly_workflow_asks_for_what_the_measurements_take() -> None:
    workflow = (ROOT / ".github" / "workflows" / "drift-rates.yml").read_text()
    commands = re.findall(r"-m tools\.(drift_rates|drift_runs) (.*?) \|", workflow)
    assert [name for name, _ in commands] == ["drift_rates", "drift_runs"]
    for name, arguments in commands:
        seed = arguments.replace('"$((GITHUB_RUN_ID % 1000000))"', "999999")
        assert {"drift_rates": drift_rates, "drift_runs": drift_runs}[name]._parser().parse_args(seed.split())
