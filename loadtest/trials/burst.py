"""The trial of many connections at once."""

import resource
import selectors
import socket
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from loadtest.trials.report import TrialReport
from loadtest.trials.service import PREDICT, ready_workers, several, wait_until
from tools.server import FROM_SOURCE, Server, serving

_PATIENCE_SECONDS: Final = 15.0
_ACCEPTED_SECONDS: Final = 0.2
_LISTENING: Final = "0A"
_OTHER_FILES: Final = 500
"""Files that a process may have open beside the connections."""


def burst(connections: int = 2_000, bursts: int = 5, slack: float = 1.0, *, service: str = FROM_SOURCE) -> TrialReport:
    """Open `connections` at once, `bursts` times over, to one worker and to two; then send a request on each of them.

    The promises: all are accepted within 0.2 s, and each request is answered with 200. A connection is accepted
    when the worker has taken it from the system's queue, which is read from /proc/net/tcp; this needs Linux.
    """
    report = TrialReport("burst")
    _allow_open_files(connections + _OTHER_FILES)
    for number, name in ((1, "one worker"), (2, "two workers")):
        accepted, answered = [], []
        with serving(service, env=several(number)) as server:
            wait_until(partial(_all_are_ready, server, number), _PATIENCE_SECONDS)
            for _ in range(bursts):
                seconds, answers, last = _burst(server, connections)
                report.require(answers == connections, f"{name}: every request is answered")
                accepted.append(seconds)
                answered.append(last)
                time.sleep(0.5)
        promise = f"{name}: all connections are accepted within {_ACCEPTED_SECONDS:g} s"
        report.require(max(accepted) <= slack * _ACCEPTED_SECONDS, promise, timed=True)
        report.figures |= {
            f"{name}, {connections:,} connections accepted after": ", ".join(f"{1000 * s:.0f} ms" for s in accepted),
            f"{name}, the last request of them answered after": ", ".join(f"{1000 * s:.0f} ms" for s in answered),
        }
    return report


def _all_are_ready(server: Server, number: int) -> bool:
    return len(ready_workers(server)) == number


def _burst(server: Server, connections: int) -> tuple[float, int, float]:
    """Tell after how many seconds all were accepted, how many requests were answered, and when the last one was."""
    address = urlsplit(server.url)
    assert address.hostname is not None
    assert address.port is not None
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        start = monotonic()
        clients: list[socket.socket] = []
        for _ in range(connections):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((address.hostname, address.port))
            clients.append(client)
        while _queued(address.port) and monotonic() < start + _PATIENCE_SECONDS:
            time.sleep(0.001)
        accepted = monotonic() - start
        for client in clients:
            with suppress(ConnectionError):
                client.send(PREDICT)
            selector.register(client, selectors.EVENT_READ, client)
        answers, last = 0, accepted
        while selector.get_map() and monotonic() < start + _PATIENCE_SECONDS:
            for key, _ in selector.select(0.1):
                with suppress(ConnectionError):
                    answers += key.data.recv(65536).startswith(b"HTTP/1.1 200 ")
                selector.unregister(key.fileobj)
                last = monotonic() - start
    return accepted, answers, last


def _queued(port: int) -> int:
    """Count the connections to a local port that nobody has accepted yet."""
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        next(table)
        for line in table:  # sockets that listen come first
            _, local, _, state, queues = line.split()[:5]
            if state != _LISTENING:
                break
            if int(local.partition(":")[2], 16) == port:
                return int(queues.partition(":")[2], 16)
    raise LookupError(f"expected a socket that listens at port {port} in /proc/net/tcp, found none")


def _allow_open_files(number: int) -> None:
    """Let this process and those that it starts open so many files.

    Raises:
        ValueError: the system does not allow so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
