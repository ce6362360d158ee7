"""The log of a real service, from its start to its stop, whatever clients send meanwhile: it answers an incident."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from loadtest.trials.service import ready_workers, wait_until, workers
from plan_recommender import __version__
from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.model.source import source_commit
from plan_recommender.serving.access_log import MAX_ERRORS_A_SECOND
from plan_recommender.serving.inference_metadata import MODEL_PATH
from plan_recommender.serving.settings import KEY_VARIABLE, variable
from tests.conftest import GOOD
from tests.serving.faults import fault
from tests.serving.protocol_corpus import INFER, one_tensor
from tests.serving.wire import CHUNKED, Connection, head, post
from tools.server import ROOT, Server, serving

pytestmark = pytest.mark.slow

KEY = "correct-horse-battery"
WRONG_KEY = "wrong-horse-staple-x"
MARKER = "m4rk3r"
"""Stands in everything that a client can send and that is not an id of the right form."""

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
REFUSED = 60
"""Requests with a wrong key: more than two workers record in the second or two that they take."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Life:
    """What a service left that was asked a lot, renewed, hurt and stopped."""

    lines: list[str]
    answers: dict[str, httpx.Response]

    @property
    def records(self) -> list[Record]:
        return [json.loads(line) for line in self.lines]

    @property
    def access(self) -> list[Record]:
        return [record for record in self.records if record["logger"] == "bentoml.plan_recommender.access"]

    def of(self, name: str) -> Record:
        """Give the one record of an answer."""
        request_id = self.answers[name].headers["x-request-id"]
        (record,) = (record for record in self.access if record.get("request_id") == request_id)
        return record


def asked(http: httpx.Client) -> Iterator[tuple[str, httpx.Response]]:
    ids = {"x-request-id": "billing-run/4711", "traceparent": TRACEPARENT}
    yield "predict", http.post("/predict", json=GOOD, headers=ids)
    yield "batch", http.post("/predict_batch", json={"rows": [GOOD] * 3})
    yield "health", http.get("/health")
    yield "document", http.get("/model/document")
    yield "head", http.head("/health")
    yield (
        "invalid",
        http.post("/predict", json=GOOD | {MARKER: MARKER, "calls": MARKER}, headers=ids | {"x-request-id": "e1"}),
    )
    yield (
        "rubbish",
        http.post("/predict", content=MARKER.encode() + b"\n{}\x1b[31m", headers={"content-type": "application/json"}),
    )
    yield "path", http.get(f"/{MARKER}%0a{MARKER}?{MARKER}")
    yield "method", http.request("DELETE", "/predict")
    yield "no method", http.request(MARKER.upper(), "/predict")
    yield "type", http.post("/predict", content=b"x", headers={"content-type": f"text/{MARKER}"})
    yield "head too large", http.get("/health", headers={"x-padding": MARKER * 10_000})
    yield (
        "protocol",
        http.post(INFER, json={"inputs": one_tensor(shape=[2, 4], data=[*GOOD.values()] * 2), "id": MARKER}),
    )
    yield "protocol error", http.post(INFER, json={MARKER: MARKER}, headers=ids | {"x-request-id": "e2"})
    yield "other version", http.get(f"{MODEL_PATH}/versions/{MARKER}/ready", headers=ids | {"x-request-id": "e3"})
    yield "odd ids", http.get("/model", headers={"x-request-id": f'{MARKER}", "x": "', "traceparent": f"00-{MARKER}"})


@pytest.fixture(scope="module")
def life(trained_tag: str) -> Life:
    environment = {
        variable("log_format"): "json", variable("access_log_share"): "1", variable("workers"): "2", KEY_VARIABLE: KEY,
    }  # fmt: skip
    with serving(env=environment) as server:
        wait_for_workers(server)
        with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {KEY}"}, timeout=20) as http:
            answers = dict(asked(http))
            with closing(Connection(server.url)) as raw:
                status, headers, _ = raw.answer_to(f"{MARKER} \x00\r\n\r\n".encode())
                assert status == 400
                assert headers["x-request-id"]
            for _ in range(REFUSED):
                refused = http.post("/predict", json=GOOD, headers={"authorization": f"Bearer {WRONG_KEY}"})
            answers["key"] = refused
            time.sleep(1.5)  # until the number of those without a record is told
            server.process.send_signal(signal.SIGHUP)
            wait_for(server, "has taken the place of worker", 2)
            (victim, *_) = workers(server)
            victim.kill()
            wait_for(server, "another takes its place", 1)
            wait_for(server, "initialized", 5)
            time.sleep(1)  # until the newest would drain
            answers["after"] = http.post("/explain", json=GOOD)
        server.process.terminate()
        server.process.wait(20)
        return Life(server.log.read_text().splitlines(), answers)


def wait_for(server: Server, text: str, times: int) -> None:
    deadline = time.monotonic() + 40
    while server.log.read_text().count(text) < times and time.monotonic() < deadline:
        time.sleep(0.1)


def wait_for_workers(server: Server) -> None:
    deadline = time.monotonic() + 40
    while len(ready_workers(server)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)


