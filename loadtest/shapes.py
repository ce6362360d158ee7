"""The shapes of a load and the budgets that they must keep: steady, step, spike and soak.

A shape is a list of phases, each with a number of users and a budget. A request counts in the phase in which it was
sent. Locust asks a shape once a second how many users it wants, so that a phase lasts at least a second.
"""

import logging
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from math import inf
from typing import Any, NamedTuple

import numpy as np
import psutil
from locust import LoadTestShape

from plan_recommender.config.load_shapes import (
    LoadtestSettings,
    SoakSettings,
    SpikeSettings,
    SteadySettings,
    StepSettings,
)

MIB = 1024 * 1024
SPAWN_RATE = 100  # users that start or stop in a second; above this, locust prints a warning


@dataclass(frozen=True)
class Budget:
    """The limits of a phase; the shares are of all its requests."""

    max_failure_share: float
    p95_ms: float = inf
    """Of the answered requests."""
    p99_ms: float = inf
    """Of the answered requests, and of the refused ones by themselves."""
    max_refused_share: float = 0.0


@dataclass
class Counts:
    """The results of the requests of a phase; a refusal is a 503 with Retry-After."""

    began: float = field(default_factory=time.time)
    """Seconds of `time.time()`, like the start of a request in locust."""
    seconds: float = 0.0
    """How long the phase has lasted so far."""
    answered_ms: "array[float]" = field(default_factory=lambda: array("d"))
    refused_ms: "array[float]" = field(default_factory=lambda: array("d"))
    failed: int = 0

    @property
    def requests(self) -> int:
        """Number of requests, whatever their result."""
        return len(self.answered_ms) + len(self.refused_ms) + self.failed


@dataclass(frozen=True)
class Phase:
    """A part of a load with a constant number of users."""

    name: str
    users: int
    seconds: float
    budget: Budget

    def broken(self, counts: Counts | None) -> list[str]:
        """Give one sentence for each limit of the budget that was exceeded; a phase without requests breaks it too."""
        if counts is None or not counts.requests:
            return [f"{self.name}: expected requests, found none"]
        budget = self.budget
        failed, refused = counts.failed / counts.requests, len(counts.refused_ms) / counts.requests
        broken = []
        if failed > budget.max_failure_share:
            broken.append(f"expected at most {budget.max_failure_share:.2%} failures, found {failed:.2%}")
        if refused > budget.max_refused_share:
            broken.append(f"expected at most {budget.max_refused_share:.2%} refusals, found {refused:.2%}")
        for what, times, percent, limit in (
            ("", counts.answered_ms, 95, budget.p95_ms),
            ("", counts.answered_ms, 99, budget.p99_ms),
            (" of refusals", counts.refused_ms, 99, budget.p99_ms),
        ):
            found = _percentile(times, percent) if times else 0.0
            if found > limit:
                broken.append(f"expected a {percent}th percentile{what} of at most {limit:g} ms, found {found:.1f} ms")
        return [f"{self.name}: {problem}" for problem in broken]

    def describe(self, counts: Counts | None) -> str:
        """Give the figures of the phase in one line."""
        if counts is None or not counts.requests:
            return f"{self.name}: no requests"
        figures = [f"{self.users} users", f"{counts.requests / max(counts.seconds, 1):.0f} requests/s"]
        figures += [f"{counts.requests} requests", f"{counts.failed} failed", f"{len(counts.refused_ms)} refused"]
        if counts.answered_ms:
            figures += [f"p{percent} {_percentile(counts.answered_ms, percent):.1f} ms" for percent in (50, 95, 99)]
        if counts.refused_ms:
            figures.append(f"p99 of refusals {_percentile(counts.refused_ms, 99):.1f} ms")
        return f"{self.name}: {', '.join(figures)}"


