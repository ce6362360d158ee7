"""The trials by their names, and the arguments of their short form."""

from collections.abc import Callable
from typing import Final

from loadtest.trials.bad_clients import logs, oversize, slow
from loadtest.trials.burst import burst
from loadtest.trials.ended_processes import kill, stop
from loadtest.trials.growth import memory, metrics
from loadtest.trials.report import TrialReport
from loadtest.trials.too_many_requests import documents, overload

TRIALS: Final[dict[str, Callable[..., TrialReport]]] = {
    trial.__name__: trial for trial in (stop, kill, overload, burst, slow, memory, oversize, logs, metrics, documents)
}
"""Every trial by its name, in the order in which docs/reliability.md shows them."""

QUICK: Final[dict[str, dict[str, float]]] = {
    "stop": {"trials": 2, "seconds": 1.4, "capacity_seconds": 0.3},
    "kill": {"kills": 1, "seconds_between": 4.0, "capacity_seconds": 0.3},
    "overload": {"seconds": 1.0, "after_seconds": 1.5, "slack": 5.0},
    "burst": {"connections": 500, "bursts": 1, "slack": 5.0},
    "slow": {
        "clients": 100, "seconds": 26.0, "load": 0.02, "before_seconds": 1.0, "slack": 5.0, "capacity_seconds": 0.3,
    },
    "memory": {"valid": 20_000, "invalid": 5_000, "warm_seconds": 2.0},
    "oversize": {"bodies": 50},
    "logs": {"requests": 2_000},
    "metrics": {"paths": 2_000, "seconds": 0.5},
    "documents": {"seconds": 1.0, "slack": 2.0},
}  # fmt: skip
"""Arguments of the short form. `slack` loosens the promises that depend on the clock."""
