"""Two services in one BENTOML_HOME keep their series apart, and leave no folder behind."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from loadtest.trials.service import several, workers
from tests.serving.corpus import GOOD
from tools.server import Server, serving

pytestmark = pytest.mark.slow

Starts = Callable[..., AbstractContextManager[Server]]

NAME = "plan-recommender-metrics-*"


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the services of the test put temporary files."""
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


@pytest.fixture
def start(tmp_path: Path, temporary: Path, copy_store: Callable[[Path], Path]) -> Starts:
    copy_store(tmp_path / "home")

    @contextmanager
    def started(number: int = 1) -> Iterator[Server]:
        environment = {"BENTOML_HOME": str(tmp_path / "home"), "TMPDIR": str(temporary)} | several(number)
        with serving(env=environment) as server:
            yield server

    return started


def test_the_counts_of_a_service_survive_the_start_and_the_stop_of_another_in_the_same_home(
    start: Starts, temporary: Path
) -> None:
    with start(2) as first:
        ask(first, 30)
        assert predictions(first) == 30
        with start() as second:
            assert predictions(first) == 30
            ask(second, 5)
            assert (predictions(first), predictions(second)) == (30, 5)
            assert len(list(temporary.glob(NAME))) == 2
        assert predictions(first) == 30
        ask(first, 1)
        assert predictions(first) == 31
        assert len(list(temporary.glob(NAME))) == 1
    assert list(temporary.glob(NAME)) == []


def test_the_folder_of_a_service_that_was_killed_is_deleted_by_the_next_start(start: Starts, temporary: Path) -> None:
    with start() as killed:
        left = workers(killed)
        killed.process.kill()
        killed.process.wait(10)
        for worker in left:
            os.kill(worker.pid, signal.SIGKILL)
    (dead,) = temporary.glob(NAME)
    with start():
        (alive,) = temporary.glob(NAME)
        assert alive != dead
    assert list(temporary.glob(NAME)) == []


def ask(server: Server, times: int) -> None:
    for _ in range(times):
        httpx.post(f"{server.url}/predict", json=GOOD).raise_for_status()


def predictions(server: Server) -> float:
    """Predictions that a service has counted; those of another worker may be 10 ms old."""
    time.sleep(0.1)
    text = httpx.get(f"{server.url}/metrics").text
    return sum(float(count) for count in re.findall(r"^plan_recommender_predictions_total\{.*\} (.*)$", text, re.M))
