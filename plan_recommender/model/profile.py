"""The reference profile that is stored with a model: bins, counts and samples of the training part, and the PSI."""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Values = npt.NDArray[np.float64]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureProfile(_Model):
    """One feature of the reference: its distribution, never whole rows.

    The bins are (-inf, edges[0]], (edges[0], edges[1]], ..., (edges[-1], inf): open ends, so that no current value
    falls outside. Quantiles that coincide, as at a heap of zeros, make one edge.
    """

    name: str
    missing: int
    values: list[float] = Field(description="sorted; a random sample when there were too many")
    edges: list[float]
    counts: list[int] = Field(description="reference values in each bin; one more than the edges")


class ReferenceProfile(_Model):
    """The reference sample as it is stored with a model."""

    rows: int
    features: list[FeatureProfile]


def population_stability_index(reference: npt.ArrayLike, current: npt.ArrayLike, smoothing: float) -> float:
    """PSI of two histograms over the same bins (Siddiqi 2006): the sum of (c - r) ln(c / r) over the bins' shares.

    `smoothing` rows are added to every bin of both, so that an empty bin costs much and not infinitely much.
    """
    smoothed = [np.asarray(counts, dtype=np.float64) + smoothing for counts in (reference, current)]
    r, c = (counts / counts.sum() for counts in smoothed)
    return float(np.sum((c - r) * np.log(c / r)))


def histogram(values: Values, edges: Values) -> list[int]:
    """Count values per bin; a value on an edge belongs to the bin below it."""
    counts: list[int] = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1).tolist()
    return counts
