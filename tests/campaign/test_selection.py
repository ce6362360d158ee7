"""Who takes part: only who would change plan, the largest savings, and contacts and controls that are comparable."""

import tracemalloc
from collections.abc import Sequence
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from plan_recommender.billing.advice import Advice
from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.campaign import selection
from plan_recommender.campaign.groups import Draw, Group, Lottery
from plan_recommender.campaign.selection import Campaign, Summary, contact_limit, read_excluded
from plan_recommender.data.table_file import open_table
from plan_recommender.errors import ConfigError, TableError
from tests.campaign.advices import advice, keep, switch
from tools.server import ROOT

TARIFFS = load_tariffs(ROOT / "tariffs.yaml")

GROUPS: tuple[Group, Group] = ("contact", "control")

People = Sequence[tuple[str, Advice]]


def test_nobody_but_who_would_change_plan_takes_part() -> None:
    people: People = [("a", keep()), ("b", switch(100)), ("c", advice(None, [5, 9], "choose", 0)), ("d", switch(50))]
    for control in (0.0, 0.999):
        groups, summary = run(people, control)
        assert [name for name, group in groups.items() if group] == ["b", "d"]
        assert summary.contacts + summary.controls == 2
        assert summary.contacts_saving + summary.controls_saving == 150


def test_who_is_excluded_is_neither_contact_nor_control_nor_paid_for() -> None:
    people = [(str(i), switch(i)) for i in range(1000)]
    gone = frozenset(str(i) for i in range(0, 1000, 2)) | {"nobody"}
    groups, summary = run([(f" {name} ", of) for name, of in people], 0.3, excluded=gone, contact_cost=Decimal("1.5"))
    assert {name.strip() for name, group in groups.items() if group} == {str(i) for i in range(1, 1000, 2)}
    assert (summary.excluded, summary.listed) == (500, 501)
    assert summary.cost == Decimal("1.5") * summary.contacts
    everybody, _ = run(people, 0.3)
    assert all(group in ("", everybody[name.strip()]) for name, group in groups.items()), "a group is nobody else's"


@pytest.mark.parametrize("limit", [1, 2, 17, 100, 5000])
@pytest.mark.parametrize("largest", [3, 1000], ids=["many equal savings", "few equal savings"])
def test_a_limit_takes_the_largest_savings_in_any_order_of_rows(limit: int, largest: int) -> None:
    rng = np.random.default_rng(limit)
    people = [(str(i), switch(int(saving))) for i, saving in enumerate(rng.integers(1, largest + 1, 1000))]
    people += [(f"k{i}", keep()) for i in range(100)]
    groups, summary = run(people, 0.2, limit=limit)
    lottery = Lottery("spring", 0.2)
    ranked = sorted(people[:1000], key=lambda who: (who[1].saving.expected, lottery.draw(who[0]).order), reverse=True)
    drawn = [lottery.group(lottery.draw(name)) for name, _ in ranked]
    contacts = [i for i, group in enumerate(drawn) if group == "contact"]
    end = contacts[limit] if len(contacts) > limit else len(ranked)
    assert {name: group for name, group in groups.items() if group} == {ranked[i][0]: drawn[i] for i in range(end)}
    assert summary.contacts == min(limit, len(contacts))
    assert summary.beyond_limit == len(ranked) - end
    shuffled = [people[i] for i in rng.permutation(len(people))]
    assert run(shuffled, 0.2, limit=limit) == (groups, summary)


