"""What clients meet when a worker refuses for overload: here it always finds that too many requests wait."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from plan_recommender import refusals
from plan_recommender.admission import REFUSAL_PAUSE_SECONDS
from tests.service.corpus import MIB, usage
from tests.service.test_trials import spoil
from tests.service.wire import CHUNKED, Connection, head, post
from tools.serving import Server, serving

OVERLOADED = """
from plan_recommender import admission
admission.Queue.admits = lambda self: False
"""
LARGE = b" " * (5 * MIB)


@pytest.fixture(scope="module")
def server(trained_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("overloaded")
    spoil(folder, OVERLOADED)
    with serving(cwd=folder) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with closing(Connection(server.url)) as opened:
        yield opened


def assert_refused(connection: Connection) -> None:
    status, headers, body = connection.answer()
    assert (status, body) == (503, refusals.overloaded().body)
    assert {name: headers[name] for name in ("content-type", "retry-after", "content-length")} == {
        "content-type": "application/json", "retry-after": "1", "content-length": str(len(body)),
    }  # fmt: skip
    assert "connection" not in headers
    assert json.loads(body)["error"] == "The service is overloaded; try again later."


@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/explain"])
def test_what_takes_work_is_refused_late_and_the_connection_lives(connection: Connection, path: str) -> None:
    for _ in range(3):
        start = time.perf_counter()
        connection.send(post(path))
        assert_refused(connection)
        assert time.perf_counter() - start >= 0.8 * REFUSAL_PAUSE_SECONDS


def test_what_takes_none_is_answered(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        for path in ("/health", "/model", "/livez", "/readyz", "/docs.json", "/metrics"):
            assert client.get(path).status_code == 200, path
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = client.request(method, "/predict")
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert client.post("/nowhere").status_code == 404


def test_requests_sent_together_get_their_answers_in_order(connection: Connection) -> None:
    connection.send((post() + head("GET", "/health") + post("/explain")) * 5)
    for _ in range(5):
        assert_refused(connection)
        assert connection.answer()[0] == 200
        assert_refused(connection)


@pytest.mark.parametrize("body", [b"{", b"\0", LARGE], ids=["malformed", "NUL", "5 MiB"])
def test_the_body_does_not_matter(connection: Connection, body: bytes) -> None:
    for _ in range(2):
        connection.send(post("/predict_batch", body=body))
        assert_refused(connection)


def test_a_body_need_not_have_come(connection: Connection) -> None:
    connection.send(post("/predict")[: -len(usage())])
    assert_refused(connection)
    connection.send(usage() + post("/predict", CHUNKED, body=b"1\r\n{\r\n"))
    assert_refused(connection)
    connection.send(b"0\r\n\r\n" + post("/predict"))
    assert_refused(connection)


def test_a_client_that_sends_no_more_or_asks_for_the_end_gets_its_refusal(server: Server) -> None:
    for farewell in ([], ["connection: close"]):
        with closing(Connection(server.url)) as connection:
            connection.send(post("/predict", *farewell))
            if not farewell:
                connection.send_no_more()
            status, headers, _ = connection.answer()
            assert (status, headers["connection"]) == (503, "close")
            assert connection.rest() == b""


def test_clients_that_go_away_meanwhile_hurt_nobody_and_are_counted(server: Server) -> None:
    before = refused(server)
    for _ in range(20):
        with closing(Connection(server.url)) as connection:
            connection.send(post())
            time.sleep(0.002)  # it has been read, and is held back
    deadline = time.monotonic() + 5
    while refused(server) < before + 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert refused(server) == before + 20
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
    assert "Traceback" not in server.log.read_text()


def refused(server: Server) -> float:
    series = re.escape('plan_recommender_refused_requests_total{reason="overload",route="/predict"} ')
    found = re.search(f"^{series}(.*)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])
