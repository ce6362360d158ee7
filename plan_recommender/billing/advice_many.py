"""The advice of `advice.py` for many subscribers at once: the same plans, reasons and whole numbers, from arrays.

`Adviser` says what an advice is; this form says the same of thousands of subscribers in the time in which that one
advises some ten.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from plan_recommender.billing.advice import Advice, Adviser, Kind, Reason
from plan_recommender.billing.bill import Biller, Whole
from plan_recommender.billing.forecast import Range, Saving
from plan_recommender.billing.forecast_many import ManyForecaster, ManyRanges, ManySavings
from plan_recommender.billing.many_months import Doubles, ManyMonths, Places

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
NO_PLAN: Final = -1
"""Stands for the plan of a subscriber who holds none, or whose plan is not known."""

_KEEP, _SWITCH, _CHOOSE = range(3)
_CHEAPEST, _ENOUGH, _TOO_LITTLE, _NOT_SURE, _TOO_FEW = range(5)
_NOTHING: Final = Saving(0, 0, 0, 0.0)


class ManyAdvice(NamedTuple):
    """What `Advice` holds, of many subscribers; arrays are of shape (subscribers,) where nothing else is said."""

    kind: Places
    """Places in `KINDS`."""
    held: Places
    """Plans by their places in the tariffs; `NO_PLAN`: none."""
    advised: Places
    reason: Places
    """Places in `REASONS`."""
    rival: Places
    compared: ManySavings
    """What the advice compares the two plans by: `Advice.forgone` of who keeps a plan, otherwise `Advice.saving`."""
    plans: ManyRanges
    last: Whole
    """Total of the last month on every plan, shape (plans, subscribers)."""
    estimated: npt.NDArray[np.bool_]
    months: Places

    @property
    def saving(self) -> ManySavings:
        """What `Advice.saving` holds: nothing where a plan is kept."""
        keeps = self.kind == _KEEP
        expected, low, high = (np.where(keeps, 0, column) for column in self.compared[:3])
        return ManySavings(expected, low, high, np.where(keeps, 0.0, self.compared.p_saves))

    def each(self) -> Iterator[Advice]:
        """Yield every subscriber's advice; the last bills hold totals only."""
        columns = [column.tolist() for column in (self.kind, self.held, self.advised, self.reason, self.rival)]
        compared = zip(*(column.tolist() for column in self.compared), strict=True)
        ranges = zip(*(column.T.tolist() for column in self.plans), strict=True)
        rest = (self.estimated.tolist(), self.months.tolist())
        for kind, held, advised, reason, rival, saving, plans, estimated, months in zip(
            *columns, compared, ranges, *rest, strict=True
        ):
            told = Saving(*saving)
            yield Advice(
                KINDS[kind], None if held == NO_PLAN else held, advised, REASONS[reason], rival,
                _NOTHING if kind == _KEEP else told, told if kind == _KEEP else _NOTHING,
                [Range(*of_plan) for of_plan in zip(*plans, strict=True)], [], estimated, months,
            )  # fmt: skip


class ManyAdviser:
    """Advises many subscribers as an `Adviser` advises one."""

    def __init__(self, adviser: Adviser) -> None:
        """Take the tariffs, the profile and the policy of an adviser."""
        self.tariffs = adviser.tariffs
        self.policy = adviser.policy
        self._biller = Biller(adviser.tariffs)
        self._forecaster = ManyForecaster(self._biller, adviser.profile)

    def advise(self, held: Places, months: ManyMonths) -> ManyAdvice:
        """Advise on the next month.

        Args:
            held: the plan that each subscriber holds, as its place in the tariffs, or `NO_PLAN`; shape (subscribers,).
            months: what each used.
        """
        starts = range(0, len(held), self._forecaster.at_once)
        parts = []
        for start in starts:
            end = min(start + self._forecaster.at_once, len(held))
            parts.append(self._advise(held[start:end], months.take(start, end)))
        together: ManyAdvice = _together(parts)
        return together

    def _advise(self, held: Places, months: ManyMonths) -> ManyAdvice:
        forecasts = self._forecaster.forecast(months)
        ranges = forecasts.ranges()
        expected, each = ranges.expected, np.arange(len(held))
        cheapest = np.argmin(expected, axis=0)
        holds = held != NO_PLAN
        present = np.where(holds, held, cheapest)
        is_cheapest = expected[present, each] == expected[cheapest, each]
        advised = np.where(is_cheapest, present, cheapest)
        other = _cheapest_but(advised, expected)
        # Of whoever holds a plan that is dear, the plan held is compared with the cheapest, otherwise two cheap ones.
        dearer = np.where(holds, present, other)
        cheaper = np.where(holds & is_cheapest, other, cheapest)
        compared = forecasts.savings(dearer, cheaper)
        counts = months.counts
        reason = np.where(is_cheapest, _CHEAPEST, self._judge(compared, expected[present, each], counts))
        keeps = holds & (reason != _ENOUGH)
        rival = np.where(holds & ~is_cheapest, np.where(keeps, cheapest, held), other)
        billed, estimated = self._last(months)
        return ManyAdvice(
            kind=np.where(holds, np.where(keeps, _KEEP, _SWITCH), _CHOOSE),
            held=held,
            advised=np.where(keeps, present, advised),
            reason=reason,
            rival=rival,
            compared=compared,
            plans=ranges,
            last=self._biller.totals(billed),
            estimated=estimated,
            months=counts,
        )

    def _judge(self, saving: ManySavings, expected: Whole, months: Places) -> Places:
        policy = self.policy
        too_little = (saving.expected <= 0) | (saving.expected < policy.min_saving_share * expected)
        sure = np.where(saving.p_saves >= policy.min_p_saves, _ENOUGH, _NOT_SURE)
        return np.where(months < policy.min_months, _TOO_FEW, np.where(too_little, _TOO_LITTLE, sure))

    def _last(self, months: ManyMonths) -> tuple[Whole, npt.NDArray[np.bool_]]:
        """Give what each last month is billed for, shape (3, subscribers), and whether its minutes are an estimate."""
        at = months.ends - 1
        usage = np.stack([months.calls[at], months.minutes[at], months.messages[at], months.mb_used[at]])
        billed_minutes: Doubles = months.billed_minutes[at]
        return self._biller.billed_table(usage.T, billed_minutes), np.isnan(billed_minutes) & self.tariffs.rounds_calls


def _cheapest_but(plans: Places, expected: Whole) -> Places:
    """Give each subscriber's cheapest plan but one; where there is no other, that one."""
    if len(expected) == 1:
        return plans
    others = expected.copy()
    others[plans, np.arange(len(plans))] = np.iinfo(np.int64).max
    cheapest: Places = np.argmin(others, axis=0)
    return cheapest


def _together(parts: list[Any]) -> Any:
    """Join equal tuples of arrays, which may hold such tuples, along the subscribers."""
    first = parts[0]
    if isinstance(first, tuple):
        return type(first)(*(_together(list(columns)) for columns in zip(*parts, strict=True)))
    return first if len(parts) == 1 else np.concatenate(parts, axis=-1)