def test_contacts_and_controls_of_a_limit_rank_alike_in_every_arrangement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all 2⁹ ways to draw nine subscribers the mean ranks differ by exactly nothing, whatever the limit."""
    for limit in (1, 2, 4):
        differences, of_ending = [], []
        for arrangement in product(GROUPS, repeat=9):
            monkeypatch.setattr(selection, "Lottery", lambda *_, groups=arrangement: _Drawn(groups))
            found, _ = run([(str(i), switch(100 - i)) for i in range(9)], 0.5, limit=limit)
            differences += _rank_difference(list(found.values()))
            of_ending += _rank_difference(_ending_with_a_contact(arrangement, limit))
        assert len(differences) > 100
        assert sum(differences) == pytest.approx(0, abs=1e-9)
        assert sum(of_ending) > 10, "the control: a list that ends with its last contact has contacts of lower savings"


def test_savings_of_both_groups_are_alike_and_a_list_filled_with_contacts_is_not() -> None:
    rng = np.random.default_rng(5)
    savings = np.round(rng.gamma(1, 300, 1500)).astype(int) + 1
    people = [(str(i), switch(int(saving))) for i, saving in enumerate(savings)]
    fair, filled = [], []
    for i in range(60):
        groups, _ = run(people, 0.2, limit=300, name=f"campaign {i}")
        of = {group: [savings[int(n)] for n, g in groups.items() if g == group] for group in ("contact", "control")}
        fair.append(np.mean(of["contact"]) - np.mean(of["control"]))
        everybody = Lottery(f"campaign {i}", 0.2)
        controls = [savings[int(n)] for n, _ in people if everybody.group(everybody.draw(n)) == "control"]
        filled.append(np.mean(of["contact"]) - np.mean(controls))
    assert abs(z(fair)) < 3.3
    assert z(filled) > 20, "the control: contacts of the largest savings beside all controls"


def test_with_a_limit_nobody_is_assigned_before_everybody_was_added() -> None:
    limited, free = (Campaign("spring", 0.1, TARIFFS, limit=limit) for limit in (1, None))
    for campaign in (limited, free):
        campaign.add("a", switch(1), 0.0)
        campaign.assign("a", "switch", 1)
    free.add("b", switch(2), 0.0)
    with pytest.raises(ValueError, match="expected everybody to be added before anybody is assigned"):
        limited.add("b", switch(2), 0.0)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file() -> None:
    assert held_memory(40_000) < held_memory(4_000) + 20_000
    assert held_memory(4_000, limit=None) < 20_000


@pytest.mark.parametrize(
    ("top", "budget", "cost", "limit"),
    [
        (None, None, None, None),
        (10, None, None, 10),
        (10, None, "2.5", 10),
        (None, "0.3", "0.1", 3),
        (None, "100", "7", 14),
        (10, "100", "7", 10),
        (20, "100", "7", 14),
        (None, "1e30", "0.0001", 10**34),
    ],
)
def test_a_budget_pays_for_whole_contacts(
    top: int | None, budget: str | None, cost: str | None, limit: int | None
) -> None:
    assert contact_limit(top, decimal(budget), decimal(cost)) == limit


@pytest.mark.parametrize(
    ("top", "budget", "cost", "complaint"),
    [
        (0, None, None, "top: expected at least 1 contact, found 0"),
        (None, "100", None, "budget: expected the cost of a contact beside it"),
        (None, "1", "2", "budget: expected enough for one contact at 2, found 1"),
        (None, "1", "0", "contact cost: expected an amount of more than 0, found 0"),
        (None, "-1", "1", "budget: expected an amount of more than 0, found -1"),
        (None, "NaN", "1", "budget: expected an amount of more than 0, found NaN"),
    ],
)
def test_a_limit_that_is_not_possible_is_refused(
    top: int | None, budget: str | None, cost: str | None, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        contact_limit(top, decimal(budget), decimal(cost))


@pytest.mark.parametrize(
    ("amount", "decimals", "possible"),
    [("12.5", 2, True), ("12.50", 2, True), ("12.500", 2, True), ("12.505", 2, False), ("12.5", 0, False),
     ("1e3", 0, True), ("0.001", 2, False), ("10.0", 0, True), ("1.00000000000000000000000000000001", 4, False)],
)  # fmt: skip
def test_an_amount_has_at_most_the_decimals_of_the_currency(amount: str, decimals: int, possible: bool) -> None:
    if possible:
        assert contact_limit(7, None, decimal(amount), decimals) == 7
        return
    said = f"expected an amount with at most {decimals} decimals, found"
    with pytest.raises(ConfigError, match=f"contact cost: {said}"):
        contact_limit(7, None, decimal(amount), decimals)
    with pytest.raises(ConfigError, match=f"budget: {said}"):
        contact_limit(7, decimal(amount), None, decimals)


def test_an_exclusion_list_is_read_by_its_column(tmp_path: Path) -> None:
    path = tmp_path / "excluded.csv"
    path.write_text("reason,subscriber\nasked, 1001 \nasked,1002\nnobody,\nshort\n")
    with open_table(path) as table:
        assert read_excluded(table) == {"1001", "1002"}
    path.write_text("subscriber\n")
    with open_table(path) as table:
        assert read_excluded(table) == set(), "nobody is excluded by a list of nobody"
    for text, complaint in (("id\n1\n", "missing subscriber"), ("reason,subscriber\nasked,\n", "found none")):
        path.write_text(text)
        with open_table(path) as table, pytest.raises(TableError, match=complaint):
            read_excluded(table)


class _Drawn:
    """A lottery with given groups of the subscribers 0, 1, 2 and so on."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups

    def draw(self, subscriber: str) -> Draw:
        return Draw(int(subscriber), 0)

    def group(self, draw: Draw) -> Group:
        return self._groups[draw.share]


def _ending_with_a_contact(groups: Sequence[Group], limit: int) -> list[str]:
    """The selection up to the last contact that a limit allows, instead of up to the first one that it does not."""
    contacts = [i for i, group in enumerate(groups) if group == "contact"]
    return list(groups[: contacts[limit - 1] + 1] if len(contacts) >= limit else groups)


def _rank_difference(groups: Sequence[str]) -> list[float]:
    """The mean rank of contacts less that of controls, in a list if there are both."""
    ranks = {group: [i for i, g in enumerate(groups) if g == group] for group in ("contact", "control")}
    if not all(ranks.values()):
        return []
    return [float(np.mean(ranks["contact"]) - np.mean(ranks["control"]))]


def run(
    people: People,
    control: float,
    limit: int | None = None,
    name: str = "spring",
    excluded: frozenset[str] = frozenset(),
    contact_cost: Decimal | None = None,
) -> tuple[dict[str, str], Summary]:
    """Both passes: the group of each subscriber, and the summary."""
    campaign = Campaign(name, control, TARIFFS, limit=limit, excluded=excluded, contact_cost=contact_cost)
    for who, of in people:
        campaign.add(who, of, 1000.0)
    groups = {who: campaign.assign(who, of.kind, of.saving.expected) for who, of in people}
    return dict(groups), campaign.summary()


def held_memory(subscribers: int, limit: int | None = 50) -> int:
    """Bytes that a campaign holds after that many subscribers."""
    rng = np.random.default_rng(0)
    campaign = Campaign("spring", 0.1, TARIFFS, limit=limit)
    campaign.add("first", switch(1), 1.0)
    tracemalloc.start()
    try:
        for i, saving in enumerate(rng.integers(1, 10_000, subscribers).tolist()):
            campaign.add(str(i), switch(saving), float(i % 64))
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def z(values: list[float]) -> float:
    return float(np.mean(values) / (np.std(values, ddof=1) / np.sqrt(len(values))))
