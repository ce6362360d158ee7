"""Every command that reads a table takes the same options, and evaluation reads the training table as training did."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import drift
import evaluate
import train
from plan_recommender.config.load import load_settings
from tests.conftest import Command, TrainedModel
from tools import calibrate
from tools.server import ROOT

DATA = ROOT / "users_behavior.csv"
SPANISH = {"calls": "Llamadas", "minutes": "Minutos", "messages": "Mensajes", "mb_used": "Datos MB"}
FORMAT = ["--sep", ";", "--decimal", ","]
COLUMNS = [f"--map={name}={column}" for name, column in SPANISH.items()]
LABEL = "--map=is_ultra=plan"
Table = Callable[..., Path]


@pytest.fixture
def spanish(tmp_path: Path) -> Path:
    """The shipped table as a Spanish Excel writes it, with the names of the plans as labels."""
    table = pd.read_csv(DATA).rename(columns=SPANISH)
    table["plan"] = table.pop("is_ultra").map({0: "Smart", 1: " ULTRA"})
    table.to_csv(tmp_path / "usuarios.csv", sep=";", decimal=",", index=False, encoding="utf-8-sig")
    return tmp_path / "usuarios.csv"


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.mark.slow
def test_training_says_which_options_it_needs_takes_them_and_evaluation_reads_the_table_as_it_did(
    command: Command, store: Path, quick: Path, tmp_path: Path, spanish: Path
) -> None:
    refused = command(train.main, "--config", quick, "--data", spanish)
    assert refused.code == 2
    assert "found a header with ';': pass " in refused.err
    proposed = shlex.split(refused.err.partition(": pass ")[2])
    assert list(store.iterdir()) == []
    assert command(train.main, "--config", quick, "--data", spanish, *proposed).code == 0
    artifacts = load_settings(quick).artifacts.directory
    assert command(evaluate.main, "--artifacts", artifacts).code == 0
    found, trainings = read(artifacts / "evaluation.json"), read(artifacts / "metrics.json")
    assert {key: found[key] for key in ("roc_auc", "brier", "data_sha256")} == {
        key: trainings[key] for key in ("roc_auc", "brier", "data_sha256")
    }
    answer = command(evaluate.main, "--artifacts", artifacts, "--group", "plan")
    assert (answer.code, answer.err) == (
        2, "error: --group: expected a column that tells groups apart, found the label 'plan'\n"
    )  # fmt: skip


@pytest.mark.slow
def test_the_configuration_can_say_how_the_table_is_written(
    command: Command, store: Path, quick: Path, spanish: Path
) -> None:
    columns = json.dumps(SPANISH | {"is_ultra": "plan"}, ensure_ascii=False)
    text = quick.read_text()
    quick.write_text(
        text.replace(f"path: {DATA}", f"path: {spanish}, format: {{sep: ';', decimal: ',', map: {columns}}}"),
        encoding="utf-8",
    )
    assert quick.read_text() != text
    assert command(train.main, "--config", quick).code == 0
    answer = command(train.main, "--config", quick, "--sep", "tab")  # an option replaces one of the settings
    assert (answer.code, "expected tab-separated columns" in answer.err) == (2, True)


def test_a_table_with_plans_instead_of_labels_is_refused_with_the_option(
    command: Command, store: Path, quick: Path, table: Table
) -> None:
    header = "subscriber,plan,calls,minutes,messages,mb_used"
    path = table("1,smart,1,2,3,4", "2,ultra,1,2,3,4", header=header)
    answer = command(train.main, "--config", quick, "--data", path)
    assert (answer.code, answer.err) == (
        2, f"error: {path}: expected the columns calls, minutes, messages, mb_used, is_ultra; missing is_ultra; found "
        f"{header.replace(',', ', ')}; did you mean --map is_ultra=plan?\n"
    )  # fmt: skip
    answer = command(train.main, "--config", quick, "--data", path, LABEL)  # the control: it goes on
    assert "did you mean" not in answer.err
    assert "expected enough rows of both labels" in answer.err


@pytest.mark.slow
def test_evaluation_measures_a_file_of_another_format(
    command: Command, trained: TrainedModel, tmp_path: Path, spanish: Path
) -> None:
    usual, other = tmp_path / "usual", tmp_path / "other"
    assert command(evaluate.main, "--data", DATA, "--model", trained.tag, "--artifacts", usual).code == 0
    options = ["--data", spanish, "--model", trained.tag, "--artifacts", other, *FORMAT, *COLUMNS, LABEL]
    assert command(evaluate.main, *options).code == 0
    found = [read(artifacts / "evaluation.json") for artifacts in (usual, other)]
    digests = [document.pop("data_sha256") for document in found]
    assert digests[0] != digests[1]
    impacts = [document.pop("impact") for document in found]
    assert (impacts[0], impacts[1]["plan_held"]) == (None, "plan")  # the column says which plan is held, too
    assert found[0] == found[1]


def test_options_for_a_table_that_training_has_described_are_refused(
    command: Command, trained: TrainedModel, tmp_path: Path
) -> None:
    for option in (["--sep", ";"], ["--decimal", ","], [LABEL]):
        answer = command(evaluate.main, "--model", trained.tag, "--artifacts", tmp_path, *option)
        assert answer.code == 2
        assert answer.err.splitlines()[-1] == (
            "evaluate.py: error: arguments --sep, --decimal and --map: expected --data FILE with them, because the "
            "training table is read as it was when the model was trained"
        )


def test_drift_reads_both_samples_in_the_format_that_is_named(
    command: Command, trained: TrainedModel, tmp_path: Path, spanish: Path
) -> None:
    reports = []
    for number, sample, options in ((1, DATA, []), (2, spanish, [*FORMAT, *COLUMNS])):
        out = tmp_path / f"{number}.json"
        for arguments in (["--ref", sample], ["--model", trained.tag]):
            assert command(drift.main, *arguments, "--cur", sample, "--out", out, *options).code == 0
            reports.append(out.read_text())
    assert reports[0] == reports[2]
    assert reports[1] == reports[3]
    answer = command(drift.main, "--ref", spanish, "--cur", spanish, "--out", tmp_path / "3.json")
    assert (answer.code, re.findall(r"pass (--sep ';' --decimal ',')", answer.err)) == (2, ["--sep ';' --decimal ','"])


def test_tools_that_read_a_table_take_the_options(tmp_path: Path, spanish: Path) -> None:
    for name, table, options in (("usual", DATA, []), ("other", spanish, [*FORMAT, *COLUMNS, LABEL])):
        assert calibrate.main(["--data", str(table), "--source", "x", "--out", str(tmp_path / name), *options]) == 0
    assert (tmp_path / "other").read_text() == (tmp_path / "usual").read_text()
