"""The Prometheus metrics of the HTTP contract: requests, refusals, latency, and what was predicted.

The number of series is bounded: the labels are the route, the status, the reason of a refusal, the plan and the model's
tag, never a path or a value that a client sends.

A worker collects what happens in lists, and at most two hundred times a second it adds them to the files of
prometheus_client, from which any worker answers /metrics for all. Adding each value by itself would make predictions
slower.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, time
from functools import cache
from itertools import product
from typing import Any, Final, TypeVar, cast

import numpy as np
import numpy.typing as npt

from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.model.features import PLANS
from plan_recommender.serving.batches import Decisions
from plan_recommender.serving.patches.prometheus import observe_many
from plan_recommender.serving.schemas import AdviceAnswer, BatchRecommendation, Recommendation

LATENCY_BUCKETS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
)  # fmt: skip
"""Upper ends, in seconds. A prediction takes a fraction of a millisecond, a large batch tens of milliseconds."""

PROBABILITY_BUCKETS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Upper ends, of the probability of Ultra."""

OWN_REASONS: Final = ("fault", "overload", "stopping")
"""Reasons of a refusal that lie with the service; all other reasons lie with the client."""

LOG_REASONS: Final = ("disk", "queue", "stopping", "fault")
"""Why lines of the prediction log are dropped: they cannot be written, too many wait for the disk, the disk has not
taken them when the worker ends, or the log itself fails."""

NO_ROUTE: Final = "none"
"""Route label of requests for a path that does not exist, and of those refused before their path was known."""

_FLUSH_SECONDS = 0.005

_Key = TypeVar("_Key")


class Predictions:
    """Counts of some predictions: by plan and by bucket of the probability, and the sum of the probabilities."""

    def __init__(self, predictions: npt.ArrayLike, probabilities: npt.ArrayLike) -> None:
        """Count decisions (1 Ultra, 0 Smart) and their probabilities of Ultra, each of shape (rows,)."""
        plans = np.bincount(predictions)
        self.plans = {PLANS[plan]: count for plan, count in enumerate(plans.tolist()) if count}
        self.buckets = _in_buckets(PROBABILITY_BUCKETS, probabilities)
        self.sum = float(np.sum(probabilities))


