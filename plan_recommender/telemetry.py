"""What /metrics says of the routes of the HTTP contract: requests, refusals, latency, and what was predicted.

The series are bounded: routes, reasons and the model's tag are the only labels, never a path or a value of a client.
"""

from bisect import bisect_left
from collections import Counter
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel

from plan_recommender.usage import PLANS, BatchRecommendation, Decision, Recommendation

LATENCY_BUCKETS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
)  # fmt: skip
"""Seconds; a prediction takes a fraction of a millisecond, a large batch tens of them."""

PROBABILITY_BUCKETS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

REASONS: Final = {
    HTTPStatus.BAD_REQUEST: "invalid",
    HTTPStatus.NOT_FOUND: "path",
    HTTPStatus.METHOD_NOT_ALLOWED: "method",
    HTTPStatus.REQUEST_TIMEOUT: "slow",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "size",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "media_type",
    HTTPStatus.INTERNAL_SERVER_ERROR: "fault",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}
"""Why a request was not answered, by the status that it got."""

NO_ROUTE: Final = "none"
"""Label of the requests for a path that does not exist."""


class Telemetry:
    """The series of one worker; Prometheus' multiprocess mode adds the workers up."""

    def __init__(self) -> None:
        # Not at the top: BentoML tells prometheus_client where the workers' files are after it has imported us.
        import prometheus_client

        self._requests = prometheus_client.Counter(
            "plan_recommender_requests", "Requests, by route and status.", ["route", "status"]
        )
        self._refused = prometheus_client.Counter(
            "plan_recommender_refused_requests", "Requests that were not answered, by reason.", ["route", "reason"]
        )
        self._seconds = prometheus_client.Histogram(
            "plan_recommender_request_seconds", "Time from the request's head to its answer.", ["route"],
            buckets=LATENCY_BUCKETS,
        )  # fmt: skip
        self._predictions = prometheus_client.Counter(
            "plan_recommender_predictions", "Subscribers answered for, by plan.", ["plan", "model"]
        )
        self._probability = prometheus_client.Histogram(
            "plan_recommender_probability_is_ultra", "Probabilities answered.", ["model"], buckets=PROBABILITY_BUCKETS
        )
        self._children: dict[tuple[str, ...], Any] = {}

    def request(self, route: str, status: HTTPStatus, seconds: float) -> None:
        """Count a request of a route of the contract, or of `NO_ROUTE`."""
        self._child(self._requests, route, str(int(status))).inc()
        self._child(self._seconds, route).observe(seconds)
        reason = REASONS.get(status)
        if reason is not None:
            self._child(self._refused, route, reason).inc()

    def answer(self, answer: BaseModel) -> None:
        """Count what was predicted, if the answer predicts."""
        if isinstance(answer, Recommendation):
            self._child(self._predictions, answer.recommended_plan, answer.model).inc()
            self._child(self._probability, answer.model).observe(answer.probability_is_ultra)
        elif isinstance(answer, BatchRecommendation):
            self._batch(answer.predictions, answer.model)

    def _batch(self, decisions: list[Decision], model: str) -> None:
        for prediction, count in Counter(decision.prediction for decision in decisions).items():
            self._child(self._predictions, PLANS[prediction], model).inc(count)
        probabilities = [decision.probability_is_ultra for decision in decisions]
        histogram = self._child(self._probability, model)
        # One addition a bucket: thousands of calls of observe() would take longer than the predictions.
        for bucket, count in Counter(bisect_left(PROBABILITY_BUCKETS, p) for p in probabilities).items():
            histogram._buckets[bucket].inc(count)
        histogram._sum.inc(sum(probabilities))

    def _child(self, metric: Any, *labels: str) -> Any:
        key = (metric._name, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child


@cache
def telemetry() -> Telemetry:
    """Give the one instance of this process."""
    return Telemetry()
