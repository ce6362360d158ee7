"""The Prometheus series of the workers themselves: which model each serves, how many there are, memory and queues.

Each worker sets its own values every second, and prometheus_client's multiprocess mode adds up those of the workers
that live. The supervisor removes the values of a worker that has ended (worker_deaths.py). Nothing here is done for a
request.
"""

import asyncio
import os
from functools import cache
from pathlib import Path
from typing import Any, Final

from plan_recommender.serving.overload import Admission

SAMPLE_SECONDS: Final = 1.0
"""How often a worker sets its values, and so how old they may be."""

DIGEST_CHARACTERS: Final = 12
"""How much of the SHA-256 of the tariffs stands in the label; /model has all of it."""

FROM_SOURCE: Final = "from source"
"""The label of the Bento where the service does not run from one."""

_STATM: Final = Path("/proc/self/statm")


class WorkerSeries:
    """The series of one worker."""

    def __init__(self) -> None:
        # Not at the top: BentoML tells prometheus_client where the workers' files are after it has imported us.
        from prometheus_client import Gauge

        def total(name: str, help_text: str, *labels: str) -> Any:
            return Gauge(f"plan_recommender_{name}", help_text, labels, multiprocess_mode="livesum")

        self._info = Gauge(
            "plan_recommender_model_info", "1 for the model, the Bento and the tariffs that a worker answers by.",
            ["model", "bento", "tariffs"], multiprocess_mode="livemax",
        )  # fmt: skip
        self._workers = total("workers", "Workers that have loaded their model and live.")
        self._memory = total("worker_resident_memory_bytes", "Resident memory of all workers.")
        self._waiting = total("waiting_requests", "Requests that wait in the workers' queues.", "queue")
        self._admission: Admission | None = None
        self._next: asyncio.TimerHandle | None = None

    def begin(self, admission: Admission, model: str, bento: str | None, tariffs: str) -> None:
        """Show what this worker serves, and from now on how it is; call it in the event loop.

        Args:
            admission: the worker's queues.
            model: tag of the model.
            bento: tag of the Bento; None: the service runs from source.
            tariffs: SHA-256 of the tariffs in force.
        """
        self._info.labels(model, bento or FROM_SOURCE, tariffs[:DIGEST_CHARACTERS]).set(1)
        self._workers.set(1)
        self._admission = admission
        self._sample()

    def end(self) -> None:
        """Set nothing any more."""
        if self._next is not None:
            self._next.cancel()

    def _sample(self) -> None:
        if self._admission is not None:
            self._waiting.labels("single").set(self._admission.queue.waiting)
            self._waiting.labels("batch").set(self._admission.batches.pieces)
        self._memory.set(_resident_bytes())
        self._next = asyncio.get_running_loop().call_later(SAMPLE_SECONDS, self._sample)


@cache
def worker_series() -> WorkerSeries:
    """Give the one `WorkerSeries` of this process; the first call makes it."""
    return WorkerSeries()


def _resident_bytes() -> int:
    """Tell how much memory of this process is resident; 0 where there is no /proc, as on macOS."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0
