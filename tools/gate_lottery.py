"""Measure how often the gate finds a table of few subscribers better than the baselines, and how much a seed decides.

usage: python -m tools.gate_lottery --data CSV --groups COLUMN [--subscribers 60 100] [--tables 5] [--seeds 4]
           [--labels own dealt] [--vary seed|folds] [--redraw]

Each table holds some subscribers of the data, drawn at random. It is judged with several seeds as it is, and with the
subscribers' labels dealt at random, where nothing can be found. Beside the verdict stands the one on one split, which
the gate repeats on others where it is close.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.gate_lottery")

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.config.load import choose_config, load_settings
from plan_recommender.config.settings import BASELINES, Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable, read_labelled
from plan_recommender.data.subscribers import Subscribers
from plan_recommender.data.table_options import add_table_options, format_of
from plan_recommender.training.gate import check_baselines
from plan_recommender.training.repeats import FIRST_SEED, OtherSplits, compare_with_baselines
from plan_recommender.training.selection import cross_validate
from plan_recommender.training.split import split_table

_CANDIDATE: Candidate = "boosted_trees"
_SEEDS_APART = 1_000_000  # between the first seeds of the further splits, where each seed draws its own


class Verdict(NamedTuple):
    """Whether a table passed, whether it did on one split, and whether that was close."""

    passed: bool
    on_one: bool
    close: bool


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.gate_lottery",
        description="Measure how often the gate finds tables of few subscribers better than the baselines.",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="CSV", help="labelled table")
    parser.add_argument("--groups", required=True, metavar="COLUMN", help="column that says whose month a row is")
    parser.add_argument("--subscribers", type=cli.positive_int, nargs="+", default=[60, 100], help="of a table")
    parser.add_argument("--tables", type=cli.positive_int, default=5, help="tables of each size (default: %(default)s)")
    parser.add_argument("--seeds", type=cli.positive_int, default=4, help="seeds of each table (default: %(default)s)")
    parser.add_argument("--labels", nargs="+", choices=["own", "dealt"], default=["own", "dealt"], help="default: both")
    parser.add_argument(
        "--vary",
        choices=["seed", "folds"],
        default="seed",
        help="what differs between the seeds: everything, or the folds alone, on one split and without repeats",
    )
    parser.add_argument(
        "--redraw",
        action="store_true",
        help="let each seed draw its own further splits, while the gate has the same ones for every seed",
    )
    add_table_options(parser)
    options = parser.parse_args(arguments)
    settings = load_settings(choose_config(None, cli.say))
    selection = settings.selection.model_copy(update={"candidates": [*BASELINES, _CANDIDATE]})
    settings = settings.model_copy(update={"selection": selection})
    data = read_labelled(options.data, groups=options.groups, format=format_of(options))
    cli.say("| subscribers | labels | passed | on one split | close | all seeds agree | on one split |")
    cli.say("| --- | --- | --- | --- | --- | --- | --- |")
    for count in options.subscribers:
        for labels in options.labels:
            found = np.array(
                [
                    [_judged(table, settings, seed, options) for seed in range(options.seeds)]
                    for table in tqdm(
                        [_drawn(data, count, number, labels == "dealt") for number in range(options.tables)],
                        disable=None,
                        leave=False,
                    )
                ]
            )
            passed, on_one, close = (f"{share:.0%}" for share in found.mean(axis=(0, 1)))
            agree, agree_on_one = (f"{_agree(found[:, :, i]):.0%}" for i in (0, 1))
            cli.say(f"| {count} | {labels} | {passed} | {on_one} | {close} | {agree} | {agree_on_one} |")
    return cli.DONE


def _agree(verdicts: npt.NDArray[np.bool_]) -> float:
    """Give the share of the tables, shape (tables, seeds), on which all seeds agree."""
    return float(np.mean(verdicts.min(axis=1) == verdicts.max(axis=1)))


def _drawn(data: LabelledTable, count: int, number: int, dealt: bool) -> LabelledTable:
    """Draw the subscribers of a table, and deal their labels if wanted."""
    rng = np.random.default_rng(number)
    everybody = Subscribers(data.subscribers, data.target)
    table = data.take(everybody.rows_of(rng.choice(len(everybody.labels), count, replace=False)))
    if not dealt:
        return table
    chosen = Subscribers(table.subscribers, table.target)
    return replace(table, target=rng.permutation(chosen.labels)[chosen.of_row])


def _judged(table: LabelledTable, settings: Settings, seed: int, options: argparse.Namespace) -> Verdict:
    settings = settings.model_copy(update={"seed": seed})
    split = split_table(table, settings.split.test_share, 0 if options.vary == "folds" else seed)
    training = table.take(split.training)
    results = cross_validate(training.features, training.target, settings, subscribers=training.subscribers)
    on_one = all(check.passed for check in check_baselines(results[-1], results, settings))
    if options.vary == "folds":
        return Verdict(on_one, on_one, False)
    first = (seed + 1) * _SEEDS_APART if options.redraw else FIRST_SEED
    others = OtherSplits(_CANDIDATE, table, settings, first)
    compared = compare_with_baselines(results[-1], results, others, settings)
    return Verdict(all(check.passed for check in compared.checks), on_one, compared.splits > 1)
