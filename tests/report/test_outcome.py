"""The report of a refused run does not stay beside a model that was registered after it."""

import json
from pathlib import Path

import pytest

import train
from plan_recommender.report.outcome import remove_refused
from tests.conftest import Command

pytestmark = pytest.mark.slow


def test_a_registered_run_removes_the_report_of_an_earlier_one_that_was_refused(
    command: Command, store: Path, quick: Path
) -> None:
    as_it_was, refused = quick.read_text(), quick.parent / "refused"
    quick.write_text(f"{as_it_was}split: {{test_share: 0.005}}\n")  # a test part of 17 rows
    assert command(train.main, "--config", quick).code == 1
    assert (refused / "report.html").is_file()
    (refused / "notes.txt").write_text("what I thought of it\n")
    quick.write_text(as_it_was)
    answer = command(train.main, "--config", quick)
    assert (answer.code, answer.err) == (0, "")
    assert f"removed from {refused}: the report of an earlier run, which was refused" in answer.out.splitlines()
    assert [path.name for path in refused.iterdir()] == ["notes.txt"]  # nothing that somebody else wrote


def test_a_folder_that_holds_nothing_else_goes_and_one_that_no_refused_run_wrote_stays(tmp_path: Path) -> None:
    folder = tmp_path / "refused"
    folder.mkdir()
    (folder / "report.html").write_text("mine")
    assert remove_refused(tmp_path / "artifacts", ["report.html", "run.json"]) is None
    (folder / "run.json").write_text(json.dumps({"model": "plan_recommender:abc"}))  # a copy of a registered run
    assert remove_refused(tmp_path / "artifacts", ["report.html", "run.json"]) is None
    assert {path.name for path in folder.iterdir()} == {"report.html", "run.json"}
    (folder / "run.json").write_text(json.dumps({"model": "refused average"}))
    assert remove_refused(tmp_path / "artifacts", ["report.html", "run.json"]) == folder
    assert not folder.exists()