class Shape(LoadTestShape):
    """Runs one phase after another, and counts the results of the requests in each."""

    abstract = True

    def __init__(self, phases: Sequence[Phase]) -> None:
        super().__init__()
        self.phases = phases
        self.counts: list[Counts] = []
        self._phase_end = 0.0

    def reset_time(self) -> None:
        """Begin a run; locust calls this, and with its web page there can be several runs."""
        super().reset_time()
        self.counts = []
        self._phase_end = 0.0

    def tick(self) -> tuple[int, float] | None:
        """Give the number of users from now on and how many start in a second; None ends the run. Locust calls this."""
        if self.counts:
            self.counts[-1].seconds = time.time() - self.counts[-1].began
        if self.get_run_time() >= self._phase_end:
            if len(self.counts) == len(self.phases):
                return None
            phase = self.phases[len(self.counts)]
            logging.info("%s: %d users for %g s", phase.name, phase.users, phase.seconds)
            self._phase_end += phase.seconds
            self.counts.append(Counts())
        return self.phases[len(self.counts) - 1].users, SPAWN_RATE

    def count(
        self, start_time: float, response_time: float, exception: Exception | None, response: Any, **_: object
    ) -> None:
        """Count one request that has ended; locust calls this."""
        earlier = (counts for counts in reversed(self.counts) if counts.began <= start_time)
        counts = next(earlier, self.counts[0])  # no phase is earlier if the system's clock was set back
        if exception is not None:
            counts.failed += 1
        elif response.status_code == 503:  # with Retry-After: the user reports one without it as an exception
            counts.refused_ms.append(response_time)
        else:
            counts.answered_ms.append(response_time)

    def count_error(self, **_: object) -> None:
        """Count an exception in a user's code as a failed request, such as when it cannot ask which model answers."""
        self.counts[-1].failed += 1

    def broken(self) -> list[str]:
        """Give one sentence for each limit that was exceeded in any phase; none: the budget was kept."""
        return [problem for phase, counts in self._by_phase() for problem in phase.broken(counts)]

    def describe(self) -> list[str]:
        """Give the figures, one line for each phase."""
        return [phase.describe(counts) for phase, counts in self._by_phase()]

    def _by_phase(self) -> list[tuple[Phase, Counts | None]]:
        return list(zip_longest(self.phases, self.counts))


class Steady(Shape):
    """The same load from beginning to end."""

    def __init__(self, settings: SteadySettings, seconds: int) -> None:
        budget = Budget(settings.max_failure_share, settings.p95_ms, settings.p99_ms)
        super().__init__([Phase("steady", settings.users, seconds, budget)])


class Step(Shape):
    """A load that rises step by step; the first `min_steps` steps must keep the budget."""

    def __init__(self, settings: StepSettings, seconds: int) -> None:
        budget = Budget(settings.max_failure_share, settings.p95_ms, settings.p99_ms)
        self._min_steps = settings.min_steps
        super().__init__(
            [
                Phase(f"step {number}", number * settings.users, seconds / settings.steps, budget)
                for number in range(1, settings.steps + 1)
            ]
        )

    def broken(self) -> list[str]:
        """Say that too few steps kept the budget, and why the first other one did not; none: enough steps did."""
        kept = self._kept()
        if kept >= self._min_steps:
            return []
        phase, counts = self._by_phase()[kept]
        return [f"expected the first {self._min_steps} steps to keep it, found {kept}", *phase.broken(counts)]

    def describe(self) -> list[str]:
        """Give the figures, one line for each step, and the number of steps that kept the budget."""
        kept = self._kept()
        users = self.phases[kept - 1].users if kept else 0
        return [*super().describe(), f"steps that keep the budget: {kept} of {len(self.phases)}, up to {users} users"]

    def _kept(self) -> int:
        """Count the steps before the first one that broke the budget."""
        by_phase = self._by_phase()
        return next((n for n, (phase, counts) in enumerate(by_phase) if phase.broken(counts)), len(by_phase))


class Spike(Shape):
    """A load that rises at once and falls at once; once the service has recovered, the budget is that from before."""

    def __init__(self, settings: SpikeSettings, seconds: int) -> None:
        failures, refusals = settings.max_failure_share, settings.max_refused_share
        calm = Budget(failures, settings.p95_ms, settings.p99_ms)
        peak = Budget(failures, p99_ms=settings.peak_p99_ms, max_refused_share=refusals)
        recovering = Budget(failures, max_refused_share=refusals)
        quarter = seconds / 4
        super().__init__(
            [
                Phase("before", settings.users, quarter, calm),
                Phase("spike", settings.peak_users, quarter, peak),
                Phase("recovering", settings.users, quarter, recovering),
                Phase("recovered", settings.users, quarter, calm),
            ]
        )


