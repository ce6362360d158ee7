"""A load generator that records every request: a closed loop, or an open loop with Poisson arrivals.

In a closed loop each connection sends its next request when the last one is answered, so a slow service is asked less.
In an open loop the requests are due at times that do not depend on the answers, like those of real users, and a latency
counts from the moment the request was due. A stall of the service or of the generator is therefore visible in the
figures; a closed loop would hide it behind requests that were never sent (coordinated omission: Tene, "How NOT to
measure latency"). `Record.lag_ms` says how late the generator itself was.
"""

import asyncio
import collections
import itertools
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

import numpy as np
import uvloop

from loadtest.connection import Connection, Log, open_connection
from loadtest.record import LOST, UNSENT, Record

PATIENCE_SECONDS: Final = 15.0
"""How long the generator waits, after the end of the load, for answers that are outstanding."""

_TICK_SECONDS = 0.001  # the resolution of the loop's timers; a busy wait would take a core from the service
_REUSE_SECONDS = 4.0  # servers close idle connections after about five seconds, and a request sent just then is lost


@dataclass(frozen=True)
class Event:
    """An action at a moment of the load, in seconds after its start, such as ending a process."""

    seconds: float
    action: Callable[[], object]


def post(path: str, body: object, *headers: str) -> bytes:
    """Write a POST request with these header lines; `body` is sent as JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [
        f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json",
        f"Content-Length: {len(content)}", *headers,
    ]  # fmt: skip
    return "\r\n".join([*head, "", ""]).encode() + content


def get(path: str) -> bytes:
    """Write a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def closed_loop(
    url: str,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    at: Sequence[Event] = (),
    expected: bytes | None = None,
) -> Record:
    """Keep a number of connections busy, each with one request at a time, and record every request.

    Args:
        url: of the service; http only.
        requests: sent in turn, again and again.
        connections: number of connections; one that is lost is made again.
        seconds: length of the load.
        at: actions during the load.
        expected: the body that every answer 200 must have; None: any.
    """
    return _run(_closed(url, requests, connections, seconds, at, expected))


def open_loop(
    url: str,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    connections: int = 256,
    seed: int = 0,
    at: Sequence[Event] = (),
    expected: bytes | None = None,
) -> Record:
    """Send requests at the arrival times of a Poisson process, and record every request.

    Args:
        url: of the service; http only.
        requests: sent in turn, again and again.
        rate: requests a second, on average.
        seconds: length of the load.
        connections: maximum of open connections; a request that finds none free waits, and is sent late or never.
        seed: of the arrival times.
        at: actions during the load.
        expected: the body that every answer 200 must have; None: any.
    """
    return _run(_open(url, requests, rate, seconds, connections, seed, at, expected))


def _run(load: Coroutine[None, None, Record]) -> Record:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load)


async def _closed(
    url: str,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    events: Sequence[Event],
    expected: bytes | None,
) -> Record:
    loop = asyncio.get_running_loop()
    log = Log(expected)
    bodies = itertools.cycle(requests)
    end = monotonic() + seconds

    def again(connection: Connection) -> None:
        if monotonic() >= end:
            connection.close()
        else:
            connection.ask(next(bodies), monotonic())

    async def reconnect() -> None:
        while monotonic() < end:
            start = monotonic()
            try:
                connection = await open_connection(url, log, again, lost)
            except OSError:
                log.note(start, start, LOST)
                await asyncio.sleep(0.05)
            else:
                again(connection)
                return

    tasks: set[asyncio.Task[None]] = set()

    def lost(_: Connection) -> None:
        if monotonic() < end:
            task = loop.create_task(reconnect())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    for event in events:
        loop.call_later(event.seconds, event.action)
    await asyncio.gather(*(reconnect() for _ in range(connections)))
    await asyncio.sleep(max(end - monotonic(), 0))
    while monotonic() < end or ((log.outstanding or tasks) and monotonic() < end + PATIENCE_SECONDS):
        await asyncio.sleep(0.005)
    log.give_up()
    return log.record()


async def _open(
    url: str,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    connections: int,
    seed: int,
    events: Sequence[Event],
    expected: bytes | None,
) -> Record:
    loop = asyncio.get_running_loop()
    log = Log(expected)
    free: list[Connection] = []
    waiting: collections.deque[tuple[bytes, float]] = collections.deque()
    open_connections = 0
    tasks: set[asyncio.Task[None]] = set()

    def answered(connection: Connection) -> None:
        if waiting:
            connection.ask(*waiting.popleft())
        else:
            free.append(connection)

    def lost(connection: Connection) -> None:
        nonlocal open_connections
        open_connections -= 1
        if connection in free:
            free.remove(connection)
        if waiting:
            start_another()

    async def connect() -> None:
        nonlocal open_connections
        try:
            connection = await open_connection(url, log, answered, lost)
        except OSError:
            open_connections -= 1
            if waiting:
                _, due = waiting.popleft()
                log.note(due, monotonic(), LOST)
                if waiting:
                    start_another()
        else:
            answered(connection)

    def start_another() -> None:
        nonlocal open_connections
        open_connections += 1
        task = loop.create_task(connect())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def send(request: bytes, due: float) -> None:
        nonlocal open_connections
        while free:
            connection = free.pop()
            if monotonic() - connection.idle_since > _REUSE_SECONDS:
                connection.close()
                open_connections -= 1
            elif not connection.closing:
                connection.ask(request, due)
                return
        waiting.append((request, due))
        if open_connections < connections:
            start_another()

    begin = monotonic() + 0.05
    for event in events:
        loop.call_later(begin + event.seconds - monotonic(), event.action)
    for number, (due, request) in enumerate(zip(_arrivals(rate, seconds, seed, begin), itertools.cycle(requests))):
        while (left := due - monotonic()) > 0:
            await asyncio.sleep(max(left, _TICK_SECONDS))
        send(request, due)
        if number % 16 == 0:
            await asyncio.sleep(0)  # answers are read between requests that are overdue
    while len(waiting) > len(tasks):  # connections that are being made will send the others
        log.note(waiting.pop()[1], monotonic(), UNSENT)
    deadline = monotonic() + PATIENCE_SECONDS
    while (log.outstanding or tasks) and monotonic() < deadline:
        await asyncio.sleep(0.005)
    for _, due in waiting:
        log.note(due, monotonic(), UNSENT)
    log.give_up()
    for connection in free:
        connection.close()
    return log.record()


def _arrivals(rate: float, seconds: float, seed: int, begin: float) -> Iterator[float]:
    random = np.random.default_rng(seed)
    gaps = random.exponential(1 / rate, size=int(rate * seconds + 6 * (rate * seconds) ** 0.5 + 10))
    times = begin + np.cumsum(gaps)
    return iter(times[times < begin + seconds].tolist())
