"""The backtest of the advice: what a hand computes, what a second implementation finds, and the page that shows it."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import advise
from plan_recommender.billing.bill import Biller
from plan_recommender.billing.forecast import Month
from plan_recommender.data.month_spill import History
from plan_recommender.errors import TableError
from plan_recommender.evaluation.backtest import ADVICE, CLAIRVOYANT, KEEP, LAST, Backtest, backtest
from plan_recommender.model.digests import sha256
from plan_recommender.report.backtest_page import SELECTED
from plan_recommender.report.backtest_plots import draw_savings
from tests.conftest import Command, TrainedModel
from tests.made_up_months import COLUMNS, adviser, lines_of_months, tariffs, write_months
from tools.server import ROOT

DATA = ROOT / "subscriber_months.csv"
LIGHT, HEAVY = Month(10, 100, 0, 5_000, 100), Month(10, 100, 0, 30_000, 100)
"""Light costs 550 on Smart, heavy 550 and 15 times 200, which is 3,550; both cost 1,950 on Ultra."""


def history(name: str, held: list[int | None], used: list[Month]) -> History:
    return History(name, list(range(len(used))), held, used)


def histories(frame: pd.DataFrame) -> list[History]:
    found = []
    for name, part in frame.sort_values(["subscriber", "month"]).groupby("subscriber"):
        used = part[["calls", "minutes", "messages", "mb_used", "billed_minutes", "active_share"]].to_numpy().tolist()
        held: list[int | None] = [tariffs().names.index(plan) for plan in part["plan"]]
        found.append(history(str(name), held, [Month(*values) for values in used]))
    return found


@pytest.fixture(scope="module")
def found() -> Backtest:
    return backtest(histories(pd.read_csv(DATA)), adviser(), seed=42)


def test_what_rules_overpay_is_what_a_hand_computes() -> None:
    """Two months of somebody on Smart who is heavy and then light, and three of somebody heavy on Smart."""
    given = [history("a", [0, 0], [HEAVY, LIGHT]), history("b", [0, 0, 0], [HEAVY] * 3)]
    found = backtest(given, adviser(), seed=1)
    assert (found.subscribers, found.cases, found.without_plan) == (2, 3, 0)
    overpaid = {rule.name: rule.overpaid for rule in found.rules}
    assert overpaid == pytest.approx(
        {
            KEEP: (0 + 1600 + 1600) / 3,
            "everybody on Smart": (0 + 1600 + 1600) / 3,
            "everybody on Ultra": (1400 + 0 + 0) / 3,
            LAST: (1400 + 0 + 0) / 3,
            ADVICE: (1400 + 0 + 0) / 3,
            CLAIRVOYANT: 0,
        }
    )
    assert found.rule(ADVICE).ratio == pytest.approx(1400 / 3200)
    assert found.rule(ADVICE).right == pytest.approx(2 / 3)
    # Of two subscribers a sample has the first twice, the second twice, or both; the ends of the intervals are these.
    assert (found.rule(KEEP).low, found.rule(KEEP).high) == pytest.approx((0, 1600))
    assert (found.rule(ADVICE).low, found.rule(ADVICE).high) == pytest.approx((0, 1400))
    assert found.advised.tolist() == [[0, 3], [0, 0]]
    assert sorted(found.savings) == [-1400, 1600, 1600]
    everybody, *by_months = found.expectations
    assert everybody.cases == 3
    assert [everybody.real, everybody.saved] == pytest.approx([600, 2 / 3])
    assert [(group.group, group.cases, group.real, group.saved) for group in by_months] == [
        ("1 month known", 2, 100, 0.5),
        ("2 or 3 months known", 1, 1600, 1),
    ]
    assert 0 < everybody.expected < 1600
    assert 0.5 <= everybody.p_saves <= 1
    assert found.switches == 1


def test_partial_months_and_first_months_are_no_cases_and_months_without_a_plan_are_counted() -> None:
    partial = HEAVY._replace(active_share=0.99)
    given = [
        history("a", [0, 0, 0], [LIGHT, partial, LIGHT]),
        history("b", [None, 1, None], [LIGHT, LIGHT, LIGHT]),
        history("c", [1], [LIGHT]),
    ]
    found = backtest(given, adviser(), seed=1)
    assert (found.subscribers, found.cases, found.without_plan) == (2, 2, 1)
    assert found.rule(KEEP).overpaid == pytest.approx((0 + 1400) / 2)


def test_a_later_month_changes_nothing_that_was_advised_before_it() -> None:
    """Whoever is advised may not know the month that is billed: with another last month the advice is the same."""
    light, heavy = (
        backtest([history("a", [0] * 5, [HEAVY, LIGHT, HEAVY, LIGHT, last])], adviser(), seed=1)
        for last in (LIGHT, HEAVY)
    )
    assert light.advised.tolist() == heavy.advised.tolist()
    assert light.rule(KEEP).overpaid < heavy.rule(KEEP).overpaid  # the control


@pytest.mark.parametrize("given", [[], [history("a", [0], [LIGHT])], [history("a", [None, None], [LIGHT, LIGHT])]])
def test_without_any_case_it_says_so(given: list[History]) -> None:
    with pytest.raises(TableError, match="expected a whole month after another one of the same subscriber"):
        backtest(given, adviser(), seed=1)


def test_where_keeping_overpays_nothing_there_is_no_ratio() -> None:
    found = backtest([history("a", [0, 0], [LIGHT, LIGHT])], adviser(), seed=1)
    assert {rule.ratio for rule in found.rules} == {None}
    assert draw_savings(found, "RUB").startswith(b"\x89PNG")  # of no switch at all


def test_a_second_implementation_finds_the_same(found: Backtest) -> None:
    """With pandas, the biller's tables and one subscriber after the other."""
    frame = pd.read_csv(DATA).sort_values(["subscriber", "month"]).reset_index(drop=True)
    biller = Biller(tariffs())
    usage = frame[["calls", "minutes", "messages", "mb_used"]].to_numpy(dtype=np.float64)
    billed = biller.billed_table(usage, frame["billed_minutes"].to_numpy(dtype=np.float64))
    frame[["smart", "ultra"]] = biller.totals(billed).T / 100
    frame["held"] = np.where(frame["plan"] == "Ultra", frame["ultra"], frame["smart"])
    before = frame.groupby("subscriber").shift()
    last_is_ultra = np.where(
        before["smart"] == before["ultra"], frame["plan"] == "Ultra", before["ultra"] < before["smart"]
    )
    frame["last"] = np.where(last_is_ultra, frame["ultra"], frame["smart"])
    cases = frame[before["month"].notna() & (frame["active_share"] == 1)]
    cheapest = cases[["smart", "ultra"]].min(axis=1)
    names = {KEEP: "held", "everybody on Smart": "smart", "everybody on Ultra": "ultra", LAST: "last"}
    for name, column in names.items():
        assert found.rule(name).overpaid == pytest.approx((cases[column] - cheapest).mean())
        assert found.rule(name).right == pytest.approx((cases[column] == cheapest).mean())
    assert (found.cases, found.subscribers) == (len(cases), cases["subscriber"].nunique())
    assert found.rule(CLAIRVOYANT)[1:5] == (0, 0, 0, 1)
    assert found.advised.sum() == found.cases
    assert found.switches == (found.advised.sum() - np.trace(found.advised)) / found.cases
    saved = found.rule(KEEP).overpaid - found.rule(ADVICE).overpaid
    assert saved == pytest.approx(found.savings.sum() / found.cases)


