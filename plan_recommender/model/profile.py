"""The reference profile of a sample: per feature its bins, counts and values; and the PSI of two histograms.

The profile of the training part is stored with a model, so that drift can be measured where the table is not.
"""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Values = npt.NDArray[np.float64]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureProfile(_Model):
    """The distribution of one feature in the reference, from which no row can be put together.

    The bins are (-inf, edges[0]], (edges[0], edges[1]], ..., (edges[-1], inf). Their ends are open, so that every
    current value falls into one.
    """

    name: str
    missing: int = Field(description="reference rows without a value")
    values: list[float] = Field(description="sorted; a random sample where the reference had more than are kept")
    edges: list[float] = Field(description="ascending quantiles, without repetitions")
    counts: list[int] = Field(description="of all reference values in each bin; one more than the edges")


class ReferenceProfile(_Model):
    """A reference sample, feature by feature; it is stored with a model."""

    rows: int = Field(description="with and without missing values")
    features: list[FeatureProfile]


def population_stability_index(reference: npt.ArrayLike, current: npt.ArrayLike, smoothing: float) -> float:
    """PSI of two histograms over the same bins (Siddiqi 2006, "Credit Risk Scorecards"): no unit, 0 if they are alike.

    It is the sum of (c - r) ln(c / r) over the shares r and c of the bins. `smoothing` rows, more than 0, are added to
    every bin of both histograms, because an empty bin would make it infinite.
    """
    smoothed = [np.asarray(counts, dtype=np.float64) + smoothing for counts in (reference, current)]
    r, c = (counts / counts.sum() for counts in smoothed)
    return float(np.sum((c - r) * np.log(c / r)))


def histogram(values: Values, edges: Values) -> list[int]:
    """Count the values in each bin, one more than there are edges; a value on an edge belongs to the bin below it."""
    counts: list[int] = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1).tolist()
    return counts
