"""Simulated campaigns: the truth of a world is what many draws find, and no advice has seen the month that is kept."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plan_recommender.billing.advice import AdvicePolicy, Adviser
from plan_recommender.billing.bill import Biller
from plan_recommender.billing.forecast import Month
from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.campaign.outcomes import Members
from plan_recommender.campaign.selection import Campaign
from plan_recommender.campaign.simulation import Case, Participants, World, churn_that_pays, enrol, hold_out, simulate
from plan_recommender.data.month_intake import read_histories
from plan_recommender.data.month_panel import SHIPPED_MONTHS
from plan_recommender.data.month_spill import History
from plan_recommender.errors import TableError
from plan_recommender.training.habits import learn_habits
from tests.campaign.advices import keep, switch
from tools.server import ROOT

TARIFFS = load_tariffs(ROOT / "tariffs.yaml")
UNIT = 100
DRAWS = 400


def members(count: int) -> Participants:
    """Half of them contacts; who pays more saves more."""
    held = np.linspace(600, 3000, count)
    who = Members({str(i): i for i in range(count)}, np.arange(count) % 2 == 0, held / 3)
    return Participants(who, held, advised=held * 2 / 3)


@pytest.mark.parametrize("world", [(0.4, 0.06, 0.1), (1.0, 0.1, 0.0), (0.0, 0.05, 0.05)], ids=str)
def test_the_truth_of_a_world_is_the_mean_of_what_is_found(world: tuple[float, float, float]) -> None:
    follow, churn, churn_of_contacts = world
    assumed = World(follow=follow, churn=churn, churn_of_contacts=churn_of_contacts)
    # Contacts and controls pay alike here, so that nothing but the contact tells them apart.
    who = members(1000)._replace(held=np.full(1000, 1500.0), advised=np.full(1000, 900.0))
    found = [simulate(who, assumed, seed) for seed in range(DRAWS)]
    bills = np.array([each.effect.bill.difference for each in found if each.effect.bill])
    churns = np.array([each.effect.churn.difference for each in found if each.effect.churn])
    assert len(bills) == len(churns) == DRAWS
    assert bills.mean() == pytest.approx(found[0].true_bill, abs=4 * bills.std() / DRAWS**0.5 + 1e-9)
    assert churns.mean() == pytest.approx(found[0].true_churn, abs=4 * churns.std() / DRAWS**0.5 + 1e-9)
    assert found[0].true_bill == pytest.approx((1 - churn_of_contacts) * (1500 - 600 * follow) - (1 - churn) * 1500)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    world = World(follow=0.4, churn=0.06, churn_of_contacts=0.1)
    held = []
    for seed in range(DRAWS):
        groups = np.random.default_rng(seed + 1_000_000).random(600) < 0.5
        who = members(600)
        found = simulate(who._replace(members=replace(who.members, contact=groups)), world, seed)
        assert found.effect.bill is not None
        assert found.effect.churn is not None
        held.append(
            [
                found.effect.bill.low <= found.true_bill <= found.effect.bill.high,
                found.effect.churn.low <= found.true_churn <= found.effect.churn.high,
            ]
        )
    assert np.mean(held, axis=0) == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / DRAWS) ** 0.5)


def test_the_same_seed_gives_the_same_campaign_and_another_one_another() -> None:
    world = World(follow=0.4, churn=0.06, churn_of_contacts=0.1)
    first, again, other = (simulate(members(200), world, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_churn_that_pays_is_one_at_which_nothing_is_earned_or_lost() -> None:
    who = members(300)
    world = World(follow=0.1, churn=0.2, churn_of_contacts=0.3)
    churn = churn_that_pays(who, world)
    assert churn is not None
    assert 0 < churn < world.churn
    assert simulate(who, world.model_copy(update={"churn_of_contacts": churn}), 1).true_bill == pytest.approx(0)
    assert churn_that_pays(who, world.model_copy(update={"follow": 1.0})) is None
    assert churn_that_pays(who, world.model_copy(update={"follow": 0.0})) == pytest.approx(world.churn)


def test_everybody_is_advised_before_the_last_whole_month_and_billed_for_it() -> None:
    adviser = Adviser(TARIFFS, learn_habits(SHIPPED_MONTHS, TARIFFS).profile, AdvicePolicy())
    little, much = Month(30, 200, 5, 5_000), Month(30, 200, 5, 35_000)
    part = Month(1, 5, 0, 100, None, 0.2)
    (case,) = hold_out(
        [
            History("a", [1, 2, 3], [0, 0, 0], [little, much, part]),
            History("one month", [1], [0], [much]),
            History("no plan", [1, 2], [None, None], [little, much]),
            History("never whole", [1, 2], [0, 0], [part, part]),
        ],
        adviser,
    )
    assert case.subscriber == "a"
    assert case.advice == adviser.advise(0, [little])
    biller = Biller(TARIFFS)
    assert list(case.bills) == [bill.total for bill in biller.bills(biller.billed(*much[:5]))]
    assert (case.mb_used, case.minutes) == (5_000, 200)
    with pytest.raises(TableError, match="expected a whole month after another one"):
        hold_out([History("one month", [1], [0], [much])], adviser)


def test_only_who_is_advised_to_switch_is_enrolled() -> None:
    cases = [Case(str(i), switch(200 + i) if i % 2 else keep(), 1.0, 1.0, (1000, 1500)) for i in range(200)]
    campaign = Campaign("spring", 0.5, TARIFFS)
    found = enrol(campaign, cases, UNIT)
    assert list(found.members.places) == [case.subscriber for case in cases if case.advice.kind == "switch"]
    groups = Counter(found.members.contact.tolist())
    assert (groups[True], groups[False]) == (campaign.summary().contacts, campaign.summary().controls)
    assert found.members.saving.tolist() == [(200 + i) / UNIT for i in range(1, 200, 2)]
    assert set(found.held.tolist()) == {15.0}  # `switch` is about holders of the second plan
    assert set(found.advised.tolist()) == {10.0}
    with pytest.raises(TableError, match="expected contacts and controls"):
        enrol(Campaign("spring", 0.0, TARIFFS), cases, UNIT)


def test_histories_are_read_whole_or_not_at_all(tmp_path: Path) -> None:
    lines = SHIPPED_MONTHS.read_text().splitlines()[:40]
    months = tmp_path / "months.csv"
    months.write_text("\n".join(lines) + "\n")
    found = read_histories(months, TARIFFS.names, rounds_calls=True)
    assert sum(len(history.used) for history in found) == len(lines) - 1
    assert [history.subscriber for history in found] == sorted({line.split(",")[0] for line in lines[1:]})
    months.write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(TableError, match="months only, found 1 other rows: row 40, month: expected each month"):
        read_histories(months, TARIFFS.names, rounds_calls=True)
    assert [path.name for path in tmp_path.iterdir()] == ["months.csv"]
