"""The biller: what a month costs on every plan, in whole smallest units of the currency.

There are two forms of one definition: `Biller.bills` for one month in plain Python, `Biller.totals` for a table in
NumPy. Both first turn usage into whole billed quantities (minutes, messages, steps of data), exactly, and then work
with whole numbers only.
"""

from collections.abc import Iterable
from math import ceil
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.billing.tariffs import MAX_USAGE, Tariffs

_CHUNK_ROWS: Final = 4_096
"""Rows that are billed at once: their quantities stay in the processor's cache."""

Whole = npt.NDArray[np.int64]


class Billed(NamedTuple):
    """What a month is billed for."""

    minutes: int
    messages: int
    steps: int
    """Of data; `data.step_mb` of the tariffs is their size."""
    estimated: bool = False
    """Whether the minutes are an estimate, because the billed minutes were not given."""


class Bill(NamedTuple):
    """The bill of one month on one plan, in smallest units."""

    fee: int
    minutes: int
    """For the minutes beyond those included; so are the next two."""
    messages: int
    data: int
    total: int


class _Prices(NamedTuple):
    """A plan in whole numbers: its fee, and what is included and costs extra of each quantity."""

    fee: int
    minutes: int
    messages: int
    steps: int
    minute: int
    message: int
    step: int


