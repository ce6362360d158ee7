"""What a connection does that uvicorn's own would not: each test shows what would be lost (docs/private_parts.md).

What a connection makes of odd requests is in `test_wire`, what it does under overload in `test_overloaded_service`.
"""

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from loadtest.trials.service import workers
from plan_recommender.serving import error_responses
from tests.serving.corpus import GOOD, MIB, usage
from tests.serving.faults import SHORT_SECONDS, fault
from tests.serving.wire import Connection, head, post
from tools.server import Server, serving

pytestmark = pytest.mark.slow

CLOSED_CONNECTIONS = 2_000
MAX_SECONDS = 30
"""For what happens soon, on a machine that is busy with other things too."""

KEEP_ALIVE_SECONDS = 5.0
"""How long BentoML has uvicorn keep an idle connection."""


@pytest.fixture(scope="module")
def impatient(trained_tag: str) -> Iterator[Server]:
    with serving(fault("impatient")) as running:
        yield running


@pytest.fixture(scope="module")
def holding(trained_tag: str) -> Iterator[Server]:
    with serving(fault("tells_what_it_holds")) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with closing(Connection(server.url)) as opened:
        opened.patience(MAX_SECONDS)
        yield opened


@pytest.mark.parametrize("before", [b"", head("GET", "/health")], ids=["the first", "the second"])
def test_a_head_that_does_not_end_is_refused_in_time(impatient: Server, before: bytes) -> None:
    with closing(Connection(impatient.url)) as client:
        client.patience(MAX_SECONDS)
        if before:
            assert client.answer_to(before)[0] == 200
        client.send(post()[:30])
        status, headers, body = client.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert json.loads(body) == json.loads(error_responses.slow_head(SHORT_SECONDS).body)
        assert client.rest() == b""


def test_a_client_that_asks_for_nothing_is_closed_in_silence(impatient: Server) -> None:
    with closing(Connection(impatient.url)) as client:
        client.patience(MAX_SECONDS)
        assert client.rest() == b""


def test_a_client_that_does_not_read_is_cut_off(impatient: Server) -> None:
    with closing(deaf_client(impatient)) as client:
        (worker,) = workers(impatient)

        def connected() -> bool:
            return any(c.raddr and c.raddr[1] == client.getsockname()[1] for c in worker.net_connections("tcp"))

        assert holds_soon(connected)  # before it sends, because a slow look would come when it is cut off already
        client.sendall(head("GET", "/docs.json") * 100)
        assert holds_soon(lambda: not connected())


def test_of_answers_that_a_client_does_not_read_few_are_made(holding: Server) -> None:
    """Otherwise one connection could hold a thousand of them, some sixty megabytes."""
    with closing(deaf_client(holding)) as client:
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            client.sendall(head("GET", "/docs.json", "x-padding: " + "a" * 20_000) * 1000)
    assert held(holding, "answers") < MIB


def test_a_body_behind_other_requests_stays_with_the_client_until_its_turn(holding: Server) -> None:
    """Otherwise every answer lets in more of it, on each of its connections, and nothing counts those bytes."""
    batch = json.dumps({"rows": [GOOD] * 10_000}).encode().ljust(5 * MIB)
    with closing(Connection(holding.url)) as client:
        client.patience(MAX_SECONDS)
        client.send(post("/explain") * 60)
        client.send(post("/predict_batch", body=batch))
        assert {client.answer()[0] for _ in range(61)} == {200}
    assert held(holding, "bodies") < MIB


def test_connections_that_have_ended_leave_nothing(server: Server) -> None:
    (worker,) = workers(server)

    def ask_on_new_connections(number: int) -> int:
        for _ in range(number):
            with closing(Connection(server.url)) as client:
                assert client.answer_to(head("GET", "/health"))[0] == 200
        return int(worker.memory_info().rss)

    before = ask_on_new_connections(CLOSED_CONNECTIONS)
    assert (ask_on_new_connections(CLOSED_CONNECTIONS) - before) / CLOSED_CONNECTIONS < 1000, "bytes a connection"


def test_a_request_that_has_begun_is_not_cut_off_as_an_idle_connection_is(connection: Connection) -> None:
    assert connection.answer_to(post())[0] == 200
    connection.send(post()[: -len(usage())])
    time.sleep(KEEP_ALIVE_SECONDS + 1)
    connection.send(usage())
    assert connection.answer()[0] == 200


