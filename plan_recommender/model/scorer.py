"""The scorer: usage in, probability of Ultra and plan out. Whatever answers with a registered model uses it."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.logistic import logistic, logistic_array
from plan_recommender.model.tables import PAIRS, ModelDocument, Values

BLOCK: Final = 8192
"""Number of rows that are scored at once; their intermediate results fit into the processor's cache."""

Bins = list[npt.NDArray[np.intp]]
"""The bin of each feature of the rows of a block, from 0: for each feature an array of shape (rows,)."""

Note = Callable[[Bins, Values], object]
"""Is told the bins of a block, and its probabilities of Ultra, shape (rows,)."""


class Scorer:
    """Looks a model's tables up, for one row or for many; both ways give the same bits.

    The curves and the constant are added in advance to the two maps that together cover every feature once, so that a
    row takes six look-ups instead of eleven. Sums of the document's numbers are exact, so this changes no bit.
    """

    def __init__(self, document: ModelDocument) -> None:
        """Arrange the tables for look-ups; the document stays unchanged."""
        self.threshold = document.threshold
        self._cuts = [feature.cuts for feature in document.features]
        self._missing = [feature.missing_bin for feature in document.features]
        maps = document.matrices
        calls, minutes, messages, mb_used = document.curves
        maps[0, 1] = maps[0, 1] + calls[:, np.newaxis] + minutes + document.constant
        maps[2, 3] = maps[2, 3] + messages[:, np.newaxis] + mb_used
        self._ladders = [_Ladder(cuts) for cuts in self._cuts]
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
        columns = np.ascontiguousarray(block.T)
        found = [ladder.bins(column) for ladder, column in zip(self._ladders, columns, strict=True)]
        missing = np.isnan(columns)
        if missing.any():
            for i, where in enumerate(missing):
                found[i][where] = self._missing[i]
        return found


class _Ladder:
    """Finds the bins of many values at once, by a bisection that takes the same steps for all of them.

    np.searchsorted branches for each value, and the processor mispredicts half of the branches: it takes three times as
    long (measured with 64 cuts, one AMD EPYC, NumPy 2.4, 2026-11-25).
    """

    def __init__(self, cuts: list[float]) -> None:
        """Pad the cuts with infinities, to one less than a power of 2."""
        steps = len(cuts).bit_length()
        self._steps = [2**step for step in reversed(range(steps))]
        self._cuts = np.full(2**steps - 1, np.inf)
        self._cuts[: len(cuts)] = cuts

    def bins(self, values: Values) -> npt.NDArray[np.intp]:
        """Count the cuts below each value, shape (values,); for NaN the count is 0."""
        found = np.zeros(len(values), dtype=np.intp)
        for step in self._steps:
            found += (self._cuts.take(found + (step - 1)) < values) * step
        return found
