"""What people read of a backtest of the advice: a page with its pictures in it, and a table in the terminal."""

from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.evaluation.backtest import CLAIRVOYANT, CONFIDENCE, KEEP, Backtest, Rule
from plan_recommender.model.record import ModelRecord
from plan_recommender.report.backtest_plots import draw_advised, draw_coverage, draw_savings
from plan_recommender.report.page_parts import embedded_picture, environment

IN_SAMPLE = (
    "the model learned from this very file how usage varies from month to month, so the figures are better than for "
    "other subscribers"
)
"""Said of a backtest on the months that the model's profile of habits was fitted to."""

SELECTED = (
    "a 90 % interval of a saving is one for a plan that is named beforehand; of switches, which are advised because "
    "they look good, it holds fewer"
)
"""Said beside the coverage of the intervals of advised switches."""


def render_backtest(
    found: Backtest, tariffs: Tariffs, tag: str, record: ModelRecord, file: str, in_sample: bool
) -> str:
    """Write the report as one self-contained HTML page.

    Args:
        found: the results.
        tariffs: those that were billed by.
        tag: of the model.
        record: of the model.
        file: name of the table of months.
        in_sample: whether the model's profile of habits was fitted to it.
    """
    page = environment().get_template("backtest.html.j2")
    return page.render(
        b=found,
        tariffs=tariffs,
        tag=tag,
        record=record,
        file=file,
        in_sample=IN_SAMPLE if in_sample else None,
        confidence=CONFIDENCE,
        clairvoyant=CLAIRVOYANT,
        selected=SELECTED,
        amount=lambda value: _amount(value, tariffs),
        advised=embedded_picture(draw_advised(found, tariffs.names), "Bars: what the holders of each plan are advised"),
        savings=embedded_picture(draw_savings(found, tariffs.currency), "Histogram of what advised switches saved"),
        coverage=embedded_picture(draw_coverage(found), "Coverage of the intervals of the bill by group"),
    )


def backtest_table(found: Backtest, tariffs: Tariffs) -> str:
    """Show what every rule overpays, the share of switches, and the coverage of the intervals."""
    interval = f"{CONFIDENCE:.0%} interval"
    width = max(len(rule.name) for rule in found.rules)
    title = f"overpaid a month, {tariffs.currency}"
    lines = [f"{title:<{width}} {'mean':>10} {interval:>24} {'right':>7} {'of keeping':>11} {interval:>16}"]
    for rule in found.rules:
        ends = "" if rule.name == CLAIRVOYANT else f"{_amount(rule.low, tariffs)} to {_amount(rule.high, tariffs)}"
        lines.append(
            f"{rule.name:<{width}} {_amount(rule.overpaid, tariffs):>10} {ends:>24} {rule.right:>7.1%} {_ratio(rule)}"
        )
    lines.append(f"a switch was advised in {found.switches:.1%} of {found.cases:,} months")
    lines.append(f"{'90 % intervals that held the bill':<{width}} {'months':>10} {'plan held':>10} {'all plans':>10}")
    lines += [
        f"{group.group:<{width}} {group.cases:>10,} {group.held:>10.1%} {group.pooled:>10.1%}"
        for group in found.coverage
    ]
    if found.expectations:
        title = f"switches, {tariffs.currency}: saving"
        lines.append(
            f"{title:<{width}} {'switches':>10} {'expected':>10} {'real':>10} {'told p':>8} {'saved':>8} "
            f"{'interval':>9}"
        )
    lines += [
        f"{group.group:<{width}} {group.cases:>10,} {_amount(group.expected, tariffs):>10} "
        f"{_amount(group.real, tariffs):>10} {group.p_saves:>8.1%} {group.saved:>8.1%} {group.covered:>9.1%}"
        for group in found.expectations
    ]
    if found.expectations:
        lines.append(SELECTED)
    return "\n".join(line.rstrip() for line in lines)


def _ratio(rule: Rule) -> str:
    if rule.ratio is None or rule.name in (KEEP, CLAIRVOYANT):
        return ""
    return f"{rule.ratio:>11.3f} {f'{rule.ratio_low:.3f} to {rule.ratio_high:.3f}':>16}"


def _amount(value: float, tariffs: Tariffs) -> str:
    return f"{value:,.{tariffs.decimals}f}"
