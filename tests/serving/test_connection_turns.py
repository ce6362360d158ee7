"""What a connection does from one turn of the event loop to the next, in this process: a real loop and real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from plan_recommender.serving.access_log import AccessLog
from plan_recommender.serving.exchange import send_answer, take_exchange
from plan_recommender.serving.limits import MAX_WAITING
from plan_recommender.serving.overload import Queue
from plan_recommender.serving.patches import connection, cycle
from plan_recommender.serving.patches.connection import Connection
from plan_recommender.serving.patches.worker import Worker
from tests.serving.wire import head

REQUEST = head("GET", "/")
SECONDS = 10


class Transport:
    """A transport that notes what happens on it."""

    def __init__(self, transport: asyncio.Transport, happened: list[str]) -> None:
        self._transport = transport
        self._happened = happened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._happened.append("written")
        self._transport.write(data)


@dataclass
class Client:
    """A client, and the server's end of its connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: Connection

    async def received(self) -> bytes:
        """Read an answer, or what comes until the connection ends."""
        try:
            return await self.reader.readuntil(b"ok")
        except asyncio.IncompleteReadError as ended:
            return ended.partial
        except ConnectionResetError:
            return b""


@asynccontextmanager
async def connected(number: int, happened: list[str], before_answers: list[Callable[[], object]]) -> AsyncIterator[Any]:
    """Give so many clients of an application that answers each request at once, by one after the other of these."""
    loop, servers, clients = asyncio.get_running_loop(), list[Connection](), list[Client]()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = take_exchange(scope)
        if before_answers:
            before_answers.pop(0)()
        happened.append("answered")
        await send_answer(exchange, send, 200, [(b"content-length", b"2")], b"ok")

    config = Config(application, log_config=None)
    config.load()

    def accept() -> Connection:
        servers.append(Connection(config, ServerState(), {}, loop))
        return servers[-1]

    async with await loop.create_server(accept, "127.0.0.1", 0) as listening:
        try:
            for count in range(number):
                reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
                while len(servers) == count:
                    await asyncio.sleep(0)
                clients.append(Client(reader, writer, servers[count]))
                noting = Transport(servers[count].transport, happened)
                servers[count].transport = noting  # type: ignore[assignment]  # it has what a transport has
            yield clients
        finally:
            for client in clients:
                client.writer.close()


def run(
    monkeypatch: pytest.MonkeyPatch,
    test: Callable[[list[Client]], Awaitable[list[bytes]]],
    happened: list[str] | None = None,
    before_answers: list[Callable[[], object]] | None = None,
) -> list[bytes]:
    """Run a test with two clients, whose requests are all taken on; returns what they received."""
    worker = Worker(lambda scope: None, Queue(MAX_WAITING), AccessLog(0), shared_socket=False)
    monkeypatch.setattr(Connection, "worker", worker, raising=False)

    async def with_clients() -> list[bytes]:
        noted = [] if happened is None else happened
        first = [] if before_answers is None else before_answers
        async with asyncio.timeout(SECONDS), connected(2, noted, first) as clients:
            return await test(clients)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(with_clients())


@pytest.mark.parametrize(("linger", "answered"), [(connection._LINGER_SECONDS, True), (0.0, False)])
def test_a_request_that_is_on_its_way_when_the_server_stops_is_answered(
    monkeypatch: pytest.MonkeyPatch, linger: float, answered: bool
) -> None:
    """The second case is the control: a connection that is closed at once loses the request."""
    monkeypatch.setattr(connection, "_LINGER_SECONDS", linger)

    async def test(clients: list[Client]) -> list[bytes]:
        client = clients[0]
        client.server.shutdown()
        await asyncio.sleep(0.05)
        client.writer.write(REQUEST)
        return [await client.received()]

    (received,) = run(monkeypatch, test)
    assert received.startswith(b"HTTP/1.1 200 ") is answered


async def ask_in_one_turn(clients: list[Client]) -> list[bytes]:
    for client in clients:
        client.server.data_received(REQUEST)
    return [await client.received() for client in clients]


def test_answers_of_one_turn_are_written_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    received = run(monkeypatch, ask_in_one_turn, happened)
    assert [answer.endswith(b"ok") for answer in received] == [True, True]
    assert happened == ["answered", "answered", "written", "written"]


@pytest.mark.parametrize("guarded", [True, False])
def test_a_connection_that_is_lost_costs_the_others_no_answer(monkeypatch: pytest.MonkeyPatch, guarded: bool) -> None:
    """The second case is the control: writing to a connection that is lost raises an error."""
    lost: list[Callable[[], object]] = []

    async def test(clients: list[Client]) -> list[bytes]:
        lost.append(clients[0].server.transport.abort)
        if not guarded:
            for client in clients:
                monkeypatch.setattr(client.server.transport, "is_closing", lambda: False, raising=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                return await ask_in_one_turn(clients)
        return []

    received = run(monkeypatch, test, before_answers=lost)
    cycle._outbox.clear()
    assert (len(received) == 2 and received[1].endswith(b"ok")) is guarded
