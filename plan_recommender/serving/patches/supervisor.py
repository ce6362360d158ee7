"""Patches of circus, BentoML's supervisor.

It stops when it is told to, soon replaces a worker that died, and on SIGHUP renews the workers one after the other.
"""

import asyncio
import logging
import os
import signal
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

from circus.arbiter import Arbiter
from circus.controller import Controller
from circus.process import Process
from circus.sighandler import SysHandler
from circus.watcher import Watcher

from plan_recommender.serving.worker_deaths import WorkerDeaths

_QUIT_AGAIN_SECONDS: Final = 0.5

_CHECK_SECONDS: Final = 1.0
"""How often dead workers are looked for.

BentoML checks every ten seconds, because circus takes a check while workers are being started for an error.
"""

_STOP_SECONDS: Final = 8.0
"""How long a worker may take to stop after its drain before it is killed: it may be frozen. BentoML gives it a day."""

_START_SECONDS: Final = 60.0
"""How long a new worker may take until it can serve; the others serve meanwhile."""

_SOON_SECONDS: Final = 10.0
"""A worker that dies within this time of its start has died at its start."""

_LONGEST_PAUSE_SECONDS: Final = 16.0
"""Longest pause before a worker is started in the place of one that died at its start."""

logger = logging.getLogger("bentoml.plan_recommender")


class Pauses:
    """The pauses between starts of workers that die at their start, each twice as long as the one before.

    Every start takes seconds of a core from the workers that live, and leaves lines in the log.
    """

    def __init__(self) -> None:
        self._next = 0.0
        self._until = 0.0

    def died(self, age: float, now: float) -> float:
        """Note a death of a worker that lived for so many seconds; returns the pause that begins now, in seconds."""
        pause = self._next if age < _SOON_SECONDS else 0.0
        self._next = min(max(1.0, 2 * pause), _LONGEST_PAUSE_SECONDS)
        self._until = max(self._until, now + pause)
        return pause

    def over(self, now: float) -> bool:
        """Tell whether workers may be started."""
        return now >= self._until


_pauses = Pauses()
_workers: dict[int, Process] = {}
"""The workers that live or have not been asked how they ended, by their process ids. Without a reference to it Python
would ask, and nobody would know."""


class _Orders:
    quit = False
    signal = signal.SIGTERM.value
    """The last one that came."""


class _Counts:
    deaths: WorkerDeaths | None = None
    """None until the supervisor has a folder for series."""


@cache
def patch(drain_seconds: float) -> None:
    """Patch circus in this process for workers that drain so many seconds; a second call changes nothing."""
    _quit_on_every_signal(drain_seconds)
    _check_often(drain_seconds)
    _renew_on_hangup()


def _quit_on_every_signal(drain_seconds: float) -> None:
    """Repeat the order to quit until circus has quit: while it starts its workers, it drops the first one.

    After the drain the socket is closed, of which the workers close their copies, so that connections are refused from
    then on. circus by itself closes it when all workers have ended, and connections would wait until then for nobody.
    """
    quit_once, act = SysHandler.quit, SysHandler.signal

    def quit_until_it_has(handler: SysHandler) -> None:
        loop = handler.controller.loop
        if not _Orders.quit:  # both from the loop, because the signal may have come while a record was being written
            loop.add_callback_from_signal(_say_that_it_stops, _Orders.signal)
            sockets = handler.controller.arbiter.sockets
            loop.add_callback_from_signal(loop.call_later, drain_seconds, sockets.close_all)
        _Orders.quit = True
        quit_once(handler)
        loop.add_callback_from_signal(loop.call_later, _QUIT_AGAIN_SECONDS, partial(quit_until_it_has, handler))

    def note_and_act(handler: SysHandler, sig: int, frame: object = None) -> None:
        _Orders.signal = sig
        act(handler, sig, frame)

    SysHandler.quit, SysHandler.signal = quit_until_it_has, note_and_act


def _say_that_it_stops(number: int) -> None:
    name = signal.Signals(number).name
    logger.info("stopping because of %s", name, extra={"fields": {"signal": name}})


