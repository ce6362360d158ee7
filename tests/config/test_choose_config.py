"""Which configuration the commands use when none is named, and what they say about it."""

import shutil
from pathlib import Path

import pytest

import drift
import evaluate
import train
from plan_recommender.config import load
from plan_recommender.config.load import choose_config, find_config
from tests.conftest import Command, Main
from tools.server import ROOT

TABLE = str(ROOT / "users_behavior.csv")


@pytest.fixture
def project(quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the commands with a configuration that trains quickly; the working directory is another one."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(quick, folder / "model_config.yaml")
    monkeypatch.setattr(load, "_PROJECT", folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return folder


def test_the_commands_look_beside_themselves() -> None:
    assert load._PROJECT == ROOT


def test_a_configuration_in_the_working_directory_is_used_without_a_word(project: Path) -> None:
    Path("model_config.yaml").write_text("seed: 1\n")
    said: list[str] = []
    assert choose_config(None, said.append) == find_config() == Path("model_config.yaml")
    assert said == []


def test_a_configuration_that_is_named_is_used_whatever_else_there_is(project: Path) -> None:
    said: list[str] = []
    assert choose_config(Path("mine.yaml"), said.append) == Path("mine.yaml")
    assert said == []


@pytest.mark.slow
def test_training_from_another_folder_says_whose_configuration_it_uses_and_writes_beside_it(
    project: Path, store: Path, command: Command
) -> None:
    ended = command(train.main)
    assert ended.code == 0, ended.err
    first, *_, artifacts, _ = ended.out.splitlines()
    assert first == (
        f"configuration: {project}/model_config.yaml, because there is none here; "
        "its relative paths start in that folder"
    )
    assert artifacts == f"artifacts: {project}/artifacts, of which report.html is for people"
    assert (project / "artifacts" / "report.html").is_file()
    assert list(Path.cwd().iterdir()) == []
    # evaluate.py finds there which table the model was trained on.
    evaluated = command(evaluate.main)
    assert evaluated.code == 0, evaluated.err
    assert f"rows of {TABLE} that it was never trained on" in evaluated.out


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (train.main, []),
        (drift.main, ["--ref", TABLE, "--cur", TABLE]),
        (evaluate.main, ["--group", "plan", "--data", "{grouped}"]),
    ],
    ids=["train", "drift", "evaluate"],
)
def test_without_any_a_command_says_where_it_looked(
    project: Path, tmp_path: Path, trained_tag: str, command: Command, main: Main, arguments: list[str]
) -> None:
    (project / "model_config.yaml").unlink()
    grouped = tmp_path / "grouped.csv"
    header, *rows = Path(TABLE).read_text().splitlines()
    grouped.write_text("\n".join([f"{header},plan", *(f"{row},{i % 2}" for i, row in enumerate(rows))]))
    ended = command(main, *(argument.format(grouped=grouped) for argument in arguments))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"error: expected model_config.yaml in the working directory {Path.cwd()} or in {project}, found none; "
        "name another with --config\n"
    )
