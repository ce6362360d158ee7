"""Campaigns tried out on months that are known by now, in worlds whose effect is given.

Each subscriber is advised from the months before their last whole one, and that month is billed exactly on every plan.
Who follows the advice and who leaves is in no table, so both are assumptions of a `World`, and drawn at random. What
a comparison of the groups finds can then be held against what is true in that world. It is assumed that usage does not
change with the plan. None of this says what a real campaign would do.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.billing.advice import Advice, Adviser
from plan_recommender.billing.bill import Biller
from plan_recommender.campaign.intervals import Values
from plan_recommender.campaign.outcomes import Effect, Members, Outcomes, compare
from plan_recommender.campaign.selection import Campaign
from plan_recommender.data.month_spill import History
from plan_recommender.errors import TableError


class World(BaseModel):
    """What contacts and controls do; shares from 0 to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    follow: Annotated[float, Field(ge=0, le=1, description="share of the contacts who switch")]
    churn: Annotated[float, Field(ge=0, le=1, description="share of the controls who leave")]
    churn_of_contacts: Annotated[float, Field(ge=0, le=1, description="share of the contacts who leave")]


class Case(NamedTuple):
    """One subscriber, advised before a month that is known by now."""

    subscriber: str
    advice: Advice
    mb_used: float
    """Mean of the months before (MB per month)."""
    minutes: float
    """Mean of the months before (minutes per month)."""
    bills: tuple[int, ...]
    """Of that month on every plan, in the order of the tariffs (smallest units)."""


class Simulated(NamedTuple):
    """One campaign in one world."""

    world: World
    effect: Effect
    """What the comparison of the groups finds."""
    true_bill: float
    """What a contact changes of the bill in this world, on average (currency per month); who left pays 0."""
    true_churn: float
    """What it changes of the churn (-1 to 1)."""


class Participants(NamedTuple):
    """Who takes part in a campaign, with the bills of the month after the advice; arrays have shape (members,)."""

    members: Members
    held: Values
    """Bills on the plan held (currency per month)."""
    advised: Values
    """Bills on the plan advised."""


def hold_out(histories: Iterable[History], adviser: Adviser) -> list[Case]:
    """Advise every subscriber from the months before their last whole one, and bill that one.

    Subscribers without a whole month after another one, and those whose plan was not known before it, are left out.

    Raises:
        TableError: nobody is left.
    """
    biller = Biller(adviser.tariffs)
    cases = []
    for history in histories:
        place = max((i for i, month in enumerate(history.used) if month.active_share == 1), default=0)
        held, before = history.before(place)
        if not before or held is None:
            continue
        bills = biller.bills(biller.billed(*history.used[place][:5]))
        cases.append(
            Case(
                history.subscriber,
                adviser.advise(held, before),
                sum(month.mb_used for month in before) / len(before),
                sum(month.minutes for month in before) / len(before),
                tuple(bill.total for bill in bills),
            )
        )
    if not cases:
        raise TableError("expected a whole month after another one of a subscriber whose plan was known, found none")
    return cases


def enrol(campaign: Campaign, cases: Sequence[Case], unit: int) -> Participants:
    """Put everybody through a campaign that was just set up: first all are added, then all are assigned.

    Args:
        campaign: says who takes part, and who is a contact.
        cases: everybody who is advised.
        unit: smallest units of an amount of the currency.

    Raises:
        TableError: there are no contacts, or no controls.
    """
    for case in cases:
        campaign.add(case.subscriber, case.advice, case.mb_used)
    groups = [campaign.assign(case.subscriber, case.advice.kind, case.advice.saving.expected) for case in cases]
    chosen = [(case, group) for case, group in zip(cases, groups, strict=True) if group]
    contact = np.array([group == "contact" for _, group in chosen], dtype=np.bool_)
    if contact.all() or not contact.any():
        raise TableError(f"expected contacts and controls, found {contact.sum():,} of {len(contact):,} to be contacts")
    members = Members(
        {case.subscriber: place for place, (case, _) in enumerate(chosen)},
        contact,
        np.array([case.advice.saving.expected / unit for case, _ in chosen]),
    )
    return Participants(
        members,
        held=np.array([case.bills[case.advice.held or 0] / unit for case, _ in chosen]),
        advised=np.array([case.bills[case.advice.advised] / unit for case, _ in chosen]),
    )


def simulate(participants: Participants, world: World, seed: int) -> Simulated:
    """Draw who switches and who leaves, and compare the groups as if that had been seen; who leaves pays 0.

    Args:
        participants: of the campaign.
        world: the assumptions.
        seed: of the draws.
    """
    members, held, advised = participants
    rng = np.random.default_rng(seed)
    switches = members.contact & (rng.random(len(held)) < world.follow)
    leaves = rng.random(len(held)) < np.where(members.contact, world.churn_of_contacts, world.churn)
    bills = np.where(leaves, 0.0, np.where(switches, advised, held))
    contacted, left_alone = _expected_bills(participants, world)
    return Simulated(
        world=world,
        effect=compare(members, Outcomes(bills, leaves.astype(np.float64), 0)),
        true_bill=contacted - left_alone,
        true_churn=world.churn_of_contacts - world.churn,
    )


def churn_that_pays(participants: Participants, world: World) -> float | None:
    """Compute the churn of contacts (0 to 1) at which the operator's revenue is what it is without the campaign.

    It leaves the cost of the contacts out. None: contacts pay so much less that not even a churn of 0 is enough.
    """
    if_none_leaves, left_alone = _expected_bills(participants, world.model_copy(update={"churn_of_contacts": 0.0}))
    churn = 1 - left_alone / if_none_leaves
    return churn if churn >= 0 else None


def _expected_bills(participants: Participants, world: World) -> tuple[float, float]:
    """Compute what all participants would pay on average if they were contacted, and if they were controls."""
    held, advised = float(participants.held.mean()), float(participants.advised.mean())
    contacted = (1 - world.churn_of_contacts) * (world.follow * advised + (1 - world.follow) * held)
    return contacted, (1 - world.churn) * held
