"""Pictures of a labelled table: how usage is distributed, who is on Ultra, and how the features go together.

Each function takes the headline, because the finding is that of a table; a notebook checks it before it says it.
"""

from itertools import combinations
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from plan_recommender.campaign.intervals import wilson
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.model.features import PLANS
from plan_recommender.report.canvas import (
    GREY,
    INK,
    PALE,
    PLAN_COLORS,
    SCALES,
    ULTRA,
    Column,
    canvas,
    few_ticks,
    png,
    quiet,
)

_CONFIDENCE: Final = 0.95
_BINS: Final = 40
_GROUPS: Final = 10
_CELLS: Final = 16
"""Cells of a map of two features, in each direction."""

_MIN_CELL_ROWS: Final = 5
"""Cells with fewer rows are left blank: their share says nothing."""

_SHOWN: Final = 0.995
"""Quantile up to which values are shown; the few beyond would squeeze all others."""


def draw_usage(table: LabelledTable, headline: str) -> bytes:
    """Draw the distribution of each feature for the months on each plan, with both medians; returns a PNG."""
    figure = canvas(5.6, headline)
    for axes, scale in zip(figure.subplots(2, 2).flat, SCALES, strict=True):
        column = scale.column(table.features)
        end = float(np.nanquantile(column, _SHOWN))
        edges = np.linspace(0, end, _BINS + 1).tolist()
        for label, (plan, color) in enumerate(zip(PLANS, PLAN_COLORS, strict=True)):
            values = column[(table.target == label) & ~np.isnan(column)]
            median = float(np.median(values))
            axes.hist(values, bins=edges, density=True, histtype="stepfilled", color=color, alpha=0.15)
            axes.hist(values, bins=edges, density=True, histtype="step", color=color, linewidth=1.4)
            axes.axvline(median, color=color, linewidth=1, linestyle="--")
            axes.text(
                0.98, 0.93 - 0.13 * label, f"{plan}: median {median:,.0f}",
                color=color, ha="right", va="top", transform=axes.transAxes,
            )  # fmt: skip
        quiet(axes)
        axes.spines["left"].set_visible(False)
        axes.set(xlabel=scale.label, yticks=[], xlim=(0, end))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    figure.supylabel("share of the months on a plan", fontsize="medium", color=INK)
    return png(figure)


def draw_ultra_shares(table: LabelledTable, headline: str) -> bytes:
    """Draw the share of Ultra in tenths of the months by each feature, with 95 % intervals; returns a PNG.

    Where many months have the same value, as without a message, they are one group and there are fewer groups.
    """
    figure = canvas(5.6, headline)
    everybody = float(table.target.mean())
    for i, (axes, scale) in enumerate(zip(figure.subplots(2, 2, sharey=True).flat, SCALES, strict=True)):
        column = scale.column(table.features)
        known = ~np.isnan(column)
        _draw_shares(axes, column[known], table.target[known] == 1)
        axes.axhline(everybody, color=GREY, linewidth=1, linestyle="--")
        if i == 2:  # where no point is near the label
            axes.text(
                0.98, everybody + 0.02, f"all months: {everybody:.0%}",
                color=GREY, ha="right", transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        quiet(axes)
        axes.set(xlabel=f"{scale.label}, median of each tenth", ylim=(0, 1))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    figure.supylabel("months on Ultra", fontsize="medium", color=INK)
    return png(figure)


def draw_pairs(table: LabelledTable, headline: str) -> bytes:
    """Draw the share of Ultra over each pair of features, and say their rank correlation; returns a PNG."""
    figure = canvas(6.2, headline)
    panels = figure.subplots(2, 3)
    target = table.target == 1
    for axes, (first, second) in zip(panels.flat, combinations(SCALES, 2), strict=True):
        across, up = first.column(table.features), second.column(table.features)
        known = ~(np.isnan(across) | np.isnan(up))
        edges = [np.linspace(0, np.quantile(column[known], _SHOWN), _CELLS + 1) for column in (across, up)]
        rows = np.histogram2d(across[known], up[known], bins=edges)[0]
        ultra = np.histogram2d(across[known & target], up[known & target], bins=edges)[0]
        shares = np.divide(ultra, rows, out=np.full_like(rows, np.nan), where=rows >= _MIN_CELL_ROWS)
        axes.set_facecolor(PALE)
        mesh = axes.pcolormesh(*edges, shares.T, cmap="PuOr_r", vmin=0, vmax=1)
        correlation = float(stats.spearmanr(across[known], up[known]).statistic)
        axes.set_title(f"rank correlation {correlation:.2f}", fontsize="medium", color=INK)
        quiet(axes)
        few_ticks(axes, 4, 4)
        axes.set(xlabel=first.label, ylabel=second.label)
    bar = figure.colorbar(mesh, ax=panels, location="bottom", shrink=0.5, aspect=50)
    bar.ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    bar.set_label(f"months on Ultra; grey: fewer than {_MIN_CELL_ROWS} months")
    return png(figure)


def _draw_shares(axes: Axes, column: Column, ultra: np.typing.NDArray[np.bool_]) -> None:
    edges = np.unique(np.quantile(column, np.linspace(0, 1, _GROUPS + 1)[1:-1]))
    group = np.searchsorted(edges, column, side="left")
    for members in (group == i for i in range(len(edges) + 1)):
        if members.any():
            share = float(ultra[members].mean())
            low, high = wilson(int(ultra[members].sum()), int(members.sum()), _CONFIDENCE)
            ends = [[share - low], [high - share]]
            axes.errorbar([float(np.median(column[members]))], [share], ends, fmt="o", color=ULTRA, capsize=2)
