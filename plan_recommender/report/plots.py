"""The plots of a training run, as PNG; equal input gives equal bytes on one machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1 import make_axes_locatable
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.held_out import Importance
from plan_recommender.evaluation.metrics import Labels, Metrics, Probabilities
from plan_recommender.evaluation.money import BusinessImpact
from plan_recommender.model.features import PLANS
from plan_recommender.model.tables import FeatureTable, ModelDocument
from plan_recommender.report.canvas import (
    BLUE,
    GREY,
    SCALES,
    SMART,
    ULTRA,
    Scale,
    canvas,
    few_ticks,
    metadata,
    quiet,
)

matplotlib.use("Agg")

_DPI = 120
_FINE_DPI = 150  # of pictures with many panels
_ORANGE = "#d9730d"
_MARGINS = {"left": 0.08, "right": 0.985, "bottom": 0.08, "top": 0.93}  # of the figure, around many panels
_ROOM = 0.16  # above and below the curves for what is written there, as a share of their range
_CURVES = "What each feature adds by itself, and the density of the training part"
_MAPS = "What each pair adds beside the two curves, and the density of the training part"


def plot_roc_curve(path: Path, target: Labels, probabilities: Probabilities, auc: float) -> None:
    """Draw the true positive rate against the false positive rate."""
    false_positive_rate, true_positive_rate, _ = roc_curve(target, probabilities)
    figure, axes = _square()
    axes.plot(false_positive_rate, true_positive_rate, color=BLUE, label=f"model, AUC {auc:.3f}")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="majority rule, AUC 0.500")
    axes.set(
        title=f"ROC curve on {len(target):,} test rows",
        xlabel="Smart subscribers recommended Ultra (share)",
        ylabel="Ultra subscribers recommended Ultra (share)",
        aspect="equal",
    )
    axes.legend(loc="lower right")
    _save(figure, path)


def plot_confusion_matrix(path: Path, metrics: Metrics) -> None:
    """Draw how many subscribers of each plan were recommended which plan."""
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
    _save(figure, path)


def plot_precision_recall(path: Path, target: Labels, probabilities: Probabilities) -> None:
    """Draw the precision against the recall of Ultra."""
    precision, recall, _ = precision_recall_curve(target, probabilities)
    average = average_precision_score(target, probabilities)
    share = float(target.mean())
    figure, axes = _square()
    axes.plot(recall, precision, color=BLUE, label=f"model, average precision {average:.3f}")
    axes.axhline(share, color=GREY, linestyle="--", label=f"recommended at random, {share:.3f}")
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
    """Draw the share of Ultra against the mean probability of each bin, for one or two named calibrations."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="calibrated")
    for (name, calibration), color in zip(curves, (BLUE, _ORANGE), strict=False):
        axes.plot(
            [b.mean_probability for b in calibration.bins],
            [b.ultra_share for b in calibration.bins],
            color=color, marker="o", markersize=4, label=f"{name}, ECE {calibration.ece:.3f}",
        )  # fmt: skip
    axes.set(title="Calibration", xlabel="mean probability of Ultra in a bin", ylabel="Ultra subscribers in it (share)")
    axes.legend(loc="upper left")
    _save(figure, path)


def plot_profit(path: Path, impact: BusinessImpact) -> None:
    """Draw the expected net result against the threshold, and the interval at the threshold that is used."""
    thresholds = [row.threshold for row in impact.curve]
    figure, axes = _square()
    axes.plot(thresholds, [row.net for row in impact.curve], color=BLUE, label="net")
    axes.axhline(0, color=GREY, linewidth=0.8)
    used = impact.at_threshold
    ends = [[used.net - impact.net_low], [impact.net_high - used.net]]
    axes.errorbar([used.threshold], [used.net], ends, fmt="o", color=_ORANGE, capsize=4, label="as decided, interval")
    axes.axvline(impact.break_even, color=GREY, linestyle=":", label="break-even")
    axes.set(
        title="Net result, with the configured assumptions",
        xlabel="threshold",
        ylabel=f"{impact.currency} per month and 1,000 subscribers",
    )
    axes.legend()
    _save(figure, path)


def plot_importances(path: Path, importances: Sequence[Importance]) -> None:
    """Draw how much the log loss grows when each feature is shuffled; the first one is at the top."""
    figure, axes = _square()
    means = np.array([importance.mean for importance in importances[::-1]])
    ends = np.array([[importance.low, importance.high] for importance in importances[::-1]])
    axes.barh(
        [importance.feature for importance in importances[::-1]], means,
        xerr=np.abs(ends.T - means), color=BLUE, ecolor=GREY,
    )  # fmt: skip
    axes.set(title="Permutation importances on the test part", xlabel="growth of the log loss when shuffled")
    _save(figure, path)


