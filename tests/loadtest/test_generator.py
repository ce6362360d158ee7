"""The load generator tells what happened, held against a server whose faults are known."""

import asyncio
import itertools
import threading
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest

from loadtest import generator
from loadtest.generator import Event, closed_loop, open_loop, post
from loadtest.record import LOST, UNANSWERED, UNSENT, WRONG, Record

pytestmark = pytest.mark.slow

REQUEST = post("/predict", {"calls": 1})
RIGHT, OTHER = b'{"answer":1}', b'{"answer":2}'
EVERY = range(10**9)
STALL_SECONDS = 0.6
STALL_SHOWS_MS = 300
RATE = 300.0
SECONDS = 2.0
BRIEFLY = 0.2


@dataclass
class Faults:
    """Which requests, counted from 0, meet with which fault."""

    stalls: Container[int] = ()
    drops: Container[int] = ()
    silence: Container[int] = ()
    errors: Container[int] = ()
    closes: Container[int] = ()
    number: Iterator[int] = field(default_factory=itertools.count)


class FaultyConnection(asyncio.Protocol):
    """Answers at once, and always the same, but for the faults."""

    def __init__(self, faults: Faults, transports: set[asyncio.Transport]) -> None:
        self._faults = faults
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        number = next(self._faults.number)
        if number in self._faults.stalls:
            time.sleep(STALL_SECONDS)  # on the event loop: nobody else is answered meanwhile
        if number in self._faults.drops:
            self._transport.abort()
        elif number not in self._faults.silence:
            body = OTHER if number in self._faults.errors else RIGHT
            close = b"connection: close\r\n" if number in self._faults.closes else b""
            self._transport.write(b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (close, len(body), body))


@contextmanager
def server(faults: Faults) -> Iterator[str]:
    """Serve in a thread; gives the URL."""
    loop = asyncio.new_event_loop()
    transports: set[asyncio.Transport] = set()
    listening = loop.run_until_complete(
        loop.create_server(lambda: FaultyConnection(faults, transports), "127.0.0.1", 0)
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        for transport in list(transports):
            transport.abort()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


def both_loops(faults: Faults, expected: bytes | None = None) -> Iterator[Record]:
    """Ask in a closed and then in an open loop; the requests are counted anew."""
    with server(faults) as url:
        yield closed_loop(url, [REQUEST], 4, BRIEFLY, expected=expected)
        faults.number = itertools.count()
        yield open_loop(url, [REQUEST], RATE, BRIEFLY, expected=expected)


def test_an_open_loop_counts_from_when_a_request_was_due() -> None:
    """Of some 600 requests on one connection, one is stalled: those due meanwhile, a quarter of all, have to wait."""
    with server(Faults(stalls=[100])) as url:
        record = open_loop(url, [REQUEST], RATE, SECONDS, connections=1)
    assert record.count(200, UNSENT) == len(record) < record.count(200) + 10
    assert record.latency_ms(99, 200) >= STALL_SHOWS_MS
    assert record.lag_ms(99) >= STALL_SHOWS_MS
    assert record.latency_ms(99, 200, from_sent=True) < STALL_SHOWS_MS  # what coordinated omission would report


def test_without_a_stall_an_open_loop_shows_none() -> None:
    """A control of the test above."""
    with server(Faults()) as url:
        record = open_loop(url, [REQUEST], RATE, SECONDS, connections=1)
    assert record.counts() == {200: len(record)}
    assert record.latency_ms(99, 200) < STALL_SHOWS_MS


def test_a_closed_loop_hides_the_same_stall() -> None:
    """A control, too: it is the open loop that shows it."""
    with server(Faults(stalls=[100])) as url:
        record = closed_loop(url, [REQUEST], 1, SECONDS)
    assert len(record) > 200
    assert record.latency_ms(99, 200) < STALL_SHOWS_MS
    assert record.latency_ms(100, 200) >= STALL_SHOWS_MS


def test_an_open_loop_sends_at_the_times_of_a_poisson_process() -> None:
    with server(Faults()) as url:
        record = open_loop(url, [REQUEST], RATE, SECONDS)
    gaps = np.diff(np.sort(record.due))
    assert abs(len(record) - RATE * SECONDS) < 5 * (RATE * SECONDS) ** 0.5
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize(("faults", "lost"), [(Faults(), 0), (Faults(drops=[10, 50, 51]), 3)], ids=["control", "drops"])
def test_a_closed_loop_counts_lost_connections_and_goes_on(connections: int, faults: Faults, lost: int) -> None:
    faults.number = itertools.count()
    with server(faults) as url:
        record = closed_loop(url, [REQUEST], connections, BRIEFLY)
    assert record.count(LOST) == lost
    assert record.count(200) == len(record) - lost > 60


@pytest.mark.parametrize("connections", [1, 4])
def test_a_closed_loop_ends_in_time_though_every_connection_is_closed(connections: int) -> None:
    with server(Faults(closes=EVERY)) as url:
        start = time.monotonic()
        record = closed_loop(url, [REQUEST], connections, BRIEFLY)
    assert time.monotonic() - start < generator.PATIENCE_SECONDS / 2
    assert record.counts() == {200: len(record)}
    assert len(record) > 20


def test_a_request_without_an_answer_is_counted_when_patience_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "PATIENCE_SECONDS", 1.0)
    for record in both_loops(Faults(silence=range(10, 12))):
        assert record.counts() == {200: len(record) - 2, UNANSWERED: 2}


def test_the_last_requests_are_sent_though_their_connections_are_still_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a server that never answers, every request needs a connection of its own, the last one too."""
    monkeypatch.setattr(generator, "PATIENCE_SECONDS", 1.0)
    with server(Faults(silence=EVERY)) as url:
        record = open_loop(url, [REQUEST], RATE, BRIEFLY)
    assert record.counts() == {UNANSWERED: len(record)}


def test_requests_for_which_there_is_no_connection_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control of the test above."""
    monkeypatch.setattr(generator, "PATIENCE_SECONDS", 0.2)
    with server(Faults(silence=EVERY)) as url:
        record = open_loop(url, [REQUEST], RATE, BRIEFLY, connections=3)
    assert record.counts() == {UNANSWERED: 3, UNSENT: len(record) - 3}


@pytest.mark.parametrize(("expected", "wrong"), [(RIGHT, 2), (None, 0), (OTHER, None)], ids=["right", "any", "other"])
def test_answers_with_another_body_than_the_expected_one_are_counted(expected: bytes | None, wrong: int | None) -> None:
    for record in both_loops(Faults(errors=range(10, 12)), expected):
        assert record.count(WRONG) == (len(record) - 2 if wrong is None else wrong)
        assert record.count(WRONG, 200) == len(record)


def test_a_server_that_is_not_there_is_nothing_but_lost_requests() -> None:
    with server(Faults()) as url:
        pass
    for record in (closed_loop(url, [REQUEST], 2, BRIEFLY), open_loop(url, [REQUEST], RATE, BRIEFLY)):
        assert len(record) > 0
        assert record.count(200) == 0
        assert record.count(LOST) > 0


def test_things_to_do_are_done_on_the_way() -> None:
    moments: list[float] = []
    event = Event(BRIEFLY, lambda: moments.append(time.monotonic()))
    with server(Faults()) as url:  # for so long that an event which a busy machine delays still comes on the way
        closed = closed_loop(url, [REQUEST], 1, 8 * BRIEFLY, at=[event])
        opened = open_loop(url, [REQUEST], RATE, 8 * BRIEFLY, at=[event])
    for moment, record in zip(moments, (closed, opened), strict=True):
        assert record.due.min() < moment < record.due.max()