def _check_often(drain_seconds: float) -> None:
    """Replace a worker that died, log why it died, and kill one that does not stop.

    It is replaced within a second or so, or after a pause (`Pauses`) if it died at its start.
    """
    start, manage_watchers, reap = Controller.start, Arbiter.manage_watchers, Watcher.reap_process

    def start_checking_often(controller: Controller) -> None:
        controller.check_delay = 1000 * _CHECK_SECONDS
        for watcher in controller.arbiter.watchers:
            watcher.graceful_timeout = drain_seconds + _STOP_SECONDS
            folder = (watcher.env or {}).get("PROMETHEUS_MULTIPROC_DIR")
            if _Counts.deaths is None and folder:
                _Counts.deaths = WorkerDeaths(folder)
        start(controller)

    def manage_unless_busy(arbiter: Arbiter) -> Any:
        if _Counts.deaths is not None:
            _Counts.deaths.look()
        if arbiter._exclusive_running_command is not None:
            return None
        _reap(arbiter)  # so that the pause that a death begins is known before a worker is started
        return manage_watchers(arbiter) if _pauses.over(monotonic()) else None

    def reap_and_log(watcher: Watcher, pid: int, status: int | None = None) -> None:
        process = watcher.processes.get(pid) or _workers.get(pid)
        _workers.pop(pid, None)
        if status is not None:  # the worker ended by itself; circus gives no status of those that it stops
            cause = _Counts.deaths.died(pid, status) if _Counts.deaths is not None else ""
            memory = ", because memory ran out" if cause == "oom" else ""
            pause = _pauses.died(process.age() if process is not None else 0.0, monotonic())
            when = f" in {pause:g} s" if pause else ""
            logger.error("worker %d %s%s; another takes its place%s", pid, _how(status), memory, when)
        reap(watcher, pid, status)

    Controller.start, Arbiter.manage_watchers, Watcher.reap_process = (
        start_checking_often,
        manage_unless_busy,
        reap_and_log,
    )


def _reap(arbiter: Arbiter) -> None:
    """Ask how workers have ended, as `Arbiter.reap_processes` does, also those that circus knows no more.

    circus drops a process that it finds dead before it has asked how it ended.
    """
    for watcher in arbiter.iter_watchers():
        if not watcher.is_stopped():
            _workers.update(watcher.processes)
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] in _workers:
                _workers[ended[0]].watcher.reap_process(*ended)


def _renew_on_hangup() -> None:
    """On SIGHUP replace each worker by a new one, which loads the model and the tariffs that are there by then.

    An old worker gives way only when the new one can serve, and no connection is refused: all of them accept from one
    socket. circus by itself stops all old workers at once, before the new ones can serve. If a new worker does not
    start, the old ones that are left stay.
    """

    async def renew(watcher: Watcher, graceful: bool = True, sequential: bool = False) -> None:
        for old in watcher.get_active_processes():
            before = set(watcher.processes)
            watcher.spawn_process()
            spawned = set(watcher.processes) - before
            if not spawned or not await _can_serve(min(spawned)):
                for pid in spawned:
                    await watcher.kill_process(watcher.processes[pid])
                    watcher.processes.pop(pid, None)
                if not _Orders.quit:
                    logger.error("worker %d stays, because no other has started in its place; so do the rest", old.pid)
                return
            await watcher.kill_process(old, signal.SIGHUP)
            watcher.processes.pop(old.pid, None)
            _workers.pop(old.pid, None)
            if _Counts.deaths is not None:
                _Counts.deaths.renewed(old.pid)
            logger.info("worker %d has taken the place of worker %d", min(spawned), old.pid)

    Watcher._reload = renew


async def _can_serve(pid: int) -> bool:
    """Wait until a worker has set its handler of SIGHUP, which it does when it has loaded everything.

    Returns:
        False: the worker ended, or took too long; or the service is told to quit.
    """
    status, deadline = Path(f"/proc/{pid}/status"), monotonic() + _START_SECONDS
    while monotonic() < deadline and not _Orders.quit:
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        except (FileNotFoundError, ProcessLookupError):
            return False
        if fields["State"].startswith("Z"):
            return False
        if int(fields["SigCgt"], 16) >> (signal.SIGHUP - 1) & 1:
            return True
        await asyncio.sleep(0.05)
    return False


def _how(status: int) -> str:
    """Say how a process ended, by the status that os.waitpid gave."""
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with exit code {code}"
