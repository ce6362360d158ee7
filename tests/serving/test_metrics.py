"""What /metrics says is what happened, and nothing that a client sends can make it grow."""

import re
from collections.abc import Iterator
from typing import Any, cast

import httpx
import numpy as np
import pytest

from loadtest.trials.service import wait_until
from plan_recommender.serving import error_responses
from plan_recommender.serving.batches import Decisions
from plan_recommender.serving.metrics import telemetry
from plan_recommender.serving.routes import ROUTES
from tests.serving.corpus import GOOD, LIGHT
from tools.server import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def http(trained_tag: str) -> Iterator[httpx.Client]:
    """A server that nobody else asks."""
    with serving() as running, httpx.Client(base_url=running.url, timeout=30) as client:
        wait_until(lambda: "plan_recommender_drift_looked_seconds" in series(client), 20)  # they begin in a thread
        yield client


def series(http: httpx.Client) -> dict[str, float]:
    """Our series by name and labels."""
    lines = [line for line in http.get("/metrics").text.splitlines() if line.startswith("plan_recommender")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}


def test_predictions_are_counted_by_plan_and_probability(http: httpx.Client, trained_tag: str) -> None:
    before = series(http)
    single = http.post("/predict", json=GOOD).json()
    batch = http.post("/predict_batch", json={"rows": [GOOD, LIGHT, LIGHT]}).json()["predictions"]
    answers = [single, *batch]
    changes = grown(before, series(http))
    for plan in ("Smart", "Ultra"):
        count = sum(answer["recommended_plan"] == plan for answer in answers)
        name = f'plan_recommender_predictions_total{{model="{trained_tag}",plan="{plan}"}}'
        assert changes.get(name, 0) == count
    probabilities = [answer["probability_is_ultra"] for answer in answers]
    for limit in ("0.1", "0.3", "0.6", "1.0"):
        name = f'plan_recommender_probability_is_ultra_bucket{{le="{limit}",model="{trained_tag}"}}'
        assert changes.get(name, 0) == sum(p <= float(limit) for p in probabilities)
    name = f'plan_recommender_probability_is_ultra_sum{{model="{trained_tag}"}}'
    assert changes[name] == pytest.approx(sum(probabilities), rel=1e-9)
    name = f'plan_recommender_probability_is_ultra_count{{model="{trained_tag}"}}'
    assert changes[name] == 4


def test_a_batch_is_entered_by_few_updates_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As prometheus_client does it, one by one, 10,000 probabilities would keep the event loop for 27 ms, not one."""
    entered = telemetry()
    kind = type(entered._probability.labels("model of a test")._sum)
    updates, inc = [], kind.inc

    def counting(value: object, amount: float) -> None:
        updates.append(amount)
        inc(value, amount)

    entered.flush()  # of other tests
    monkeypatch.setattr(kind, "inc", counting)
    decisions = Decisions(np.ones(10_000, dtype=np.int64), np.full(10_000, 0.75))
    entered.answer({"predictions": cast(Any, decisions), "model": "model of a test"})
    entered.flush()
    assert sorted(updates) == [7_500, 10_000, 10_000]  # the sum, one bucket, one plan


def test_requests_and_refusals_are_counted_by_route_and_reason(http: httpx.Client) -> None:
    before = series(http)
    http.post("/predict", json=GOOD)
    http.post("/predict", content=b"{")
    http.post("/predict", content=b"x", headers={"content-type": "text/plain"})
    http.get("/predict")
    http.post("/predict", content=b" " * (1024 * 1024 + 1), headers={"content-type": "application/json"})
    http.post("/nowhere", json=GOOD)
    changes = grown(before, series(http))
    requests = {name: n for name, n in changes.items() if name.startswith("plan_recommender_requests_total")}
    assert requests == {
        f'plan_recommender_requests_total{{route="{route}",status="{status}"}}': 1
        for route, status in (
            ("/predict", 200), ("/predict", 400), ("/predict", 405), ("/predict", 413), ("/predict", 415), ("none", 404)
        )
    }  # fmt: skip
    refused = {name: n for name, n in changes.items() if name.startswith("plan_recommender_refused_requests_total")}
    assert refused == {
        f'plan_recommender_refused_requests_total{{reason="{reason}",route="{route}"}}': 1
        for reason, route in (
            ("invalid", "/predict"), ("method", "/predict"), ("size", "/predict"), ("media_type", "/predict"),
            ("path", "none"),
        )
    }  # fmt: skip
    assert changes['plan_recommender_request_seconds_count{route="/predict"}'] == 5


def test_refusals_that_alerts_watch_begin_at_0(http: httpx.Client) -> None:
    begun = series(http)
    for route in ROUTES:
        for refusal in (error_responses.fault(), error_responses.overloaded(), error_responses.stopping()):
            assert begun[f'plan_recommender_refused_requests_total{{reason="{refusal.reason}",route="{route}"}}'] == 0


def test_paths_that_clients_make_up_add_no_series(http: httpx.Client) -> None:
    http.get("/nowhere")
    names = set(re.findall(r"^[^#\s]+", http.get("/metrics").text, re.MULTILINE))
    for i in range(300):
        answer = http.get(f"/{i}/../static_content/{i}")
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (404, ["path"])
        http.post(f"/static_content/{i}.css")
    assert set(re.findall(r"^[^#\s]+", http.get("/metrics").text, re.MULTILINE)) == names


def test_bentomls_page_and_what_it_is_made_of_are_there(http: httpx.Client) -> None:
    page = http.get("/").text
    linked = re.findall(r'(?:href|src)="\.?/?(static_content/[^"]+)"', page)
    assert linked
    for path in linked:
        assert http.get(f"/{path}").status_code == 200
