"""The scorer: usage in, probability of Ultra and plan out. Whatever answers with a registered model uses it."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.logistic import logistic, logistic_array
from plan_recommender.model.tables import PAIRS, ModelDocument, Values

BLOCK: Final = 32_768
"""Number of rows that are scored at once; their intermediate results fit into the processor's cache.

Fewer would take no less time, and several threads would wait for Python's lock more often.
"""

_GUIDE_SIZES: Final = (512, 1024, 2048, 4096)
_MAX_COMPARED: Final = 4
"""Cuts in one cell of a guide table up to which comparing with each of them is faster than a bisection."""

_MAX_SCALE: Final = 1e300
"""A guide table whose scale would be larger has a single cell, so that no product with it overflows."""

Bins = list[npt.NDArray[np.intp]]
"""The bin of each feature of the rows of a block, from 0: for each feature an array of shape (rows,)."""

Note = Callable[[Bins, Values], object]
"""Is told the bins of a block, and its probabilities of Ultra, shape (rows,)."""


class Scorer:
    """Looks a model's tables up, for one row or for many; both ways give the same bits."""

    def __init__(self, document: ModelDocument) -> None:
        """Arrange the tables for look-ups; the document stays unchanged."""
        self.threshold = document.threshold
        self._cuts = [feature.cuts for feature in document.features]
        self._missing = [feature.missing_bin for feature in document.features]
        maps = merged_maps(document)
        self._guides = [_Guide(cuts) for cuts in self._cuts]
        self._flat = {pair: np.ascontiguousarray(matrix).ravel() for pair, matrix in maps.items()}
        self._rows: list[list[list[float]]] = [maps[pair].tolist() for pair in PAIRS]

    def bins(self, calls: float, minutes: float, messages: float, mb_used: float) -> tuple[int, int, int, int]:
        """The bin of each feature of one row, from 0; NaN is a missing value and falls into the median's bin."""
        cuts, missing = self._cuts, self._missing
        return (
            bisect_left(cuts[0], calls) if calls == calls else missing[0],
            bisect_left(cuts[1], minutes) if minutes == minutes else missing[1],
            bisect_left(cuts[2], messages) if messages == messages else missing[2],
            bisect_left(cuts[3], mb_used) if mb_used == mb_used else missing[3],
        )

    def log_odds_of(self, bins: tuple[int, int, int, int]) -> float:
        """Log-odds of Ultra of one row, from the bins of its features."""
        calls, minutes, messages, mb_used = bins
        first, second, third, fourth, fifth, sixth = self._rows
        return (
            first[calls][minutes]
            + second[calls][messages]
            + third[calls][mb_used]
            + fourth[minutes][messages]
            + fifth[minutes][mb_used]
            + sixth[messages][mb_used]
        )

    def recommend(self, calls: float, minutes: float, messages: float, mb_used: float) -> tuple[Literal[0, 1], float]:
        """Prediction (1 is Ultra, 0 Smart) and probability of Ultra of one row; NaN is a missing value."""
        log_odds = self.log_odds_of(self.bins(calls, minutes, messages, mb_used))
        return self.decide_row(log_odds, calls, minutes, messages, mb_used)

    def decide_row(
        self, log_odds: float, calls: float, minutes: float, messages: float, mb_used: float
    ) -> tuple[Literal[0, 1], float]:
        """Prediction and probability, as `recommend` gives them, of a row whose log-odds are known."""
        probability = logistic(log_odds)
        threshold = self.threshold.of(calls, minutes, messages, mb_used)
        return 1 if probability >= threshold else 0, probability

    def probabilities(self, features: FeatureMatrix, note: Note | None = None) -> Values:
        """Probability of Ultra of each row, shape (rows,); NaN is a missing value.

        `note` is told the bins that were looked up, block by block.
        """
        answers = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            bins = self._bins(features[start : start + BLOCK])
            answers[start : start + BLOCK] = logistic_array(self._log_odds(bins))
            if note is not None:
                note(bins, answers[start : start + BLOCK])
        return answers

    def log_odds(self, features: FeatureMatrix) -> Values:
        """Log-odds of Ultra of each row, shape (rows,); NaN is a missing value."""
        answers = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            answers[start : start + BLOCK] = self._log_odds(self._bins(features[start : start + BLOCK]))
        return answers

    def bins_of_many(self, features: FeatureMatrix) -> Bins:
        """The bin of each feature of each row; a missing value falls into the median's bin."""
        return self._bins(features)

    def decide(self, features: FeatureMatrix, probabilities: Values) -> npt.NDArray[np.int64]:
        """1 (Ultra) where the probability is at least the row's threshold, otherwise 0 (Smart); shape (rows,)."""
        return self.threshold.decide(features, probabilities)

    def _log_odds(self, bins: Bins) -> Values:
        total = np.zeros(len(bins[0]))
        for (i, j), values in self._flat.items():
            index = bins[i] * (len(self._cuts[j]) + 1)
            index += bins[j]
            total += values.take(index, mode="clip")  # the index is in bounds; mode "raise" would make a copy
        return total

    def _bins(self, block: FeatureMatrix) -> Bins:
        found = []
        for guide, column, missing_bin in zip(self._guides, block.T, self._missing, strict=True):
            values = np.ascontiguousarray(column)
            bins = guide.bins(values)
            missing = values != values  # NaN
            if missing.any():
                bins[missing] = missing_bin
            found.append(bins)
        return found