class Biller:
    """Bills months on all plans of some tariffs."""

    def __init__(self, tariffs: Tariffs) -> None:
        self._step_mb = tariffs.data.step_mb
        self._by_call = tariffs.minutes.rounding == "call"
        self._call_hundredths = int(tariffs.minutes.call_share * 100)
        self._plans = [
            _Prices(
                tariffs.units(plan.fee),
                plan.included.minutes,
                plan.included.messages,
                plan.included.mb_used // tariffs.data.step_mb,
                tariffs.units(plan.beyond.minute),
                tariffs.units(plan.beyond.message),
                tariffs.units(plan.beyond.data_step),
            )
            for plan in tariffs.plans
        ]
        columns = np.array(self._plans, dtype=np.int64)  # shape (plans, 7), in the order of `_Prices`
        self._fees = columns[:, :1]
        self._included, self._prices = columns[:, 1:4, None], columns[:, 4:, None]

    def billed(
        self, calls: float, minutes: float, messages: float, mb_used: float, billed_minutes: float | None = None
    ) -> Billed:
        """Turn the usage of one month into what is billed.

        Args:
            calls: calls made, from 0 to `MAX_USAGE`, as all arguments.
            minutes: total call time (minutes).
            messages: messages sent.
            mb_used: data used (MB).
            billed_minutes: minutes after the rounding of each call; None: not known.
        """
        (whole,) = self.minutes((calls,), (minutes,), (billed_minutes,))
        estimated = self._by_call and billed_minutes is None
        return Billed(whole, ceil(messages), -(-ceil(mb_used) // self._step_mb), estimated)

    def minutes(
        self, calls: Iterable[float], minutes: Iterable[float], billed_minutes: Iterable[float | None]
    ) -> list[int]:
        """Give the minutes that each of some months is billed for; arguments are as in `billed`, one for each month.

        Where each call is rounded up, the sum of the minutes does not say how many are billed: at least the minutes,
        and less than the minutes and one for each call. Without `billed_minutes` they are estimated as the minutes,
        rounded up, and `minutes.call_share` for each call, rounded down, which lies within these bounds.
        """
        if not self._by_call:
            return [ceil(total) for total in minutes]
        hundredths = self._call_hundredths
        return [
            ceil(total) + int(made) * hundredths // 100 if whole is None else ceil(whole)
            for made, total, whole in zip(calls, minutes, billed_minutes, strict=True)
        ]

    def bills(self, billed: Billed) -> list[Bill]:
        """Bill one month on every plan, in the order of the tariffs."""
        minutes, messages, steps, _ = billed
        bills = []
        for plan in self._plans:
            for_minutes = (minutes - plan.minutes) * plan.minute if minutes > plan.minutes else 0
            for_messages = (messages - plan.messages) * plan.message if messages > plan.messages else 0
            for_data = (steps - plan.steps) * plan.step if steps > plan.steps else 0
            total = plan.fee + for_minutes + for_messages + for_data
            bills.append(Bill(plan.fee, for_minutes, for_messages, for_data, total))
        return bills

    def scenarios(self, count: int) -> "ScenarioBiller":
        """Give a biller for this number of months at once."""
        return ScenarioBiller(self._step_mb, self._plans, count)

    def billed_table(
        self, usage: npt.NDArray[np.float64], billed_minutes: npt.NDArray[np.float64] | None = None
    ) -> Whole:
        """Turn months into what is billed, as `billed` does: minutes, messages and steps of data.

        Args:
            usage: shape (months, 4), columns in the order of `FEATURE_NAMES`.
            billed_minutes: shape (months,), NaN where they are not known; None: nowhere.

        Returns:
            Shape (3, months).
        """
        calls, minutes, messages, mb_used = usage.T
        billed = np.empty((3, len(usage)), dtype=np.int64)
        billed[0] = np.ceil(minutes)
        if self._by_call:
            billed[0] += calls.astype(np.int64) * self._call_hundredths // 100
            if billed_minutes is not None:
                known = ~np.isnan(billed_minutes)
                billed[0, known] = np.ceil(billed_minutes[known])
        billed[1] = np.ceil(messages)
        billed[2] = -(-np.ceil(mb_used).astype(np.int64) // self._step_mb)
        return billed

    def totals(self, billed: Whole) -> Whole:
        """Bill months on every plan: totals in smallest units, shape (plans, months).

        Args:
            billed: as `billed_table` gives it, shape (3, months).
        """
        months = billed.shape[1]
        if months <= _CHUNK_ROWS:
            return self._totals(billed)
        starts = range(0, months, _CHUNK_ROWS)
        return np.concatenate([self._totals(billed[:, start : start + _CHUNK_ROWS]) for start in starts], axis=1)

    def _totals(self, billed: Whole) -> Whole:
        beyond = billed - self._included
        np.maximum(beyond, 0, out=beyond)
        beyond *= self._prices
        totals: Whole = beyond[:, 0] + beyond[:, 1]
        totals += beyond[:, 2]
        totals += self._fees
        return totals


class ScenarioBiller:
    """Bills always the same small number of months on every plan, with the totals of `Biller.totals`.

    To spread a number over an array takes NumPy longer than the arithmetic, so all arrays have the same shape and are
    made beforehand: (3 * plans * months,), the months of the first plan in billed minutes, those of the next plan, and
    so on, then all this in messages and in steps of data.
    """

    def __init__(self, step_mb: int, plans: list[_Prices], months: int) -> None:
        self.repeats: Final = len(plans) * months
        """How often a number that counts for a whole quantity has to be repeated."""
        self._shape = len(plans), months
        self._most = np.full(3 * self.repeats, MAX_USAGE)
        self._nothing = np.zeros(3 * self.repeats, dtype=np.int64)
        self._step_mb = np.full(self.repeats, float(step_mb))
        self._fees = np.repeat([plan.fee for plan in plans], months)
        included = [(plan.minutes, plan.messages, plan.steps) for plan in plans]
        prices = [(plan.minute, plan.message, plan.step) for plan in plans]
        self._included, self._prices = (np.repeat(np.array(each).T.ravel(), months) for each in (included, prices))

    def totals(self, usage: npt.NDArray[np.float64]) -> Whole:
        """Bill months: totals in smallest units, shape (plans, months).

        Args:
            usage: billed minutes, messages and MB, arranged as above; what is not from 0 to `MAX_USAGE` counts as the
                nearer of the two. The array is used up.
        """
        quantities = self.repeats
        np.minimum(np.ceil(usage, out=usage), self._most, out=usage)
        data = usage[2 * quantities :]
        np.ceil(np.divide(data, self._step_mb, out=data), out=data)  # exact: the quotient of small whole numbers
        beyond = usage.astype(np.int64)
        beyond -= self._included
        np.maximum(beyond, self._nothing, out=beyond)  # so that nothing is billed below 0, either
        beyond *= self._prices
        totals: Whole = beyond[:quantities] + beyond[quantities : 2 * quantities]
        totals += beyond[2 * quantities :]
        totals += self._fees
        return totals.reshape(self._shape)
