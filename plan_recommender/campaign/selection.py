"""Who takes part in a campaign: who is advised to switch and not excluded, by expected saving, up to a limit.

The order of the steps keeps the two groups comparable:

1. Eligible is who is advised to switch and is not on the exclusion list. Nobody else is contacted, counted or paid for.
2. Every eligible subscriber is drawn into a group by the hash, whatever the saving.
3. All eligible subscribers, contacts and controls together, are ranked by expected saving. Those of equal saving stand
   in an order that the hash draws independently of the groups.
4. A limit of N contacts selects everybody who ranks before the contact number N + 1. These are N contacts, and the
   controls that stand between and around them. Controls cost nothing and are not counted by the limit.

To take the N largest savings first and then contact all of them would leave nobody to compare with. To fill the list
with N contacts and compare them with all controls would compare large savings with small ones. Here both groups come
from the same part of the ranking. Given where the contact number N + 1 stands, every arrangement of the N contacts and
the controls before it is equally likely, so that the comparison is one of a randomised experiment, whatever N is. (If
the list ended with the contact number N, its last member would always be a contact.)
"""

from decimal import Decimal
from fractions import Fraction
from heapq import heappush, heappushpop
from typing import Final, Literal, NamedTuple

from plan_recommender.billing.advice import Advice, Kind
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.campaign.economics import Economics, Ledger
from plan_recommender.campaign.groups import Draw, Group, Lottery
from plan_recommender.data.table_reader import TableReader
from plan_recommender.errors import ConfigError, TableError

SUBSCRIBER: Final = "subscriber"
"""The column of an exclusion list, and of a file of outcomes, that says who a row is about."""

_Rank = tuple[int, int]
"""Expected saving (smallest units), and the order of equal ones."""


class Summary(NamedTuple):
    """Who takes part in a campaign, and what it costs. Savings are those expected per month, in smallest units."""

    contacts: int
    controls: int
    beyond_limit: int
    """Eligible subscribers whose saving ranks too low for the limit of contacts."""
    excluded: int
    """Subscribers advised to switch who are on the exclusion list."""
    listed: int
    """Subscribers on the exclusion list."""
    contacts_saving: int
    """What all contacts together would save if each of them switched."""
    controls_saving: int
    cost: Decimal | None
    """Of the contacts (currency); None: the cost of a contact was not given."""


class Campaign:
    """One campaign over one file: first `add` everybody, then `assign` everybody.

    In memory are the exclusion list, `limit` + 1 ranks, and the sums of the ledger; without a limit `assign` can follow
    each `add` at once.
    """

    def __init__(
        self,
        name: str,
        control: float,
        tariffs: Tariffs,
        *,
        limit: int | None = None,
        contact_cost: Decimal | None = None,
        excluded: frozenset[str] = frozenset(),
    ) -> None:
        """Describe a campaign.

        Args:
            name: 1 to 64 bytes in UTF-8; another name draws other groups.
            control: share of the control group (0 to less than 1).
            tariffs: those by which everybody is advised.
            limit: largest number of contacts, as `contact_limit` gives it; None: no limit.
            contact_cost: cost of one contact (currency), for the summary.
            excluded: subscribers who take no part, as `read_excluded` gives them.

        Raises:
            ConfigError: the name or the share is not possible.
        """
        self.name = name.strip()
        self.is_limited = limit is not None
        """Whether everybody has to be added before anybody is assigned."""
        self._lottery = Lottery(name, control)
        self._ledger = Ledger(tariffs)
        self._limit, self._contact_cost, self._excluded = limit, contact_cost, excluded
        self._best: list[_Rank] = []  # a heap of the ranks of the best contacts, one more than the limit
        self._assigned = False
        self._counts = {"contact": 0, "control": 0, "beyond": 0, "excluded": 0}
        self._savings = {"contact": 0, "control": 0}

    def add(self, subscriber: str, advice: Advice, mb_used: float) -> None:
        """Take the advice of a subscriber, each subscriber once.

        Args:
            subscriber: who it is.
            advice: by the tariffs of the campaign.
            mb_used: mean data of the past months (MB per month), at least 0.

        Raises:
            ValueError: there is a limit, and somebody was assigned already by what it left of fewer subscribers.
        """
        if self._limit is not None and self._assigned:
            raise ValueError("expected everybody to be added before anybody is assigned, because there is a limit")
        self._ledger.add(advice, mb_used)
        if self._limit is None or advice.kind != "switch" or subscriber.strip() in self._excluded:
            return
        draw = self._lottery.draw(subscriber)
        if self._lottery.group(draw) == "contact":
            rank = (advice.saving.expected, draw.order)
            if len(self._best) <= self._limit:
                heappush(self._best, rank)
            else:
                heappushpop(self._best, rank)

    def assign(self, subscriber: str, kind: Kind, saving: int) -> Group | Literal[""]:
        """Say which group a subscriber is in, and count them, each subscriber once.

        With a limit, everybody has to be added before.

        Args:
            subscriber: who it is.
            kind: of the advice.
            saving: expected by the advice (smallest units).

        Returns:
            `contact`, `control`, or an empty text for who takes no part.
        """
        self._assigned = True
        if kind != "switch":
            return ""
        if subscriber.strip() in self._excluded:
            self._counts["excluded"] += 1
            return ""
        draw = self._lottery.draw(subscriber)
        if not self._is_selected(saving, draw):
            self._counts["beyond"] += 1
            return ""
        group = self._lottery.group(draw)
        self._counts[group] += 1
        self._savings[group] += saving
        return group

    def economics(self) -> Economics:
        """Sum up what everybody who was added pays, and would pay if they followed the advice."""
        return self._ledger.economics()

    def summary(self) -> Summary:
        """Count those who were assigned."""
        contacts = self._counts["contact"]
        return Summary(
            contacts=contacts,
            controls=self._counts["control"],
            beyond_limit=self._counts["beyond"],
            excluded=self._counts["excluded"],
            listed=len(self._excluded),
            contacts_saving=self._savings["contact"],
            controls_saving=self._savings["control"],
            cost=None if self._contact_cost is None else contacts * self._contact_cost,
        )

    def _is_selected(self, saving: int, draw: Draw) -> bool:
        full = self._limit is not None and len(self._best) > self._limit
        return not full or (saving, draw.order) > self._best[0]


