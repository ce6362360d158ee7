"""Compare files of subscribers' months: what following rules for the choice of a plan costs, and their statistics.

usage: python -m tools.months_fidelity CSV [CSV ...] [--tariffs YAML] [--resamples 2000] [--seed 42] [--out MD]

A rule sees a subscriber's months up to one month and chooses the plan for the next. What it overpays is the exact bill
of that next month on the plan chosen, less that on the cheaper one. Intervals are percentile intervals of bootstrap
samples of subscribers. A file of synthetic months is a good stand-in where it ranks the rules as real months do.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.months_fidelity")

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender import cli
from plan_recommender.billing.bill import Biller
from plan_recommender.billing.tariffs import Tariffs, load_tariffs
from plan_recommender.data.month_calibration import calibrate_months
from plan_recommender.data.month_panel import Panel, read_panel
from plan_recommender.data.outputs import replacing
from plan_recommender.data.synthesis import DRAWN
from plan_recommender.errors import ConfigError, TableError
from plan_recommender.model.features import FEATURE_NAMES
from tools.server import ROOT

_LAST = 3
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MB_USED = FEATURE_NAMES.index("mb_used")

_PAGE = """# How close the synthetic months are

Written by `python -m tools.months_fidelity --out docs/months_fidelity.md FILES` on {date}. A rule sees a subscriber's
months up to one month and chooses the plan for the next. What it overpays is the exact bill of that next month on the
plan chosen, less that on the cheaper one ({currency} a month, mean of all months after a subscriber's first). Intervals
(95 %) are percentile intervals of {resamples:,} bootstrap samples of subscribers, seed {seed}. "Right" is the share of
the months in which nothing is overpaid.

{tables}

"Never" and the variance around the level are estimated from each file as `python -m tools.calibrate_months` does.
"""

Whole = npt.NDArray[np.int64]


class Outcome(NamedTuple):
    """What following one rule costs."""

    overpaid: float
    """Mean of all months after a subscriber's first (currency per month)."""
    low: float
    """Lower end of the 95 % interval; the next is the upper."""
    high: float
    right: float
    """Share of these months in which the plan chosen was the cheaper one or cost the same."""


def main(arguments: list[str] | None = None) -> int:
    """Print both tables, and write them as a page if `--out` names one; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.months_fidelity",
        description="Compare files of months by what rules for the choice of a plan cost, and by their statistics.",
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="CSV", help="months of subscribers")
    parser.add_argument(
        "--tariffs", type=Path, default=ROOT / "tariffs.yaml", metavar="YAML", help="two plans, the cheap one first"
    )
    parser.add_argument(
        "--resamples", type=cli.positive_int, default=2000, help="bootstrap samples (default: %(default)s)"
    )
    parser.add_argument("--seed", type=cli.seed, default=42, help="seed of the samples (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="MD", help="write the tables as a page, too")
    options = parser.parse_args(arguments)
    tariffs = load_tariffs(options.tariffs)
    if len(tariffs.plans) != 2:
        raise ConfigError(f"{options.tariffs}: expected two plans, found {len(tariffs.plans)}")
    rules, statistics = [], []
    for path in options.files:
        panel = read_panel(path)
        try:
            found = measure_rules(panel, tariffs, options.resamples, options.seed)
            rules.append({name: _shown(outcome) for name, outcome in found.items()})
            statistics.append(describe(panel, tariffs))
        except TableError as error:
            raise TableError(f"{path}: {error}") from error
    names = [path.name for path in options.files]
    tables = "\n\n".join(
        (
            _table(f"rule: overpaid ({tariffs.currency}) [interval] right", names, rules),
            _table("statistic", names, statistics),
        )
    )
    cli.say(tables)
    if options.out is not None:
        with replacing(options.out) as file:
            file.write(
                _PAGE.format(
                    date=datetime.now(UTC).date(),
                    resamples=options.resamples,
                    seed=options.seed,
                    currency=tariffs.currency,
                    tables=tables,
                )
            )
    return cli.DONE


def measure_rules(panel: Panel, tariffs: Tariffs, resamples: int, seed: int) -> dict[str, Outcome]:
    """Measure what following each rule costs.

    Args:
        panel: at least one subscriber has two months.
        tariffs: two plans, one of which each month of the panel holds.
        resamples: bootstrap samples of subscribers.
        seed: of the samples.

    Raises:
        TableError: a plan is not one of the tariffs, or nobody has two months.
    """
    bills = month_bills(panel, tariffs)
    choices = choose(panel, tariffs, bills)
    next_month = np.flatnonzero(~panel.is_first)
    if not len(next_month):
        raise TableError("expected subscribers with two months or more, found none")
    _, subscriber = np.unique(panel.subscribers[next_month], return_inverse=True)
    counts = np.bincount(subscriber)
    cheapest = bills[:, next_month].min(axis=0)
    overpaid = np.array([bills[chosen, next_month] - cheapest for chosen in choices.values()]) / 10**tariffs.decimals
    sums = np.array([np.bincount(subscriber, of_rule) for of_rule in overpaid])
    rng, even = np.random.default_rng(seed), np.full(len(counts), 1 / len(counts))
    samples = np.empty((resamples, len(overpaid)))
    for sample in samples:
        times = rng.multinomial(len(counts), even)
        sample[:] = sums @ times / (counts @ times)
    low, high = np.quantile(samples, (0.025, 0.975), axis=0)
    return {
        name: Outcome(float(overpaid[i].mean()), float(low[i]), float(high[i]), float(np.mean(overpaid[i] == 0)))
        for i, name in enumerate(choices)
    }


def month_bills(panel: Panel, tariffs: Tariffs, scaled: bool = False) -> Whole:
    """Bill every month on every plan, in smallest units of the currency, shape (plans, months).

    Args:
        panel: the months.
        tariffs: the plans.
        scaled: bill usage divided by the share of active days, as an estimate of a whole month.
    """
    biller = Biller(tariffs)
    share = panel.share if scaled else np.ones(len(panel.share))
    return biller.totals(biller.billed_table(panel.usage / share[:, None], panel.billed_minutes / share))


def choose(panel: Panel, tariffs: Tariffs, bills: Whole) -> dict[str, Whole]:
    """Choose a plan for each month after a subscriber's first, by every rule, from the months before it alone.

    Where the plans cost the same, the rules keep the plan held.

    Returns:
        By rule, the position of the plan in the tariffs, shape (months after a first,).
    """
    names = [name.casefold() for name in tariffs.names]
    unknown = sorted(set(panel.plans.tolist()) - set(names))
    if unknown:
        raise TableError(f"expected the plans {', '.join(names)}, found {', '.join(unknown)}")
    held = np.array([names.index(plan) for plan in panel.plans.tolist()])
    first, scaled = panel.is_first, month_bills(panel, tariffs, scaled=True)
    next_month = np.flatnonzero(~first)
    last = next_month - 1
    start = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))[next_month]
    several = np.maximum(start, next_month - _LAST)

    def cheaper(expected: npt.NDArray[np.float64] | Whole) -> Whole:
        return np.where(expected[0] == expected[1], held[last], np.argmin(expected, axis=0))

    def up_to(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Sum of all months before each month, along the last axis, with room for none."""
        return np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)

    sums, weighted = up_to(bills.astype(np.float64)), up_to(scaled * panel.share)
    return {
        "keep the plan held": held[last],
        "cheaper on last month's bill": cheaper(bills[:, last]),
        "the same, a partial first month scaled": cheaper(np.where(first, scaled, bills)[:, last]),
        f"mean bill of the last {_LAST} months": cheaper(sums[:, next_month] - sums[:, several]),
        "mean bill of all past months, partial ones scaled and weighted by days": cheaper(
            np.round(weighted[:, next_month] - weighted[:, start], 3)
        ),
        **{f"everybody on {name}": np.full(len(last), i) for i, name in enumerate(tariffs.names)},
    }


