"""Evidence that what is seen has drifted from a reference: a test that may be looked at as often as one likes.

Evidence is a bet against the reference (Shafer 2021, doi 10.1111/rssa.12647). A stake is laid at the beginning of every
day, for the quantities, and of every hour, for the pairs, and is multiplied by what happens. While nothing has drifted
a stake is expected to stay what it is, so that all stakes together, counted in days, are expected to grow by one a day:
the mean time until they reach `ALARM_DAYS` is at least that many days, whenever one looks (Shin, Ramdas and Rinaldo
2024, "E-detectors", doi 10.51387/23-NEJSDS51; the sum over starts is that of Shiryaev and Roberts).

Two thirds of the stakes are on the first of two sorts of change, one third on the second:

- **A quantity is distributed otherwise** (each feature, and the probability of Ultra). The bet compares the counts
  since a start with two predictions from the reference, both Dirichlet-multinomial: that the shares of the bins are the
  reference's, known as well as its rows tell them; and that they are looser, as if only `_LOOSER` rows had told them.
- **Two features go together otherwise.** The bet multiplies by q / p for every row, where p is the reference's share of
  the row's pair of bins and q the share if a fifth of the subscribers were cut loose, or bound closer. Because p is an
  estimate, the bet is made worse by `_MARGIN` of its standard errors.

The rows of a reference are divided by its design effect: rows of one subscriber tell less than as many of strangers.
The same holds for rows to come that are not independent.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.monitoring.layout import Counts, Layout

ALARM_DAYS: Final = 1000.0
"""Evidence (days) from which the verdict is drift; without drift it takes at least so long on average."""

HOURS_A_DAY: Final = 24

_LOOSER: Final = (30.0, 150.0, 750.0)
_LOOSEST_SHARE: Final = 0.9
"""Of the reference's own rows: a small reference knows less than the largest of `_LOOSER`."""
_ON_QUANTITIES: Final = 2 / 3  # of the stakes
_CUT: Final = 0.2
_MARGIN: Final = 3.0
_PRIOR: Final = 0.5  # rows added to each bin of the reference
_LEAST_RATIO: Final = 0.05

_KEPT_DAYS: Final = 30
"""How long a stake on the quantities is kept; one that is given up can only make the run longer."""

_LARGEST: Final = 300.0  # of a logarithm of evidence, whose exponential is then finite
_STEPS_UP: Final = 8
_HALF_LOG_TWO_PI: Final = 0.9189385332046727

Values = npt.NDArray[np.float64]


@dataclass
class State:
    """What the evidence rests on; the first axes of the arrays are streams that are watched side by side, or none."""

    totals: Counts
    """Counts up to the beginning of the hour that is under way, shape (..., cells)."""
    hour: int
    """The hour that is under way, counted like the days from any fixed time."""
    starts: dict[int, Counts]
    """Counts at the beginning of the days whose stakes are kept, each of shape (..., cells)."""
    bets: Values
    """Logarithm of the stakes on pairs, in hours, at the beginning of the hour, shape (..., bets)."""


@dataclass(frozen=True)
class Evidence:
    """How much speaks for a drift, in days."""

    days: Values
    """Altogether, shape (...)."""
    parts: Values
    """How much each quantity, and then each pair, adds to it, shape (..., parts)."""

    @property
    def drift(self) -> npt.NDArray[np.bool_]:
        """Whether it is enough for the verdict, shape (...)."""
        return self.days >= ALARM_DAYS


