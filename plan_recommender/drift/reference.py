"""Describe a reference sample as a profile: the reference alone fixes the bins, whose outer ends are open."""

import numpy as np

from plan_recommender.config.settings import DriftSettings
from plan_recommender.model.profile import (
    FeatureProfile,
    ReferenceProfile,
    Values,
    histogram,
)


def profile(features: Values, names: list[str], settings: DriftSettings, seed: int | None = None) -> ReferenceProfile:
    """Describe a reference sample, feature by feature.

    Bins end at quantiles of the reference; quantiles that coincide, as they do where many values are 0, make one end.

    Args:
        features: shape (rows, features), NaN where a value is missing.
        names: the columns of `features`.
        settings: the number of bins, and of values that are kept when `seed` is given.
        seed: draws the values that are kept; None: all values are kept.
    """
    kept = None if seed is None else settings.reference_rows
    rng = np.random.default_rng(seed)
    profiles = [_profile_feature(name, features[:, i], settings.bins, kept, rng) for i, name in enumerate(names)]
    return ReferenceProfile(rows=len(features), features=profiles)


def _profile_feature(
    name: str, values: Values, bins: int, kept: int | None, rng: np.random.Generator
) -> FeatureProfile:
    present = values[~np.isnan(values)]
    edges = np.unique(np.quantile(present, np.arange(1, bins) / bins)) if len(present) else np.empty(0)
    sample = rng.choice(present, kept, replace=False) if kept is not None and len(present) > kept else present
    return FeatureProfile(
        name=name,
        missing=len(values) - len(present),
        values=np.sort(sample).tolist(),
        edges=edges.tolist(),
        counts=histogram(present, edges),
    )
