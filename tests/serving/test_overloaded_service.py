"""What clients meet when a worker refuses for overload: here it always finds that too many requests wait."""

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from loadtest import generator
from loadtest.trials import service as trials
from plan_recommender.serving import error_responses
from plan_recommender.serving.inference_metadata import MODEL_PATH
from plan_recommender.serving.limits import HEAD_SECONDS, REFUSAL_PAUSE_SECONDS
from plan_recommender.serving.settings import KEY_VARIABLE
from tests.serving.corpus import GOOD, MIB, usage
from tests.serving.faults import WAIT_SECONDS, fault
from tests.serving.wire import CHUNKED, Connection, head, post
from tools.server import Server, serving

pytestmark = pytest.mark.slow

OVERLOADED = fault("overloaded")
LARGE = b" " * (5 * MIB)


@pytest.fixture(scope="module")
def server(trained_tag: str) -> Iterator[Server]:
    with serving(OVERLOADED) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with closing(Connection(server.url)) as opened:
        yield opened


def assert_refused(connection: Connection) -> None:
    status, headers, body = connection.answer()
    assert (status, body) == (503, error_responses.overloaded().body)
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


def test_a_client_that_waits_to_be_asked_for_its_body_is_told_that_the_connection_ends(connection: Connection) -> None:
    connection.send(post("/predict", "expect: 100-continue")[: -len(usage())])
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (503, "close")
    assert connection.rest() == b""


def test_after_a_body_that_came_late_nothing_is_said_unasked(connection: Connection) -> None:
    connection.send(post()[: -len(usage())])
    assert_refused(connection)
    connection.send(usage())
    connection.patience(2 * HEAD_SECONDS)
    assert connection.rest() == b"", "it is closed in silence"


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


def test_a_refusal_of_a_version_is_counted_under_the_route_without_it(server: Server, trained_tag: str) -> None:
    with closing(Connection(server.url)) as client:
        client.send(post(f"{MODEL_PATH}/versions/{trained_tag.partition(':')[2]}/infer"))
        assert_refused(client)
    series = re.findall(r"^plan_recommender_refused_requests_total\{.*", httpx.get(f"{server.url}/metrics").text, re.M)
    assert f'plan_recommender_refused_requests_total{{reason="overload",route="{MODEL_PATH}/infer"}} 1.0' in series
    assert not any("versions" in line for line in series)


def test_all_that_was_sent_together_before_the_signal_to_end_is_answered(trained_tag: str) -> None:
    together = 60  # at 35 ms each they would take two seconds
    with serving(OVERLOADED) as ending, closing(Connection(ending.url)) as client:
        client.send(post() * together)
        assert_refused(client)
        ending.process.send_signal(signal.SIGTERM)
        assert {client.answer()[0] for _ in range(together - 1)} <= {200, 503}
        assert client.rest() == b""
        assert ending.process.wait(10) == 0


def test_only_what_takes_work_waits_for_its_turn_and_the_metrics_count_the_wait(trained_tag: str) -> None:
    with serving(fault("waits_half_a_second")) as running, closing(Connection(running.url)) as client:
        client.answer_to(head("GET", "/health"))
        times = {}
        for name, request in {
            "health": head("GET", "/health"),
            "unknown": post("/nowhere"),
            "method": head("GET", "/predict"),
            "prediction": post(),
            "batch": post("/predict_batch"),
        }.items():
            start = time.perf_counter()
            client.answer_to(request)
            times[name] = time.perf_counter() - start
        # A timer of the event loop may be some microseconds early.
        waited = {name for name, seconds in times.items() if seconds >= 0.99 * WAIT_SECONDS}
        assert waited == {"prediction", "batch"}, times
        (seconds,) = re.findall(r'request_seconds_sum{route="/predict"} (.*)', httpx.get(f"{running.url}/metrics").text)
        assert float(seconds) >= 0.99 * WAIT_SECONDS


def test_who_lacks_the_key_is_told_so_and_takes_nobodys_place(trained_tag: str) -> None:
    key = "correct-horse-battery"
    with serving(OVERLOADED, env={KEY_VARIABLE: key}) as running, closing(Connection(running.url)) as client:
        for path in ("/predict", "/predict_batch"):
            for header, status in ((f"authorization: Bearer {key}x", 401), (f"authorization: Bearer {key}", 503)):
                assert client.answer_to(post(path, header))[0] == status


def test_batches_that_find_their_lane_full_are_refused_late_too(trained_tag: str) -> None:
    batch = generator.post("/predict_batch", {"rows": [GOOD] * 1000})
    with serving() as running:
        record = generator.closed_loop(running.url, [batch], connections=48, seconds=2)
    assert record.count(503) > 0
    assert record.count(200) > 0
    assert len(record) == record.count(200, 503)
    assert record.latency_ms(0, 503) >= 800 * REFUSAL_PAUSE_SECONDS


def test_refusals_leave_nothing_for_the_garbage_collector(trained_tag: str) -> None:
    with serving(fault("overloaded_without_collector")) as running:
        (worker,) = trials.workers(running)
        generator.closed_loop(running.url, [trials.PREDICT], connections=200, seconds=1)
        before = worker.memory_info().rss
        record = generator.closed_loop(running.url, [trials.PREDICT], connections=200, seconds=4)
        growth = worker.memory_info().rss - before
    assert len(record) == record.count(503) > 2_000
    assert growth / len(record) < 500, "bytes a refusal"