def plot_curves(path: Path, document: ModelDocument, headline: str = _CURVES) -> None:
    """Draw the curve of each feature, and the distribution of the training part below it."""
    figure = canvas(7.2, headline)
    figure.set_layout_engine("none")
    values = np.concatenate([*document.curves, [0.0]])
    low, high = float(values.min()), float(values.max())
    room = _ROOM * (high - low or 1.0)
    panels = figure.subplots(2, 2, gridspec_kw={"hspace": 0.25, "wspace": 0.16, **_MARGINS})
    for axes, scale, feature in zip(panels.flat, SCALES, document.features, strict=True):
        edges, curve = _drawn_edges(feature, scale), np.array(feature.curve)
        axes.axhline(0, color=GREY, linewidth=0.8)
        for side, color in ((np.maximum(curve, 0), ULTRA), (np.minimum(curve, 0), SMART)):
            axes.stairs(side, edges, fill=True, color=color, alpha=0.45)
        for plan, color, place, side in (("Ultra", ULTRA, 0.97, "top"), ("Smart", SMART, 0.03, "bottom")):
            axes.text(0.02, place, f"speaks for {plan}", color=color, va=side, transform=axes.transAxes)
        axes.stairs(curve, edges, baseline=None, color="black", linewidth=1.2)
        quiet(axes)
        axes.set(ylabel="log-odds of Ultra", ylim=(low - room, high + room))
        below = make_axes_locatable(axes).append_axes("bottom", size="25%", pad=0.04, sharex=axes)
        few_ticks(axes, 5, 6)
        axes.tick_params(labelbottom=False, bottom=False)
        _draw_rows(below, feature, edges, "vertical")
        below.tick_params(labelbottom=True, bottom=True)
        below.set(xlabel=scale.label, ylabel="density", xlim=(edges[0], edges[-1]))
    _save(figure, path, _FINE_DPI)


def plot_maps(path: Path, document: ModelDocument, headline: str = _MAPS) -> None:
    """Draw the map of each pair of features, and the distribution of the training part of both features beside it."""
    figure = canvas(7.0, headline)
    figure.set_layout_engine("none")
    largest = max(float(np.abs(matrix).max()) for matrix in document.matrices.values()) or 1.0
    # Below the panels a colour bar takes room that it does not need, so they may begin below the lower edge.
    panels = figure.subplots(2, 3, gridspec_kw={"hspace": 0.28, "wspace": 0.3, **_MARGINS, "bottom": -0.05})
    for axes, ((i, j), matrix) in zip(panels.flat, document.matrices.items(), strict=True):
        across, up = document.features[i], document.features[j]
        columns, rows = _drawn_edges(across, SCALES[i]), _drawn_edges(up, SCALES[j])
        # ColorBrewer's purple and orange, which colour-blind people can tell apart.
        mesh = axes.pcolormesh(columns, rows, matrix.T, cmap="PuOr_r", vmin=-largest, vmax=largest)
        quiet(axes)
        axes.set(
            xlabel=SCALES[i].label, ylabel=SCALES[j].label,
            xlim=(columns[0], columns[-1]), ylim=(rows[0], rows[-1]),
        )  # fmt: skip
        few_ticks(axes, 4, 5)
        sides = make_axes_locatable(axes)
        above = sides.append_axes("top", size="18%", pad=0.04, sharex=axes)
        beside = sides.append_axes("right", size="18%", pad=0.04, sharey=axes)
        _draw_rows(above, across, columns, "vertical")
        _draw_rows(beside, up, rows, "horizontal")
    bar = figure.colorbar(
        mesh, ax=panels, location="bottom", shrink=0.5, aspect=50, pad=0.09,
        label="log-odds of Ultra that the pair adds: purple speaks for Smart, orange for Ultra",
    )  # fmt: skip
    bar.outline.set_visible(False)
    _save(figure, path, _FINE_DPI)


def _drawn_edges(feature: FeatureTable, scale: Scale) -> npt.NDArray[np.float64]:
    """Give the ends of the bins as they are drawn, from 0 to a little beyond the last cut, shape (bins + 1,)."""
    last = feature.cuts[-1] if feature.cuts else feature.median
    return np.array([0.0, *feature.cuts, max(last, feature.median) * 1.15 or 1.0]) / scale.divisor


def _draw_rows(
    axes: Axes, feature: FeatureTable, edges: npt.NDArray[np.float64], orientation: Literal["vertical", "horizontal"]
) -> None:
    """Draw the density of the training rows in each bin; bars of very narrow bins may be cut off at the edge."""
    widths = np.diff(edges)
    wide = widths >= edges[-1] / 100
    density = feature.weights / np.maximum(widths, edges[-1] / 100)
    axes.stairs(density, edges, fill=True, color=GREY, orientation=orientation)
    quiet(axes)
    axes.tick_params(labelbottom=False, labelleft=False, bottom=False, left=False)
    height = "y" if orientation == "vertical" else "x"
    axes.set(**{f"{height}lim": (0, 1.2 * density[wide].max())})


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 5), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Figure, path: Path, dpi: int = _DPI) -> None:
    layout = figure.get_layout_engine()
    if layout is not None:  # here, because savefig draws everything twice for it
        figure.dpi = dpi
        layout.execute(figure)
        figure.set_layout_engine("none")
    figure.savefig(path, dpi=dpi, metadata=metadata(figure))
