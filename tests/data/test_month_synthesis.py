"""Synthetic months: reproducible, shaped as calibrated, streamed, and a stand-in for real ones in ranking rules."""

import csv
import hashlib
import json
import re
import shlex
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_recommender.data.month_calibration import (
    MONTHS_CALIBRATION_FILE,
    MonthsCalibration,
    calibrate_months,
    load_months_calibration,
)
from plan_recommender.data.month_panel import Panel, read_panel
from plan_recommender.data.month_synthesis import HEADER, Months, csv_lines, generate_months
from plan_recommender.data.synthesis import DRAWN, KNOTS
from plan_recommender.errors import ConfigError, TableError
from plan_recommender.model.features import FEATURE_NAMES
from tools import calibrate_months as calibrate_tool
from tools.server import ROOT
from tools.synthesise import main

SHIPPED = ROOT / "subscriber_months.csv"
PROVENANCE = SHIPPED.with_suffix(".provenance.md").read_text(encoding="utf-8")
CALLS, MINUTES, MESSAGES, MB_USED = range(4)
SUBSCRIBERS = 6000

Bools = npt.NDArray[np.bool_]


def draw(subscribers: int, months: int = 12, seed: int = 7) -> Months:
    blocks = generate_months(subscribers, months, seed)
    return Months._make(np.concatenate(columns) for columns in zip(*blocks, strict=True))


def panel_of(months: Months) -> Panel:
    plans = np.where(months.is_ultra, "ultra", "smart")
    _, codes = np.unique(months.subscriber, return_inverse=True)
    return Panel(codes, months.month, plans, months.usage, months.billed_minutes.astype(float), months.share)


@pytest.fixture(scope="module")
def big() -> Panel:
    return panel_of(draw(SUBSCRIBERS))


def consecutive(panel: Panel) -> npt.NDArray[np.int64]:
    """Rows that are whole months and followed by a whole month of the same subscriber."""
    whole = panel.share == 1
    return np.flatnonzero(whole[:-1] & whole[1:] & ~panel.is_first[1:])


def test_the_shipped_months_are_what_the_documented_command_writes(tmp_path: Path) -> None:
    (command,) = re.findall(r"`python -m tools\.synthesise (--subscribers [^`]+)`", PROVENANCE)
    *arguments, output = shlex.split(command)
    assert output == SHIPPED.name
    assert main([*arguments, str(tmp_path / output)]) == 0
    assert (tmp_path / output).read_bytes() == SHIPPED.read_bytes()
    assert PROVENANCE.startswith(f"SHA-256: {hashlib.sha256(SHIPPED.read_bytes()).hexdigest()}\n")


def test_months_are_printed_where_no_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--subscribers", "300"]) == 0
    assert capsys.readouterr().out == SHIPPED.read_text(encoding="utf-8")


def test_another_seed_gives_other_months() -> None:
    assert not np.array_equal(draw(50, seed=1).usage[:50], draw(50, seed=2).usage[:50])


def test_the_first_subscribers_are_the_same_however_many_follow() -> None:
    long = draw(1000)
    for subscribers in (1, 99, 100, 101, 730):
        short = draw(subscribers)
        size = len(short.month)
        assert len(np.unique(short.subscriber)) == subscribers
        for column, prefix in zip(long, short, strict=True):
            np.testing.assert_array_equal(column[:size], prefix)
        assert long.subscriber[size] != short.subscriber[-1]


def test_writing_by_blocks_is_writing_at_once(tmp_path: Path) -> None:
    assert main(["--subscribers", "730", "--seed", "7", "--out", str(tmp_path / "months.csv")]) == 0
    assert (tmp_path / "months.csv").read_text() == HEADER + csv_lines(draw(730))


def test_the_file_is_read_as_it_was_drawn() -> None:
    drawn, read = panel_of(draw(300, seed=42)), read_panel(SHIPPED)
    for column, again in zip(drawn[:-1], read[:-1], strict=True):
        np.testing.assert_array_equal(column, again)
    np.testing.assert_allclose(drawn.share, read.share, atol=5e-5, rtol=0)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(subscribers=st.integers(1, 250), months=st.integers(1, 30), seed=st.integers(0, 2**32 - 1))
