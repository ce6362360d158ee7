"""Count rows by the bins that a prediction has looked up anyway: nothing of a row is looked at twice, or kept."""

from collections.abc import Sequence
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from plan_recommender.errors import ModelError
from plan_recommender.model.profile import ReferenceProfile, bins_of
from plan_recommender.monitoring.layout import ROWS, Codes, Counts, Layout

_MAX_JOINT: Final = 10_000
"""Cells of the table of all coarse bins at once, from which those of the pairs are summed."""


class ModelBins:
    """The bins of a model, which are finer than those of its profile: each lies in one of them."""

    def __init__(self, profile: ReferenceProfile, cuts: Sequence[Sequence[float]]) -> None:
        """Find out in which bin of the profile each bin of the model lies.

        Args:
            profile: what was stored with the model.
            cuts: at which the model's bins of each feature end.

        Raises:
            ModelError: a bin of the profile ends where none of the model does, or the profile has no predictions.
        """
        self.layout = layout = Layout(profile)
        if profile.predictions is None or len(cuts) != len(layout.names):
            raise ModelError("expected a reference profile with the model's features and its predictions; train again")
        self._tables = [_table(edges, ends) for edges, ends in zip(layout.edges, cuts, strict=True)]
        self._starts = [np.searchsorted(table, np.arange(table[-1] + 1)) for table in self._tables]
        coarse = [self._coarse(i) for i in range(len(cuts))]
        self._sizes = [int(table[-1]) + 1 for table in coarse]
        if prod(self._sizes) > _MAX_JOINT:
            raise ModelError(f"expected at most {_MAX_JOINT} coarse bins together, found {prod(self._sizes)}")
        steps = [prod(self._sizes[i + 1 :]) for i in range(len(cuts))]
        self._steps = [table * step for table, step in zip(coarse, steps, strict=True)]
        others = [tuple(k for k in range(len(cuts)) if k not in pair) for pair in layout.pairs]
        self._pairs = list(zip(layout.pair_cells, others, strict=True))

    def count(self, bins: Sequence[Codes], probabilities: npt.NDArray[np.float64]) -> Counts:
        """Count rows in the cells of the layout.

        Args:
            bins: of the model, for each feature an array of shape (rows,); no value may be missing.
            probabilities: of Ultra, shape (rows,).
        """
        layout = self.layout
        counts = np.empty(layout.cells, dtype=np.int64)
        counts[ROWS] = len(probabilities)
        *features, predictions = layout.margins
        joint = np.zeros(len(probabilities), dtype=np.intp)
        for found, table, starts, steps, cells in zip(
            bins, self._tables, self._starts, self._steps, features, strict=True
        ):
            counts[cells] = np.add.reduceat(np.bincount(found, minlength=len(table)), starts)
            joint += steps.take(found)
        inner = bins_of(probabilities, layout.probability_edges)
        counts[predictions] = np.bincount(inner, minlength=predictions.stop - predictions.start)
        table = np.bincount(joint, minlength=prod(self._sizes)).reshape(self._sizes)
        for cells, others in self._pairs:
            counts[cells] = table.sum(axis=others).ravel()
        return counts

    def _coarse(self, i: int) -> Codes:
        """Find the coarse bin of each bin of the model, of one feature."""
        codes = np.zeros((len(self._tables[i]), len(self._tables)), dtype=np.intp)
        codes[:, i] = self._tables[i]
        return self.layout.coarse(codes)[:, i]


def _table(edges: npt.NDArray[np.float64], cuts: Sequence[float]) -> Codes:
    """Find the bin of a profile in which each bin of a model lies; the last one has no upper end."""
    ends = np.searchsorted(np.asarray(cuts, dtype=np.float64), edges)
    if not np.isin(edges, cuts).all():
        raise ModelError("expected bins of the reference profile that end where bins of the model do; train again")
    return np.searchsorted(ends, np.arange(len(cuts) + 1), side="left")
