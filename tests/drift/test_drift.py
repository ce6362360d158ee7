"""The command drift.py: a verdict on files, its exit code, its report and its page."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

import drift
from plan_recommender.data.synthesis import SHIFTS, generate, write_csv
from plan_recommender.model.features import FEATURE_NAMES
from tests.conftest import Command, TrainedModel, run
from tools.server import ROOT

DATA = ROOT / "users_behavior.csv"
Table = Callable[..., Path]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """2,000 subscribers as calibrated, and as many others after each shift."""
    folder = tmp_path_factory.mktemp("samples")
    for name, seed in [("reference", 1), *((shift, 2) for shift in SHIFTS)]:
        with (folder / f"{name}.csv").open("w") as file:
            write_csv(file, generate(2000, seed, "none" if name == "reference" else name))
    return {path.stem: path for path in folder.iterdir()}


def test_the_same_sample_is_no_drift(command: Command, samples: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    answer = command(drift.main, "--ref", samples["reference"], "--cur", samples["reference"], "--out", out)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1] == "verdict: no drift"
    report = json.loads(out.read_text())
    assert (report["verdict"], report["drifted_features"]) == ("no drift", [])
    assert (report["reference_rows"], report["current_rows"]) == (2000, 2000)
    assert [(f["name"], f["psi"], f["ks_statistic"], f["ks_p_value"]) for f in report["features"]] == [
        (name, 0, 0, 1) for name in FEATURE_NAMES
    ]


DRIFTED = {
    "none": [],
    "data_growth": ["mb_used"],
    "messaging_decline": ["messages"],
    "longer_calls": ["minutes"],
    "new_subscribers": ["calls", "minutes", "messages", "mb_used"],
}


@pytest.mark.parametrize("shift", SHIFTS)
def test_each_named_shift_is_found_in_the_columns_that_it_moves(
    command: Command, samples: dict[str, Path], tmp_path: Path, shift: str
) -> None:
    out = tmp_path / "report.json"
    answer = command(drift.main, "--ref", samples["reference"], "--cur", samples[shift], "--out", out)
    assert answer.code == (1 if DRIFTED[shift] else 0)
    assert answer.err == ""
    found = json.loads(out.read_text())["drifted_features"]
    assert bool(found) == bool(DRIFTED[shift])
    assert set(found) <= set(DRIFTED[shift])
    if shift != "new_subscribers":
        assert found == DRIFTED[shift]


def test_a_column_that_has_become_empty_has_drifted_though_nothing_is_left_to_compare(
    command: Command, table: Table, tmp_path: Path
) -> None:
    out, page = tmp_path / "report.json", tmp_path / "report.html"
    answer = command(
        drift.main,
        "--ref",
        DATA,
        "--cur",
        table(*[",2,3,4,0"] * 500),
        "--features",
        "calls",
        "--out",
        out,
        "--html",
        page,
    )
    assert (answer.code, answer.err) == (1, "")
    assert "drift: empty cells 0.0% → 100.0% (threshold 10%)" in answer.out
    (found,) = json.loads(out.read_text())["features"]
    assert (found["psi"], found["ks_statistic"], found["current_median"], found["current_n"]) == (None, None, None, 0)
    assert "<td>-</td>" in page.read_text()


def test_the_report_says_what_the_verdict_rests_on(command: Command, samples: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    command(drift.main, "--ref", samples["reference"], "--cur", samples["data_growth"], "--out", out)
    report = json.loads(out.read_text())
    assert (report["verdict"], report["drifted_features"]) == ("drift", ["mb_used"])
    assert report["thresholds"] == {"psi": 0.2, "ks_statistic": 0.1, "ks_alpha": 0.01, "missing_share": 0.1}
    before, after = (
        np.genfromtxt(samples[name], delimiter=",", names=True)["mb_used"] for name in ("reference", "data_growth")
    )
    feature = report["features"][3]
    expected = ks_2samp(before, after, method="asymp")
    assert feature["ks_statistic"] == pytest.approx(expected.statistic, rel=1e-12)
    assert feature["ks_p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    edges = [-np.inf, *np.quantile(before, np.arange(1, 10) / 10), np.inf]
    counts = [
        np.array([((values > low) & (values <= high)).sum() for low, high in pairwise(edges)])
        for values in (before, after)
    ]
    r, c = ((count + 0.5) / (count + 0.5).sum() for count in counts)
    assert feature["psi"] == pytest.approx(float(((c - r) * np.log(c / r)).sum()), rel=1e-9)
    assert (feature["reference_n"], feature["current_n"]) == (2000, 2000)
    assert feature["reference_median"] == np.median(before)
    assert feature["current_median"] == np.median(after)
    assert feature["drifted"] is True
    assert [reason.split()[0] for reason in feature["reasons"]] in (["PSI", "KS"], ["KS"])


def test_without_a_reference_the_models_own_profile_is_used(
    command: Command, trained: TrainedModel, samples: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    for current, code in ((DATA, 0), (samples["data_growth"], 1)):
        assert command(drift.main, "--cur", current, "--out", out, "--model", trained.tag).code == code
        report = json.loads(out.read_text())
        assert report["reference_rows"] == 2571
        assert [feature["reference_n"] for feature in report["features"]] == [2571] * 4


@pytest.mark.parametrize("arguments", [["mb_used", "calls"], ["mb_used,calls"], ["mb_used,", " calls"]], ids=str)
def test_only_the_asked_features_are_compared(
    command: Command, trained: TrainedModel, table: Table, tmp_path: Path, arguments: list[str]
) -> None:
    current = table(*[f"{i},{i * 100},text" for i in range(150)], header="calls,mb_used,minutes")
    out = tmp_path / "report.json"
    for reference in (["--ref", current], ["--model", trained.tag]):
        answer = command(drift.main, *reference, "--cur", current, "--out", out, "--features", *arguments)
        assert (answer.code, answer.err) == (int(reference[0] == "--model"), "")
        assert [feature["name"] for feature in json.loads(out.read_text())["features"]] == ["mb_used", "calls"]


@pytest.mark.parametrize(
    "arguments", [["mb"], ["calls", "calls"], ["calls,nonsense"], [""], [","], ["is_ultra"]], ids=str
)
def test_other_names_are_refused(command: Command, tmp_path: Path, arguments: list[str]) -> None:
    answer = command(drift.main, "--ref", DATA, "--cur", DATA, "--out", tmp_path / "out", "--features", *arguments)
    names = [name for argument in arguments for name in argument.split(",") if name]
    assert (answer.code, answer.err) == (
        2,
        f"error: --features: expected names among calls, minutes, messages, mb_used, each once, found {names}\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["1,2,3,4,0"] * 99, "feature 'calls': expected at least 100 values in the current sample (drift.min_rows), "
         "found 99; collect more before asking for a verdict"),
        ([], "{path}: expected at least one row after the header, found none"),
        (["1,2,3,x,0"], "{path}: column 'mb_used', row 1: expected a finite number that is not negative, or an empty "
         "cell, found 'x' (rows are counted from 1 after the header)"),
    ],
    ids=["too few rows", "no rows", "no number"],
)  # fmt: skip
def test_a_sample_that_gives_no_verdict_exits_with_2_and_writes_nothing(
    command: Command, table: Table, tmp_path: Path, lines: list[str], sentence: str
) -> None:
    path, out = table(*lines), tmp_path / "report.json"
    answer = command(drift.main, "--ref", DATA, "--cur", path, "--out", out)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: {sentence.format(path=path)}\n"
    assert not out.exists()


@pytest.mark.slow
def test_real_command_lines_exit_with_1_and_2(samples: dict[str, Path], tmp_path: Path) -> None:
    arguments: list[str | Path] = ["drift.py", "--ref", DATA, "--out", tmp_path / "report.json", "--cur"]
    result = run(*arguments, samples["data_growth"])
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.splitlines()[-1] == "verdict: drift"
    result = run(*arguments, "no.csv")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: no.csv: expected a readable CSV file, found: No such file or directory\n"


@pytest.mark.slow
def test_the_page_holds_the_verdict_and_loads_nothing(
    command: Command, samples: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    arguments = ["--ref", samples["reference"], "--out", tmp_path / "report.json", "--html", page]
    assert command(drift.main, *arguments, "--cur", samples["data_growth"]).code == 1
    text = page.read_text(encoding="utf-8")
    assert "<h1>Verdict: drift</h1>" in text
    assert "Drifted features: mb_used." in text
    assert [name for name in FEATURE_NAMES if f"<td>{name}</td>" not in text] == []
    assert re.findall(r"""(?:src|href)\s*=\s*["']([^"']{0,22})""", text) == ["data:image/png;base64,"]
    assert re.findall(r"(?i)<script|<link|@import|url\(|https?://", text) == []
    assert command(drift.main, *arguments, "--cur", samples["none"]).code == 0
    assert "<h1>Verdict: no drift</h1>" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_evidently_writes_its_own_report(samples: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "evidently.html"
    result = run(
        "drift.py", "--ref", samples["reference"], "--cur", samples["none"], "--out", tmp_path / "report.json",
        "--evidently", page,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    text = page.read_text(encoding="utf-8")
    assert "Dataset Drift" in text
    assert [name for name in FEATURE_NAMES if name not in text] == []


def test_without_evidently_its_report_is_refused(
    command: Command, samples: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drift.importlib.util.find_spec", lambda name: None)
    answer = command(
        drift.main, "--ref", DATA, "--cur", DATA, "--out", tmp_path / "o.json", "--evidently", tmp_path / "e.html"
    )
    assert (answer.code, answer.err) == (
        2, "error: --evidently: expected the package evidently, found none; pip install evidently\n"
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--out", "--html", "--evidently"])
def test_no_report_takes_the_place_of_a_sample(
    command: Command, samples: dict[str, Path], tmp_path: Path, option: str
) -> None:
    current = tmp_path / "current.csv"
    current.write_bytes(samples["none"].read_bytes())
    arguments = ["--ref", samples["reference"], "--cur", current, "--out", tmp_path / "report.json", option, current]
    answer = command(drift.main, *arguments)
    assert current.read_bytes() == samples["none"].read_bytes()
    assert answer.code == 2


def test_thresholds_come_from_the_configuration(command: Command, samples: dict[str, Path], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("drift: {psi_threshold: 50.0, ks_threshold: 1.0, bins: 5, smoothing: 1.0}\n")
    out = tmp_path / "report.json"
    arguments = ["--ref", samples["reference"], "--cur", samples["data_growth"], "--out", out]
    assert command(drift.main, *arguments, "--config", config).code == 0
    assert json.loads(out.read_text())["thresholds"]["psi"] == 50
    assert command(drift.main, *arguments).code == 1
