"""Measure how often the gate finds a table of few subscribers better than the baselines, and how much a seed decides.

usage: python -m tools.gate_lottery --data CSV --groups COLUMN [--subscribers 60 100] [--tables 5] [--seeds 4]

Each table holds some subscribers of the data, drawn at random. It is judged with several seeds as it is, and with the
subscribers' labels dealt at random, where nothing can be found.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.gate_lottery")

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.config.load import choose_config, load_settings
from plan_recommender.config.settings import BASELINES, Candidate, Metric, Settings
from plan_recommender.data.csv_table import LabelledTable, read_labelled
from plan_recommender.data.subscribers import Subscribers
from plan_recommender.data.table_options import add_table_options, format_of
from plan_recommender.training.gate import check_baselines
from plan_recommender.training.selection import CrossValidated, cross_validate, standard_error
from plan_recommender.training.split import split_table

_CANDIDATE: Candidate = "boosted_trees"
_METRICS: tuple[Metric, ...] = ("roc_auc", "brier")


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
    add_table_options(parser)
    options = parser.parse_args(arguments)
    settings = load_settings(choose_config(None, cli.say))
    selection = settings.selection.model_copy(update={"candidates": [*BASELINES, _CANDIDATE]})
    settings = settings.model_copy(update={"selection": selection})
    data = read_labelled(options.data, groups=options.groups, format=format_of(options))
    cli.say("| subscribers | labels | passed | by the rule before | tables on which all seeds agree |")
    cli.say("| --- | --- | --- | --- | --- |")
    for count in options.subscribers:
        for dealt in (False, True):
            found = np.array(
                [
                    [_judged(_drawn(data, count, table, dealt), settings, seed) for seed in range(options.seeds)]
                    for table in tqdm(range(options.tables), disable=None, leave=False)
                ]
            )
            passed, before = found.mean(axis=(0, 1))
            agree = np.mean(found[:, :, 0].min(axis=1) == found[:, :, 0].max(axis=1))
            cli.say(f"| {count} | {'dealt' if dealt else 'own'} | {passed:.0%} | {before:.0%} | {agree:.0%} |")
    return cli.DONE


def _drawn(data: LabelledTable, count: int, number: int, dealt: bool) -> LabelledTable:
    """Draw the subscribers of a table, and deal their labels if wanted."""
    rng = np.random.default_rng(number)
    everybody = Subscribers(data.subscribers, data.target)
    table = data.take(everybody.rows_of(rng.choice(len(everybody.labels), count, replace=False)))
    if not dealt:
        return table
    chosen = Subscribers(table.subscribers, table.target)
    return replace(table, target=rng.permutation(chosen.labels)[chosen.of_row])


def _judged(table: LabelledTable, settings: Settings, seed: int) -> tuple[bool, bool]:
    """Compare with the baselines; returns whether the table passes, and whether it did by the rule before.

    That rule asked for more than one standard error of both gains on the majority rule.
    """
    settings = settings.model_copy(update={"seed": seed})
    training = table.take(split_table(table, settings.split.test_share, seed).training)
    results = cross_validate(training.features, training.target, settings, subscribers=training.subscribers)
    majority, champion = results[0], results[-1]
    checks = check_baselines(champion, results, settings)
    enough = all(_gains(champion, majority, metric, settings) for metric in _METRICS)
    version_1 = all(check.passed for check in checks if "logistic_regression" in check.name)
    return all(check.passed for check in checks), enough and version_1


def _gains(champion: CrossValidated, majority: CrossValidated, metric: Metric, settings: Settings) -> bool:
    sign = -1.0 if metric == "brier" else 1.0
    gain = sign * (champion.scores(metric) - majority.scores(metric))
    return bool(gain.mean() > standard_error(gain, settings.selection.folds))
