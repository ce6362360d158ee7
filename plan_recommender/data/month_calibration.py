"""What the generator of synthetic months knows about the panel that it imitates: summary statistics, no month of it.

The level of a subscriber is what a whole month brings on average. Months vary around it as the sum of independent
events does, by calls, by messages and by sessions: with a variance in proportion to the level, the dispersion.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from plan_recommender.data.month_panel import Panel
from plan_recommender.data.synthesis import (
    DRAWN,
    ClassCalibration,
    calibrate_class,
    calibrate_lengths,
    read_calibration,
)
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES

MONTHS_CALIBRATION_FILE = Path(__file__).with_name("months_calibration.json")

_MIN_SUBSCRIBERS = 20  # on each plan; of fewer, a quantile would say too much about one of them
_MIN_EXPOSURE = 1.0  # more months than this make a level, so that no month of anybody is one
_DIGITS = 3
_Share = Annotated[float, Field(ge=0, le=1)]
_Array = npt.NDArray[np.float64]


class PlanCalibration(BaseModel):
    """The subscribers who hold one plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    levels: ClassCalibration
    """Of the subscribers' levels: shares of those who have none of a feature, quantiles, rank correlations."""
    dispersion: dict[str, Annotated[float, Field(gt=0)]]
    """Of whole months, variance around the level per unit of the level: calls, messages, MB."""

    @field_validator("dispersion")
    @classmethod
    def _is_complete(cls, dispersion: dict[str, float]) -> dict[str, float]:
        if set(dispersion) != set(DRAWN):
            raise ValueError(f"expected each of {', '.join(DRAWN)}, found {', '.join(dispersion) or 'none'}")
        return dispersion


