"""What a connection does when the server stops: in this process, on a real loop and real sockets."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

from plan_recommender.serving import connection
from plan_recommender.serving.bentoml_routes import BentoRoutes
from plan_recommender.serving.connection import Connection
from plan_recommender.serving.core import Core
from plan_recommender.serving.exchange import Worker
from plan_recommender.serving.messages import Request, Response
from plan_recommender.serving.overload import Admission
from plan_recommender.serving.routes import Verdict
from tests.serving.wire import head

SECONDS = 10


class Greeting(Core):
    """Answers every request at once."""

    def __init__(self) -> None:
        self.admission = Admission(1, 1, 0.0)

    def decide(self, request: Request) -> Verdict:
        return Response(200, b"content-length: 2\r\n", b"ok")

    def finished(self, verdict: Verdict, request: Request, response: Response) -> Response:
        return response


async def told_to_stop(act: Callable[[Connection, asyncio.StreamWriter], Any]) -> bytes:
    """Give what a client receives in a connection with which this is done."""
    loop, servers = asyncio.get_running_loop(), list[Connection]()
    config = Config("none", log_config=None)

    def accept() -> Connection:
        servers.append(Connection(config, ServerState(), {}, loop))
        return servers[-1]

    async with asyncio.timeout(SECONDS), await loop.create_server(accept, "127.0.0.1", 0) as listening:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        while not servers:
            await asyncio.sleep(0)
        await act(servers[0], writer)
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
    bentoml = BentoRoutes(lambda *_: asyncio.sleep(0), {})
    monkeypatch.setattr(Connection, "worker", Worker(Greeting(), bentoml, shared_socket=False), raising=False)
    monkeypatch.setattr(connection, "_LINGER_SECONDS", linger)

    async def stop_and_ask(server: Connection, writer: asyncio.StreamWriter) -> None:
        server.shutdown()
        await asyncio.sleep(0.05)
        writer.write(head("GET", "/", "connection: close"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received = runner.run(told_to_stop(stop_and_ask))
    assert received.startswith(b"HTTP/1.1 200 ") is answered
