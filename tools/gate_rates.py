"""Measure how often the gate's check of calibration accepts perfectly calibrated models, and others.

usage: python -m tools.gate_rates [--trials 500] [--seed 42]

Each trial draws probabilities as the shipped table's champion gives them, and labels from these probabilities. A model
that is off by an amount says as much more than the truth. Where rows belong to subscribers, a subscriber has 6 rows,
and one random number decides the labels of all of them. A split is a random part of four fifths of the table; where the
error on one is close to its limit, the median of it and others decides, as in training/repeats.py. There each other
split has models of its own, which this leaves out.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.gate_rates")

import argparse
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.config.settings import Settings
from plan_recommender.evaluation.calibration import Calibration, measure_calibration
from plan_recommender.training.gate import check_calibration
from plan_recommender.training.repeats import REPEATS_MORE, is_close

ROWS = (120, 400, 2000)
OFF_BY = (0.0, 0.06)
_MONTHS = 6
_SHAPE = (0.7, 1.6)  # of a beta distribution with a mean of 0.30, as the share of Ultra


class Rates(NamedTuple):
    """The share of the trials in which a model was accepted."""

    accepted: float
    """By the gate, which looks at other splits where one is close."""
    on_one: float
    """By one split alone."""
    before: float
    """By the rule before, on one split: at most the mean of what chance makes."""


def measure(rows: int, off_by: float, by_subscriber: bool, trials: int, seed: int) -> Rates:
    """Draw trials and ask the check.

    Args:
        rows: of each training part.
        off_by: what the model says more than the truth (0 to 1).
        by_subscriber: whether rows belong to subscribers.
        trials: number of trials.
        seed: of the draws.
    """
    settings = Settings()
    others = REPEATS_MORE * settings.selection.repeats
    found = []
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        table = _Table.draw(rows, off_by, _MONTHS if by_subscriber else 1, rng)
        one = table.on_a_split(settings, rng)
        more = [table.on_a_split(settings, rng) for _ in range(others)] if is_close(one, settings.gate) else []
        found.append(
            (
                check_calibration(one, settings.gate, more).passed,
                check_calibration(one, settings.gate).passed,
                one.ece <= max(settings.gate.max_ece, one.ece_by_chance),
            )
        )
    return Rates(*np.mean(found, axis=0).tolist())


@dataclass(frozen=True)
class _Table:
    """A table of which a split takes four fifths of the subscribers; each array has the shape (rows,)."""

    target: npt.NDArray[np.int64]
    said: npt.NDArray[np.float64]
    owners: npt.NDArray[np.int64]
    months: int
    """Rows of each subscriber."""

    @classmethod
    def draw(cls, rows: int, off_by: float, months: int, rng: np.random.Generator) -> Self:
        """Draw one of which a split has so many rows."""
        subscribers = rows // months * 5 // 4
        truth = rng.beta(*_SHAPE, subscribers * months)
        owners = np.arange(len(truth)) // months
        target = (rng.random(subscribers)[owners] < truth).astype(np.int64)
        return cls(target, np.minimum(truth + off_by, 1.0), owners, months)

    def on_a_split(self, settings: Settings, rng: np.random.Generator) -> Calibration:
        """Measure the calibration on another split."""
        subscribers = int(self.owners[-1]) + 1
        part = np.isin(self.owners, rng.permutation(subscribers)[: subscribers * 4 // 5])
        return measure_calibration(
            self.target[part],
            self.said[part],
            settings.calibration.bins,
            seed=int(rng.integers(2**32)),
            subscribers=self.owners[part] if self.months > 1 else None,
        )


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns 0."""
    parser = argparse.ArgumentParser(
        prog="tools.gate_rates", description="Measure how often the gate accepts calibrated and other models."
    )
    parser.add_argument("--trials", type=cli.positive_int, default=500, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=cli.seed, default=42, help="default: %(default)s")
    options = parser.parse_args(arguments)
    cli.say("| rows | belong to | off by | accepted | on one split | by the rule before (mean of chance) |")
    cli.say("| --- | --- | --- | --- | --- | --- |")
    cells = [(rows, by_subscriber, off_by) for off_by in OFF_BY for by_subscriber in (False, True) for rows in ROWS]
    for rows, by_subscriber, off_by in tqdm(cells, unit="cell", disable=None, leave=False):
        rates = measure(rows, off_by, by_subscriber, options.trials, options.seed)
        who = f"{rows // _MONTHS:,} subscribers" if by_subscriber else "single rows"
        cli.say(f"| {rows:,} | {who} | {off_by:g} | {rates.accepted:.1%} | {rates.on_one:.1%} | {rates.before:.1%} |")
    return cli.DONE
