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
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.logistic import RELATIVE_ERROR, logistic
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import ModelDocument

_FEATURES: Final = range(len(FEATURE_NAMES))
_GROUP: Final = 8
"""Neighbouring bins that are passed over at once where none of them can turn the plan."""


class Explanation(NamedTuple):
    """One prediction explained; the lists have shape (4,), in the order of `FEATURE_NAMES`."""

    bins: tuple[int, int, int, int]
    """The bin of each feature, from 0."""
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
    """Explains the predictions of one model by looking them up in its tables."""

    def __init__(self, document: ModelDocument, scorer: Scorer) -> None:
        """Arrange the tables by feature; `scorer` must have been made from the same document."""
        self._scorer = scorer
        self._base_value = document.constant
        self._cuts = [feature.cuts for feature in document.features]
        self._above = [np.nextafter(cuts, np.inf).tolist() for cuts in self._cuts]
        self._curves = [curve.tolist() for curve in document.curves]
        self._lines = [line for i in _FEATURES for line in _lines_along(document, i)]
        self._thresholds = _Thresholds(document)

    def explain(self, usage: tuple[float, float, float, float]) -> Explanation:
        """Explain the prediction for one subscriber, whose `usage` is finite and in the order of `FEATURE_NAMES`."""
        bins = self._scorer.bins(*usage)
        log_odds = self._scorer.log_odds_of(bins)
        bounds = self._thresholds.around(bins)
        ultra = bounds[0].is_ultra(bins[0], log_odds)
        contributions: list[float] = []
        changes: list[float | None] = []
        for i, lines in enumerate(self._along(bins)):
            here = bins[i]
            one, two, three = lines
            part = one.values[here] + two.values[here] + three.values[here]
            contributions.append((self._curves[i][here] + part) / 2)
            changes.append(self._change(i, usage[i], here, lines, log_odds - part, bounds[i], ultra))
        return Explanation(bins, log_odds, self._base_value, contributions, changes)

    def contributions(self, bins: tuple[int, int, int, int]) -> list[float]:
        """What each feature adds, as in `Explanation`, for a subscriber whose values may be missing."""
        return [
            (curve[here] + (one.values[here] + two.values[here] + three.values[here])) / 2
            for curve, here, (one, two, three) in zip(self._curves, bins, self._along(bins), strict=True)
        ]

    def _along(self, bins: tuple[int, int, int, int]) -> "tuple[_Three, _Three, _Three, _Three]":
        """Give, for each feature, the three lines along it for the bins that the other features are in."""
        a, b, c, d = bins
        ab, ac, ad, ba, bc, bd, ca, cb, cd, da, db, dc = self._lines
        return (ab[b], ac[c], ad[d]), (ba[a], bc[c], bd[d]), (ca[a], cb[b], cd[d]), (da[a], db[b], dc[c])

    def _change(
        self, i: int, value: float, here: int, lines: "_Three", rest: float, bounds: "_Bounds", ultra: bool
    ) -> float | None:
        """Find the nearest value of feature `i` at which the other plan is recommended, as `Explanation.changes` says.

        The sum of the three lines along the feature, in one bin, is the part of the log-odds that depends on it; `rest`
        stays the same. The subscriber's `value` is in the bin `here`; `ultra` is whether Ultra is recommended there.
        """
        one, two, three = lines
        first, second, third = one.values, two.values, three.values
        # Ultra stays Ultra wherever the three lines sum to `limit` or more, and Smart stays Smart wherever they sum to
        # less. Only the other sums are looked at more closely. `limit` is rounded; the bounds leave room for that.
        limit = (bounds.ultra_everywhere if ultra else bounds.smart_everywhere) - rest
        if ultra:
            one_ahead, two_ahead, three_ahead = one.least_ahead, two.least_ahead, three.least_ahead
        else:
            one_ahead, two_ahead, three_ahead = one.most_ahead, two.most_ahead, three.most_ahead
        # A group of bins is searched only if the sum of its extremes is beyond the limit, as no sum in it goes further.
        below = None
        for end in range(here, 0, -_GROUP):
            start = end - _GROUP if end > _GROUP else 0
            if (one_ahead[start] + two_ahead[start] + three_ahead[start] >= limit) != ultra:
                for b in range(end - 1, start - 1, -1):
                    there = first[b] + second[b] + third[b]
                    if (there >= limit) != ultra and bounds.is_ultra(b, rest + there) != ultra:
                        below = self._cuts[i][b]
                        break
                else:
                    continue
                break
        starts, last = self._above[i], len(first)
        if below is not None:
            # Only values nearer than `below` are of interest. One bin more is searched, because the sum is rounded.
            last = min(bisect_right(starts, value + (value - below)) + 2, last)
        for start in range(here + 1, last, _GROUP):
            if (one_ahead[start] + two_ahead[start] + three_ahead[start] >= limit) != ultra:
                for b in range(start, min(start + _GROUP, last)):
                    there = first[b] + second[b] + third[b]
                    if (there >= limit) != ultra and bounds.is_ultra(b, rest + there) != ultra:
                        above: float = starts[b - 1]
                        return above if below is None or above - value < value - below else below
        return below


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


