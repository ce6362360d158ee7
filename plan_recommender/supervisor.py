"""BentoML's supervisor, circus, heeds a signal to end at any time, and sees soon that a worker has died."""

import logging
import os
import signal
from functools import partial
from typing import Any, Final

from circus.arbiter import Arbiter
from circus.controller import Controller
from circus.sighandler import SysHandler
from circus.watcher import Watcher

_AGAIN_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 1.0
"""How often dead workers are looked for, and so the pause before one that dies again and again is replaced.

BentoML looks every ten seconds, as circus takes a look while workers are being started for an error.
"""

logger = logging.getLogger("bentoml.plan_recommender")


def heed_every_signal() -> None:
    """Tell circus again and again to end, until it has: while it starts its workers, it drops the first time."""
    tell = SysHandler.quit

    def quit_until_it_ends(handler: SysHandler) -> None:
        tell(handler)
        loop = handler.controller.loop
        loop.add_callback_from_signal(loop.call_later, _AGAIN_SECONDS, partial(quit_until_it_ends, handler))

    SysHandler.quit = quit_until_it_ends


def look_often() -> None:
    """Replace a worker that died within a second or so, and say so in the log."""
    begin, look, reap = Controller.start, Arbiter.manage_watchers, Watcher.reap_process

    def begin_to_look_often(controller: Controller) -> None:
        controller.check_delay = 1000 * _LOOK_SECONDS
        begin(controller)

    def look_unless_busy(arbiter: Arbiter) -> Any:
        return look(arbiter) if arbiter._exclusive_running_command is None else None

    def reap_aloud(watcher: Watcher, pid: int, status: int | None = None) -> None:
        if status is not None:  # it ended by itself; those that circus ends come without
            logger.error("worker %d %s; another takes its place", pid, _how(status))
        reap(watcher, pid, status)

    Controller.start, Arbiter.manage_watchers, Watcher.reap_process = begin_to_look_often, look_unless_busy, reap_aloud


def _how(status: int) -> str:
    """Say how a process ended, by what os.waitpid gave."""
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with exit code {code}"
