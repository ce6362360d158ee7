"""What an instance of the service did over some time, read from its series: at /metrics twice, or from Prometheus."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from plan_recommender.errors import PlanRecommenderError
from plan_recommender.serving.metrics import LATENCY_BUCKETS, OWN_REASONS
from plan_recommender.serving.routes import ROUTES, Command

SLOW_SECONDS: Final = {"/predict": 0.1}
"""From when on an answer counts as slow, by route; the alert PlanRecommenderSlow uses the same limits."""

OTHERS_SLOW_SECONDS: Final = 1.0
"""From when on the answers of all other routes count as slow."""

CLIENTS_ROUTES: Final = frozenset(path for path, route in ROUTES.items() if isinstance(route, Command))
"""Routes that recommend or advise; a probe of /health says nothing of how clients are served."""

_REQUESTS: Final = "plan_recommender_requests_total"
_REFUSED: Final = "plan_recommender_refused_requests_total"
_BUCKET: Final = "plan_recommender_request_seconds_bucket"
_TIMED: Final = "plan_recommender_request_seconds_count"
_PREDICTIONS: Final = "plan_recommender_predictions_total"
_READ: Final = (_REQUESTS, _REFUSED, _BUCKET, _TIMED, _PREDICTIONS)

_TIMEOUT_SECONDS: Final = 10.0

Series = tuple[str, frozenset[tuple[str, str]]]
"""Name and labels."""

Reading = dict[Series, float]
"""The value of every series that is read here."""

assert {OTHERS_SLOW_SECONDS, *SLOW_SECONDS.values()} <= set(LATENCY_BUCKETS)


@dataclass(frozen=True)
class Counts:
    """What happened on the routes of clients."""

    requests: int
    failed: int
    """Of the requests: answered with a fault, or refused for a reason that lies with the service."""
    refused: int
    """Of the requests: refused for any other reason, such as a wrong API key or usage that is not valid."""
    timed: int
    """Requests whose time was measured."""
    slow: int
    """Of those timed: answered later than the limit of their route."""
    rows: int
    """Subscribers answered for."""
    ultra: int
    """Of them: with Ultra as the recommended plan."""


def read_text(text: str, source: str) -> Reading:
    """Read a text of /metrics.

    Raises:
        PlanRecommenderError: it is none, or not one of this service.
    """
    try:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except ValueError as error:
        raise PlanRecommenderError(f"{source}: expected a text of /metrics, found another; {_hint(source)}") from error
    reading = {
        (sample.name, frozenset(sample.labels.items())): sample.value for sample in samples if sample.name in _READ
    }
    if not any(name == _REQUESTS for name, _ in reading):
        raise PlanRecommenderError(f"{source}: expected the series {_REQUESTS}, found none; {_hint(source)}")
    return reading


def of_files(before: Path, after: Path) -> Counts:
    """Count what happened between two texts of /metrics of one instance.

    Raises:
        PlanRecommenderError: one is not a text of this service, or they are not one after the other.
        OSError: one cannot be read.
    """
    readings = [read_text(path.read_text(encoding="utf-8", errors="replace"), str(path)) for path in (before, after)]
    return count(_between(readings[0], readings[1], str(after)))


def of_urls(urls: Sequence[str], seconds: float, wait: Callable[[float], object] = time.sleep) -> list[Counts]:
    """Count what happened at several instances while `seconds` passed.

    Raises:
        PlanRecommenderError: an instance does not answer, is another service, or began to count anew.
    """
    with httpx.Client(timeout=_TIMEOUT_SECONDS) as http:
        before = [read_text(_get(http, _metrics_of(url)).text, url) for url in urls]
        wait(seconds)
        after = [read_text(_get(http, _metrics_of(url)).text, url) for url in urls]
    return [count(_between(*each)) for each in zip(before, after, urls, strict=True)]


def of_prometheus(url: str, selector: str, seconds: int) -> Counts:
    """Count what Prometheus saw in the last `seconds` at the instances that a selector of labels names.

    Counters that began anew count from 0 on, as in Prometheus' own `increase`; unlike it, nothing is extrapolated.

    Raises:
        PlanRecommenderError: Prometheus does not answer, refuses the selector, or has no such series.
    """
    grown: dict[Series, float] = defaultdict(float)
    with httpx.Client(timeout=_TIMEOUT_SECONDS) as http:
        for name in _READ:
            query = f"{name}{{{selector}}}[{seconds}s]"
            found = _get(http, f"{url.rstrip('/')}/api/v1/query", {"query": query}).json()
            for series in found["data"]["result"]:
                values = [float(value) for _, value in series["values"]]
                grown[name, frozenset(series["metric"].items())] += sum(_steps(values))
    if not any(name == _REQUESTS for name, _ in grown):
        raise PlanRecommenderError(
            f"{url}: expected the series {_REQUESTS}{{{selector}}}, found none in the last {seconds} s; "
            "give the labels by which Prometheus knows the instances, such as job=\"plan-recommender-canary\""
        )  # fmt: skip
    return count(grown)


def count(grown: Mapping[Series, float]) -> Counts:
    """Sum up by how much each series has grown."""
    totals: dict[str, float] = defaultdict(float)
    for (name, pairs), value in grown.items():
        labels = dict(pairs)
        if name == _PREDICTIONS:
            totals["rows"] += value
            totals["ultra"] += value if labels.get("plan") == "Ultra" else 0
        route = labels.get("route")
        if route not in CLIENTS_ROUTES:
            continue
        if name == _REQUESTS:
            totals["requests"] += value
        elif name == _REFUSED:
            totals["failed" if labels.get("reason") in OWN_REASONS else "refused"] += value
        elif name == _TIMED:
            totals["timed"] += value
        elif name == _BUCKET and float(labels["le"]) == SLOW_SECONDS.get(route, OTHERS_SLOW_SECONDS):
            totals["in_time"] += value
    whole = {name: round(value) for name, value in totals.items()}
    timed = whole.get("timed", 0)
    return Counts(
        whole.get("requests", 0),
        whole.get("failed", 0),
        whole.get("refused", 0),
        timed,
        timed - whole.get("in_time", 0),
        whole.get("rows", 0),
        whole.get("ultra", 0),
    )


def _between(before: Reading, after: Reading, source: str) -> Reading:
    """Give by how much each series has grown; one that was not there before began at 0."""
    gone = [series for series, value in before.items() if after.get(series, -1.0) < value]
    if gone:
        raise PlanRecommenderError(
            f"{source}: expected counters that only grow, found {gone[0][0]} lower than before; the instance was "
            "started again, or several answer there by turns: read a single one, or ask Prometheus with --prometheus"
        )
    return {series: value - before.get(series, 0.0) for series, value in after.items()}


def _steps(values: Sequence[float]) -> Iterable[float]:
    """By how much a counter grew from each value to the next; one that is lower than before began anew at 0."""
    for before, after in pairwise(values):
        yield after - before if after >= before else after


def _metrics_of(url: str) -> str:
    return url if url.rstrip("/").endswith("/metrics") else f"{url.rstrip('/')}/metrics"


def _get(http: httpx.Client, url: str, parameters: dict[str, Any] | None = None) -> httpx.Response:
    try:
        answer = http.get(url, params=parameters)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PlanRecommenderError(
            f"{url}: expected an answer, found {type(error).__name__} ({error}); check the address"
        ) from error
    if answer.status_code != httpx.codes.OK:
        raise PlanRecommenderError(
            f"{url}: expected status 200, found {answer.status_code}; check the address, "
            "and that `metrics` is in PLAN_RECOMMENDER_PUBLIC or the query is right"
        )
    return answer


def _hint(source: str) -> str:
    return f"check that {source} is /metrics of the service, or a file of its text"
