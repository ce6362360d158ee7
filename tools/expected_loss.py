"""Measure how well the loss that is expected from probabilities alone follows the true one, under the named shifts.

usage: python -m tools.expected_loss [--model TAG] [--rows N] [--seed N]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.expected_loss")

import argparse
from typing import Final

import numpy as np

from plan_recommender import cli
from plan_recommender.drift.reference import summarise
from plan_recommender.model import store
from plan_recommender.model.scorer import Scorer
from tools.drift_worlds import SHIFTS, Pool, draw_labelled, pool

_ROWS: Final = 100_000


def main(arguments: list[str] | None = None) -> int:
    """Print a table; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.expected_loss",
        description="Compare the loss that is expected from probabilities alone with the true one, under shifts.",
    )
    parser.add_argument("--model", default=store.LATEST, metavar="TAG", help="default: %(default)s")
    parser.add_argument("--rows", type=cli.positive_int, default=_ROWS, help="of each sample (default: %(default)s)")
    parser.add_argument("--seed", type=cli.seed, default=42, help="default: %(default)s")
    options = parser.parse_args(arguments)
    scorer, world = store.find(options.model).scorer(), pool(options.seed)
    before = np.array(_losses(world, scorer))
    cli.say("| shift | accuracy: expected change, true change (points) | Brier score: expected change, true change |")
    cli.say("| --- | --- | --- |")
    cli.say(f"| level without a shift | {before[0]:.1%}, {before[1]:.1%} | {before[2]:.4f}, {before[3]:.4f} |")
    for name in SHIFTS:
        if name != "none":
            sample = draw_labelled(world, options.rows, np.random.default_rng(options.seed), name)
            expected, true, expected_brier, true_brier = np.array(_losses(sample, scorer)) - before
            cli.say(f"| {name} | {100 * expected:+.1f}, {100 * true:+.1f} | {expected_brier:+.4f}, {true_brier:+.4f} |")
    return cli.DONE


def _losses(sample: Pool, scorer: Scorer) -> tuple[float, float, float, float]:
    """Give accuracy and Brier score, each as it is expected and as it is."""
    found = summarise(sample.features, scorer)
    decisions = scorer.decide(sample.features, found.probabilities)
    return (
        found.expected_accuracy,
        float((decisions == sample.target).mean()),
        found.expected_brier,
        float(((found.probabilities - sample.target) ** 2).mean()),
    )
