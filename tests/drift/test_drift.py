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
from plan_recommender.data.csv_table import read_features
from plan_recommender.data.month_calibration import load_months_calibration
from plan_recommender.data.month_synthesis import HEADER, csv_lines, generate_months
from plan_recommender.data.synthesis import SHIFTS, generate, write_csv
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.store import find
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
    assert (report["verdict"], report["drifted"]) == ("no drift", [])
    assert (report["reference_rows"], report["current_rows"]) == (2000, 2000)
    assert [(f["name"], f["psi"], f["ks_statistic"], f["gap"], f["p_value"]) for f in report["features"]] == [
        (name, 0, 0, 0, 1) for name in FEATURE_NAMES
    ]
    assert [(pair["phi"], pair["p_value"]) for pair in report["pairs"]] == [(pytest.approx(0, abs=1e-6), 1)] * 6


DRIFTED = {
    "none": [],
    "data_growth": ["mb_used"],
    "messaging_decline": ["messages"],
    "longer_calls": ["minutes"],
    "new_subscribers": list(FEATURE_NAMES),
}


@pytest.mark.parametrize("shift", SHIFTS)
def test_each_named_shift_is_found_in_the_columns_that_it_moves(
    command: Command, samples: dict[str, Path], tmp_path: Path, shift: str
) -> None:
    out = tmp_path / "report.json"
    answer = command(drift.main, "--ref", samples["reference"], "--cur", samples[shift], "--out", out)
    assert answer.code == (1 if DRIFTED[shift] else 0)
    assert answer.err == ""
    report = json.loads(out.read_text())
    assert [feature["name"] for feature in report["features"] if feature["finding"] == "drift"] == DRIFTED[shift]
    assert bool(report["drifted"]) == bool(DRIFTED[shift])


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
    assert "calls empty in 100% of the rows (before: 0%)." in answer.out
    (found,) = json.loads(out.read_text())["features"]
    assert (found["psi"], found["ks_statistic"], found["current_median"], found["current_n"]) == (None, None, None, 0)
    assert "<td>-</td>" in page.read_text()