def test_the_advice_saves_and_its_intervals_cover_what_they_say(found: Backtest) -> None:
    """On synthetic months, with a profile of other synthetic subscribers."""
    advice = found.rule(ADVICE)
    assert advice.ratio is not None
    assert advice.ratio_low is not None
    assert advice.ratio_high is not None
    assert 0.3 < advice.ratio < 0.55
    assert advice.ratio_low < advice.ratio < advice.ratio_high < 1
    everybody, *groups = found.coverage
    assert everybody.group == "all"
    assert 0.87 < everybody.held < 0.94
    assert [group.cases for group in groups[:3]] == [509, 508, 509]
    assert sum(group.cases for group in groups[3:]) == found.cases
    for name in ("held", "pooled"):
        mean = sum(getattr(group, name) * group.cases for group in groups[3:]) / found.cases
        assert mean == pytest.approx(getattr(everybody, name))


def test_after_one_month_intervals_cover_enough_although_its_first_days_are_missing() -> None:
    """The months of registration are recorded as whole, so that on average half of their usage is missing."""
    frame = pd.DataFrame([line.split(",") for line in lines_of_months(600)], columns=COLUMNS.split(","))
    frame[frame.columns[3:]] = frame[frame.columns[3:]].astype(float)
    ordered = frame.sort_values(["subscriber", "month"])
    first = ordered.index[~ordered["subscriber"].duplicated()]
    assert (frame.loc[first, "active_share"] < 0.99).mean() > 0.9
    frame.loc[first, "active_share"] = 1.0
    after_one = {group.group: group for group in backtest(histories(frame), adviser(), seed=1).coverage}[
        "1 month known"
    ]
    assert after_one.cases > 500
    # With the 57 scenarios that serve after more months both are 0.85.
    assert after_one.held > 0.87
    assert after_one.pooled > 0.87


