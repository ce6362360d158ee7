"""`make drift-demo`: the whole story with real commands and a real service."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import QUICK, run
from tools.drift_demo import ROWS
from tools.server import ROOT

pytestmark = pytest.mark.slow


def told_of(folder: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Tell the story with models that are trained quickly, and a gate that is as strict as the shipped one."""
    config = folder.with_name("config.yaml")
    strict = QUICK.replace("max_ece: 0.2, margin: 0.2", "max_ece: 0.05, margin: 0.01")
    config.write_text(strict.format(data=ROOT / "users_behavior.csv"), encoding="utf-8")
    return run("-m", "tools.drift_demo", "--folder", folder, "--config", config, env=env)


def test_the_story_goes_from_drift_to_a_better_model_and_past_a_sabotaged_month(tmp_path: Path) -> None:
    folder = tmp_path / "story"
    result = told_of(folder)
    assert (result.returncode, result.stderr) == (0, "")
    told = result.stdout
    assert f"the live verdict: no drift in {ROWS:,} rows" in told
    assert "the live verdict: drift, most of it in mb_used" in told
    assert "mb_used up by" in told
    measured = re.search(r"^predictions: ([\d,]+); measured: ([\d,]+); .*without a label: 0;", told, re.MULTILINE)
    assert measured is not None
    assert measured.groups() == (f"{2 * ROWS:,}", f"{2 * ROWS:,}")  # no logged prediction is lost
    lines = [json.loads(line) for line in (folder / "retraining.jsonl").read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["registered", "refused"]
    assert f"the champion stays {lines[0]['model']}" in told
    assert (folder / "drift.html").read_text().startswith("<!doctype html>")


def test_a_story_that_goes_otherwise_is_not_told_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "story"
    result = told_of(folder, {"PLAN_RECOMMENDER_WORKERS": "none"})
    assert result.returncode == 2
    assert "PLAN_RECOMMENDER_WORKERS" in result.stderr