def test_any_draw_is_a_sorted_panel_of_possible_months(subscribers: int, months: int, seed: int) -> None:
    drawn = draw(subscribers, months, seed)
    panel = panel_of(drawn)
    assert len(np.unique(drawn.subscriber)) == subscribers
    same = ~panel.is_first[1:]
    assert (np.diff(drawn.subscriber) >= 0).all()
    assert (np.diff(drawn.month)[same] == 1).all()  # no gaps
    assert (np.diff(drawn.is_ultra)[same] == 0).all()  # the plan is held
    assert drawn.month.min() >= 2018 * 12
    assert drawn.month.max() < 2018 * 12 + months
    assert ((panel.share > 0) & (panel.share <= 1)).all()
    assert (panel.share[~panel.is_first & ~panel.is_last] == 1).all()
    calls, minutes, messages, mb_used = panel.usage.T
    assert (panel.usage >= 0).all()
    np.testing.assert_array_equal(calls, np.floor(calls))
    np.testing.assert_array_equal(messages, np.floor(messages))
    np.testing.assert_array_equal(mb_used, np.round(mb_used, 2))
    np.testing.assert_array_equal(minutes == 0, calls == 0)
    # Each call adds less than a minute, or takes one where it has length zero.
    assert (panel.billed_minutes <= minutes + calls).all()
    assert (panel.billed_minutes >= minutes - calls).all()


def test_the_rows_look_as_promised() -> None:
    with SHIPPED.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == [
        "subscriber", "month", "plan", "calls", "minutes", "messages", "mb_used", "billed_minutes", "active_share",
    ]  # fmt: skip
    form = r"\d{6},2018-\d\d,(Smart|Ultra),\d+,\d+\.\d\d,\d+,\d+\.\d\d,\d+,(0\.\d{4}|1\.0000)"
    assert all(re.fullmatch(form, ",".join(row)) for row in rows[1:])
    assert rows[1:] == sorted(rows[1:], key=lambda row: row[:2])


def test_calibrating_generated_months_gives_the_calibration_back(big: Panel) -> None:
    shipped, again = load_months_calibration(), calibrate_months(big, "ultra", "generated")
    assert (again.source, again.subscribers) == ("generated", SUBSCRIBERS)
    assert again.ultra_share == pytest.approx(shipped.ultra_share, abs=0.001)
    assert again.leaving_share == pytest.approx(shipped.leaving_share, abs=0.002)
    assert again.minutes_per_call_mean == pytest.approx(shipped.minutes_per_call_mean, rel=0.005)
    assert again.minutes_per_call_sd == pytest.approx(shipped.minutes_per_call_sd, rel=0.02)
    assert again.zero_length_share == pytest.approx(shipped.zero_length_share, abs=0.005)
    for new, old in ((again.smart, shipped.smart), (again.ultra, shipped.ultra)):
        np.testing.assert_allclose(new.levels.rank_correlations, old.levels.rank_correlations, atol=0.08)
        for name in DRAWN:
            expected = max(old.dispersion[name], 1) if name != "mb_used" else old.dispersion[name]
            assert new.dispersion[name] == pytest.approx(expected, rel=0.04)
            of_new, of_old = new.levels.marginals[name], old.levels.marginals[name]
            assert of_new.zero_share == pytest.approx(of_old.zero_share, abs=0.02)
            inner = slice(KNOTS.index(0.1), KNOTS.index(0.95))
            np.testing.assert_allclose(of_new.quantiles[inner], of_old.quantiles[inner], rtol=0.1)


def test_months_of_a_subscriber_hang_together_as_in_the_panel(big: Panel) -> None:
    now = consecutive(big)
    for plan, calls, messages, mb_used in (("smart", 0.86, 0.95, 0.58), ("ultra", 0.94, 0.98, 0.85)):
        of_plan = now[big.plans[now] == plan]
        for column, expected in ((CALLS, calls), (MESSAGES, messages), (MB_USED, mb_used)):
            found = np.corrcoef(big.usage[of_plan, column], big.usage[of_plan + 1, column])[0, 1]
            assert found == pytest.approx(expected, abs=0.05)


