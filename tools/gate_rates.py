"""Measure how often the gate's check of calibration accepts perfectly calibrated models, and others.

usage: python -m tools.gate_rates [--trials 500] [--seed 42]

Each trial draws probabilities as the shipped table's champion gives them, and labels from these probabilities. A model
that is off by an amount says as much more than the truth. Where rows belong to subscribers, a subscriber has 6 rows,
and one random number decides the labels of all of them.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.gate_rates")

import argparse
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.config.settings import Settings
from plan_recommender.evaluation.calibration import measure_calibration
from plan_recommender.training.gate import check_calibration

ROWS = (120, 400, 2000)
OFF_BY = (0.0, 0.06)
_MONTHS = 6
_SHAPE = (0.7, 1.6)  # of a beta distribution with a mean of 0.30, as the share of Ultra


class Rates(NamedTuple):
    """The share of the trials in which a model was accepted, by this check and by the rule before it."""

    accepted: float
    before: float


def measure(rows: int, off_by: float, by_subscriber: bool, trials: int, seed: int) -> Rates:
    """Draw trials and ask the check.

    Args:
        rows: of each trial.
        off_by: what the model says more than the truth (0 to 1).
        by_subscriber: whether rows belong to subscribers.
        trials: number of trials.
        seed: of the draws.
    """
    settings = Settings()
    accepted, before = 0, 0
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        truth = rng.beta(*_SHAPE, rows)
        owners = np.arange(rows) // _MONTHS
        chance = rng.random(rows)[owners] if by_subscriber else rng.random(rows)
        target = (chance < truth).astype(np.int64)
        found = measure_calibration(
            target,
            np.minimum(truth + off_by, 1.0),
            settings.calibration.bins,
            seed=trial,
            subscribers=owners if by_subscriber else None,
        )
        accepted += check_calibration(found, settings.gate).passed
        before += found.ece <= max(settings.gate.max_ece, found.ece_by_chance)
    return Rates(accepted / trials, before / trials)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns 0."""
    parser = argparse.ArgumentParser(
        prog="tools.gate_rates", description="Measure how often the gate accepts calibrated and other models."
    )
    parser.add_argument("--trials", type=cli.positive_int, default=500, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=cli.seed, default=42, help="default: %(default)s")
    options = parser.parse_args(arguments)
    cli.say("| rows | belong to | off by | accepted | by the rule before (mean of chance) |")
    cli.say("| --- | --- | --- | --- | --- |")
    cells = [(rows, by_subscriber, off_by) for off_by in OFF_BY for by_subscriber in (False, True) for rows in ROWS]
    for rows, by_subscriber, off_by in tqdm(cells, unit="cell", disable=None, leave=False):
        rates = measure(rows, off_by, by_subscriber, options.trials, options.seed)
        who = f"{rows // _MONTHS:,} subscribers" if by_subscriber else "single rows"
        cli.say(f"| {rows:,} | {who} | {off_by:g} | {rates.accepted:.1%} | {rates.before:.1%} |")
    return cli.DONE
