"""Trials that count what must not grow: memory and descriptors over many requests, and the number of metrics."""

import os
import time

import httpx

from loadtest.generator import closed_loop, get, post
from loadtest.record import LOST, UNANSWERED
from loadtest.trials.report import TrialReport
from loadtest.trials.service import CONNECTIONS, MIB, PREDICT, USAGE, series_of, several, workers
from tools.server import FROM_SOURCE, serving


def memory(
    valid: int = 1_000_000, invalid: int = 100_000, warm_seconds: float = 4.0, *, service: str = FROM_SOURCE
) -> TrialReport:
    """Compare a worker's resident memory and open descriptors before and after many requests, valid and invalid.

    The promises: memory grows by at most 10 MiB, descriptors do not grow, and every request is answered.
    """
    report = TrialReport("memory")
    bad = [
        post("/predict", USAGE | {"minutes": -1}), post("/predict", b"{"), post("/predict", USAGE | {"x": 1}),
        post("/predict_batch", {"rows": []}), post("/predict_batch", {"rows": [USAGE] * 99 + [{}]}),
        post("/explain", {}), post("/predict", USAGE, "Content-Encoding: gzip"), get("/nowhere"),
    ]  # fmt: skip
    good = [PREDICT] * 50 + [post("/predict_batch", {"rows": [USAGE] * 20}), post("/explain", USAGE), get("/health")]
    with serving(service) as server:
        worker = workers(server)[0]
        for requests in (good, bad):
            closed_loop(server.url, requests, CONNECTIONS, warm_seconds)
        resident, descriptors = worker.memory_info().rss, worker.num_fds()
        counts = []
        for requests, number in ((good, valid), (bad, invalid)):
            done = 0
            while done < number:
                record = closed_loop(server.url, requests, CONNECTIONS, 1.0)
                done += len(record)
                report.require(record.count(LOST, UNANSWERED, 500, 503) == 0, "every request is answered")
            counts.append(done)
        time.sleep(6)  # the service closes idle connections after five seconds
        growth, more = worker.memory_info().rss - resident, worker.num_fds() - descriptors
    report.require(growth <= 10 * MIB, "resident memory grows by at most 10 MiB")
    report.require(more <= 2, "descriptors do not grow")
    report.figures |= {
        "requests": f"{counts[0]:,} valid and {counts[1]:,} invalid",
        "resident memory": f"{resident / MIB:.0f} MiB after the warm-up, {growth / MIB:+.1f} MiB at the end",
        "descriptors": f"{descriptors} after the warm-up, {more:+d} at the end",
    }
    return report


def metrics(paths: int = 100_000, seconds: float = 2.0, *, service: str = FROM_SOURCE) -> TrialReport:
    """Compare the counts of two workers with the record of `seconds` of load, then ask for paths that do not exist.

    The promises: the two workers' counts add up to the number of answers; made-up paths add no series to `/metrics`.
    """
    report = TrialReport("metrics")
    with serving(service, env=several(2)) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        record = closed_loop(server.url, [PREDICT], CONNECTIONS, seconds)
        http.get("/nowhere")
        time.sleep(0.2)
        series = series_of(http)
        counted = float(series['plan_recommender_requests_total{route="/predict",status="200"}'])
        report.require(counted == record.count(200), "the workers' counts add up to the requests answered")
        done = 0
        while done < paths:
            made_up = [get(f"/{done}/{number}/{os.urandom(4).hex()}") for number in range(20_000)]
            done += len(closed_loop(server.url, made_up, CONNECTIONS, seconds))
        more = set(series_of(http)) - set(series)
        report.require(not more, "no new series")
        report.figures |= {
            "counted": f"{counted:,.0f} predictions by two workers, {record.count(200):,} answered",
            "made-up paths": f"{done:,}, {len(more)} new series",
        }
    return report
