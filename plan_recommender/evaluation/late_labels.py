"""Measure logged predictions by the plans that became known later, and compare them with what training measured.

A prediction and a label belong together when they have the same reference. A reference that a model predicted more than
once counts once in each ISO week (in UTC), with its last prediction of that week; over all weeks these are counted
together. Intervals are percentile bootstrap intervals. Subscribers are drawn where the labels say who they are,
otherwise references, so that several weeks of one are never taken for several people.
"""

from collections import Counter
from datetime import UTC, datetime
from math import hypot
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from sklearn.metrics import roc_auc_score

from plan_recommender.config.settings import Settings
from plan_recommender.data.late_labels import LateLabels
from plan_recommender.data.prediction_log import LoggedPredictions
from plan_recommender.errors import ModelError, TableError
from plan_recommender.evaluation.comparison import MetricInterval, mean_interval, metric_intervals
from plan_recommender.evaluation.metrics import log_losses
from plan_recommender.evaluation.slices import wilson
from plan_recommender.model import store

MEASURED: Final = ("accuracy", "brier", "log_loss", "roc_auc")
"""The metrics, in the order of the report."""

MIN_UNITS: Final = 20
"""Fewer subscribers than that give no interval: a bootstrap of so few is too narrow."""

_NAMED: Final = 10  # references that a result lists

_Numbers = npt.NDArray[np.int64]


class Measured(BaseModel):
    """Predictions of one model in one week, or in all, whose labels are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    week: str = Field(description="ISO week of the predictions, in UTC; `all`: all weeks together")
    predictions: int = Field(description="logged in this week, with and without labels")
    labelled: int = Field(description="predictions that are measured, each with its label")
    units: int = Field(description="subscribers behind them; where the labels do not say who, references")
    ultra_share: float = Field(description="of the labels")
    accuracy: float
    brier: float
    log_loss: float
    roc_auc: float | None = Field(description="None: only one label occurs")
    intervals: dict[str, MetricInterval] = Field(description="of the metrics; empty with fewer than 20 units")


class AtTraining(BaseModel):
    """What training measured on its test part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    units: int = Field(description="subscribers behind the rows; where the table does not say who, rows")
    accuracy: float
    brier: float
    log_loss: float
    roc_auc: float


class Change(BaseModel):
    """How much the accuracy differs from that at training: the later less the earlier (-1 to 1)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    difference: float
    low: float
    high: float
    beyond_chance: Annotated[bool, Field(description="whether the interval excludes 0")]


class ModelLater(BaseModel):
    """One model, later and at training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    training: AtTraining | None = Field(description="None: the model is not in the store")
    weeks: list[Measured] = Field(description="weeks with labelled predictions, in order")
    all_weeks: Measured
    change: Change | None = Field(description="None: nothing to compare with, or fewer than 20 units")


