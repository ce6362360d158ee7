"""The profile of habits: how months of other subscribers vary, for a forecast. It is data, and about usage only."""

from functools import cached_property
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plan_recommender.billing.tariffs import MAX_USAGE

SCENARIOS: Final = 64
"""Scenarios of the next month."""

ERROR_UNITS: Final = 100
"""The errors of a profile are whole hundredths of a spread."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Habit(_Part):
    """How one quantity varies between subscribers, and between the months of one."""

    usual: Annotated[float, Field(ge=0, le=MAX_USAGE, description="Mean of a whole month, over all subscribers.")]
    prior_months: Annotated[
        float,
        Field(
            ge=0.01,
            le=100,
            description="Whole months by which what is usual counts in the estimate of a subscriber's level: in theory "
            "the variance within subscribers divided by the one between them.",
        ),
    ]
    spread: Annotated[
        float, Field(ge=0, le=MAX_USAGE, description="Typical distance of a month from the level, at a level of 0.")
    ]
    spread_share: Annotated[
        float, Field(ge=0, le=100, description="What is added to `spread`, as a share of the level.")
    ]


_ErrorColumn = Annotated[
    list[Annotated[int, Field(ge=-1_000_000, le=1_000_000)]], Field(min_length=SCENARIOS, max_length=SCENARIOS)
]


class HabitErrors(_Part):
    """Errors of the estimate in other people's months (hundredths of a spread); equal places belong together."""

    minutes: _ErrorColumn
    messages: _ErrorColumn
    mb_used: _ErrorColumn


class HabitProfile(_Part):
    """How months of subscribers vary: all that a forecast needs besides the tariffs and the subscriber's own months.

    It is about usage only, so that prices change without fitting it again. It holds no months: each error is a mean
    over several months of several subscribers, for each quantity by itself.
    """

    schema_version: Literal[1] = 1
    subscribers: Annotated[int, Field(ge=1, description="Subscribers from whose months the profile was fitted.")]
    targets: Annotated[int, Field(ge=1, description="Months that were estimated from the months before them.")]
    minutes: Habit = Field(description="Billed minutes (minutes per month).")
    messages: Habit = Field(description="Messages (SMS per month).")
    mb_used: Habit = Field(description="Data (MB per month).")
    errors_after_one: HabitErrors = Field(description="Where one month is known.")
    errors_after_more: HabitErrors = Field(description="Where two or more months are known.")

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        for name, habit in (("minutes", self.minutes), ("mb_used", self.mb_used)):
            if habit.usual == 0:
                raise ValueError(f"{name}.usual: expected more than 0, found 0; nobody used any")
        return self

    @cached_property
    def habits(self) -> tuple[Habit, Habit, Habit]:
        """The habits, in the order of a month's quantities."""
        return self.minutes, self.messages, self.mb_used

    @cached_property
    def usual(self) -> tuple[float, float, float]:
        """What is usual of each quantity in a whole month (billed minutes, SMS, MB)."""
        return self.minutes.usual, self.messages.usual, self.mb_used.usual
