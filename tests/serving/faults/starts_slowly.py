"""The supervisor takes a second and a half to start a worker, as on a machine that is busy or starts many."""

import time
from typing import Any

from circus.watcher import Watcher

from service import PlanRecommender

__all__ = ["PlanRecommender"]

spawn = Watcher.spawn_process


def spawn_slowly(self: Watcher, recovery_wid: Any = None) -> Any:
    time.sleep(1.5)
    return spawn(self, recovery_wid)


Watcher.spawn_process = spawn_slowly