class LateEvaluation(BaseModel):
    """The models of a log, measured by late labels, and what could not be joined."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: float
    models: list[ModelLater]
    predictions: int
    without_reference: int = Field(description="predictions that no label can be found for")
    without_label: int = Field(description="predictions with a reference that has no label")
    with_conflicting_labels: int = Field(description="predictions that are left out for that")
    superseded: int = Field(description="predictions with a later one of the same model, week and reference")
    label_rows: int
    label_rows_unlabelled: int
    label_rows_without_reference: int
    labels_repeated: int = Field(description="rows that say again what an earlier one says")
    labels_conflicting: int = Field(description="references with both labels")
    labels_unknown: int = Field(description="references that no prediction has")
    conflicting: list[str] = Field(description="the first ten of them")
    unknown: list[str] = Field(description="the first ten of them")


def evaluate_late(log: LoggedPredictions, labels: LateLabels, settings: Settings) -> LateEvaluation:
    """Join predictions and labels by their references, and measure each model in each week.

    Raises:
        TableError: no prediction has a label.
    """
    conflicting, predicted = set(labels.conflicting), set(log.references)
    weeks = _weeks(log.times)
    chosen: dict[tuple[int, str, str], int] = {}
    known = without_reference = in_conflict = 0
    for i in np.argsort(log.times, kind="stable").tolist():
        reference = log.references[i]
        if reference is None:
            without_reference += 1
        elif reference in labels.plans:
            known += 1
            chosen[int(log.models.codes[i]), weeks[i], reference] = i
        else:
            in_conflict += reference in conflicting
    if not chosen:
        raise _nothing_to_measure(log, labels, without_reference)
    rows = _Rows(log, labels, np.array(sorted(chosen.values())), weeks, settings)
    unknown = [reference for reference in labels.plans if reference not in predicted]
    return LateEvaluation(
        confidence=settings.comparison.confidence,
        models=[rows.model(code, tag) for code, tag in enumerate(log.models.values) if code in rows.models],
        predictions=len(log.times),
        without_reference=without_reference,
        without_label=len(log.times) - without_reference - known - in_conflict,
        with_conflicting_labels=in_conflict,
        superseded=known - len(chosen),
        label_rows=labels.rows,
        label_rows_unlabelled=labels.unlabelled,
        label_rows_without_reference=labels.nameless,
        labels_repeated=labels.repeated,
        labels_conflicting=len(labels.conflicting),
        labels_unknown=len(unknown),
        conflicting=labels.conflicting[:_NAMED],
        unknown=unknown[:_NAMED],
    )


class _Rows:
    """The predictions that are measured, each with its label."""

    def __init__(
        self, log: LoggedPredictions, labels: LateLabels, rows: _Numbers, weeks: list[str], settings: Settings
    ) -> None:
        plans = [labels.plans[str(log.references[i])] for i in rows]
        self._settings = settings
        self._codes = log.models.codes[rows]
        self.models = set(self._codes.tolist())
        self._weeks = np.array([weeks[i] for i in rows])
        self._target = np.array([plan.is_ultra for plan in plans], dtype=np.int64)
        self._probabilities = log.probabilities[rows]
        self._decisions = log.predictions[rows]
        owners: dict[tuple[bool, str], int] = {}
        self._owners = np.array(
            [
                owners.setdefault((bool(plan.subscriber), plan.subscriber or str(log.references[i])), len(owners))
                for i, plan in zip(rows, plans, strict=True)
            ]
        )
        self._logged = Counter(zip(log.models.codes.tolist(), weeks, strict=True))

    def model(self, code: int, tag: str) -> ModelLater:
        of_model = self._codes == code
        logged = {week: count for (model, week), count in self._logged.items() if model == code}
        measured = [
            self._measure(week, logged[week], of_model & (self._weeks == week))
            for week in np.unique(self._weeks[of_model]).tolist()
        ]
        together = self._measure("all", sum(logged.values()), of_model)
        training = _at_training(tag)
        change = None
        if training is not None and together.intervals:
            change = compare_with_training(
                together.accuracy, together.intervals["accuracy"], training, self._settings.comparison.confidence
            )
        return ModelLater(model=tag, training=training, weeks=measured, all_weeks=together, change=change)

    def _measure(self, week: str, logged: int, of: npt.NDArray[np.bool_]) -> Measured:
        target, probabilities, decisions = self._target[of], self._probabilities[of], self._decisions[of]
        owners = self._owners[of]
        by_row = {
            "accuracy": (target == decisions).astype(np.float64),
            "brier": (probabilities - target) ** 2,
            "log_loss": log_losses(target, probabilities),
        }
        both, units = 0 < target.mean() < 1, len(np.unique(owners))
        comparison, seed = self._settings.comparison, self._settings.seed
        intervals: dict[str, MetricInterval] = {}
        if units >= MIN_UNITS and both:
            found = metric_intervals(target, probabilities, decisions, comparison, seed, owners)
            intervals = {name: interval for name, interval in found.items() if name in MEASURED}
        elif units >= MIN_UNITS:
            for name, values in by_row.items():
                low, high = mean_interval(values, owners, comparison, seed)
                intervals[name] = MetricInterval(low=low, high=high)
        return Measured(
            week=week,
            predictions=logged,
            labelled=len(target),
            units=units,
            ultra_share=float(target.mean()),
            **{name: float(values.mean()) for name, values in by_row.items()},
            roc_auc=float(roc_auc_score(target, probabilities)) if both else None,
            intervals=intervals,
        )


def compare_with_training(accuracy: float, interval: MetricInterval, training: AtTraining, confidence: float) -> Change:
    """Compare an accuracy with that at training, whose interval is Wilson's for its subscribers.

    The two intervals are combined by the squares of their arms (Zou & Donner 2008, "Construction of confidence limits
    about effect measures", Statistics in Medicine 27).
    """
    low, high = wilson(training.accuracy, training.units, confidence)
    difference = accuracy - training.accuracy
    lowest = difference - hypot(accuracy - interval.low, high - training.accuracy)
    highest = difference + hypot(interval.high - accuracy, training.accuracy - low)
    return Change(difference=difference, low=lowest, high=highest, beyond_chance=not lowest <= 0 <= highest)


def _at_training(tag: str) -> AtTraining | None:
    """Give what training measured; None if the model is not in the store."""
    try:
        record = store.find(tag).record
    except ModelError:
        return None
    data, rows = record.data, int(record.metrics["test_rows"])
    known = data.subscribers is not None and data.training_subscribers is not None
    units = (data.subscribers or 0) - (data.training_subscribers or 0) if known else rows
    return AtTraining(rows=rows, units=units, **{name: record.metrics[name] for name in MEASURED})


def _weeks(times: npt.NDArray[np.float64]) -> list[str]:
    """Name the ISO week of each time."""
    days, places = np.unique(np.floor(times / 86_400), return_inverse=True)
    names = []
    for day in days.tolist():
        year, week, _ = datetime.fromtimestamp(day * 86_400, UTC).isocalendar()
        names.append(f"{year}-W{week:02}")
    return [names[place] for place in places.tolist()]


def _nothing_to_measure(log: LoggedPredictions, labels: LateLabels, without_reference: int) -> TableError:
    if without_reference == len(log.times):
        return TableError(
            f"{log.folder}: expected predictions with a reference, found none in {len(log.times):,}: clients have to "
            "send the header X-Reference"
        )
    one = next(reference for reference in log.references if reference is not None)
    other = next(iter(labels.plans), None)
    return TableError(
        f"{labels.path}: expected a label of at least one prediction, found none: predictions have references such as "
        f"{one!r}, labels {'none' if other is None else f'such as {other!r}'}"
    )
