"""Drift: exact numbers on small samples, a verdict on large ones, and no verdict on too little."""

import json
import math
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

import drift
from plan_recommender.config.settings import DriftSettings
from plan_recommender.data.synthesis import SHIFTS, generate, write_csv
from plan_recommender.drift.reference import profile
from plan_recommender.drift.verdict import compare
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import Values, population_stability_index
from tests.conftest import Command, TrainedModel, run
from tools.server import ROOT

DATA = ROOT / "users_behavior.csv"
SMALL = DriftSettings(bins=4, min_rows=4)
PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)
Table = Callable[..., Path]


def column(*values: float) -> Values:
    return np.array(values, dtype=np.float64)[:, None]


def one(reference: Values, current: Values, config: DriftSettings = SMALL) -> Any:
    report = compare(profile(reference, ["calls"], config), current, config)
    return report.features[0]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """2,000 subscribers as calibrated, and as many others after each shift."""
    folder = tmp_path_factory.mktemp("samples")
    for name, seed in [("reference", 1), *((shift, 2) for shift in SHIFTS)]:
        with (folder / f"{name}.csv").open("w") as file:
            write_csv(file, generate(2000, seed, "none" if name == "reference" else name))
    return {path.stem: path for path in folder.iterdir()}


def test_psi_is_what_a_hand_computes() -> None:
    # Without smoothing: shares 1/2, 1/2 and 1/4, 3/4.
    by_hand = (1 / 4 - 1 / 2) * math.log(1 / 2) + (3 / 4 - 1 / 2) * math.log(3 / 2)
    assert population_stability_index([2, 2], [1, 3], 0) == pytest.approx(by_hand, rel=1e-14)
    # With half a row added to each bin: 2.5/5, 2.5/5 and 0.5/5, 4.5/5.
    by_hand = (0.1 - 0.5) * math.log(0.2) + (0.9 - 0.5) * math.log(1.8)
    assert population_stability_index([2, 2], [0, 4], 0.5) == pytest.approx(by_hand, rel=1e-14)


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1), st.floats(0.1, 10))
def test_psi_is_symmetric_not_negative_and_zero_for_the_same(pairs: list[tuple[int, int]], smoothing: float) -> None:
    before, after = ([pair[i] for pair in pairs] for i in (0, 1))
    psi = population_stability_index(before, after, smoothing)
    assert psi >= 0
    assert population_stability_index(after, before, smoothing) == pytest.approx(psi, rel=1e-9, abs=1e-12)
    assert population_stability_index(before, before, smoothing) == 0


def test_bins_are_the_quantiles_of_the_reference_with_open_ends() -> None:
    (feature,) = profile(column(*range(1, 9)), ["calls"], SMALL).features
    assert feature.edges == [2.75, 4.5, 6.25]
    assert feature.counts == [2, 2, 2, 2]
    assert feature.values == [1, 2, 3, 4, 5, 6, 7, 8]
    # Far outside of the reference, every value still has a bin: 3 below, 1 above.
    found = one(column(*range(1, 9)), column(0, 0, 0, 1e12))
    shares = [(2.5 / 10, 3.5 / 6), (2.5 / 10, 0.5 / 6), (2.5 / 10, 0.5 / 6), (2.5 / 10, 1.5 / 6)]
    assert found.psi == pytest.approx(sum((c - r) * math.log(c / r) for r, c in shares), rel=1e-12)


def test_a_value_on_an_edge_belongs_to_the_bin_below_in_both_samples() -> None:
    reference = column(0, 1, 2, 3, 4)  # quartiles 1, 2, 3
    (feature,) = profile(reference, ["calls"], SMALL).features
    assert (feature.edges, feature.counts) == ([1, 2, 3], [2, 1, 1, 1])
    assert one(reference, reference).psi == 0


def test_a_heap_of_zeros_makes_one_edge() -> None:
    reference = column(*[0] * 6, 1, 2)
    (feature,) = profile(reference, ["messages"], SMALL).features
    assert (feature.edges, feature.counts) == ([0, 0.25], [6, 0, 2])
    (feature,) = profile(column(*[0] * 8), ["messages"], SMALL).features
    assert (feature.edges, feature.counts) == ([0], [8, 0])
    found = one(column(*[0] * 8), column(0, 0, 5, 5))
    shares = [(8.5 / 9, 2.5 / 5), (0.5 / 9, 2.5 / 5)]
    assert found.psi == pytest.approx(sum((c - r) * math.log(c / r) for r, c in shares), rel=1e-12)


