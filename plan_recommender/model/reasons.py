"""Why the model recommends a plan: what each feature adds to the log-odds, and which change would turn the plan.

The contributions are interventional Shapley values (Lundberg and Lee, "A Unified Approach to Interpreting Model
Predictions", 2017; Janzing, Minorics and Blöbaum, "Feature relevance quantification in explainable AI: A causal
problem", 2020). Let S be a set of features whose values are those of the subscriber x, while every other feature is
drawn from the training part independently of the rest. Then

    v(S) = mean of log_odds(x on S, drawn elsewhere)

and the contribution of a feature is the mean of v(S with it) - v(S without it) over all orders in which the features
can join S. The model's curves and maps have means of 0 over such draws, so that v(S) is the sum of the constant, the
curves of S and the maps between features of S. Hence a feature's contribution is its curve and half of each of its
maps, and the base value v(nothing) is the constant. Halves of the document's numbers and their sums are exact, so the
base value and the contributions sum to the log-odds to the last bit.
"""

import math
from bisect import bisect_right
from itertools import accumulate
from typing import Final, Literal, NamedTuple

import numpy as np

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.logistic import RELATIVE_ERROR, logistic
from plan_recommender.model.scorer import Bins, Scorer
from plan_recommender.model.tables import ModelDocument, Values

_FEATURES: Final = range(len(FEATURE_NAMES))


class Explanation(NamedTuple):
    """One prediction explained; the lists have shape (4,), in the order of `FEATURE_NAMES`."""

    bins: tuple[int, int, int, int]
    """The bin of each feature, from 0."""
    prediction: Literal[0, 1]
    """1 is Ultra, 0 Smart."""
    probability: float
    """Of Ultra."""
    log_odds: float
    """Of Ultra, for this subscriber."""
    base_value: float
    """Mean log-odds of Ultra over independently drawn training values; the same for every subscriber."""
    contributions: list[float]
    """What each feature adds, in log-odds of Ultra; with the base value they sum to `log_odds`."""
    changes: list[float | None]
    """For each feature the value, in its unit, nearest to the subscriber's at which the other plan would be recommended
    while the other features stay the same. Of two that are equally near it is the smaller. It is not rounded, so that a
    number of calls may be a fraction. None if the plan is the same at every value."""


class Reasons:
    """Explains the predictions of one model by looking them up in its tables.

    An array of shape (places,) has a place for every bin of every feature: first those of the first feature, then those
    of the second, and so on. What stands there is about somebody who is in that bin of that feature, and otherwise in
    the same bins as the subscriber who is explained.
    """

    def __init__(self, document: ModelDocument, scorer: Scorer) -> None:
        """Arrange the tables by place; `scorer` must have been made from the same document.

        They take eight bytes for every pair of places: half a megabyte with 260 bins.
        """
        self._scorer = scorer
        self._base_value = document.constant
        self._curves: list[list[float]] = [curve.tolist() for curve in document.curves]
        sizes = [len(curve) for curve in self._curves]
        self._ends = list(accumulate(sizes))
        self._starts = [end - size for end, size in zip(self._ends, sizes, strict=True)]
        self._feature_at = np.repeat(_FEATURES, sizes)
        self._tables = [_added_by(document, i) for i in _FEATURES]
        self._added = [list(table) for table in self._tables]  # its rows, which are not copied
        cuts = [feature.cuts for feature in document.features]
        # The largest and the smallest value of each place; at -1 stands what is further than any value.
        self._largest = [*(value for ends in cuts for value in (*ends, math.inf)), -math.inf]
        self._smallest = [*(value for ends in cuts for value in (0.0, *np.nextafter(ends, np.inf).tolist())), math.inf]
        self._segmented, self._thresholds = _thresholds(document)

    def explain(self, usage: tuple[float, float, float, float]) -> Explanation:
        """Explain the prediction for one subscriber, whose `usage` is finite and in the order of `FEATURE_NAMES`."""
        bins = self._scorer.bins(*usage)
        log_odds = self._scorer.log_odds_of(bins)
        prediction, probability = self._scorer.decide_row(log_odds, *usage)
        added = self._added_at(bins)
        contributions, rests = self._contributions(bins, added, log_odds)
        added += np.array(rests).take(self._feature_at)
        plans = self._thresholds[bins[self._segmented]].decide(added)
        changes = self._changes(plans, 1 - prediction, usage, bins)
        return Explanation(bins, prediction, probability, log_odds, self._base_value, contributions, changes)

    def contributions(self, bins: tuple[int, int, int, int]) -> list[float]:
        """What each feature adds, as in `Explanation`, for a subscriber whose values may be missing."""
        return self._contributions(bins, self._added_at(bins), 0.0)[0]

    def contributions_of_many(self, bins: Bins) -> Values:
        """What each feature adds for each of many subscribers, shape (rows, 4), with the bits of `contributions`."""
        found = np.empty((len(bins[0]), len(bins)))
        for i, start in enumerate(self._starts):
            part = sum(table[of_feature, start + bins[i]] for table, of_feature in zip(self._tables, bins, strict=True))
            found[:, i] = (self._tables[i][0, start + bins[i]] + part) / 2  # at its own places stands its curve
        return found

    def _added_at(self, bins: tuple[int, int, int, int]) -> Values:
        """Give, for each place, the part of the log-odds that depends on its feature: the curve and three maps."""
        first, second, third, fourth = self._added
        a, b, c, d = bins
        added: Values = first[a] + second[b]
        added += third[c]
        added += fourth[d]
        return added

    def _contributions(
        self, bins: tuple[int, int, int, int], added: Values, log_odds: float
    ) -> tuple[list[float], list[float]]:
        """Give what each feature adds with half of its maps, and the log-odds without all that depends on it."""
        contributions, rests = [], []
        for curve, start, b in zip(self._curves, self._starts, bins, strict=True):
            part = added.item(start + b)
            contributions.append((curve[b] + part) / 2)
            rests.append(log_odds - part)
        return contributions, rests

    def _changes(self, plans: bytes, other: int, usage: tuple[float, ...], bins: tuple[int, ...]) -> list[float | None]:
        """Find the nearest value of each feature at which the `other` of the `plans` of all places is recommended."""
        changes: list[float | None] = []
        largest, smallest = self._largest, self._smallest
        for value, start, b, end in zip(usage, self._starts, bins, self._ends, strict=True):
            below, above = plans.rfind(other, start, start + b), plans.find(other, start + b, end)
            low, high = largest[below], smallest[above]
            if high - value < value - low:
                changes.append(high)
            else:
                changes.append(low if below >= 0 else None)
        return changes


