"""Measure what policies of advice cost: how often they advise a switch, and what is overpaid by following them.

usage: python -m tools.advice_policies --months CSV [--tariffs YAML] [--model TAG]

Every whole month is a case, as in `advise.py --backtest`; the profile of habits is the registered model's.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.advice_policies")

import argparse
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.billing.advice import AdvicePolicy, Adviser
from plan_recommender.billing.forecast import Month
from plan_recommender.billing.habits import HabitProfile
from plan_recommender.billing.tariffs import find_tariffs, load_tariffs
from plan_recommender.data.month_panel import read_panel
from plan_recommender.data.month_spill import History
from plan_recommender.evaluation.backtest import ADVICE, backtest
from plan_recommender.model import store

_POLICIES: Final = [
    AdvicePolicy(min_saving_share=share, min_p_saves=p_saves, min_months=months)
    for share, p_saves, months in (
        *((share, 0.0, 1) for share in (0.0, 0.05, 0.1, 0.15, 0.2)),
        *((0.1, p_saves, 1) for p_saves in (0.5, 0.6, 0.7, 0.8)),
        *((0.1, 0.5, months) for months in (2, 3, 6)),
    )
]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.advice_policies",
        description="Measure how often policies advise a switch, and what is overpaid by following them.",
    )
    parser.add_argument("--months", type=Path, required=True, metavar="CSV", help="months with the plan held")
    parser.add_argument("--tariffs", type=Path, metavar="YAML", help="what each plan costs (default: as advise.py)")
    parser.add_argument("--model", default=store.LATEST, metavar="TAG", help="registered model (default: %(default)s)")
    options = parser.parse_args(arguments)
    tariffs = load_tariffs(options.tariffs or find_tariffs())
    model = store.find(options.model)
    profile = HabitProfile.model_validate_json(model.habits())
    histories = _histories(options.months, tariffs.names)
    cli.say("| least saving | least probability | least months | switches | overpaid, of keeping | 95 % interval |")
    cli.say("| --- | --- | --- | --- | --- | --- |")
    for policy in tqdm(_POLICIES, disable=None, leave=False):
        found = backtest(histories, Adviser(tariffs, profile, policy), model.record.seed)
        advice = found.rule(ADVICE)
        cli.say(
            f"| {policy.min_saving_share:.0%} | {policy.min_p_saves:g} | {policy.min_months} | {found.switches:.1%} | "
            f"{advice.ratio:.3f} | {advice.ratio_low:.3f} to {advice.ratio_high:.3f} |"
        )
    return cli.DONE


def _histories(path: Path, plans: tuple[str, ...]) -> list[History]:
    panel = read_panel(path)
    places = {name.casefold(): place for place, name in enumerate(plans)}
    ends = np.flatnonzero(panel.is_last) + 1
    histories = []
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        used = [
            Month(calls, minutes, messages, mb_used, None if np.isnan(billed) else billed, share)
            for (calls, minutes, messages, mb_used), billed, share in zip(
                panel.usage[start:end].tolist(),
                panel.billed_minutes[start:end].tolist(),
                panel.share[start:end].tolist(),
                strict=True,
            )
        ]
        held = [places.get(plan) for plan in panel.plans[start:end].tolist()]
        histories.append(History(str(panel.subscribers[start]), panel.months[start:end].tolist(), held, used))
    return histories
