"""The measurements of a running server: rates and latencies under load, the first request, memory."""

import os
import socket
import statistics
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from benchmark.contenders import Serve
from loadtest.generator import closed_loop, open_loop, post
from loadtest.record import Record
from loadtest.trials.service import workers
from plan_recommender.data.synthesis import generate
from plan_recommender.errors import PlanRecommenderError
from plan_recommender.model.features import FEATURE_NAMES, CustomerUsage
from plan_recommender.serving.batches import write_batch
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import AdviceRequest, Recommendation, UsageBatch
from tools.server import Server

CONNECTIONS: Final = 16
BATCH_CONNECTIONS: Final = 4
BATCH_ROWS: Final = 1_000
LARGE_BATCH_CONNECTIONS: Final = 2
LARGE_BATCH_ROWS: Final = 10_000
RATE_BESIDE_BATCHES: Final = 500
ADVISE_MONTHS: Final = 12
STEADY_REQUESTS: Final = 25
PAUSE_SECONDS: Final = 0.02

TOLERANCE: Final = 1e-9
"""Largest difference between a probability of the pipeline and one of the compiled scorer that counts as equal."""

MIB: Final = 1024 * 1024

_OK = 200
_LEAD_SECONDS = 0.3  # by which the load of batches begins before and ends after the one that is measured beside it


class WrongAnswerError(PlanRecommenderError):
    """A server gives a wrong answer, so that its figures would say nothing."""


@dataclass(frozen=True)
class Cores:
    """The processor cores that the server and the generator may use; empty: all."""

    server: frozenset[int]
    generator: frozenset[int]

    @classmethod
    def available(cls) -> Self:
        """Give the server one core and the generator another on Linux with two cores or more; otherwise all to both."""
        usable = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
        if len(usable) < 2:
            return cls(frozenset(), frozenset())
        return cls(frozenset(usable[:1]), frozenset(usable[1:2]))

    @property
    def both(self) -> frozenset[int]:
        """The cores of the server and of the generator."""
        return self.server | self.generator


class Workload:
    """The requests that are sent, and the correct answers."""

    def __init__(self, recommender: Recommender, seed: int) -> None:
        """Generate subscribers, and compute the correct answers in this process."""
        months = next(generate(LARGE_BATCH_ROWS, seed)).features.tolist()
        rows = [dict(zip(FEATURE_NAMES, month, strict=True)) for month in months]
        self.month: dict[str, float] = rows[0]
        self.recommendation = recommender.recommend(CustomerUsage(**self.month))
        self.single = post("/predict", self.month)
        self.singles = [post("/predict", row) for row in rows[:BATCH_ROWS]]
        self.batch, self.batch_answer = self._batch(recommender, rows[:BATCH_ROWS])
        self.large_batch, self.large_batch_answer = self._batch(recommender, rows)
        self.explain = post("/explain", self.month)
        self.explanation = to_json(recommender.explain(CustomerUsage(**self.month)))
        year = [
            {"month": f"2026-{number:02}", **row} for number, row in enumerate(rows[:ADVISE_MONTHS], start=1)
        ]  # fmt: skip
        body = {"plan": recommender.tariffs.names[0], "months": year}
        self.advise = post("/advise", body)
        self.advice = to_json(recommender.advise(AdviceRequest.model_validate(body)))

    @staticmethod
    def _batch(recommender: Recommender, rows: list[dict[str, float]]) -> tuple[bytes, bytes]:
        body = {"rows": rows}
        answer = recommender.recommend_batch(UsageBatch.model_validate(body))
        return post("/predict_batch", body), write_batch(answer)


@dataclass(frozen=True)
class Load:
    """The results of a closed loop of single predictions."""

    rate: float
    """Requests a second that were answered with 200 and the correct body."""
    p50_ms: float
    p99_ms: float
    failed: int
    """Number of requests without such an answer, those of the warm-up included."""
    generator_busy: float
    """Share of a core that the generator used."""


@dataclass(frozen=True)
class Start:
    """How a server started."""

    ready_seconds: float
    """From the start of the command until the server said that it is ready."""
    first_ms: float
    """Latency of the first request."""
    steady_ms: float
    """Median latency of the next `STEADY_REQUESTS`, each of which has a new connection and comes after a pause."""