class Telemetry:
    """The series of one worker; prometheus_client's multiprocess mode adds up those of all workers."""

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
        self._advice = prometheus_client.Counter(
            "plan_recommender_advice", "Subscribers advised, by kind of advice and plan advised.", ["advice", "plan"]
        )
        self._tariffs_since = prometheus_client.Gauge(
            "plan_recommender_tariffs_valid_from_seconds", "First day of the tariffs in force, in Unix time.",
            multiprocess_mode="livemax",
        )  # fmt: skip
        self._log_written = prometheus_client.Counter(
            "plan_recommender_prediction_log_written", "Lines written to the prediction log."
        )
        self._log_dropped = prometheus_client.Counter(
            "plan_recommender_prediction_log_dropped", "Lines that the prediction log lacks, by reason.", ["reason"]
        )
        self._children: dict[tuple[Any, ...], Any] = {}
        self._seconds_of: dict[tuple[str, int, str], list[float]] = {}
        self._advised: list[tuple[str, str]] = []
        self._probabilities_of: dict[tuple[str, int], list[float]] = {}
        self._batches: list[tuple[str, Predictions]] = []

    def begin(self, routes: Iterable[str], model: str, tariffs: Tariffs) -> None:
        """Start series at 0, because a rate needs a first value, and so that the first request does not wait for files.

        They are: for each route the status 200, the latency and `OWN_REASONS`; what this model predicts; and what is
        advised by these tariffs.
        """
        since = datetime.combine(tariffs.valid_from, time.min, UTC)
        self._tariffs_since.set(since.timestamp())
        for kind, plan in product(("keep", "switch", "choose"), tariffs.names):
            self._child(self._advice, kind, plan).inc(0)
        for route in routes:
            self._child(self._requests, route, "200").inc(0)
            observe_many(self._child(self._seconds, route), Counter({0: 0}), 0)
            for reason in OWN_REASONS:  # so that alerts see the first refusal of a burst
                self._child(self._refused, route, reason).inc(0)
        for plan in PLANS:
            self._child(self._predictions, plan, model).inc(0)
        observe_many(self._child(self._probability, model), Counter({0: 0}), 0)
        for reason in LOG_REASONS:
            self._child(self._log_dropped, reason).inc(0)

    def log_written(self, lines: int) -> None:
        """Count lines of the prediction log that are in their file; any thread may call this."""
        self._log_written.inc(lines)

    def log_dropped(self, reason: str, lines: int) -> None:
        """Count lines of the prediction log that were dropped for one of `LOG_REASONS`; any thread may call this."""
        self._child(self._log_dropped, reason).inc(lines)

    def request(self, route: str, status: int, reason: str, seconds: float) -> None:
        """Count a finished request, which is in the series at most `_FLUSH_SECONDS` later; call it in the event loop.

        Args:
            route: path of a route of the contract, or `NO_ROUTE`.
            status: HTTP status of the answer.
            reason: why the request was refused; empty if it was not.
            seconds: time from the request's head to its answer.
        """
        if not self._seconds_of:
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
        _append(self._seconds_of, (route, status, reason), seconds)

    def answer(self, answer: Recommendation | BatchRecommendation) -> None:
        """Count what a model predicted; it is in the series after the next `flush`.

        Call it in the event loop.
        """
        decisions: Decisions | None = cast(Any, answer).get("predictions")
        if decisions is not None:
            counted = Predictions(decisions.predictions, decisions.probabilities)
            self._batches.append((answer["model"], counted))
        else:
            single = cast(Recommendation, answer)
            decided = single["model"], single["prediction"]
            _append(self._probabilities_of, decided, single["probability_is_ultra"])

    def advice(self, answer: AdviceAnswer) -> None:
        """Count an advice; it is in the series after the next `flush`."""
        self._advised.append((answer["advice"], answer["advised_plan"]))

    def flush(self) -> None:
        """Add what was collected to the series; call it in the event loop."""
        advised, self._advised = self._advised, []
        for (kind, plan), count in Counter(advised).items():
            self._child(self._advice, kind, plan).inc(count)
        seconds_of, self._seconds_of = self._seconds_of, {}
        for (route, status, reason), seconds in seconds_of.items():
            self._child(self._requests, route, str(status)).inc(len(seconds))
            if reason:
                self._child(self._refused, route, reason).inc(len(seconds))
            self._observe(self._seconds, route, seconds, LATENCY_BUCKETS)
        probabilities_of, self._probabilities_of = self._probabilities_of, {}
        for (model, prediction), probabilities in probabilities_of.items():
            self._child(self._predictions, PLANS[prediction], model).inc(len(probabilities))
            self._observe(self._probability, model, probabilities, PROBABILITY_BUCKETS)
        batches, self._batches = self._batches, []
        for model, batch in batches:
            for plan, count in batch.plans.items():
                self._child(self._predictions, plan, model).inc(count)
            observe_many(self._child(self._probability, model), batch.buckets, batch.sum)

    def _observe(self, histogram: Any, label: str, values: list[float], ends: tuple[float, ...]) -> None:
        observe_many(self._child(histogram, label), _in_buckets(ends, values), sum(values))

    def _child(self, metric: Any, *labels: str) -> Any:
        """Find the series of a metric with these labels, or make it."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child


@cache
def telemetry() -> Telemetry:
    """Give the one `Telemetry` of this process; the first call makes it."""
    return Telemetry()


def _append(values_of: dict[_Key, list[float]], key: _Key, value: float) -> None:
    values = values_of.get(key)
    if values is None:
        values_of[key] = [value]
    else:
        values.append(value)


def _in_buckets(ends: tuple[float, ...], values: npt.ArrayLike) -> dict[int, int]:
    """Count the values in each bucket by its index, without the empty ones."""
    counts = np.bincount(np.searchsorted(ends, values))
    return {bucket: count for bucket, count in enumerate(counts.tolist()) if count}
