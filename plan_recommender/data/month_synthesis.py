"""Synthetic subscribers with months: who registers when, holds which plan, uses how much each month, and leaves.

A subscriber holds one plan and has, for each of calls, messages and megabytes, a level that stays: what a whole month
brings on average. The levels of those who hold a plan are drawn from a Gaussian copula, as the rows of the labelled
table are; some never call, never write or never use data. Months vary around the levels independently of each other,
so that there is no trend. The sum of many independent events has a variance in proportion to its mean: calls and
messages are Poisson counts, or negative binomial ones where the panel varies more, and megabytes are gamma distributed.

In the months of registration and of leaving, the mean is the level times the share of active days, and the variance
shrinks with it.

Of the calls, some have length zero: each counts as one minute of call time and is billed as none. The others have
gamma-distributed lengths and are billed by begun minutes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.data.month_calibration import MonthsCalibration, load_months_calibration
from plan_recommender.data.month_panel import COLUMNS, SHARE
from plan_recommender.data.months import days_in
from plan_recommender.data.synthesis import DRAWN, draw_class
from plan_recommender.model.features import PLANS, FeatureMatrix

FIRST_MONTH = 12 * 2018  # January, in calendar months since the year 0
MAX_MONTHS = 120
HEADER = ",".join((*COLUMNS, SHARE)) + "\n"

_BLOCK = 100  # subscribers that are drawn at once, always all of them; changing it changes what a seed gives
_FIRST_ID = 100_001

_Array = npt.NDArray[np.float64]


class Months(NamedTuple):
    """Some subscribers' months, all of each, sorted by subscriber and month."""

    subscriber: npt.NDArray[np.int64]
    """Shape (rows,); so are the others that say nothing else."""
    month: npt.NDArray[np.int64]
    """Calendar months since the year 0."""
    is_ultra: npt.NDArray[np.bool_]
    usage: FeatureMatrix
    """Shape (rows, 4), columns in the order of `FEATURE_NAMES`."""
    billed_minutes: npt.NDArray[np.int64]
    share: _Array
    """Of the month's days, above 0, at most 1."""


def generate_months(
    subscribers: int, months: int, seed: int, calibration: MonthsCalibration | None = None
) -> Iterator[Months]:
    """Yield subscribers in blocks, so that memory is bounded by the number of months alone.

    The same arguments give the same rows, and the first subscribers are the same however many follow.

    Args:
        subscribers: number in all blocks together.
        months: number of calendar months from `FIRST_MONTH` on; subscribers register in any of them.
        seed: of the random numbers.
        calibration: what to imitate; None: the shipped calibration.
    """
    calibration = calibration or load_months_calibration()
    for start in range(0, subscribers, _BLOCK):
        block = _draw_block(start, months, seed, calibration)
        kept = block.subscriber < _FIRST_ID + subscribers
        yield Months._make(column[kept] for column in block)


def csv_lines(block: Months) -> str:
    """Write one block as the lines of a CSV file; counts are whole numbers, minutes and megabytes have two decimals."""
    columns = (block.subscriber, block.month, block.is_ultra, *block.usage.T, block.billed_minutes, block.share)
    return "".join(
        f"{subscriber},{month // 12:04}-{month % 12 + 1:02},{PLANS[ultra]},{calls:.0f},{minutes:.2f},{messages:.0f},"
        f"{mb:.2f},{billed},{share:.4f}\n"
        for subscriber, month, ultra, calls, minutes, messages, mb, billed, share in zip(
            *(column.tolist() for column in columns), strict=True
        )
    )


