"""The service in this process behind our own connection and behind uvicorn's, and a client that sends packets to both.

Servers and client share one event loop, in a thread of its own, and speak over real sockets. The client gives the loop
two turns behind each packet, in which a server reads it, so that bytes arrive in the pieces in which they are sent, and
a case takes a fraction of a millisecond.
"""

import asyncio
import itertools
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar, cast

import uvloop
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_T = TypeVar("_T")
Addresses = Sequence[tuple[str, int]]

_SOCKETS: Final = 16
"""Sockets that each server listens on. The system keeps the pair of ports of a closed connection for a minute, and with
one port on the server's side a long run would have none left."""

QUIET_SECONDS: Final = 0.25
"""If nothing comes for so long, a server waits for more bytes. The servers compute in the client's own loop, so a busy
machine makes them no slower than this clock."""

CLOSE_SECONDS: Final = 4.0
"""How long a server that has said `connection: close` may take to do so, and one whose client sends no more."""

AFTER_ID: Final = b"the-request-afterwards"
AFTER: Final = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nx-request-id: " + AFTER_ID + b"\r\n\r\n"
"""A valid request, sent behind every case: whether it is answered tells whether the connection is still usable."""

KEPT, CLOSED, WAITS, STUCK = "kept", "closed", "waits", "stuck"
"""Fates of a connection: the request afterwards was answered; the server closed it; it waits for more bytes, and closes
when the client says that none come; or not even then."""


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    """In the order in which they came, names in lower case."""
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Give the last header of this name."""
        return dict(self.headers).get(name)

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends."""
        return self.header(b"connection") == b"close"


@dataclass(frozen=True)
class Outcome:
    """What became of some bytes."""

    answers: tuple[Answer, ...]
    """In order, without `100 Continue` and without the one to `AFTER`."""
    fate: str
    """Of the connection."""
    continued: int = 0
    """How often the client was told to go on."""
    rest: bytes = b""
    """What cannot be read as an answer."""

    @property
    def statuses(self) -> tuple[int, ...]:
        """Those of the answers."""
        return tuple(answer.status for answer in self.answers)


@dataclass(frozen=True)
class Ways:
    """Where both servers listen, and how to run something in their event loop."""

    own: Addresses
    uvicorns: Addresses
    run: Callable[[Awaitable[Any]], Any]


def application() -> ASGIApp:
    """Make the service's application, in this process; batches that wait are not refused."""
    os.environ.setdefault("PLAN_RECOMMENDER_MAX_BATCHES", "1000")
    from service import PlanRecommender  # here, because it reads the environment

    return cast(ASGIApp, cast(Any, PlanRecommender).to_asgi())


