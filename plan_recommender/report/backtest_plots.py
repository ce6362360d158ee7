"""The pictures of a backtest of the advice, as bytes of PNGs; equal input gives equal bytes on one machine."""

import io
from collections.abc import Sequence
from typing import Final

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plan_recommender.evaluation.backtest import Backtest
from plan_recommender.report.canvas import BLUE, GREY

matplotlib.use("Agg")

_DPI: Final = 120
_REPRODUCIBLE: Final = {"Software": None}  # otherwise matplotlib writes its version into the file
_ORANGE: Final = "#d9730d"
_NOMINAL: Final = 0.9
_BINS: Final = 40


def draw_advised(found: Backtest, plans: Sequence[str]) -> bytes:
    """Draw, for the holders of each plan, the share of months with each advice."""
    figure, axes = _wide(1.2 + 0.5 * len(plans))
    held = found.advised.sum(axis=1)
    labels = [f"{name} ({months:,} months)" for name, months in zip(plans, held.tolist(), strict=True)]
    colors = matplotlib.colormaps["tab20"]
    start = np.zeros(len(plans))
    for i, name in enumerate(plans):
        shares = found.advised[:, i] / np.maximum(held, 1)
        axes.barh(labels, shares, left=start, color=colors(2 * i % 20), label=f"advised: {name}")
        for j in np.flatnonzero(shares >= 0.04).tolist():
            axes.text(float(start[j] + shares[j] / 2), j, f"{shares[j]:.0%}", ha="center", va="center", color="white")
        start += shares
    axes.invert_yaxis()
    axes.set(title="Who is advised what", xlabel="share of the months", ylabel="plan held", xlim=(0, 1))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _png(figure)


def draw_savings(found: Backtest, currency: str) -> bytes:
    """Draw how much each month after an advice to switch cost less on the plan advised."""
    figure, axes = _wide(3.6)
    savings = found.savings
    if len(savings):
        kinds = {"cost less": savings > 0, "cost the same": savings == 0, "cost more": savings < 0}
        axes.hist(
            [savings[chosen] for chosen in kinds.values()],
            bins=_edges(savings),
            stacked=True,
            color=[BLUE, GREY, _ORANGE],
            label=[f"{label}: {chosen.mean():.0%}" for label, chosen in kinds.items()],
        )
        axes.axvline(float(savings.mean()), color="black", linestyle="--", label=f"mean: {savings.mean():,.4g}")
        axes.legend()
    axes.set(
        title=f"What {len(savings):,} advised switches would have saved in the next month",
        xlabel=f"saved ({currency})",
        ylabel="months",
    )
    return _png(figure)


def draw_coverage(found: Backtest) -> bytes:
    """Draw how many of the 90 % intervals held the bill, in each group, with twice the standard error."""
    figure, axes = _wide(1.4 + 0.4 * len(found.coverage))
    places = np.arange(len(found.coverage))
    for offset, color, label, shares in (
        (-0.12, BLUE, "on the plan held", [group.held for group in found.coverage]),
        (0.12, _ORANGE, "on all plans", [group.pooled for group in found.coverage]),
    ):
        errors = [
            2 * (share * (1 - share) / group.cases) ** 0.5 for share, group in zip(shares, found.coverage, strict=True)
        ]
        axes.errorbar(shares, places + offset, xerr=errors, fmt="o", color=color, capsize=3, label=label)
    axes.axvline(_NOMINAL, color=GREY, linestyle="--", label="90 %")
    axes.set_yticks(places, [f"{group.group} ({group.cases:,})" for group in found.coverage])
    axes.invert_yaxis()
    axes.set(title="Coverage of the 90 % intervals of the bill", xlabel="share of the months whose bill they held")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _png(figure)


def _edges(savings: npt.NDArray[np.float64]) -> list[float]:
    """Give the edges of about `_BINS` equally wide bins, one of which is 0."""
    low, high = min(savings.min(), 0), max(savings.max(), 0)
    step = float(high - low) / _BINS or 1.0
    edges: list[float] = (np.arange(np.floor(low / step), np.ceil(high / step) + 2) * step).tolist()
    return edges


def _wide(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, height), layout="constrained")
    return figure, figure.add_subplot()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png", metadata=_REPRODUCIBLE)
    return buffer.getvalue()
