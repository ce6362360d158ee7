"""The gate: the checks that a model must pass to be registered.

A model that fails one of them is refused, and the registered model stays. Checks on the training part use out-of-fold
probabilities of several repeats, and so does the comparison with the registered model, on rows that it was not trained
on: no verdict hangs on one split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from plan_recommender.config.settings import BASELINES, GateSettings, Metric, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.comparison import mean_interval
from plan_recommender.evaluation.metrics import Probabilities
from plan_recommender.model.store import RegisteredModel
from plan_recommender.training.selection import LESS_IS_BETTER, CrossValidated, standard_error
from plan_recommender.training.split import row_keys, subscriber_keys

_BETTER_BY: tuple[Metric, ...] = ("roc_auc", "brier")
_NAMES = {"roc_auc": "ROC AUC", "brier": "Brier score"}
_MIN_ROWS = 20  # of a test part, and of the rows on which two models are compared


class Check(BaseModel):
    """One check of the gate, and its result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """What is expected."""
    passed: bool
    found: str


class GateReport(BaseModel):
    """All checks of one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checks: list[Check]

    @property
    def passed(self) -> bool:
        """Whether the model may be registered: it passed every check."""
        return all(check.passed for check in self.checks)


def check_baselines(champion: CrossValidated, results: Sequence[CrossValidated], settings: Settings) -> list[Check]:
    """Check that ROC AUC and Brier score are better than those of both baselines by more than one standard error.

    The difference is the mean over the same folds; `selection.standard_error` defines its standard error.
    """
    return [
        _better(champion, result, metric, settings.selection.folds)
        for result in results
        if result.candidate in BASELINES
        for metric in _BETTER_BY
    ]


def check_calibration(calibration: Calibration, settings: GateSettings) -> Check:
    """Check that the out-of-fold calibration error is at most `max_ece`, or no more than chance often makes.

    A model fails if its error is larger than `max_ece` and than that of 97.5 % of perfectly calibrated models with the
    same probabilities on as many rows and subscribers.
    """
    return Check(
        name=f"calibration error (ECE) at most {settings.max_ece:g}",
        passed=calibration.ece <= max(settings.max_ece, calibration.ece_limit),
        found=f"{calibration.ece:.4f} out of fold; of perfectly calibrated models on as many rows, 97.5 % show at most "
        f"{calibration.ece_limit:.4f} by chance, which passes too",
    )


def check_test_part(table: LabelledTable) -> Check:
    """Check that the test part has at least `_MIN_ROWS` rows."""
    ultra = int(table.target.sum())
    return Check(
        name=f"a test part of at least {_MIN_ROWS} rows",
        passed=len(table.target) >= _MIN_ROWS,
        found=f"{len(table.target):,}, of which {ultra:,} Ultra; a larger table or split.test_share makes it larger",
    )


@dataclass(frozen=True)
class Answers:
    """The answers of a new model to rows that it was not trained on."""

    table: LabelledTable
    probabilities: Probabilities
    """Of Ultra, shape (repeats, rows): from one model for the test part, from each repeat for rows out of fold."""

    @property
    def brier(self) -> npt.NDArray[np.float64]:
        """The Brier score of each row, mean over the repeats, shape (rows,)."""
        scores: npt.NDArray[np.float64] = np.mean((self.probabilities - self.table.target) ** 2, axis=0)
        return scores


def check_registered(registered: RegisteredModel, answers: Sequence[Answers], settings: Settings) -> Check:
    """Check that the Brier score is not worse than the registered model's, on rows that neither was trained on.

    It is worse if the whole interval of the difference (paired bootstrap by subscriber) is above 0, or if the
    difference is larger than `gate.margin`. With fewer than `_MIN_ROWS` such rows, or only one label among them, the
    check fails.

    Args:
        registered: the model that `:latest` names.
        answers: of the new model, to the training part out of fold and to the test part.
        settings: the sections `gate` and `comparison` and the seed are used.

    Raises:
        ModelError: a file of the registered model is missing or was altered.
    """
    margin, confidence = settings.gate.margin, settings.comparison.confidence
    name = f"Brier score not worse than that of {registered.tag} on the same rows"
    old = registered.scorer()
    new_scores, old_scores, targets, owners = [], [], [], []
    for part in answers:
        unseen = ~seen_by(registered, part.table)
        target = part.table.target[unseen]
        targets.append(target)
        new_scores.append(part.brier[unseen])
        old_scores.append((old.probabilities(part.table.features[unseen]) - target) ** 2)
        rows = row_keys(part.table) if part.table.subscribers is None else part.table.subscribers
        owners.append(rows[unseen])
    target = np.concatenate(targets)
    if len(target) < _MIN_ROWS or len(np.unique(target)) < 2:
        return Check(
            name=name,
            passed=False,
            found=f"only {len(target):,} rows that neither model was trained on, of which {int(target.sum()):,} Ultra; "
            f"expected at least {_MIN_ROWS} with both plans: train on a table with new rows, or with the seed and "
            f"test_share of {registered.tag}",
        )
    new, old_score = np.concatenate(new_scores), np.concatenate(old_scores)
    difference = float(np.mean(new - old_score))
    low, high = mean_interval(new - old_score, np.concatenate(owners), settings.comparison, settings.seed)
    return Check(
        name=name,
        passed=not (low > 0 or difference > margin),
        found=f"{new.mean():.4f} against {old_score.mean():.4f} on {len(target):,} rows that neither was trained on: "
        f"{difference:+.4f}, {confidence:.0%} interval {low:+.4f} to {high:+.4f}, margin {margin:g}",
    )


def seen_by(model: RegisteredModel, table: LabelledTable) -> npt.NDArray[np.bool_]:
    """Tell which rows belong to the training part of a model, or to one of its subscribers, as far as is known.

    Shape (rows,).

    Raises:
        ModelError: a file of the model is missing or was altered.
    """
    seen: npt.NDArray[np.bool_] = np.isin(row_keys(table), model.training_rows())
    if table.subscribers is None:
        return seen
    if model.record.data.training_subscribers:
        seen = seen | np.isin(
            subscriber_keys(table, model.record.data.training_subscribers), model.training_subscribers()
        )
    return np.isin(table.subscribers, table.subscribers[seen])


def _better(champion: CrossValidated, baseline: CrossValidated, metric: Metric, folds: int) -> Check:
    sign = -1.0 if metric in LESS_IS_BETTER else 1.0
    ours, theirs = champion.scores(metric), baseline.scores(metric)
    gain = sign * (ours - theirs)
    error = standard_error(gain, folds)
    name = f"{_NAMES[metric]} better than {baseline.candidate}'s"
    return Check(
        name=name,
        passed=bool(gain.mean() > error),
        found=f"{ours.mean():.4f} against {theirs.mean():.4f} by cross-validation: better by {gain.mean():+.4f}, "
        f"standard error {error:.4f}",
    )
