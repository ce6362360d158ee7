"""The registered model on fresh rows: on rows that it was not trained on, and beside a new model on the same ones."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import stats

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.evaluation.comparison import mean_interval
from plan_recommender.evaluation.metrics import Probabilities
from plan_recommender.model.store import RegisteredModel
from plan_recommender.training.known_rows import seen_by

MIN_ROWS = 20
"""Of a test part, and of the rows on which two models are compared, or one with itself at another time."""

FALSE_ALARMS = 0.01
"""How often, at most, a champion that is as good as ever is found to be worse by chance, in one look at fresh rows."""


_Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """The answers of a new model to rows that it was not trained on."""

    table: LabelledTable
    probabilities: Probabilities
    """Of Ultra, shape (repeats, rows): from one model for the test part, from each repeat for rows out of fold."""

    @property
    def brier(self) -> _Scores:
        """The Brier score of each row, mean over the repeats, shape (rows,)."""
        scores: _Scores = np.mean((self.probabilities - self.table.target) ** 2, axis=0)
        return scores


class Unseen:
    """The rows that the registered model was not trained on: label, both models' Brier scores, and subscriber."""

    def __init__(self, registered: RegisteredModel, answers: Answers) -> None:
        """Find them among the rows of a new model's answers.

        Raises:
            ModelError: a file of the registered model is missing or was altered.
        """
        table = answers.table
        unseen = ~seen_by(registered, table)
        self.target = table.target[unseen]
        self.new = answers.brier[unseen]
        self.old = (registered.scorer().probabilities(table.features[unseen]) - self.target) ** 2
        self.owners = owners(table)[unseen]


def owners(table: LabelledTable) -> npt.NDArray[np.int64]:
    """Give a number for the subscriber of each row, shape (rows,); without subscribers each row has its own."""
    return np.arange(len(table.target)) if table.subscribers is None else table.subscribers


@dataclass(frozen=True)
class Beside:
    """Both models' Brier scores on all fresh rows: those of the test part, and the training part out of fold."""

    rows: int
    champion: float
    model: float
    low: float
    """Of the interval of the difference, new less old: a paired bootstrap by subscriber."""
    high: float

    @classmethod
    def measure(
        cls, registered: RegisteredModel, test: Answers, out_of_fold: Answers, settings: Settings
    ) -> Self | None:
        """Compare them; None if there are fewer than `MIN_ROWS` fresh rows.

        Models of the cross-validation learn from fewer rows than the one to be registered, so that the new model is
        rather better than it looks.

        Raises:
            ModelError: a file of the registered model is missing or was altered.
        """
        parts = [Unseen(registered, answers) for answers in (test, out_of_fold)]
        new, old = (np.concatenate([getattr(part, name) for part in parts]) for name in ("new", "old"))
        if len(new) < MIN_ROWS:
            return None
        # Both parts number subscribers as the whole table does; without subscribers each numbers its own rows.
        by_subscriber = test.table.subscribers is not None
        who = np.concatenate([part.owners for part in parts]) if by_subscriber else np.arange(len(new))
        return cls.of(new, old, who, settings)

    @classmethod
    def of(cls, new: _Scores, old: _Scores, who: npt.NDArray[np.int64], settings: Settings) -> Self:
        """Compare the Brier scores of rows, whose subscribers `who` tells apart; each has the shape (rows,)."""
        low, high = mean_interval(new - old, who, settings.comparison, settings.seed)
        return cls(len(new), float(old.mean()), float(new.mean()), low, high)


@dataclass(frozen=True)
class Ageing:
    """The champion's Brier score on fresh rows, and what it was when it was trained."""

    rows: int
    brier: float
    before: float
    low: float
    """The difference is larger than this, with a confidence of 1 - `FALSE_ALARMS`."""
    worse: bool

    @classmethod
    def measure(cls, registered: RegisteredModel, table: LabelledTable, settings: Settings) -> Self | None:
        """Ask whether the champion answers fresh rows as well as it answered those of its own table.

        It does not if the difference is above 0 with a confidence of 1 - `FALSE_ALARMS`, by subscriber, and larger than
        `gate.margin`: in a large table a difference that does not matter is certain, too. What it was before is the
        mean over the test part and the cross-validation of its own run, weighted by their rows. Their rows are not
        stored, so that they are taken to vary as the fresh ones do.

        Returns:
            None if there are fewer than `MIN_ROWS` fresh rows.

        Raises:
            ModelError: a file of the registered model is missing or was altered.
        """
        fresh = ~seen_by(registered, table)
        rows = int(fresh.sum())
        if rows < MIN_ROWS:
            return None
        scores = (registered.scorer().probabilities(table.features[fresh]) - table.target[fresh]) ** 2
        return cls.of(scores, owners(table)[fresh], *_brier_before(registered), settings.gate.margin)

    @classmethod
    def of(cls, scores: _Scores, who: npt.NDArray[np.int64], before: float, rows_before: int, margin: float) -> Self:
        """Ask it of the Brier scores of fresh rows, and the subscribers that they belong to, both of shape (rows,)."""
        error, units = _standard_error(scores, who)
        error *= math.sqrt(1 + len(scores) / rows_before)
        difference = float(scores.mean()) - before
        low = difference - float(stats.t.ppf(1 - FALSE_ALARMS, max(1, units - 1))) * error
        return cls(len(scores), float(scores.mean()), before, low, low > 0 and difference > margin)


def _brier_before(registered: RegisteredModel) -> tuple[float, int]:
    """Give a model's Brier score on rows of its own table that its answers were not learned from, and their number."""
    record = registered.record
    on_test, test_rows = float(record.metrics["brier"]), int(record.metrics["test_rows"])
    validated = min(record.data.training_rows, int(record.settings["selection"]["max_rows"]))
    out_of_fold = float(record.metrics["cross_validation"]["brier"]["mean"])
    rows = test_rows + validated
    return (on_test * test_rows + out_of_fold * validated) / rows, rows


def _standard_error(scores: _Scores, who: npt.NDArray[np.int64]) -> tuple[float, int]:
    """Give the standard error of a mean over rows that belong to subscribers, and the number of subscribers."""
    _, owner = np.unique(who, return_inverse=True)
    sums = np.bincount(owner, weights=scores - scores.mean())
    units = len(sums)
    return float(np.sqrt((sums**2).sum() * units / max(1, units - 1)) / len(scores)), units
