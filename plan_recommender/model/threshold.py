"""From a probability to a plan: one threshold, or one for each segment of subscribers.

Everything that decides with a registered model takes its threshold from here: `Threshold.of` gives that of one row, and
`Threshold.decide` decides many. A probability that equals the threshold is Ultra.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

SEGMENTS = ("light", "medium", "heavy")
"""Names of the segments, from low usage to high."""

_Probability = Annotated[float, Field(ge=0, le=1)]


class SegmentThresholds(BaseModel):
    """A threshold for light, medium and heavy users, told apart by one feature."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    feature: Literal["calls", "minutes", "messages", "mb_used"]
    # Lists, because OpenAPI 3.0 cannot describe tuples.
    bounds: list[Annotated[float, Field(ge=0)]] = Field(
        min_length=2, max_length=2, description="least usage of a medium and of a heavy user"
    )
    thresholds: list[_Probability] = Field(min_length=3, max_length=3, description="of light, medium and heavy users")

    @field_validator("bounds")
    @classmethod
    def _ascend(cls, bounds: list[float]) -> list[float]:
        if bounds[0] > bounds[1]:
            raise ValueError(f"expected bounds that ascend, found {bounds}")
        return bounds


class Threshold(BaseModel):
    """The probability of Ultra from which Ultra is recommended, and how it was chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    value: _Probability = Field(description="for everybody without a segment of their own")
    objective: Literal["none", "f1", "accuracy", "expected_profit"] = Field(
        "none", description="what it was chosen for on the training folds; none: it is the configured number"
    )
    segments: SegmentThresholds | None = None

    def of(self, calls: float, minutes: float, messages: float, mb_used: float) -> float:
        """The threshold of one row. NaN is a missing value: a row without a segment has the threshold `value`."""
        if self.segments is None:
            return self.value
        value = (calls, minutes, messages, mb_used)[FEATURE_NAMES.index(self.segments.feature)]
        return self.value if value != value else self.segments.thresholds[bisect_right(self.segments.bounds, value)]

    def decide(self, features: FeatureMatrix, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """1 (Ultra) where a row's probability is at least its threshold, otherwise 0 (Smart); shape (rows,)."""
        return (probabilities >= self._of(features)).astype(np.int64)

    def summary(self) -> dict[str, object]:
        """Give the thresholds as JSON documents hold them; `segment_thresholds` is empty when one is for everybody."""
        segments = [] if self.segments is None else [self.segments.model_dump()]
        return {"threshold": self.value, "segment_thresholds": segments}

    def __str__(self) -> str:
        """Name the threshold, or those of the segments, in one line."""
        if self.segments is None:
            return f"{self.value:g}"
        by_segment = ", ".join(
            f"{name} {threshold:g}" for name, threshold in zip(SEGMENTS, self.segments.thresholds, strict=True)
        )
        return f"by {self.segments.feature}: {by_segment}"

    def _of(self, features: FeatureMatrix) -> npt.NDArray[np.float64] | float:
        if self.segments is None:
            return self.value
        segment = segment_of(features, self.segments.feature, self.segments.bounds)
        return np.array([*self.segments.thresholds, self.value])[segment]  # without a segment: -1, the last


def segment_of(features: FeatureMatrix, feature: str, bounds: Sequence[float]) -> npt.NDArray[np.int64]:
    """Find the position in `SEGMENTS` of each row, shape (rows,); -1 where the feature is missing.

    `bounds` are the smallest usage of a medium and of a heavy user, in the feature's unit.
    """
    values = features[:, FEATURE_NAMES.index(feature)]
    return np.where(np.isnan(values), -1, np.searchsorted(np.array(bounds), values, side="right"))
