"""Tables of the presentation as Markdown, in English or Spanish: prices, the campaign, what it earns and costs."""

from collections.abc import Sequence

from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.campaign.intervals import Difference
from plan_recommender.campaign.selection import Summary
from plan_recommender.campaign.simulation import Participants, Simulated, churn_that_pays
from plan_recommender.model.languages import Language
from plan_recommender.report.canvas import MB_PER_GB
from plan_recommender.report.picture_words import WORDS, figure, percent


def prices_table(tariffs: Tariffs, language: Language = "en") -> str:
    """Show what each plan includes, and what costs extra."""
    words = WORDS[language]
    rows = [
        [
            plan.name,
            figure(float(plan.fee), language),
            figure(plan.included.minutes, language),
            figure(plan.included.messages, language),
            figure(plan.included.mb_used / MB_PER_GB, language),
            *(
                _price(float(amount), language)
                for amount in (plan.beyond.minute, plan.beyond.message, plan.beyond.data_step)
            ),
        ]
        for plan in tariffs.plans
    ]
    return _table(words["prices"].format(currency=tariffs.currency).split("|"), rows)


def groups_table(found: Summary, tariffs: Tariffs, language: Language = "en") -> str:
    """Show who takes part in a campaign, what they would save if all of them switched, and what the contacts cost."""
    words = WORDS[language]
    unit = 10**tariffs.decimals
    rows = []
    for key, members, saving in (
        ("contacts", found.contacts, found.contacts_saving),
        ("controls", found.controls, found.controls_saving),
    ):
        cost = found.cost if key == "contacts" and found.cost is not None else 0
        numbers = (members, saving / unit, saving / unit / max(1, members), float(cost))
        rows.append([words[key], *(figure(value, language) for value in numbers)])
    return _table(words["groups"].format(currency=tariffs.currency).split("|"), rows)


def account_table(
    simulated: Sequence[Simulated],
    participants: Participants,
    summary: Summary,
    currency: str,
    language: Language = "en",
) -> str:
    """Show what the contacts of a campaign earn or cost the operator in each world: a month, and once.

    Amounts are the differences that the comparison of the groups found, times the number of contacts, with the 95 %
    interval; the last column is the churn of contacts at which revenue would be what it is without the campaign.
    """
    words = WORDS[language]
    rows = []
    for each in simulated:
        assert each.effect.bill is not None  # the groups are large
        assert each.effect.churn is not None
        pays = churn_that_pays(participants, each.world)
        rows.append(
            [
                words["leave"].format(
                    contacts=percent(each.world.churn_of_contacts, language),
                    controls=percent(each.world.churn, language),
                ),
                _interval(each.effect.bill, summary.contacts, language),
                figure(-float(summary.cost or 0), language),
                words[each.effect.churn.verdict],
                words["not even 0"] if pays is None else percent(pays, language, 1),
            ]
        )
    return _table(words["account"].format(currency=currency).split("|"), rows)


def _interval(found: Difference, times: int, language: Language) -> str:
    middle, low, high = (figure(times * value, language) for value in found)
    return f"{middle} [{low}; {high}]"


def _price(value: float, language: Language) -> str:
    return figure(value, language, 0 if value == round(value) else 2)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
