"""A connection that is idle when the server stops, in this process: on a real event loop and a real socket."""

import asyncio

import pytest
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from plan_recommender.serving.exchange import send_answer, take_exchange
from plan_recommender.serving.limits import MAX_WAITING
from plan_recommender.serving.overload import Queue
from plan_recommender.serving.patches import connection
from plan_recommender.serving.patches.connection import Connection, Worker
from tests.serving.wire import head

SECONDS = 10


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send_answer(take_exchange(scope), send, 200, [(b"content-length", b"2")], b"ok")


async def ask_after_the_stop_began(pause: float) -> bytes:
    """Connect, let the server stop, and ask after a pause (seconds); returns all that comes."""
    loop, config, servers = asyncio.get_running_loop(), Config(answer, log_config=None), list[Connection]()
    config.load()

    def accept() -> Connection:
        servers.append(Connection(config, ServerState(), {}, loop))
        return servers[-1]

    async with asyncio.timeout(SECONDS), await loop.create_server(accept, "127.0.0.1", 0) as listening:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        while not servers:
            await asyncio.sleep(0)
        servers[0].shutdown()
        await asyncio.sleep(pause)
        writer.write(head("GET", "/"))
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@pytest.mark.parametrize(("linger", "answered"), [(connection._LINGER_SECONDS, True), (0.0, False)])
def test_a_request_that_is_on_its_way_when_the_server_stops_is_answered(
    monkeypatch: pytest.MonkeyPatch, linger: float, answered: bool
) -> None:
    """The second case is the control: a connection that is closed at once loses the request."""
    monkeypatch.setattr(connection, "_LINGER_SECONDS", linger)
    worker = Worker(lambda scope: None, Queue(MAX_WAITING), shared_socket=False)
    monkeypatch.setattr(Connection, "worker", worker, raising=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received = runner.run(ask_after_the_stop_began(pause=0.05))
    assert received.startswith(b"HTTP/1.1 200 ") is answered
    assert (b"connection: close" in received) is answered
