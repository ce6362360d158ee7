"""Whether a probability of Ultra can be taken at its word: calibration, and what the Brier score is made of."""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from sklearn.linear_model import LogisticRegression

from plan_recommender.evaluation.metrics import Labels, Probabilities

_CHANCE_DRAWS = 200
_CLOSEST = 1e-6
"""Distance from 0 and 1 at which a probability is held for its log-odds, which would be infinite there."""

_Values = npt.NDArray[np.float64]


class CalibrationBin(BaseModel):
    """Rows of similar probability: what the model says of them on average, and what they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    mean_probability: float
    ultra_share: float


class Calibration(BaseModel):
    """Calibration over bins of about equally many rows, and the decomposition of the Brier score over them.

    `brier = reliability - resolution + uncertainty + within_bin`. The first three terms are Murphy's (1973, "A new
    vector partition of the probability score"), who had one probability in a bin. `within_bin` is what several
    probabilities in one bin add: within-bin variance less within-bin covariance (Stephenson, Coelho & Jolliffe 2008,
    "Two extra components in the Brier score decomposition").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ece: Annotated[float, Field(description="expected calibration error (0 to 1): mean gap of a bin, by rows")]
    ece_by_chance: Annotated[
        float, Field(description="mean ECE of a perfectly calibrated model with these probabilities on these rows")
    ]
    brier: Annotated[float, Field(description="mean squared error of the probability; less is better")]
    reliability: Annotated[float, Field(description="mean squared gap between probability and share; less is better")]
    resolution: Annotated[float, Field(description="how far the bins' shares lie apart; more is better")]
    uncertainty: Annotated[float, Field(description="variance of the label, which no model changes")]
    within_bin: Annotated[float, Field(description="what differing probabilities within a bin add; may be negative")]
    slope: Annotated[
        float | None, Field(description="of the log-odds: 1 is right, below 1 is too confident; None if not estimable")
    ]
    intercept: Annotated[float | None, Field(description="goes with the slope: 0 is right; None if not estimable")]
    bins: Annotated[list[CalibrationBin], Field(description="from low probabilities to high ones")]


def measure_calibration(
    target: Labels, probabilities: Probabilities, bins: int, seed: int, rows: npt.NDArray[np.int64] | None = None
) -> Calibration:
    """Hold probabilities of Ultra against the labels.

    Bins are cut at quantiles of the probability (Nguyen & O'Connor 2015, "Posterior calibration and exploratory
    analysis"), equal probabilities share a bin, and there are fewer bins where ties leave no rows for one. ECE as in
    Naeini, Cooper & Hauskrecht 2015. It is above 0 by noise alone, `ece_by_chance` tells how far: the mean ECE of
    labels drawn from the probabilities (consistency resampling, Bröcker & Smith 2007). Slope and intercept are Cox's
    (1958, "Two further applications of a model for binary regression"): logistic regression of the label on the
    log-odds, without a penalty; None where that has no finite answer, which is when the labels or the probabilities
    are all the same, or when one probability parts the labels.

    Args:
        target: labels, shape (entries,).
        probabilities: of Ultra, 0 to 1, shape (entries,).
        bins: most bins (at least 1).
        seed: draws the labels of `ece_by_chance`.
        rows: which row of a table each entry is of, shape (entries,), when one row has several entries, as after
            repeated cross-validation. Entries of one row share their chance: there are no more labels than rows.
    """
    bin_of, sizes = _equal_mass_bins(probabilities, bins)
    mean_probability = _mean_by_bin(probabilities, bin_of, sizes)
    ultra_share = _mean_by_bin(target, bin_of, sizes)
    weights = sizes / len(target)
    base_rate = float(target.mean())
    slope, intercept = _recalibration(target, probabilities)
    return Calibration(
        ece=_ece(weights, mean_probability, ultra_share),
        ece_by_chance=_ece_by_chance(probabilities, bin_of, sizes, seed, rows),
        brier=float(np.mean((probabilities - target) ** 2)),
        reliability=float(weights @ (mean_probability - ultra_share) ** 2),
        resolution=float(weights @ (ultra_share - base_rate) ** 2),
        uncertainty=base_rate * (1 - base_rate),
        within_bin=_within_bin(probabilities - mean_probability[bin_of], target - ultra_share[bin_of]),
        slope=slope,
        intercept=intercept,
        bins=[
            CalibrationBin(rows=size, mean_probability=mean, ultra_share=share)
            for size, mean, share in zip(sizes.tolist(), mean_probability.tolist(), ultra_share.tolist(), strict=True)
        ],
    )


def _equal_mass_bins(probabilities: Probabilities, bins: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Bin of each entry, and the size of each bin; none is empty."""
    edges = np.unique(np.quantile(probabilities, np.arange(1, bins) / bins, method="inverted_cdf"))
    _, bin_of, sizes = np.unique(np.searchsorted(edges, probabilities), return_inverse=True, return_counts=True)
    return bin_of, sizes


def _mean_by_bin(
    values: npt.NDArray[np.float64 | np.int64], bin_of: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> _Values:
    means: _Values = np.bincount(bin_of, weights=values) / sizes
    return means


def _ece(weights: _Values, mean_probability: _Values, ultra_share: _Values) -> float:
    return float(weights @ np.abs(mean_probability - ultra_share))


def _ece_by_chance(
    probabilities: Probabilities,
    bin_of: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    seed: int,
    rows: npt.NDArray[np.int64] | None,
) -> float:
    rng = np.random.default_rng(seed)
    weights = sizes / len(probabilities)
    mean_probability = _mean_by_bin(probabilities, bin_of, sizes)
    names, chance_of = np.unique(np.arange(len(probabilities)) if rows is None else rows, return_inverse=True)
    draws = np.empty(_CHANCE_DRAWS)
    for i in range(_CHANCE_DRAWS):  # not one matrix: that would be 200 times as large as the table
        labels = (rng.random(len(names))[chance_of] < probabilities).astype(np.float64)
        draws[i] = _ece(weights, mean_probability, _mean_by_bin(labels, bin_of, sizes))
    return float(draws.mean())


def _within_bin(probability_deviations: _Values, label_deviations: _Values) -> float:
    variance = np.mean(probability_deviations**2)
    covariance = 2 * np.mean(probability_deviations * label_deviations)
    return float(variance - covariance)


def _recalibration(target: Labels, probabilities: Probabilities) -> tuple[float | None, float | None]:
    held = np.clip(probabilities, _CLOSEST, 1 - _CLOSEST)
    log_odds = np.log(held) - np.log1p(-held)
    ultra, smart = log_odds[target == 1], log_odds[target == 0]
    # The likelihood has a maximum only where the two overlap (Albert & Anderson 1984).
    if not len(ultra) or not len(smart) or ultra.min() >= smart.max() or smart.min() >= ultra.max():
        return None, None
    # The optimiser is used to inputs of about unit size.
    mean, scale = log_odds.mean(), log_odds.std()
    fit = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(((log_odds - mean) / scale)[:, None], target)
    slope = float(fit.coef_[0, 0] / scale)
    return slope, float(fit.intercept_[0] - slope * mean)
