"""Patches of circus, BentoML's supervisor: it stops when it is told to, and soon replaces a worker that died."""

import logging
import os
import signal
from functools import cache, partial
from typing import Any, Final

from circus.arbiter import Arbiter
from circus.controller import Controller
from circus.sighandler import SysHandler
from circus.watcher import Watcher

_QUIT_AGAIN_SECONDS: Final = 0.5

_CHECK_SECONDS: Final = 1.0
"""How often dead workers are looked for, and so the pause before one that dies again and again is replaced.

BentoML checks every ten seconds, because circus takes a check while workers are being started for an error.
"""

_STOP_SECONDS: Final = 8.0
"""How long a worker may take to stop before it is killed: it may be frozen. BentoML gives it a day."""

logger = logging.getLogger("bentoml.plan_recommender")


@cache
def patch() -> None:
    """Patch circus in this process; a second call changes nothing."""
    _quit_on_every_signal()
    _check_often()


def _quit_on_every_signal() -> None:
    """Repeat the order to quit until circus has quit: while it starts its workers, it drops the first one."""
    quit_once = SysHandler.quit

    def quit_until_it_has(handler: SysHandler) -> None:
        quit_once(handler)
        loop = handler.controller.loop
        loop.add_callback_from_signal(loop.call_later, _QUIT_AGAIN_SECONDS, partial(quit_until_it_has, handler))

    SysHandler.quit = quit_until_it_has


def _check_often() -> None:
    """Replace a worker that died within a second or so, log why it died, and kill one that does not stop."""
    start, manage_watchers, reap = Controller.start, Arbiter.manage_watchers, Watcher.reap_process

    def start_checking_often(controller: Controller) -> None:
        controller.check_delay = 1000 * _CHECK_SECONDS
        for watcher in controller.arbiter.watchers:
            watcher.graceful_timeout = _STOP_SECONDS
        start(controller)

    def manage_unless_busy(arbiter: Arbiter) -> Any:
        return manage_watchers(arbiter) if arbiter._exclusive_running_command is None else None

    def reap_and_log(watcher: Watcher, pid: int, status: int | None = None) -> None:
        if status is not None:  # the worker ended by itself; circus gives no status of those that it stops
            logger.error("worker %d %s; another takes its place", pid, _how(status))
        reap(watcher, pid, status)

    Controller.start, Arbiter.manage_watchers, Watcher.reap_process = (
        start_checking_often,
        manage_unless_busy,
        reap_and_log,
    )


def _how(status: int) -> str:
    """Say how a process ended, by the status that os.waitpid gave."""
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with exit code {code}"
