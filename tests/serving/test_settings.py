"""The variables that configure a service: what they change in a real one, and what is refused."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtest.trials.service import workers
from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.errors import ConfigError
from plan_recommender.serving.settings import KEY_VARIABLE, Environment, known_variables, variable
from tests.serving.faults import fault
from tools.server import ROOT, Server, free_port, serving

KEY = "correct-horse-battery"


@dataclass(frozen=True)
class Life:
    """What a service did that was told to do otherwise than by default, and what it left."""

    workers: int
    batches: set[int]
    """Statuses of the answers to more large batches than it may take at a time."""
    advice: dict[str, Any]
    of_another_tariff: int
    """Status of the answer to a month on a plan of the shipped tariffs."""
    records: list[dict[str, Any]]
    """The log until its end, with the replacement of a worker that was killed."""


@pytest.fixture(scope="module")
def life(trained_tag: str) -> Life:
    dollars = ROOT / "examples" / "tariffs_usd.yaml"
    settings = {"workers": "2", "log_format": "json", "max_batches": "1", "tariffs": str(dollars)}
    month = {"month": "2026-10", "calls": 40, "minutes": 700.0, "messages": 9, "mb_used": 16_000, "billed_minutes": 710}
    with serving(env={variable(name): value for name, value in settings.items()}) as server:
        wait_for(server, "initialized", 2)
        (victim, *_) = found = workers(server)
        with httpx.Client(base_url=server.url) as client:
            advice = client.post("/advise", json={"plan": "Surf", "months": [month]}).json()
            other = client.post("/advise", json={"plan": "Smart", "months": [month]}).status_code
        batches = answers_to_batches(server)
        victim.kill()
        wait_for(server, "initialized", 3)
        stop(server)
        records = [json.loads(line) for line in server.log.read_text().splitlines()]
    return Life(len(found), batches, advice, other, records)


@pytest.mark.slow
def test_a_service_has_as_many_workers_as_it_is_told_to(life: Life, server: Server) -> None:
    assert life.workers == 2
    assert len(workers(server)) == 1


@cache
def log_of_a_fault(log_format: str, level: str = "info") -> list[str]:
    """Lines that a service leaves which starts, answers its own page, fails once and ends."""
    environment = {variable("log_format"): log_format, variable("log_level"): level}
    with serving(fault("cannot_explain"), env=environment) as server:
        usage = {"calls": 1, "minutes": 1, "messages": 1, "mb_used": 1}
        assert httpx.post(f"{server.url}/explain", json=usage).status_code == 500
        assert httpx.get(f"{server.url}/").status_code == 200
        stop(server)
        return server.log.read_text().splitlines()


def stop(server: Server) -> None:
    """End it, so that its log is complete."""
    server.process.terminate()
    server.process.wait(20)


def wait_for(server: Server, text: str, times: int) -> None:
    """Wait until a text stands in the log so many times."""
    deadline = time.monotonic() + 30
    while server.log.read_text().count(text) < times and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.slow
def test_a_log_as_json_is_one_object_a_line(trained_tag: str) -> None:
    records = [json.loads(line) for line in log_of_a_fault("json")]
    for record in records:
        own = set(record) - {"exception"} - {"time", "level", "logger", "process", "message"}
        assert not own or record["logger"].startswith("bentoml.plan_recommender"), "the fields are those of test_log.py"
        assert datetime.fromisoformat(record["time"]).utcoffset() is not None
    messages = [record["message"] for record in records]
    assert any(message.startswith("Starting production") for message in messages), "of the supervisor"
    assert len([message for message in messages if "path=/," in message]) == 1, "of a worker, once"
    (fault,) = (record for record in records if record["level"] == "ERROR")
    assert fault["message"] == f"/explain failed, request {fault['request_id']}"
    assert fault["exception"].startswith("Traceback")
    assert "one line\nanother \x1b[31m" in fault["exception"]


@pytest.mark.slow
def test_a_log_as_text_is_bentomls(trained_tag: str) -> None:
    lines = log_of_a_fault("text", "debug")
    records = [line for line in lines if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[A-Z]+\] \[", line)]
    assert len([record for record in records if "path=/," in record]) == 1
    assert "Traceback (most recent call last):" in lines


@pytest.mark.slow
@pytest.mark.parametrize(("level", "seen"), [("debug", True), ("info", True), ("warning", False)])
def test_the_log_has_what_its_level_says(trained_tag: str, level: str, seen: bool) -> None:
    if level == "debug":  # the log of the test above
        lines = log_of_a_fault("text", level)
        levels = [found[1] for line in lines if (found := re.match(r"\S+ \[([A-Z]+)\] \[", line))]
    else:
        levels = [json.loads(line)["level"] for line in log_of_a_fault("json", level)]
    assert ("INFO" in levels) == seen
    assert ("DEBUG" in levels) == (level == "debug")
    assert "ERROR" in levels


@pytest.mark.slow
def test_limits_are_those_of_the_environment(life: Life, server: Server) -> None:
    read = Environment.read({variable("max_batches"): "3", variable("max_bodies_mib"): "10", "OTHER": "x"})
    assert Environment.read({variable("log_level"): "WARNING"}).log_level == "warning"
    assert (read.max_batches, read.max_bodies_mib) == (3, 10)

    assert answers_to_batches(server) == {200}
    assert life.batches == {200, 503}


def answers_to_batches(server: Server) -> set[int]:
    """Send a dozen of the largest batches at the same time; the statuses of the answers."""
    batch = {"rows": [{"calls": 1, "minutes": 1, "messages": 1, "mb_used": 1}] * 10_000}
    content = json.dumps(batch).encode()

    async def ask() -> list[httpx.Response]:
        headers = {"content-type": "application/json"}
        async with httpx.AsyncClient(base_url=server.url, timeout=60, headers=headers) as http:
            return await asyncio.gather(*(http.post("/predict_batch", content=content) for _ in range(12)))

    return {answer.status_code for answer in asyncio.run(ask())}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("workers", "0", "PLAN_RECOMMENDER_WORKERS: Input should be greater than or equal to 1, found '0'"),
        ("workers", "two", "PLAN_RECOMMENDER_WORKERS: Input should be a valid integer"),
        ("log_level", "loud", "PLAN_RECOMMENDER_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"),
        ("log_format", "xml", "PLAN_RECOMMENDER_LOG_FORMAT: Input should be 'text' or 'json', found 'xml'"),
        ("max_batches", "", "PLAN_RECOMMENDER_MAX_BATCHES: Input should be a valid integer"),
        ("max_bodies_mib", "9", "PLAN_RECOMMENDER_MAX_BODIES_MIB: Input should be greater than or equal to 10"),
        ("port", "0", "BENTOML_PORT: Input should be greater than or equal to 1"),
        ("port", "99999", "BENTOML_PORT: Input should be less than or equal to 65535"),
    ],
)
def test_a_bad_variable_is_one_sentence(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Environment.read({"BENTOML_PORT" if name == "port" else variable(name): value})
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PLAN_RECOMMENDER_APIKEY", KEY_VARIABLE), ("plan_recommender_api_key", KEY_VARIABLE),
        ("PLAN_RECOMMENDER_KEY", KEY_VARIABLE), ("PLAN_RECOMMENDER_WORKER", variable("workers")),
        ("PLAN_RECOMMENDER_LOGLEVEL", variable("log_level")), ("PLAN_RECOMMENDER_PORT", None),
        ("PLAN_RECOMMENDER_", None), ("PLAN_RECOMMENDER_XYZZY", None),
    ],
)  # fmt: skip
def test_a_name_that_means_nothing_is_one_sentence_without_its_value(name: str, meant: str | None) -> None:
    with pytest.raises(ConfigError) as raised:
        Environment.read({name: KEY, variable("workers"): "2"})
    sentence = str(raised.value)
    assert sentence.startswith(f"environment variable {name}: expected one of PLAN_RECOMMENDER_")
    assert sentence.endswith("; correct it, or unset it")
    assert all(known in sentence for known in known_variables())
    assert KEY not in sentence
    assert re.findall(r"\(did you mean (\S+)\?\)", sentence) == ([meant] if meant else [])


def test_what_others_set_stops_nothing() -> None:
    kubernetes = {
        "PLAN_RECOMMENDER_SERVICE_HOST": "10.0.0.1", "PLAN_RECOMMENDER_SERVICE_PORT": "3000",
        "PLAN_RECOMMENDER_SERVICE_PORT_HTTP": "3000", "PLAN_RECOMMENDER_PORT": "tcp://10.0.0.1:3000",
        "PLAN_RECOMMENDER_PORT_3000_TCP": "tcp://10.0.0.1:3000", "PLAN_RECOMMENDER_PORT_3000_TCP_PROTO": "tcp",
        "PLAN_RECOMMENDER_PORT_3000_TCP_PORT": "3000", "PLAN_RECOMMENDER_PORT_3000_TCP_ADDR": "10.0.0.1",
        "PLAN_RECOMMENDER_CANARY_SERVICE_HOST": "10.0.0.2", "PLAN_RECOMMENDER_CANARY_PORT": "tcp://10.0.0.2:3000",
    }  # fmt: skip
    others = {"PLAN_RECOMMENDER_IMAGE": "plan_recommender:latest", "OTHER_API_KEY": "x", "RECOMMENDER": "x"}
    assert Environment.read(kubernetes | others) == Environment.read({})


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as holding:
        holding.bind(("127.0.0.1", 0))
        holding.listen()
        yield holding.getsockname()[1]


def failed_start(port: int, **environment: str) -> str:
    """What `bentoml serve` says that does not start."""
    command = [sys.executable, "-m", "bentoml", "serve", "service:PlanRecommender", "--host", "127.0.0.1"]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"BENTOML_PORT": str(port)} | environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    return (ended.stdout + ended.stderr).strip()


@pytest.mark.slow
def test_a_bad_variable_stops_the_start(trained_tag: str) -> None:
    said = failed_start(99999)
    assert "environment variable BENTOML_PORT: " in said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_tariffs_that_are_wrong_or_absent_stop_the_start(trained_tag: str, tmp_path: Path) -> None:
    tariffs = tmp_path / "tariffs.yaml"
    tariffs.write_text((ROOT / "tariffs.yaml").read_text().replace("fee: 550", "fee: -550"))
    said = failed_start(free_port(), **{variable("tariffs"): str(tariffs)})
    assert f"{tariffs}: plans.0.fee: Input should be greater than or equal to 0" in said
    assert len(said.splitlines()) == 1
    absent = "none.yaml: expected a file of tariffs that can be read, found: No such file or directory"
    with pytest.raises(ConfigError, match=absent):
        load_tariffs(tmp_path / "none.yaml")


@pytest.mark.slow
def test_prices_change_without_training(life: Life, trained_tag: str) -> None:
    assert life.of_another_tariff == 400
    assert life.advice["model"] == trained_tag
    assert life.advice["currency"] == "USD"
    assert [plan["plan"] for plan in life.advice["plans"]] == ["Surf", "Ultimate"]
    assert life.advice["plans"][0]["last_bill"]["total"] == 20 + 210 * 0.03 + 10


@pytest.mark.slow
def test_a_misspelt_key_stops_the_start_and_is_not_repeated(trained_tag: str) -> None:
    said = failed_start(free_port(), PLAN_RECOMMENDER_APIKEY=KEY)
    assert len(said.splitlines()) == 1
    assert f"(did you mean {KEY_VARIABLE}?); correct it, or unset it" in said
    assert KEY not in said


@pytest.mark.slow
def test_a_start_without_a_key_says_once_that_the_service_is_open(life: Life, server: Server) -> None:
    """The service with a key is in `test_auth`."""
    assert server.log.read_text().count("open to everybody") == 1
    assert len([record for record in life.records if record["message"].endswith("initialized")]) >= 3
    (warning,) = (record for record in life.records if "open to everybody" in record["message"])
    assert (warning["level"], KEY_VARIABLE in warning["message"]) == ("WARNING", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({variable("workers"): "none"}, "environment variable PLAN_RECOMMENDER_WORKERS"),
        ({"BENTOML_HOME": "EMPTY"}, "expected the model plan_recommender:latest in the BentoML model store"),
        ({}, "Address already in use"),
    ],
    ids=["environment", "no model", "port in use"],
)
def test_a_failed_start_is_a_record_too_where_the_log_is_json(
    environment: dict[str, str], sentence: str, busy_port: int, trained_tag: str, tmp_path: Path
) -> None:
    environment = {name: value.replace("EMPTY", str(tmp_path)) for name, value in environment.items()}
    said = failed_start(busy_port, **{variable("log_format"): "json"}, **environment)
    record = json.loads(said.splitlines()[-1])
    assert sentence in record["message"]
    assert "\x1b" not in record["message"]
    assert record["level"] == "CRITICAL"
    assert all(json.loads(line)["level"] in ("INFO", "WARNING", "ERROR", "CRITICAL") for line in said.splitlines())


@pytest.mark.slow
def test_a_port_that_is_in_use_is_no_bug(busy_port: int, trained_tag: str) -> None:
    said = failed_start(busy_port)
    assert f"Could not bind 127.0.0.1:{busy_port}" in said
    assert "Traceback" not in said


def test_an_empty_port_is_bentomls_default() -> None:
    assert Environment.read({"BENTOML_PORT": ""}).port == Environment.read({}).port == 3000
