"""BentoML's supervisor, circus, ends when it is told to, and sees soon that a worker has died."""

import logging
import os
import signal
from functools import cache, partial
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

_STOP_SECONDS: Final = 8.0
"""After which a worker that was told to end and did not, as it is frozen, is killed. BentoML gives it a day."""

logger = logging.getLogger("bentoml.plan_recommender")


@cache
def patch() -> None:
    """Patch circus in this process; a second time changes nothing."""
    _heed_every_signal()
    _look_often()


def _heed_every_signal() -> None:
    """Tell circus again and again to end, until it has: while it starts its workers, it drops the first time."""
    tell = SysHandler.quit

    def quit_until_it_ends(handler: SysHandler) -> None:
        tell(handler)
        loop = handler.controller.loop
        loop.add_callback_from_signal(loop.call_later, _AGAIN_SECONDS, partial(quit_until_it_ends, handler))

    SysHandler.quit = quit_until_it_ends


def _look_often() -> None:
    """Replace a worker that died within a second or so, say so in the log, and kill one that does not end."""
    begin, look, reap = Controller.start, Arbiter.manage_watchers, Watcher.reap_process

    def begin_to_look_often(controller: Controller) -> None:
        controller.check_delay = 1000 * _LOOK_SECONDS
        for watcher in controller.arbiter.watchers:
            watcher.graceful_timeout = _STOP_SECONDS
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