def describe(panel: Panel, tariffs: Tariffs) -> dict[str, str]:
    """Describe a panel by the statistics in which a synthetic one should be like a real one.

    Raises:
        TableError: too few subscribers have whole months.
    """
    dear = tariffs.names[1]
    bills = month_bills(panel, tariffs)
    is_dear = panel.plans == dear.casefold()
    on_held = np.where(is_dear, bills[1], bills[0])
    first, last, whole = panel.is_first, panel.is_last, panel.share == 1
    tenure = np.bincount(panel.subscribers)
    found = calibrate_months(panel, dear.casefold(), "")
    rows = {
        "subscribers": f"{len(tenure):,}",
        "months": f"{len(first):,}",
        f"share of {dear}: subscribers, months": f"{is_dear[first].mean():.3f}, {is_dear.mean():.3f}",
        "months in which the plan held was the cheaper one or cost the same": (
            f"{np.mean(on_held == bills.min(axis=0)):.3f}"
        ),
        f"{dear} cheaper: of its months, of the others": (
            f"{np.mean(bills[1, is_dear] < bills[0, is_dear]):.3f}, "
            f"{np.mean(bills[1, ~is_dear] < bills[0, ~is_dear]):.3f}"
        ),
        "months of a subscriber: mean, 10 %, 50 %, 90 %": _numbers(
            [tenure.mean(), *np.quantile(tenure, (0.1, 0.5, 0.9))], ".1f"
        ),
        "subscribers of the last month": f"{np.mean(panel.months[last] == panel.months.max()):.3f}",
        "data (MB): first months, later ones, months of leaving": _numbers(
            [
                panel.usage[rows, _MB_USED].mean() if rows.any() else np.nan
                for rows in (first, ~first, last & ~first & ~whole)
            ],
            ",.0f",
        ),
        "first months, their share of days: mean": f"{panel.share[first].mean():.3f}",
        "minutes of a call: mean, standard deviation": (
            f"{found.minutes_per_call_mean:.2f}, {found.minutes_per_call_sd:.2f}"
        ),
        "billed less unrounded minutes, a call": (
            f"{(panel.billed_minutes - panel.usage[:, 1]).sum() / panel.usage[:, 0].sum():.3f}"
        ),
    }
    for plan, of_plan, calibrated in ((tariffs.names[0], ~is_dear, found.smart), (dear, is_dear, found.ultra)):
        for i, name in enumerate(FEATURE_NAMES):
            values = panel.usage[of_plan & whole, i]
            rows[f"{plan}, `{name}` of whole months: mean; 5, 25, 50, 75, 95 %"] = (
                f"{values.mean():,.0f}; {_numbers(np.quantile(values, _QUANTILES).tolist(), ',.0f')}"
            )
        rows[f"{plan}, never: {', '.join(DRAWN)}"] = _numbers(
            [calibrated.levels.marginals[name].zero_share for name in DRAWN], ".3f"
        )
        rows[f"{plan}, variance of months around the level, per unit of it: {', '.join(DRAWN)}"] = _numbers(
            [calibrated.dispersion[name] for name in DRAWN], ",.2f"
        )
        rows[f"{plan}, correlation of consecutive whole months: {', '.join(DRAWN)}"] = _numbers(
            [_correlation(panel, of_plan & whole, FEATURE_NAMES.index(name)) for name in DRAWN], ".2f"
        )
    return rows


def _correlation(panel: Panel, rows: npt.NDArray[np.bool_], column: int) -> float:
    """Correlate a column of one month with that of the subscriber's next, where `rows` has both."""
    both = np.flatnonzero(rows[1:] & rows[:-1] & ~panel.is_first[1:])
    return float(np.corrcoef(panel.usage[both, column], panel.usage[both + 1, column])[0, 1])


def _numbers(values: list[float], form: str) -> str:
    return ", ".join(format(value, form) for value in values)


def _shown(outcome: Outcome) -> str:
    form = ",.0f" if outcome.overpaid >= 100 else ",.1f"
    low, high = (format(value, form) for value in (outcome.low, outcome.high))
    return f"{outcome.overpaid:{form}} [{low}, {high}] {outcome.right:.3f}"


def _table(title: str, names: list[str], columns: list[dict[str, str]]) -> str:
    lines = [f"| {title} | {' | '.join(f'`{name}`' for name in names)} |", "| --- " * (len(names) + 1) + "|"]
    lines += [f"| {row} | {' | '.join(column[row] for column in columns)} |" for row in columns[0]]
    return "\n".join(lines)
