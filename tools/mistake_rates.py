"""Measure how often a table is said to look mistaken when it is as it should be, and when it is not.

usage: python -m tools.mistake_rates --data CSV [--rows 50 200 1000] [--trials 500]

Each trial draws rows of the table at random, and compares them with the profile of all other rows. A mistake counts as
found if anything is said.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.mistake_rates")

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.config.settings import DriftSettings
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.data.plausibility import find_mistakes
from plan_recommender.data.table_options import add_table_options, format_of
from plan_recommender.drift.reference import profile
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

_CALLS, _MINUTES, _MESSAGES, _MB_USED = range(len(FEATURE_NAMES))


def _part_in_gigabytes(rows: FeatureMatrix, share: float) -> FeatureMatrix:
    changed = rows.copy()
    changed[: round(share * len(rows)), _MB_USED] /= 1024
    return changed


def _swapped(rows: FeatureMatrix, one: int, other: int) -> FeatureMatrix:
    order = list(range(rows.shape[1]))
    order[one], order[other] = other, one
    return rows[:, order]


MISTAKES: Final[dict[str, Callable[[FeatureMatrix], FeatureMatrix]]] = {
    "as it is": lambda rows: rows,
    "5 % in gigabytes": lambda rows: _part_in_gigabytes(rows, 0.05),
    "10 % in gigabytes": lambda rows: _part_in_gigabytes(rows, 0.1),
    "45 % in gigabytes": lambda rows: _part_in_gigabytes(rows, 0.45),
    "calls and messages": lambda rows: _swapped(rows, _CALLS, _MESSAGES),
    "minutes and mb_used": lambda rows: _swapped(rows, _MINUTES, _MB_USED),
    "minutes and messages": lambda rows: _swapped(rows, _MINUTES, _MESSAGES),
    "calls and minutes": lambda rows: _swapped(rows, _CALLS, _MINUTES),
}
"""What is done to the rows of a trial, by name; two columns are swapped."""


def measure(features: FeatureMatrix, rows: int, trials: int) -> dict[str, tuple[float, float]]:
    """Give the share of the trials in which anything is said, beside a reference and without one, by mistake."""
    found = {name: np.zeros(2) for name in MISTAKES}
    for trial in tqdm(range(trials), disable=None, leave=False):
        order = np.random.default_rng([rows, trial]).permutation(len(features))
        reference = profile(features[order[rows:]], list(FEATURE_NAMES), DriftSettings(), trial)
        for name, mistake in MISTAKES.items():
            table = mistake(features[order[:rows]])
            found[name] += [bool(find_mistakes(table, known)) for known in (reference, None)]
    return {name: (float(count[0] / trials), float(count[1] / trials)) for name, count in found.items()}


def main(arguments: list[str] | None = None) -> int:
    """Print a table; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.mistake_rates",
        description="Measure how often tables are said to look mistaken, which are and which are not.",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="CSV", help="labelled table without mistakes")
    parser.add_argument("--rows", type=cli.positive_int, nargs="+", default=[50, 200, 1000], help="of a trial")
    parser.add_argument("--trials", type=cli.positive_int, default=500, metavar="N", help="default: %(default)s")
    add_table_options(parser)
    options = parser.parse_args(arguments)
    features = read_labelled(options.data, format=format_of(options)).features
    cli.say(f"| rows | {' | '.join(MISTAKES)} |")
    cli.say(f"| --- |{' --- |' * len(MISTAKES)}")
    for rows in options.rows:
        rates = measure(features, rows, options.trials).values()
        cells = (f"{beside:.1%} ({first:.1%})" for beside, first in rates)
        cli.say(f"| {rows:,} | {' | '.join(cells)} |")
    return cli.DONE
