"""Locust users of the plan recommender; every answer is checked, not only its status.

`make loadtest` starts a service and runs this. Against one that runs already:
    locust --headless -f loadtest/locustfile.py --host http://127.0.0.1:3000 --users 16 --spawn-rate 16 --run-time 15s

The run exits with 1 when the budget in the section `loadtest` of model_config.yaml is broken, or nothing was asked.
"""

import itertools
import logging
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment

from plan_recommender.config import load_settings
from plan_recommender.synthesis import generate
from plan_recommender.usage import FEATURE_NAMES, PLANS

SETTINGS = load_settings(Path(__file__).resolve().parents[1] / "model_config.yaml")
BATCH_ROWS = 100
REQUESTS_PER_SECOND = 20  # of one user

_subscribers = next(generate(5_000, SETTINGS.seed)).features.tolist()
SUBSCRIBERS = [dict(zip(FEATURE_NAMES, row, strict=True)) for row in _subscribers]


class _User(FastHttpUser):
    abstract = True
    wait_time = constant_throughput(REQUESTS_PER_SECOND)

    def on_start(self) -> None:
        """Learn which model answers, and from which probability it recommends Ultra."""
        about = self.client.get("/model").json()
        self.model, self.threshold = about["model"], about["threshold"]
        self.subscribers = itertools.cycle(SUBSCRIBERS)

    def check(self, decision: dict[str, Any]) -> str | None:
        """Tell what is wrong with one decision, if anything is."""
        probability = decision["probability_is_ultra"]
        expected = int(probability >= self.threshold)
        if not 0 <= probability <= 1:
            return f"expected a probability, found {probability}"
        if (decision["prediction"], decision["recommended_plan"]) != (expected, PLANS[expected]):
            return f"expected {PLANS[expected]} at probability {probability}, found {decision}"
        return None


class Application(_User):
    """A CRM or an app backend: one subscriber a request, and now and then a broken one."""

    weight = 9

    @task(20)
    def predict(self) -> None:
        """Ask for one subscriber."""
        with self.client.post("/predict", json=next(self.subscribers), catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"expected 200, found {response.status_code}")
                return
            answer = response.json()
            if answer["model"] != self.model:
                response.failure(f"expected an answer of {self.model}, found one of {answer['model']}")
            elif problem := self.check(answer):
                response.failure(problem)

    @task(1)
    def predict_refused(self) -> None:
        """Ask for something that nobody can have used, and expect to be told."""
        usage = next(self.subscribers) | {"minutes": -1}
        with self.client.post("/predict", json=usage, catch_response=True, name="/predict (refused)") as response:
            if response.status_code == 400 and response.json()["detail"][0]["loc"] == ["minutes"]:
                response.success()
            else:
                response.failure(f"expected 400 for minutes, found {response.status_code}")


class CampaignAnalyst(_User):
    """A job that scores many subscribers at once."""

    weight = 1
    wait_time = constant_throughput(REQUESTS_PER_SECOND / 10)

    @task
    def predict_batch(self) -> None:
        """Ask for a hundred subscribers."""
        rows = list(itertools.islice(self.subscribers, BATCH_ROWS))
        with self.client.post("/predict_batch", json={"rows": rows}, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"expected 200, found {response.status_code}")
                return
            decisions = response.json()["predictions"]
            problems = [problem for decision in decisions if (problem := self.check(decision))]
            if len(decisions) != len(rows):
                response.failure(f"expected {len(rows)} decisions, found {len(decisions)}")
            elif problems:
                response.failure(problems[0])


@events.quitting.add_listener
def judge(environment: Environment, **_: object) -> None:
    """Hold the run against the budget; locust exits with what is set here."""
    total = environment.stats.total
    budget = SETTINGS.loadtest
    p95 = total.get_response_time_percentile(0.95) if total.num_requests else None
    broken = []
    if p95 is None:
        broken.append("expected requests, found none")
    else:
        if total.fail_ratio > budget.max_failure_share:
            broken.append(f"expected at most {budget.max_failure_share:.2%} failures, found {total.fail_ratio:.2%}")
        if p95 > budget.p95_ms:
            broken.append(f"expected a 95th percentile of at most {budget.p95_ms:g} ms, found {p95:g} ms")
    for sentence in broken:
        logging.error("budget broken: %s", sentence)
    if not broken:
        logging.info(
            "budget kept: %d requests, %.2f%% failed, p95 %g ms", total.num_requests, 100 * total.fail_ratio, p95
        )
    environment.process_exit_code = int(bool(broken))
