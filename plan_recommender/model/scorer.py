"""The compiled model's answers: usage in, probability of Ultra out. Every path that answers goes through it."""

from bisect import bisect_left
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.logistic import logistic, logistic_array
from plan_recommender.model.tables import PAIRS, ModelDocument, Values

BLOCK: Final = 8192
"""Rows that are scored at once: what is made of them stays in the processor's cache."""

_Bins = list[npt.NDArray[np.intp]]


class Scorer:
    """The tables of a model, ready to be looked up for one row or for many, with the same bits.

    The curves and the constant are added to the two maps that together hold every feature once: six look-ups a row
    instead of eleven numbers. Sums of the document's numbers are exact, so this changes no bit.
    """

    def __init__(self, document: ModelDocument) -> None:
        """Lay the tables out."""
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
        """Bin of each feature of one row; NaN is a missing value."""
        cuts, missing = self._cuts, self._missing
        return (
            bisect_left(cuts[0], calls) if calls == calls else missing[0],
            bisect_left(cuts[1], minutes) if minutes == minutes else missing[1],
            bisect_left(cuts[2], messages) if messages == messages else missing[2],
            bisect_left(cuts[3], mb_used) if mb_used == mb_used else missing[3],
        )

    def log_odds_of(self, bins: tuple[int, int, int, int]) -> float:
        """Logarithm of the odds of Ultra of one row, by the bins of its features."""
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
        """Prediction (1 is Ultra) and probability of Ultra of one row; NaN is a missing value."""
        probability = logistic(self.log_odds_of(self.bins(calls, minutes, messages, mb_used)))
        least = self.threshold.of(calls, minutes, messages, mb_used)
        return 1 if probability >= least else 0, probability

    def probabilities(self, features: FeatureMatrix) -> Values:
        """Probability of Ultra of each row, shape (rows,); NaN features are imputed as in training."""
        answers = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            block = features[start : start + BLOCK]
            answers[start : start + BLOCK] = logistic_array(self._log_odds(block))
        return answers

    def log_odds(self, features: FeatureMatrix) -> Values:
        """Logarithm of the odds of Ultra of each row, shape (rows,)."""
        answers = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            answers[start : start + BLOCK] = self._log_odds(features[start : start + BLOCK])
        return answers

    def decide(self, features: FeatureMatrix, probabilities: Values) -> npt.NDArray[np.int64]:
        """1 (Ultra) where the probability reaches the row's threshold, else 0 (Smart)."""
        return self.threshold.decide(features, probabilities)

    def _log_odds(self, block: FeatureMatrix) -> Values:
        bins = self._bins(block)
        total = np.zeros(len(block))
        for (i, j), values in self._flat.items():
            index = bins[i] * (len(self._cuts[j]) + 1)
            index += bins[j]
            total += values.take(index, mode="clip")  # which is in bounds; "raise" would make a copy
        return total

    def _bins(self, block: FeatureMatrix) -> _Bins:
        columns = np.ascontiguousarray(block.T)
        found = [ladder.bins(column) for ladder, column in zip(self._ladders, columns, strict=True)]
        missing = np.isnan(columns)
        if missing.any():
            for i, where in enumerate(missing):
                found[i][where] = self._missing[i]
        return found


class _Ladder:
    """Finds the bins of many values at once: bisection whose every step is the same for all of them.

    np.searchsorted branches for each value, and a processor guesses half of the branches wrong: it takes three times as
    long (measured with 64 cuts, one AMD EPYC, NumPy 2.4, 2026-11-25).
    """

    def __init__(self, cuts: list[float]) -> None:
        """Fill the cuts up with infinities, to one less than a power of 2."""
        steps = len(cuts).bit_length()
        self._steps = [2**step for step in reversed(range(steps))]
        self._cuts = np.full(2**steps - 1, np.inf)
        self._cuts[: len(cuts)] = cuts

    def bins(self, values: Values) -> npt.NDArray[np.intp]:
        """Count the cuts below each value, shape (values,); NaN is above none."""
        found = np.zeros(len(values), dtype=np.intp)
        for step in self._steps:
            found += (self._cuts.take(found + (step - 1)) < values) * step
        return found
