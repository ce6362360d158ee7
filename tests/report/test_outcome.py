"""The report of a refused run: not deleted by a later run, not taken for its report, never in place of artifacts."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import train
from plan_recommender.errors import ConfigError
from plan_recommender.report.outcome import earlier_refused, require_own_folder
from tests.conftest import Command
from tools.server import ROOT


@pytest.mark.slow
def test_a_registered_run_says_whose_report_is_beside_it_and_deletes_nothing(
    command: Command, store: Path, quick: Path
) -> None:
    as_it_was, refused = quick.read_text(), quick.parent / "refused"
    quick.write_text(f"{as_it_was}split: {{test_share: 0.005}}\n")  # a test part of 17 rows
    assert command(train.main, "--config", quick).code == 1
    (refused / "model_card.md").write_text("my own, with a name that a registered run writes\n")
    left = {path.name: path.read_bytes() for path in refused.iterdir()}
    quick.write_text(as_it_was)
    answer = command(train.main, "--config", quick)
    assert (answer.code, answer.err) == (0, "")
    table = ROOT / "users_behavior.csv"
    said = f"{refused} holds the report of an earlier run on {table}, which was refused; not of this run"
    assert said in answer.out.splitlines()
    assert {path.name: path.read_bytes() for path in refused.iterdir()} == left


def test_nothing_is_said_of_a_folder_that_no_refused_run_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "refused"
    assert earlier_refused(tmp_path / "artifacts") is None
    folder.mkdir()
    (folder / "report.html").write_text("mine")
    assert earlier_refused(tmp_path / "artifacts") is None
    (folder / "run.json").write_text(json.dumps({"model": "plan_recommender:abc"}))  # a copy of a registered run
    assert earlier_refused(tmp_path / "artifacts") is None
    (folder / "run.json").write_text(json.dumps({"model": "refused average", "table": "/data/a.csv"}))
    said = earlier_refused(tmp_path / "artifacts")
    assert said is not None
    assert "of an earlier run on /data/a.csv, which was refused" in said


def reports_point_to_artifacts(folder: Path) -> None:
    (folder / "art").mkdir()
    (folder / "refused").symlink_to("art")


def artifacts_point_to_reports(folder: Path) -> None:
    (folder / "refused").mkdir()
    (folder / "art").symlink_to("refused")


def reports_point_into_artifacts(folder: Path) -> None:
    (folder / "art" / "earlier").mkdir(parents=True)
    (folder / "refused").symlink_to("art/earlier")


def reports_point_above_artifacts(folder: Path) -> None:
    (folder / "refused").symlink_to(".")


LINKS = [
    reports_point_to_artifacts,
    artifacts_point_to_reports,
    reports_point_into_artifacts,
    reports_point_above_artifacts,
]


@pytest.mark.parametrize("link", LINKS)
def test_artifacts_that_a_refused_report_would_overwrite_are_refused_before_training(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: Callable[[Path], None]
) -> None:
    monkeypatch.setattr("train.read_inputs", lambda *_, **__: pytest.fail("it was not refused at once"))
    link(tmp_path)
    answer = command(train.main, "--artifacts", tmp_path / "art")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert f"artifacts.directory: expected a folder apart from {tmp_path / 'refused'}, where refused" in answer.err


def test_folders_that_are_apart_are_accepted_links_or_not(tmp_path: Path) -> None:
    for name in ("reports", "results"):
        (tmp_path / name).mkdir()
    require_own_folder(tmp_path / "art")  # neither exists
    (tmp_path / "refused").symlink_to("reports")
    (tmp_path / "art").symlink_to("results")
    require_own_folder(tmp_path / "art")
    with pytest.raises(ConfigError):
        require_own_folder(tmp_path / "refused")