@contextmanager
def both_ways(application: ASGIApp, own: type[asyncio.Protocol] | None = None) -> Iterator[Ways]:
    """Serve an application of this process until the block ends, on the connections of both kinds.

    Args:
        application: the service's.
        own: the class of our own connections; None: the one that is installed as uvicorn's `auto`.
    """
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="both-ways")
    thread.start()

    def run(what: Awaitable[_T]) -> _T:
        return asyncio.run_coroutine_threadsafe(_awaited(what), loop).result()

    try:
        stack = _serving(application, own or "auto")
        addresses = run(stack.__aenter__())
        try:
            yield Ways(*addresses, run)
        finally:
            run(stack.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def exchange(
    addresses: Addresses, packets: Sequence[bytes], pauses: Sequence[float] = (), after: bytes = AFTER
) -> Outcome:
    """Send packets and a request afterwards, and tell what became of them.

    Args:
        addresses: of one server.
        packets: the bytes, in the pieces in which they arrive.
        pauses: how long nothing may come behind each packet until the next one is sent, unless there are as many
            answers as packets before (s).
        after: what is sent behind them.
    """
    loop = asyncio.get_running_loop()
    address = addresses[next(_turns) % len(addresses)]
    transport, client = await loop.create_connection(_Client, *address)
    try:
        for number, packet in enumerate((*packets, after), start=1):
            if client.closed:
                break
            transport.write(packet)
            await asyncio.sleep(0)  # it leaves this end
            await asyncio.sleep(0)  # it is read at the other
            if number <= len(pauses):
                await client.answered(number, pauses[number - 1])
        fate = await client.settled()
        if not client.closed:
            transport.write_eof()
            if not await client.until_closed(CLOSE_SECONDS):
                fate = STUCK
    finally:
        transport.abort()
    return _outcome(bytes(client.came), fate)


def answers_of(stream: bytes) -> tuple[list[Answer], bytes]:
    """Read answers, interim ones included; returns them and what cannot be read as one.

    Whether an answer is one to HEAD, without the body that it describes, is told by what follows: the next answer, or
    nothing.
    """
    answers = []
    while stream:
        head, found, rest = stream.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        if not found or not line.startswith(b"HTTP/1.1 ") or not line[9:12].isdigit():
            break
        headers = tuple((name.lower(), value) for name, _, value in (each.partition(b": ") for each in lines))
        framing = dict(headers)
        if not rest or rest.startswith(b"HTTP/1.1 "):
            body = b""
        elif framing.get(b"transfer-encoding") == b"chunked":
            chunks = _chunks_of(rest)
            if chunks is None:
                break
            body, rest = chunks
        else:
            length = int(framing.get(b"content-length", b"0"))
            if length > len(rest):
                break
            body, rest = rest[:length], rest[length:]
        answers.append(Answer(int(line[9:12]), headers, body))
        stream = rest
    return answers, stream


_turns = itertools.count()


async def _awaited(what: Awaitable[_T]) -> _T:
    return await what


@asynccontextmanager
async def _serving(
    application: ASGIApp, own: type[asyncio.Protocol] | Literal["auto"]
) -> AsyncIterator[tuple[Addresses, Addresses]]:
    servers, tasks, addresses = [], [], []
    try:
        for http, lifespan in ((own, "on"), (HttpToolsProtocol, "off")):
            config = Config(
                application, http=cast(Any, http), ws="none", lifespan=cast(Any, lifespan), log_config=None,
                log_level="critical", access_log=False,
            )  # fmt: skip
            listening = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(_SOCKETS)]
            server = Server(config)
            servers.append(server)
            tasks.append(asyncio.create_task(server.serve(sockets=listening)))
            while not server.started:
                if tasks[-1].done():
                    await tasks[-1]
                await asyncio.sleep(0.01)
            addresses.append([listener.getsockname() for listener in listening])
        yield addresses[0], addresses[1]
    finally:
        for server, task in reversed(list(zip(servers, tasks, strict=True))):  # the first one has the lifespan
            server.should_exit = True
            await task


@dataclass(eq=False)
class _Client(asyncio.Protocol):
    """The client's end of a connection."""

    came: bytearray = field(default_factory=bytearray)
    closed: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def data_received(self, data: bytes) -> None:
        self.came += data
        self._changed.set()

    def eof_received(self) -> None:
        self.closed = True
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._changed.set()

    async def answered(self, number: int, seconds: float) -> None:
        """Wait until so many answers have come, or nothing has for so long, or the connection has ended."""
        while not self.closed and sum(a.status != 100 for a in answers_of(bytes(self.came))[0]) < number:
            if not await self._changes(seconds):
                break

    async def settled(self) -> str:
        """Wait until the connection has a fate."""
        while True:
            answers, rest = answers_of(bytes(self.came))
            if self.closed:
                return CLOSED
            last = answers[-1] if answers else None
            closes = last is not None and last.closes
            if last is not None and not rest and not closes and _is_to_after(last):
                return KEPT
            if not await self._changes(CLOSE_SECONDS if closes or rest else QUIET_SECONDS):
                return WAITS

    async def until_closed(self, seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        while not self.closed:
            if not await self._changes(deadline - asyncio.get_running_loop().time()):
                return self.closed
        return True

    async def _changes(self, seconds: float) -> bool:
        self._changed.clear()
        if self.closed:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True


def _outcome(stream: bytes, fate: str) -> Outcome:
    answers, rest = answers_of(stream)
    final = [answer for answer in answers if answer.status != 100]
    if fate == KEPT:
        final = [answer for answer in final if not _is_to_after(answer)]
    return Outcome(tuple(final), fate, len(answers) - len(final) - (fate == KEPT), rest)


def _is_to_after(answer: Answer) -> bool:
    """Tell the answer to `AFTER` from one to a request that `AFTER` has become a part of."""
    return answer.header(b"x-request-id") == AFTER_ID and answer.body == b'{"live":true}'


def _chunks_of(stream: bytes) -> tuple[bytes, bytes] | None:
    """Read a body in chunks without extensions or trailers; None: it is not complete."""
    parts = []
    while True:
        size, found, stream = stream.partition(b"\r\n")
        if not found or len(stream) < (length := int(size, 16)) + 2:
            return None
        parts.append(stream[:length])
        stream = stream[length + 2 :]
        if not length:
            return b"".join(parts), stream
