"""A worker dies at the moment when the supervisor has just looked for dead ones."""

import os
import signal
import time
from typing import Any

import psutil
from circus.watcher import Watcher

from service import PlanRecommender

__all__ = ["PlanRecommender"]

manage = Watcher.manage_processes
killed: list[int] = []


def kill_and_manage(self: Watcher) -> Any:
    for pid, process in self.processes.items():
        if not killed and process.age() > 3:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.001)
    return manage(self)


Watcher.manage_processes = kill_and_manage
