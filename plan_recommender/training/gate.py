"""The gate: the checks that a model must pass to be registered.

A model that fails one of them is refused, and the registered model stays. Checks on the training part use out-of-fold
probabilities; the comparison with the registered model uses rows of the test part that neither model was trained on.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from plan_recommender.config.settings import BASELINES, GateSettings, Metric, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.comparison import compare_paired
from plan_recommender.evaluation.metrics import Probabilities
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.training.selection import LESS_IS_BETTER, CrossValidated, standard_error
from plan_recommender.training.split import row_keys

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
    """Check that the out-of-fold calibration error is at most `max_ece`, or at most the mean that chance would make."""
    return Check(
        name=f"calibration error (ECE) at most {settings.max_ece:g}",
        passed=calibration.ece <= max(settings.max_ece, calibration.ece_by_chance),
        found=f"{calibration.ece:.4f} out of fold; as many rows of a perfectly calibrated model show about "
        f"{calibration.ece_by_chance:.4f} by chance, which passes too",
    )


def check_test_part(table: LabelledTable) -> Check:
    """Check that the test part has at least `_MIN_ROWS` rows."""
    ultra = int(table.target.sum())
    return Check(
        name=f"a test part of at least {_MIN_ROWS} rows",
        passed=len(table.target) >= _MIN_ROWS,
        found=f"{len(table.target):,}, of which {ultra:,} Ultra; a larger table or split.test_share makes it larger",
    )


def check_registered(
    registered: RegisteredModel,
    scorer: Scorer,
    table: LabelledTable,
    probabilities: Probabilities,
    settings: Settings,
) -> Check:
    """Check that the Brier score is not worse than the registered model's, on rows that neither was trained on.

    It is worse if the whole interval of the difference (paired bootstrap) is above 0, or if the difference is larger
    than `gate.margin`. With fewer than `_MIN_ROWS` such rows, or only one label among them, the check fails.

    Args:
        registered: the model that `:latest` names.
        scorer: of the new model.
        table: the new model's test part.
        probabilities: of the new model, for the rows of `table`, shape (rows,).
        settings: the sections `gate` and `comparison` and the seed are used.

    Raises:
        ModelError: a file of the registered model is missing or was altered.
    """
    margin, confidence = settings.gate.margin, settings.comparison.confidence
    name = f"Brier score not worse than that of {registered.tag} on the same rows"
    unseen = ~np.isin(row_keys(table), registered.training_rows())
    target, features = table.target[unseen], table.features[unseen]
    if len(target) < _MIN_ROWS or len(np.unique(target)) < 2:
        return Check(
            name=name,
            passed=False,
            found=f"only {len(target):,} rows of the test part that neither model was trained on, of which "
            f"{int(target.sum()):,} Ultra; expected at least {_MIN_ROWS} with both plans: train on a table with new "
            f"rows, or with the seed and test_share of {registered.tag}",
        )
    old = registered.scorer()
    old_probabilities = old.probabilities(features)
    new_probabilities = probabilities[unseen]
    paired = compare_paired(
        target,
        (old_probabilities, old.decide(features, old_probabilities)),
        (new_probabilities, scorer.decide(features, new_probabilities)),
        samples=settings.comparison.bootstrap_samples,
        confidence=confidence,
        seed=settings.seed,
    ).brier
    return Check(
        name=name,
        passed=not (paired.low > 0 or paired.difference > margin),
        found=f"{paired.second:.4f} against {paired.first:.4f} on {len(target):,} rows that neither was trained on: "
        f"{paired.difference:+.4f}, {confidence:.0%} interval {paired.low:+.4f} to {paired.high:+.4f}, "
        f"margin {margin:g}",
    )


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
