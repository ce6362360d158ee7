"""Describe a reference sample as a profile: the reference alone fixes the bins, whose outer ends are open."""

from collections.abc import Sequence
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.config.settings import DriftSettings
from plan_recommender.drift.design_effect import Subscribers, of_dependence, of_quantity
from plan_recommender.model.profile import (
    FeatureProfile,
    PairProfile,
    PredictionProfile,
    ReferenceProfile,
    Values,
    bins_of,
    histogram,
)
from plan_recommender.model.scorer import Scorer
from plan_recommender.monitoring.layout import Codes

QUANTILES: Final = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Of the reference, at which bins end. The narrow outer ones find rows in another unit among few."""
COARSE_QUANTILES: Final = (0.2, 0.4, 0.6, 0.8)
"""Of the reference, near which the coarser bins of pairs end."""


class Summary(NamedTuple):
    """What a model predicts for rows."""

    probabilities: Values
    """Of Ultra, shape (rows,)."""
    mean: float
    """Of the probabilities."""
    ultra_share: float
    """Of the rows that are recommended Ultra."""
    expected_accuracy: float
    """Of the decisions, if the probabilities are true."""
    expected_brier: float
    """Of the probabilities, if they are true."""


def profile(
    features: Values,
    names: list[str],
    settings: DriftSettings,
    seed: int | None = None,
    *,
    subscribers: Subscribers | None = None,
    cuts: Sequence[Sequence[float]] | None = None,
    scorer: Scorer | None = None,
) -> ReferenceProfile:
    """Describe a reference sample: its features, their pairs, and what a model predicts for it.

    Bins end at `QUANTILES` of the reference; quantiles that coincide, as they do where many values are 0, make one end.
    With `cuts` they end at those that are nearest to the quantiles.

    Args:
        features: shape (rows, features), NaN where a value is missing.
        names: the columns of `features`.
        settings: how many values are kept when `seed` is given, and the design effect of traffic.
        seed: draws the values that are kept; None: all values are kept.
        subscribers: whose each row is, shape (rows,); None: it is not known.
        cuts: of each feature in a model, so that the bins that a prediction looks up say into which of these it falls.
        scorer: of a model, whose predictions are described too; then `names` are all features.
    """
    kept = None if seed is None else settings.reference_rows
    rng = np.random.default_rng(seed)
    described, coarse = [], []
    for i, name in enumerate(names):
        ends = None if cuts is None else np.array(cuts[i])
        feature = _feature(name, features[:, i], ends, kept, rng, subscribers)
        described.append(feature)
        codes = np.where(np.isnan(features[:, i]), -1, bins_of(features[:, i], feature.edges))
        coarse.append(np.where(codes < 0, -1, np.searchsorted(feature.coarse, codes, side="left")))
    pairs = [
        _pair(
            [described[i].name, described[j].name],
            coarse[i],
            coarse[j],
            (len(described[i].coarse) + 1, len(described[j].coarse) + 1),
            subscribers,
        )
        for i, j in combinations(range(len(names)), 2)
    ]
    return ReferenceProfile(
        rows=len(features),
        subscribers=None if subscribers is None else len(np.unique(subscribers)),
        traffic_effect=settings.traffic_effect,
        features=described,
        pairs=pairs,
        predictions=None if scorer is None else _predictions(features, scorer, subscribers),
    )


def summarise(features: Values, scorer: Scorer) -> Summary:
    """Summarise what a model predicts for rows of features, shape (rows, 4), NaN where a value is missing."""
    probabilities = scorer.probabilities(features)
    decisions = scorer.decide(features, probabilities)
    return Summary(
        probabilities=probabilities,
        mean=float(probabilities.mean()),
        ultra_share=float(decisions.mean()),
        expected_accuracy=float(np.where(decisions == 1, probabilities, 1 - probabilities).mean()),
        expected_brier=float((probabilities * (1 - probabilities)).mean()),
    )


def _feature(
    name: str,
    values: Values,
    cuts: Values | None,
    kept: int | None,
    rng: np.random.Generator,
    subscribers: Subscribers | None,
) -> FeatureProfile:
    known = ~np.isnan(values)
    present = values[known]
    if not len(present):
        edges = np.empty(0)
    elif cuts is None:
        edges = np.unique(np.quantile(present, QUANTILES))
    else:
        edges = cuts[_nearest(np.searchsorted(np.sort(present), cuts, side="right") / len(present), QUANTILES)]
    sample = rng.choice(present, kept, replace=False) if kept is not None and len(present) > kept else present
    counts = histogram(present, edges)
    codes = np.where(known, bins_of(values, edges), -1)
    return FeatureProfile(
        name=name,
        missing=len(values) - len(present),
        mean=float(present.mean()) if len(present) else 0.0,
        values=np.sort(sample).tolist(),
        edges=edges.tolist(),
        counts=counts.tolist(),
        coarse=_nearest(np.cumsum(counts)[:-1] / max(1, len(present)), COARSE_QUANTILES).tolist(),
        design_effect=of_quantity(codes, len(counts), subscribers).mean,
    )


def _nearest(shares: Values, quantiles: Sequence[float]) -> npt.NDArray[np.intp]:
    """Find the positions in ascending shares that are nearest to the quantiles, without repetitions."""
    if not len(shares):
        return np.empty(0, dtype=np.intp)
    return np.unique(np.abs(shares - np.array(quantiles)[:, None]).argmin(axis=1))


def _pair(
    names: list[str], first: Codes, second: Codes, shape: tuple[int, int], subscribers: Subscribers | None
) -> PairProfile:
    known = (first >= 0) & (second >= 0)
    counts = np.bincount(first[known] * shape[1] + second[known], minlength=shape[0] * shape[1]).reshape(shape)
    effect = of_dependence(first, second, shape, subscribers)
    return PairProfile(
        features=names, counts=counts.tolist(), design_effect=effect.mean, design_variation=effect.variation
    )


def _predictions(features: Values, scorer: Scorer, subscribers: Subscribers | None) -> PredictionProfile:
    found = summarise(features, scorer)
    edges = np.unique(np.quantile(found.probabilities, QUANTILES))
    codes = bins_of(found.probabilities, edges)
    return PredictionProfile(
        edges=edges.tolist(),
        counts=histogram(found.probabilities, edges).tolist(),
        mean=found.mean,
        ultra_share=found.ultra_share,
        expected_accuracy=found.expected_accuracy,
        expected_brier=found.expected_brier,
        design_effect=of_quantity(codes, len(edges) + 1, subscribers).mean,
    )
