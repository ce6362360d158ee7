"""The drain: after SIGTERM health and readiness say at once that the service stops, and everything else is answered."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import pairwise
from urllib.parse import urlsplit

import httpx
import pytest

from loadtest.generator import Event, open_loop
from loadtest.trials.service import PREDICT, ready_workers, series_of, several, wait_until, workers
from plan_recommender.errors import ConfigError
from plan_recommender.serving.inference_metadata import MODEL_PATH
from plan_recommender.serving.limits import STOP_SECONDS
from plan_recommender.serving.settings import Environment, variable
from tests.serving.corpus import usage
from tests.serving.wire import Connection, head, post
from tools.server import Server, serving

DRAIN = 4.0
DRAINING = {variable("drain_seconds"): f"{DRAIN:g}"}
PROBES = ("/health", "/readyz", "/ping", "/v2/health/ready", f"{MODEL_PATH}/ready")
OTHERS = (
    "/livez",
    "/healthz",
    "/v2/health/live",
    MODEL_PATH,
    "/model",
    "/tariffs",
    "/docs.json",
    "/metrics",
    "/app",
    "/",
)


@pytest.mark.parametrize("text", ["-1", "301", "nan", "soon"])
def test_a_drain_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=variable("drain_seconds")):
        Environment.read({variable("drain_seconds"): text})


@dataclass(frozen=True)
class Renewed:
    """A service of two workers that was renewed."""

    server: Server
    probes: list[int]
    """Statuses of the probes meanwhile."""


@pytest.fixture(scope="module")
def renewed(trained_tag: str) -> Iterator[Renewed]:
    with serving(env=DRAINING | several(2)) as server:
        wait_until(lambda: len(ready_workers(server)) == 2, 30)
        server.process.send_signal(signal.SIGHUP)
        seen = []
        deadline = time.monotonic() + 30
        while server.log.read_text().count("has taken the place") < 2 and time.monotonic() < deadline:
            seen += [status(server, path) for path in PROBES]
            time.sleep(0.02)  # or asking would take a core from what starts meanwhile
        yield Renewed(server, seen)


@pytest.mark.slow
def test_health_stays_well_while_workers_are_renewed(renewed: Renewed) -> None:
    assert renewed.server.log.read_text().count("has taken the place") == 2
    assert set(renewed.probes) == {200}


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_probes_say_at_once_that_it_stops_and_everything_else_is_answered_until_the_drain_is_over(
    trained_tag: str, number: int, request: pytest.FixtureRequest
) -> None:
    """Two workers are those of the test above, a connection that is open stays open, and the metrics tell why.

    The alert PlanRecommenderNoModel subtracts those that are told to stop from those that cannot answer.
    """
    with ExitStack() as stack:
        if number == 1:
            server = stack.enter_context(serving(env=DRAINING))
        else:
            server = request.getfixturevalue("renewed").server
        wait_until(lambda: len(ready_workers(server)) == number, 30)
        assert {status(server, path) for path in (*PROBES, *OTHERS)} == {200}
        client = stack.enter_context(closing(Connection(server.url)))
        assert "connection" not in client.answer_to(post())[1]
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not any(status(server, path) == 200 for path in PROBES for _ in range(10)), 1.0)
        assert time.monotonic() - start < 1.0
        code, headers, _ = client.answer_to(post())
        assert (code, headers["connection"]) == (200, "close")
        assert client.rest() == b""
        health = httpx.get(f"{server.url}/health")
        assert (health.status_code, health.json()["status"]) == (503, "unavailable")
        assert "told to stop" in health.json()["detail"]
        assert httpx.get(f"{server.url}/v2/health/ready").json() == {"ready": False, "live": True}
        while time.monotonic() - start < DRAIN - 1.5:  # a busy machine draws the last turn out
            assert {status(server, path) for path in OTHERS} == {200}
            assert {status(server, path) for path in PROBES} == {503}
            answer = httpx.post(f"{server.url}/predict", content=usage(), headers={"content-type": "application/json"})
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            with httpx.Client(base_url=server.url) as http:
                found = series_of(http)
            (unavailable,) = (found[name] for name in found if is_of_health(name, "requests_total", "503"))
            (stopping,) = (found[name] for name in found if is_of_health(name, "refused_requests_total", "stopping"))
            assert float(unavailable) == float(stopping) > 0
            time.sleep(0.02)
        server.process.wait(20)
        assert DRAIN <= time.monotonic() - start < DRAIN + STOP_SECONDS
        assert server.process.returncode == 0
        log = server.log.read_text()
        assert "Starting production" in log
        assert "ERROR" not in log, "workers that end with the service have not died"


@pytest.mark.slow
def test_what_is_sent_during_the_drain_is_answered_under_load(trained_tag: str) -> None:
    with serving(env=DRAINING | several(2)) as server:
        wait_until(lambda: len(ready_workers(server)) == 2, 30)
        moments: list[float] = []

        def stop() -> None:
            moments.append(time.monotonic())
            server.process.send_signal(signal.SIGTERM)

        record = open_loop(server.url, [PREDICT], 300, 1.0 + DRAIN + 0.5, 16, seed=1, at=[Event(1.0, stop)])
    during = record.chosen(record.sent < moments[0] + DRAIN)
    assert len(during) > 1000
    assert during.counts() == {200: len(during)}


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_after_the_drain_connections_are_refused_at_once_while_a_slow_request_is_finished(
    trained_tag: str, number: int
) -> None:
    """They would otherwise wait for a worker that accepts no more, until the service has ended, and be lost then."""
    body = usage()
    with (
        serving(env={variable("drain_seconds"): "0.5"} | several(number)) as server,
        closing(Connection(server.url)) as slow,
    ):
        wait_until(lambda: len(ready_workers(server)) == number, 30)
        slow.send(head("POST", "/predict", "content-type: application/json", f"content-length: {len(body)}") + body[:5])
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((str(urlsplit(server.url).hostname), int(urlsplit(server.url).port or 0)), 5)
        assert workers(server)
        slow.send(body[5:])
        assert slow.answer()[0] == 200
        assert server.process.wait(10) == 0


@pytest.mark.slow
def test_a_drain_of_no_time_ends_soon(trained_tag: str) -> None:
    times = []
    for seconds in ("0", "2"):
        with serving(env={variable("drain_seconds"): seconds}) as server:
            start = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(20)
            times.append(time.monotonic() - start)
    assert [later - sooner > 1 for sooner, later in pairwise(times)] == [True]


def status(server: Server, path: str) -> int:
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=5)) as connection:  # quicker than httpx
        connection.request("GET", path)
        return connection.getresponse().status


def is_of_health(name: str, series: str, value: str) -> bool:
    return name.startswith(f"plan_recommender_{series}{{") and '"/health"' in name and f'"{value}"' in name
