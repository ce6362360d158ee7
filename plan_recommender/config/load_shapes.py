"""The settings of the load tests: for every shape of load its size, and the budget that it must keep."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from plan_recommender.config.section import Positive, PositiveInt, Section, Share


class _LoadSettings(Section):
    users: PositiveInt = Field(16, description="Simulated clients, each asking up to 20 times a second (count).")
    seconds: PositiveInt = Field(15, description="Length of the run (s).")
    p95_ms: Positive = Field(100, description="Largest 95th percentile of the response time (ms).")
    p99_ms: Positive = Field(200, description="Largest 99th percentile of the response time (ms).")
    max_failure_share: Share = Field(0.0, description="Largest share of failed requests (0 to 1).")


class SteadySettings(_LoadSettings):
    """The same load from beginning to end."""


class StepSettings(_LoadSettings):
    """A load that rises step by step, to find the highest one at which the budget is kept."""

    users: PositiveInt = Field(32, description="Simulated clients that each step adds (count).")
    seconds: PositiveInt = Field(40, description="Length of the run, the same for each step (s).")
    p95_ms: Positive = Field(100, description="Largest 95th percentile of the response time in a step (ms).")
    p99_ms: Positive = Field(200, description="Largest 99th percentile of the response time in a step (ms).")
    max_failure_share: Share = Field(0.0, description="Largest share of failed requests in a step (0 to 1).")
    steps: PositiveInt = Field(4, description="Steps in the run (count).")
    min_steps: PositiveInt = Field(3, description="How many steps, from the first, have to keep the budget (count).")

    @model_validator(mode="after")
    def _holds_the_steps_to_keep(self) -> Self:
        if self.min_steps > self.steps:
            raise ValueError(f"expected min_steps to be at most steps, {self.steps}")
        return self


class SpikeSettings(_LoadSettings):
    """A load that rises at once and falls at once: a quarter of the run before, in the spike, to recover, and after."""

    seconds: PositiveInt = Field(20, description="Length of the run, of which a quarter is there to recover in (s).")
    p95_ms: Positive = Field(
        100, description="Largest 95th percentile of the response time before the spike and once recovered (ms)."
    )
    p99_ms: Positive = Field(
        200, description="Largest 99th percentile of the response time before the spike and once recovered (ms)."
    )
    max_failure_share: Share = Field(0.0, description="Largest share of failed requests in any quarter (0 to 1).")
    peak_users: PositiveInt = Field(160, description="Simulated clients in the spike (count).")
    peak_p99_ms: Positive = Field(
        500, description="Largest 99th percentile in the spike, of answers and of refusals alike (ms)."
    )
    max_refused_share: Share = Field(
        0.5,
        description="Largest share of requests (0 to 1) that are refused with 503 and `Retry-After`, in the spike and "
        "while recovering; before, after and in the other shapes none may be.",
    )


class SoakSettings(_LoadSettings):
    """A long, moderate load; after a fifth of it, the server's memory and descriptors may hardly grow."""

    seconds: PositiveInt = Field(600, description="Length of the run, of which a fifth is there to warm up in (s).")
    max_growth_mib: Positive = Field(
        10, description="How much the resident memory of the server's processes may grow after the warm-up (MiB)."
    )
    max_descriptor_growth: Annotated[int, Field(ge=0)] = Field(
        10, description="How many more descriptors the server's processes may hold open after the warm-up (count)."
    )


class LoadtestSettings(Section):
    """The shapes of load that `make loadtest` drives, and the budget that each must keep."""

    steady: SteadySettings = SteadySettings()
    step: StepSettings = StepSettings()
    spike: SpikeSettings = SpikeSettings()
    soak: SoakSettings = SoakSettings()
