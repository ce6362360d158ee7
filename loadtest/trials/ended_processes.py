"""Trials that end processes under load: the whole service by SIGTERM, one worker by SIGKILL."""

import contextlib
import os
import signal
import subprocess
import threading
from time import monotonic
from typing import Final

import psutil

from loadtest.generator import Event, open_loop
from loadtest.record import LOST, UNANSWERED, UNSENT, Record
from loadtest.trials.report import TrialReport
from loadtest.trials.service import (
    CONNECTIONS,
    PREDICT,
    capacity,
    connect,
    correct_answer,
    ready_workers,
    several,
    wait_until,
    workers,
)
from tools.server import FROM_SOURCE, Server, serving

_MAX_STOP_SECONDS: Final = 15.0


def stop(
    trials: int = 20, seconds: float = 3.0, capacity_seconds: float = 1.0, *, service: str = FROM_SOURCE
) -> TrialReport:
    """SIGTERM while the service answers 70 % of its capacity, in `trials` runs of `seconds` each.

    Idle connections are open in every run, and in every second one also a request that is never completed. The
    promises: no request that was sent before the signal fails; what is sent later is answered or refused within 2 s;
    the service ends within 10 s.
    """
    report = TrialReport("stop")
    exits, later, sent_before = [], [], 0
    for trial in range(trials):
        with serving(service) as server:
            record, signalled, ended = _stop_under_load(server, trial, seconds, capacity_seconds)
        exits.append(ended - signalled)
        record = record.chosen(record.status != UNSENT)
        before = record.chosen(record.sent < signalled)
        after = record.chosen(record.sent >= signalled)
        sent_before += len(before)
        failed = len(before) - before.count(200)
        report.require(failed == 0, "no request that was sent before the signal fails")
        if failed:
            report.figures[f"trial {trial}"] = f"{before.counts()} of those sent before"
        report.require(after.count(UNANSWERED) == 0, "no later request hangs")
        later.append(max(after.latency_ms(100, 200, 503, LOST, from_sent=True), 0.0) if len(after) else 0.0)
        report.require(later[-1] <= 2000, "later requests are answered or refused within 2 s")
    report.require(max(exits) <= 10, "the service ends within 10 s")
    report.figures |= {
        "trials": f"{trials}, every second one with a stuck request",
        "sent before the signal": f"{sent_before:,}",
        "time to the end": f"{min(exits):.1f} to {max(exits):.1f} s",
        "longest that a later request took to be answered or refused": f"{max(later):.0f} ms",
    }
    return report


def kill(
    kills: int = 5, seconds_between: float = 6.0, capacity_seconds: float = 1.0, *, service: str = FROM_SOURCE
) -> TrialReport:
    """SIGKILL of one of two workers while they answer half of their capacity, `kills` times.

    The promises: the other worker serves on; no more requests are lost than the killed worker had connections, and none
    that was sent more than 0.1 s after the kill; two workers run again within 15 s. The variable
    `BENTOML_CONTAINERIZED`, which BentoML's images set, is set because BentoML does not replace a worker where it is.
    """
    report = TrialReport("kill")
    lost, held, latest, back = [], [], [], []
    with serving(service, env=several(2) | {"BENTOML_CONTAINERIZED": "true"}) as server:
        wait_until(lambda: len(ready_workers(server)) == 2, 20)
        rate, right = 0.5 * capacity(server, capacity_seconds), correct_answer(server)
        for trial in range(kills):
            strike = _Strike(workers(server)[0])
            replaced = 0.0

            def wait() -> None:
                nonlocal replaced
                replaced = wait_until(lambda: len(ready_workers(server)) == 2, 20)

            watch = threading.Thread(target=wait)
            events = [Event(1.0, strike.start), Event(1.2, watch.start)]
            record = open_loop(
                server.url, [PREDICT], rate, seconds_between, CONNECTIONS, seed=trial, at=events, expected=right
            )  # fmt: skip
            watch.join()
            gone = record.chosen(record.status == LOST)
            after = record.chosen((record.due > strike.moment + 0.5) & (record.status != UNSENT))
            lost.append(len(gone))
            held.append(strike.connections)
            latest.append(1000 * float((gone.sent - strike.moment).max()) if len(gone) else 0.0)
            back.append(replaced - strike.moment)
            # A connection carries one request at a time. The system closes the connections of the killed worker some
            # milliseconds after the signal, and a request that is sent on one of them until then is lost as well.
            report.require(lost[-1] <= held[-1], "no more requests are lost than the victim had connections")
            report.require(
                latest[-1] <= 100, "nothing is lost that was sent later than 0.1 s after the kill", timed=True
            )
            report.require(after.count(200) == len(after) > 0, "the other worker serves on")
            report.require(set(record.counts()) <= {200, LOST, UNSENT}, "requests are answered rightly or lost")
    report.require(max(back) <= 15, "the capacity is back within 15 s")
    report.figures |= {
        "kills": str(kills),
        "requests lost, a kill": ", ".join(map(str, lost)),
        "connections that the victim held": ", ".join(map(str, held)),
        "the last lost was sent": f"{abs(max(latest)):.1f} ms {'after' if max(latest) > 0 else 'before'} the kill",
        "two workers again after": f"{min(back):.1f} to {max(back):.1f} s",
    }
    return report


def _stop_under_load(
    server: Server, trial: int, seconds: float, capacity_seconds: float
) -> tuple[Record, float, float]:
    """Send SIGTERM in the middle of a load; returns what became of the requests, and when it was sent and the end came.

    Both moments are seconds of `time.monotonic()`.
    """
    rate, right = 0.7 * capacity(server, capacity_seconds), correct_answer(server)
    signalled = ended = 0.0

    def terminate() -> None:
        nonlocal signalled
        signalled = monotonic()
        server.process.send_signal(signal.SIGTERM)

    def wait() -> None:
        nonlocal ended
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(_MAX_STOP_SECONDS)
        ended = monotonic()

    with contextlib.ExitStack() as connections:
        for _ in range(5):
            connections.enter_context(connect(server))
        stuck = connections.enter_context(connect(server))
        if trial % 2:  # now without the last bytes of its body, now without its body
            stuck.sendall(PREDICT[: -5 if trial % 4 == 1 else -len(PREDICT.partition(b"\r\n\r\n")[2])])
        waiting = threading.Thread(target=wait)
        moment = seconds / 2 + 0.01 * trial
        events = [Event(moment, terminate), Event(moment, waiting.start)]
        record = open_loop(server.url, [PREDICT], rate, seconds, CONNECTIONS, seed=trial, at=events, expected=right)
        waiting.join()
    return record, signalled, ended


class _Strike(threading.Thread):
    """Kills a worker beside the generator, which goes on meanwhile, and counts the connections that it had."""

    def __init__(self, victim: psutil.Process) -> None:
        super().__init__()
        self._victim = victim
        self.connections = 0
        self.moment = 0.0

    def run(self) -> None:
        os.kill(self._victim.pid, signal.SIGSTOP)  # or it would accept some more while they are counted
        self.connections = sum(c.status == "ESTABLISHED" for c in self._victim.net_connections("tcp"))
        self.moment = monotonic()
        os.kill(self._victim.pid, signal.SIGKILL)
