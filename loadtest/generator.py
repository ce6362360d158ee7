"""A load generator that keeps a record of every request: closed loop, or open loop with Poisson arrivals.

In a closed loop each connection sends its next request when the last one is answered, so a slow service is asked less.
In an open loop the requests are due at times that do not depend on the answers, as those of real users are, and latency
counts from when a request was due: a stall of the service, or of the generator, is in the figures and not hidden by
requests that were never sent (Tene, "How NOT to measure latency", calls that coordinated omission). How late the
generator itself was is reported beside them.
"""

import asyncio
import collections
import itertools
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, cast
from urllib.parse import urlsplit

import httptools
import numpy as np
import numpy.typing as npt
import uvloop

LOST: Final = 0
"""Stands for the status of a request whose connection ended without an answer, or could not be made."""

UNANSWERED: Final = -1
"""Stands for the status of a request that was not answered when the patience was over."""

UNSENT: Final = -2
"""Stands for the status of a request that found no free connection until the load ended."""

WRONG: Final = -3
"""Stands for the status of an answer 200 with another body than the expected one, and of one that nobody asked for."""

PATIENCE_SECONDS: Final = 15.0
"""How long the answers that are outstanding when the load ends are waited for."""

_TICK_SECONDS = 0.001  # the loop's timers are no finer, and waiting without them would take a core from the service
_REUSE_SECONDS = 4.0  # servers close idle connections after five or so, and what is sent just then is lost


@dataclass(frozen=True)
class Record:
    """What became of the requests of one load; arrays of one shape, in the order in which the requests ended."""

    due: npt.NDArray[np.float64]
    """Seconds of `time.monotonic()`; of a closed loop, when it was sent."""
    sent: npt.NDArray[np.float64]
    ended: npt.NDArray[np.float64]
    status: npt.NDArray[np.int16]
    without_retry_after: int
    """Answers 429 and 503 that did not say when to come back."""

    def __len__(self) -> int:
        """Give the number of requests."""
        return len(self.status)

    @property
    def seconds(self) -> float:
        """From the first request due to the last one ended."""
        return float(self.ended.max() - self.due.min()) if len(self) else 0.0

    def count(self, *statuses: int) -> int:
        """Requests that got one of these statuses."""
        return int(np.isin(self.status, statuses).sum())

    def counts(self) -> dict[int, int]:
        """Requests by status."""
        values, numbers = np.unique(self.status, return_counts=True)
        return dict(zip(values.tolist(), numbers.tolist(), strict=True))

    def rate(self, *statuses: int) -> float:
        """Requests a second that got one of these statuses."""
        return self.count(*statuses) / self.seconds if self.seconds else 0.0

    def latency_ms(self, percentile: float, *statuses: int, from_sent: bool = False) -> float:
        """Percentile of the latencies of the requests with one of these statuses, milliseconds; NaN without any."""
        chosen = np.isin(self.status, statuses)
        start = self.sent if from_sent else self.due
        times = (self.ended - start)[chosen]
        return float(np.percentile(times, percentile)) * 1e3 if len(times) else float("nan")

    def lag_ms(self, percentile: float) -> float:
        """How late requests were sent, milliseconds: the generator's fault, or for want of a free connection."""
        return float(np.percentile(self.sent - self.due, percentile)) * 1e3 if len(self) else float("nan")

    def chosen(self, mask: npt.NDArray[np.bool_]) -> "Record":
        """Requests for which `mask` holds; shape (requests,)."""
        return Record(self.due[mask], self.sent[mask], self.ended[mask], self.status[mask], self.without_retry_after)


def post(path: str, body: object, *headers: str) -> bytes:
    """Give the bytes of a POST request; `body` is sent as JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [
        f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json",
        f"Content-Length: {len(content)}", *headers,
    ]  # fmt: skip
    return "\r\n".join([*head, "", ""]).encode() + content


def get(path: str) -> bytes:
    """Give the bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def closed_loop(
    url: str,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    at: "Sequence[Event]" = (),
    expected: bytes | None = None,
) -> Record:
    """Keep so many connections busy for so long.

    Args:
        url: of the service; http only.
        requests: sent in turn, again and again.
        connections: how many; each has one request on the way at a time.
        seconds: how long.
        at: what to do on the way.
        expected: the body of every answer 200; None: any.
    """
    return _run(_closed(url, requests, connections, seconds, at, expected))


def open_loop(
    url: str,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    connections: int = 256,
    seed: int = 0,
    at: "Sequence[Event]" = (),
    expected: bytes | None = None,
) -> Record:
    """Send requests at the times of a Poisson process.

    Args:
        url: of the service; http only.
        requests: sent in turn, again and again.
        rate: requests a second, on average.
        seconds: how long.
        connections: most that are open at a time; a request that finds none free waits, and is late or never sent.
        seed: of the arrival times.
        at: what to do on the way.
        expected: the body of every answer 200; None: any.
    """
    return _run(_open(url, requests, rate, seconds, connections, seed, at, expected))


@dataclass(frozen=True)
class Event:
    """Something to do so many seconds after the start, such as ending a process."""

    seconds: float
    action: Callable[[], object]


