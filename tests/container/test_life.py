"""The life of a container: stopped under load, a worker killed, memory run out."""

import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import httpx
import pytest

from loadtest.generator import Event, closed_loop, open_loop
from loadtest.record import LOST, UNSENT
from loadtest.trials.service import CONNECTIONS, PREDICT, USAGE
from tools.container import HARDENED, STOP_SECONDS, Container, ContainerError, docker, running, workers
from tools.server import ROOT

pytestmark = pytest.mark.slow

HOG = (ROOT / "tests/programs/hog.py").read_text()


def state(container: Container, field: str) -> str:
    return docker("inspect", "--format", f"{{{{.{field}}}}}", container.id).strip()


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until it holds; tells whether it came to."""
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def answers(container: Container) -> bool:
    """Tell whether a prediction is answered."""
    try:
        return httpx.post(f"{container.url}/predict", json=USAGE, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def counted(container: Container, cause: str) -> float | None:
    """Tell how many workers died of a cause, as /metrics says; None: nobody answers."""
    try:
        text = httpx.get(f"{container.url}/metrics", timeout=5).text
    except httpx.TransportError:
        return None
    found = re.search(rf'^plan_recommender_worker_deaths_total{{cause="{cause}"}} (\S+)$', text, re.MULTILINE)
    return None if found is None else float(found[1])


def test_it_stops_under_load_without_losing_a_request(image: str, record_property: Callable[..., None]) -> None:
    with running(image, on_host=True) as container:
        right = httpx.post(f"{container.url}/predict", json=USAGE).content
        rate = 0.5 * closed_loop(container.url, [PREDICT], CONNECTIONS, 1.0).rate(200)
        moments: list[float] = []

        def stop() -> None:
            moments.append(monotonic())
            docker("stop", "-t", str(STOP_SECONDS), container.id)
            moments.append(monotonic())

        stopping = threading.Thread(target=stop)
        record = open_loop(
            container.url, [PREDICT], rate, 3.0, CONNECTIONS, seed=1, at=[Event(1.5, stopping.start)], expected=right
        )
        stopping.join()
        record = record.chosen(record.status != UNSENT)
        before = record.chosen(record.sent < moments[0])
        counted = f"{len(before):,} sent before it, {len(before) - before.count(200)} failed"
        record_property("stop under load", f"{counted}; ended after {moments[1] - moments[0]:.1f} s")
        assert before.counts() == {200: len(before)}
        assert len(before) > 100
        assert set(record.counts()) <= {200, 503, LOST}
        assert moments[1] - moments[0] < STOP_SECONDS
        assert (state(container, "State.ExitCode"), state(container, "State.OOMKilled")) == ("0", "false")


@pytest.mark.parametrize("seconds", [0.5, 0.8, 1.1, 1.4])
def test_it_stops_while_it_starts(image: str, seconds: float) -> None:
    """Process 1 ignores signals that it has no handler for, and circus drops them while it starts the workers."""
    identifier = docker("run", "--detach", *HARDENED, image).split()[0]
    try:
        time.sleep(seconds)
        start = monotonic()
        docker("stop", "-t", str(STOP_SECONDS), identifier)
        assert monotonic() - start < STOP_SECONDS / 2
        assert docker("inspect", "--format", "{{.State.ExitCode}}", identifier).strip() != "137"
    finally:
        docker("rm", "--force", identifier)


def test_a_container_that_is_killed_loses_requests(image: str) -> None:
    """The control: SIGKILL instead of SIGTERM."""
    with running(image, on_host=True) as container:
        rate = 0.5 * closed_loop(container.url, [PREDICT], CONNECTIONS, 1.0).rate(200)
        killing = threading.Thread(target=lambda: docker("kill", container.id))
        record = open_loop(container.url, [PREDICT], rate, 3.0, CONNECTIONS, seed=1, at=[Event(1.5, killing.start)])
        killing.join()
        assert record.count(LOST)
        assert state(container, "State.ExitCode") == "137"


def test_a_worker_that_is_killed_is_replaced(image: str) -> None:
    with running(image) as container:
        (victim,) = workers(container)
        container.execute("sh", "-c", f"kill -9 {victim}")
        assert until(lambda: bool(workers(container)) and workers(container) != [victim], 20)
        assert until(lambda: answers(container), 20)
        assert (counted(container, "killed"), counted(container, "oom")) == (1, 0)
        assert (state(container, "State.Running"), state(container, "RestartCount")) == ("true", "0")


@pytest.mark.parametrize("victim", ["the worker", "the container"])
def test_it_recovers_when_memory_has_run_out(image: str, victim: str) -> None:
    limits = ("--memory", "450m", "--memory-swap", "450m", "--restart", "on-failure")
    with running(image, options=(*HARDENED, *limits)) as container:
        (before,) = workers(container)
        assert answers(container)
        chosen = before if victim == "the worker" else 1
        # The system ends whom it is told to end first; after that, the hog is the largest.
        command = f"echo 1000 > /proc/{chosen}/oom_score_adj && exec python3 -c '{HOG}'"
        with suppress(ContainerError):
            container.execute("sh", "-c", command)
        if victim == "the worker":
            assert until(lambda: before not in workers(container), 20)
            assert state(container, "RestartCount") == "0"
            assert until(lambda: counted(container, "oom") == 1, 20)
            assert counted(container, "killed") == 0
        else:
            assert until(lambda: state(container, "RestartCount") == "1", 20)
        assert until(lambda: answers(container), 30)
        assert httpx.get(f"{container.url}/health").json()["status"] == "ok"
