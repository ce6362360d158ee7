"""A close comparison with the baselines is decided on many splits of the table, and not on one.

Which subscribers happen to be in the training part moves such a verdict more than the folds do. Each further repeat of
the cross-validation therefore has a split of its own. They are the same for every seed, so that nobody can look for a
seed that passes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from plan_recommender.config.settings import BASELINES, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import TableError
from plan_recommender.training import gate
from plan_recommender.training.gate import Check
from plan_recommender.training.selection import CrossValidated, cross_validate
from plan_recommender.training.split import compared_part, split_table

CLOSE: Final = 1.5
"""Standard errors: from one split to the next, the margin of small tables varies with a standard deviation of 0.7."""

REPEATS_MORE: Final = 4
"""Further repeats, as multiples of `selection.repeats`."""

FIRST_SEED: Final = 3_000_000_000
"""Of the further splits: the same for every run, and a seed that nobody gives by accident."""


@dataclass(frozen=True)
class Compared:
    """The checks of a champion against the baselines."""

    checks: list[Check]
    splits: int
    """How many splits of the table decided: 1, or more because it was close."""


def compare_with_baselines(
    champion: CrossValidated,
    results: Sequence[CrossValidated],
    table: LabelledTable,
    settings: Settings,
    say: Callable[[str], object] = lambda _: None,
    first_seed: int = FIRST_SEED,
) -> Compared:
    """Check a champion against the baselines; repeat that on other splits of the whole table if it is close.

    It is close if the check with the smallest margin is within `CLOSE` standard errors of the other verdict. Then
    `REPEATS_MORE` times as many repeats of the cross-validation are made again, each on a split of its own, and all
    of them together decide. Champion and baselines are what the run's own training part chose.

    Args:
        champion: one of `results`.
        results: of the comparison on the training part.
        table: the whole table.
        settings: of the run.
        say: is called with a sentence before the repeats.
        first_seed: of the further splits.
    """
    checks = gate.check_baselines(champion, results, settings)
    margin = gate.smallest_margin(champion, results, settings)
    if abs(margin) >= CLOSE:
        return Compared(checks, 1)
    more = REPEATS_MORE * settings.selection.repeats
    say(f"the comparison with the baselines is close: it is repeated on {more} other splits of the table")
    repeated = {result.candidate: result for result in results if result.candidate in (*BASELINES, champion.candidate)}
    made = 0
    for seed in range(first_seed, first_seed + more):
        try:
            again = _on_split(champion, table, settings, seed)
        except TableError:
            continue  # too few subscribers of a plan in this training part for the folds
        made += 1
        for result in again:
            former = repeated[result.candidate]
            repeated[result.candidate] = replace(former, folds=[*former.folds, *result.folds])
    if not made:
        return Compared(checks, 1)
    checks = gate.check_baselines(repeated[champion.candidate], list(repeated.values()), settings)
    how = f" on {made + 1} splits of the table, because it was close on one"
    return Compared([check.model_copy(update={"found": check.found + how}) for check in checks], made + 1)


def _on_split(champion: CrossValidated, table: LabelledTable, settings: Settings, seed: int) -> list[CrossValidated]:
    """Cross-validate the champion and the baselines once on the training part of another split."""
    selection = settings.selection.model_copy(update={"candidates": [*BASELINES, champion.candidate], "repeats": 1})
    settings = settings.model_copy(update={"selection": selection, "seed": seed})
    part = compared_part(table.take(split_table(table, settings.split.test_share, seed).training), settings)
    return cross_validate(part.features, part.target, settings, subscribers=part.subscribers)