def test_the_ks_statistic_is_what_a_hand_computes() -> None:
    found = one(column(1, 2, 3, 4), column(3, 4, 5, 6, 7))
    assert found.ks_statistic == pytest.approx(0.6)  # at 4: 4/4 against 2/5
    assert (found.reference_n, found.current_n) == (4, 5)
    assert (found.reference_median, found.current_median) == (2.5, 5)
    assert one(column(1, 2, 3, 4), column(5, 6, 7, 8)).ks_statistic == 1


@PROPERTY
@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=60), st.lists(st.floats(0, 1e6), min_size=4, max_size=60))
def test_statistic_and_p_value_are_scipys(before: list[float], after: list[float]) -> None:
    found, expected = one(column(*before), column(*after)), ks_2samp(before, after, method="asymp")
    assert (found.ks_statistic, found.ks_p_value) == (expected.statistic, expected.pvalue)


@PROPERTY
@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=60))
def test_a_sample_has_not_drifted_from_itself_in_any_order(values: list[float]) -> None:
    found = one(column(*values), column(*values[::-1]))
    assert (found.psi, found.ks_statistic, found.ks_p_value, found.drifted) == (0, 0, 1, False)


def test_missing_values_are_left_out_and_their_share_is_watched() -> None:
    nan = math.nan
    reference = column(1, 2, 3, 4, 5, 6, 7, 8, 9, nan)
    found = one(reference, column(1, 2, 3, 4, 5, 6, 7, 8, 9, nan))
    assert (found.reference_n, found.current_n, found.psi, found.drifted) == (9, 9, 0, False)
    assert (found.reference_missing_share, found.current_missing_share) == pytest.approx((0.1, 0.1))
    found = one(reference, column(1, 2, 3, 4, 5, 6, 7, 8, 9, *[nan] * 3))
    assert found.current_missing_share == pytest.approx(0.25)
    assert found.reasons == ["empty cells 10.0% → 25.0% (threshold 10%)"]


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


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, ["PSI", "KS"]),
        ({"psi_threshold": 100.0}, ["KS"]),
        ({"ks_threshold": 0.9}, ["PSI"]),
        ({"ks_alpha": 0.0}, ["PSI"]),
        ({"psi_threshold": 100.0, "ks_threshold": 0.9}, []),
    ],
    ids=str,
)
def test_each_threshold_decides(change: dict[str, float], reasons: list[str]) -> None:
    found = one(column(*range(100)), column(*range(50, 150)), DriftSettings(**(SMALL.model_dump() | change)))
    assert found.ks_statistic == pytest.approx(0.5)
    assert [reason.split()[0] for reason in found.reasons] == reasons
    assert found.drifted == bool(reasons)


def test_a_value_on_the_threshold_has_drifted() -> None:
    before, after = column(*range(100)), column(*range(30, 130))
    psi = one(before, after).psi
    for threshold, drifted in ((psi, True), (math.nextafter(psi, 9), False)):
        config = DriftSettings(bins=4, psi_threshold=threshold, ks_threshold=1.0)
        assert one(before, after, config).drifted is drifted


def test_a_small_difference_in_a_huge_sample_is_no_drift() -> None:
    rng = np.random.default_rng(0)
    found = one(rng.normal(0, 1, (200_000, 1)), rng.normal(0.05, 1, (200_000, 1)), DriftSettings())
    assert found.ks_p_value < 1e-10
    assert not found.drifted


@pytest.mark.parametrize(("before", "after", "which"), [(3, 4, "reference"), (4, 3, "current"), (4, 0, "current")])
def test_too_few_values_are_no_verdict(before: int, after: int, which: str) -> None:
    with pytest.raises(TableError) as caught:
        one(column(*range(before)), column(*range(after)))
    assert str(caught.value) == (
        f"feature 'calls': expected at least 4 values in the {which} sample (drift.min_rows), "
        f"found {min(before, after)}; collect more before asking for a verdict"
    )


def test_a_stored_profile_keeps_a_seeded_sample_and_counts_every_value() -> None:
    values = np.random.default_rng(0).random((5000, 1))
    config = DriftSettings(reference_rows=1000)
    kept, again, other = (profile(values, ["calls"], config, seed).features[0] for seed in (1, 1, 2))
    assert kept == again
    assert kept.values != other.values
    assert len(kept.values) == len(set(kept.values)) == 1000
    assert set(kept.values) <= set(values[:, 0].tolist())
    assert sum(kept.counts) == 5000
    assert kept.counts == other.counts


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
