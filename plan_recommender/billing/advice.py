"""The advice: which plan fits a subscriber's next month, what it saves, and when to keep the present one."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.billing.bill import Bill, Biller
from plan_recommender.billing.forecast import Forecaster, MonthUsed, Range, Saving
from plan_recommender.billing.habits import HabitProfile
from plan_recommender.billing.tariffs import Tariffs

Kind = Literal["keep", "switch", "choose"]

Reason = Literal["cheapest", "saves enough", "saves too little", "not sure enough", "too few months"]
"""Why a plan is advised: the first two speak for the plan itself, the others for keeping one that may be dearer."""


class AdvicePolicy(BaseModel):
    """When a switch is advised. Keeping the present plan is a full answer."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    min_saving_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Least expected saving worth a switch (share of the expected bill on the plan held, 0 to 1)."
    )
    min_p_saves: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Least probability that the next month costs less on the other plan (0 to 1)."
    )
    min_months: Annotated[int, Field(ge=1, le=36)] = Field(
        1, description="Least months of usage, whole or not, from which a switch is advised (count)."
    )


class Advice(NamedTuple):
    """What is advised for one subscriber; plans are given by their places in the tariffs, money in smallest units."""

    kind: Kind
    held: int | None
    advised: int
    reason: Reason
    rival: int
    """The plan that the advised one was compared with: of a switch the one held, otherwise the cheapest other one.
    Where there is no other plan, it is the advised one."""
    saving: Saving
    """What the advised plan costs less than the one held, all 0 where that is kept. Without a plan held, what it costs
    less than `rival`."""
    forgone: Saving
    """What `rival` would cost less than the plan that is kept; all 0 where none is kept."""
    plans: list[Range]
    """The next month on every plan."""
    last_bills: list[Bill]
    """The last month on every plan."""
    estimated: bool
    """Whether the last bills rest on an estimate of the billed minutes."""
    months: int


_NOTHING = Saving(0, 0, 0, 0.0)


class Adviser:
    """Advises one subscriber at a time, by some tariffs, a profile of habits and a policy."""

    def __init__(self, tariffs: Tariffs, profile: HabitProfile, policy: AdvicePolicy) -> None:
        self.tariffs = tariffs
        self.profile = profile
        self.policy = policy
        self._biller = Biller(tariffs)
        self._forecaster = Forecaster(self._biller, profile)

    def advise(self, held: int | None, months: Sequence[MonthUsed]) -> Advice:
        """Advise on the next month.

        The plan with the least expected bill is advised to whoever holds none. A switch is advised only if it is
        expected to save enough, is likely enough to save, and rests on enough months, as the policy says.

        Args:
            held: the plan held, as its place in the tariffs; None: none, or not known.
            months: what was used, at least one month, the earliest first, each quantity at most `MAX_USAGE`.

        Raises:
            ValueError: there is no month.
        """
        forecast = self._forecaster.forecast(months)
        expected = forecast.expected
        cheapest = expected.index(min(expected))
        kind: Kind = "choose"
        reason: Reason = "cheapest"
        advised, rival = cheapest, _cheapest_but(cheapest, expected)
        saving, forgone = _NOTHING, _NOTHING
        if held is None:
            saving = forecast.saving(rival, cheapest)
        elif expected[held] == expected[cheapest]:
            kind, advised, rival = "keep", held, _cheapest_but(held, expected)
            forgone = forecast.saving(held, rival)
        else:
            possible = forecast.saving(held, cheapest)
            reason = self._judge(possible, expected[held], len(months))
            if reason == "saves enough":
                kind, rival, saving = "switch", held, possible
            else:
                kind, advised, rival, forgone = "keep", held, cheapest, possible
        calls, minutes, messages, mb_used, billed_minutes, _ = months[-1]
        billed = self._biller.billed(calls, minutes, messages, mb_used, billed_minutes)
        return Advice(
            kind, held, advised, reason, rival, saving, forgone, forecast.ranges(),
            self._biller.bills(billed), billed.estimated, len(months),
        )  # fmt: skip

    def _judge(self, saving: Saving, expected: int, months: int) -> Reason:
        if months < self.policy.min_months:
            return "too few months"
        if saving.expected <= 0 or saving.expected < self.policy.min_saving_share * expected:
            return "saves too little"
        return "saves enough" if saving.p_saves >= self.policy.min_p_saves else "not sure enough"


def _cheapest_but(plan: int, expected: list[int]) -> int:
    """Give the cheapest other plan; where there is no other, `plan` itself."""
    others = [*expected[:plan], *expected[plan + 1 :]]
    if not others:
        return plan
    place = others.index(min(others))
    return place if place < plan else place + 1
