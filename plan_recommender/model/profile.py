"""The reference profile of a sample: how its features, their pairs and the predictions are distributed, in bins.

The profile of the training part is stored with a model, so that later samples, and what a service answers, can be
compared with it where the table is not.
"""

from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

Values = npt.NDArray[np.float64]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureProfile(_Part):
    """The distribution of one feature in the reference, from which no row can be put together.

    The bins are (-inf, edges[0]], (edges[0], edges[1]], ..., (edges[-1], inf). Their ends are open, so that every
    current value falls into one.
    """

    name: str
    missing: int = Field(description="reference rows without a value")
    mean: float = Field(description="of all reference values, in the feature's unit; 0 where there is none")
    values: list[float] = Field(description="sorted; a random sample where the reference had more than are kept")
    edges: list[float] = Field(description="ascending quantiles, or the cuts of the model nearest to them")
    counts: list[int] = Field(description="of all reference values in each bin; one more than the edges")
    coarse: list[int] = Field(description="positions in edges at which the coarser bins end that pairs are counted in")
    design_effect: float = Field(
        ge=1, description="rows of these subscribers that say as much as one row of a stranger"
    )


class PairProfile(_Part):
    """How two features of the reference go together."""

    features: list[str] = Field(min_length=2, max_length=2)
    counts: list[list[int]] = Field(description="of rows in the coarse bins of the first feature and of the second")
    design_effect: float = Field(ge=1, description="as that of a feature, for the dependence between the two")
    design_variation: float = Field(
        ge=0, description="squared coefficient of variation of the design effects behind it"
    )


class PredictionProfile(_Part):
    """What a model predicts for the reference."""

    edges: list[float] = Field(description="ascending quantiles of the probability of Ultra")
    counts: list[int] = Field(description="of rows whose probability falls into each bin; one more than the edges")
    mean: float = Field(ge=0, le=1, description="of the probabilities of Ultra")
    ultra_share: float = Field(ge=0, le=1, description="of rows that are recommended Ultra")
    expected_accuracy: float = Field(ge=0, le=1, description="of the decisions, if the probabilities are true")
    expected_brier: float = Field(ge=0, le=1, description="of the probabilities, if they are true")
    design_effect: float = Field(ge=1, description="as that of a feature")


class ReferenceProfile(_Part):
    """A reference sample; it is stored with a model."""

    rows: int = Field(description="with and without missing values")
    subscribers: int | None = Field(description="whose rows these are; null where the table does not say it")
    traffic_effect: float = Field(ge=1, description="as a design effect, of the rows that a service will be asked for")
    features: list[FeatureProfile]
    pairs: list[PairProfile] = Field(description="of every two of the features, in order")
    predictions: PredictionProfile | None = Field(description="null where no model was asked")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for feature in self.features:
            ascending = all(a < b for a, b in pairwise(feature.edges))
            if not ascending or len(feature.counts) != len(feature.edges) + 1:
                raise ValueError(f"expected ascending edges of {feature.name}, and one count more")
            if sorted(set(feature.coarse) & set(range(len(feature.edges)))) != feature.coarse:
                raise ValueError(f"expected coarse of {feature.name} to be positions of edges that ascend")
        names = [feature.name for feature in self.features]
        found = [pair.features for pair in self.pairs]
        if found != [[a, b] for i, a in enumerate(names) for b in names[i + 1 :]]:
            raise ValueError(f"expected every pair of {names}, in order, found {found}")
        sizes = {feature.name: len(feature.coarse) + 1 for feature in self.features}
        for pair in self.pairs:
            a, b = pair.features
            if [len(row) for row in pair.counts] != [sizes[b]] * sizes[a]:
                raise ValueError(f"expected {sizes[a]} rows of {sizes[b]} counts of {a} and {b}")
        return self

    def of(self, names: list[str]) -> "ReferenceProfile":
        """Give the profile of some of the features, in this order, and of the pairs among them."""
        features = {feature.name: feature for feature in self.features}
        pairs = {tuple(pair.features): pair for pair in self.pairs}
        chosen = []
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                pair = pairs.get((a, b))
                if pair is None:
                    turned = pairs[b, a]
                    counts = [list(column) for column in zip(*turned.counts, strict=True)]
                    pair = PairProfile(
                        features=[a, b],
                        counts=counts,
                        design_effect=turned.design_effect,
                        design_variation=turned.design_variation,
                    )
                chosen.append(pair)
        return self.model_copy(update={"features": [features[name] for name in names], "pairs": chosen})


def histogram(values: Values, edges: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Count the values in each bin, one more than there are edges; a value on an edge belongs to the bin below it."""
    return np.bincount(bins_of(values, edges), minlength=np.size(edges) + 1)


def bins_of(values: Values, edges: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Find the bin of each value, from 0, shape (values,); a value on an edge belongs to the bin below it."""
    return np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="left")
