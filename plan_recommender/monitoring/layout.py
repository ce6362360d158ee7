"""Where the counts of a sample stand: every bin of a reference profile, one after the other, in one array of integers.

Counts of workers, hours and machines that have the same layout add up. No row can be put together from them.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from plan_recommender.model.profile import ReferenceProfile, bins_of

Codes = npt.NDArray[np.intp]
"""Bins, from 0; -1 where a value is missing."""
Counts = npt.NDArray[np.int64]

ROWS: Final = 0
"""Cell that counts the rows."""

PREDICTIONS: Final = "predictions"
"""Name of the probability of Ultra among the quantities."""


class Layout:
    """The cells of a profile: the rows; the bins of every feature, and of the probability; those of every pair."""

    def __init__(self, profile: ReferenceProfile) -> None:
        """Lay out the bins of a profile."""
        self.names = [feature.name for feature in profile.features]
        self.edges = [np.array(feature.edges) for feature in profile.features]
        self.probability_edges = np.array([] if profile.predictions is None else profile.predictions.edges)
        self._coarse = [
            np.searchsorted(feature.coarse, np.arange(len(feature.edges) + 1), side="left")
            for feature in profile.features
        ]
        coarse_bins = [len(feature.coarse) + 1 for feature in profile.features]
        sizes = [len(edges) + 1 for edges in self.edges]
        if profile.predictions is not None:
            sizes.append(len(self.probability_edges) + 1)
        self.pairs = list(combinations(range(len(self.names)), 2))
        self.shapes = [(coarse_bins[i], coarse_bins[j]) for i, j in self.pairs]
        ends = np.cumsum([1, *sizes, *(a * b for a, b in self.shapes)]).tolist()
        slices = [slice(start, end) for start, end in pairwise(ends)]
        self.margins = slices[: len(sizes)]
        """Cells of every feature, and at last of the probability where the profile has predictions."""
        self.pair_cells = slices[len(sizes) :]
        self.cells: int = ends[-1]
        self.parts = [*self.names, PREDICTIONS][: len(sizes)]
        """Names of the quantities, in the order of the margins, and then of the pairs."""
        self.parts += [pair_name(self.names[i], self.names[j]) for i, j in self.pairs]

    def codes(self, features: npt.NDArray[np.float64]) -> Codes:
        """Find the bins of rows of features, shape (rows, features); NaN is a missing value and has -1."""
        columns = [
            np.where(np.isnan(column), -1, bins_of(column, edges))
            for column, edges in zip(features.T, self.edges, strict=True)
        ]
        return np.stack(columns, axis=1)

    def coarse(self, codes: Codes) -> Codes:
        """Find the coarse bins, in which pairs are counted, of rows of bins."""
        return np.stack(
            [np.where(codes[:, i] < 0, -1, bins[codes[:, i]]) for i, bins in enumerate(self._coarse)], axis=1
        )

    def cells_of(self, codes: Codes) -> Codes:
        """Find the cells that rows without a missing value count in, shape (rows, features and pairs).

        Args:
            codes: bins of the features, shape (rows, features).
        """
        coarse = self.coarse(codes)
        cells = [cells.start + column for cells, column in zip(self.margins, codes.T, strict=False)]
        cells += [
            cells.start + coarse[:, i] * width + coarse[:, j]
            for (i, j), (_, width), cells in zip(self.pairs, self.shapes, self.pair_cells, strict=True)
        ]
        return np.stack(cells, axis=1)

    def reference(self, profile: ReferenceProfile) -> Counts:
        """Give the counts of the profile itself, shape (cells,)."""
        counts = [np.array(feature.counts) for feature in profile.features]
        if profile.predictions is not None:
            counts.append(np.array(profile.predictions.counts))
        counts += [np.array(pair.counts).ravel() for pair in profile.pairs]
        return np.concatenate([[profile.rows], *counts]).astype(np.int64)

    def count(self, codes: Codes, probabilities: npt.NDArray[np.float64] | Sequence[float] | None) -> Counts:
        """Count rows.

        Args:
            codes: bins of the features, shape (rows, features).
            probabilities: of Ultra, shape (rows,); None where the layout has no predictions.
        """
        counts = np.empty(self.cells, dtype=np.int64)
        counts[ROWS] = len(codes)
        columns: list[Codes] = [*codes.T]
        if probabilities is not None:
            columns.append(bins_of(np.asarray(probabilities), self.probability_edges))
        for column, cells in zip(columns, self.margins, strict=True):
            counts[cells] = _tally(column, cells.stop - cells.start)
        coarse = self.coarse(codes)
        for (i, j), (_, width), cells in zip(self.pairs, self.shapes, self.pair_cells, strict=True):
            first, second = coarse[:, i], coarse[:, j]
            joint = np.where((first < 0) | (second < 0), -1, first * width + second)
            counts[cells] = _tally(joint, cells.stop - cells.start)
        return counts


def pair_name(a: str, b: str) -> str:
    """Name the part that says how two features go together."""
    return f"{a} and {b}"


def _tally(codes: Codes, bins: int) -> Counts:
    """Count the rows of each bin; those without one are left out."""
    return np.bincount(codes + 1, minlength=bins + 1)[1:]