def _draw_block(start: int, months: int, seed: int, calibration: MonthsCalibration) -> Months:
    """Draw `_BLOCK` subscribers, of whom `start` come before; each block has random numbers of its own."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(start // _BLOCK,)))
    # Up to the end of any block, the share of Ultra is the calibrated one, rounded to whole subscribers.
    ultra = round(calibration.ultra_share * (start + _BLOCK)) - round(calibration.ultra_share * start)
    is_ultra = rng.permutation(np.repeat([True, False], [ultra, _BLOCK - ultra]))
    share = _active_shares(months, calibration.leaving_share, rng)
    calls, messages, mb_used = _draw_usage(is_ultra, share, calibration, rng)
    minutes, billed = _draw_minutes(calls, calibration, rng)
    active = share > 0
    row, column = np.nonzero(active)
    usage = np.stack([calls, minutes, messages, mb_used], axis=-1)[active]
    return Months(_FIRST_ID + start + row, FIRST_MONTH + column, is_ultra[row], usage, billed[active], share[active])


def _active_shares(months: int, leaving_share: float, rng: np.random.Generator) -> _Array:
    """Draw when subscribers register and leave: the share of each month's days, 0 outside; shape (`_BLOCK`, months)."""
    days = np.array([days_in(FIRST_MONTH + month) for month in range(months)])
    registered = np.floor(rng.random(_BLOCK) * months).astype(np.int64)
    leaves = rng.random((_BLOCK, months)) < leaving_share
    before_joining, to_leaving = rng.random(_BLOCK), rng.random(_BLOCK)
    column = np.arange(months)
    leaves &= column > registered[:, None]
    left = np.where(leaves.any(axis=1), leaves.argmax(axis=1), months)
    share = ((column >= registered[:, None]) & (column <= left[:, None])).astype(np.float64)
    # Both days are any of their month, and count as active.
    share[np.arange(_BLOCK), registered] = 1 - np.floor(before_joining * days[registered]) / days[registered]
    gone = np.flatnonzero(left < months)
    share[gone, left[gone]] = (1 + np.floor(to_leaving[gone] * days[left[gone]])) / days[left[gone]]
    return share


def _draw_usage(
    is_ultra: npt.NDArray[np.bool_], share: _Array, calibration: MonthsCalibration, rng: np.random.Generator
) -> tuple[_Array, _Array, _Array]:
    """Draw calls, messages and megabytes, each of the shape of `share`, (`_BLOCK`, months)."""
    expected, dispersion = (np.empty((len(DRAWN), *shape)) for shape in (share.shape, (len(share), 1)))
    for plan, who in ((calibration.smart, ~is_ultra), (calibration.ultra, is_ultra)):
        levels = draw_class(plan.levels, int(who.sum()), rng)
        for i, name in enumerate(DRAWN):
            expected[i, who] = levels[name][:, None] * share[who]
            dispersion[i, who] = plan.dispersion[name]
    calls, messages = (_count(expected[i], dispersion[i], rng) for i in (0, 1))
    mb_used = rng.standard_gamma(expected[2] / dispersion[2]) * dispersion[2]
    return calls, messages, np.round(mb_used, 2)


def _count(expected: _Array, dispersion: _Array, rng: np.random.Generator) -> _Array:
    """Draw counts with these means and variances that are `dispersion` times as large: negative binomial ones.

    At a dispersion of 1 they are Poisson counts, and so they are below.
    """
    beyond = np.broadcast_to(np.maximum(dispersion - 1, 0), expected.shape)
    rate = rng.standard_gamma(np.divide(expected, beyond, out=np.zeros_like(expected), where=beyond > 0)) * beyond
    return rng.poisson(np.where(beyond > 0, rate, expected)).astype(np.float64)


def _draw_minutes(
    calls: _Array, calibration: MonthsCalibration, rng: np.random.Generator
) -> tuple[_Array, npt.NDArray[np.int64]]:
    """Draw the call time of months, rounded to two decimals, and the minutes billed; shapes that of `calls`."""
    zero = rng.binomial(calls.astype(np.int64), calibration.zero_length_share)
    long = calls - zero
    scale = calibration.length_variance / calibration.length_mean
    length = np.round(rng.standard_gamma(calibration.length_mean / scale * long) * scale, 2)
    # Each begun minute of a call adds a uniform number below 1; the sum of so many is close to normal.
    billed = np.round(length + long / 2 + np.sqrt(long / 12) * rng.standard_normal(calls.shape))
    billed = np.minimum(np.maximum(billed, np.maximum(np.ceil(length), long)), np.floor(length + long))
    return np.round(length + zero, 2), billed.astype(np.int64)