@dataclass(frozen=True)
class Round:
    """The measurements of one contender in a process that was started for them."""

    start: Start
    load: Load


@dataclass(frozen=True)
class Details:
    """The further measurements of the service, in the same process after its `Round`."""

    single_rows: float
    """Rows a second that single requests with different subscribers get answered."""
    explain_rate: float
    """Requests a second of `/explain`."""
    advise_rate: float
    """Requests a second of `/advise` with `ADVISE_MONTHS` months."""
    batch_rows: float
    """Rows a second that batches of `BATCH_ROWS` get answered."""
    alone_p99_ms: float
    """p99 latency of single predictions in an open loop."""
    beside_p99_ms: float
    """The same while batches of `LARGE_BATCH_ROWS` are answered."""
    beside_rows: float
    """Rows a second of those batches."""
    failed: int
    """Requests without an answer 200 with the correct body, in all of these loads."""
    worker_mib: float
    """Resident memory of all workers."""
    supervisor_mib: float
    """Resident memory of the supervisor."""


@dataclass(frozen=True)
class Scaling:
    """Requests a second of one worker and of two; every worker shares a core with one generator."""

    one: float
    two: float
    failed: int


@dataclass(frozen=True)
class OpenLoop:
    """The results of Poisson arrivals at a fixed rate; a latency counts from the moment the request was due."""

    rate: float
    seconds: float
    requests: int
    p50_ms: float
    p99_ms: float
    largest_ms: float
    lag_p99_ms: float
    """p99 of how late the generator sent a request."""
    failed: int


def measure(server: Server, workload: Workload, cores: Cores, seconds: float) -> Round:
    """Measure a server that has just become ready and was not asked anything yet.

    Raises:
        WrongAnswerError: it gives a wrong answer.
    """
    with pinned(cores.generator):
        first_ms, *steady_ms = _one_at_a_time(server.url, workload.month, 1 + STEADY_REQUESTS)
        expected = check(server.url, workload.month, workload.recommendation)
        warm_up = closed_loop(server.url, [workload.single], CONNECTIONS, min(seconds, 1), expected=expected)
        busy = time.process_time()
        record = closed_loop(server.url, [workload.single], CONNECTIONS, seconds, expected=expected)
        busy = time.process_time() - busy
    load = Load(
        rate=record.rate(_OK),
        p50_ms=record.latency_ms(50, _OK),
        p99_ms=record.latency_ms(99, _OK),
        failed=sum(_failed(each) for each in (warm_up, record)),
        generator_busy=busy / record.seconds,
    )
    return Round(Start(server.ready_seconds, first_ms, statistics.median(steady_ms)), load)


def check(url: str, month: dict[str, float], expected: Recommendation) -> bytes:
    """Ask for one prediction; returns the body of the answer.

    Raises:
        WrongAnswerError: the answer is not 200, or not the expected one within `TOLERANCE`.
    """
    response = httpx.post(f"{url}/predict", json=month, timeout=30)
    try:
        answer = TypeAdapter(Recommendation).validate_json(response.content)
    except ValidationError:
        answer = None
    right = (
        response.status_code == _OK
        and answer is not None
        and abs(answer["probability_is_ultra"] - expected["probability_is_ultra"]) <= TOLERANCE
        and answer | {"probability_is_ultra": expected["probability_is_ultra"]} == expected
    )
    if not right:
        raise WrongAnswerError(
            f"{url}/predict: expected 200 and {to_json(expected).decode()}, found {response.status_code} and "
            f"{response.text[:500]}; repair the server, or leave it out with --only"
        )
    return response.content