def test_every_line_is_an_object(life: Life) -> None:
    assert len(life.records) > 20
    for record in life.records:
        assert {"time", "level", "logger", "process", "message"} <= set(record)


def test_no_line_has_what_a_client_sent_nor_a_key(life: Life) -> None:
    log = "\n".join(life.lines)
    assert "billing-run/4711" in log, "the control: an id of the right form"
    for hidden in (MARKER, MARKER.upper(), KEY, WRONG_KEY, "516.7", "22696"):
        assert hidden not in log


def test_a_record_says_what_was_asked_and_answered(life: Life, trained_tag: str) -> None:
    record, answer = life.of("predict"), life.answers["predict"]
    assert answer.headers["x-request-id"] == record["request_id"] == "billing-run/4711"
    assert answer.headers["traceparent"] == TRACEPARENT
    assert 0 < record["milliseconds"] < 10_000
    expected = {
        "logger": "bentoml.plan_recommender.access", "level": "INFO", "route": "/predict", "status": 200,
        "bytes": len(answer.content), "rows": 1, "model": trained_tag, "trace_id": TRACE,
    }  # fmt: skip
    assert {name: record[name] for name in expected} == expected
    assert life.of("batch")["rows"] == 3
    assert (life.of("protocol")["route"], life.of("protocol")["rows"]) == (INFER, 2)
    assert (life.of("health")["rows"], life.of("health")["trace_id"]) == (None, None)
    assert life.of("head")["bytes"] == 0
    assert life.of("document")["bytes"] > 1000
    assert life.of("after")["route"] == "/explain"


@pytest.mark.parametrize(
    ("name", "route", "status"),
    [
        ("invalid", "/predict", 400), ("rubbish", "/predict", 400), ("path", "none", 404), ("method", "/predict", 405),
        ("no method", "none", 400), ("type", "/predict", 415), ("head too large", "none", 431),
        ("odd ids", "/model", 200), ("protocol", INFER, 200), ("protocol error", INFER, 400),
        ("other version", f"{MODEL_PATH}/ready", 404),
    ],
)  # fmt: skip
def test_every_answer_has_an_id_and_is_found_by_it(life: Life, name: str, route: str, status: int) -> None:
    record, answer = life.of(name), life.answers[name]
    assert (record["status"], answer.status_code) == (status, status)
    assert record["route"] == route or status == 431  # by then the path may have come, or not
    assert record["level"] == ("INFO" if status == 200 else "WARNING")
    own = {"invalid": "e1", "protocol error": "e2", "other version": "e3"}.get(name)
    assert answer.headers.get("traceparent") == (TRACEPARENT if own else None)
    assert answer.headers["x-request-id"] == own or re.fullmatch(
        r"[0-9a-f]{12}-[0-9a-f]+", answer.headers["x-request-id"]
    )


def test_wrong_keys_leave_few_records_and_their_number(life: Life) -> None:
    of_keys = [record for record in life.access if record["status"] == 401]
    own = [record for record in of_keys if "left_out" not in record]
    assert MAX_ERRORS_A_SECOND <= len(own) < REFUSED
    assert len(own) + sum(record["left_out"] for record in of_keys if "left_out" in record) == REFUSED
    assert {record["route"] for record in own} == {"/predict"}
    assert life.answers["key"].headers["x-request-id"]


def test_a_start_says_what_starts(life: Life, trained_tag: str) -> None:
    (record,) = (record for record in life.records if record["message"].startswith("starting version "))
    tariffs = load_tariffs(shipped_tariffs())
    expected = {
        "version": __version__, "bento": None, "source_commit": source_commit(), "model": trained_tag,
        "tariffs": tariffs.digest, "tariffs_valid_from": tariffs.valid_from.isoformat(), "workers": 2,
        "needs_key": True, "verifies_signature": False,
    }  # fmt: skip
    assert {name: record[name] for name in expected} == expected
    assert not any("open to everybody" in line for line in life.lines)


def test_a_stop_says_why_and_so_do_the_workers(life: Life) -> None:
    messages = [record["message"] for record in life.records]
    assert messages.count("stopping because of SIGTERM") == 1
    assert len([m for m in messages if m.startswith("worker stops because of SIGTERM, after a drain of ")]) == 2
    assert messages.count("worker gives way to another because of SIGHUP") == 2
    assert len([m for m in messages if "was ended by signal 9 (Killed); another takes its place" in m]) == 1


def test_the_errors_of_the_protocol_have_its_form(life: Life) -> None:
    for name in ("protocol error", "other version"):
        assert isinstance(life.answers[name].json()["error"], str)


def test_errors_leave_records_during_the_drain_too(trained_tag: str) -> None:
    environment = {variable("log_format"): "json", variable("drain_seconds"): "3"}
    with serving(env=environment) as server:
        server.process.terminate()
        wait_until(lambda: httpx.get(f"{server.url}/health").status_code == 503, 2.0)
        answers = {path: httpx.get(f"{server.url}{path}") for path in ("/health", "/v2/health/ready", "/nowhere")}
        server.process.wait(20)
        records = [json.loads(line) for line in server.log.read_text().splitlines()]
    for path, answer in answers.items():
        (record,) = (record for record in records if record.get("request_id") == answer.headers["x-request-id"])
        expected = ("none", 404) if path == "/nowhere" else (path, 503)
        assert (record["route"], record["status"], answer.status_code) == (*expected, expected[1])
        assert record["level"] == "WARNING"
    assert "worker stops because of SIGTERM, after a drain of 3 s" in [record["message"] for record in records]


