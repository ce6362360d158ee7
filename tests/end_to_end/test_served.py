"""The service as a user starts it from source: a real server on a real socket."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from plan_recommender.model import store as model_store
from plan_recommender.model.features import FEATURE_NAMES
from tests.conftest import run
from tests.serving.corpus import GOOD, JSON, Case, comparable
from tests.serving.protocol_corpus import CORPUS
from tools.server import ROOT, Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_every_answer_is_byte_for_byte_the_in_process_one(http: httpx.Client, client: TestClient, case: Case) -> None:
    served = http.request(case.method, case.path, content=case.body, headers=case.headers)
    in_process = client.request(case.method, case.path, content=case.body, headers=case.headers)
    assert served.status_code == case.status
    assert comparable(case, served.content) == comparable(case, in_process.content)
    assert served.headers["content-type"] == "application/json"


def test_after_the_corpus_the_server_lives_and_nobody_was_answered_with_a_5xx(http: httpx.Client) -> None:
    assert http.get("/health").json()["status"] == "ok"
    metrics = [line for line in http.get("/metrics").text.splitlines() if "requests_total{" in line]
    assert any('status="400"' in line for line in metrics)
    assert not [line for line in metrics if 'status="5' in line]


def test_a_chunked_body_is_cut_off_at_the_limit(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 65536

    refused = http.post("/predict", content=endless(), headers=JSON)
    assert (refused.status_code, refused.headers["connection"]) == (413, "close")


def test_concurrent_clients_get_their_own_answers(http: httpx.Client) -> None:
    months = [GOOD | {"calls": calls} for calls in range(200)]
    alone = [http.post("/predict", json=month).json() for month in months]
    batch = {"rows": months}
    with ThreadPoolExecutor(8) as pool:
        batches = [pool.submit(http.post, "/predict_batch", json=batch) for _ in range(4)]
        together = list(pool.map(lambda month: http.post("/predict", json=month).json(), months))
        explanations = list(pool.map(lambda month: http.post("/explain", json=month).json(), months))
    assert together == alone
    assert [{name: explanation[name] for name in alone[0]} for explanation in explanations] == alone
    explained = [{c["feature"]: c["value"] for c in explanation["contributions"]} for explanation in explanations]
    assert explained == months
    for answer in batches:
        probabilities = [decision["probability_is_ultra"] for decision in answer.result().json()["predictions"]]
        assert probabilities == [one["probability_is_ultra"] for one in alone]


def test_no_feature_value_and_no_stack_trace_reaches_the_log(http: httpx.Client, server: Server) -> None:
    http.post("/predict", json=GOOD | {"calls": 424242.125, "minutes": -31337.5})
    http.get("/")
    deadline = time.monotonic() + 10
    while "path=/," not in (log := server.log.read_text()):  # the control: it is this server's log
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "424242" not in log
    assert "31337" not in log
    assert "Traceback" not in log


def probability(tag: str) -> float:
    """What the registered model says of the examples' first subscriber."""
    return float(model_store.find(tag).scorer().probabilities(np.array([[85, 516.7, 56, 22696.96]]))[0])


def test_bentomls_own_client_and_curl_work(server: Server, trained_tag: str) -> None:
    python = subprocess.run(
        [sys.executable, "examples/client.py", server.url], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *predicted, advised = python.stdout.splitlines()
    assert predicted == [f"Smart {probability(trained_tag):.3f}", "['Smart', 'Ultra']"]
    assert re.fullmatch(r"switch Smart 1[0-9]{3}\.[0-9]+ RUB", advised)
    curl = subprocess.run(
        ["bash", "examples/client.sh", server.url], cwd=ROOT, capture_output=True, text=True, check=True
    )
    single, batch, advice = curl.stdout.splitlines()
    assert f'"model":"{trained_tag}"' in single
    assert batch.count("recommended_plan") == 2
    assert '"sentence":"Cambie de Ultra a Smart: ' in advice


def test_the_pipeline_example_gives_the_services_probability(trained_tag: str) -> None:
    example = subprocess.run(
        [sys.executable, "examples/load_pipeline.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert example.stdout.endswith(f"probability of Ultra: {probability(trained_tag):.3f}\n")


@pytest.mark.parametrize(
    ("options", "training", "unpickles"),
    [([], [], False), (["--unpickle"], ["joblib", "pandas", "scipy", "sklearn"], True)],
    ids=["the service", "a control that unpickles"],
)
def test_the_serving_process_imports_no_training_library_and_unpickles_nothing(
    trained_tag: str, options: list[str], training: list[str], unpickles: bool
) -> None:
    watched = run("-W", "ignore", "-m", "tests.programs.watch_service", *options)
    assert watched.returncode == 0, watched.stderr
    imported, _, unpickled = watched.stdout.splitlines()[-1].rpartition(" ")
    assert (imported, int(unpickled) > 0) == (str(training), unpickles)


def test_the_request_schema_is_the_feature_list(http: httpx.Client) -> None:
    schema = http.get("/schema.json").json()
    predict = next(route for route in schema["routes"] if route["route"] == "/predict")
    assert list(predict["input"]["properties"]) == list(FEATURE_NAMES)
