"""What a campaign prints: exact amounts, the groups, the design, and sentences that follow from the intervals."""

from decimal import Decimal

import numpy as np
import pytest

from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.campaign.economics import Economics, Figures, Segment
from plan_recommender.campaign.outcomes import Members, Outcomes, compare
from plan_recommender.campaign.selection import Summary
from plan_recommender.report.campaign_tables import design_lines, economics_table, effect_table, summary_lines
from tools.server import ROOT

ROUBLES = load_tariffs(ROOT / "tariffs.yaml")
DOLLARS = load_tariffs(ROOT / "examples" / "tariffs_usd.yaml")

ECONOMICS = """\
expected per month, USD, if everybody advised to switch does and uses as much as before
                     subscribers    switch         saving        revenue       ARPU      after on cheapest   after
everybody                  1,234       100       1,200.05      -1,200.05      81.04      80.06       80.0%   88.1%
Ultimate                   1,234       100       1,200.05      -1,200.05      81.04      80.06       80.0%   88.1%
light                        400         0           0.00           0.00      75.00      75.00      100.0%  100.0%
heavy from 16,384 MB         834       100       1,200.05      -1,200.05      83.93      82.49       70.4%   82.4%
revenue is the operator's change: what subscribers save, it loses; ARPU is the mean expected bill
on cheapest is the share of subscribers on the plan that is expected to cost them least; how satisfied they are is in \
no table
12 more hold no plan that is known; no figure counts them"""


def test_economics_are_shown_exactly() -> None:
    everybody = Figures(1234, 100, 120_005, 10_000_005, 9_880_000, 987, 1087)
    light = Figures(400, 0, 0, 3_000_000, 3_000_000, 400, 400)
    heavy = Figures(*(one - other for one, other in zip(everybody, light, strict=True)))
    found = Economics(
        everybody, [("Ultimate", everybody)], [Segment("light", 0, light), Segment("heavy", 16_384, heavy)], 12
    )
    assert economics_table(found, DOLLARS) == ECONOMICS


def test_a_file_without_subscribers_is_shown() -> None:
    lines = economics_table(Economics(Figures(), [], [], 0), ROUBLES).splitlines()
    assert lines[2].split() == ["everybody", "0", "0", "0.00", "0.00", "0.00", "0.00", "0.0%", "0.0%"]


def test_the_summary_says_who_is_contacted_and_what_it_costs() -> None:
    found = Summary(64, 7, 15, 3, 20, 7_324_465, 1_096_398, Decimal("1280.50"))
    assert summary_lines(found, ROUBLES) == (
        "contacts: 64; controls, not to be contacted: 7\n"
        "advised to switch, but beyond the limit of contacts: 15\n"
        "advised to switch, but on the exclusion list of 20: 3\n"
        "if every contact switched, they would save 73,244.65 RUB a month, which the operator loses; contacting them "
        "costs 1,280.50 RUB, once"
    )
    plain = summary_lines(found._replace(beyond_limit=0, listed=0, excluded=0, cost=None), ROUBLES)
    assert "limit" not in plain
    assert "exclusion" not in plain
    assert "costs" not in plain
    assert "check that it writes subscribers alike" in summary_lines(found._replace(excluded=0), ROUBLES)


def test_the_design_says_what_groups_can_show() -> None:
    assert design_lines(900, 100, control=0.1) == (
        "to see a change of churn (80% power, two-sided 5%, looked at once, at the end):\n"
        "  6.0% to 7.0%: 9,540 contacts and as many controls; with a control group of 10%, 48,745 contacts and 5,417 "
        "controls\n"
        "  6.0% to 8.0%: 2,554 contacts and as many controls; with a control group of 10%, 13,269 contacts and 1,475 "
        "controls\n"
        "  6.0% to 10.0%: 721 contacts and as many controls; with a control group of 10%, 3,834 contacts and 426 "
        "controls\n"
        "this campaign (900 contacts, 100 controls) can show a fall to about 1.3% or a rise to about 15.5%, from 6.0%"
    )
    assert design_lines(5, 0).endswith("this campaign has 5 contacts and 0 controls, so it shows nothing")
    assert design_lines(1, 0).endswith("this campaign has 1 contact and 0 controls, so it shows nothing")
    assert "this campaign (40 contacts, 1 control) can show " in design_lines(40, 1)
    assert "no change at all" in design_lines(1, 1, churn=0.5)


@pytest.mark.parametrize(
    ("saved", "driven_away", "bill", "churn"),
    [
        (100.0, 0.3, "bill: lower. The bills of contacts are lower", "churn: higher. Contacts left more often"),
        (-100.0, -0.1, "bill: higher. The bills of contacts are higher", "churn: lower. Contacts left less often"),
        (0.0, 0.0, "bill: cannot tell. Whether contacts pay less", "churn: cannot tell. Whether contacts leave"),
    ],
)
def test_the_sentences_follow_from_the_intervals(saved: float, driven_away: float, bill: str, churn: str) -> None:
    contact = np.arange(400) % 2 == 0
    paid = 500 + np.arange(400) // 2 % 50 - saved * contact
    left = (np.arange(400) // 2 % 100 < 100 * (0.1 + driven_away * contact)).astype(np.float64)
    members = Members({str(i): i for i in range(400)}, contact, np.full(400, 200.0))
    text = effect_table(compare(members, Outcomes(paid, left, 0)), "RUB")
    assert f"\n{bill}" in text
    assert f"\n{churn}" in text
    assert f"saving: {saved / 200:.0%} of what was expected" in text
    assert "caution" not in text
    assert "everybody counts in the group that was drawn, whether they switched or not" in text


def test_what_is_missing_is_named_with_what_it_may_do() -> None:
    contact = np.arange(200) < 100
    bill, left = np.full(200, 500.0), np.zeros(200)
    bill[:20] = np.nan
    left[0] = 1
    members = Members({f"n{i}": i for i in range(200)}, contact, np.full(200, 100.0))
    text = effect_table(compare(members, Outcomes(bill, left, 3)), "RUB")
    assert "bill or churn is missing of n0, n1, n2, n3, n4 and 15 more" in text
    assert "caution: outcomes of contacts are missing more often than those of controls" in text
    assert "caution: 1 who left has no bill" in text
    assert "3 rows are about subscribers who take no part in the campaign; they count nowhere" in text
    bill[1], left[1] = np.nan, 1
    text = effect_table(compare(members, Outcomes(bill, left, 1)), "RUB")
    assert "caution: 2 who left have no bill" in text
    assert "1 row is about subscribers who take no part in the campaign; it counts nowhere" in text


def test_too_few_outcomes_tell_nothing() -> None:
    members = Members({"a": 0, "b": 1}, np.array([True, False]), np.ones(2))
    text = effect_table(compare(members, Outcomes(np.full(2, np.nan), np.full(2, np.nan), 0)), "RUB")
    assert "bill: cannot tell. Too few bills of a group are known." in text
    assert "churn: cannot tell. Too few outcomes of a group are known." in text
