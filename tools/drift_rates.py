"""Measure the verdict of drift.py on single samples: how often it is wrong without a shift, and right with one.

usage: python -m tools.drift_rates [--samples N] [--power-samples N] [--seed N]

Every sample is compared with a reference of its own, so that the luck of one reference does not decide. Exit code 1: a
rate of false alarms lies beyond chance above the nominal one.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.drift_rates")

import argparse
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from scipy.stats import binom
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.campaign.intervals import wilson
from plan_recommender.config.settings import DriftSettings
from plan_recommender.drift.reference import profile
from plan_recommender.drift.verdict import Sample, compare
from plan_recommender.model.features import FEATURE_NAMES
from tools.drift_worlds import SHIFTS, draw, pool, reference_rows, subscribers

_SETTINGS: Final = DriftSettings()
_SIZES: Final = (500, 5_000, 50_000)
_POWER_ROWS: Final = 5_000
_MONTHS: Final = 12
_MONTHS_EACH: Final = 5  # about so many whole months has a synthetic subscriber of a year
_REFERENCE_SUBSCRIBERS: Final = 600
_BEYOND_CHANCE: Final = 0.001


def main(arguments: list[str] | None = None) -> int:
    """Print two tables; returns 0, or 1 if there are too many false alarms."""
    options = _parser().parse_args(arguments)
    trials = _Trials(options.seed)
    good = True
    cli.say("| without a shift | rows | called drifted (95 % interval) |")
    cli.say("| --- | --- | --- |")
    for rows in _SIZES:
        good &= _say_rate("independent rows", rows, partial(trials.independent, rows), options.samples)
    for rows in _SIZES[:2]:
        good &= _say_rate("whole subscribers", rows, partial(trials.of_subscribers, rows, True), options.samples)
        _say_rate(
            "the same, not said whose they are", rows, partial(trials.of_subscribers, rows, False), options.samples
        )
    cli.say(f"\n| with a shift | called drifted at {_POWER_ROWS:,} rows (95 % interval) |")
    cli.say("| --- | --- |")
    for shift in SHIFTS:
        if shift != "none":
            trial = partial(trials.independent, _POWER_ROWS, shift=shift)
            cli.say(f"| {shift} | {_rate(_count(trial, options.power_samples), options.power_samples)} |")
    return cli.DONE if good else cli.ANSWER_IS_NO


class _Trials:
    """Verdicts on samples of one world, each with a reference of its own."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._world = pool(seed)

    def independent(self, rows: int, trial: int, shift: str = "none") -> bool:
        """Judge rows of strangers."""
        reference = profile(reference_rows(self._seed + 1 + trial), list(FEATURE_NAMES), _SETTINGS)
        features = draw(self._world, rows, np.random.default_rng([self._seed, trial]), shift)
        return compare(reference, Sample(features), _SETTINGS).verdict == "drift"

    def of_subscribers(self, rows: int, known: bool, trial: int) -> bool:
        """Judge about so many months of whole subscribers, however few they are."""
        before, whose = subscribers(self._seed + 2 * trial, _REFERENCE_SUBSCRIBERS, _MONTHS)
        now, whose_now = subscribers(self._seed + 2 * trial + 1, rows // _MONTHS_EACH, _MONTHS)
        settings = _SETTINGS.model_copy(update={"min_rows": 1})
        reference = profile(before, list(FEATURE_NAMES), settings, subscribers=whose if known else None)
        return compare(reference, Sample(now, whose_now if known else None), settings).verdict == "drift"


def _say_rate(name: str, rows: int, trial: Callable[[int], bool], samples: int) -> bool:
    """Print a rate of false alarms; returns whether it may be the nominal one."""
    found = _count(trial, samples)
    cli.say(f"| {name} | {rows:,} | {_rate(found, samples)} |")
    return bool(binom.sf(found - 1, samples, _SETTINGS.alpha) > _BEYOND_CHANCE)


def _count(trial: Callable[[int], bool], samples: int) -> int:
    return sum(trial(i) for i in tqdm(range(samples), disable=None, leave=False))


def _rate(found: int, samples: int) -> str:
    low, high = wilson(found, samples, 0.95)
    return f"{found / samples:.1%} ({low:.1%} to {high:.1%})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.drift_rates",
        description="Measure how often drift.py is wrong without a shift, and right with one. Exit code 1: false "
        "alarms are more frequent than they may be.",
    )
    parser.add_argument("--samples", type=cli.positive_int, default=1000, help="without a shift (default: %(default)s)")
    parser.add_argument("--power-samples", type=cli.positive_int, default=200, help="of a shift (default: %(default)s)")
    parser.add_argument("--seed", type=cli.seed, default=42, help="default: %(default)s")
    return parser
