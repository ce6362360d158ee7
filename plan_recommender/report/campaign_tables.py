"""What a campaign prints, as text of several lines: economics, contacts, the experiment's design, and its outcome."""

from typing import Final

from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.campaign.design import CONFIDENCE, POWER, Arms, sample_size, visible_change
from plan_recommender.campaign.economics import USUAL_CHURN, Economics, Figures
from plan_recommender.campaign.intervals import Difference
from plan_recommender.campaign.outcomes import Effect, GroupOutcome
from plan_recommender.campaign.selection import Summary
from plan_recommender.data.cells import readable

_RISES: Final = (1 / 6, 1 / 3, 2 / 3)
"""Rises of churn for which a design says how many subscribers they need, as shares of the churn: 6 % to 7, 8 and 10."""

_CHURN: Final = {
    "lower": "Contacts left less often than controls.",
    "higher": "Contacts left more often than controls: the contact seems to drive subscribers away.",
    "cannot tell": "Whether contacts leave more or less often than controls, these outcomes cannot tell.",
}
_BILLS: Final = {
    "lower": "The bills of contacts are lower than those of controls.",
    "higher": "The bills of contacts are higher than those of controls: the campaign saved them nothing.",
    "cannot tell": "Whether contacts pay less or more than controls, these outcomes cannot tell.",
}


def economics_table(found: Economics, tariffs: Tariffs) -> str:
    """Show what subscribers pay and would save, and the revenue, of everybody, by plan held and by use of data."""
    rows = [("everybody", found.everybody), *found.by_plan]
    for i, segment in enumerate(found.by_segment):
        ends = "" if i == 0 else f" from {segment.least:,} MB"
        rows.append((f"{segment.name}{ends}", segment.figures))
    width = max(len(name) for name, _ in rows)
    lines = [
        f"expected per month, {tariffs.currency}, if everybody advised to switch does and uses as much as before",
        f"{'':<{width}} {'subscribers':>11} {'switch':>9} {'saving':>14} {'revenue':>14} {'ARPU':>10} {'after':>10} "
        f"{'on cheapest':>11} {'after':>7}",
        *(f"{name:<{width}} {_figures(figures, tariffs)}" for name, figures in rows),
        "revenue is the operator's change: what subscribers save, it loses; ARPU is the mean expected bill",
        "on cheapest is the share of subscribers on the plan that is expected to cost them least; how satisfied they "
        "are is in no table",
    ]
    if found.without_plan:
        hold, them = ("holds", "it") if found.without_plan == 1 else ("hold", "them")
        lines.append(f"{found.without_plan:,} more {hold} no plan that is known; no figure counts {them}")
    return "\n".join(lines)


def summary_lines(found: Summary, tariffs: Tariffs) -> str:
    """Say who is contacted, who is not and why, what it costs, and what contacts would save if all of them switched."""
    lines = [f"contacts: {found.contacts:,}; controls, not to be contacted: {found.controls:,}"]
    if found.beyond_limit:
        lines.append(f"advised to switch, but beyond the limit of contacts: {found.beyond_limit:,}")
    if found.listed:
        lines.append(f"advised to switch, but on the exclusion list of {found.listed:,}: {found.excluded:,}")
        if not found.excluded:
            lines.append("nobody advised to switch is on the exclusion list: check that it writes subscribers alike")
    saving = f"{_money(found.contacts_saving, tariffs)} {tariffs.currency}"
    cost = (
        ""
        if found.cost is None
        else f"; contacting them costs {found.cost:,.{tariffs.decimals}f} {tariffs.currency}, once"
    )
    lines.append(f"if every contact switched, they would save {saving} a month, which the operator loses{cost}")
    return "\n".join(lines)


def design_lines(contacts: int, controls: int, churn: float = USUAL_CHURN, control: float | None = None) -> str:
    """Say how large groups show which change of churn, and which change these groups show.

    Args:
        contacts: size of the group.
        controls: size of the group.
        churn: expected of the controls within the time of the experiment (between 0 and 1).
        control: share of the control group; None: that of the groups.
    """
    lines = [
        f"to see a change of churn ({POWER:.0%} power, two-sided {1 - CONFIDENCE:.0%}, looked at once, at the end):"
    ]
    share = controls / max(1, contacts + controls) if control is None else control
    rises = [churn * (1 + rise) for rise in _RISES if churn * (1 + rise) <= 1]
    for after in rises:
        halves = sample_size(churn, after)
        line = f"  {churn:.1%} to {after:.1%}: {_count(halves.contacts, 'contact')} and as many controls"
        if 0 < share < 1:
            arms = sample_size(churn, after, share)
            line += f"; with a control group of {share:.0%}, {_groups(arms.contacts, arms.controls, ' and ')}"
        lines.append(line)
    if contacts and controls:
        visible = visible_change(churn, Arms(contacts, controls))
        ends = [
            f"a {name} to about {rate:.1%}"
            for name, rate in zip(("fall", "rise"), visible, strict=True)
            if rate is not None
        ]
        seen = " or ".join(ends) or "no change at all"
        lines.append(f"this campaign ({_groups(contacts, controls, ', ')}) can show {seen}, from {churn:.1%}")
    else:
        lines.append(f"this campaign has {_groups(contacts, controls, ' and ')}, so it shows nothing")
    return "\n".join(lines)


