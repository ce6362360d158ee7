"""Drift is watched by a real service: every row of every worker is counted, and nothing that fails costs an answer."""

import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from loadtest.trials.service import ready_workers, several, wait_until, workers
from plan_recommender.data.synthesis import generate
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.monitoring.layout import ROWS, Counts, Layout
from plan_recommender.monitoring.shared_counts import SharedFolder
from plan_recommender.monitoring.watch import Watch, WatchSettings
from plan_recommender.serving import drift_watch
from plan_recommender.serving.settings import variable
from tools.server import Server, serving

pytestmark = pytest.mark.slow

SECONDS = 30
SERIES = "plan_recommender_drift"
LOOK = f"{SERIES}_looked_seconds"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def watched(state: Path | None, number: int = 1) -> Iterator[tuple[Server, httpx.Client]]:
    env = several(number) | ({} if state is None else {variable("drift_state"): str(state)})
    # Each request on a connection of its own, so that all workers get some.
    limits = httpx.Limits(max_keepalive_connections=0)
    with serving(env=env) as server, httpx.Client(base_url=server.url, timeout=30, limits=limits) as http:
        wait_until(lambda: len(ready_workers(server)) == number, SECONDS)
        yield server, http


def rows(number: int, shift: str = "none", seed: int = 11) -> FeatureMatrix:
    return np.concatenate([chunk.features for chunk in generate(number, seed=seed, shift=shift)])


def bodies(features: FeatureMatrix) -> list[dict[str, float]]:
    return [dict(zip(FEATURE_NAMES, row, strict=True)) for row in features.tolist()]


def send(http: httpx.Client, features: FeatureMatrix) -> None:
    http.post("/predict_batch", json={"rows": bodies(features)}).raise_for_status()


def series(http: httpx.Client) -> dict[str, float]:
    """Our series by name and labels, which may hold spaces."""
    lines = [line for line in http.get("/metrics").text.splitlines() if line.startswith(SERIES)]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def value(http: httpx.Client, name: str) -> float:
    return series(http).get(name, math.nan)


def wait_for(happened: Callable[[], bool]) -> None:
    wait_until(happened, SECONDS)
    assert happened()


def wait_for_a_look(http: httpx.Client) -> None:
    """Wait until the counts of now have been looked at: a look that begins a second later sees all of them."""
    now = time.time() + 1.5
    wait_for(lambda: value(http, LOOK) > now)


def stored(state: Path, model: RegisteredModel) -> Counts:
    """The counts of all workers in the folder."""
    folder = state / model.tag.rpartition(":")[2]
    return SharedFolder(folder, Layout(model.profile()).cells).read().totals


def test_rows_of_every_route_and_worker_are_counted_exactly(
    state: Path, model: RegisteredModel, scorer: Scorer
) -> None:
    features = rows(3_000)
    sent = bodies(features)
    layout = Layout(model.profile())
    with watched(state, 2) as (_, http):
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(http.post, "/predict", json=row) for row in sent[:800]]
            asked += [threads.submit(http.post, "/explain", json=row) for row in sent[800:900]]
            asked += [
                threads.submit(http.post, "/predict_batch", json={"rows": sent[i : i + 100]})
                for i in range(900, 3_000, 100)
            ]
        assert {each.result().status_code for each in asked} == {200}
        for _ in range(5):
            assert http.get("/health").json()["status"] == "ok"
            assert http.post("/predict", json={"calls": -1}).status_code == 400
        wait_for_a_look(http)
        found = series(http)
        files = list(state.rglob("*.counts"))
        assert len(files) == 2
        assert all(file.stat().st_size > 0 for file in files)
        expected = layout.count(layout.codes(features), scorer.probabilities(features))
        np.testing.assert_array_equal(stored(state, model), expected)
        assert found[f"{SERIES}_rows"] == found[f"{SERIES}_window_rows"] == 3000
        assert (found[f"{SERIES}_watching"], found[f"{SERIES}_failures_total"]) == (1, 0)


