"""The background that explanations are made against, drawn from the training part (training only: needs scikit-learn).

Centres of clusters and not a sample of rows: the model travels, in Bentos and images, and no subscriber's month should
travel with it. A cluster of few subscribers would be one's month again, or nearly, so it joins its neighbours.
"""

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin

from plan_recommender.explainer import MOST_CENTRES, Background
from plan_recommender.usage import FEATURE_NAMES, CustomerUsage, FeatureMatrix

FEWEST_SUBSCRIBERS = 5
"""Fewest training rows that a centre is the mean of, unless the table has fewer altogether."""

_CLUSTERED_ROWS = 20_000  # of a longer table a sample is clustered, and then every row joins its nearest centre
_STARTS = 4
_DIGITS = 6


def make_background(features: FeatureMatrix, seed: int) -> Background:
    """Summarise training features in at most 64 weighted centres (k-means).

    The centres' weighted mean is that of the features, missing values imputed with the median, up to rounding.

    Args:
        features: shape (rows, 4), at least one row, NaN where a value is missing, a value in every column.
        seed: of the sample and of the first centres.
    """
    typical = np.nanmedian(features, axis=0)
    imputed = np.where(np.isnan(features), typical, features)
    scale = imputed.std(axis=0)
    clusters = _cluster(imputed / np.where(scale > 0, scale, 1), seed)
    members = [imputed[clusters == cluster] for cluster in np.unique(clusters)]
    # Sorted, because two starts can end in the same clusters in another order, and rounding then picks one of them.
    centres = sorted((tuple(rows.mean(axis=0).tolist()), len(rows) / len(features)) for rows in members)
    return Background(
        centres=[_usage(centre) for centre, _ in centres],
        weights=[weight for _, weight in centres],
        typical=_usage(typical.tolist()),
    )


def _cluster(scaled: FeatureMatrix, seed: int) -> npt.NDArray[np.int64]:
    """The cluster of each row, shape (rows,): every one of at least `FEWEST_SUBSCRIBERS` rows, or one of all rows."""
    rng = np.random.default_rng(seed)
    fitted = scaled if len(scaled) <= _CLUSTERED_ROWS else rng.choice(scaled, _CLUSTERED_ROWS, replace=False)
    distinct = len(np.unique(fitted, axis=0))
    kmeans = KMeans(min(MOST_CENTRES, distinct), n_init=_STARTS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that it found fewer clusters, which are as good
        kmeans.fit(fitted)
    (large,) = np.nonzero(np.bincount(kmeans.labels_) >= FEWEST_SUBSCRIBERS)
    if not len(large):
        return np.zeros(len(scaled), dtype=np.int64)
    nearest: npt.NDArray[np.int64] = pairwise_distances_argmin(scaled, kmeans.cluster_centers_[large])
    return nearest


def _usage(values: tuple[float, ...] | list[float]) -> CustomerUsage:
    rounded = (float(f"{value:.{_DIGITS}g}") for value in values)
    return CustomerUsage(**dict(zip(FEATURE_NAMES, rounded, strict=True)))
