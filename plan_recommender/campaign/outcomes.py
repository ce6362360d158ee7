"""What a campaign changed: bills and churn of those who were to be contacted, less those of the control group.

Everybody counts in the group that the hash drew, whether they were reached, switched or not (intention to treat). The
comparison is fair because the draw made the groups alike; any other one is not. Subscribers who switched differ from
those who did not in more than the switch, and those advised to switch from those advised to keep their plan.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.campaign.design import CONFIDENCE
from plan_recommender.campaign.groups import Lottery
from plan_recommender.campaign.intervals import Difference, Values, mean_difference, rate_difference
from plan_recommender.campaign.selection import SUBSCRIBER
from plan_recommender.data.cells import shortened
from plan_recommender.data.table_reader import TableReader
from plan_recommender.errors import TableError

_MAX_BILL: Final = 1e12
"""Largest bill or credit (currency) that is believed."""

_SHOWN: Final = 5
"""Subscribers or rows that a message names."""

_GROUPS: Final = {"contact": True, "control": False, "": None}


@dataclass(frozen=True)
class Members:
    """Who takes part in a campaign; equal places of the arrays belong together. In memory is every one of them."""

    places: dict[str, int]
    """The place of each subscriber, in the order of the campaign's file."""
    contact: npt.NDArray[np.bool_]
    """Whether they are a contact, otherwise they are a control; shape (members,)."""
    saving: Values
    """What each is expected to save (currency per month), shape (members,)."""


class Outcomes(NamedTuple):
    """What became of the members, in their order; NaN is not known."""

    bill: Values
    """Currency per month, shape (members,)."""
    left: Values
    """1 of who left, otherwise 0; shape (members,)."""
    others: int
    """Rows about subscribers who take no part in the campaign; they count nowhere."""


class GroupOutcome(NamedTuple):
    """What became of one group."""

    members: int
    bills: int
    """Members whose bill is known."""
    mean_bill: float | None
    expected_saving: float | None
    """Mean of what those with a bill were expected to save (currency per month)."""
    known: int
    """Members of whom is known whether they left."""
    left: int
    left_without_bill: int
    missing: int
    """Members of whom the bill, or whether they left, is not known."""


class Realised(NamedTuple):
    """What contacts saved, by the bills of the controls, as a share of what they were expected to save if all switched.

    The interval is that of the bills; the expected saving is taken as it is.
    """

    share: float
    low: float
    high: float


class Effect(NamedTuple):
    """Contacts less controls, by intention to treat; amounts in the currency, rates from 0 to 1."""

    contact: GroupOutcome
    control: GroupOutcome
    bill: Difference | None
    """Of the mean bill; None: fewer than two bills of a group are known."""
    realised: Realised | None
    """None: there is no such comparison, or no saving was expected."""
    churn: Difference | None
    """None: it is known of nobody in a group whether they left."""
    missing: Difference
    """Of the share of members with a missing outcome."""
    missing_names: list[str]
    """The first few of them."""
    others: int
    """Rows of outcomes about subscribers who take no part."""


def read_members(
    table: TableReader, saving: str = "expected_saving", subscriber: str = SUBSCRIBER, group: str = "group"
) -> Members:
    """Read who takes part from the file that a campaign wrote; rows with an empty group are left out.

    Args:
        table: the file.
        saving: column with the expected saving (currency per month).
        subscriber: column with the subscribers.
        group: column with the groups.

    Raises:
        TableError: a column is missing, a cell is none of what it may be, a subscriber stands there twice, or there is
            no contact or no control.
    """
    positions = table.positions([subscriber, group, saving])
    problems = _Problems(table)
    places: dict[str, int] = {}
    contacts: list[bool] = []
    savings: list[float] = []
    for number, (name, drawn, amount) in _rows(table, positions):
        if drawn not in _GROUPS:
            problems.add(number, f"{group}: expected contact, control or an empty cell, found {shortened(drawn)}")
        elif (is_contact := _GROUPS[drawn]) is not None:
            if name in places:
                problems.add(number, f"{subscriber}: {shortened(name)} stands in the file twice")
                continue
            value = _number(amount, table.format.decimal)
            if value is None or value != value:
                problems.add(number, f"{saving}: expected an amount, found {shortened(amount)}")
            places[name] = len(places)
            contacts.append(is_contact)
            savings.append(nan if value is None else value)
    problems.raise_if_any()
    if all(contacts) or not any(contacts):
        raise TableError(
            f"{table.path}: expected contacts and controls in the column {group!r}, found {sum(contacts):,} contacts "
            f"and {len(contacts) - sum(contacts):,} controls: without both there is nothing to compare"
        )
    return Members(places, np.array(contacts), np.array(savings))


def check_groups(members: Members, campaign: str, control: float) -> None:
    """Draw everybody again, and refuse groups that are not those of the campaign: somebody changed the file.

    Raises:
        TableError: a member is not in the group that the hash draws.
        ConfigError: the name or the share is not possible.
    """
    lottery = Lottery(campaign, control)
    other = [
        name
        for name, place in members.places.items()
        if (lottery.group(lottery.draw(name)) == "contact") != members.contact[place]
    ]
    if other:
        raise TableError(
            f"campaign {campaign}: expected the groups that its name draws with control {control:g}, found other ones "
            f"for {len(other):,} of {len(members.places):,} subscribers, such as {_first(other)}"
        )


