"""A worker that does something else for four seconds when it is told to stop: what comes later is answered late."""

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

from plan_recommender.serving import overload
from service import PlanRecommender

__all__ = ["PlanRecommender"]


def linger(self: overload.Drain, stop: Callable[[int, Any], object]) -> None:
    def stop_late() -> None:
        time.sleep(4)
        stop(signal.SIGTERM, None)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop_late)


overload.Drain.before = linger