def test_copies_of_subscribers_narrow_no_interval_as_months_of_others_would(found: Backtest) -> None:
    """All months of a subscriber are drawn together: with every month twice, the intervals are as wide as before."""
    frame = pd.read_csv(DATA)
    doubled = [
        history(each.subscriber, [*each.plans, *each.plans], [*each.used, *each.used]) for each in histories(frame)
    ]
    once, twice = found.rule(KEEP), backtest(doubled, adviser(), seed=42).rule(KEEP)
    assert (twice.high - twice.low) / (once.high - once.low) > 0.85  # 0.71 if months were drawn


Backtested = Callable[..., tuple[int, str, str, str]]


@pytest.fixture
def backtested(command: Command, trained: TrainedModel, tmp_path: Path) -> Backtested:
    """Run the command; returns its code, what it printed, and the page."""

    def execute(source: Path, *options: object) -> tuple[int, str, str, str]:
        page = tmp_path / "page.html"
        usual = ["--input", source, "--model", trained.tag, "--backtest", "--report", page]
        answer = command(advise.main, *usual, *options)
        return answer.code, answer.out, answer.err, page.read_text(encoding="utf-8") if page.exists() else ""

    return execute


def test_the_page_contains_all_that_it_shows_and_the_terminal_says_the_same(backtested: Backtested) -> None:
    code, out, err, page = backtested(DATA)
    assert code == 0
    assert "the model learned from this very file" in err
    assert "Read with care" in page
    assert page.count('src="data:image/png;base64,') == page.count("<img") == 3
    assert not re.search(r'(?:src|href)="(?!data:|#)|url\(|@import', page)
    lines = out.splitlines()
    assert lines[1] == "1,526 whole months of 265 subscribers billed after advice from the months before"
    assert SELECTED in lines  # under the coverage of the intervals of advised switches
    assert SELECTED[1:] in page
    (advice,) = [line for line in lines if line.startswith(ADVICE)]
    for number in re.findall(r"[\d.,]+\d", advice):
        assert number in page
    assert sha256(DATA) in page


def test_a_file_that_the_model_has_not_seen_gets_no_warning(backtested: Backtested, tmp_path: Path) -> None:
    code, out, err, page = backtested(write_months(tmp_path / "months.csv", lines_of_months(60)))
    assert (code, err) == (0, "")
    assert "Read with care" not in page
    assert out.splitlines()[0].endswith(" rows")


def test_without_any_case_the_command_leaves_the_previous_page(backtested: Backtested, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("previous")
    source = write_months(tmp_path / "months.csv", ["a,2018-01,Smart,1,2,3,4,2,1"])
    code, out, err, page = backtested(source)
    assert (code, out, page) == (2, "", "previous")
    assert err.startswith(f"error: {source}: expected a whole month after another one of the same subscriber")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["months.csv", "page.html"]


def test_where_everything_was_rejected_the_error_says_so(backtested: Backtested, tmp_path: Path) -> None:
    source = write_months(tmp_path / "months.csv", ["a,2018-01,Gold,1,2,3,4,2,1", "a,2018-02,Gold,1,2,3,4,2,1"])
    code, out, err, _ = backtested(source)
    assert (code, out) == (2, "")
    assert "; 2 of 2 rows were rejected, the first: row 1, plan: expected Smart, Ultra or an empty cell" in err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "expected --output for advice, or --backtest, which writes a report instead; found neither"),
        (["--output", "x.csv", "--backtest"], "or --backtest, which writes a report instead; found both"),
        (["--output", "x.csv", "--report", "x.html"], "expected --report together with --backtest, found it without"),
    ],
)
def test_either_advice_or_a_backtest_is_asked_for(command: Command, options: list[str], sentence: str) -> None:
    answer = command(advise.main, "--input", DATA, *options)
    assert answer.code == 2
    assert sentence in answer.err