def measure_details(
    server: Server, workload: Workload, cores: Cores, seconds: float, generators: ProcessPoolExecutor
) -> Details:
    """Measure different single requests, explanations, advice, batches, and single predictions beside batches."""
    url = server.url
    with pinned(cores.generator):
        singles = closed_loop(url, workload.singles, CONNECTIONS, seconds)
        explained = closed_loop(url, [workload.explain], CONNECTIONS, seconds, expected=workload.explanation)
        advised = closed_loop(url, [workload.advise], CONNECTIONS, seconds, expected=workload.advice)
        batches = closed_loop(url, [workload.batch], BATCH_CONNECTIONS, seconds, expected=workload.batch_answer)
        alone = open_loop(url, workload.singles, RATE_BESIDE_BATCHES, seconds)
        large = generators.submit(
            load_on, cores.generator, url, workload.large_batch, LARGE_BATCH_CONNECTIONS, seconds + 2 * _LEAD_SECONDS,
            workload.large_batch_answer,
        )  # fmt: skip
        time.sleep(_LEAD_SECONDS)
        beside = open_loop(url, workload.singles, RATE_BESIDE_BATCHES, seconds)
        large_batches = large.result()
    records = (singles, explained, advised, batches, alone, beside, large_batches)
    supervisor = psutil.Process(server.process.pid)
    return Details(
        single_rows=singles.rate(_OK),
        explain_rate=explained.rate(_OK),
        advise_rate=advised.rate(_OK),
        batch_rows=batches.rate(_OK) * BATCH_ROWS,
        alone_p99_ms=alone.latency_ms(99, _OK),
        beside_p99_ms=beside.latency_ms(99, _OK),
        beside_rows=large_batches.rate(_OK) * LARGE_BATCH_ROWS,
        failed=sum(_failed(record) for record in records),
        worker_mib=sum(process.memory_info().rss for process in workers(server)) / MIB,
        supervisor_mib=supervisor.memory_info().rss / MIB,
    )


def measure_scaling(
    one: Serve, two: Serve, workload: Workload, cores: Cores, seconds: float, generators: ProcessPoolExecutor
) -> Scaling:
    """Measure one worker on one core, and then two workers on two cores; a generator runs on each core as well."""
    expected = to_json(workload.recommendation)

    def rate(serve: Serve, shared: frozenset[int], number: int) -> tuple[float, int]:
        with serve(shared) as server:
            for duration in (min(seconds, 1), seconds):
                started = [
                    generators.submit(load_on, shared, server.url, workload.single, CONNECTIONS, duration, expected)
                    for _ in range(number)
                ]
                records = [load.result() for load in started]
        return sum(record.rate(_OK) for record in records), sum(_failed(record) for record in records)

    (one_rate, one_failed), (two_rate, two_failed) = rate(one, cores.server, 1), rate(two, cores.both, 2)
    return Scaling(one_rate, two_rate, one_failed + two_failed)


def measure_open_loop(server: Server, workload: Workload, cores: Cores, rate: float, seconds: float) -> OpenLoop:
    """Measure single predictions that arrive at a fixed rate, after a warm-up of a second at most."""
    expected = to_json(workload.recommendation)
    with pinned(cores.generator):
        open_loop(server.url, [workload.single], rate, min(seconds / 4, 1))
        record = open_loop(server.url, [workload.single], rate, seconds, expected=expected)
    return OpenLoop(
        rate, seconds, len(record), record.latency_ms(50, _OK), record.latency_ms(99, _OK), record.latency_ms(100, _OK),
        record.lag_ms(99), _failed(record),
    )  # fmt: skip


@contextmanager
def generator_processes() -> Iterator[ProcessPoolExecutor]:
    """Offer two processes in which `load_on` can run; both are running when the block begins."""
    with ProcessPoolExecutor(2) as pool:
        for started in [pool.submit(time.sleep, _LEAD_SECONDS) for _ in range(2)]:
            started.result()
        yield pool


def load_on(
    cores: Collection[int], url: str, request: bytes, connections: int, seconds: float, expected: bytes
) -> Record:
    """Run a closed loop on these processor cores; to be called in a process of `generator_processes`."""
    with pinned(cores):
        return closed_loop(url, [request], connections, seconds, expected=expected)


@contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """Keep this process on these processor cores until the block ends, on Linux; none: it stays where it is."""
    if not cores or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Compute them; there must be at least one value."""
        return cls(float(np.median(values)), min(values), max(values))


def _one_at_a_time(url: str, month: dict[str, float], number: int) -> list[float]:
    """Send requests one after the other, with pauses; returns the milliseconds from connecting until the last byte."""
    address = urlsplit(url)
    request = post("/predict", month, "Connection: close")
    times = []
    for _ in range(number):
        start = time.perf_counter()
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall(request)
            while connection.recv(65536):
                pass
        times.append((time.perf_counter() - start) * 1e3)
        time.sleep(PAUSE_SECONDS)
    return times


def _failed(record: Record) -> int:
    return len(record) - record.count(_OK)