def contact_limit(
    top: int | None = None,
    budget: Decimal | None = None,
    contact_cost: Decimal | None = None,
    decimals: int | None = None,
) -> int | None:
    """Give the largest number of contacts, the smaller one of `top` and what the budget pays for; None: no limit.

    Args:
        top: largest number of contacts.
        budget: what all contacts together may cost (currency).
        contact_cost: of one (currency).
        decimals: of an amount of the currency; None: any number.

    Raises:
        ConfigError: an amount is not possible or has more decimals than the currency, the cost is missing, or nobody
            can be contacted.
    """
    for name, amount in (("contact cost", contact_cost), ("budget", budget)):
        if amount is not None and not (amount.is_finite() and amount > 0):
            raise ConfigError(f"{name}: expected an amount of more than 0, found {amount}")
        if amount is not None and decimals is not None and _decimals(amount) > decimals:
            raise ConfigError(f"{name}: expected an amount with at most {decimals} decimals, found {amount}")
    if top is not None and top < 1:
        raise ConfigError(f"top: expected at least 1 contact, found {top}")
    if budget is None:
        return top
    if contact_cost is None:
        raise ConfigError("budget: expected the cost of a contact beside it (--contact-cost), found none")
    affordable = int(Fraction(budget) / Fraction(contact_cost))
    if affordable < 1:
        raise ConfigError(f"budget: expected enough for one contact at {contact_cost}, found {budget}")
    return affordable if top is None else min(top, affordable)


def _decimals(amount: Decimal) -> int:
    """Count the decimals of an amount, without zeros at its end."""
    _, digits, exponent = amount.as_tuple()
    decimals = -int(exponent)
    zeros = next((i for i, digit in enumerate(reversed(digits)) if digit), len(digits))
    return max(decimals - zeros, 0)


def read_excluded(table: TableReader) -> frozenset[str]:
    """Read the subscribers of an exclusion list, without the blanks around them; other columns are ignored.

    Without a row, nobody is excluded.

    Raises:
        TableError: there is no column `subscriber`, no row has one, or the file cannot be read.
    """
    (position,) = table.positions([SUBSCRIBER])
    rows, found = 0, set()
    for chunk in table.chunks():
        rows += len(chunk)
        found |= {row[position].strip() for row in chunk.rows if len(row) > position} - {""}
    if rows and not found:
        raise TableError(f"{table.path}: expected subscribers in the column {SUBSCRIBER!r}, found none")
    return frozenset(found)
