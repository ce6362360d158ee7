"""What `evaluate.py --log` prints: each model by week beside training, and what could not be joined."""

from collections.abc import Mapping
from typing import Final

from plan_recommender.evaluation.comparison import MetricInterval
from plan_recommender.evaluation.late_labels import (
    MEASURED,
    MIN_UNITS,
    AtTraining,
    LateEvaluation,
    Measured,
    ModelLater,
)

_WIDTH: Final = 24
_SHOWN: Final = 3  # references that a line names


def late_labels_text(found: LateEvaluation) -> str:
    """Show what was found, as lines of text."""
    return "\n".join([*_joined(found), *(line for model in found.models for line in _model(model, found.confidence))])


def _joined(found: LateEvaluation) -> list[str]:
    measured = sum(model.all_weeks.labelled for model in found.models)
    lines = [
        f"predictions: {found.predictions:,}; measured: {measured:,}; without a reference: "
        f"{found.without_reference:,}; without a label: {found.without_label:,}; with conflicting labels: "
        f"{found.with_conflicting_labels:,}; with a later one of the same reference and week: {found.superseded:,}",
        f"labels: {found.label_rows:,}; repeated: {found.labels_repeated:,}; empty: {found.label_rows_unlabelled:,}; "
        f"without a reference: {found.label_rows_without_reference:,}",
    ]
    for count, names, what in (
        (found.labels_conflicting, found.conflicting, "left out for conflicting labels"),
        (found.labels_unknown, found.unknown, "of labels that no prediction has"),
    ):
        if count:
            shown = ", ".join(map(repr, names[:_SHOWN])) + (", …" if count > _SHOWN else "")
            lines.append(f"warning: {count:,} reference{'' if count == 1 else 's'} {what}: {shown}")
    return lines


def _model(model: ModelLater, confidence: float) -> list[str]:
    lines = [model.model, f"{'':<9} {'labelled':>15}" + "".join(f" {name:>{_WIDTH}}" for name in MEASURED)]
    if model.training is not None:
        lines.append(_row("training", f"{model.training.rows:,}", model.training, {}))
    weeks = [*model.weeks, model.all_weeks] if len(model.weeks) > 1 else model.weeks
    for measured in weeks:
        of = f"{measured.labelled:,} of {measured.predictions:,}"
        lines.append(_row(measured.week, of, measured, measured.intervals))
    return [*lines, _sentence(model, confidence)]


def _row(name: str, rows: str, metrics: Measured | AtTraining, intervals: Mapping[str, MetricInterval]) -> str:
    cells = []
    for metric in MEASURED:
        value, ends = getattr(metrics, metric), intervals.get(metric)
        cell = "-" if value is None else f"{value:.4f}"
        cells.append(cell if ends is None else f"{cell} ({ends.low:.4f}-{ends.high:.4f})")
    return f"{name:<9} {rows:>15}" + "".join(f" {cell:>{_WIDTH}}" for cell in cells)


def _sentence(model: ModelLater, confidence: float) -> str:
    """Say whether the accuracy has changed since training by more than chance makes."""
    later, training, change = model.all_weeks, model.training, model.change
    if training is None:
        return f"verdict: {model.model} is not in the model store, so that what training measured is not known"
    if change is None:
        units = f"{later.units:,} subscriber{'' if later.units == 1 else 's'}"
        return (
            f"verdict: the labels of {units} are too few to tell whether the accuracy has changed since training; at "
            f"least {MIN_UNITS} are needed"
        )
    word = "fell" if change.difference < 0 else "rose"
    ends = f"{100 * change.low:+.1f} to {100 * change.high:+.1f}"
    said = "more than chance makes" if change.beyond_chance else "which chance may have made"
    return (
        f"verdict: accuracy {word} by {abs(100 * change.difference):.1f} points since training "
        f"({confidence:.0%} interval: {ends}), {said}"
    )