def test_after_an_answer_that_ends_the_connection_nothing_is_taken_for_a_request(connection: Connection) -> None:
    connection.send(head("POST", "/predict", "content-type: application/json", f"content-length: {MIB + 1}"))
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (413, "close")
    connection.send(b" " * (MIB + 1) + post())
    assert connection.rest() == b""


def test_a_client_that_is_refused_while_it_sends_gets_to_read_why(connection: Connection) -> None:
    """Closed at once, its system would find the connection broken and throw the answer away."""
    connection.send(head("POST", "/predict", "content-type: application/json", f"content-length: {4 * MIB}"))
    connection.send(b" " * (4 * MIB))
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (413, "close")


def test_who_waits_to_be_asked_for_a_body_that_nobody_reads_is_told_that_the_connection_ends(
    connection: Connection,
) -> None:
    """The client may leave the body out, and its next request would be taken for it."""
    status, headers, _ = connection.answer_to(head("GET", "/livez", "content-length: 10", "expect: 100-continue"))
    assert (status, headers["connection"]) == (200, "close")
    assert connection.rest() == b""


def test_who_sends_a_body_without_waiting_to_be_asked_keeps_the_connection(connection: Connection) -> None:
    for _ in range(2):
        connection.send(post("/predict", "expect: 100-continue"))
        statuses = [connection.answer()[0]]
        if statuses == [100]:  # it is asked for if the head came alone
            statuses.append(connection.answer()[0])
        assert statuses[-1] == 200


def test_after_connect_the_connection_ends(connection: Connection) -> None:
    """What follows is meant for a tunnel, and would wait for its answer in vain."""
    status, headers, _ = connection.answer_to(head("CONNECT", "/predict"))
    assert (status, headers["connection"]) == (405, "close")
    assert connection.rest() == b""


def test_what_is_not_http_is_counted(server: Server) -> None:
    before = requests_of_no_route(server, 400)
    with closing(Connection(server.url)) as client:
        client.send(b"\x16\x03\x01")
        assert client.answer()[0] == 400
    assert holds_soon(lambda: requests_of_no_route(server, 400) == before + 1)


def test_a_prediction_takes_one_write_and_no_timer(trained_tag: str) -> None:
    """A second write, or a timer for the body, takes longer than the answer."""
    with serving(fault("counts_writes")) as counting:
        with closing(Connection(counting.url)) as client:
            for _ in range(10):
                assert client.answer_to(post())[0] == 200
        assert holds_soon(lambda: "10 writes, 0 timers\n" in counting.log.read_text()), counting.log.read_text()


def test_a_refusal_under_overload_holds_no_body(trained_tag: str) -> None:
    """The rest of each would otherwise wait with it."""
    with serving(fault("counts_refusals")) as refusing, closing(Connection(refusing.url)) as client:
        for _ in range(3):
            client.send(post("/predict_batch", body=b" " * MIB))
            assert client.answer()[0] == 503
        log = refusing.log.read_text()
    assert log.count("refused, holding 0 bytes\n") == log.count("refused, holding") == 3
    assert "a body is looked at" not in log


def test_a_client_that_owes_its_body_does_not_keep_the_service_from_ending(trained_tag: str) -> None:
    with serving(fault("owed_for_ever")) as ending, closing(Connection(ending.url)) as client:
        client.send(post("/predict", "expect: 100-continue")[: -len(usage())])
        assert client.answer()[0] == 100  # its body is waited for
        ending.process.send_signal(signal.SIGTERM)
        assert ending.process.wait(MAX_SECONDS) == 0


def deaf_client(server: Server) -> socket.socket:
    """Connect as a client of which the system holds few bytes that it does not read."""
    address = urlsplit(server.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((str(address.hostname), int(address.port or 0)))
    return client


def held(server: Server, what: str) -> int:
    return max(map(int, re.findall(rf"^holds (\d+) bytes of {what}$", server.log.read_text(), re.MULTILINE)), default=0)


def requests_of_no_route(server: Server, status: int) -> float:
    series = re.escape(f'plan_recommender_requests_total{{route="none",status="{status}"}} ')
    found = re.search(f"^{series}(.*)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def holds_soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + MAX_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
