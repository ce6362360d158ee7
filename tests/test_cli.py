"""Exit codes survive whatever stands around a command: signals, closed pipes, closed streams, odd encodings."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plan_recommender import cli
from plan_recommender.errors import TableError
from tools.server import ROOT
from tools.synthesise import main as synthesise


def run_and_exit(main: Callable[[], int]) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.run(main)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def fail(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TableError("x.csv: expected a, found b"), "error: x.csv: expected a, found b\n"),
        (
            OSError(28, "No space left on device", "out.csv"),
            "error: out.csv: expected to read or write, found: No space",
        ),
        (KeyboardInterrupt(), "interrupted\n"),
    ],
    ids=["known", "system", "Ctrl-C"],
)
def test_a_failure_is_one_sentence_and_2(
    capsys: pytest.CaptureFixture[str], error: BaseException, sentence: str
) -> None:
    assert run_and_exit(fail(error)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(sentence)
    assert printed.err.count("\n") == 1


def test_a_fault_of_the_project_is_not_the_answer_no(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_and_exit(fail(ZeroDivisionError("planted"))) == 2
    assert "planted" in capsys.readouterr().err
    assert run_and_exit(lambda: cli.ANSWER_IS_NO) == 1  # the control


def drifting(tmp_path: Path) -> list[str]:
    current = tmp_path / "current.csv"
    assert synthesise(["--shift", "data_growth", "--out", str(current)]) == 0
    out = str(tmp_path / "report.json")
    return [sys.executable, "drift.py", "--ref", "users_behavior.csv", "--cur", str(current), "--out", out]


@pytest.mark.slow
@pytest.mark.parametrize("around", ['"$@" | true; exit ${PIPESTATUS[0]}', 'exec "$@" >&-', 'exec "$@" >&- 2>&-'])
def test_a_verdict_reaches_the_exit_code_though_nobody_reads_it(tmp_path: Path, around: str) -> None:
    command = ["bash", "-c", around, "around", *drifting(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, capture_output=True)
    assert ended.returncode == 1
    assert (tmp_path / "report.json").exists()


@pytest.mark.slow
def test_a_verdict_survives_an_encoding_that_lacks_a_character(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(drifting(tmp_path), cwd=ROOT, env=env, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "PSI 0." in ended.stdout
    assert "≥" not in ended.stdout


@pytest.mark.slow
def test_training_goes_on_though_nobody_reads(quick: Path, tmp_path: Path) -> None:
    train = [sys.executable, "train.py", "--config", str(quick), "--artifacts", str(tmp_path / "artifacts")]
    env = os.environ | {"PYTHONUNBUFFERED": "1", "BENTOML_HOME": str(tmp_path / "home")}
    around = ["bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "around", *train]
    assert subprocess.run(around, cwd=ROOT, env=env, capture_output=True).returncode == 0
    assert (tmp_path / "artifacts" / "metrics.json").exists()
