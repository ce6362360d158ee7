"""What one worker counts of the rows that it answers for: how many fell into which bins. No row is kept.

Single rows are noted in a list, which takes a fraction of a microsecond, and counted in blocks; batches are counted
while they are scored.
"""

from itertools import chain
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt

from plan_recommender.model.scorer import Bins
from plan_recommender.monitoring.layout import Counts
from plan_recommender.monitoring.model_bins import ModelBins

BLOCK_ROWS: Final = 256
"""Single rows that are counted at once, if there are so many before somebody asks for the counts."""


class DriftCounters:
    """The counts of one worker since its start; any thread may call any method.

    No method raises an exception: what cannot be counted is left out, and `error` says why.
    """

    def __init__(self, bins: ModelBins) -> None:
        """Begin without rows."""
        self.error: Exception | None = None
        """The last thing that went wrong."""
        self._bins = bins
        self._rows: list[tuple[tuple[int, int, int, int], float]] = []
        self._taking = Lock()
        self._counts = np.zeros(bins.layout.cells, dtype=np.int64)
        self._adding = Lock()

    def row(self, bins: tuple[int, int, int, int], probability: float) -> None:
        """Count one row, from its bins in the model and its probability of Ultra."""
        rows = self._rows
        rows.append((bins, probability))
        if len(rows) >= BLOCK_ROWS:
            self._count_rows()

    def block(self, bins: Bins, probabilities: npt.NDArray[np.float64]) -> None:
        """Count rows, from the bins of each feature and from their probabilities, each of shape (rows,)."""
        try:
            self._add(bins, probabilities)
        except Exception as error:
            self.error = error

    def counts(self) -> Counts:
        """Give the counts of all rows until now, shape (cells,)."""
        self._count_rows()
        with self._adding:
            return self._counts.copy()

    def _count_rows(self) -> None:
        with self._taking:  # of two threads that take, each gets other rows; appending needs no lock
            taken = self._rows[:]
            del self._rows[: len(taken)]
        if not taken:
            return
        try:
            bins, probabilities = zip(*taken, strict=True)
            found = np.fromiter(chain.from_iterable(bins), dtype=np.intp).reshape(len(taken), -1)
            self._add([*np.ascontiguousarray(found.T)], np.array(probabilities))
        except Exception as error:
            self.error = error

    def _add(self, bins: Bins, probabilities: npt.NDArray[np.float64]) -> None:
        counted = self._bins.count(bins, probabilities)
        with self._adding:
            self._counts += counted
