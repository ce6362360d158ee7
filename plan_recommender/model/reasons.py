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
from itertools import accumulate
from typing import Final, NamedTuple, Self

import numpy as np

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.logistic import RELATIVE_ERROR, logistic
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import ModelDocument

_FEATURES: Final = range(len(FEATURE_NAMES))


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
        maps = document.matrices
        # For each feature, and for each of the three others: the map of both, as one line along the feature's bins for
        # each bin of the other. The feature's curve is added to the lines for the first of the three.
        self._lines: list[list[tuple[int, list[_Line]]]] = []
        for i, curve in enumerate(document.curves):
            others = [(j, maps[i, j].T if i < j else maps[j, i]) for j in _FEATURES if j != i]
            others[0] = (others[0][0], others[0][1] + curve)
            self._lines.append([(j, [_Line.of(row) for row in m.tolist()]) for j, m in others])
        self._thresholds = _Thresholds(document)

    def explain(self, usage: tuple[float, float, float, float]) -> Explanation:
        """Explain the prediction for one subscriber, whose `usage` is finite and in the order of `FEATURE_NAMES`."""
        bins = self._scorer.bins(*usage)
        log_odds = self._scorer.log_odds_of(bins)
        lines = self._along(bins)
        return Explanation(
            bins=bins,
            log_odds=log_odds,
            base_value=self._base_value,
            contributions=self._contributions(bins, lines),
            changes=[self._change(i, usage[i], bins, log_odds, lines[i]) for i in _FEATURES],
        )

    def contributions(self, bins: tuple[int, int, int, int]) -> list[float]:
        """What each feature adds, as in `Explanation`, for a subscriber whose values may be missing."""
        return self._contributions(bins, self._along(bins))

    def _along(self, bins: tuple[int, int, int, int]) -> list[list["_Line"]]:
        """Give, for each feature, the three lines along it for the bins that the other features are in."""
        return [[by_bin[bins[j]] for j, by_bin in self._lines[i]] for i in _FEATURES]

    def _contributions(self, bins: tuple[int, int, int, int], lines: list[list["_Line"]]) -> list[float]:
        contributions = []
        for i, (first, second, third) in enumerate(lines):
            here = bins[i]
            own = self._curves[i][here]
            contributions.append((own + first.values[here] + second.values[here] + third.values[here]) / 2)
        return contributions

    def _change(
        self, i: int, value: float, bins: tuple[int, int, int, int], log_odds: float, lines: list["_Line"]
    ) -> float | None:
        """Find the nearest value of feature `i` at which the other plan is recommended, as `Explanation.changes` says.

        `lines` are the three lines along the feature, for the bins that the other features are in. Their sum in one bin
        is the part of the log-odds that depends on the feature; the rest stays the same.
        """
        here = bins[i]
        one, two, three = lines
        first, second, third = one.values, two.values, three.values
        rest = log_odds - (first[here] + second[here] + third[here])
        bounds = self._thresholds.along(i, bins)
        ultra = bounds.is_ultra(here, log_odds)
        # Ultra stays Ultra wherever the three lines sum to `limit` or more, and Smart stays Smart wherever they sum to
        # less. Only the other sums are looked at more closely. `limit` is rounded; the bounds leave room for that.
        limit = (bounds.ultra_everywhere if ultra else bounds.smart_everywhere) - rest
        if ultra:
            before = one.min_before[here] + two.min_before[here] + three.min_before[here]
            after = one.min_after[here] + two.min_after[here] + three.min_after[here]
        else:
            before = one.max_before[here] + two.max_before[here] + three.max_before[here]
            after = one.max_after[here] + two.max_after[here] + three.max_after[here]
        below = None
        # A direction is searched only if the sum of the lines' extremes there is beyond the limit; no sum goes further.
        if (before >= limit) != ultra:
            for b in range(here - 1, -1, -1):
                there = first[b] + second[b] + third[b]
                if (there >= limit) != ultra and bounds.is_ultra(b, rest + there) != ultra:
                    below = self._cuts[i][b]
                    break
        if (after >= limit) != ultra:
            starts = self._above[i]
            # Only values nearer than `below` are of interest. One bin more is searched, because the sum is rounded.
            end = len(first) if below is None else min(bisect_right(starts, value + (value - below)) + 2, len(first))
            for b in range(here + 1, end):
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
    """What each bin of one feature adds, for one bin of another feature; and the extremes before and after each bin."""

    values: list[float]
    max_before: list[float]
    min_before: list[float]
    max_after: list[float]
    min_after: list[float]

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """Find the extremes of all bins before and of all bins after each one.

        Before the first bin and after the last one are no bins: the maximum is -inf and the minimum inf there.
        """
        back = values[::-1]
        return cls(
            values,
            max_before=list(accumulate(values[:-1], max, initial=-math.inf)),
            min_before=list(accumulate(values[:-1], min, initial=math.inf)),
            max_after=list(accumulate(back[:-1], max, initial=-math.inf))[::-1],
            min_after=list(accumulate(back[:-1], min, initial=math.inf))[::-1],
        )


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
        self._own = _Bounds.of(thresholds)
        sizes = [len(feature.curve) for feature in document.features]
        everywhere = {value: [_Bounds.of([value] * size) for size in sizes] for value in set(thresholds)}
        self._others = [everywhere[value] for value in thresholds]

    def along(self, feature: int, bins: tuple[int, int, int, int]) -> _Bounds:
        """Give the bounds in every bin of a feature while the other features stay in their bins, given by `bins`."""
        return self._own if feature == self._feature else self._others[bins[self._feature]][feature]


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
