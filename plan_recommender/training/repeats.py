"""What is close is decided on many splits of the table, and not on one: comparison with the baselines, and calibration.

Which subscribers happen to be in the training part moves such a verdict more than the folds do. Each further repeat of
the cross-validation therefore has a split of its own. They are the same for every seed, so that a seed decides little
where it decided all. It still decides which candidate is the champion, and whether the verdict is close at all.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from plan_recommender.config.settings import BASELINES, Candidate, GateSettings, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import TableError
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.training import gate
from plan_recommender.training.gate import Check
from plan_recommender.training.selection import CrossValidated, calibration_out_of_fold, cross_validate
from plan_recommender.training.split import compared_part, split_table

CLOSE: Final = 1.5
"""Standard errors: from one split to the next, the margin of small tables varies with a standard deviation of 0.7."""

CLOSE_CALIBRATION: Final = 1.5
"""Factor between a calibration error and its limit within which one split does not decide.

`tools.gate_rates` measures how often models are accepted with it, and on one split alone.
"""

REPEATS_MORE: Final = 4
"""Further repeats, as multiples of `selection.repeats`."""

FIRST_SEED: Final = 3_000_000_000
"""Of the further splits: the same for every run, and a seed that nobody gives by accident."""


@dataclass(frozen=True)
class OtherSplit:
    """Another split of the table: its training part, and the champion and the baselines cross-validated on it."""

    part: LabelledTable
    results: list[CrossValidated]


class OtherSplits:
    """The further splits, the same for every seed. They are made when they are first asked for, and only once."""

    def __init__(
        self, champion: Candidate, table: LabelledTable, settings: Settings, first_seed: int = FIRST_SEED
    ) -> None:
        self.planned = REPEATS_MORE * settings.selection.repeats
        self._champion = champion
        self._table = table
        self._settings = settings
        self._first_seed = first_seed

    @cached_property
    def made(self) -> list[OtherSplit]:
        """Leaves out splits whose training part has too few subscribers of a plan for the folds."""
        made = []
        for seed in range(self._first_seed, self._first_seed + self.planned):
            with suppress(TableError):
                made.append(_on_split(self._champion, self._table, self._settings, seed))
        return made


@dataclass(frozen=True)
class Compared:
    """The checks of a champion against the baselines."""

    checks: list[Check]
    splits: int
    """How many splits of the table decided: 1, or more because it was close."""


@dataclass(frozen=True)
class CheckedCalibration:
    """The check of a champion's calibration."""

    check: Check
    splits: int
    """How many splits of the table decided: 1, or more because it was close."""


def compare_with_baselines(
    champion: CrossValidated,
    results: Sequence[CrossValidated],
    others: OtherSplits,
    settings: Settings,
    say: Callable[[str], object] = lambda _: None,
) -> Compared:
    """Check a champion against the baselines; repeat that on other splits of the whole table if it is close.

    It is close if the check with the smallest margin is within `CLOSE` standard errors of the other verdict. Then
    `REPEATS_MORE` times as many repeats of the cross-validation are made again, each on a split of its own, and all
    of them together decide. Champion and baselines are what the run's own training part chose.

    Args:
        champion: one of `results`.
        results: of the comparison on the training part.
        others: the other splits of the whole table.
        settings: of the run.
        say: is called with a sentence before the repeats.
    """
    checks = gate.check_baselines(champion, results, settings)
    margin = gate.smallest_margin(champion, results, settings)
    if abs(margin) >= CLOSE:
        return Compared(checks, 1)
    say(f"the comparison with the baselines is close: it is repeated on {others.planned} other splits of the table")
    repeated = {result.candidate: result for result in results if result.candidate in (*BASELINES, champion.candidate)}
    for again in others.made:
        for result in again.results:
            former = repeated[result.candidate]
            repeated[result.candidate] = replace(former, folds=[*former.folds, *result.folds])
    if not others.made:
        return Compared(checks, 1)
    splits = len(others.made) + 1
    checks = gate.check_baselines(repeated[champion.candidate], list(repeated.values()), settings)
    how = f" on {splits} splits of the table, because it was close on one"
    return Compared([check.model_copy(update={"found": check.found + how}) for check in checks], splits)


def check_calibration(
    calibration: Calibration,
    champion: Candidate,
    others: OtherSplits,
    settings: Settings,
    say: Callable[[str], object] = lambda _: None,
) -> CheckedCalibration:
    """Check a champion's calibration; measure it on other splits of the whole table too if it is close to its limit.

    `is_close` says when it is: error and limit differ by less than the factor `CLOSE_CALIBRATION`, and the error is
    above `gate.max_ece`. Then the median over all splits decides, the run's own among them.

    Args:
        calibration: out of fold, on the training part.
        champion: whose it is.
        others: the other splits of the whole table.
        settings: of the run.
        say: is called with a sentence before it is measured there.
    """
    if not is_close(calibration, settings.gate):
        return CheckedCalibration(gate.check_calibration(calibration, settings.gate), 1)
    say(f"the calibration error is close to its limit: it is measured on {others.planned} other splits of the table")
    measured = [
        calibration_out_of_fold(other.part.target, result, settings, other.part.subscribers)
        for other in others.made
        for result in other.results
        if result.candidate == champion
    ]
    return CheckedCalibration(gate.check_calibration(calibration, settings.gate, measured), len(measured) + 1)


def is_close(calibration: Calibration, settings: GateSettings) -> bool:
    """Tell whether a calibration error is so close to its limit that one split does not decide."""
    ratio = gate.calibration_ratio(calibration, settings)
    return 1 / CLOSE_CALIBRATION < ratio < CLOSE_CALIBRATION and calibration.ece > settings.max_ece


def _on_split(champion: Candidate, table: LabelledTable, settings: Settings, seed: int) -> OtherSplit:
    """Cross-validate the champion and the baselines once on the training part of another split."""
    selection = settings.selection.model_copy(update={"candidates": [*BASELINES, champion], "repeats": 1})
    settings = settings.model_copy(update={"selection": selection, "seed": seed})
    part = compared_part(table.take(split_table(table, settings.split.test_share, seed).training), settings)
    return OtherSplit(part, cross_validate(part.features, part.target, settings, subscribers=part.subscribers))