def test_ultra_is_held_by_heavier_and_by_lighter_subscribers(big: Panel) -> None:
    whole = big.share == 1
    smart, ultra = (big.usage[whole & (big.plans == plan), MB_USED] for plan in ("smart", "ultra"))
    assert np.mean(ultra) > 1.15 * np.mean(smart)
    assert np.quantile(ultra, 0.1) < np.quantile(smart, 0.1)


def trend(panel: Panel, column: int) -> float:
    """Change from one whole month to the next, as a share of the mean."""
    now = consecutive(panel)
    values = panel.usage[:, column]
    return float((values[now + 1] - values[now]).mean() / values[now].mean())


@pytest.mark.parametrize("column", [CALLS, MINUTES, MESSAGES, MB_USED])
def test_whole_months_have_no_trend(big: Panel, column: int) -> None:
    assert abs(trend(big, column)) < 0.004
    growing = big._replace(usage=big.usage * (1.01 ** (big.months - 2018 * 12))[:, None])  # the control
    assert trend(growing, column) > 0.006


def test_partial_months_bring_less_and_as_much_a_day(big: Panel) -> None:
    whole = big.share == 1
    first, leaving = big.is_first & ~whole, big.is_last & ~big.is_first & ~whole
    assert big.share[big.is_first].mean() == pytest.approx(0.51, abs=0.02)
    for column in (CALLS, MINUTES, MESSAGES, MB_USED):
        of_whole = big.usage[whole, column].mean()
        for rows, tolerance in ((first, 0.05), (leaving, 0.15)):
            assert big.usage[rows, column].mean() < 0.65 * of_whole
            a_day = big.usage[rows, column].sum() / big.share[rows].sum()
            assert a_day == pytest.approx(of_whole, rel=tolerance)


def test_subscribers_register_in_every_month_and_most_stay(big: Panel) -> None:
    joined = np.bincount(big.months[big.is_first] - 2018 * 12, minlength=12)
    assert joined.min() > 0.85 * SUBSCRIBERS / 12
    assert joined.max() < 1.15 * SUBSCRIBERS / 12
    tenure = np.bincount(big.subscribers)
    assert set(tenure) == set(range(1, 13))
    assert tenure.mean() == pytest.approx(6.3, abs=0.2)
    assert np.mean(big.months[big.is_last] == 2018 * 12 + 11) == pytest.approx(0.94, abs=0.015)


def test_one_month_is_a_month_of_registration_for_everybody() -> None:
    panel = panel_of(draw(500, months=1))
    assert len(panel.months) == 500
    assert panel.share.mean() == pytest.approx(0.51, abs=0.04)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_subscribers() -> None:
    def peak(subscribers: int) -> tuple[int, int]:
        tracemalloc.start()
        try:
            written = sum(len(csv_lines(block)) for block in generate_months(subscribers, 12, 1))
            return tracemalloc.get_traced_memory()[1], written
        finally:
            tracemalloc.stop()

    small, small_bytes = peak(1000)
    large, large_bytes = peak(5000)
    assert large_bytes > 4.5 * small_bytes
    assert large < 1.2 * small


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.pop("smart"),
        lambda c: c.update(extra=1),
        lambda c: c["smart"]["dispersion"].pop("calls"),
        lambda c: c["ultra"]["dispersion"].update(mb_used=0),
        lambda c: c.update(leaving_share=1.5),
        lambda c: c.update(zero_length_share=0.9, minutes_per_call_mean=0.5),
        lambda c: c.update(minutes_per_call_sd=1.0),
    ],
    ids=["plan left out", "unknown key", "dispersion left out", "no dispersion", "share above 1", "no length left",
         "no spread of lengths left"],
)  # fmt: skip
def test_a_calibration_that_cannot_be_is_refused(tmp_path: Path, spoil: Callable[[dict[str, object]], object]) -> None:
    document = json.loads(MONTHS_CALIBRATION_FILE.read_text())
    spoil(document)
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"expected a calibration written by tools\.calibrate_months"):
        main(["--subscribers", "10", "--out", str(tmp_path / "out.csv"), "--calibration", str(path)])