class MonthsCalibration(BaseModel):
    """Everything that the generator knows about the panel that it imitates; months_calibration.json holds one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    subscribers: Annotated[int, Field(gt=0)]
    months: Annotated[int, Field(gt=0)]
    ultra_share: _Share
    """Of the subscribers."""
    leaving_share: Annotated[float, Field(ge=0, lt=1)]
    """Share of the subscribers who leave in a month, after that of their registration."""
    minutes_per_call_mean: Annotated[float, Field(gt=0)]
    """Of all calls (minutes); so is the next."""
    minutes_per_call_sd: Annotated[float, Field(gt=0)]
    zero_length_share: Annotated[float, Field(ge=0, lt=1)]
    """Share of the calls that have length zero, count as one minute and are billed as none."""
    smart: PlanCalibration
    ultra: PlanCalibration

    @model_validator(mode="after")
    def _calls_have_lengths(self) -> "MonthsCalibration":
        if self.length_mean <= 0 or self.length_variance <= 0:
            raise ValueError("expected calls of length zero that leave the others a length and a variance of it")
        return self

    @cached_property
    def length_mean(self) -> float:
        """Mean length of the calls that have one (minutes)."""
        return (self.minutes_per_call_mean - self.zero_length_share) / (1 - self.zero_length_share)

    @cached_property
    def length_variance(self) -> float:
        """Variance of the length of the calls that have one (square minutes)."""
        between = self.zero_length_share * (1 - self.zero_length_share) * (self.length_mean - 1) ** 2
        return (self.minutes_per_call_sd**2 - between) / (1 - self.zero_length_share)


def load_months_calibration(path: Path = MONTHS_CALIBRATION_FILE) -> MonthsCalibration:
    """Read the summary statistics that the generator draws from.

    Raises:
        ConfigError: the file is missing, or was not written by tools.calibrate_months.
    """
    return read_calibration(path, MonthsCalibration, "tools.calibrate_months")


def calibrate_months(panel: Panel, ultra: str, source: str) -> MonthsCalibration:
    """Reduce a panel to the summary statistics that the generator draws from.

    Args:
        panel: of subscribers who hold one of two plans. Who has no month at the end, or part of one, has left.
        ultra: name of the dear plan, in lower case.
        source: where the panel comes from, for the record.

    Raises:
        TableError: too few subscribers of a plan have been seen for a whole month.
    """
    calls, minutes = (panel.usage[:, FEATURE_NAMES.index(name)] for name in ("calls", "minutes"))
    mean, sd = calibrate_lengths(calls, minutes)
    # Rounding adds half a minute to a call on average, or takes one minute from a call of length zero.
    added = float((panel.billed_minutes - minutes).sum() / calls.sum())
    first = panel.is_first
    left = panel.is_last & ~first & ((panel.share < 1) | (panel.months < panel.months.max()))
    return MonthsCalibration(
        source=source,
        subscribers=int(first.sum()),
        months=len(first),
        ultra_share=round(float((panel.plans[first] == ultra).mean()), 4),
        leaving_share=round(float(left.sum() / max((~first).sum(), 1)), 4),
        minutes_per_call_mean=mean,
        minutes_per_call_sd=sd,
        zero_length_share=round(max((0.5 - added) / 1.5, 0.0), 3),
        smart=_calibrate_plan(panel, panel.plans != ultra),
        ultra=_calibrate_plan(panel, panel.plans == ultra),
    )


def _calibrate_plan(panel: Panel, of_plan: npt.NDArray[np.bool_]) -> PlanCalibration:
    _, subscriber = np.unique(panel.subscribers[of_plan], return_inverse=True)
    share, usage = panel.share[of_plan], panel.usage[of_plan]
    exposure: _Array = np.bincount(subscriber, share).astype(np.float64)
    seen = exposure > _MIN_EXPOSURE
    if seen.sum() < _MIN_SUBSCRIBERS:
        raise TableError(
            f"expected at least {_MIN_SUBSCRIBERS} subscribers of each plan who were there for more than a month, "
            f"found {seen.sum()}"
        )
    levels, dispersion = np.zeros((int(seen.sum()), len(FEATURE_NAMES))), {}
    for name in DRAWN:
        column = FEATURE_NAMES.index(name)
        spread = _dispersion(subscriber, usage[:, column], share)
        means = (np.bincount(subscriber, usage[:, column]) / exposure)[seen]
        levels[:, column] = _levels(means, exposure[seen], spread)
        dispersion[name] = float(f"{spread:.{_DIGITS}g}")
    # A level of few months says less about the levels of all. Counting by subscriber made them vary too much (the rule
    # "everybody on Smart" cost 428 instead of 369 roubles), counting by month too little (359); the root is between.
    weighted = np.repeat(levels, np.round(10 * np.sqrt(exposure[seen])).astype(np.int64), axis=0)
    return PlanCalibration(levels=calibrate_class(weighted), dispersion=dispersion)


def _dispersion(subscriber: npt.NDArray[np.int64], values: _Array, share: _Array) -> float:
    """Estimate the variance of a subscriber's whole months per unit of their mean, from all subscribers."""
    whole = share == 1
    subscriber, values = subscriber[whole], values[whole]
    counts = np.bincount(subscriber)
    means = np.bincount(subscriber, values) / np.maximum(counts, 1)
    squares = float(np.sum((values - means[subscriber]) ** 2))
    return squares / float(np.sum(np.maximum(counts - 1, 0) * means[: len(counts)]))


def _levels(means: _Array, exposure: _Array, dispersion: float) -> _Array:
    """Estimate levels that vary as the true ones do: the means vary more, the more so the fewer months they are of.

    Those who have none of a feature keep their 0; the means of the others are drawn towards the mean of all by as much
    as leaves them the variance between subscribers (one-way analysis of variance).

    Args:
        means: usage of a whole month, mean of each subscriber, shape (subscribers,).
        exposure: months that it is of, shape (subscribers,).
        dispersion: variance of a month per unit of the mean.
    """
    ever = means > 0
    n, x = exposure[ever], means[ever]
    total, grand = n.sum(), (n * x).sum() / n.sum()
    of_means = (n * (x - grand) ** 2).sum() / (len(n) - 1)
    between = max((of_means - dispersion * grand) / ((total - (n**2).sum() / total) / (len(n) - 1)), 0.0)
    shrunk = np.sqrt(between / (between + dispersion * x / n))
    levels = np.zeros(len(means))
    levels[ever] = np.maximum(grand + shrunk * (x - grand), x.min())
    return levels
