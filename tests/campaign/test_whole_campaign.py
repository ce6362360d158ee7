"""A campaign from the advice to the verdict: what advise.py does with the library, with outcomes that are made up."""

import csv
from decimal import Decimal
from pathlib import Path

import numpy as np

from plan_recommender.billing.advice import Advice
from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.campaign.export import contact_list
from plan_recommender.campaign.outcomes import check_groups, compare, read_members, read_outcomes
from plan_recommender.campaign.selection import Campaign, Summary, contact_limit, read_excluded
from plan_recommender.data.table_file import open_table
from tests.campaign.advices import advised_file
from tools.server import ROOT

NAME, CONTROL, COST = "spring", 0.3, Decimal("12.5")
TARIFFS = load_tariffs(ROOT / "tariffs.yaml")


def test_from_the_advice_to_the_verdict(tmp_path: Path) -> None:
    rows = advised_file(TARIFFS, 1500, seed=9)
    eligible = [name for name, advice, _ in rows if advice.kind == "switch"]
    gone = eligible[::7]
    (tmp_path / "exclude.csv").write_text("\n".join(["subscriber", *gone]))
    summary = _campaign(tmp_path, rows)

    with open_table(tmp_path / "out.csv") as table:
        members = read_members(table)
    check_groups(members, NAME, CONTROL)
    contacts = [name for name, place in members.places.items() if members.contact[place]]
    assert set(members.places) <= set(eligible) - set(gone)
    assert len(contacts) == summary.contacts == 160  # 2,000 pay for 160 contacts at 12.50
    assert summary.cost == 2000
    assert summary.controls == len(members.places) - 160 > 30
    assert summary.excluded == len(gone)
    with (tmp_path / "contacts.csv").open(newline="") as file:
        listed = [row["subscriber"] for row in csv.DictReader(file)]
    assert sorted(listed) == sorted(contacts)

    _write_outcomes(tmp_path / "outcomes.csv", rows, set(contacts))
    with open_table(tmp_path / "outcomes.csv") as table:
        found = compare(members, read_outcomes(table, members))
    assert found.bill is not None
    assert found.realised is not None
    assert found.bill.verdict == "lower"
    assert found.realised.low < 1 < found.realised.high, "every contact switched and saved what was expected"
    assert found.others == 1500 - len(members.places)
    assert found.contact.missing == found.control.missing == 0


def _campaign(folder: Path, rows: list[tuple[str, Advice, float]]) -> Summary:
    """Write the file of the campaign and the list of contacts."""
    with open_table(folder / "exclude.csv") as table:
        excluded = read_excluded(table)
    limit = contact_limit(None, Decimal(2000), COST)
    campaign = Campaign(NAME, CONTROL, TARIFFS, limit=limit, contact_cost=COST, excluded=excluded)
    for name, advice, mb_used in rows:
        campaign.add(name, advice, mb_used)
    with (
        (folder / "out.csv").open("w", newline="") as file,
        contact_list(folder / "contacts.csv", NAME, TARIFFS.currency) as contacts,
    ):
        out = csv.writer(file)
        out.writerow(["subscriber", "advice", "expected_saving", "group"])
        for name, advice, _ in rows:
            saving = advice.saving.expected
            group = campaign.assign(name, advice.kind, saving)
            out.writerow([name, advice.kind, TARIFFS.amount(saving), group])
            contacts.add(group, name, "held", "advised", str(TARIFFS.amount(saving)), "Switch.")
    assert campaign.economics().everybody.subscribers + campaign.economics().without_plan == len(rows)
    return campaign.summary()


def _write_outcomes(path: Path, rows: list[tuple[str, Advice, float]], contacts: set[str]) -> None:
    """Make up bills: everybody pays what was expected and some noise, on the plan advised if they were contacted."""
    rng = np.random.default_rng(10)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["subscriber", "bill", "left"])
        for name, advice, _ in rows:
            plan = advice.advised if name in contacts or advice.held is None else advice.held
            bill = TARIFFS.amount(advice.plans[plan].expected) + rng.normal(0, 50)
            out.writerow([name, f"{bill:.2f}", int(rng.random() < 0.06)])