def test_the_calibration_holds_few_rounded_numbers() -> None:
    calibration = load_months_calibration()
    for plan in (calibration.smart, calibration.ultra):
        for marginal in plan.levels.marginals.values():
            assert marginal.quantiles == [float(f"{quantile:.3g}") for quantile in marginal.quantiles]
    numbers = re.findall(r"-?\d+\.?\d*", MONTHS_CALIBRATION_FILE.read_text().partition('"subscribers"')[2])
    assert len(numbers) < 200  # of a panel of 2,004 months with five numbers each


def test_the_tool_calibrates_a_file(tmp_path: Path) -> None:
    out = tmp_path / "calibration.json"
    assert calibrate_tool.main(["--data", str(SHIPPED), "--out", str(out), "--source", "the shipped months"]) == 0
    written = MonthsCalibration.model_validate_json(out.read_bytes())
    assert written == calibrate_months(read_panel(SHIPPED), "ultra", "the shipped months")
    assert written == load_months_calibration(out)


def test_too_few_subscribers_are_not_summarised(tmp_path: Path) -> None:
    lines = SHIPPED.read_text().splitlines(keepends=True)[:60]
    (tmp_path / "few.csv").write_text("".join(lines))
    with pytest.raises(TableError, match=r"few\.csv: expected at least 20 subscribers of each plan .*, found \d+$"):
        calibrate_tool.main(["--data", str(tmp_path / "few.csv"), "--out", str(tmp_path / "out.json")])
    assert not (tmp_path / "out.json").exists()


DATED = "subscriber,month,plan,calls,minutes,messages,mb_used,billed_minutes,registered_on,left_on\n"


def test_the_share_of_days_follows_from_dates(tmp_path: Path) -> None:
    path = tmp_path / "dated.csv"
    path.write_text(
        DATED
        + "b,2019-02,Surf,1,2,3,4,3,2019-02-15,\n"
        + "a,2019-05,Surf,1,2,3,4,3,2019-04-30,2019-05-10\n"
        + "a,2019-04,Surf,1,2,3,4,3,2019-04-30,2019-05-10\n"
        + "a,2019-06,Surf,1,2,3,4,3,2019-04-30,2019-05-10\n"  # used after leaving
    )
    panel = read_panel(path)
    np.testing.assert_allclose(panel.share, [14 / 28, 1 / 30, 10 / 31, 1])
    np.testing.assert_array_equal(panel.subscribers, [0, 1, 1, 1])
    np.testing.assert_array_equal(panel.months % 12, [1, 3, 4, 5])
    np.testing.assert_array_equal(panel.usage[0], [1, 2, 3, 4])
    assert FEATURE_NAMES == ("calls", "minutes", "messages", "mb_used")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (DATED, "expected months, found none"),
        ("subscriber,month\na,2019-01\n", "expected the columns subscriber, month, calls, .*; missing calls, "),
        (DATED + "a,2019-13,Surf,1,2,3,4,3,2019-01-01,\n", "row 1 after the header: month: expected a month YYYY-MM"),
        (DATED + "a,2019-01,Surf,1,-2,3,4,3,2019-01-01,\n", "row 1 after the header: minutes: expected a number"),
        (DATED + "a,2019-01,Surf,1,2,3,4,3,2019-02-01,\n", "row 1 after the header: registered_on: expected dates"),
        (DATED + "a,2019-01,Surf,1,2\n", "row 1 after the header: expected 10 cells, found 5"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_months_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "months.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=sentence):
        read_panel(path)


def test_plan_billed_minutes_and_share_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "months.csv"
    path.write_text("subscriber,month,calls,minutes,messages,mb_used\na,2019-01,1,2,3,4\n")
    panel = read_panel(path)
    assert panel.plans.tolist() == [""]
    assert np.isnan(panel.billed_minutes).all()
    assert panel.share.tolist() == [1]
    path.write_text(
        "subscriber,month,calls,minutes,messages,mb_used,billed_minutes\na,2019-01,1,2,3,4,\na,2019-02,1,2,3,4,5\n"
    )
    np.testing.assert_array_equal(read_panel(path).billed_minutes, [np.nan, 5])
