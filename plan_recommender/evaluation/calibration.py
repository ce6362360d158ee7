"""Calibration: whether as many rows are Ultra as their probabilities say, and the decomposition of the Brier score."""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from sklearn.linear_model import LogisticRegression

from plan_recommender.evaluation.metrics import Labels, Probabilities

_CHANCE_DRAWS = 199
_CHANCE_SHARE = 0.975
"""Share of the draws that `ece_limit` exceeds: of perfectly calibrated models, 2.5 in 100 show a larger error."""

_MIN_DISTANCE = 1e-6
"""Probabilities are moved this far from 0 and 1 before their log-odds are taken, which would be infinite."""

_Values = npt.NDArray[np.float64]


class CalibrationBin(BaseModel):
    """Rows of similar probability: the mean probability of Ultra, and the share of them that is Ultra."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    mean_probability: float
    ultra_share: float


class Calibration(BaseModel):
    """Calibration measured over bins of about equally many rows, and the decomposition of the Brier score over them.

    `brier = reliability - resolution + uncertainty + within_bin`. The first three terms are those of Murphy (1973, "A
    new vector partition of the probability score"), who assumed one probability in each bin. `within_bin` is what
    different probabilities in one bin add: the within-bin variance less twice the within-bin covariance (Stephenson,
    Coelho & Jolliffe 2008, "Two extra components in the Brier score decomposition").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ece: Annotated[float, Field(description="expected calibration error (0 to 1): mean gap of a bin, by rows")]
    ece_by_chance: Annotated[
        float, Field(description="mean ECE of a perfectly calibrated model with these probabilities on these rows")
    ]
    ece_limit: Annotated[float, Field(description="ECE that 97.5 % of such models stay below or reach")]
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
    target: Labels,
    probabilities: Probabilities,
    bins: int,
    seed: int,
    rows: npt.NDArray[np.int64] | None = None,
    subscribers: npt.NDArray[np.int64] | None = None,
) -> Calibration:
    """Compare probabilities of Ultra with the labels.

    Bins end at quantiles of the probability (Nguyen & O'Connor 2015, "Posterior calibration and exploratory analysis
    for natural language processing models"). Equal probabilities share a bin, and there are fewer bins where ties would
    leave one empty. The expected calibration error is that of Naeini, Cooper & Hauskrecht (2015, "Obtaining well
    calibrated probabilities using Bayesian binning"). Noise alone makes it larger than 0; `ece_by_chance` is its mean
    over labels that are drawn from the probabilities (consistency resampling, Bröcker & Smith 2007, "Increasing the
    reliability of reliability diagrams"), and `ece_limit` a high quantile. Slope and intercept are those of Cox (1958,
    "Two further applications of a model for binary regression"): a logistic regression of the label on the log-odds,
    without a penalty. They are None where that has no finite solution: the labels or the probabilities are all equal,
    or the labels are separated by a probability.

    Args:
        target: labels, shape (entries,).
        probabilities: of Ultra, 0 to 1, shape (entries,).
        bins: maximum of bins (at least 1).
        seed: draws the labels of `ece_by_chance` and `ece_limit`.
        rows: the row of a table that each entry belongs to, shape (entries,), if a row has several entries, as after
            repeated cross-validation; None: every entry is a row. Entries of one row share the random number from which
            their label is drawn, because the table has one label for all of them.
        subscribers: a number for the subscriber of each entry, shape (entries,); None: every row is one of its own. The
            drawn labels of one subscriber's rows depend on each other as much as the labels do.
    """
    bin_of, sizes = _equal_mass_bins(probabilities, bins)
    mean_probability = _mean_by_bin(probabilities, bin_of, sizes)
    ultra_share = _mean_by_bin(target, bin_of, sizes)
    weights = sizes / len(target)
    base_rate = float(target.mean())
    slope, intercept = _recalibration(target, probabilities)
    draws = _ece_of_calibrated(target, probabilities, bin_of, sizes, seed, rows, subscribers)
    return Calibration(
        ece=_ece(weights, mean_probability, ultra_share),
        ece_by_chance=float(draws.mean()),
        # With 199 draws and the observed one, the chance of exceeding this one is what the share says.
        ece_limit=float(np.sort(draws)[round(_CHANCE_SHARE * (_CHANCE_DRAWS + 1)) - 1]),
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
    """Find the bin of each entry, shape (entries,), and the size of each bin, shape (bins,); no bin is empty."""
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


def _ece_of_calibrated(
    target: Labels,
    probabilities: Probabilities,
    bin_of: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    seed: int,
    rows: npt.NDArray[np.int64] | None,
    subscribers: npt.NDArray[np.int64] | None,
) -> _Values:
    """Draw labels as a perfectly calibrated model would have them, `_CHANCE_DRAWS` times; returns each draw's ECE."""
    rng = np.random.default_rng(seed)
    weights = sizes / len(probabilities)
    mean_probability = _mean_by_bin(probabilities, bin_of, sizes)
    names, row_of = np.unique(np.arange(len(probabilities)) if rows is None else rows, return_inverse=True)
    first = np.full(len(names), 0)
    first[row_of[::-1]] = np.arange(len(probabilities))[::-1]  # an entry of each row
    shared = 0.0
    owner = np.zeros(len(names), dtype=np.int64)
    if subscribers is not None:
        owner = np.unique(subscribers[first], return_inverse=True)[1]
        shared = _shared_chance(target[first], probabilities[first], owner)
    draws = np.empty(_CHANCE_DRAWS)
    for i in range(_CHANCE_DRAWS):  # one matrix of all draws would be 200 times as large as the table
        chance = rng.random(len(names))
        if shared:
            of_subscriber = rng.random(owner.max() + 1)[owner]
            chance = np.where(rng.random(len(names)) < shared, of_subscriber, chance)
        labels = (chance[row_of] < probabilities).astype(np.float64)
        draws[i] = _ece(weights, mean_probability, _mean_by_bin(labels, bin_of, sizes))
    return draws


def _shared_chance(target: Labels, probabilities: Probabilities, owner: npt.NDArray[np.int64]) -> float:
    """Estimate how strongly the labels of one subscriber's rows go together, given their probabilities: 0 to 1.

    It is the probability w with which a row takes the random number of its subscriber instead of its own. The labels of
    two rows with probabilities p and q then have the covariance w squared times min(p, q) - p q. The estimate compares
    the products of the residuals, summed over all pairs of rows of one subscriber, with this sum for w = 1.
    """
    residuals = target - probabilities
    found = np.sum(np.bincount(owner, weights=residuals) ** 2) - np.sum(residuals**2)
    products = np.sum(np.bincount(owner, weights=probabilities) ** 2) - np.sum(probabilities**2)
    order = np.lexsort((probabilities, owner))  # each subscriber's rows together, the smallest probability first
    sizes = np.bincount(owner)
    ends = np.cumsum(sizes)[owner[order]]
    larger = ends - 1 - np.arange(len(order))  # how many rows of the same subscriber have a larger probability
    largest = 2 * np.sum(probabilities[order] * larger) - products
    return float(np.sqrt(np.clip(found / largest, 0, 1))) if largest > 0 else 0.0


def _within_bin(probability_deviations: _Values, label_deviations: _Values) -> float:
    variance = np.mean(probability_deviations**2)
    covariance = 2 * np.mean(probability_deviations * label_deviations)
    return float(variance - covariance)


def _recalibration(target: Labels, probabilities: Probabilities) -> tuple[float | None, float | None]:
    clipped = np.clip(probabilities, _MIN_DISTANCE, 1 - _MIN_DISTANCE)
    log_odds = np.log(clipped) - np.log1p(-clipped)
    ultra, smart = log_odds[target == 1], log_odds[target == 0]
    # The likelihood has a maximum only where the two overlap (Albert & Anderson 1984).
    if not len(ultra) or not len(smart) or ultra.min() >= smart.max() or smart.min() >= ultra.max():
        return None, None
    # The optimiser converges well on standardised inputs.
    mean, scale = log_odds.mean(), log_odds.std()
    fit = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(((log_odds - mean) / scale)[:, None], target)
    slope = float(fit.coef_[0, 0] / scale)
    return slope, float(fit.intercept_[0] - slope * mean)
