"""Watch what a service counts: how far it is from the reference, and whether that is a drift that matters.

The verdict needs two things: the evidence of `Bets`, which says that a difference is not chance however often one
looks, and a distance that matters, without which enough rows would raise an alarm about any difference. It stays once
it is reached: what has drifted for a while and came back has drifted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from plan_recommender.errors import ModelError
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.monitoring.distance import (
    dependence_degrees,
    dependence_statistic,
    gap,
    harmonic_size,
    population_stability_index,
    shares_distance,
)
from plan_recommender.monitoring.evidence import ALARM_DAYS, HOURS_A_DAY, Bets, State
from plan_recommender.monitoring.layout import ROWS, Counts

WINDOW_DAYS: Final = 7
"""Days, today included, over which distances are given."""

MIN_ROWS: Final = 80
"""Of fewer rows there is no verdict: a few requests of somebody who tries the service out are no usage."""

_HOUR_SECONDS: Final = 3600

Values = npt.NDArray[np.float64]


class WatchSettings(BaseModel):
    """The settings `drift` of the training, which are stored with a model, as far as a service needs them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    smallest_gap: float
    smallest_phi: float
    smoothing: float

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Read them from the settings that are stored with a model.

        Raises:
            ModelError: they are not there.
        """
        try:
            return cls.model_validate(settings.get("drift"))
        except ValidationError as error:
            raise ModelError("expected the settings of drift in the model's record; train again") from error


@dataclass
class Watched:
    """What was counted until now, in as much detail as the verdict needs."""

    state: State
    begun: float
    """When counting began, in Unix time."""
    since: float | None = None
    """When the verdict became drift; None: it has not."""
    parts: list[str] = field(default_factory=list)
    """What had drifted then."""


class Look(NamedTuple):
    """What is to be said at one moment."""

    rows: int
    """Counted since the beginning."""
    window_rows: int
    """Of the last `WINDOW_DAYS`."""
    distances: dict[str, float]
    """Of each part, over the window: see `Watch.distances`; NaN while there is no row."""
    psi: dict[str, float]
    """Of each feature, over the window; NaN while there is no row."""
    evidence_days: float
    part_evidence_days: dict[str, float]


class Watch:
    """Compares counts with the reference of one model."""

    def __init__(self, profile: ReferenceProfile, settings: WatchSettings) -> None:
        """Prepare the comparison with a profile."""
        self._bets = Bets(profile)
        self.layout = self._bets.layout
        self._settings = settings
        self.parts = self.layout.parts
        effects = [each.design_effect for each in profile.features]
        effects += [] if profile.predictions is None else [profile.predictions.design_effect]
        self._reference = reference = self.layout.reference(profile)
        self._margins = [reference[c] / e for c, e in zip(self.layout.margins, effects, strict=True)]
        self._pairs = [
            reference[cells].reshape(shape) / pair.design_effect
            for cells, shape, pair in zip(self.layout.pair_cells, self.layout.shapes, profile.pairs, strict=True)
        ]

    def begin(self, now: float) -> Watched:
        """Begin without rows, at a moment in Unix time."""
        return Watched(self._bets.begin(int(now // _HOUR_SECONDS)), now)

    def look(self, watched: Watched, totals: Counts, now: float) -> Look:
        """Look at all that was counted since the beginning, shape (cells,), and bring `watched` up to date."""
        state, hour = watched.state, int(now // _HOUR_SECONDS)
        if hour > state.hour:
            self._bets.advance(state, totals, hour)
        evidence = self._bets.evidence(state, totals)
        found = dict(zip(self.parts, evidence.parts.tolist(), strict=True))
        if watched.since is None and evidence.drift and totals[ROWS] >= MIN_ROWS:
            suspects = [name for name, days in found.items() if days >= ALARM_DAYS / len(found)]
            watched.parts = self._relevant(suspects, state, totals)
            watched.since = now if watched.parts else None
        window = totals - _starts(state, hour // HOURS_A_DAY - WINDOW_DAYS + 1)[0]
        some = window[ROWS] > 0
        names = self.layout.names
        return Look(
            rows=int(totals[ROWS]),
            window_rows=int(window[ROWS]),
            distances=self.distances(window) if some else dict.fromkeys(self.parts, np.nan),
            psi=self._psi(window) if some else dict.fromkeys(names, np.nan),
            evidence_days=float(evidence.days),
            part_evidence_days=found,
        )

    def distances(self, counts: Counts) -> dict[str, float]:
        """Give the distance of each part from the reference, of counts with rows, shape (cells,).

        It is the distance of the distribution functions for a feature and for the predictions, and phi for a pair. What
        chance makes of it on average is taken off its square, so that few rows are not far off for being few.
        """
        found = {name: self._gap(i, counts)[0] for i, name in enumerate(self.parts[: len(self._margins)])}
        pairs = self.parts[len(self._margins) :]
        return found | {name: self._dependence(i, counts)[0] for i, name in enumerate(pairs)}

    def _relevant(self, suspects: list[str], state: State, totals: Counts) -> list[str]:
        """Name the suspects whose distance matters, since that start from which it is the least likely to be chance."""
        starts = _starts(state, state.hour // HOURS_A_DAY - WINDOW_DAYS + 1)
        spans = [counts for counts in (totals - start for start in starts) if counts[ROWS] > 0]
        relevant = []
        for name in suspects:
            place = self.parts.index(name)
            i, settings = place - len(self._margins), self._settings
            pairs = i >= 0
            kinds = (
                [(self._dependence, i, settings.smallest_phi)] if pairs else [(self._gap, place, settings.smallest_gap)]
            )
            if name in self.layout.names:
                kinds.append((self._shares, place, settings.smallest_phi))
            for distance, of, floor in kinds:
                largest = max((distance(of, counts) for counts in spans), key=lambda each: each[1])
                if largest[0] >= floor and name not in relevant:
                    relevant.append(name)
        return relevant

    def _gap(self, i: int, counts: Counts) -> tuple[float, float]:
        """Give the distance of the distribution functions of a quantity, and its statistic by what chance makes of it.

        Both of its kin below give the same of other distances.
        """
        reference, current = self._margins[i], counts[self.layout.margins[i]].astype(np.float64)
        size = float(harmonic_size(reference.sum(), current.sum()))
        found = gap(reference, current)
        expected = float((found.weights * found.below * (1 - found.below)).sum())
        return _without_chance(float(found.distance) ** 2, expected, size)

    def _shares(self, i: int, counts: Counts) -> tuple[float, float]:
        reference, current = self._margins[i], counts[self.layout.margins[i]].astype(np.float64)
        size = float(harmonic_size(reference.sum(), current.sum()))
        return _without_chance(*shares_distance(reference, current), size)

    def _dependence(self, i: int, counts: Counts) -> tuple[float, float]:
        reference, cells = self._pairs[i], self.layout.pair_cells[i]
        current = counts[cells].reshape(reference.shape).astype(np.float64)
        size = float(harmonic_size(reference.sum(), current.sum()))
        square = dependence_statistic(reference, current) / size
        return _without_chance(square, dependence_degrees(reference, current), size)

    def _psi(self, counts: Counts) -> dict[str, float]:
        return {
            name: population_stability_index(self._reference[cells], counts[cells], self._settings.smoothing)
            for name, cells in zip(self.layout.names, self.layout.margins, strict=False)
        }


def _starts(state: State, first_day: int) -> list[Counts]:
    """Give the counts at some of the starts that are kept.

    They are at the beginning of the first day from `first_day` on, of the first of all, and of the latest one.
    """
    days = state.starts | (
        {} if state.hour // HOURS_A_DAY in state.starts else {state.hour // HOURS_A_DAY: state.totals}
    )
    within = [day for day in days if day >= first_day]
    chosen = [min(within), min(days), max(days)]
    return [days[day] for day in dict.fromkeys(chosen)]


def _without_chance(square: float, expected: float, size: float) -> tuple[float, float]:
    """Take what chance is expected to add off a squared distance, and give the statistic by its expectation too.

    Args:
        square: the squared distance.
        expected: of the squared distance times `size`, without a difference.
        size: harmonic sample size.
    """
    distance = max(0.0, square - expected / size) ** 0.5
    return distance, square * size / expected if expected else 0.0