def test_the_report_says_what_the_verdict_rests_on(command: Command, samples: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    command(drift.main, "--ref", samples["reference"], "--cur", samples["data_growth"], "--out", out)
    report = json.loads(out.read_text())
    assert (report["verdict"], report["drifted"][0]) == ("drift", "mb_used")
    assert report["thresholds"] == {"alpha": 0.01, "smallest_gap": 0.05, "smallest_phi": 0.1, "missing_share": 0.1}
    before, after = (
        np.genfromtxt(samples[name], delimiter=",", names=True)["mb_used"] for name in ("reference", "data_growth")
    )
    feature = report["features"][3]
    expected = ks_2samp(before, after, method="asymp")
    assert feature["ks_statistic"] == pytest.approx(expected.statistic, rel=1e-12)
    assert feature["ks_p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    shares = [0.01, 0.05, *np.arange(1, 10) / 10, 0.95, 0.99]
    edges = [-np.inf, *np.quantile(before, shares), np.inf]
    counts = [
        np.array([((values > low) & (values <= high)).sum() for low, high in pairwise(edges)])
        for values in (before, after)
    ]
    r, c = ((count + 0.5) / (count + 0.5).sum() for count in counts)
    assert feature["psi"] == pytest.approx(float(((c - r) * np.log(c / r)).sum()), rel=1e-12)
    assert (feature["reference_n"], feature["current_n"]) == (2000, 2000)
    assert feature["reference_median"] == np.median(before)
    assert feature["current_median"] == np.median(after)
    assert feature["finding"] == "drift"
    assert feature["reference_mean"] == pytest.approx(before.mean())
    assert feature["current_mean"] == pytest.approx(after.mean())


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
    current = table(*[f"{i},{i * 100},text" for i in range(600)], header="calls,mb_used,minutes")
    out = tmp_path / "report.json"
    for reference in (["--ref", current], ["--model", trained.tag]):
        answer = command(drift.main, *reference, "--cur", current, "--out", out, "--features", *arguments)
        assert (answer.code, answer.err) == (int(reference[0] == "--model"), "")
        report = json.loads(out.read_text())
        assert [feature["name"] for feature in report["features"]] == ["mb_used", "calls"]
        assert [pair["features"] for pair in report["pairs"]] == [["mb_used", "calls"]]
        assert report["predictions"] is None


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
        (["1,2,3,4,0"] * 499, "feature 'calls': expected at least 500 values in the current sample (drift.min_rows), "
         "found 499; collect more before asking for a verdict"),
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
    assert "mb_used up by" in text
    assert [name for name in FEATURE_NAMES if f"<td>{name}</td>" not in text] == []
    assert re.findall(r"""(?:src|href)\s*=\s*["']([^"'#]{1,22})""", text) == ["data:image/png;base64,"] * len(
        re.findall("<img", text)
    )
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
    config.write_text("drift: {smallest_gap: 0.9, smallest_phi: 1.0, smoothing: 1.0}\n")
    out = tmp_path / "report.json"
    arguments = ["--ref", samples["reference"], "--cur", samples["data_growth"], "--out", out]
    assert command(drift.main, *arguments, "--config", config).code == 0
    report = json.loads(out.read_text())
    assert report["thresholds"]["smallest_gap"] == 0.9
    assert report["features"][3]["finding"] == "no relevant drift"
    assert command(drift.main, *arguments).code == 1


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Months of 800 subscribers; those of 800 others; of these only, but with twice as many first months."""
    folder = tmp_path_factory.mktemp("months")
    for name, seed in (("reference", 5), ("others", 6)):
        blocks = list(generate_months(800, 12, seed, load_months_calibration()))
        (folder / f"{name}.csv").write_text(HEADER + "".join(csv_lines(block) for block in blocks))
    header, *lines = (folder / "others.csv").read_text().splitlines(keepends=True)
    partial = [line for line in lines if float(line.rsplit(",", 1)[1]) < 1]
    (folder / "partial.csv").write_text(header + "".join(lines + 3 * partial))
    return {path.stem: path for path in folder.iterdir()}


def test_rows_of_one_subscriber_are_no_drift_where_the_sample_says_whose_they_are(
    command: Command, months: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    arguments = ["--ref", months["reference"], "--cur", months["others"], "--out", out]
    assert command(drift.main, *arguments).code == 1  # 800 people sent thousands of rows, as if of so many strangers
    answer = command(drift.main, *arguments, "--groups", "subscriber")
    assert answer.code == 0
    report = json.loads(out.read_text())
    assert (report["reference_subscribers"], report["current_subscribers"]) == (800, 800)
    assert all(feature["design_effect"] > 2 for feature in report["features"])
    answer = command(drift.main, *arguments, "--groups", "who")
    assert answer.code == 2
    assert "missing who" in answer.err


def test_more_partial_months_are_told_apart_from_other_behaviour(
    command: Command, months: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    arguments = ["--ref", months["reference"], "--groups", "subscriber", "--out", out, "--cur"]
    answer = command(drift.main, *arguments, months["partial"])
    report = json.loads(out.read_text())
    assert (answer.code, report["verdict"], report["mix"]["drifted"]) == (0, "other mix", [])
    assert report["drifted"]
    assert "with the mix held fixed, nothing has drifted" in answer.out
    header, *lines = months["partial"].read_text().splitlines()
    cells = [line.split(",") for line in lines]
    for row in cells:
        row[6] = f"{float(row[6]) * 1.3:.2f}"
    more = tmp_path / "more.csv"
    more.write_text("\n".join([header, *(",".join(row) for row in cells)]) + "\n")
    answer = command(drift.main, *arguments, more)
    report = json.loads(out.read_text())
    assert (answer.code, report["verdict"]) == (1, "drift")
    assert "mb_used" in report["mix"]["drifted"]


def test_a_mix_is_named_by_a_column_that_both_samples_have(command: Command, table: Table, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    header = "calls,minutes,messages,mb_used,tenure"

    def sample(name: str, share: float) -> Path:
        new = rng.random(3000) < share
        usage = rng.gamma(4, 10, (3000, 4)) * np.where(new, 0.5, 1.0)[:, None]
        rows = [[*map(repr, row), "new" if n else "old"] for row, n in zip(usage.tolist(), new, strict=True)]
        written = table(*map(",".join, rows), header=header)
        return written.rename(tmp_path / name)

    before, now = sample("before.csv", 0.1), sample("now.csv", 0.4)
    out = tmp_path / "report.json"
    arguments = ["--ref", before, "--cur", now, "--out", out]
    assert command(drift.main, *arguments).code == 1
    assert command(drift.main, *arguments, "--mix", "tenure").code == 0
    mix = json.loads(out.read_text())["mix"]
    assert (mix["strata"], mix["drifted"]) == (["new", "old"], [])
    assert mix["current_shares"][0] == pytest.approx(0.4, abs=0.03)
    ids = table(*[f"1,2,3,4,{i}" for i in range(600)], header="calls,minutes,messages,mb_used,who")
    answer = command(drift.main, "--ref", ids, "--cur", ids, "--out", out, "--mix", "who")
    assert answer.code == 2
    assert "column 'who': expected at most 50 different cells to hold a mix fixed" in answer.err
    answer = command(drift.main, "--ref", DATA, "--cur", now, "--out", out, "--mix", "tenure")
    assert (answer.code, answer.err) == (
        2, f"error: {DATA}: expected the column 'tenure' that --mix names, found none of that name\n"
    )  # fmt: skip


def test_predictions_are_compared_where_there_is_a_model(
    command: Command, trained: TrainedModel, samples: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    model = find(trained.tag)
    for arguments, rows in ((["--ref", DATA], 3214), ([], 2571)):
        answer = command(
            drift.main, *arguments, "--cur", samples["data_growth"], "--out", out, "--model", trained.tag
        )  # fmt: skip
        found = json.loads(out.read_text())["predictions"]
        probabilities = model.scorer().probabilities(read_features(samples["data_growth"]))
        assert (answer.code, json.loads(out.read_text())["reference_rows"]) == (1, rows)
        assert found["current_mean"] == pytest.approx(probabilities.mean())
        assert found["current_expected_brier"] == pytest.approx((probabilities * (1 - probabilities)).mean())
        assert found["finding"] == "drift"
        more = 100 * (found["current_ultra_share"] - found["reference_ultra_share"])
        assert f"{found['current_ultra_share']:.1%}" in answer.out
        assert f"{more:.1f} percentage points more" in answer.out


@pytest.mark.parametrize("share", ["7.0", "abc", "0", "-0.5", "nan"])
def test_shares_of_active_days_that_cannot_be_do_not_tell_months_apart(
    command: Command, table: Table, tmp_path: Path, share: str
) -> None:
    current = table(
        *["1,2,3,4,0.5"] * 300, *[f"1,2,3,4,{share}"] * 300, header="calls,minutes,messages,mb_used,active_share"
    )
    arguments = ["--ref", current, "--cur", current, "--out", tmp_path / "report.json"]
    answer = command(drift.main, *arguments)
    said = f"expected shares of active days above 0 and at most 1, or empty cells, found '{share}'"
    assert (answer.code, answer.err) == (
        0, f"warning: whole and partial months are not told apart: column 'active_share': {said}\n"
    )  # fmt: skip
    answer = command(drift.main, *arguments, "--mix", "active_share")
    assert (answer.code, answer.err) == (2, f"error: column 'active_share': {said}\n")


def test_a_mix_needs_a_reference_and_groups_need_a_subscriber_in_every_row(
    command: Command, trained: TrainedModel, table: Table, tmp_path: Path
) -> None:
    answer = command(drift.main, "--cur", DATA, "--model", trained.tag, "--mix", "tenure", "--out", tmp_path / "o.json")
    assert (answer.code, answer.err) == (
        2, "error: --mix: expected --ref with it, because a stored profile does not say what it is a mix of\n"
    )  # fmt: skip
    current = table(*["1,2,3,4,a"] * 300, *["1,2,3,4,"] * 300, header="calls,minutes,messages,mb_used,who")
    answer = command(drift.main, "--ref", DATA, "--cur", current, "--groups", "who", "--out", tmp_path / "o.json")
    assert answer.code == 2
    assert answer.err.startswith(f"error: {current}: expected the subscriber of every row in column 'who' (--groups), ")
