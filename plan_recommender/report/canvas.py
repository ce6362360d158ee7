"""The look that the notebooks' pictures and the model's curves and maps share.

It is their size, their colours, a headline that states the finding, and PNG.
"""

import io
from typing import Final, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from plan_recommender.model.features import FEATURES, FeatureMatrix

matplotlib.use("Agg")

SMART, ULTRA = "#7b3294", "#e66101"
"""The colours of the plans, which colour-blind people can tell apart: both ends of the scale of the model's maps."""

BLUE, GREY, PALE, INK = "#1f5fa8", "#888888", "#dddddd", "#222222"
PLAN_COLORS: Final = (SMART, ULTRA)
"""By the label of the plan, or by its place in the tariffs."""

MB_PER_GB: Final = 1024

Column = npt.NDArray[np.float64]

_WIDTH: Final = 9.0  # inches, which with the resolution is the width of a notebook
_DPI: Final = 100


class Scale(NamedTuple):
    """How one feature is shown to people."""

    name: str
    unit: str
    divisor: float
    """Values in the feature's unit are divided by it."""

    @property
    def label(self) -> str:
        """The label of an axis: name and unit."""
        return f"{self.name} ({self.unit})"

    def column(self, features: FeatureMatrix) -> Column:
        """Take the feature out of a matrix of usage, in the unit that is shown, shape (rows,)."""
        return np.asarray(features[:, SCALES.index(self)] / self.divisor)


SCALES: Final = tuple(
    Scale("data", "GB / month", MB_PER_GB) if feature.name == "mb_used" else Scale(feature.name, feature.unit, 1)
    for feature in FEATURES
)
"""One for each feature, in their order."""


def canvas(height: float, headline: str, below: float = 0.0) -> Figure:
    """Start a picture of the usual width.

    Args:
        height: inches.
        headline: what the picture shows, as a sentence.
        below: part of the height that is left free at the bottom.
    """
    layout = ConstrainedLayoutEngine(rect=(0, below, 1, 1 - below))
    figure = Figure(figsize=(_WIDTH, height), layout=layout)
    figure.suptitle(headline, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    return figure


def quiet(axes: Axes) -> None:
    """Leave out the lines of the frame that carry no scale."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(color=GREY)


def without_scale(axes: Axes) -> None:
    """Leave out the frame on the left, where rows are named instead of measured."""
    quiet(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def few_ticks(axes: Axes, across: int, up: int) -> None:
    """Number both scales sparsely, with separated thousands, where many panels share the width."""
    for axis, most in ((axes.xaxis, across), (axes.yaxis, up)):
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))


def png(figure: Figure) -> bytes:
    """Draw the picture; equal input gives equal bytes on one machine."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png", metadata=metadata(figure))
    return buffer.getvalue()


def metadata(figure: Figure) -> dict[str, str | None]:
    """Give what is written into the file: the headline, and no version of matplotlib, which would make it vary."""
    headline = figure.get_suptitle()
    return {"Software": None} | ({"Title": headline} if headline else {})
