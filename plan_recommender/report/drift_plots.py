"""The pictures of a drift report, as bytes of PNGs; equal input gives equal bytes on one machine.

Each is narrow enough for a phone to show it without scrolling.
"""

import io
from collections.abc import Sequence
from typing import Final, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import FeatureProfile, PredictionProfile, ReferenceProfile, Values
from plan_recommender.monitoring.layout import Layout
from plan_recommender.report.canvas import BLUE, INK, SCALES, Scale, few_ticks, metadata, quiet

matplotlib.use("Agg")

_DPI: Final = 120
_WIDTH: Final = 5.0  # inches
_ORANGE: Final = "#d9730d"
_BINS: Final = 40
_SHOWN: Final = 0.995  # quantile of either sample up to which values are drawn
_PERCENTILE: Final = 0.95
_NARROWEST: Final = 0.02  # bin of the probability: density of narrower ones is mostly chance
_LARGEST_NAMED: Final = 8
_TURNS: Final = 200  # after which cells without zeros no longer change


class PairShares(NamedTuple):
    """The shares of the rows in the coarse bins of two features, shape (bins of the first, bins of the second)."""

    names: tuple[str, str]
    ends: tuple[Values, Values]
    """Where the inner bins end, in the features' units."""
    reference: Values
    current: Values


def pair_shares(reference: ReferenceProfile, current: Values, names: Sequence[str]) -> PairShares:
    """Count both samples in the coarse bins of a pair of the reference's features.

    Args:
        reference: the profile.
        current: shape (rows, features), columns in the order of the profile.
        names: of the two.
    """
    profile = reference.model_copy(update={"predictions": None})
    layout = Layout(profile)
    place = next(i for i, pair in enumerate(profile.pairs) if pair.features == list(names))
    cells, shape = layout.pair_cells[place], layout.shapes[place]
    before, now = (
        (counts[cells] / max(1, counts[cells].sum())).reshape(shape)
        for counts in (layout.reference(profile), layout.count(layout.codes(current), None))
    )
    first, second = (np.array(f.edges)[f.coarse] for f in (profile.features[i] for i in layout.pairs[place]))
    return PairShares((names[0], names[1]), (first, second), before, now)


def draw_feature(feature: FeatureProfile, current: Values) -> bytes:
    """Draw the histograms of a feature in both samples over each other, in the same bins.

    Args:
        feature: in the reference.
        current: the values, shape (rows,), NaN where a value is missing.
    """
    scale = _scale(feature.name)
    before = np.array(feature.values) / scale.divisor
    now = current[~np.isnan(current)] / scale.divisor
    top = max(float(np.quantile(values, _SHOWN)) for values in (before, now) if len(values))
    edges = np.linspace(0.0, top or 1.0, _BINS + 1)
    figure, axes = _panel(3.3)
    axes.stairs(_shares(before, edges), edges, fill=True, color=BLUE, alpha=0.45, label="reference")
    if len(now):
        axes.stairs(_shares(now, edges), edges, color=_ORANGE, linewidth=2, label="current")
    percentile = float(np.quantile(before, _PERCENTILE))
    axes.axvline(percentile, color=INK, linestyle=":", label="95th percentile of the reference")
    axes.set(title=feature.name, xlabel=scale.unit, ylabel="rows in each bin", xlim=(0, edges[-1]))
    few_ticks(axes, 6, 5)
    axes.yaxis.set_major_formatter(_percent)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, columnspacing=1.2)
    return _png(figure)


def draw_pair(shares: PairShares) -> tuple[bytes, bytes, bytes, bytes]:
    """Draw how two features go together: the reference, the current sample, and the change.

    The last picture is the part of the change that neither feature makes by itself.
    """
    change = shares.current - shares.reference
    beyond = shares.current - expected_alone(shares)
    most = float(max(shares.reference.max(), shares.current.max())) or 1.0
    moved = float(np.abs([change, beyond]).max()) or 1.0
    return (
        _map(shares, shares.reference, "reference (% of the rows)", "Blues", (0.0, most), ".1f"),
        _map(shares, shares.current, "current (% of the rows)", "Blues", (0.0, most), ".1f"),
        # ColorBrewer's purple and orange, which colour-blind people can tell apart.
        _map(shares, change, "change (percentage points)", "PuOr_r", (-moved, moved), "+.1f"),
        _map(shares, beyond, "change that neither makes alone (points)", "PuOr_r", (-moved, moved), "+.1f"),
    )


