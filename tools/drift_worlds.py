"""Worlds in which the error rates of the verdict on drift are measured: synthetic subscribers, and shifts of them."""

from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from plan_recommender.data.month_calibration import load_months_calibration
from plan_recommender.data.month_synthesis import generate_months
from plan_recommender.data.synthesis import generate
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

REFERENCE_ROWS: Final = 3214
_POOL_ROWS: Final = 200_000
_CALLS, _MINUTES, _MESSAGES, _MB_USED = range(len(FEATURE_NAMES))
_LIGHT: Final = 0.25  # of what they used, for a segment of light users

Shift = Callable[[FeatureMatrix, FeatureMatrix, np.random.Generator], None]
"""Changes rows in place; also given are as many other rows of the same world, and random numbers."""


class Pool(NamedTuple):
    """Rows of one world, from which samples are drawn."""

    features: FeatureMatrix
    target: npt.NDArray[np.int64]


@cache
def pool(seed: int) -> Pool:
    """Give the rows of a world as calibrated."""
    chunks = list(generate(_POOL_ROWS, seed))
    return Pool(np.concatenate([c.features for c in chunks]), np.concatenate([c.target for c in chunks]))


def reference_rows(seed: int, rows: int = REFERENCE_ROWS) -> FeatureMatrix:
    """Draw the rows of a reference."""
    return np.concatenate([chunk.features for chunk in generate(rows, seed)])


def draw(world: Pool, rows: int, rng: np.random.Generator, shift: str = "none") -> FeatureMatrix:
    """Draw a sample of independent rows, shifted as one of `SHIFTS` says, shape (rows, 4)."""
    return draw_labelled(world, rows, rng, shift).features


def draw_labelled(world: Pool, rows: int, rng: np.random.Generator, shift: str = "none") -> Pool:
    """Draw a sample of independent rows with their labels, which a shift does not change."""
    if shift == _MORE_ULTRA:
        ultra = rng.random(rows) < _ULTRA_SHARE
        places = np.empty(rows, dtype=np.intp)
        for label in (0, 1):
            members = np.flatnonzero(world.target == label)
            places[ultra == label] = rng.choice(members, int((ultra == label).sum()))
    else:
        places = rng.integers(0, len(world.target), rows)
    features = world.features[places].copy()
    others = world.features[rng.integers(0, len(world.target), rows)]
    SHIFTS[shift](features, others, rng)
    return Pool(features, world.target[places])


def places_in_a_row(
    order: npt.NDArray[np.intp], streams: int, rows: int, before: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Draw rows of streams that depend on the row before: their rank in `order` has an autocorrelation of .5.

    Args:
        order: rows of the pool, sorted by what is to depend, shape (pool,).
        streams: number of streams.
        rows: of each stream.
        before: the state of each stream, shape (streams,), which is changed.
        rng: random numbers.
    """
    places = np.empty((streams, rows), dtype=np.intp)
    for i in range(rows):
        before[:] = 0.5 * before + np.sqrt(0.75) * rng.standard_normal(streams)
        places[:, i] = order[np.minimum((ndtr(before) * len(order)).astype(np.intp), len(order) - 1)]
    return places


def subscribers(seed: int, count: int, months: int) -> tuple[FeatureMatrix, npt.NDArray[np.int64]]:
    """Draw whole subscribers: all of their whole months, and whose each month is."""
    blocks = list(generate_months(count, months, seed, load_months_calibration()))
    whole = np.concatenate([block.share for block in blocks]) >= 1
    features = np.concatenate([block.usage for block in blocks])
    return features[whole], np.concatenate([block.subscriber for block in blocks])[whole]


def _scaled(feature: int, factor: float) -> Shift:
    def shift(features: FeatureMatrix, *_: object) -> None:
        features[:, feature] *= factor

    return shift


def _light(share: float) -> Shift:
    def shift(features: FeatureMatrix, others: FeatureMatrix, rng: np.random.Generator) -> None:
        members = rng.random(len(features)) < share
        features[members] *= _LIGHT
        features[:, [_CALLS, _MESSAGES]] = np.round(features[:, [_CALLS, _MESSAGES]])

    return shift


def _decoupled(share: float) -> Shift:
    def shift(features: FeatureMatrix, others: FeatureMatrix, rng: np.random.Generator) -> None:
        members = rng.random(len(features)) < share
        features[members, _MINUTES] = others[members, _MINUTES]

    return shift


def _in_gigabytes(share: float) -> Shift:
    def shift(features: FeatureMatrix, others: FeatureMatrix, rng: np.random.Generator) -> None:
        features[rng.random(len(features)) < share, _MB_USED] /= 1024

    return shift


_MORE_ULTRA: Final = "Ultra share 30 → 40 %"
_ULTRA_SHARE: Final = 0.4

SHIFTS: Final[dict[str, Shift]] = {
    "none": lambda *_: None,
    "data +5 %": _scaled(_MB_USED, 1.05),
    "data +10 %": _scaled(_MB_USED, 1.1),
    "data +20 %": _scaled(_MB_USED, 1.2),
    "data +30 %": _scaled(_MB_USED, 1.3),
    "5 % light users": _light(0.05),
    "10 % light users": _light(0.1),
    "minutes cut loose in 20 %": _decoupled(0.2),
    "minutes cut loose in all": _decoupled(1.0),
    "5 % in gigabytes": _in_gigabytes(0.05),
    _MORE_ULTRA: lambda *_: None,
}
"""By name. Light users use a quarter of everything; minutes that are cut loose are those of another subscriber."""
