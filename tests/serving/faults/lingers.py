"""A worker that does something else for 17 seconds when it is told to stop, and a supervisor that lets it."""

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

from plan_recommender.serving import overload
from plan_recommender.serving.patches import supervisor
from service import PlanRecommender

__all__ = ["PlanRecommender"]


def linger(self: overload.Drain, stop: Callable[[int, Any], object]) -> None:
    def stop_late() -> None:
        time.sleep(17)
        stop(signal.SIGTERM, None)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop_late)


supervisor._STOP_SECONDS = 60  # type: ignore[misc]  # the fault: another constant
overload.Drain.before = linger