def _run(load: "collections.abc.Coroutine[None, None, Record]") -> Record:
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
    log = _Log(expected)
    bodies = itertools.cycle(requests)
    end = monotonic() + seconds

    def again(connection: "_Connection") -> None:
        if monotonic() >= end:
            connection.close()
        else:
            connection.ask(next(bodies), monotonic())

    async def reconnect() -> None:
        while monotonic() < end:
            start = monotonic()
            try:
                connection = await _connect(url, log, again, lost)
            except OSError:
                log.note(start, start, LOST, answered_late=False)
                await asyncio.sleep(0.05)
            else:
                again(connection)
                return

    tasks: set[asyncio.Task[None]] = set()

    def lost(_: "_Connection") -> None:
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
    log = _Log(expected)
    free: list[_Connection] = []
    waiting: collections.deque[tuple[bytes, float]] = collections.deque()
    open_connections = 0
    tasks: set[asyncio.Task[None]] = set()

    def answered(connection: _Connection) -> None:
        if waiting:
            connection.ask(*waiting.popleft())
        else:
            free.append(connection)

    def lost(connection: _Connection) -> None:
        nonlocal open_connections
        open_connections -= 1
        if connection in free:
            free.remove(connection)
        if waiting:
            start_another()

    async def connect() -> None:
        nonlocal open_connections
        try:
            connection = await _connect(url, log, answered, lost)
        except OSError:
            open_connections -= 1
            if waiting:
                _, due = waiting.popleft()
                log.note(due, monotonic(), LOST, answered_late=False)
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
            await asyncio.sleep(0)  # when many are overdue, let answers in between them
    while len(waiting) > len(tasks):  # the others will be sent by the connections that are being made
        log.note(waiting.pop()[1], monotonic(), UNSENT, answered_late=False)
    deadline = monotonic() + PATIENCE_SECONDS
    while (log.outstanding or tasks) and monotonic() < deadline:
        await asyncio.sleep(0.005)
    for _, due in waiting:
        log.note(due, monotonic(), UNSENT, answered_late=False)
    log.give_up()
    for connection in free:
        connection.close()
    return log.record()


def _arrivals(rate: float, seconds: float, seed: int, begin: float) -> Iterator[float]:
    random = np.random.default_rng(seed)
    gaps = random.exponential(1 / rate, size=int(rate * seconds + 6 * (rate * seconds) ** 0.5 + 10))
    times = begin + np.cumsum(gaps)
    return iter(times[times < begin + seconds].tolist())


@dataclass
class _Log:
    expected: bytes | None
    outstanding: set["_Connection"] = field(default_factory=set)
    due: "array[float]" = field(default_factory=lambda: array("d"))
    sent: "array[float]" = field(default_factory=lambda: array("d"))
    ended: "array[float]" = field(default_factory=lambda: array("d"))
    status: "array[int]" = field(default_factory=lambda: array("h"))
    without_retry_after: int = 0

    def note(self, due: float, sent: float, status: int, *, answered_late: bool) -> None:
        self.due.append(due)
        self.sent.append(sent)
        self.ended.append(monotonic())
        self.status.append(status)
        self.without_retry_after += answered_late

    def give_up(self) -> None:
        for connection in list(self.outstanding):
            self.outstanding.discard(connection)
            self.note(connection.due, connection.sent, UNANSWERED, answered_late=False)
            connection.close()

    def record(self) -> Record:
        return Record(
            np.array(self.due), np.array(self.sent), np.array(self.ended), np.array(self.status, dtype=np.int16),
            self.without_retry_after,
        )  # fmt: skip


class _Connection(asyncio.Protocol):
    """One connection, with at most one request on the way."""

    def __init__(
        self, log: _Log, answered: "Callable[[_Connection], None]", lost: "Callable[[_Connection], None]"
    ) -> None:
        self._log = log
        self._answered = answered
        self._lost = lost
        self._parser = httptools.HttpResponseParser(self)
        self._retry_after = False
        self._last = False
        self._body = b""
        self.closing = False
        self.due = self.sent = self.idle_since = 0.0

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self.sent = monotonic()
        self._log.outstanding.add(self)
        self._transport.write(request)

    def close(self) -> None:
        self.closing = True
        self._lost = _nothing
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.idle_since = monotonic()
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"retry-after":
            self._retry_after = True
        elif name == b"connection" and value == b"close":
            self._last = True

    def on_body(self, body: bytes) -> None:
        if self._log.expected is not None:
            self._body += body

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        unasked = self not in self._log.outstanding
        if unasked or (status == 200 and self._log.expected not in (None, self._body)):
            status = WRONG
        self._body = b""
        self._log.outstanding.discard(self)
        self._log.note(self.due, self.sent, status, answered_late=status in (429, 503) and not self._retry_after)
        self._retry_after = False
        if self._last:
            self.closing = True
            self._transport.close()
        else:
            self.idle_since = monotonic()
            self._answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        if self in self._log.outstanding:
            self._log.outstanding.discard(self)
            self._log.note(self.due, self.sent, LOST, answered_late=False)
        self._lost(self)


def _nothing(_: _Connection) -> None:
    pass


async def _connect(
    url: str, log: _Log, answered: Callable[[_Connection], None], lost: Callable[[_Connection], None]
) -> _Connection:
    address = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: _Connection(log, answered, lost), address.hostname or "localhost", address.port or 80
    )
    return connection