def expected_alone(shares: PairShares) -> Values:
    """Give the current shares if each feature had changed by itself, and how the two go together had not.

    The reference's shares are scaled in turn until their sums are those of the current sample, which keeps every odds
    ratio (Deming and Stephan 1940).
    """
    cells = shares.reference.copy()
    for _ in range(_TURNS):
        for axis in (1, 0):
            found, wanted = (table.sum(axis=axis, keepdims=True) for table in (cells, shares.current))
            cells = cells * np.divide(wanted, found, out=np.zeros_like(found), where=found > 0)
    return cells


def draw_probabilities(reference: PredictionProfile, probabilities: Values) -> bytes:
    """Draw the density of the predicted probability of Ultra in both samples.

    The bins are those of the reference; narrow ones are drawn as one.
    """
    inner = np.array(reference.edges)
    ends = np.array([0.0, *inner, 1.0])
    before = np.array([0.0, *np.cumsum(reference.counts)]) / sum(reference.counts)
    now = np.array([0.0, *np.searchsorted(np.sort(probabilities), inner, side="right") / len(probabilities), 1.0])
    kept = [0]
    for i in range(1, len(ends) - 1):
        if min(ends[i] - ends[kept[-1]], 1 - ends[i]) >= _NARROWEST:
            kept.append(i)
    kept.append(len(ends) - 1)
    widths = np.diff(ends[kept])
    figure, axes = _panel(3.3)
    axes.stairs(np.diff(before[kept]) / widths, ends[kept], fill=True, color=BLUE, alpha=0.45, label="reference")
    axes.stairs(np.diff(now[kept]) / widths, ends[kept], color=_ORANGE, linewidth=2, label="current")
    axes.set(title="probability of Ultra", xlabel="probability", ylabel="density", xlim=(0, 1), ylim=(0, None))
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return _png(figure)


def draw_shares(title: str, names: Sequence[str], reference: Sequence[float], current: Sequence[float]) -> bytes:
    """Draw shares in both samples as bars, of at most the eight that are largest in either sample."""
    largest = sorted(range(len(names)), key=lambda i: -max(reference[i], current[i]))[:_LARGEST_NAMED]
    chosen = sorted(largest)
    figure, axes = _panel(max(1.7, 1.1 + 0.6 * len(chosen)))
    for offset, color, label, shares in ((-0.2, BLUE, "reference", reference), (0.2, _ORANGE, "current", current)):
        places = np.arange(len(chosen)) + offset
        axes.barh(places, [shares[i] for i in chosen], height=0.36, color=color, label=label)
        for place, i in zip(places.tolist(), chosen, strict=True):
            axes.text(shares[i] + 0.01, place, f"{label} {shares[i]:.1%}", va="center", color=INK)
    axes.set_yticks(range(len(chosen)), [names[i] for i in chosen])
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(left=False)
    axes.set(title=title, xlim=(0, 1.35 * max(*reference, *current, 0.01)), xticks=[])
    return _png(figure)


def _map(shares: PairShares, cells: Values, title: str, colors: str, limits: tuple[float, float], form: str) -> bytes:
    """Draw cells of equal size, between which the ends of the bins are written, each with its number."""
    figure, axes = _panel(4.2)
    image = axes.imshow(100 * cells.T, cmap=colors, origin="lower", aspect="auto", vmin=100 * limits[0],
                        vmax=100 * limits[1])  # fmt: skip
    for i, j in np.ndindex(cells.shape):
        percent = float(100 * cells[i, j])
        red, green, blue = image.to_rgba(np.array([percent]))[0, :3]
        color = INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"
        axes.text(i, j, format(round(percent, 1) + 0.0, form), ha="center", va="center", color=color)  # no -0.0
    for axis, name, ends in zip((axes.xaxis, axes.yaxis), shares.names, shares.ends, strict=True):
        scale = _scale(name)
        digits = 1 if len(ends) and ends[-1] / scale.divisor < 100 else 0
        axis.set_ticks(np.arange(len(ends)) + 0.5, [f"{end / scale.divisor:,.{digits}f}" for end in ends])
        axis.set_label_text(f"{name} ({scale.unit})")
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    return _png(figure)


def _percent(share: float, _: float) -> str:
    return f"{100 * share:g}%"


def _scale(name: str) -> Scale:
    return SCALES[FEATURE_NAMES.index(name)]


def _shares(values: Values, edges: Values) -> npt.NDArray[np.float64]:
    """Give the share of all values in each bin; those beyond the last one are in none."""
    return np.histogram(values, bins=edges)[0] / max(1, len(values))


def _panel(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    quiet(axes)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png", metadata=metadata(figure))
    return buffer.getvalue()
