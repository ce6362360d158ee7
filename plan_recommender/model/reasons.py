"""Why this answer: what each feature of one subscriber adds to the log-odds, and where the plan would be the other one.

The contributions are interventional Shapley values (Lundberg and Lee, "A Unified Approach to Interpreting Model
Predictions", 2017; Janzing, Minorics and Blöbaum, "Feature relevance quantification in explainable AI: A causal
problem", 2020). With S the features taken from the subscriber x, and each other one drawn from the training part by
itself,

    v(S) = mean of log_odds(x on S, drawn elsewhere)

and the contribution of a feature is its mean v(S with it) - v(S without it) over all orders in which the features can
join S. The model's curves and maps have means of 0 over such draws, so that v(S) is the constant, the curves of S and
the maps of two features of S: a curve belongs to its feature, a map to its two features by halves, and the constant is
v(nothing). Halves of the document's numbers, and their sums, are exact, so base value and contributions sum to the
log-odds to the last bit.
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
    """One prediction taken apart; the lists are in the order of `FEATURE_NAMES`."""

    log_odds: float
    base_value: float
    contributions: list[float]
    """Log-odds of Ultra; with the base value they sum to `log_odds`."""
    changes: list[float | None]
    """The value of each feature, in its unit, nearest to the subscriber's at which the other plan would be recommended,
    everything else equal; None where there is none."""


class Reasons:
    """Takes the predictions of one model apart, by looking them up in its tables."""

    def __init__(self, document: ModelDocument, scorer: Scorer) -> None:
        """Lay the tables out by feature."""
        self._scorer = scorer
        self._base_value = document.constant
        self._cuts = [feature.cuts for feature in document.features]
        self._above = [np.nextafter(cuts, np.inf).tolist() for cuts in self._cuts]
        self._curves = [curve.tolist() for curve in document.curves]
        maps = document.matrices
        # Of each feature and each other one: a line of the feature's bins for every bin of the other. The first of the
        # three lines holds the feature's curve too.
        self._lines: list[list[tuple[int, list[_Line]]]] = []
        for i, curve in enumerate(document.curves):
            others = [(j, maps[i, j].T if i < j else maps[j, i]) for j in _FEATURES if j != i]
            others[0] = (others[0][0], others[0][1] + curve)
            self._lines.append([(j, [_Line.of(row) for row in m.tolist()]) for j, m in others])
        self._thresholds = _Thresholds(document)

    def explain(self, usage: tuple[float, float, float, float]) -> Explanation:
        """Take the prediction for one row apart: finite usage in the order of `FEATURE_NAMES`."""
        bins = self._scorer.bins(*usage)
        log_odds = self._scorer.log_odds_of(bins)
        lines = [[by_bin[bins[j]] for j, by_bin in self._lines[i]] for i in _FEATURES]
        contributions = []
        for i, (first, second, third) in enumerate(lines):
            here = bins[i]
            own = self._curves[i][here]
            contributions.append((own + first.values[here] + second.values[here] + third.values[here]) / 2)
        return Explanation(
            log_odds=log_odds,
            base_value=self._base_value,
            contributions=contributions,
            changes=[self._change(i, usage[i], bins, log_odds, lines[i]) for i in _FEATURES],
        )

    def _change(
        self, i: int, value: float, bins: tuple[int, int, int, int], log_odds: float, lines: list["_Line"]
    ) -> float | None:
        """The nearest value of a feature at which the plan is the other one; of two as near, the smaller."""
        here = bins[i]
        one, two, three = lines
        first, second, third = one.values, two.values, three.values
        rest = log_odds - (first[here] + second[here] + third[here])
        bounds = self._thresholds.along(i, bins)
        ultra = bounds.is_ultra(here, log_odds)
        # What the three lines have to add up to before there is a need to look closer. The difference is rounded, which
        # the bounds leave room for.
        limit = (bounds.ultra_everywhere if ultra else bounds.smart_everywhere) - rest
        if ultra:
            before = one.min_before[here] + two.min_before[here] + three.min_before[here]
            after = one.min_after[here] + two.min_after[here] + three.min_after[here]
        else:
            before = one.max_before[here] + two.max_before[here] + three.max_before[here]
            after = one.max_after[here] + two.max_after[here] + three.max_after[here]
        below = None
        # A direction in which not even the extremes of the lines reach the other plan needs no walk.
        if (before >= limit) != ultra:
            for b in range(here - 1, -1, -1):
                there = first[b] + second[b] + third[b]
                if (there >= limit) != ultra and bounds.is_ultra(b, rest + there) != ultra:
                    below = self._cuts[i][b]
                    break
        if (after >= limit) != ultra:
            starts = self._above[i]
            # Beyond twice the distance back there is nothing nearer; one bin more, as that sum is rounded.
            end = len(first) if below is None else min(bisect_right(starts, value + (value - below)) + 2, len(first))
            for b in range(here + 1, end):
                there = first[b] + second[b] + third[b]
                if (there >= limit) != ultra and bounds.is_ultra(b, rest + there) != ultra:
                    above: float = starts[b - 1]
                    return above if below is None or above - value < value - below else below
        return below


@dataclass(slots=True)
class _Line:
    """What the bins of one feature add, given the bin of another one; and the extremes before and after each bin."""

    values: list[float]
    max_before: list[float]
    min_before: list[float]
    max_after: list[float]
    min_after: list[float]

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """Find the extremes; beyond the ends there are none."""
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
    """For every bin along a feature: below which log-odds it is Smart, from which Ultra, and the threshold itself."""

    smart_below: list[float]
    ultra_from: list[float]
    least: list[float]
    smart_everywhere: float
    """Log-odds below which it is Smart in all of the bins."""
    ultra_everywhere: float
    """Log-odds from which it is Ultra in all of the bins."""

    @classmethod
    def of(cls, least: list[float]) -> Self:
        """Find the bounds for the thresholds of the bins."""
        smart_below = [_log_odds(probability * (1 - RELATIVE_ERROR)) for probability in least]
        ultra_from = [_log_odds(probability * (1 + RELATIVE_ERROR)) for probability in least]
        return cls(smart_below, ultra_from, least, min(smart_below), max(ultra_from))

    def is_ultra(self, b: int, log_odds: float) -> bool:
        """Decide in one bin, by the probability where log-odds cannot tell."""
        if log_odds >= self.ultra_from[b]:
            return True
        return log_odds >= self.smart_below[b] and logistic(log_odds) >= self.least[b]


class _Thresholds:
    """The threshold of the probability in every bin, with log-odds that need no probability to be told from it."""

    def __init__(self, document: ModelDocument) -> None:
        """Find the threshold of each bin of the feature by which they differ."""
        self._feature, least = _by_bin(document)
        # Along the feature by which thresholds differ, each bin has its own; along another one, all bins have the same.
        self._own = _Bounds.of(least)
        sizes = [len(feature.curve) for feature in document.features]
        everywhere = {value: [_Bounds.of([value] * size) for size in sizes] for value in set(least)}
        self._others = [everywhere[value] for value in least]

    def along(self, feature: int, bins: tuple[int, int, int, int]) -> _Bounds:
        """Give the bounds in every bin of a feature, the others staying in theirs."""
        return self._own if feature == self._feature else self._others[bins[self._feature]][feature]


def _by_bin(document: ModelDocument) -> tuple[int, list[float]]:
    """The feature by which thresholds differ, the first where none does, and the threshold of each of its bins."""
    threshold = document.threshold
    if threshold.segments is None:
        return 0, [threshold.value] * len(document.features[0].curve)
    i = FEATURE_NAMES.index(threshold.segments.feature)
    cuts = document.features[i].cuts
    segments = [bisect_right(threshold.segments.bounds, largest) for largest in [*cuts, math.inf]]
    return i, [threshold.segments.thresholds[segment] for segment in segments]


def _log_odds(probability: float) -> float:
    if probability <= 0:
        return -math.inf
    return math.log(probability) - math.log1p(-probability) if probability < 1 else math.inf