def merged_maps(document: ModelDocument) -> dict[tuple[int, int], Values]:
    """Give six maps whose numbers alone add up to the log-odds, each of shape (bins of the first, bins of the second).

    The curves and the constant are added to the two maps that together cover every feature once, so that a row takes
    six look-ups instead of eleven. Sums of the document's numbers are exact, so this changes no bit.
    """
    maps = document.matrices
    calls, minutes, messages, mb_used = document.curves
    maps[0, 1] = maps[0, 1] + calls[:, np.newaxis] + minutes + document.constant
    maps[2, 3] = maps[2, 3] + messages[:, np.newaxis] + mb_used
    return maps


class _Guide:
    """Finds the bins of many values at once: a table says how many cuts lie before a value's cell of the axis.

    The cell of a value is a whole number that never falls as the value grows, so that every cut of an earlier cell is
    below the value and none of a later cell is. Only the cuts of the value's own cell are compared with it, with the
    same result as a bisection. Scoring takes 43 ns a row with it, and 79 ns with a bisection in the same steps for all
    values; np.searchsorted, whose branches the processor mispredicts, takes longer still (one AMD EPYC, NumPy 2.4,
    2026-11-29).
    """

    def __init__(self, cuts: list[float]) -> None:
        """Choose the smallest table in which no cell holds more than one cut, or the largest that is tried."""
        self._cuts = np.array([*cuts, np.inf])
        self._last = cuts[-1] if cuts else 0.0
        for size in _GUIDE_SIZES:
            # Divided first: a quotient with a last cut near 1e308 stays finite. Without a positive cut there is a cell.
            self._scale = (size - 1) / self._last if self._last > (size - 1) / _MAX_SCALE else 0.0
            cells = self._cells(np.array(cuts))
            in_cell = np.bincount(cells, minlength=size)
            self._compared = range(int(in_cell.max(initial=0)))
            if len(self._compared) <= 1:
                break
        self._before = np.concatenate([[0], np.cumsum(in_cell)[:-1]]).astype(np.intp)

    def bins(self, values: Values) -> npt.NDArray[np.intp]:
        """Count the cuts below each value, shape (values,); for NaN the count means nothing."""
        if len(self._compared) > _MAX_COMPARED:
            return np.searchsorted(self._cuts[:-1], values)
        found = self._before.take(self._cells(values), mode="clip")  # the values are in bounds, as in `_log_odds`
        for _ in self._compared:
            found += self._cuts.take(found, mode="clip") < values
        return found

    def _cells(self, values: Values) -> npt.NDArray[np.intp]:
        # fmin: NaN becomes a number. Clamped before they are multiplied, large values do not overflow.
        cells = np.fmin(values, self._last)
        cells *= self._scale
        return cells.astype(np.intp)