def effect_points(probability: float, log_odds: float, contribution: float) -> float:
    """What a contribution adds to the probability of Ultra, in percentage points; negative speaks for Smart.

    It is the probability with the contribution less the probability without it, while the base value and the other
    contributions stay the same. The logistic function is not linear, so the effects do not sum to anything.

    Args:
        probability: of Ultra, which is the logistic function of the log-odds.
        log_odds: of Ultra.
        contribution: of one feature to these log-odds.
    """
    return 100 * (probability - logistic(log_odds - contribution))


def _added_by(document: ModelDocument, i: int) -> Values:
    """Give, for each bin of feature `i`, what it adds at every place: its map with the feature of the place.

    The shape is (bins, places).

    At its own places that is the curve of feature `i`, the same for all of its bins.
    """
    maps, curve = document.matrices, document.curves[i]
    own = np.tile(curve, (len(curve), 1))
    return np.hstack([own if j == i else maps[i, j] if i < j else maps[j, i].T for j in _FEATURES])


class _Thresholds:
    """The threshold of the probability at every place, and two bounds of the log-odds around it, shape (places,).

    Log-odds below `_smart_below` are Smart, and those from `_ultra_from` on are Ultra, however probabilities are
    rounded. The probability is computed only for those between, because computing it takes longer than comparing.
    """

    def __init__(self, thresholds: list[float]) -> None:
        """Take the thresholds, which are probabilities."""
        self._thresholds = thresholds
        self._smart_below = np.array([_log_odds(threshold * (1 - RELATIVE_ERROR)) for threshold in thresholds])
        self._ultra_from = np.array([_log_odds(threshold * (1 + RELATIVE_ERROR)) for threshold in thresholds])

    def decide(self, log_odds: Values) -> bytes:
        """Decide at every place, with the same result as the scorer; a byte is 1 (Ultra) or 0 (Smart)."""
        surely, perhaps = log_odds >= self._ultra_from, log_odds >= self._smart_below
        plans = surely.tobytes()
        if plans == perhaps.tobytes():
            return plans
        for place in np.flatnonzero(surely != perhaps).tolist():
            surely[place] = logistic(log_odds.item(place)) >= self._thresholds[place]
        return surely.tobytes()


def _thresholds(document: ModelDocument) -> tuple[int, list[_Thresholds]]:
    """Give the feature by which thresholds differ, and for each bin of it the thresholds at every place.

    Along that feature each bin has its own threshold. Along any other all bins have that of the bin that the subscriber
    is in.
    """
    feature, own = _by_bin(document)
    sizes = [len(table.curve) for table in document.features]
    everywhere = {
        threshold: _Thresholds([
            at for i in _FEATURES for at in (own if i == feature else [threshold] * sizes[i])
        ])
        for threshold in set(own)
    }  # fmt: skip
    return feature, [everywhere[threshold] for threshold in own]


def _by_bin(document: ModelDocument) -> tuple[int, list[float]]:
    """Give the position of the feature by which thresholds differ (0 if none does), and the threshold of each bin."""
    threshold = document.threshold
    if threshold.segments is None:
        return 0, [threshold.value] * len(document.features[0].curve)
    i = FEATURE_NAMES.index(threshold.segments.feature)
    cuts = document.features[i].cuts
    segments = [bisect_right(threshold.segments.bounds, largest) for largest in [*cuts, math.inf]]
    return i, [threshold.segments.thresholds[segment] for segment in segments]


def _log_odds(probability: float) -> float:
    """Give log(p / (1 - p)); -inf for 0 and below, inf for 1 and above."""
    if probability <= 0:
        return -math.inf
    return math.log(probability) - math.log1p(-probability) if probability < 1 else math.inf
