"""A rolling restart: on SIGHUP each worker is replaced by one that has the model of now, and no request fails."""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import retrain
from loadtest.generator import Event, open_loop
from loadtest.record import Record
from loadtest.trials.service import PREDICT, USAGE, ready_workers, several, wait_until, workers
from plan_recommender.model import store as model_store
from plan_recommender.model.record import DOCUMENT_FILE
from tests.conftest import using, write_quick_configuration
from tests.serving.faults import fault
from tools import rollback, synthesise
from tools.server import FROM_SOURCE, Server, serving

pytestmark = pytest.mark.slow

RATE = 120.0
RENEWED_SECONDS = 40.0
WAIT_MS = 200.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, copy_store: Callable[[Path], Path]) -> Iterator[Path]:
    """A BENTOML_HOME with the trained model, and beside it a configuration and a table on which usage has drifted."""
    folder = tmp_path_factory.mktemp("renewal")
    copy_store(folder / "home")
    write_quick_configuration(folder)
    synthesise.main(["--rows", "2000", "--shift", "data_growth", "--seed", "5", "--out", str(folder / "growth.csv")])
    with using(folder / "home"):
        yield folder / "home"


def model_of(server: Server) -> str:
    model: str = httpx.get(f"{server.url}/model", timeout=10).json()["model"]
    return model


def holds(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds; False: it did not within so many seconds."""
    wait_until(condition, seconds)
    return condition()


def renewed(server: Server, number: int, seconds: float) -> Record:
    """Send SIGHUP in a load, and wait until no worker of before is left; returns what became of the requests."""
    assert holds(lambda: len(ready_workers(server)) == number, 30)
    old = {worker.pid for worker in workers(server)}

    def hang_up() -> None:
        server.process.send_signal(signal.SIGHUP)

    def is_renewed() -> bool:
        return not old & {worker.pid for worker in workers(server)} and len(ready_workers(server)) == number

    record = open_loop(server.url, [PREDICT], RATE, seconds, 8, seed=1, at=[Event(1.0, hang_up)])
    assert holds(is_renewed, RENEWED_SECONDS)
    return record


@pytest.mark.parametrize("number", [1, 2])
def test_a_service_takes_the_new_model_and_goes_back_to_the_old_one_and_no_request_fails(
    home: Path, number: int, record_property: Callable[..., None]
) -> None:
    config, table, artifacts = (home.parent / name for name in ("config.yaml", "growth.csv", f"artifacts {number}"))
    before = model_store.find().tag
    with serving(env=several(number) | {"BENTOML_HOME": str(home)}) as server:
        assert model_of(server) == before
        options = ["--config", str(config), "--data", str(table), "--artifacts", str(artifacts)]
        history = home.parent / f"history {number}.jsonl"
        assert retrain.main([*options, "--seed", str(number), "--history", str(history)]) == 0
        after = model_store.find().tag
        assert after != before
        assert model_of(server) == before  # a running service keeps its model until it is told
        taken = renewed(server, number, 8.0 + 5.0 * number)
        assert model_of(server) == after
        assert rollback.main([]) == 0
        back = renewed(server, number, 8.0 + 5.0 * number)
        assert model_of(server) == before
        assert "ERROR" not in server.log.read_text()
    for what, record in (("new model", taken), ("rollback", back)):
        assert record.counts() == {200: len(record)}
        assert record.latency_ms(95, 200) < WAIT_MS
        record_property(f"{what}, {number} workers: requests, failed", f"{len(record):,}, 0")


def test_as_circus_does_it_requests_fail_or_wait(home: Path, record_property: Callable[..., None]) -> None:
    """The control: the old workers are stopped before the new ones can serve."""
    with serving(fault("renews_as_circus"), env=several(2) | {"BENTOML_HOME": str(home)}) as server:
        record = renewed(server, 2, 8.0)
    record_property("95th percentile", f"{record.latency_ms(95, 200):.0f} ms")
    assert record.counts().keys() - {200} or record.latency_ms(95, 200) > WAIT_MS


def test_workers_stay_if_the_new_model_cannot_be_loaded(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home", symlinks=True)
    with serving(env=several(2) | {"BENTOML_HOME": str(tmp_path / "home")}) as server:
        assert holds(lambda: server.log.read_text().count("initialized") == 2, 30)
        old = {worker.pid for worker in workers(server)}
        latest = (tmp_path / "home" / "models" / "plan_recommender" / "latest").read_text()
        (tmp_path / "home" / "models" / "plan_recommender" / latest / DOCUMENT_FILE).write_text("{}")
        server.process.send_signal(signal.SIGHUP)
        message = "stays, because no other has started in its place; so do the rest"
        assert holds(lambda: message in server.log.read_text(), RENEWED_SECONDS)
        time.sleep(2)  # the supervisor looks for dead workers every second, and must not find one too many
        assert {worker.pid for worker in workers(server)} == old
        assert httpx.post(f"{server.url}/predict", json=USAGE, timeout=10).status_code == 200


def test_a_service_that_is_told_to_end_while_it_renews_ends(trained_tag: str) -> None:
    with serving(FROM_SOURCE, env=several(2)) as server:
        assert holds(lambda: server.log.read_text().count("initialized") == 2, 30)
        server.process.send_signal(signal.SIGHUP)
        threading.Event().wait(0.3)  # the first new worker is starting
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(20)
        assert time.monotonic() - start < 12