def test_a_shift_raises_the_verdict_and_health_stays_ok_and_none_does_not(model: RegisteredModel) -> None:
    with watched(None) as (server, http):
        send(http, rows(600))
        wait_for_a_look(http)
        control = series(http)
        start = time.time()
        send(http, rows(600, "data_growth"))
        wait_for_a_look(http)
        found = series(http)
        health = http.get("/health")
        log = server.log.read_text()
    assert (control[SERIES], control[f"{SERIES}_since_seconds"]) == (0, 0)
    assert (found[SERIES], found[f"{SERIES}_rows"]) == (1, 1200)
    assert start <= found[f"{SERIES}_since_seconds"] <= time.time()
    assert found[f"{SERIES}_evidence_days"] > 600 > control[f"{SERIES}_evidence_days"]
    assert found[f'{SERIES}_distance{{part="mb_used"}}'] > 0.15
    assert control[f'{SERIES}_distance{{part="mb_used"}}'] < 0.1
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert log.count("drift: usage differs from the model's training in ") == 1
    assert (found[f"{SERIES}_watching"], "drift is not watched: " in log) == (1, False)
    parts = Watch(model.profile(), WatchSettings.of(model.record.settings)).parts
    names = {name.partition("{")[0] for name in found}
    assert len(found) == len(names) - 3 + 2 * len(parts) + len(FEATURE_NAMES) == 35


def test_a_worker_that_is_killed_loses_at_most_a_second(state: Path, model: RegisteredModel) -> None:
    with watched(state) as (server, http):
        send(http, rows(100))
        wait_for_a_look(http)
        send(http, rows(7))
        os.kill(workers(server)[0].pid, signal.SIGKILL)
        wait_for(lambda: len(ready_workers(server)) == 1 and _answers(http))
        send(http, rows(50))
        wait_for_a_look(http)
        found = value(http, f"{SERIES}_rows")
        assert 150 <= found <= 157
        assert stored(state, model)[ROWS] == found
        assert len(list(state.rglob("*.counts"))) == 1
        assert value(http, f"{SERIES}_watching") == 1


def test_a_restart_continues_and_emptying_the_folder_begins_anew(state: Path) -> None:
    """That another folder begins at 0 is seen in every test of this file."""
    with watched(state) as (_, http):
        send(http, rows(600, "data_growth"))
        wait_for_a_look(http)
        first = series(http)
        send(http, rows(10))  # stored when the worker ends
    with watched(state) as (_, http):
        wait_for_a_look(http)
        again = series(http)
        shutil.rmtree(state)
        wait_for_a_look(http)
        send(http, rows(20))
        wait_for_a_look(http)
        anew = series(http)
    assert first[SERIES] == again[SERIES] == 1
    assert first[f"{SERIES}_since_seconds"] == again[f"{SERIES}_since_seconds"]
    assert first[f"{SERIES}_begun_seconds"] == again[f"{SERIES}_begun_seconds"]
    assert again[f"{SERIES}_rows"] == 610
    assert (anew[SERIES], anew[f"{SERIES}_since_seconds"], anew[f"{SERIES}_rows"]) == (0, 0, 20)


def test_a_folder_that_cannot_be_written_costs_no_answer(state: Path, model: RegisteredModel, scorer: Scorer) -> None:
    state.write_text("a file, in which no folder can be made")
    features = rows(50)
    with watched(state) as (server, http):
        time.sleep(3)
        answer = http.post("/predict_batch", json={"rows": bodies(features)}).json()
        single = http.post("/predict", json=bodies(features)[0]).json()
        found = series(http)
        assert found[f"{SERIES}_watching"] == 0
        assert found[f"{SERIES}_failures_total"] >= 2
        assert SERIES not in found
        assert http.get("/health").status_code == 200
        assert server.log.read_text().count("drift is not watched: ") == 1
        state.unlink()  # the control: as soon as it can be written, everything that was answered is counted
        wait_for(lambda: value(http, f"{SERIES}_watching") == 1)
        wait_for_a_look(http)
        assert value(http, f"{SERIES}_rows") == 51
    expected = scorer.probabilities(features).tolist()
    assert [each["probability_is_ultra"] for each in answer["predictions"]] == expected
    assert single["probability_is_ultra"] == expected[0]


def test_a_model_whose_reference_is_damaged_is_served_and_not_watched(
    copy_store: Callable[[Path], Path], tmp_path: Path
) -> None:
    """The control is the test of a shift: with the reference as it was registered, the same service is watched."""
    (copy_store(tmp_path / "home") / "reference.json").write_text("{}")
    with (
        serving(env={"BENTOML_HOME": str(tmp_path / "home")}) as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        send(http, rows(20))
        assert http.get("/health").status_code == 200
        wait_for(lambda: value(http, f"{SERIES}_watching") == 0)
        assert "drift is not watched: " in server.log.read_text()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_a_temporary_folder_is_made_unless_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = variable("drift_state")
    monkeypatch.setenv(name, str(tmp_path))
    drift_watch.prepare()
    assert os.environ[name] == str(tmp_path)
    monkeypatch.setenv(name, "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    drift_watch.prepare()
    assert Path(os.environ[name]).parent == tmp_path
    monkeypatch.setenv(name, "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    drift_watch.prepare()
    assert os.environ[name] == ""
