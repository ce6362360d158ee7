"""Compare the candidates by repeated stratified cross-validation on the training part, and choose the champion."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline

from plan_recommender.config.settings import BASELINES, Candidate, Metric, Settings
from plan_recommender.data.csv_table import RowNumbers
from plan_recommender.data.subscribers import Subscribers
from plan_recommender.errors import TableError
from plan_recommender.evaluation.calibration import Calibration, measure_calibration
from plan_recommender.evaluation.comparison import COMPARED
from plan_recommender.evaluation.metrics import Labels, Metrics, Probabilities, measure
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.training.candidates import AVERAGED, average, fit
from plan_recommender.training.candidates import probabilities as probabilities_of
from plan_recommender.training.threshold_choice import fold_threshold

Fold = tuple[RowNumbers, RowNumbers]
"""The rows to fit on, and the rows to validate on."""

LESS_IS_BETTER: frozenset[Metric] = frozenset({"brier", "log_loss"})


class Interval(BaseModel):
    """A mean over the folds, and its confidence interval from low to high."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    low: float
    high: float


class CandidateSummary(BaseModel):
    """One row of the table of candidates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidate: Candidate
    metrics: dict[Metric, Interval]
    behind_best: float = Field(
        description="how much worse than the best by the configured metric, mean over folds; a baseline may be better"
    )
    standard_error: float = Field(description="of `behind_best`")
    champion: bool


@dataclass(frozen=True)
class CrossValidated:
    """The results of one candidate in the cross-validation."""

    candidate: Candidate
    folds: list[Metrics]
    """One for each fold of each repeat."""
    probabilities: Probabilities
    """Out of fold, shape (repeats, rows)."""
    fit_seconds: list[float]
    """How long each fit took (s), that of the members of an average included; only this differs from run to run."""
    pipelines: list[Pipeline] = field(default_factory=list, repr=False, compare=False)
    """What was fitted, one for each fold of each repeat."""

    def scores(self, metric: Metric) -> npt.NDArray[np.float64]:
        """The metric on every fold of every repeat, shape (repeats * folds,)."""
        return np.array([getattr(fold, metric) for fold in self.folds])


def cross_validate(
    features: FeatureMatrix,
    target: Labels,
    settings: Settings,
    fitted: Callable[[], object] = lambda: None,
    subscribers: RowNumbers | None = None,
) -> list[CrossValidated]:
    """Measure every candidate on the same folds, in the order of the configuration.

    Args:
        features: of the rows to compare on, shape (rows, 4).
        target: their labels, shape (rows,).
        settings: the configuration.
        fitted: is called after each fit.
        subscribers: of the rows, as `make_folds` takes them.

    Raises:
        TableError: a label has fewer subscribers than there are folds.
        ConfigError: a candidate cannot be fitted.
    """
    selection = settings.selection
    folds = make_folds(target, selection.folds, selection.repeats, settings.seed, subscribers)
    results: dict[Candidate, CrossValidated] = {}
    for name in sorted(selection.candidates, key=lambda name: name == "average"):  # after its members
        averages = name == "average" and results.keys() >= {*AVERAGED}
        members = [results[member] for member in AVERAGED] if averages else []
        results[name] = cross_validate_one(name, features, target, folds, settings, fitted, members)
    return [results[name] for name in selection.candidates]


def make_folds(
    target: Labels, folds: int, repeats: int, seed: int, subscribers: RowNumbers | None = None
) -> list[Fold]:
    """Divide rows into folds by subscriber, stratified by the subscribers' label, `repeats` times in different ways.

    Args:
        target: labels, shape (rows,).
        folds: number of folds of a repeat.
        repeats: number of repeats.
        seed: of the division.
        subscribers: a number for the subscriber of each row, shape (rows,); None: every row is one of its own.

    Returns:
        The folds of the first repeat, then those of the second, and so on. Together the folds of one repeat validate
        every row once, and no subscriber has rows to fit on and rows to validate on in the same fold.

    Raises:
        TableError: a label has fewer subscribers than there are folds.
    """
    everybody = Subscribers(subscribers, target)
    rarest = int(np.bincount(everybody.labels, minlength=2).min())
    if rarest < folds:
        raise TableError(
            f"expected at least {folds} training {'rows' if subscribers is None else 'subscribers'} of each plan for "
            f"{folds} folds, found {rarest} of the rarer one; bring a larger table, or lower selection.folds"
        )
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    return [
        (everybody.rows_of(training), everybody.rows_of(validation))
        for training, validation in splitter.split(everybody.labels, everybody.labels)
    ]


def cross_validate_one(
    candidate: Candidate,
    features: FeatureMatrix,
    target: Labels,
    folds: Sequence[Fold],
    settings: Settings,
    fitted: Callable[[], object] = lambda: None,
    members: Sequence[CrossValidated] = (),
) -> CrossValidated:
    """Measure one candidate on folds from `make_folds` with `selection.folds` folds; calls `fitted` after each fit.

    Accuracy, precision, recall and F1 are those at `fold_threshold(settings)`. An average takes the pipelines of
    `members`, its members' results on these folds, if they are given. To fit them again would give the same, and take
    half of the time of a comparison.

    Raises:
        ConfigError: the candidate cannot be fitted.
    """
    threshold = fold_threshold(settings)
    folds_per_repeat = settings.selection.folds
    probabilities = np.empty((len(folds) // folds_per_repeat, len(target)))
    found, seconds, pipelines = [], [], []
    for i, (training, validation) in enumerate(folds):
        start = time.perf_counter()
        if members:
            parts = [member.pipelines[i] for member in members]
            pipeline = average(parts, settings, features[training], target[training])
        else:
            pipeline = fit(candidate, settings, features[training], target[training])
        seconds.append(time.perf_counter() - start + sum(member.fit_seconds[i] for member in members))
        pipelines.append(pipeline)
        answers = probabilities_of(pipeline, features[validation])
        probabilities[i // folds_per_repeat, validation] = answers
        found.append(measure(target[validation], answers, (answers >= threshold).astype(np.int64)))
        fitted()
    return CrossValidated(candidate, found, probabilities, seconds, pipelines)


def summarise(results: Sequence[CrossValidated], settings: Settings) -> list[CandidateSummary]:
    """Compare candidates and choose the champion; a baseline is never the champion.

    The champion is the first candidate, in the configured order, that is at most one standard error behind the best
    (Breiman et al. 1984, "Classification and regression trees"). The standard error is that of the difference on the
    same folds, which is known best; but at most that of the best candidate's own mean, because otherwise a candidate
    would be preferred whose results vary much. `standard_error` defines both.

    Returns:
        One summary for each result, in their order.
    """
    metric, folds = settings.selection.metric, settings.selection.folds
    sign = -1.0 if metric in LESS_IS_BETTER else 1.0
    contestants = [result for result in results if result.candidate not in BASELINES]
    best = max(contestants, key=lambda result: sign * result.scores(metric).mean())
    behind = {r.candidate: sign * (best.scores(metric) - r.scores(metric)) for r in results}
    max_error = standard_error(best.scores(metric), folds)
    errors = {name: min(standard_error(differences, folds), max_error) for name, differences in behind.items()}
    champion = next(r.candidate for r in contestants if behind[r.candidate].mean() <= errors[r.candidate])
    return [
        CandidateSummary(
            candidate=result.candidate,
            metrics={m: interval(result.scores(m), folds, settings.selection.confidence) for m in COMPARED},
            behind_best=float(behind[result.candidate].mean()),
            standard_error=errors[result.candidate],
            champion=result.candidate == champion,
        )
        for result in results
    ]


def calibration_out_of_fold(
    target: Labels, result: CrossValidated, settings: Settings, subscribers: RowNumbers | None = None
) -> Calibration:
    """Measure the calibration of a candidate's out-of-fold probabilities, with those of all repeats together."""
    repeats = len(result.probabilities)
    return measure_calibration(
        np.tile(target, repeats),
        result.probabilities.ravel(),
        settings.calibration.bins,
        settings.seed,
        rows=np.tile(np.arange(len(target)), repeats),
        subscribers=None if subscribers is None else np.tile(subscribers, repeats),
    )


def standard_error(scores: npt.NDArray[np.float64], folds: int) -> float:
    """Standard error of the mean of the scores of a repeated cross-validation, shape (k,), with `folds` folds a repeat.

    It is sd * sqrt(1/k + 1/(folds - 1)), the correction of Nadeau and Bengio (2003, "Inference for the generalization
    error") for folds that share training rows.
    """
    return float(scores.std(ddof=1) * math.sqrt(1 / len(scores) + 1 / (folds - 1)))


def interval(scores: npt.NDArray[np.float64], folds: int, confidence: float) -> Interval:
    """Mean of the scores of a repeated cross-validation, shape (k,), with its t interval (k - 1 degrees of freedom)."""
    mean = float(scores.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, len(scores) - 1)) * standard_error(scores, folds)
    return Interval(mean=mean, low=mean - half, high=mean + half)
