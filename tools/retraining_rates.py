"""Measure how often retraining is right, over simulated lives of a service, by what a gate could ask of the new model.

usage: python -m tools.retraining_rates [--lives 200] [--months 12] [--rows 3000] [--seed 42]

A life is a champion that is trained on one synthetic table, and further tables, one a month, until one gives a reason
to train. In one kind of life nothing changes, so that every retraining is a false one; once more with a retraining in
the first month, as with --always. In the others usage drifts, plans are given out by another rule while usage stays, or
labels are shuffled. Each month is asked as retrain.py asks it. A new model that is better than the baselines is
compared with the champion on 50,000 further rows of the month's kind: it is significantly worse if its Brier score is,
by two standard errors of the difference. The boosted trees train alone, with one repeat, because many are trained.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.retraining_rates")

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.synthesis import SHIFTS, generate
from plan_recommender.drift.reference import profile
from plan_recommender.drift.verdict import Sample
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.training.fresh_rows import Ageing, Beside
from plan_recommender.training.gate import check_baselines
from plan_recommender.training.retraining import drifted
from plan_recommender.training.run import Trained, answers_of, train

ALWAYS = "nothing, --always"
KINDS = ("nothing", ALWAYS, "other rule", "shuffled labels", *(name for name in SHIFTS if name != "none"))
RULES = ("not worse by gate.margin", "better on these rows", "better, not by chance")
_JUDGED_ROWS = 50_000
_WRONG_WAY = 0.25  # of the subscribers, those with most messages among them, who change plans under another rule


class Month(NamedTuple):
    """What was found in one month."""

    drift: bool
    ageing: bool
    promoted: tuple[bool, bool, bool] | None
    """By each of `RULES`; None: there was no reason to train."""
    worse: bool
    """Whether the new model is significantly worse than the champion."""


@dataclass(frozen=True)
class _Champion:
    trained: Trained
    table: LabelledTable

    def scores(self, table: LabelledTable) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Give the Brier score of each row."""
        return np.asarray((self.trained.scorer.probabilities(table.features) - table.target) ** 2)


def live(kind: str, months: int, rows: int, settings: Settings, seed: int) -> list[Month]:
    """Live one life: the first month's champion meets `months` more tables, until one of them gives a reason."""
    seeds = np.random.SeedSequence(seed).generate_state(2 * months + 1)
    first = draw("nothing", rows, int(seeds[0]))
    champion = _Champion(train(first, settings), first)
    scorer = champion.trained.scorer
    training = first.features[champion.trained.split.training]
    cuts = [feature.cuts for feature in champion.trained.document.features]
    reference = profile(training, list(FEATURE_NAMES), settings.drift, settings.seed, cuts=cuts, scorer=scorer)
    test = first.take(champion.trained.split.test)
    validated = champion.trained.compared
    out_of_fold = answers_of(champion.trained, test)[1].brier
    before = float(np.concatenate([champion.scores(test), out_of_fold]).mean())
    lived = []
    for month in range(months):
        table = draw(kind, rows, int(seeds[1 + month]))
        drift = drifted(reference, scorer, Sample(table.features), settings.drift)[0] == "drift"
        ageing = Ageing.of(
            champion.scores(table), np.arange(rows), before, len(test.target) + len(validated.target),
            settings.gate.margin,
        ).worse  # fmt: skip
        if not drift and not ageing and kind != ALWAYS:
            lived.append(Month(drift, ageing, None, False))
            continue
        lived.append(_retrain(champion, table, kind, (drift, ageing), settings, int(seeds[1 + months + month])))
        break
    return lived


def draw(kind: str, rows: int, seed: int) -> LabelledTable:
    """Draw a month's table."""
    chunks = list(generate(rows, seed, kind if kind in SHIFTS else "none"))
    features = np.concatenate([chunk.features for chunk in chunks])
    target = np.concatenate([chunk.target for chunk in chunks])
    if kind == "shuffled labels":
        target = np.random.default_rng(seed).permutation(target)
    if kind == "other rule":
        messages = features[:, FEATURE_NAMES.index("messages")]
        target = np.where(messages > np.quantile(messages, 1 - _WRONG_WAY), 1 - target, target)
    return LabelledTable(Path(f"{kind}.csv"), f"{kind} {seed}", features, target)


def _retrain(
    champion: _Champion, table: LabelledTable, kind: str, reasons: tuple[bool, bool], settings: Settings, seed: int
) -> Month:
    new = train(table, settings)
    test = table.take(new.split.test)
    on_test, out_of_fold = answers_of(new, test)
    scores = np.concatenate([on_test.brier, out_of_fold.brier])
    old = np.concatenate([champion.scores(test), champion.scores(new.compared)])
    beside = Beside.of(scores, old, np.arange(len(scores)), settings)
    own = next(result for result in new.results if result.candidate == new.champion)
    passed = all(check.passed for check in check_baselines(own, new.results, settings))
    difference = beside.model - beside.champion
    promoted = (
        passed and difference <= settings.gate.margin,
        passed and difference < 0,
        passed and beside.high < 0,
    )
    judged = draw(kind, _JUDGED_ROWS, seed)
    differences = (new.scorer.probabilities(judged.features) - judged.target) ** 2 - champion.scores(judged)
    worse = bool(differences.mean() > 2 * differences.std() / np.sqrt(len(differences)))
    return Month(*reasons, promoted, worse)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; returns 0."""
    parser = argparse.ArgumentParser(
        prog="tools.retraining_rates", description="Measure how often retraining is right, over simulated lives."
    )
    parser.add_argument("--lives", type=cli.positive_int, default=200, metavar="N", help="default: %(default)s")
    parser.add_argument("--months", type=cli.positive_int, default=12, metavar="N", help="default: %(default)s")
    parser.add_argument("--rows", type=cli.positive_int, default=3000, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=cli.seed, default=42, help="default: %(default)s")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="default: all")
    options = parser.parse_args(arguments)
    quick = {"candidates": ["majority_rule", "logistic_regression", "boosted_trees"], "repeats": 1}
    settings = Settings.model_validate({"selection": quick, "proof": {"rows": 100}})
    cli.say(
        "| what changes | months | drift found | champion found worse | models trained | "
        + " | ".join(f"promoted if {rule}, and of these worse" for rule in RULES) + " |"
    )  # fmt: skip
    cli.say("| --- " * (5 + len(RULES)) + "|")
    for kind in options.kinds:
        lives = tqdm(range(options.lives), unit="life", desc=kind, disable=None, leave=False)
        lived = [live(kind, options.months, options.rows, settings, options.seed + 10_000 * number) for number in lives]
        found = [month for life in lived for month in life]
        trained = [month for month in found if month.promoted is not None]
        cells = []
        for k in range(len(RULES)):
            promoted = [month for month in trained if month.promoted is not None and month.promoted[k]]
            cells.append(f"{len(promoted)}, {sum(month.worse for month in promoted)}")
        cli.say(
            f"| {kind} | {len(found):,} | {sum(month.drift for month in found)} | "
            f"{sum(month.ageing for month in found)} | {len(trained)} | {' | '.join(cells)} |"
        )
    return cli.DONE
