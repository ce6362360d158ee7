"""The optional API key, and pages of other origins: asked of real servers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from plan_recommender.errors import ConfigError
from plan_recommender.serving.auth import Authentication
from plan_recommender.serving.routes import ROUTES
from plan_recommender.serving.settings import KEY_VARIABLE, PUBLIC_VARIABLE
from tests.serving.corpus import GOOD, usage
from tests.serving.test_contract import assert_error_shape
from tests.serving.wire import Connection, head, post
from tools.server import ROOT, Server, ServerDidNotStartError, serving

pytestmark = pytest.mark.slow

KEY = "correct-horse-battery"
ORIGIN = "https://crm.example"
CORS = {
    "enabled": True,
    "access_control_allow_origins": [ORIGIN],
    "access_control_allow_methods": ["GET", "POST"],
    "access_control_allow_headers": ["authorization", "content-type"],
}


@pytest.fixture(scope="module")
def guarded(trained_tag: str) -> Iterator[Server]:
    overrides = {"services": {"plan_recommender": {"http": {"cors": CORS}}}}
    with serving(env={KEY_VARIABLE: KEY, "BENTOML_CONFIG_OVERRIDES": json.dumps(overrides)}) as running:
        yield running


@pytest.fixture(scope="module")
def http(guarded: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.url, timeout=30) as client:
        yield client


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Bearer", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Bearer {KEY} x",
        f"Bearer {KEY.upper()}", f"Bearer Bearer {KEY}", "Bearer \xe9",
    ],
)  # fmt: skip
def test_without_the_key_nothing_is_answered(http: httpx.Client, authorization: str | None) -> None:
    headers = {} if authorization is None else {b"authorization": authorization.encode("latin-1")}
    for path in ("/predict", "/model", "/nowhere", "/", "/docs.json", "/schema.json"):
        answer = http.request("POST" if path == "/predict" else "GET", path, headers=headers, json=GOOD)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        assert_error_shape(answer.json())
        assert answer.json()["detail"][0]["loc"] == ["authorization"]


def test_two_keys_are_none(http: httpx.Client) -> None:
    headers = [("authorization", f"Bearer {KEY}"), ("authorization", "Bearer x")]
    assert http.post("/predict", json=GOOD, headers=headers).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_key_everything_is(http: httpx.Client, scheme: str) -> None:
    headers = {"authorization": f"{scheme} {KEY}"}
    assert http.post("/predict", json=GOOD, headers=headers).status_code == 200
    for path in ("/model", "/", "/docs.json"):
        assert http.get(path, headers=headers).status_code == 200


def test_probes_and_metrics_need_none(http: httpx.Client) -> None:
    for path in ("/health", "/livez", "/readyz", "/healthz", "/metrics"):
        assert http.get(path).status_code == 200


def test_bentomls_own_client_carries_it(guarded: Server, trained_tag: str) -> None:
    # In a process of its own: the client leaves it to the interpreter to clean up, which warns of it.
    asked = subprocess.run(
        [sys.executable, "-m", "tests.programs.ask_with_key", guarded.url, KEY],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert asked.stdout.strip() == trained_tag


def test_a_page_of_the_named_origin_may_ask_and_others_may_not(http: httpx.Client) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    for path in ROUTES:
        preflight = http.options(path, headers={"origin": ORIGIN} | asked)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, ORIGIN)
        refused = http.options(path, headers={"origin": "https://evil.example"} | asked)
        assert refused.status_code == 400
        for each in (preflight, refused):
            assert each.headers["x-request-id"]
    key = {"authorization": f"Bearer {KEY}"}
    answer = http.post("/predict", json=GOOD, headers=key | {"origin": ORIGIN})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
    answer = http.post("/predict", json=GOOD, headers=key | {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    for path in ("/", "/docs.json", "/schema.json", "/metrics", "/livez"):
        for origin, allowed in ((ORIGIN, [ORIGIN]), ("https://evil.example", [])):
            answer = http.get(path, headers=key | {"origin": origin})
            assert answer.status_code == 200
            assert answer.headers.get_list("access-control-allow-origin") == allowed, path


@pytest.mark.parametrize("length", [len(usage()), 4000])
def test_the_connection_of_a_client_that_was_not_asked_for_its_body_ends(guarded: Server, length: int) -> None:
    """It may send the body all the same or leave it out, and nothing tells which."""
    with closing(Connection(guarded.url)) as client:
        status, headers, _ = client.answer_to(
            head(
                "POST",
                "/predict",
                "expect: 100-continue",
                "content-type: application/json",
                f"content-length: {length}",
            )
        )
        assert (status, headers["connection"]) == (401, "close")
        assert client.rest() == b""


def test_the_connection_of_one_that_was_asked_lives(guarded: Server) -> None:
    """The control of the test above."""
    key = f"authorization: Bearer {KEY}"
    with closing(Connection(guarded.url)) as client:
        for _ in range(2):
            client.send(post("/predict", key, "expect: 100-continue")[: -len(usage())])
            assert client.answer()[0] == 100
            status, headers, _ = client.answer_to(usage())
            assert (status, headers.get("connection")) == (200, None)


def test_by_default_nobody_is_named(server: Server) -> None:
    answer = httpx.post(f"{server.url}/predict", json=GOOD, headers={"origin": ORIGIN})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_probes_and_metrics_can_need_it_too(trained_tag: str) -> None:
    # Readiness is asked without a key here, so it has to stay public for the start to be seen.
    with serving(env={KEY_VARIABLE: KEY, PUBLIC_VARIABLE: "health"}) as server:
        assert httpx.get(f"{server.url}/metrics").status_code == 401
        assert httpx.get(f"{server.url}/metrics", headers={"authorization": f"Bearer {KEY}"}).status_code == 200
        assert httpx.get(f"{server.url}/health").status_code == 200


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (KEY_VARIABLE, "short", "expected at least 16 printable ASCII characters"),
        (KEY_VARIABLE, "", "expected at least 16 printable ASCII characters"),
        (KEY_VARIABLE, "caf\xe9" * 4, "expected at least 16 printable ASCII characters"),
        (PUBLIC_VARIABLE, "health, metric", "expected names out of health, metrics"),
    ],
)
def test_a_key_that_guards_nothing_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name}: {sentence}"):
        Authentication.from_environment()


def test_a_key_that_guards_nothing_stops_the_start(trained_tag: str) -> None:
    key = "with a space in it, long"
    sentence = f"{KEY_VARIABLE}: expected at least 16 printable ASCII characters"
    with pytest.raises(ServerDidNotStartError, match=sentence) as raised, serving(env={KEY_VARIABLE: key}):
        pass
    assert "Traceback" not in str(raised.value)
    assert "with a space" not in str(raised.value)  # a key does not belong into a log


def test_a_service_with_a_key_does_not_say_that_it_is_open(guarded: Server) -> None:
    assert "open to everybody" not in guarded.log.read_text()