def test_text_is_one_line_a_record_and_ctrl_c_is_told(trained_tag: str) -> None:
    with serving() as server:
        answer = httpx.get(f"{server.url}/nowhere", headers={"traceparent": TRACEPARENT})
        server.process.send_signal(signal.SIGINT)
        server.process.wait(20)
        log = server.log.read_text()
    said = rf"\[WARNING\] .* none answered 404 after [\d.]+ ms with {len(answer.content)} bytes, rows: none, request "
    assert len(re.findall(said + f"{answer.headers['x-request-id']}, trace {TRACE}\n", log)) == 1
    assert log.count(" stopping because of SIGINT\n") == 1
    assert re.search(
        r"starting version \S+ \(from source, commit \S+\) with model \S+, tariffs .*, workers: 1, API key: none, "
        r"signature: not looked at\n",
        log,
    )
    assert log.count("open to everybody") == 1


def test_a_request_that_ends_as_no_http_has_one_answer_one_record_and_counts_once(trained_tag: str) -> None:
    """The application waits for the rest of a body when the connection refuses it; and a head may come all at once."""
    broken = head("POST", "/predict", CHUNKED, "content-type: application/json", "x-request-id: mine")
    with serving(env={variable("log_format"): "json"}) as server:
        connection = Connection(server.url)
        connection.send(broken)
        time.sleep(0.5)  # until the application waits
        status, headers, _ = connection.answer_to(b'5\r\n{"cal\r\nzz\r\n')
        assert (status, headers["x-request-id"], connection.rest()) == (400, "mine", b"")
        connection.close()
        connection = Connection(server.url)
        assert connection.answer_to(head("GET", "/health", f"x-padding: {'a' * 40_000}"))[0] == 431
        connection.close()
        time.sleep(0.5)
        metrics = httpx.get(f"{server.url}/metrics").text
        records = [json.loads(line) for line in server.log.read_text().splitlines()]
    access = [(each["route"], each["status"]) for each in records if each["logger"].endswith(".access")]
    assert sorted(status for _, status in access) == [400, 431]
    assert ("/predict", 400) in access
    counted = re.findall(r'^plan_recommender_requests_total\{.*status="4\d\d"\} (\S+)$', metrics, re.MULTILINE)
    assert sum(map(float, counted)) == 2


def test_under_overload_refusals_have_ids_and_leave_few_records(trained_tag: str) -> None:
    with serving(fault("overloaded"), env={variable("log_format"): "json"}) as server:
        with closing(Connection(server.url)) as raw:
            status, headers, _ = raw.answer_to(post("/predict", "x-request-id: burst-1", f"traceparent: {TRACEPARENT}"))
            assert (status, headers["x-request-id"], headers["traceparent"]) == (503, "burst-1", TRACEPARENT)
        with httpx.Client(base_url=server.url) as http:
            for _ in range(REFUSED - 1):
                assert http.post("/predict", json=GOOD).status_code == 503
        time.sleep(1.5)
        records = [json.loads(line) for line in server.log.read_text().splitlines()]
    refused = [record for record in records if record.get("status") == 503]
    own = [record for record in refused if "left_out" not in record]
    assert own[0]["request_id"] == "burst-1"
    assert own[0]["rows"] is None
    assert len(own) < REFUSED
    assert len(own) + sum(record.get("left_out", 0) for record in refused) == REFUSED


def test_a_fault_is_found_by_the_id_of_its_answer(trained_tag: str) -> None:
    with serving(fault("cannot_explain"), env={variable("log_format"): "json"}) as server:
        answer = httpx.post(f"{server.url}/explain", json=GOOD, headers={"traceparent": TRACEPARENT})
        assert answer.status_code == 500
        records = [json.loads(line) for line in server.log.read_text().splitlines()]
    found = [record for record in records if record.get("request_id") == answer.headers["x-request-id"]]
    assert [(record["level"], record["trace_id"]) for record in found] == [("ERROR", TRACE), ("WARNING", TRACE)]
    assert found[0]["exception"].startswith("Traceback")


FAILS_IN_THE_LOOP = """
import asyncio
from bentoml._internal.log import configure_server_logging
from plan_recommender.serving import logs
from plan_recommender.serving.settings import Environment

configure_server_logging()
logs.configure(Environment.read())
loop = asyncio.new_event_loop()
loop.call_soon(lambda: 1 / 0)
loop.run_until_complete(asyncio.sleep(0.01))
"""


def test_what_fails_in_the_event_loop_is_logged() -> None:
    """BentoML turns the log of asyncio off, in which alone it would be told."""
    run = subprocess.run(
        [sys.executable, "-c", FAILS_IN_THE_LOOP], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "ZeroDivisionError: division by zero" in run.stdout + run.stderr