def read_outcomes(table: TableReader, members: Members) -> Outcomes:
    """Read what became of the members: columns `subscriber`, `bill` and `left` (0 or 1); empty cells are not known.

    Raises:
        TableError: a column is missing, a cell is none of what it may be, a member stands there twice, or nobody there
            is a member.
    """
    positions = table.positions([SUBSCRIBER, "bill", "left"])
    problems = _Problems(table)
    bill, left = np.full(len(members.places), nan), np.full(len(members.places), nan)
    seen = np.zeros(len(members.places), dtype=np.bool_)
    others = 0
    for number, (name, amount, gone) in _rows(table, positions):
        place = members.places.get(name)
        if place is None:
            others += 1
            continue
        if seen[place]:
            problems.add(number, f"{SUBSCRIBER}: {shortened(name)} stands in the file twice")
        seen[place] = True
        paid, flag = _number(amount, table.format.decimal), _number(gone, table.format.decimal)
        if paid is None:
            problems.add(number, f"bill: expected an amount or an empty cell, found {shortened(amount)}")
        if flag is None or (flag not in (0, 1) and flag == flag):
            problems.add(number, f"left: expected 0, 1 or an empty cell, found {shortened(gone)}")
        bill[place], left[place] = nan if paid is None else paid, nan if flag is None else flag
    problems.raise_if_any()
    if not seen.any():
        raise TableError(
            f"{table.path}: expected outcomes of contacts and controls, found none of them in {others:,} rows: does "
            "the file write subscribers as that of the campaign does?"
        )
    return Outcomes(bill, left, others)


def compare(members: Members, outcomes: Outcomes) -> Effect:
    """Compare contacts with controls, with 95 % intervals.

    A missing bill is left out of the mean of its group, and so is a missing `left`. Where more of one group is missing
    than of the other, the rest of the groups may no longer be alike; `missing` says so.
    """
    contact, control = (_group(members, outcomes, of) for of in (members.contact, ~members.contact))
    paid = ~np.isnan(outcomes.bill)
    bill: Difference | None = None
    realised: Realised | None = None
    churn: Difference | None = None
    if min(contact.bills, control.bills) >= 2:
        bill = mean_difference(
            outcomes.bill[paid & members.contact], outcomes.bill[paid & ~members.contact], CONFIDENCE
        )
        if expected := contact.expected_saving:
            realised = Realised(-bill.difference / expected, -bill.high / expected, -bill.low / expected)
    if min(contact.known, control.known) >= 1:
        churn = rate_difference((contact.left, contact.known), (control.left, control.known), CONFIDENCE)
    missing = _is_missing(outcomes)
    return Effect(
        contact=contact,
        control=control,
        bill=bill,
        realised=realised,
        churn=churn,
        missing=rate_difference((contact.missing, contact.members), (control.missing, control.members), CONFIDENCE),
        missing_names=[name for name, place in members.places.items() if missing[place]][:_SHOWN],
        others=outcomes.others,
    )


def _group(members: Members, outcomes: Outcomes, of: npt.NDArray[np.bool_]) -> GroupOutcome:
    paid = of & ~np.isnan(outcomes.bill)
    bills = int(paid.sum())
    return GroupOutcome(
        members=int(of.sum()),
        bills=bills,
        mean_bill=float(outcomes.bill[paid].mean()) if bills else None,
        expected_saving=float(members.saving[paid].mean()) if bills else None,
        known=int((of & ~np.isnan(outcomes.left)).sum()),
        left=int((of & (outcomes.left == 1)).sum()),
        left_without_bill=int((of & ~paid & (outcomes.left == 1)).sum()),
        missing=int((of & _is_missing(outcomes)).sum()),
    )


def _is_missing(outcomes: Outcomes) -> npt.NDArray[np.bool_]:
    return np.isnan(outcomes.bill) | np.isnan(outcomes.left)


def _rows(table: TableReader, positions: list[int]) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Give the number of each row, from 1, and three of its cells without blanks around them."""
    number = 0
    one, two, three = positions
    for chunk in table.chunks():
        for row in chunk.rows:
            number += 1
            cells = row + [""] * (max(positions) + 1 - len(row))
            yield number, (cells[one].strip(), cells[two].strip(), cells[three].strip())


def _number(cell: str, decimal: str) -> float | None:
    """Read a number; NaN if the cell is empty, None if it holds anything else."""
    if not cell:
        return nan
    if "_" in cell or not cell.isascii() or (decimal != "." and "." in cell):
        return None
    try:
        value = float(cell.replace(decimal, "."))
    except ValueError:
        return None
    return value if abs(value) <= _MAX_BILL else None


def _first(names: list[str]) -> str:
    return ", ".join(map(shortened, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")


class _Problems:
    """Rows of a table that are not what they should be: all are counted, and the first few told."""

    def __init__(self, table: TableReader) -> None:
        self._path = table.path
        self._count = 0
        self._told: list[str] = []

    def add(self, number: int, problem: str) -> None:
        self._count += 1
        if len(self._told) < _SHOWN:
            self._told.append(f"row {number}, {problem}")

    def raise_if_any(self) -> None:
        if self._count:
            more = self._count - len(self._told)
            raise TableError(f"{self._path}: {'; '.join(self._told)}" + (f"; and {more:,} more" if more else ""))
