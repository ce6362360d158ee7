"""The pictures of a run, as PNG."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from plan_recommender.analysis import Importance, PartialDependence
from plan_recommender.business import BusinessImpact
from plan_recommender.calibration import Calibration
from plan_recommender.evaluation import Labels, Metrics, Probabilities
from plan_recommender.reference import ReferenceProfile
from plan_recommender.usage import FEATURES, PLANS

matplotlib.use("Agg")

_DPI = 120
_REPRODUCIBLE = {"Software": None}  # matplotlib would write its version
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9730d", "#888888"
_UNITS = {feature.name: feature.unit for feature in FEATURES}


def plot_roc_curve(path: Path, target: Labels, probabilities: Probabilities, auc: float) -> None:
    """Draw true against false positive rate, as a PNG."""
    false_positive_rate, true_positive_rate, _ = roc_curve(target, probabilities)
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(false_positive_rate, true_positive_rate, color=_BLUE, label=f"model, AUC {auc:.3f}")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="majority rule, AUC 0.500")
    axes.set(
        title=f"ROC curve on {len(target):,} test rows",
        xlabel="Smart subscribers recommended Ultra (share)",
        ylabel="Ultra subscribers recommended Ultra (share)",
        aspect="equal",
    )
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=_DPI, metadata=_REPRODUCIBLE)


def plot_confusion_matrix(path: Path, metrics: Metrics) -> None:
    """Draw how many subscribers of each plan were recommended which plan, as a PNG."""
    cells = metrics.confusion_matrix
    counts = np.array(
        [[cells.true_negative, cells.false_positive], [cells.false_negative, cells.true_positive]], dtype=np.float64
    )
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts, cmap="Blues")
    for row, column in np.ndindex(2, 2):
        dark = counts[row, column] > counts.max() / 2
        axes.text(
            column, row, f"{counts[row, column]:,.0f}", ha="center", va="center", color="white" if dark else "black"
        )
    axes.set(
        title=f"Confusion matrix on {counts.sum():,.0f} test rows",
        xlabel="recommended plan", ylabel="plan held",
        xticks=[0, 1], yticks=[0, 1], xticklabels=PLANS, yticklabels=PLANS,
    )  # fmt: skip
    figure.savefig(path, dpi=_DPI, metadata=_REPRODUCIBLE)


def plot_precision_recall(path: Path, target: Labels, probabilities: Probabilities) -> None:
    """Draw precision against recall of Ultra, as a PNG."""
    precision, recall, _ = precision_recall_curve(target, probabilities)
    average = average_precision_score(target, probabilities)
    share = float(target.mean())
    figure, axes = _square()
    axes.plot(recall, precision, color=_BLUE, label=f"model, average precision {average:.3f}")
    axes.axhline(share, color=_GREY, linestyle="--", label=f"recommended at random, {share:.3f}")
    axes.set(
        title=f"Precision and recall on {len(target):,} test rows",
        xlabel="Ultra subscribers recommended Ultra (share)",
        ylabel="recommended Ultra who are on Ultra (share)",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.legend(loc="lower left")
    _save(figure, path)


def plot_calibration(path: Path, curves: Sequence[tuple[str, Calibration]]) -> None:
    """Draw the share of Ultra against the probability, one curve for each set of rows, as a PNG."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="calibrated")
    for (name, calibration), color in zip(curves, (_BLUE, _ORANGE), strict=False):
        axes.plot(
            [b.mean_probability for b in calibration.bins],
            [b.ultra_share for b in calibration.bins],
            color=color, marker="o", markersize=4, label=f"{name}, ECE {calibration.ece:.3f}",
        )  # fmt: skip
    axes.set(title="Calibration", xlabel="mean probability of Ultra in a bin", ylabel="Ultra subscribers in it (share)")
    axes.legend(loc="upper left")
    _save(figure, path)


def plot_profit(path: Path, impact: BusinessImpact) -> None:
    """Draw the net result against the threshold, with its interval, as a PNG."""
    thresholds = [row.threshold for row in impact.curve]
    figure, axes = _square()
    axes.fill_between(
        thresholds, [row.net_low for row in impact.curve], [row.net_high for row in impact.curve],
        color=_BLUE, alpha=0.2, label="bootstrap interval",
    )  # fmt: skip
    axes.plot(thresholds, [row.net for row in impact.curve], color=_BLUE, label="net")
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.axvline(impact.at_threshold.threshold, color=_ORANGE, linestyle="--", label="configured threshold")
    axes.axvline(impact.best.threshold, color=_GREY, linestyle=":", label="best on these rows")
    axes.set(
        title="Net result, with the configured assumptions",
        xlabel="threshold",
        ylabel=f"{impact.currency} per month and 1,000 subscribers",
    )
    axes.legend()
    _save(figure, path)


def plot_importances(path: Path, importances: Sequence[Importance]) -> None:
    """Draw how much the log loss grows when a feature is shuffled, as a PNG."""
    figure, axes = _square()
    means = np.array([importance.mean for importance in importances[::-1]])
    ends = np.array([[importance.low, importance.high] for importance in importances[::-1]])
    axes.barh(
        [importance.feature for importance in importances[::-1]], means,
        xerr=np.abs(ends.T - means), color=_BLUE, ecolor=_GREY,
    )  # fmt: skip
    axes.set(title="Permutation importances on the test part", xlabel="growth of the log loss when shuffled")
    _save(figure, path)


def plot_partial_dependence(path: Path, dependences: Sequence[PartialDependence]) -> None:
    """Draw the mean probability of Ultra against each feature, as a PNG."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    for i, dependence in enumerate(dependences):
        axes = figure.add_subplot(2, 2, i + 1)
        axes.plot(dependence.values, dependence.probabilities, color=_BLUE)
        axes.set(title=dependence.feature, xlabel=_UNITS[dependence.feature], ylim=(0, 1))
        if i % 2 == 0:
            axes.set_ylabel("mean probability of Ultra")
    _save(figure, path)


def draw_distributions(reference: ReferenceProfile, current: npt.NDArray[np.float64]) -> bytes:
    """Draw the histograms of every feature in both samples; returns the PNG."""
    columns = min(2, len(reference.features))
    rows = -(-len(reference.features) // columns)
    figure = Figure(figsize=(11, 3.4 * rows), layout="constrained")
    for i, feature in enumerate(reference.features):
        axes = figure.add_subplot(rows, columns, i + 1)
        values = current[~np.isnan(current[:, i]), i]
        bins = np.histogram_bin_edges(np.concatenate([feature.values, values]), bins=40).tolist()
        axes.hist(feature.values, bins=bins, density=True, color=_BLUE, alpha=0.55, label="reference")
        if len(values):
            axes.hist(values, bins=bins, density=True, histtype="step", linewidth=1.6, color=_ORANGE, label="current")
        axes.set(title=feature.name, xlabel=_UNITS.get(feature.name, ""), yticks=[], ylabel="density")
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png", metadata=_REPRODUCIBLE)
    return buffer.getvalue()


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 5), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=_DPI, metadata=_REPRODUCIBLE)
