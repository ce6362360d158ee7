"""The prediction log says what was answered, stays within its bound, and is in no prediction's way."""

import json
import resource
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from loadtest.trials.service import workers
from plan_recommender.data.prediction_log import read_log
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.prediction_line import LOG_FILES, PredictionLine
from plan_recommender.serving.limits import MIB
from plan_recommender.serving.metrics import LOG_REASONS
from plan_recommender.serving.prediction_log import FLUSH_SECONDS, MAX_PENDING_ROWS, MAX_REFERENCE
from plan_recommender.serving.settings import variable
from tests.serving.corpus import GOOD, LIGHT
from tests.serving.faults import fault
from tools.server import FROM_SOURCE, Server, serving

MONTH = {"month": "2026-10", **GOOD}


@contextmanager
def logging_to(folder: Path, target: str = FROM_SOURCE, **settings: object) -> Iterator[tuple[Server, httpx.Client]]:
    """A service that logs its predictions, and a client of it."""
    named = {variable(name): str(value) for name, value in settings.items()}
    with (
        serving(target, env={variable("prediction_log"): str(folder)} | named) as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        yield server, http


class Logging(NamedTuple):
    """The service with which most tests of this file need nothing else, and the folder that it logs to."""

    folder: Path
    server: Server
    http: httpx.Client


@pytest.fixture(scope="module")
def logging(trained_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logging]:
    folder = tmp_path_factory.mktemp("logging") / "made" / "log"
    with logging_to(folder) as (server, http):
        yield Logging(folder, server, http)


def lines_of(folder: Path) -> list[PredictionLine]:
    """Every line that is there; one that is no line of the log fails."""
    files = sorted(folder.glob(LOG_FILES))
    return [PredictionLine.model_validate_json(line) for file in files for line in file.read_bytes().splitlines()]


def wait_for_lines(folder: Path, count: int, after: int = 0) -> list[PredictionLine]:
    """Wait for so many lines, behind those that were there before."""
    deadline = time.monotonic() + 20
    while len(found := lines_of(folder)[after:]) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) == count
    return found


