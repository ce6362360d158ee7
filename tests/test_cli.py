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
    command = drifting(tmp_path)
    for option, tenures in (("--ref", ("old", "old")), ("--cur", ("new", "old"))):
        header, *lines = Path(ROOT / command[command.index(option) + 1]).read_text().splitlines()
        table = tmp_path / f"{option}.csv"
        rows = [f"{line},{tenures[i % 2]}" for i, line in enumerate([*lines, lines[0]])]
        table.write_text("\n".join([f"{header},tenure", *rows, *(f"{line},new" for line in lines[:500])]) + "\n")
        command[command.index(option) + 1] = str(table)
    command += ["--mix", "tenure"]
    said = []
    for encoding in ("utf-8", "ascii"):
        env = os.environ | {"PYTHONIOENCODING": encoding}
        ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8")
        assert (ended.returncode, ended.stderr) == (1, "")
        said.append(ended.stdout)
    assert "→" in said[0]
    assert "→" not in said[1]
    assert "The mix of tenure has changed" in said[1]


@pytest.mark.slow
def test_training_goes_on_though_nobody_reads(quick: Path, tmp_path: Path) -> None:
    train = [sys.executable, "train.py", "--config", str(quick), "--artifacts", str(tmp_path / "artifacts")]
    env = os.environ | {"PYTHONUNBUFFERED": "1", "BENTOML_HOME": str(tmp_path / "home")}
    around = ["bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "around", *train]
    assert subprocess.run(around, cwd=ROOT, env=env, capture_output=True).returncode == 0
    assert (tmp_path / "artifacts" / "metrics.json").exists()