class Resources(NamedTuple):
    """Memory and open descriptors of all processes of a server together."""

    resident_bytes: int
    descriptors: int


class Soak(Shape):
    """A long load during which the server's memory and descriptors may hardly grow once it is warm."""

    def __init__(self, settings: SoakSettings, seconds: int, server: psutil.Process | None) -> None:
        budget = Budget(settings.max_failure_share, settings.p95_ms, settings.p99_ms)
        self._max_growth_mib, self._max_descriptor_growth = settings.max_growth_mib, settings.max_descriptor_growth
        self._server = server
        self._resources: list[Resources] = []
        super().__init__(
            [
                Phase("warm-up", settings.users, seconds / 5, budget),
                Phase("soak", settings.users, seconds * 4 / 5, budget),
            ]
        )

    def reset_time(self) -> None:
        """Begin a run."""
        super().reset_time()
        self._resources = []

    def tick(self) -> tuple[int, float] | None:
        """Do as every shape, and measure the server's memory and descriptors after the warm-up."""
        users = super().tick()
        if self._server is not None and len(self.counts) == len(self.phases):
            self._resources.append(resources_of(self._server))
        return users

    def broken(self) -> list[str]:
        """Give one sentence for each limit that was exceeded, those of memory and descriptors included."""
        broken = super().broken()
        if not self._resources:
            return broken
        growth_mib, descriptors = self._growth()
        if growth_mib > self._max_growth_mib:
            broken.append(
                f"expected resident memory to grow by at most {self._max_growth_mib:g} MiB, found {growth_mib:.1f} MiB"
            )
        if descriptors > self._max_descriptor_growth:
            broken.append(
                f"expected at most {self._max_descriptor_growth} more open descriptors, found {descriptors} more"
            )
        return broken

    def describe(self) -> list[str]:
        """Give the figures, one line for each phase, and one each for memory and descriptors."""
        lines = super().describe()
        if not self._resources:
            return [*lines, "memory and descriptors: not measured; --server-pid names the process to look at"]
        growth_mib, descriptors = self._growth()
        warm = self._resources[0]
        return [
            *lines,
            f"memory: {warm.resident_bytes / MIB:.1f} MiB when warm, at most {growth_mib:.1f} MiB more later",
            f"descriptors: {warm.descriptors} when warm, at most {descriptors} more later",
        ]

    def _growth(self) -> tuple[float, int]:
        """Largest growth since the end of the warm-up: MiB of memory, and number of descriptors."""
        warm = self._resources[0]
        resident_bytes = max(held.resident_bytes for held in self._resources) - warm.resident_bytes
        return resident_bytes / MIB, max(held.descriptors for held in self._resources) - warm.descriptors


def shape_of(name: str, settings: LoadtestSettings, seconds: int | None, server: psutil.Process | None) -> Shape:
    """Make the shape with this name; `seconds` replaces its configured length."""
    if name == "steady":
        return Steady(settings.steady, seconds or settings.steady.seconds)
    if name == "step":
        return Step(settings.step, seconds or settings.step.seconds)
    if name == "spike":
        return Spike(settings.spike, seconds or settings.spike.seconds)
    return Soak(settings.soak, seconds or settings.soak.seconds, server)


def resources_of(server: psutil.Process) -> Resources:
    """Add up memory and descriptors of a process and its children; a process that ends meanwhile counts as 0."""
    resident_bytes = descriptors = 0
    with suppress(psutil.NoSuchProcess):
        for process in [server, *server.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                resident_bytes += process.memory_info().rss
                descriptors += process.num_fds()
    return Resources(resident_bytes, descriptors)


def _percentile(times: Sequence[float], percent: int) -> float:
    return float(np.percentile(times, percent))