class Bets:
    """The bets against one reference."""

    def __init__(self, profile: ReferenceProfile) -> None:
        """Prepare them from the counts and design effects of a profile."""
        self._traffic_effect = profile.traffic_effect
        self.layout = Layout(profile)
        reference = self.layout.reference(profile)
        effects = [feature.design_effect for feature in profile.features]
        if profile.predictions is not None:
            effects.append(profile.predictions.design_effect)
        self._margins = slice(1, self.layout.margins[-1].stop)
        self._begins = [cells.start - 1 for cells in self.layout.margins]
        own = np.concatenate(
            [reference[cells] / effect + _PRIOR for cells, effect in zip(self.layout.margins, effects, strict=True)]
        )
        rows = np.add.reduceat(own, self._begins)
        loosest = np.minimum(np.array(_LOOSER)[:, None], _LOOSEST_SHARE * rows)
        sizes = [cells.stop - cells.start for cells in self.layout.margins]
        self._priors = np.stack([own, *(own * np.repeat(looser / rows, sizes) for looser in loosest)])
        self._prior_rows = np.add.reduceat(self._priors, self._begins, axis=-1)
        self._prior_terms = np.add.reduceat(log_gamma(self._priors), self._begins, axis=-1) - log_gamma(
            self._prior_rows
        )
        self._bets = [
            (cells, ratios)
            for cells, shape, pair in zip(self.layout.pair_cells, self.layout.shapes, profile.pairs, strict=True)
            for ratios in _pair_ratios(reference[cells].reshape(shape), pair.design_effect)
        ]

    def begin(self, hour: int, streams: tuple[int, ...] = ()) -> State:
        """Begin without rows, in some hour, for one stream or for several side by side."""
        totals = np.zeros((*streams, self.layout.cells), dtype=np.int64)
        return State(totals, hour, {}, np.full((*streams, len(self._bets)), -np.inf))

    def advance(self, state: State, totals: Counts, hour: int) -> None:
        """End the hour that is under way with these counts, shape (..., cells), and go on to a later one.

        An hour without rows is no hour for the bets: no stake is laid for it.
        """
        if np.array_equal(totals, state.totals):
            state.hour = hour
            return
        state.bets = self._after(state, totals)
        day = state.hour // HOURS_A_DAY
        state.starts.setdefault(day, state.totals)
        state.starts = {start: counts for start, counts in state.starts.items() if day - start < _KEPT_DAYS}
        state.totals, state.hour = totals, hour

    def evidence(self, state: State, totals: Counts) -> Evidence:
        """Give the evidence of all that was counted until now, shape (..., cells); the state does not change."""
        day = state.hour // HOURS_A_DAY
        starts = [counts for start, counts in state.starts.items() if day - start < _KEPT_DAYS]
        if day not in state.starts:
            starts.append(state.totals)
        since = (totals[..., self._margins] - np.stack(starts)[..., self._margins]) / self._traffic_effect
        margins = np.exp(np.minimum(self._looser(since), _LARGEST)).sum(axis=0)
        bets = np.exp(np.minimum(self._after(state, totals), _LARGEST)) / HOURS_A_DAY
        pairs = bets.reshape((*bets.shape[:-1], -1, 2)).sum(axis=-1)
        on_quantities = _ON_QUANTITIES if self._bets else 1.0
        parts = np.concatenate(
            [
                margins * on_quantities / len(self._begins),
                pairs * (1 - on_quantities) / max(1, len(self._bets)),
            ],
            axis=-1,
        )
        return Evidence(parts.sum(axis=-1), parts)

    def _looser(self, counts: Values) -> Values:
        """Compare the looser predictions of counts, shape (..., bins), with the reference's own.

        Returns the logarithm of the ratio for each quantity, shape (..., quantities); the probabilities are those of a
        Dirichlet-multinomial distribution, of the rows in their order.
        """
        streams = (1,) * (counts.ndim - 1)
        priors = self._priors.reshape(len(self._priors), *streams, -1)
        rows = np.add.reduceat(counts, self._begins, axis=-1)
        total = self._prior_rows.reshape(len(self._priors), *streams, -1) + rows
        terms = np.add.reduceat(log_gamma(priors + counts), self._begins, axis=-1) - log_gamma(total)
        own, *looser = terms - self._prior_terms.reshape(len(self._priors), *streams, -1)
        ratios = np.stack(looser) - own
        largest = ratios.max(axis=0)
        mean: Values = largest + np.log(np.exp(ratios - largest).mean(axis=0))
        return mean

    def _after(self, state: State, totals: Counts) -> Values:
        """Lay the stakes of the hour, and multiply them by what happened in it."""
        new = (totals - state.totals) / self._traffic_effect
        if not self._bets:
            return state.bets
        steps = [new[..., cells] @ ratios for cells, ratios in self._bets]
        return np.logaddexp(state.bets, 0.0) + np.stack(steps, axis=-1)


def _pair_ratios(counts: Counts, design_effect: float) -> list[Values]:
    """Give the logarithm of the bets on "apart" and on "together", for a row in each pair of bins, (bins,)."""
    rows = counts.sum() / design_effect
    p = (counts / design_effect + _PRIOR) / (rows + _PRIOR * counts.size)
    apart = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    ratios = []
    for q in ((1 - _CUT) * p + _CUT * apart, np.maximum(p + _CUT * (p - apart), _LEAST_RATIO * p)):
        ratio = q / q.sum() / p
        error = np.sqrt(np.sum(p * (ratio - 1) ** 2) / max(1.0, rows))
        ratios.append(np.log(ratio).ravel() - np.log1p(_MARGIN * error))
    return ratios


def log_gamma(x: Values) -> Values:
    """Logarithm of the gamma function above 0, to 1e-12 of it or of 1: Stirling's series after eight steps up.

    The series is that of NIST's Digital Library of Mathematical Functions, 5.11.1. NumPy has no such function, and the
    service has no SciPy.
    """
    steps = np.ones_like(x)
    for i in range(_STEPS_UP):
        steps = steps * (x + i)
    z = x + _STEPS_UP
    inverse = 1 / z
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    result: Values = (z - 0.5) * np.log(z) - z + _HALF_LOG_TWO_PI + series - np.log(steps)
    return result
