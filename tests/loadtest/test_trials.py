"""The trials of loadtest/trials.py in their short form: the service keeps its promises.

Only those promises count here that do not depend on how busy the machine is. The controls are in
test_trial_controls.py.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.trials import catalogue
from loadtest.trials.report import TrialReport, verdict
from tools.server import ROOT

TRIALS_COMMAND = [sys.executable, "-m", "loadtest.trials"]


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.TRIALS)
def test_the_service_keeps_its_promises(name: str, trained_tag: str, record_property: Callable[..., None]) -> None:
    findings = catalogue.TRIALS[name](**catalogue.QUICK[name])
    for figure in findings.figures.items():
        record_property(*figure)
    assert findings.figures
    # What is promised in milliseconds is for `make soak`, on a machine that does nothing else.
    assert not set(findings.broken) - findings.timed, str(findings)


def test_a_verdict_tells_how_often_each_promise_was_broken() -> None:
    kept, once, twice = TrialReport("stop"), TrialReport("stop"), TrialReport("stop")
    for report, promises in ((once, ["it ends"]), (twice, ["it ends", "nothing is lost"])):
        for promise in promises:
            report.require(False, promise)
    kept.require(True, "it ends")
    assert str(kept) == "stop: kept"
    assert str(twice) == "stop: broken: it ends; nothing is lost"
    assert verdict([kept, kept]) == "kept in 2 of 2 trials"
    assert verdict([kept, once, twice]) == "broken in 2 of 3 trials: it ends (2); nothing is lost (1)"


@pytest.mark.slow
def test_a_trial_is_run_as_often_as_asked_and_written_down(trained_tag: str, tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("# Page\n\n## What the last trials measured\n\n### `logs`: kept\n\nold\n", encoding="utf-8")
    command = [*TRIALS_COMMAND, "oversize", "--quick", "--times", "2", "--out", str(document)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("oversize: kept\n") == 2
    assert run.stdout.endswith("oversize: kept in 2 of 2 trials\n")
    before, section, logs = document.read_text(encoding="utf-8").split("### ")
    assert before == "# Page\n\n## What the last trials measured\n\n"
    assert section.startswith("`oversize`: kept in 2 of 2 trials\n")
    assert "| /predict | 50 bodies, statuses {413}" in section
    assert logs == "`logs`: kept\n\nold\n"
