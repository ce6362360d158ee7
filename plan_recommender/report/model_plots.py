"""Pictures of what a model says of one subscriber, where it errs, and how much of its quality is recognition.

Each function takes the headline, because the finding is that of one model; a notebook checks it before it says it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.evaluation.slices import SliceMetrics
from plan_recommender.model.features import PLANS, CustomerUsage, matrix
from plan_recommender.model.logistic import logistic
from plan_recommender.model.reasons import Explanation
from plan_recommender.model.scorer import Scorer
from plan_recommender.report.canvas import (
    BLUE,
    GREY,
    INK,
    PALE,
    SCALES,
    SMART,
    ULTRA,
    canvas,
    png,
    quiet,
    without_scale,
)
from plan_recommender.training.selection import CrossValidated, interval

_POINTS: Final = 600
"""Values of a feature for which a curve is drawn."""

_CONFIDENCE: Final = 0.95
_BINS: Final = 20
"""Bins of probabilities, from 0 to 1; one of them begins at the threshold, so that no bar lies on both sides of it."""

_SEGMENTS: Final = ("light", "medium", "heavy")


def draw_what_if(scorer: Scorer, usage: CustomerUsage, feature: int, end: float, headline: str) -> bytes:
    """Draw the probability of Ultra of one subscriber against one feature, everything else as it is; returns a PNG.

    Args:
        scorer: of the model, with one threshold for everybody.
        usage: of the subscriber.
        feature: place of the feature in `FEATURE_NAMES`.
        end: largest value that is shown, in the feature's unit.
        headline: the finding.
    """
    figure = canvas(3.8, headline)
    axes = figure.add_subplot()
    scale = SCALES[feature]
    here = matrix([usage])
    rows = np.repeat(here, _POINTS, axis=0)
    rows[:, feature] = np.linspace(0, end, _POINTS)
    probabilities, threshold = scorer.probabilities(rows), scorer.threshold.value
    values = rows[:, feature] / scale.divisor
    for is_plan, color in ((probabilities < threshold, SMART), (probabilities >= threshold, ULTRA)):
        axes.plot(values, np.where(is_plan, probabilities, np.nan), color=color, linewidth=2.2)
    axes.axhline(threshold, color=GREY, linewidth=1, linestyle="--")
    for off, plan, color, side in ((0.02, "Ultra", ULTRA, "bottom"), (-0.02, "Smart", SMART, "top")):
        axes.text(values[-1], threshold + off, f"{plan} is recommended", color=color, ha="right", va=side)
    value, probability = float(here[0, feature] / scale.divisor), float(scorer.probabilities(here)[0])
    axes.plot([value], [probability], "o", color=INK, markersize=8)
    axes.annotate(
        f"this subscriber: {value:,.1f} {scale.unit.split()[0]}, {probability:.0%}", (value, probability),
        xytext=(10, -17), textcoords="offset points", ha="left", color=INK,
    )  # fmt: skip
    quiet(axes)
    axes.set(xlabel=scale.label, ylabel="probability of Ultra", ylim=(0, 1), xlim=(0, float(values[-1])))
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return png(figure)


def draw_reasons(usage: CustomerUsage, explanation: Explanation, headline: str) -> bytes:
    """Draw how each feature moves the log-odds of Ultra of one subscriber, and from where to where; returns a PNG."""
    figure = canvas(3.2, headline)
    axes = figure.add_subplot()
    labels, at = ["everybody, on average"], explanation.base_value
    axes.plot([at, at], [-0.35, 0.35], color=INK, linewidth=2.5)
    for i, (scale, added) in enumerate(zip(SCALES, explanation.contributions, strict=True), 1):
        value = scale.column(matrix([usage]))[0]
        labels.append(f"{scale.name}: {value:,.1f}".removesuffix(".0") + f" {scale.unit.split()[0]}")
        axes.barh(i, added, left=at, color=ULTRA if added > 0 else SMART, height=0.55)
        axes.plot([at, at], [i - 0.7, i + 0.28], color=PALE, linewidth=1)
        at += added
        side = 1 if added > 0 else -1
        axes.annotate(
            f"{added:+.2f}", (at, i), xytext=(4 * side, 0), textcoords="offset points",
            ha="left" if side > 0 else "right", va="center", color=ULTRA if added > 0 else SMART,
        )  # fmt: skip
    labels.append("this subscriber")
    axes.plot([at, at], [len(labels) - 1.35, len(labels) - 0.65], color=INK, linewidth=2.5)
    for place, value in ((0, explanation.base_value), (len(labels) - 1, at)):
        axes.annotate(
            f"{value:+.2f}, a probability of {logistic(value):.0%}", (value, place), xytext=(7, 0),
            textcoords="offset points", va="center", color=INK,
        )  # fmt: skip
    axes.axvline(0, color=GREY, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    without_scale(axes)
    axes.set(xlabel="log-odds of Ultra: Smart is more likely on the left of 0, Ultra on the right")
    return png(figure)


def draw_probabilities(target: Labels, probabilities: Probabilities, threshold: float, headline: str) -> bytes:
    """Draw how probabilities are distributed for the holders of each plan, and count who is taken for whom.

    Args:
        target: the plan held, shape (rows,): 1 Ultra, 0 Smart.
        probabilities: of Ultra, shape (rows,).
        threshold: probability from which Ultra is recommended.
        headline: the finding.

    Returns:
        A PNG.
    """
    figure = canvas(4.4, headline)
    axes = figure.add_subplot()
    edges = np.unique(np.clip(threshold + np.arange(-_BINS, _BINS + 1) / _BINS, 0, 1))
    tallest = 0.0
    for label, (plan, color, sign) in enumerate(zip(PLANS, (SMART, ULTRA), (1, -1), strict=True)):
        counts = np.histogram(probabilities[target == label], edges)[0]
        axes.stairs(sign * counts, edges, fill=True, color=color, alpha=0.75)
        tallest = max(tallest, float(counts.max()))
        of = int((target == label).sum())
        above = int(np.sum((target == label) & (probabilities >= threshold)))
        corners = ((of - above, "Smart", threshold - 0.02, "right"), (above, "Ultra", threshold + 0.02, "left"))
        for count, advised, x, side in corners:
            right = advised == plan
            axes.text(
                x, sign * (0.62 if sign > 0 else 0.42) * tallest,
                f"{count:,} of {of:,} on {plan}\n{'rightly' if right else 'wrongly'} taken for {advised}",
                color=color, ha=side, va="center", fontweight="normal" if right else "bold",
            )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.axvline(threshold, color=GREY, linewidth=1, linestyle="--")
    quiet(axes)
    axes.set(xlabel="probability of Ultra that the model gives", ylabel="months of the test part", xlim=(0, 1))
    axes.set_ylim(-0.6 * tallest, 1.05 * tallest)
    axes.yaxis.set_major_formatter(lambda count, _: f"{abs(count):,.0f}")
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return png(figure)


def draw_segments(slices: Sequence[SliceMetrics], headline: str) -> bytes:
    """Draw the accuracy in each third of each feature beside that of recommending Smart to everybody; returns a PNG."""
    found = [part for part in slices if part.segment in _SEGMENTS]
    figure = canvas(4.6, headline)
    axes = figure.add_subplot()
    names = {feature: scale.name for feature, scale in zip(CustomerUsage.model_fields, SCALES, strict=True)}
    places = [i + i // len(_SEGMENTS) * 0.6 for i in range(len(found))]
    for place, part in zip(places, found, strict=True):
        axes.plot([part.accuracy_low, part.accuracy_high], [place, place], color=BLUE, linewidth=1.4)
        axes.plot([part.accuracy], [place], "o", color=BLUE)
        axes.plot([part.majority_accuracy], [place], "|", color=GREY, markersize=13, markeredgewidth=2.5)
    first = found[0]
    named = ((first.accuracy, "the model", BLUE), (first.majority_accuracy, "Smart for everybody", GREY))
    for share, text, color in named:
        axes.annotate(
            text, (share, places[0]), xytext=(0, 13), textcoords="offset points", ha="center", color=color
        )  # fmt: skip
    axes.set_yticks(places, [f"{names[part.feature]}, {part.segment} ({part.rows:,})" for part in found])
    axes.invert_yaxis()
    axes.set_ylim(top=-1.4)
    without_scale(axes)
    axes.set(xlabel="share of the months of the test part with the right plan, and 95 % interval")
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return png(figure)


def draw_recognition(
    by_month: Sequence[CrossValidated], by_subscriber: Sequence[CrossValidated], folds: int, headline: str
) -> bytes:
    """Draw the ROC AUC of candidates where folds divide months, and where they divide subscribers; returns a PNG.

    Args:
        by_month: one for each candidate; months of one subscriber may train and validate.
        by_subscriber: the same candidates in the same order; they may not.
        folds: of one repeat, in both.
        headline: the finding.
    """
    figure = canvas(1.5 + 0.5 * len(by_month), headline)
    axes = figure.add_subplot()
    for place, (known, new) in enumerate(zip(by_month, by_subscriber, strict=True)):
        ends = [interval(found.scores("roc_auc"), folds, _CONFIDENCE) for found in (new, known)]
        axes.plot([end.mean for end in ends], [place, place], color=PALE, linewidth=5, solid_capstyle="butt")
        for end, color, off in zip(ends, (BLUE, GREY), (0.13, -0.13), strict=True):
            axes.plot([end.low, end.high], [place + off, place + off], color=color, linewidth=1.4)
            axes.plot([end.mean], [place + off], "o", color=color)
            axes.annotate(
                f"{end.mean:.2f}", (end.mean, place + off), xytext=(0, 4 if off < 0 else -4),
                textcoords="offset points", ha="center", va="bottom" if off < 0 else "top", color=color,
                fontsize="small",
            )  # fmt: skip
    for text, color, off in (("subscribers that it knows", GREY, -0.13), ("new subscribers", BLUE, 0.13)):
        axes.text(0.97, off, text, color=color, ha="right", va="center", transform=axes.get_yaxis_transform())
    axes.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(by_month)), [found.candidate.replace("_", " ") for found in by_month])
    axes.set_ylim(len(by_month) - 0.5, -0.6)
    without_scale(axes)
    axes.set(xlabel="ROC AUC (0.5: as good as chance), mean over the folds and 95 % interval")
    return png(figure)