def counted(http: httpx.Client) -> dict[str, float]:
    """What /metrics says of the log: written lines, and dropped ones by reason."""
    found = {}
    for line in http.get("/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == "plan_recommender_prediction_log_written_total":
            found["written"] = float(value)
        elif name.startswith('plan_recommender_prediction_log_dropped_total{reason="'):
            found[name.split('"')[1]] = float(value)
    return found


def wait_until_counted(http: httpx.Client, name: str, count: float) -> None:
    deadline = time.monotonic() + 20
    while counted(http).get(name) != count and time.monotonic() < deadline:
        time.sleep(0.1)
    assert counted(http)[name] == count


@pytest.mark.slow
def test_without_the_variable_nothing_is_logged(server: Server) -> None:
    with httpx.Client(base_url=server.url) as http:
        answer = http.post("/predict", json=GOOD, headers={"x-reference": "a"})
        assert "x-prediction-id" not in answer.headers
        assert counted(http)["written"] == 0
    (worker,) = workers(server)
    assert not [file for file in worker.open_files() if file.path.endswith(".jsonl")]


@pytest.mark.slow
def test_a_line_says_what_was_answered(trained_tag: str, logging: Logging) -> None:
    folder, _, http = logging
    before, there = datetime.now(UTC), len(lines_of(folder))
    one = http.post("/predict", json=GOOD, headers={"x-reference": 'a"\\b'})
    batch = http.post("/predict_batch", json={"rows": [GOOD, LIGHT]}, headers={"x-reference": "b7"})
    why = http.post("/explain", json=LIGHT)
    assert "x-prediction-id" not in http.post("/advise", json={"plan": None, "months": [MONTH]}).headers
    assert "x-prediction-id" not in http.post("/predict", json=GOOD | {"calls": -1}).headers
    assert "x-prediction-id" not in http.get("/health").headers
    found = wait_for_lines(folder, 4, there)
    wait_until_counted(http, "written", there + 4)
    assert counted(http) == {"written": there + 4} | dict.fromkeys(LOG_REASONS, 0)
    answers = [one.json(), *batch.json()["predictions"], why.json()]
    ids = [answer.headers["x-prediction-id"] for answer in (one, batch, why)]
    assert [line.id for line in found] == [ids[0], f"{ids[1]}/0", f"{ids[1]}/1", ids[2]]
    assert [line.reference for line in found] == ['a"\\b', "b7/0", "b7/1", None]
    for line, answer, usage in zip(found, answers, (GOOD, GOOD, LIGHT, LIGHT), strict=True):
        assert (line.model, line.prediction) == (trained_tag, answer["prediction"])
        assert line.probability_is_ultra == answer["probability_is_ultra"]
        assert {name: getattr(line, name) for name in FEATURE_NAMES} == usage
        assert before - timedelta(seconds=0.001) <= line.time <= datetime.now(UTC)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for text in file.read_text().splitlines():
        line_as_json = json.loads(text)
        assert list(line_as_json) == list(PredictionLine.model_fields)
        assert line_as_json["time"].endswith("Z")


@pytest.mark.slow
def test_a_reference_that_is_none_counts_as_absent(logging: Logging) -> None:
    long = "x" * MAX_REFERENCE
    cases: dict[bytes, str | None] = {
        b"subscriber-7": "subscriber-7", long.encode(): long, f"{long}x".encode(): None, b"two words": None,
        b"tab\there": None, "ñ".encode(): None, b"": None, b"{}": "{}",
    }  # fmt: skip
    folder, _, http = logging
    there = len(lines_of(folder))
    for value in cases:
        assert http.post("/predict", json=GOOD, headers=[(b"x-reference", value)]).status_code == 200
    twice = [(b"x-reference", b"first"), (b"x-reference", b"last")]
    assert http.post("/predict", json=GOOD, headers=twice).status_code == 200
    found = wait_for_lines(folder, len(cases) + 1, there)
    assert [line.reference for line in found] == [*cases.values(), "last"]


@pytest.mark.slow
def test_of_a_share_the_logged_ones_are_told_by_their_header(trained_tag: str, tmp_path: Path) -> None:
    with logging_to(tmp_path / "half", prediction_log_share=0.5) as (_, http):
        answers = [http.post("/predict", json=GOOD) for _ in range(400)]
        batch = http.post("/predict_batch", json={"rows": [GOOD] * 4000})
        single = [answer.headers["x-prediction-id"] for answer in answers if "x-prediction-id" in answer.headers]
        time.sleep(2 * FLUSH_SECONDS)
        wait_until_counted(http, "written", len(lines_of(tmp_path / "half")))
    found = [line.id for line in lines_of(tmp_path / "half")]
    assert [name for name in found if "/" not in name] == single
    assert 120 < len(single) < 280  # eight standard deviations
    rows = [name for name in found if "/" in name]
    assert 1750 < len(rows) < 2250
    assert {name.partition("/")[0] for name in rows} == {batch.headers["x-prediction-id"]}
    with logging_to(tmp_path / "none", prediction_log_share=0) as (_, http):
        for path, body in (("/predict", GOOD), ("/predict_batch", {"rows": [GOOD]})):
            assert "x-prediction-id" not in http.post(path, json=body).headers
        time.sleep(2 * FLUSH_SECONDS)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_all_workers_and_starts_together_stay_within_the_bound(trained_tag: str, tmp_path: Path) -> None:
    batch = json.dumps({"rows": [GOOD] * 10_000}).encode()
    largest = written = 0
    for _ in range(2):
        with logging_to(tmp_path, workers=2, prediction_log_mib=16) as (server, _):
            for _ in range(6):
                with httpx.Client(base_url=server.url, timeout=60) as http:  # a new connection finds either worker
                    headers = {"content-type": "application/json"}
                    written += http.post("/predict_batch", content=batch, headers=headers).status_code == 200
                for _ in range(10):
                    largest = max(largest, size_of(tmp_path))
                    time.sleep(0.03)
    assert written == 12
    assert 8 * MIB < size_of(tmp_path) <= largest <= 16 * MIB
    newest = sorted(tmp_path.glob(LOG_FILES))[-1]
    assert newest.stat().st_size > 0
    assert 12 * len(batch) * 2 > 16 * MIB  # the control: all lines would not have fitted
    assert len(lines_of(tmp_path)) < 120_000


def size_of(folder: Path) -> int:
    """Bytes of the files; one that is deleted meanwhile counts as it was."""
    total = 0
    for file in folder.glob(LOG_FILES):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


def predictions_go_on(http: httpx.Client) -> bool:
    """Whether all that predicts answers as if there were no log."""
    bodies: dict[str, object] = {"/predict": GOOD, "/explain": GOOD, "/predict_batch": {"rows": [GOOD] * 3}}
    return all(http.post(path, json=body).status_code == 200 for path, body in bodies.items())


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_costs_lines_and_no_prediction(trained_tag: str, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.write_text("a file is in its place: root, who may run the tests, could write to a read-only folder")
    with logging_to(folder) as (server, http):
        for _ in range(3):
            assert predictions_go_on(http)
            time.sleep(2 * FLUSH_SECONDS)
        wait_until_counted(http, "disk", 15)
        assert counted(http)["written"] == 0
        log = server.log.read_text()
        assert log.count("the prediction log in") == 1, "one warning a minute"
        assert f"{folder} cannot be written (Not a directory)" in log or f"{folder} cannot be written (File" in log
        folder.unlink()
        assert predictions_go_on(http)
        wait_for_lines(folder, 5)
        wait_until_counted(http, "written", 5)


@pytest.mark.slow
def test_a_log_in_the_way_would_be_noticed(trained_tag: str, tmp_path: Path) -> None:
    """The control of the test above."""
    folder = tmp_path / "log"
    folder.touch()
    with logging_to(folder, fault("log_in_the_way")) as (_, http):
        assert not predictions_go_on(http)


@pytest.mark.slow
def test_a_full_disk_costs_whole_lines_and_leaves_no_half_one(trained_tag: str, tmp_path: Path) -> None:
    """A limit on the size of files makes the worker's write end early, as a full disk does."""
    with logging_to(tmp_path) as (server, http):
        (worker,) = workers(server)
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        rows = {"rows": [GOOD] * 2000}
        assert http.post("/predict_batch", json=rows).status_code == 200
        wait_until_counted(http, "disk", 2000)
        assert not list(tmp_path.iterdir())
        assert predictions_go_on(http)
        wait_for_lines(tmp_path, 5)
        assert "File too large" in server.log.read_text() or "No space left" in server.log.read_text()


@pytest.mark.slow
def test_a_disk_that_hangs_delays_neither_predictions_nor_the_end(trained_tag: str, tmp_path: Path) -> None:
    with logging_to(tmp_path, fault("log_hangs")) as (server, http):
        http.post("/predict", json=GOOD)
        time.sleep(2 * FLUSH_SECONDS)  # from now on the thread of the log hangs
        rows = {"rows": [GOOD] * 10_000}
        for _ in range(MAX_PENDING_ROWS // 10_000 + 2):
            assert "x-prediction-id" in http.post("/predict", json=GOOD).headers
            answer = http.post("/predict_batch", json=rows)
            assert answer.status_code == 200
            assert answer.elapsed < timedelta(seconds=5)
        assert "x-prediction-id" not in answer.headers
        assert counted(http)["queue"] == 20_000
        start = time.monotonic()
        server.process.terminate()
        server.process.wait(20)
        assert time.monotonic() - start < 9


@pytest.mark.slow
def test_half_a_line_and_a_wait_for_the_disk_would_be_noticed(trained_tag: str, tmp_path: Path) -> None:
    """The controls of the two tests above."""
    with logging_to(tmp_path, fault("log_leaves_halves")) as (server, http):
        (worker,) = workers(server)
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        assert http.post("/predict_batch", json={"rows": [GOOD] * 2000}).status_code == 200
        time.sleep(4 * FLUSH_SECONDS)
        assert read_log(tmp_path).left_out.torn
    with (
        logging_to(tmp_path, fault("log_hangs_in_the_way")) as (server, _),
        pytest.raises(httpx.ReadTimeout),
    ):
        httpx.post(f"{server.url}/predict", json=GOOD, timeout=5)


@pytest.mark.slow
def test_lines_that_wait_longer_would_be_missed_after_a_kill(trained_tag: str, tmp_path: Path) -> None:
    """The control of the test below."""
    with logging_to(tmp_path, fault("log_flushes_late")) as (server, http):
        logged = [http.post("/predict", json=GOOD).headers["x-prediction-id"] for _ in range(30)]
        time.sleep(4 * FLUSH_SECONDS)
        (worker,) = workers(server)
        worker.kill()
        psutil.wait_procs([worker], timeout=10)
        assert not {line.id for line in lines_of(tmp_path)} & set(logged)


@pytest.mark.slow
def test_a_killed_worker_costs_the_last_moment_and_the_next_goes_on(logging: Logging) -> None:
    folder, server, http = logging
    files = len(list(folder.glob(LOG_FILES))) or 1
    logged = [http.post("/predict", json=GOOD).headers["x-prediction-id"] for _ in range(300)]
    time.sleep(4 * FLUSH_SECONDS)
    (worker,) = workers(server)
    with httpx.Client(base_url=server.url) as other:
        for _ in range(20):
            other.post("/predict", json=GOOD)
        worker.kill()
    psutil.wait_procs([worker], timeout=10)
    found = read_log(folder)
    assert found.left_out.damaged == 0
    assert {line.id for line in lines_of(folder)} >= set(logged)
    again = ask_until_answered(server)
    deadline = time.monotonic() + 20
    while again not in (ids := {line.id for line in lines_of(folder)}) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert again in ids
    assert len(list(folder.glob(LOG_FILES))) == files + 1, "the next worker does not continue the file of another"


def ask_until_answered(server: Server) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            return httpx.post(f"{server.url}/predict", json=GOOD, timeout=5).headers["x-prediction-id"]
        except (httpx.TransportError, KeyError):
            time.sleep(0.1)
    raise AssertionError("no worker took the place of the one that was killed")


@pytest.mark.slow
def test_a_service_that_ends_writes_what_waits(logging: Logging) -> None:
    """The last test of this file: it ends the service of the others."""
    folder, server, _ = logging
    with httpx.Client(base_url=server.url) as http:  # the worker of another client's connection may be gone
        ids = [http.post("/predict", json=GOOD).headers["x-prediction-id"] for _ in range(50)]
        server.process.terminate()
        server.process.wait(20)
    assert [line.id for line in lines_of(folder)][-50:] == ids
