"""Measure how often the intervals of a campaign's outcomes cover the true effect, and how often they show it.

usage: python -m tools.campaign_rates [--campaigns 10000] [--seed 42]

Each simulated campaign has groups of given sizes. Controls leave with 6 % chance, contacts with a given one. Bills are
skewed (500 and a gamma variable of shape 3 and mean 750), and two of five contacts switch and pay 300 less on average.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.campaign_rates")

import argparse
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.campaign.design import CONFIDENCE, Arms
from plan_recommender.campaign.intervals import Difference, mean_difference, rate_difference

SIZES = (Arms(90, 10), Arms(900, 100), Arms(721, 721), Arms(3834, 426), Arms(9540, 9540))
CHURN = 0.06
CHURNS = (0.06, 0.07, 0.10)
"""Of contacts (0 to 1); the first is that of controls."""

_SWITCH, _SAVED = 0.4, 300.0


class Rates(NamedTuple):
    """Shares of the simulated campaigns (0 to 1)."""

    bills: float
    """In which the interval of the bills covers the true effect."""
    churn: float
    """In which that of churn does."""
    seen: float
    """In which the interval of churn leaves 0 out."""


def measure(arms: Arms, churn: float, campaigns: int, seed: int) -> Rates:
    """Simulate campaigns.

    Args:
        arms: sizes of the groups.
        churn: of contacts (0 to 1).
        campaigns: their number.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    bills = churns = seen = 0
    for _ in range(campaigns):
        saved = _SAVED * rng.gamma(4, 0.25, arms.contacts) * (rng.random(arms.contacts) < _SWITCH)
        paid = mean_difference(_bills(rng, arms.contacts) - saved, _bills(rng, arms.controls), CONFIDENCE)
        left = [int(rng.binomial(size, rate)) for size, rate in zip(arms, (churn, CHURN), strict=True)]
        gone = rate_difference((left[0], arms.contacts), (left[1], arms.controls), CONFIDENCE)
        bills += _covers(paid, -_SWITCH * _SAVED)
        churns += _covers(gone, churn - CHURN)
        seen += gone.verdict != "cannot tell"
    return Rates(bills / campaigns, churns / campaigns, seen / campaigns)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.campaign_rates",
        description="Measure how often the intervals of a campaign's outcomes cover the true effect and show it.",
    )
    parser.add_argument("--campaigns", type=cli.positive_int, default=10_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=cli.seed, default=42, help="default: %(default)s")
    options = parser.parse_args(arguments)
    cli.say("| contacts | controls | churn of contacts | bills covered | churn covered | churn seen |")
    cli.say("| --- | --- | --- | --- | --- | --- |")
    for arms in tqdm(SIZES, disable=None, leave=False):
        for churn in CHURNS:
            found = measure(arms, churn, options.campaigns, options.seed)
            cli.say(
                f"| {arms.contacts:,} | {arms.controls:,} | {churn:.0%} | {found.bills:.1%} | {found.churn:.1%} | "
                f"{found.seen:.1%} |"
            )
    return cli.DONE


def _bills(rng: np.random.Generator, subscribers: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 500 + 250 * rng.gamma(3, 1, subscribers)


def _covers(found: Difference, true: float) -> bool:
    return found.low <= true <= found.high
