"""How a connection ends when the server stops, and with TLS: in this process, on a real loop and real sockets."""

import asyncio
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from uvicorn import Config
from uvicorn.server import ServerState

from plan_recommender.serving import connection, limits
from plan_recommender.serving.bentoml_routes import BentoRoutes
from plan_recommender.serving.connection import Connection
from plan_recommender.serving.core import Core
from plan_recommender.serving.exchange import Worker
from plan_recommender.serving.messages import Request, Response
from plan_recommender.serving.overload import Admission
from plan_recommender.serving.routes import Verdict
from tests.serving import in_memory
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


async def received(act: Callable[[Connection, asyncio.StreamWriter], Any], certificate: Path | None = None) -> bytes:
    """Give what a client receives in a connection with which this is done, until its end; with TLS if asked for."""
    served = asked = None
    if certificate is not None:
        served, asked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=certificate)
        served.load_cert_chain(certificate)
    loop, servers = asyncio.get_running_loop(), list[Connection]()
    config = Config("none", log_config=None)

    def accept() -> Connection:
        servers.append(Connection(config, ServerState(), {}, loop))
        return servers[-1]

    async with asyncio.timeout(SECONDS), await loop.create_server(accept, "127.0.0.1", 0, ssl=served) as listening:
        address, name = listening.sockets[0].getsockname(), None if asked is None else "localhost"
        reader, writer = await asyncio.open_connection(*address, ssl=asked, server_hostname=name)
        while not servers:
            await asyncio.sleep(0)
        await act(servers[0], writer)
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture(autouse=True)
def greeting(monkeypatch: pytest.MonkeyPatch) -> None:
    bentoml = BentoRoutes(lambda *_: asyncio.sleep(0), {})
    monkeypatch.setattr(Connection, "worker", Worker(Greeting(), bentoml, shared_socket=False), raising=False)


@pytest.mark.parametrize(("linger", "answered"), [(connection._LINGER_SECONDS, True), (0.0, False)])
def test_a_request_that_is_on_its_way_when_the_server_stops_is_answered(
    monkeypatch: pytest.MonkeyPatch, linger: float, answered: bool
) -> None:
    """The second case is the control: a connection that is closed at once loses the request."""
    monkeypatch.setattr(connection, "_LINGER_SECONDS", linger)

    async def stop_and_ask(server: Connection, writer: asyncio.StreamWriter) -> None:
        server.shutdown()
        await asyncio.sleep(0.05)
        writer.write(head("GET", "/", "connection: close"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(received(stop_and_ask)).startswith(b"HTTP/1.1 200 ") is answered


@pytest.mark.parametrize("closes", [True, False])
def test_with_tls_a_connection_ends_at_once_behind_its_last_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closes: bool
) -> None:
    """The second case is the control: with TLS no end is closed by itself, so the client would wait for a second."""
    if not closes:
        monkeypatch.setattr(Connection, "_close_where_one_end_cannot", lambda self: None)
    certificate = certified(tmp_path / "localhost.pem")

    async def ask(server: Connection, writer: asyncio.StreamWriter) -> None:
        writer.write(head("GET", "/", "connection: close"))

    start = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(received(ask, certificate)).endswith(b"ok")
    assert (time.perf_counter() - start < connection._DISCARD_SECONDS) is closes


@pytest.mark.parametrize(("seconds", "kept"), [(5.0, True), (0.2, False)])
def test_a_body_that_nobody_wants_may_come_for_as_long_as_one_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, seconds: float, kept: bool
) -> None:
    """The second case is the control: it takes longer than any body may."""
    monkeypatch.setattr(connection, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(limits, "BODY_SECONDS", seconds)

    async def send_slowly(server: Connection, writer: asyncio.StreamWriter) -> None:
        server._keep_alive_seconds = 0.1
        writer.write(head("POST", "/", "content-length: 10"))
        for _ in range(10):
            await asyncio.sleep(0.05)
            if not writer.transport.is_closing():
                writer.write(b"a")
        if not writer.transport.is_closing():
            writer.write(head("GET", "/", "connection: close"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(received(send_slowly)).count(b"HTTP/1.1 200 ")
    assert (answers == 2) is kept


def test_of_many_requests_sent_together_one_is_answered_in_each_turn_of_the_event_loop() -> None:
    async def answered_by_turn() -> list[int]:
        loop = asyncio.get_running_loop()
        served = Connection(Config("none", log_config=None), ServerState(), {}, loop)
        transport = in_memory.Transport(loop, served)
        served.connection_made(transport)
        served.data_received(head("GET", "/") * 20)
        counts = [0]
        while counts[-1] < 20:
            counts.append(transport.written.count(b"HTTP/1.1 200 "))
            await asyncio.sleep(0)
        transport.close()
        await asyncio.sleep(0)
        return counts

    counts = asyncio.run(answered_by_turn())
    assert max(after - before for before, after in pairwise(counts)) == 1


def test_a_fault_in_what_the_parser_calls_is_logged_and_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Greeting, request: Request) -> Verdict:
        raise ZeroDivisionError

    monkeypatch.setattr(Greeting, "decide", fail)
    told = list[dict[str, Any]]()

    async def ask(server: Connection, writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        writer.write(head("GET", "/"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(received(ask)) == b""
    assert [type(context["exception"].__context__) for context in told] == [ZeroDivisionError]


def certified(file: Path) -> Path:
    """Write a key and a certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file