@dataclass(slots=True)
class _Line:
    """What each bin of one feature adds, for one bin of another feature; and the extremes of each group of bins."""

    values: list[float]
    most_ahead: list[float]
    """For each bin the maximum of the group that begins with it: of `_GROUP` bins, or of those that are left."""
    least_ahead: list[float]
    """The minimum likewise."""

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """Find the extremes of the group that begins with each bin."""
        groups = [values[b : b + _GROUP] for b in range(len(values))]
        return cls(values, most_ahead=[max(group) for group in groups], least_ahead=[min(group) for group in groups])


_Three = tuple[_Line, _Line, _Line]
"""The lines along one feature, for the bins that the three other features are in; together with the curve."""


def _lines_along(document: ModelDocument, i: int) -> list[list[_Line]]:
    """Give, for each of the three features beside `i`, the lines along `i`, one for each bin of the other feature.

    A line is a part of the map of both. The curve of feature `i` is added to the lines of the first of the three.
    """
    maps = document.matrices
    others = [maps[i, j].T if i < j else maps[j, i] for j in _FEATURES if j != i]
    others[0] = others[0] + document.curves[i]
    return [[_Line.of(line) for line in other.tolist()] for other in others]


@dataclass(slots=True)
class _Bounds:
    """The threshold of the probability in each bin along a feature, and two bounds of the log-odds around it.

    Log-odds below `smart_below` are Smart and those from `ultra_from` on are Ultra, however probabilities are rounded.
    The probability is computed only for log-odds between the two, because computing it takes longer than comparing.
    """

    smart_below: list[float]
    ultra_from: list[float]
    thresholds: list[float]
    smart_everywhere: float
    """Log-odds below this are Smart in all of the bins."""
    ultra_everywhere: float
    """Log-odds from this on are Ultra in all of the bins."""

    @classmethod
    def of(cls, thresholds: list[float]) -> Self:
        """Find the bounds around the thresholds of the bins, which are probabilities."""
        smart_below = [_log_odds(threshold * (1 - RELATIVE_ERROR)) for threshold in thresholds]
        ultra_from = [_log_odds(threshold * (1 + RELATIVE_ERROR)) for threshold in thresholds]
        return cls(smart_below, ultra_from, thresholds, min(smart_below), max(ultra_from))

    def is_ultra(self, b: int, log_odds: float) -> bool:
        """Decide about log-odds in bin `b`, with the same result as the scorer."""
        if log_odds >= self.ultra_from[b]:
            return True
        return log_odds >= self.smart_below[b] and logistic(log_odds) >= self.thresholds[b]


class _Thresholds:
    """The thresholds of a model, as bounds along each of its features."""

    def __init__(self, document: ModelDocument) -> None:
        """Prepare the bounds along every feature, so that a request only looks them up."""
        self._feature, thresholds = _by_bin(document)
        # Along the feature by which thresholds differ, each bin has its own threshold. Along any other feature all bins
        # have the same one, namely that of the bin in which the first feature is.
        own = _Bounds.of(thresholds)
        sizes = [len(feature.curve) for feature in document.features]
        everywhere = {value: [_Bounds.of([value] * size) for size in sizes] for value in set(thresholds)}
        self._around = [
            [own if i == self._feature else everywhere[value][i] for i in _FEATURES] for value in thresholds
        ]

    def around(self, bins: tuple[int, int, int, int]) -> list[_Bounds]:
        """Give, for each feature, the bounds in every bin of it while the other features stay in their `bins`."""
        return self._around[bins[self._feature]]


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
