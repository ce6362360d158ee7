"""Outcomes: read without guessing, compared by the groups that were drawn, with intervals that cover what is true."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from plan_recommender.campaign.groups import Lottery
from plan_recommender.campaign.intervals import Difference
from plan_recommender.campaign.outcomes import (
    Effect,
    Members,
    Outcomes,
    check_groups,
    compare,
    read_members,
    read_outcomes,
)
from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.table_file import open_table
from plan_recommender.errors import TableError

SIMULATIONS = 1000
SUBSCRIBERS = 600  # advised to switch, in each simulation
CONTROL = 0.3
NOMINAL = 0.95
TOLERANCE = 3 * (NOMINAL * (1 - NOMINAL) / SIMULATIONS) ** 0.5  # 3 standard errors of the simulated coverage

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


class World(NamedTuple):
    """One simulated campaign: what is true, and what is seen of those advised to switch."""

    contact: Mask
    switched: Mask
    bill: Values
    left: Values
    kept_bill: Values
    """Bills of as many subscribers who were advised to keep their plan."""
    kept_left: Values
    bill_effect: float
    churn_effect: float


Analysis = Callable[[World], tuple[Difference, Difference]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("saved", "driven_away"), [(0.0, 0.0), (300.0, 0.06), (300.0, 0.0), (-100.0, -0.04)],
    ids=["no effect", "bills and churn", "bills only", "the other way"],
)  # fmt: skip
def test_intervals_cover_the_true_effect_as_often_as_they_say(saved: float, driven_away: float) -> None:
    bills, churn = coverage(by_intention_to_treat, saved, driven_away)
    assert bills == pytest.approx(NOMINAL, abs=TOLERANCE)
    assert churn == pytest.approx(NOMINAL, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["advised against not advised", "switched against not", "groups ignored"])
def test_an_analysis_that_does_not_use_the_groups_would_be_noticed(name: str) -> None:
    """The control of the test above: each of these compares subscribers who were not alike before."""
    bills, churn = coverage(WRONG[name], 300.0, 0.06)
    assert bills < NOMINAL - 10 * TOLERANCE
    assert churn < NOMINAL - 10 * TOLERANCE


def test_without_an_effect_one_verdict_in_twenty_is_wrong_and_with_one_most_are_right() -> None:
    for saved, driven_away, least, most in ((0.0, 0.0, 0.02, 0.08), (400.0, 0.15, 0.9, 1.0)):
        found = [by_intention_to_treat(world(i, saved, driven_away)) for i in range(SIMULATIONS)]
        bills, churn = (np.mean([each[j].verdict != "cannot tell" for each in found]) for j in (0, 1))
        assert least <= bills <= most
        assert least <= churn <= most
    assert {bill.verdict for bill, _ in found} <= {"lower", "cannot tell"}
    assert {churn.verdict for _, churn in found} <= {"higher", "cannot tell"}


def test_files_of_a_campaign_are_compared(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text(
        "subscriber,advice,expected_saving,group\na,switch,100,contact\nb,switch,200,contact\nc,switch,150,control\n"
        "d,keep,0,\ne,switch,90,control\nf,switch,60,contact\n"
    )
    (tmp_path / "outcomes.csv").write_text(
        "left,bill,subscriber\n0,550,c\n0,500,a\n1,,b\n1,650,e\n0,550,f\n0,9,d\n0,9,z\n"
    )
    found = effect(tmp_path / "out.csv", tmp_path / "outcomes.csv")
    assert found.contact._asdict() == {
        "members": 3, "bills": 2, "mean_bill": 525, "expected_saving": 80,
        "known": 3, "left": 1, "left_without_bill": 1, "missing": 1,
    }  # fmt: skip
    assert found.control._asdict() == {
        "members": 2, "bills": 2, "mean_bill": 600, "expected_saving": 120,
        "known": 2, "left": 1, "left_without_bill": 0, "missing": 0,
    }  # fmt: skip
    assert found.bill is not None
    assert found.bill.difference == -75
    assert found.realised is not None
    assert found.realised.share == 75 / 80
    assert found.realised.low == pytest.approx(-found.bill.high / 80)
    assert found.churn is not None
    assert found.churn.difference == pytest.approx(1 / 3 - 1 / 2)
    assert found.missing_names == ["b"]
    assert found.others == 2


def test_missing_outcomes_are_counted_and_named_and_unequal_ones_are_noticed() -> None:
    n = 1000
    members = Members({str(i): i for i in range(n)}, np.arange(n) < n // 2, np.full(n, 100.0))
    bill, left = np.full(n, 500.0), np.zeros(n)
    bill[:100] = np.nan
    left[900:] = np.nan
    alike = compare(members, Outcomes(bill, left, 0))
    assert (alike.contact.missing, alike.control.missing) == (100, 100)
    assert alike.missing_names == ["0", "1", "2", "3", "4"]
    assert alike.missing.verdict == "cannot tell"
    left[900:] = 0
    assert compare(members, Outcomes(bill, left, 0)).missing.verdict == "higher"


def test_too_few_outcomes_say_nothing() -> None:
    members = Members({"a": 0, "b": 1}, np.array([True, False]), np.array([10.0, 10.0]))
    found = compare(members, Outcomes(np.array([5.0, 6.0]), np.array([0.0, np.nan]), 0))
    assert (found.bill, found.realised, found.churn) == (None, None, None)
    assert found.contact.mean_bill == 5


def test_text_with_other_signs_is_read(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("subscriber;expected_saving;group\n a ;1,5;contact\nb;2,5;control\n")
    (tmp_path / "outcomes.csv").write_text("subscriber;bill;left\na;-0,25; 1\nb ;7;0,0\n")
    format = TableFormat(sep=";", decimal=",")
    with open_table(tmp_path / "out.csv", format) as table:
        members = read_members(table)
    assert (list(members.places), members.saving.tolist()) == (["a", "b"], [1.5, 2.5])
    with open_table(tmp_path / "outcomes.csv", format) as table:
        outcomes = read_outcomes(table, members)
    assert (outcomes.bill.tolist(), outcomes.left.tolist()) == ([-0.25, 7], [1, 0])


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (["a,5,2"], "row 1, left: expected 0, 1 or an empty cell, found '2'"),
        (["a,5,yes"], "row 1, left: expected 0, 1 or an empty cell, found 'yes'"),
        (["z,x,y", "a,free,0"], "row 2, bill: expected an amount or an empty cell, found 'free'"),
        (["a,inf,0"], "row 1, bill: expected an amount or an empty cell, found 'inf'"),
        (["a,nan,0"], "row 1, bill: expected an amount or an empty cell, found 'nan'"),
        (["a,1_000,0"], "row 1, bill: expected an amount or an empty cell, found '1_000'"),
        (["a,5,0", "b,5,0", "a,5,0"], "row 3, subscriber: 'a' stands in the file twice"),
        (["a,x,0"] + ["b,x,0"] * 9, "and 13 more"),
    ],
)
def test_outcomes_that_are_none_are_refused_by_row(tmp_path: Path, rows: list[str], complaint: str) -> None:
    members = Members({"a": 0, "b": 1}, np.array([True, False]), np.array([1.0, 1.0]))
    path = tmp_path / "outcomes.csv"
    path.write_text("\n".join(["subscriber,bill,left", *rows]))
    with open_table(path) as table, pytest.raises(TableError, match="outcomes.csv: .*" + complaint.replace("'", ".")):
        read_outcomes(table, members)


@pytest.mark.parametrize("rows", [[], ["c,5,0", "d,5,0"]])
def test_outcomes_of_nobody_who_takes_part_are_refused(tmp_path: Path, rows: list[str]) -> None:
    members = Members({"a": 0, "b": 1}, np.array([True, False]), np.array([1.0, 1.0]))
    path = tmp_path / "outcomes.csv"
    path.write_text("\n".join(["subscriber,bill,left", *rows]))
    complaint = f"expected outcomes of contacts and controls, found none of them in {len(rows)} rows"
    with open_table(path) as table, pytest.raises(TableError, match=complaint):
        read_outcomes(table, members)


def test_a_credit_note_is_a_bill(tmp_path: Path) -> None:
    members = Members({"a": 0, "b": 1}, np.array([True, False]), np.array([1.0, 1.0]))
    path = tmp_path / "outcomes.csv"
    path.write_text("subscriber,bill,left\na,-12.5,0\nb,5,0\n")
    with open_table(path) as table:
        assert read_outcomes(table, members).bill.tolist() == [-12.5, 5]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (["a,1,contact", "b,1,Control"], "row 2, group: expected contact, control or an empty cell, found 'Control'"),
        (["a,1,contact", "b,1,control", "a,1,control"], "row 3, subscriber: 'a' stands in the file twice"),
        (["a,,contact", "b,1,control"], "row 1, expected_saving: expected an amount, found ''"),
        (["a,1,contact", "b,1,contact"], "found 2 contacts and 0 controls: without both there is nothing to compare"),
        (["a,1,", "b,1,"], "found 0 contacts and 0 controls"),
    ],
)
def test_a_campaign_file_that_cannot_be_compared_is_refused(tmp_path: Path, rows: list[str], complaint: str) -> None:
    path = tmp_path / "out.csv"
    path.write_text("\n".join(["subscriber,expected_saving,group", *rows]))
    with open_table(path) as table, pytest.raises(TableError, match=complaint):
        read_members(table)


def test_groups_that_somebody_changed_are_noticed() -> None:
    lottery = Lottery("spring", 0.3)
    names = [str(i) for i in range(50)]
    contact = np.array([lottery.group(lottery.draw(name)) == "contact" for name in names])
    members = Members({name: i for i, name in enumerate(names)}, contact, np.zeros(50))
    check_groups(members, "spring", 0.3)
    contact[7] = not contact[7]
    with pytest.raises(TableError, match=r"found other ones for 1 of 50 subscribers, such as '7'$"):
        check_groups(members, "spring", 0.3)
    with pytest.raises(TableError, match="found other ones for"):
        check_groups(members, "summer", 0.3)


def effect(campaign: Path, outcomes: Path) -> Effect:
    with open_table(campaign) as table:
        members = read_members(table)
    with open_table(outcomes) as table:
        return compare(members, read_outcomes(table, members))


@cache
def drawn() -> list[Mask]:
    """Who is a contact, in each simulated campaign; the hash draws them."""
    names = [str(i) for i in range(SUBSCRIBERS)]
    lotteries = [Lottery(f"simulation {i}", CONTROL) for i in range(SIMULATIONS)]
    return [np.array([each.group(each.draw(name)) == "contact" for name in names]) for each in lotteries]


def world(i: int, saved: float, driven_away: float) -> World:
    """Simulate a campaign in which a contact lets 40 % switch, mostly those with high bills.

    Args:
        i: the number of the simulation.
        saved: what a switch saves (currency per month), on average, so that contacts save 0.4 of it.
        driven_away: rise of the churn of contacts (share), whether they switch or not.
    """
    rng = np.random.default_rng([i, 2026])
    contact = drawn()[i]
    size = rng.gamma(3, 1, SUBSCRIBERS)  # bills are skewed
    eager = rng.random(SUBSCRIBERS) < np.where(size > 3, 0.7, (0.4 - 0.7 * (1 - P_SMALL)) / P_SMALL)
    switched = contact & eager
    saving = saved * rng.gamma(4, 0.25, SUBSCRIBERS)
    left = rng.random(SUBSCRIBERS) < 0.08 + 0.04 * (~eager) + driven_away * contact
    kept_bill = 550 + 20 * rng.gamma(2, 1, SUBSCRIBERS)
    kept_left = (rng.random(SUBSCRIBERS) < 0.02).astype(np.float64)
    bill = 500 + 250 * size - saving * switched
    return World(contact, switched, bill, left.astype(np.float64), kept_bill, kept_left, -0.4 * saved, driven_away)


P_SMALL = 0.5768099188731564  # chance that a gamma variable of shape 3 is at most 3


def by_intention_to_treat(seen: World) -> tuple[Difference, Difference]:
    return _compare(seen.contact, seen.bill, seen.left)


def advised_against_not_advised(seen: World) -> tuple[Difference, Difference]:
    advised = np.arange(2 * SUBSCRIBERS) < SUBSCRIBERS
    return _compare(
        advised, np.concatenate([seen.bill, seen.kept_bill]), np.concatenate([seen.left, seen.kept_left])
    )  # fmt: skip


def switched_against_not(seen: World) -> tuple[Difference, Difference]:
    return _compare(seen.switched, seen.bill, seen.left)


def groups_ignored(seen: World) -> tuple[Difference, Difference]:
    return _compare(np.arange(SUBSCRIBERS) % 2 == 0, seen.bill, seen.left)


WRONG: dict[str, Analysis] = {
    "advised against not advised": advised_against_not_advised,
    "switched against not": switched_against_not,
    "groups ignored": groups_ignored,
}


def _compare(first: Mask, bill: Values, left: Values) -> tuple[Difference, Difference]:
    members = Members({str(i): i for i in range(len(first))}, first, np.ones(len(first)))
    found = compare(members, Outcomes(bill, left, 0))
    assert found.bill is not None
    assert found.churn is not None
    return found.bill, found.churn


def coverage(analysis: Analysis, saved: float, driven_away: float) -> tuple[float, float]:
    """Shares of the simulations in which the intervals of bills and churn cover the true effect."""
    covered = np.zeros(2)
    for i in range(SIMULATIONS):
        seen = world(i, saved, driven_away)
        for j, (found, true) in enumerate(
            zip(analysis(seen), (seen.bill_effect, seen.churn_effect), strict=True)
        ):  # fmt: skip
            covered[j] += found.low <= true <= found.high
    bills, churn = (covered / SIMULATIONS).tolist()
    return bills, churn