def effect_table(found: Effect, currency: str) -> str:
    """Show what became of contacts and controls, the differences with their intervals, and what they mean."""
    groups = (found.contact, found.control)
    interval = f"{CONFIDENCE:.0%} interval"
    lines = [
        f"{'':<26} {'contacts':>12} {'controls':>12} {'difference':>12}   {interval}",
        f"{'subscribers':<26} {groups[0].members:>12,} {groups[1].members:>12,}",
        f"{f'mean bill ({currency})':<26} {_bill(groups[0])} {_bill(groups[1])} {_difference(found.bill, ',.2f')}",
        f"{'left':<26} {_left(groups[0])} {_left(groups[1])} {_difference(found.churn, '.2%')}",
        f"{'outcome missing':<26} {groups[0].missing:>12,} {groups[1].missing:>12,} "
        f"{_difference(found.missing, '.2%')}",
        "everybody counts in the group that was drawn, whether they switched or not; shares differ by points",
    ]
    lines += _cautions(found)
    lines.append(
        f"bill: {found.bill.verdict}. {_BILLS[found.bill.verdict]}" if found.bill else _nothing("bill", "bills")
    )
    if found.realised is not None:
        lines.append(
            f"saving: {found.realised.share:z.0%} of what was expected if all of them switched "
            f"({found.realised.low:z.0%} to {found.realised.high:z.0%})"
        )
    churn = found.churn
    lines.append(f"churn: {churn.verdict}. {_CHURN[churn.verdict]}" if churn else _nothing("churn", "outcomes"))
    return "\n".join(lines)


def _cautions(found: Effect) -> list[str]:
    lines = []
    if found.missing_names:
        names = ", ".join(map(readable, found.missing_names))
        more = found.contact.missing + found.control.missing - len(found.missing_names)
        lines.append(f"bill or churn is missing of {names}" + (f" and {more:,} more" if more else ""))
    if found.missing.verdict != "cannot tell":
        lines.append(
            f"caution: outcomes of contacts are missing {'less' if found.missing.verdict == 'lower' else 'more'} often "
            "than those of controls, so that the rest of the groups may not be alike"
        )
    gone = found.contact.left_without_bill + found.control.left_without_bill
    if gone:
        have = "has" if gone == 1 else "have"
        lines.append(
            f"caution: {gone:,} who left {have} no bill, so bills are those of who stayed; write 0 if they pay 0"
        )
    if found.others:
        rows, count = ("row is", "it counts") if found.others == 1 else ("rows are", "they count")
        lines.append(f"{found.others:,} {rows} about subscribers who take no part in the campaign; {count} nowhere")
    return lines


def _groups(contacts: int, controls: int, between: str) -> str:
    return f"{_count(contacts, 'contact')}{between}{_count(controls, 'control')}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _nothing(what: str, needed: str) -> str:
    return f"{what}: cannot tell. Too few {needed} of a group are known."


def _figures(figures: Figures, tariffs: Tariffs) -> str:
    subscribers = max(1, figures.subscribers)
    return (
        f"{figures.subscribers:>11,} {figures.switches:>9,} {_money(figures.saving, tariffs):>14} "
        f"{_money(figures.revenue_change, tariffs):>14} {_mean(figures.before, subscribers, tariffs):>10} "
        f"{_mean(figures.after, subscribers, tariffs):>10} {figures.cheapest_before / subscribers:>11.1%} "
        f"{figures.cheapest_after / subscribers:>7.1%}"
    )


def _money(units: int, tariffs: Tariffs) -> str:
    """Write an amount exactly, with all its decimals."""
    whole, rest = divmod(abs(units), 10**tariffs.decimals)
    decimals = f".{rest:0{tariffs.decimals}}" if tariffs.decimals else ""
    return f"{'-' if units < 0 else ''}{whole:,}{decimals}"


def _mean(units: int, subscribers: int, tariffs: Tariffs) -> str:
    return f"{units / subscribers / 10**tariffs.decimals:,.2f}"


def _bill(group: GroupOutcome) -> str:
    return f"{'-' if group.mean_bill is None else f'{group.mean_bill:,.2f}':>12}"


def _left(group: GroupOutcome) -> str:
    return f"{f'{group.left:,} of {group.known:,}':>12}"


def _difference(found: Difference | None, form: str) -> str:
    if found is None:
        return f"{'-':>12}"
    difference, low, high = (format(value, f"+z{form}") for value in found)
    return f"{difference:>12}   {low} to {high}"
