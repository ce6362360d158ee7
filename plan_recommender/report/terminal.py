"""The tables that train.py, retrain.py and evaluate.py print, as text of several lines."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from plan_recommender.config.settings import Metric, MoneySettings
from plan_recommender.data.cells import readable
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.subscribers import find_doubt
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.comparison import COMPARED, MetricInterval, PairedComparison
from plan_recommender.evaluation.metrics import Metrics
from plan_recommender.evaluation.money import BusinessImpact
from plan_recommender.evaluation.parity import DEFINITIONS, RATES, Comparison, ParityReport, Rate
from plan_recommender.model.store import RegisteredModel
from plan_recommender.training.known_rows import count_seen
from plan_recommender.training.selection import CandidateSummary, CrossValidated
from plan_recommender.training.split import row_keys

_MAX_REPEATED_SHARE = 0.01  # of the rows; with more repeated rows a warning is printed
_PLACES = {"within": "within", "beyond": "beyond", "cannot tell": "not told from"}


def table_lines(table: LabelledTable) -> list[str]:
    """Say what a table to train on holds, by whom its rows are split, and what speaks against that, as warnings."""
    missing = ", ".join(f"{count} in {name}" for name, count in table.missing.items() if count)
    lines = [
        f"{table.path}: {len(table.target):,} rows, {table.target.mean():.1%} Ultra, "
        f"empty cells imputed with the median: {missing or 'none'}"
    ]
    if table.groups is not None:
        assert table.subscribers is not None
        count = len(np.unique(table.subscribers))
        lines.append(
            f"{count:,} subscriber{'' if count == 1 else 's'} by column {readable(table.groups)!r}: each one's rows "
            "stay together in every split and interval"
        )
    doubt = find_doubt(table)
    if doubt is not None:
        lines.append(f"warning: {doubt.sentence}")
    repeated = len(table.target) - len(np.unique(row_keys(table)))
    if table.groups is None and repeated > _MAX_REPEATED_SHARE * len(table.target):
        lines.append(
            f"warning: {repeated:,} rows repeat another one: where one of them trains and the other tests, every "
            "figure is too good"
        )
    return lines


def candidates_table(results: Sequence[CrossValidated], summaries: Sequence[CandidateSummary]) -> str:
    """Show every candidate: mean ± half the interval of each metric, and the median fit time; * marks the champion."""
    lines = [f"{'candidate':<21}" + "".join(f" {name:>15}" for name in COMPARED) + f" {'fit':>8}"]
    for result, summary in zip(results, summaries, strict=True):
        cells = [f"{m.mean:.4f} ±{m.high - m.mean:.4f}" for m in summary.metrics.values()]
        name = f"{'*' if summary.champion else ' '} {summary.candidate}"
        seconds = float(np.median(result.fit_seconds))
        lines.append(f"{name:<21}" + "".join(f" {cell:>15}" for cell in cells) + f" {seconds * 1000:>5.0f} ms")
    return "\n".join(lines)


def metrics_table(model: Metrics, majority: Metrics, intervals: Mapping[Metric, MetricInterval]) -> str:
    """Show the metrics of a model, with the intervals of those that have one, beside those of the majority rule."""
    lines = [f"{'':<10} {'model':>8} {'interval':>17} {'majority rule':>14}"]
    for name in Metrics.model_fields:
        if name != "confusion_matrix":
            ends = intervals.get(cast(Metric, name))
            interval = "" if ends is None else f"{ends.low:.4f} to {ends.high:.4f}"
            lines.append(f"{name:<10} {getattr(model, name):>8.4f} {interval:>17} {getattr(majority, name):>14.4f}")
    return "\n".join(lines)


def calibration_line(found: Calibration) -> str:
    """Say how large the calibration error is, and what chance would make of a perfectly calibrated model."""
    slope = "" if found.slope is None else f", slope {found.slope:.2f} (1 is right)"
    return (
        f"calibration: expected error {found.ece:.4f}; a perfectly calibrated model shows {found.ece_by_chance:.4f} by "
        f"chance, and in 97.5 % of cases at most {found.ece_limit:.4f}{slope}"
    )


def money_lines(impact: BusinessImpact | None, money: MoneySettings) -> str:
    """Say what the decisions are expected to bring under the assumptions, or why that cannot be known."""
    if impact is None:
        return (
            f"money: cannot be known, because no column {money.plan_held!r} (money.plan_held) holds Smart or Ultra in "
            "every row, the plan that each subscriber is on"
        )
    row = impact.at_threshold
    return (
        f"money, per 1,000 rows and month, under the assumptions in section money: {row.to_ultra:.0f} contacts from "
        f"Smart to Ultra, {row.to_smart:.0f} from Ultra to Smart; net {row.net:,.0f} {impact.currency} "
        f"({impact.net_low:,.0f} to {impact.net_high:,.0f}); a contact pays from probability {impact.break_even:.2f}"
    )


def comparison_table(found: PairedComparison) -> str:
    """Show each metric of two models on the same rows, and their difference with its interval."""
    interval = f"{found.confidence:.0%} interval"
    lines = [f"{'':<10} {'first':>8} {'second':>8} {'difference':>11}   {interval}"]
    for name in COMPARED:
        metric = getattr(found, name)
        lines.append(
            f"{name:<10} {metric.first:>8.4f} {metric.second:>8.4f} {metric.difference:>+11.4f}   "
            f"{metric.low:+.4f} to {metric.high:+.4f}"
        )
    return "\n".join([*lines, "of brier and log_loss, less is better"])


def parity_table(report: ParityReport) -> str:
    """Show the rates of every group, of each rate the comparison that says most, and the verdict."""
    names = {group.group: readable(group.group) for group in report.groups}
    column = readable(report.column)
    width = max(len(column), *map(len, names.values()))
    by_subscriber = report.subscribers is not None
    undecided = report.verdict == "cannot tell"
    head = f"{'rows':>7}{'  subscribers' if by_subscriber else ''}{'  rows to tell' if undecided else ''}"
    lines = [f"{column:<{width}} {head}  {'  '.join(f'{name:<25}' for name in RATES)}".rstrip()]
    for group in report.groups:
        counts = f"{group.rows:>7}{f'  {group.subscribers:>11}' if by_subscriber else ''}"
        counts += f"  {group.rows_to_tell or '-':>12}" if undecided else ""
        rates = (group.selection_rate, group.true_positive_rate, group.false_positive_rate)
        cells = "  ".join(f"{_rate(rate, group.judged):<25}" for rate in rates)
        lines.append(f"{names[group.group]:<{width}} {counts}  {cells}".rstrip())
    if not all(group.judged for group in report.groups):
        lines.append(f"* not judged: fewer than {report.min_rows:,} rows (parity.min_rows)")
    if report.correlations is not None:
        correlations = ", ".join(f"{value:.2f}" for value in report.correlations.values())
        lines.append(f"two rows of a subscriber correlate by {correlations}; the intervals allow for it")
    lines.append(
        f"in brackets the {report.confidence:.0%} interval of each rate alone; below, intervals that hold for all "
        f"{len(report.comparisons):,} differences together with {report.confidence:.0%} confidence"
    )
    for rate in RATES:
        of_rate = [comparison for comparison in report.comparisons if comparison.rate == rate]
        found = max(of_rate, key=_weight)
        difference = "(no such rows)" if found.difference is None else f"{found.difference:+.3f}"
        more = sum(comparison.verdict == found.verdict for comparison in of_rate) - 1
        lines.append(
            f"{rate} ({DEFINITIONS[rate]}): {names[found.first]} less {names[found.second]} {difference} "
            f"({found.low:+.3f} to {found.high:+.3f}), {_PLACES[found.verdict]} the tolerance of {report.tolerance:g}"
            + (f"; so {'are' if more > 1 else 'is'} {more:,} more" if more else "")
        )
    return "\n".join([*lines, f"verdict: {report.verdict}{f'; {what_would_tell(report)}' if undecided else ''}"])


def what_would_tell(report: ParityReport) -> str:
    """Say how many rows would turn "cannot tell" into a verdict."""
    for found in report.comparisons:
        if found.difference is None and found.verdict == "cannot tell":
            pair = f"{readable(found.first)} or {readable(found.second)}"
            return f"no number of such rows would, because {pair} has none to take the {found.rate} of"
    short = {group.group: group.rows_to_tell / group.rows for group in report.groups if group.rows_to_tell}
    if not short:
        return "no number of rows would, because a difference is that of the tolerance"
    (most,) = [group for group in report.groups if group.group == max(short, key=lambda name: short[name])]
    subscribers = "" if most.subscribers is None else f" of {most.subscribers_to_tell:,} subscribers"
    had = f"found {most.rows:,}" + ("" if most.subscribers is None else f" of {most.subscribers:,}")
    others = len(short) - 1
    return f"about {most.rows_to_tell:,} rows{subscribers} of {readable(most.group)} would ({had})" + (
        f", with more rows of {others:,} other group{'s' if others > 1 else ''}, too" if others else ""
    )


def _weight(comparison: Comparison) -> tuple[bool, float]:
    """Order comparisons: those beyond the tolerance by the nearer end of their interval, the others by the farther."""
    low, high = comparison.low, comparison.high
    if comparison.verdict == "beyond":
        return True, max(low, -high)
    return False, max(high, -low)


def _rate(rate: Rate | None, judged: bool) -> str:
    text = "-" if rate is None else f"{rate.rate:.3f} ({rate.low:.3f} to {rate.high:.3f})"
    return text if judged else f"{text}*"


def training_of_both(first: RegisteredModel, second: RegisteredModel, table: LabelledTable) -> str:
    """Say whether the models were trained on rows of the comparison, or on their subscribers."""
    of_both = [count_seen(model, table) for model in (first, second)]
    seen, seen_by_second = (found.total for found in of_both)
    told = _favoured(seen, seen_by_second)
    if any(found.by_number for found in of_both):
        told += " (by subscriber numbers, if they are the same people's)"
    return told


def _favoured(seen: int, seen_by_second: int) -> str:
    if not seen and not seen_by_second:
        return "neither was trained on them"
    if not seen_by_second:
        return f"never trained on them, the first on {seen:,}, so that the comparison favours the first"
    if not seen:
        return f"trained on {seen_by_second:,} of them, so that the comparison favours it"
    return f"trained on {seen_by_second:,} of them, the first on {seen:,}, so that both look better than they are"
