"""Trials that ask for more than the service can answer: predictions, and what BentoML answers itself."""

import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from http import HTTPStatus
from time import monotonic
from typing import Final

import httpx

from loadtest.generator import closed_loop, get, open_loop, post
from loadtest.record import UNSENT
from loadtest.trials.report import TrialReport
from loadtest.trials.service import CONNECTIONS, PREDICT, USAGE, capacity, correct_answer, probe, series_of
from tools.server import FROM_SOURCE, serving

_MANY_CONNECTIONS: Final = 256


def overload(
    seconds: float = 20.0, after_seconds: float = 6.0, slack: float = 1.0, *, service: str = FROM_SOURCE
) -> TrialReport:
    """Send three times as many requests as can be answered for `seconds`: single predictions, then batches.

    The promises: every request that is sent is answered or refused, and a refusal says when to come back; those that
    are answered, and those that are refused, are so quickly; nine tenths of the capacity are answered; `/health` is
    answered within a second; a second before `after_seconds` are over, half the capacity is answered again.
    """
    report = TrialReport("overload")
    batch = post("/predict_batch", {"rows": [USAGE] * 1000})
    with serving(service) as server:
        for name, request, busy in (("single", PREDICT, CONNECTIONS), ("batch", batch, 4)):
            closed_loop(server.url, [request], busy, 1.0)  # warm
            before = closed_loop(server.url, [request], busy, seconds / 4).rate(200)
            calm = open_loop(server.url, [request], 0.7 * before, seconds / 2, _MANY_CONNECTIONS)
            health: list[float] = []
            asking = threading.Thread(target=probe, args=(server, "/health", seconds, health))
            asking.start()
            record = open_loop(server.url, [request], 3 * before, seconds, _MANY_CONNECTIONS)
            asking.join()
            again = monotonic()
            after = open_loop(server.url, [request], 0.5 * before, after_seconds, _MANY_CONNECTIONS)
            normal = after.chosen(after.due > again + after_seconds - 1)
            # What a machine can do varies by a tenth within a minute, so the capacity is measured before and after.
            full_rate = (before + closed_loop(server.url, [request], busy, seconds / 4).rate(200)) / 2
            sent = record.chosen(record.status != UNSENT)
            calm_p99, p99 = (each.latency_ms(99, 200, from_sent=True) for each in (calm, sent))
            refused_p99 = sent.latency_ms(99, 503, from_sent=True)
            goodput = sent.rate(200) / full_rate
            timed = {
                "p99 of the answered is at most 2 times that at 70 %": p99 <= 2 * slack * calm_p99,
                "p99 of the refused is at most 50 ms": not refused_p99 > 50 * slack,
                "at least 90 % of the capacity is answered": goodput >= 0.9 / slack,
                "health is answered within a second": bool(health) and max(health) < 1,
                f"after {after_seconds - 1:g} s requests are answered again": normal.count(200)
                >= (1 - 0.02 * slack) * len(normal)
                > 0,
            }
            promises = {
                "refusals say when to come back": sent.without_retry_after == 0,
                "requests are answered or refused, nothing else": set(sent.counts()) <= {200, 503},
            }
            if name == "batch":  # a generator on the same machine cannot send so many single predictions
                timed["at least twice the capacity was sent"] = len(sent) / sent.seconds >= 2 * full_rate
                promises["what cannot be answered is refused"] = sent.count(503) > 0
            for promise, holds in (timed | promises).items():
                report.require(holds, f"{name}: {promise}", timed=promise in timed)
            report.figures |= {
                f"{name}, capacity": f"{full_rate:,.0f} requests/s",
                f"{name}, sent": f"{len(sent) / sent.seconds / full_rate:.1f} times as many; due: 3.0 times",
                f"{name}, answered": f"{goodput:.0%} of the capacity; {sent.counts()}",
                f"{name}, p99 of the answered": f"{p99:.1f} ms, at 70 % {calm_p99:.1f} ms",
                f"{name}, p99 of the refused": f"{refused_p99:.1f} ms",
                f"{name}, health": f"{len(health)} times, at most {1000 * max(health, default=0):.0f} ms",
            }
    return report


def documents(
    seconds: float = 10.0, clients: int = 64, slack: float = 1.0, *, service: str = FROM_SOURCE
) -> TrialReport:
    """Ask for the documents, the page and the probes that BentoML answers, from `clients` connections that never pause.

    The promises: predictions, asked for as fast as they are answered at the same time, keep a quarter of their rate;
    a probe of `/livez` is answered within a second; every request is answered; a scrape of `/metrics` counts every
    request that was answered before it.
    """
    report = TrialReport("documents")
    floods = {
        "documents": ("/docs.json", "/schema.json", "/metrics"),
        "page and probes": ("/", "/static_content/swagger-ui.css", "/livez", "/readyz", "/healthz"),
    }
    counted = 'plan_recommender_requests_total{route="/model",status="200"}'
    # The flood comes from another process, so that it does not keep this one from sending predictions.
    with (
        serving(service) as server,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other_process,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        alone, right = capacity(server, seconds / 2), correct_answer(server)
        report.figures["/predict alone"] = f"{alone:,.0f} requests/s"
        asked = 0
        for name, paths in floods.items():
            requests = [get(path) for path in paths]
            other_process.submit(closed_loop, server.url, requests, 1, 0.1).result()  # warm
            flood = other_process.submit(closed_loop, server.url, requests, clients, seconds + 2)
            time.sleep(1)
            alive: list[float] = []
            asking = threading.Thread(target=probe, args=(server, "/livez", seconds, alive))
            asking.start()
            beside = closed_loop(server.url, [PREDICT], CONNECTIONS, seconds, expected=right)
            asking.join()
            scraped = []
            for _ in range(3):
                asked += http.get("/model").status_code == HTTPStatus.OK
                scraped.append(series_of(http).get(counted, "nothing") == f"{asked:.1f}")
            record = flood.result()
            for promise, holds in {
                "predictions keep a quarter of their rate": beside.rate(200) > alone / (4 * slack),
                "/livez is answered within a second": bool(alive) and max(alive) < slack,
                "every request is answered": {200} == set(record.counts()) == set(beside.counts()),
                "a scrape shows what was answered before it": all(scraped),
            }.items():
                report.require(holds, f"{name}: {promise}")
            report.figures |= {
                f"{name}, asked by {clients} clients": f"{', '.join(paths)}: {record.rate(200):,.0f} answers/s",
                f"{name}, /predict beside them": f"{beside.rate(200):,.0f} requests/s, {beside.rate(200) / alone:.0%}; "
                f"p99 {beside.latency_ms(99, 200):.1f} ms",
                f"{name}, /livez": f"{len(alive)} times, at most {1000 * max(alive, default=0):.0f} ms",
            }
    return report
