"""Trials: what the service does when it is stopped, killed, overloaded, starved or fed rubbish under load.

Each trial starts a service of its own, does it harm while the load generator watches every request, and says what it
measured and which of its promises were broken. `make test` runs them in a short form; in the long one:

    python -m loadtest.trials          all of them, also as `make soak`
    python -m loadtest.trials --quick  all of them in the short form
    python -m loadtest.trials stop     those that are named
"""

import argparse
import contextlib
import itertools
import math
import multiprocessing
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import httpx
import psutil

from loadtest.generator import LOST, UNANSWERED, UNSENT, Event, closed_loop, get, open_loop, post
from plan_recommender.serving.settings import variable
from tools.server import FROM_SOURCE, ROOT, Server, ServerDidNotStartError, serving

USAGE: Final = {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}
PREDICT: Final = post("/predict", USAGE)
CONNECTIONS: Final = 16
_MANY_CONNECTIONS: Final = 256
_LONGEST_STOP: Final = 15.0  # seconds
MIB: Final = 1024 * 1024


@dataclass
class Findings:
    """What one trial measured, and what it found broken."""

    trial: str
    figures: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    timed: set[str] = field(default_factory=set)
    """Promises on milliseconds, which a machine can break too by doing something else."""

    def require(self, holds: bool, promise: str, *, timed: bool = False) -> None:
        """Note a promise that does not hold."""
        if timed:
            self.timed.add(promise)
        if not holds and promise not in self.broken:
            self.broken.append(promise)

    def __str__(self) -> str:
        """A paragraph for a terminal."""
        verdict = "broken: " + "; ".join(self.broken) if self.broken else "kept"
        lines = [f"{self.trial}: {verdict}", *(f"    {name}: {figure}" for name, figure in self.figures.items())]
        return "\n".join(lines)


def workers(server: Server) -> list[psutil.Process]:
    """Give the processes that answer."""
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "_bentoml_impl.worker.service" in process.cmdline():
                found.append(process)
    return found


def several(number: int) -> dict[str, str]:
    """Give the environment that makes `bentoml serve` start so many workers."""
    return {variable("workers"): str(number)}


def capacity(server: Server, seconds: float) -> float:
    """Predictions a second that the service answers when it is asked as fast as it can."""
    closed_loop(server.url, [PREDICT], CONNECTIONS, min(seconds, 1.0))  # warm
    return closed_loop(server.url, [PREDICT], CONNECTIONS, seconds).rate(200)


def stop(trials: int = 20, seconds: float = 3.0, *, service: str = FROM_SOURCE) -> Findings:
    """SIGTERM at 70 % load, every second time with a stuck request, always with idle connections."""
    findings = Findings("stop")
    exits, later, sent_before = [], [], 0
    for trial in range(trials):
        with serving(service) as server:
            rate = 0.7 * capacity(server, 1.0)
            right = _right(server)
            idle = [_connection(server) for _ in range(5)]
            stuck = _connection(server)
            if trial % 2:
                stuck.sendall(PREDICT[: -5 if trial % 4 == 1 else -len(PREDICT.partition(b"\r\n\r\n")[2])])
            moments: list[float] = []

            def terminate(server: Server = server, moments: list[float] = moments) -> None:
                moments.append(monotonic())
                server.process.send_signal(signal.SIGTERM)

            def wait(server: Server = server, moments: list[float] = moments) -> None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.process.wait(_LONGEST_STOP)
                moments.append(monotonic())

            waiting = threading.Thread(target=wait)

            moment = seconds / 2 + 0.01 * trial
            events = [Event(moment, terminate), Event(moment, waiting.start)]
            record = open_loop(server.url, [PREDICT], rate, seconds, CONNECTIONS, seed=trial, at=events, expected=right)
            waiting.join()
            for connection in (*idle, stuck):
                connection.close()
        exits.append(moments[1] - moments[0])
        record = record.chosen(record.status != UNSENT)
        before = record.chosen(record.sent < moments[0])
        after = record.chosen(record.sent >= moments[0])
        sent_before += len(before)
        failed = len(before) - before.count(200)
        findings.require(failed == 0, "no request that was sent before the signal fails")
        if failed:
            findings.figures[f"trial {trial}"] = f"{before.counts()} of those sent before"
        findings.require(after.count(UNANSWERED) == 0, "no later request hangs")
        later.append(max(after.latency_ms(100, 200, 503, LOST, from_sent=True), 0.0) if len(after) else 0.0)
        findings.require(later[-1] <= 2000, "later requests are answered or refused within 2 s")
    findings.require(max(exits) <= 10, "the service ends within 10 s")
    findings.figures |= {
        "trials": f"{trials}, every second one with a stuck request",
        "sent before the signal": f"{sent_before:,}",
        "time to the end": f"{min(exits):.1f} to {max(exits):.1f} s",
        "longest that a later request took to be answered or refused": f"{max(later):.0f} ms",
    }
    return findings


def kill(kills: int = 5, seconds_between: float = 6.0, *, service: str = FROM_SOURCE) -> Findings:
    """SIGKILL of one of two workers at half their capacity, several times, and as in a container.

    In a container BentoML by itself would not replace it; it knows one by a variable of its images.
    """
    findings = Findings("kill")
    lost, held, latest, back = [], [], [], []
    with serving(service, env=several(2) | {"BENTOML_CONTAINERIZED": "true"}) as server:
        _until(lambda: len(_answering(server)) == 2, 20)
        rate, right = 0.5 * capacity(server, 1.0), _right(server)
        for trial in range(kills):
            victim = workers(server)[0]
            strike = _Strike(victim)
            ends: list[float] = []

            def wait(ends: list[float] = ends) -> None:
                ends.append(_until(lambda: len(_answering(server)) == 2, 20))

            watch = threading.Thread(target=wait)
            events = [Event(1.0, strike.start), Event(1.2, watch.start)]
            record = open_loop(
                server.url, [PREDICT], rate, seconds_between, CONNECTIONS, seed=trial, at=events, expected=right
            )  # fmt: skip
            watch.join()
            gone = record.chosen(record.status == LOST)
            after = record.chosen((record.due > strike.moment + 0.5) & (record.status != UNSENT))
            lost.append(len(gone))
            held.append(strike.connections)
            latest.append(1000 * float((gone.sent - strike.moment).max()) if len(gone) else 0.0)
            back.append(ends[0] - strike.moment)
            # A connection carries one request at a time. The system closes those of the victim some milliseconds after
            # the signal; what is sent on one of them until then is under way on the victim too.
            findings.require(lost[-1] <= held[-1], "no more requests are lost than the victim had connections")
            findings.require(
                latest[-1] <= 100, "nothing is lost that was sent later than 0.1 s after the kill", timed=True
            )
            findings.require(after.count(200) == len(after) > 0, "the other worker serves on")
            findings.require(set(record.counts()) <= {200, LOST, UNSENT}, "requests are answered rightly or lost")
    findings.require(max(back) <= 15, "the capacity is back within 15 s")
    findings.figures |= {
        "kills": str(kills),
        "requests lost, a kill": ", ".join(map(str, lost)),
        "connections that the victim held": ", ".join(map(str, held)),
        "the last lost was sent": f"{abs(max(latest)):.1f} ms {'after' if max(latest) > 0 else 'before'} the kill",
        "two workers again after": f"{min(back):.1f} to {max(back):.1f} s",
    }
    return findings


def overload(
    seconds: float = 20.0, after_seconds: float = 6.0, slack: float = 1.0, *, service: str = FROM_SOURCE
) -> Findings:
    """Three times as many requests as can be answered: single predictions, then batches."""
    findings = Findings("overload")
    batch = post("/predict_batch", {"rows": [USAGE] * 1000})
    with serving(service) as server:
        for name, request, busy in (("single", PREDICT, CONNECTIONS), ("batch", batch, 4)):
            closed_loop(server.url, [request], busy, 1.0)  # warm
            before = closed_loop(server.url, [request], busy, seconds / 4).rate(200)
            calm = open_loop(server.url, [request], 0.7 * before, seconds / 2, _MANY_CONNECTIONS)
            health: list[float] = []
            asking = threading.Thread(target=_ask_again_and_again, args=(server, "/health", seconds, health))
            asking.start()
            record = open_loop(server.url, [request], 3 * before, seconds, _MANY_CONNECTIONS)
            asking.join()
            again = monotonic()
            after = open_loop(server.url, [request], 0.5 * before, after_seconds, _MANY_CONNECTIONS)
            normal = after.chosen(after.due > again + after_seconds - 1)
            # What a machine can do wanders by a tenth within a minute.
            most = (before + closed_loop(server.url, [request], busy, seconds / 4).rate(200)) / 2
            sent = record.chosen(record.status != UNSENT)
            calm_p99, p99 = (each.latency_ms(99, 200, from_sent=True) for each in (calm, sent))
            refused_p99 = sent.latency_ms(99, 503, from_sent=True)
            goodput = sent.rate(200) / most
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
            if name == "batch":  # of single predictions no generator on the same machine makes so many
                timed["at least twice the capacity was sent"] = len(sent) / sent.seconds >= 2 * most
                promises["what cannot be answered is refused"] = sent.count(503) > 0
            for promise, holds in (timed | promises).items():
                findings.require(holds, f"{name}: {promise}", timed=promise in timed)
            findings.figures |= {
                f"{name}, capacity": f"{most:,.0f} requests/s",
                f"{name}, sent": f"{len(sent) / sent.seconds / most:.1f} times as many; due: 3.0 times",
                f"{name}, answered": f"{goodput:.0%} of the capacity; {sent.counts()}",
                f"{name}, p99 of the answered": f"{p99:.1f} ms, at 70 % {calm_p99:.1f} ms",
                f"{name}, p99 of the refused": f"{refused_p99:.1f} ms",
                f"{name}, health": f"{len(health)} times, at most {1000 * max(health, default=0):.0f} ms",
            }
    return findings


def slow(
    clients: int = 500,
    seconds: float = 30.0,
    load: float = 0.3,
    before_seconds: float = 10.0,
    slack: float = 1.0,
    *,
    service: str = FROM_SOURCE,
) -> Findings:
    """Clients that send a byte a second, of a head or of a body, and such that send a head and no body at all."""
    findings = Findings("slow")
    with serving(service) as server:
        rate = load * capacity(server, 1.0)
        before = open_loop(server.url, [PREDICT], rate, before_seconds, CONNECTIONS)
        start = monotonic()
        connections = [_connection(server) for _ in range(clients)]
        closed: list[float] = []
        dripping = threading.Thread(target=_drip, args=(connections, seconds, closed))
        dripping.start()
        during = open_loop(
            server.url, [PREDICT], rate, min(seconds, 25.0), CONNECTIONS, seed=1, expected=_right(server)
        )
        during = during.chosen(during.status != UNSENT)
        dripping.join()
        for connection in connections:
            connection.close()
        lasted = max(closed, default=start) - start
        p99_before, p99 = before.latency_ms(99, 200), during.latency_ms(99, 200)
        findings.require(during.count(200) == len(during), "good requests are answered")
        findings.require(
            p99 <= 2 * slack * p99_before, "p99 of good requests is at most 2 times that before", timed=True
        )
        findings.require(len(closed) == clients and lasted <= 30, "slow clients are closed within 30 s")
        findings.figures |= {
            "slow clients": f"{clients}, of which {len(closed)} were closed, the last after {lasted:.1f} s",
            "p99 of good requests": f"{p99:.1f} ms, before {p99_before:.1f} ms",
        }
    return findings


def memory(
    valid: int = 1_000_000, invalid: int = 100_000, warm_seconds: float = 4.0, *, service: str = FROM_SOURCE
) -> Findings:
    """Resident memory and open descriptors over very many requests, good and bad."""
    findings = Findings("memory")
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
                findings.require(record.count(LOST, UNANSWERED, 500, 503) == 0, "every request is answered")
            counts.append(done)
        time.sleep(6)  # idle connections are closed after five
        growth, more = worker.memory_info().rss - resident, worker.num_fds() - descriptors
    findings.require(growth <= 10 * MIB, "resident memory grows by at most 10 MiB")
    findings.require(more <= 2, "descriptors do not grow")
    findings.figures |= {
        "requests": f"{counts[0]:,} valid and {counts[1]:,} invalid",
        "resident memory": f"{resident / MIB:.0f} MiB after the warm-up, {growth / MIB:+.1f} MiB at the end",
        "descriptors": f"{descriptors} after the warm-up, {more:+d} at the end",
    }
    return findings


def oversize(bodies: int = 100, *, service: str = FROM_SOURCE) -> Findings:
    """Bodies over the limit, announced and in chunks without a length."""
    findings = Findings("oversize")
    with serving(service) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        worker = workers(server)[0]
        for path, limit in (("/predict", 1 * MIB), ("/predict_batch", 10 * MIB)):
            for _ in range(20):
                http.post(path, content=_chunks(b" " * (limit // 8)))
            resident, peak, statuses = worker.memory_info().rss, 0, set()
            for number in range(bodies):
                content = b" " * (limit + MIB)
                body = content if number % 2 else _chunks(content)
                statuses.add(http.post(path, content=body, headers={"content-type": "application/json"}).status_code)
                peak = max(peak, worker.memory_info().rss)
            growth = peak - resident
            findings.require(statuses == {413}, "they get 413")
            findings.require(growth < limit + MIB, "resident memory rises by less than the limit and 1 MiB")
            findings.figures[path] = f"{bodies} bodies, statuses {statuses}, memory at most {growth / MIB:+.1f} MiB"
    return findings


def logs(requests: int = 10_000, *, service: str = FROM_SOURCE) -> Findings:
    """What bad requests leave in the log."""
    findings = Findings("logs")
    amount = "31415.926535"
    lines = "%0d%0a2026-01-01T00:00:00+0000%20[INFO]%20[forged]%20line%1b[31m"
    bad = [
        post("/predict", USAGE | {"minutes": -1, "calls": float(amount)}),
        post("/predict", f'{{"calls": {amount}'.encode()),
        post("/predict", {"forged\r\n[INFO]\x1b[31m": amount}),
        get(f"/{lines}"), get(f"/docs.json?{lines}"), get(f"/?{lines}"), get(f"/static_content/{lines}"),
        post("/predict", USAGE, f"Content-Type: text/{lines}", "User-Agent: \x1b[31mred"),
        *(_hostile_headers(path) for path in ("/livez", "/metrics", "/docs.json", "/")),  # which BentoML answers
    ]  # fmt: skip
    with serving(service) as server:
        start = server.log.stat().st_size
        done = 0
        while done < requests:
            done += len(closed_loop(server.url, bad, 8, 1.0))
        for _ in range(50):
            connection = _connection(server)
            connection.sendall(b"\x1b[31m not http \r\n\r\n")
            connection.close()
        time.sleep(0.5)
        text = server.log.read_bytes()[start:].decode("utf-8", errors="replace")
        records = text.splitlines()
        findings.require(len(text) < 5_000_000 * done / 10_000, "10,000 bad requests leave less than 5 MB")
        findings.require(len(records) <= done + 50, "at most one record a request")
        findings.require(all(_RECORD.match(record) for record in records), "every record can be parsed")
        findings.require(
            "\x1b" not in text and "[forged]" not in "".join(record for record in records if not _RECORD.match(record)),
            "no control characters, no forged records",
        )
        findings.require(not any(record.startswith("2026-01-01T00:00:00") for record in records), "no forged records")
        findings.require(amount not in text, "no values of clients")
        findings.require("Traceback" not in text, "no stack traces for faults of clients")
        findings.figures["log"] = f"{len(text):,} bytes and {len(records):,} records for {done + 50:,} bad requests"
    return findings


def metrics(paths: int = 100_000, *, service: str = FROM_SOURCE) -> Findings:
    """Counts of two workers are right together, and paths that clients make up add no series."""
    findings = Findings("metrics")
    with serving(service, env=several(2)) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        record = closed_loop(server.url, [PREDICT], CONNECTIONS, 2.0)
        http.get("/nowhere")
        time.sleep(0.2)
        series = _series(http)
        counted = float(series['plan_recommender_requests_total{route="/predict",status="200"}'])
        findings.require(counted == record.count(200), "the workers' counts add up to the requests answered")
        done = 0
        while done < paths:
            made_up = [get(f"/{done}/{number}/{os.urandom(4).hex()}") for number in range(20_000)]
            done += len(closed_loop(server.url, made_up, CONNECTIONS, 2.0))
        more = set(_series(http)) - set(series)
        findings.require(not more, "no new series")
        findings.figures |= {
            "counted": f"{counted:,.0f} predictions by two workers, {record.count(200):,} answered",
            "made-up paths": f"{done:,}, {len(more)} new series",
        }
    return findings


def documents(seconds: float = 10.0, clients: int = 64, slack: float = 1.0, *, service: str = FROM_SOURCE) -> Findings:
    """Clients that ask for what BentoML brings along as fast as they can, beside as many predictions as can be had."""
    findings = Findings("documents")
    floods = {
        "documents": ("/docs.json", "/schema.json", "/metrics"),
        "page and probes": ("/", "/static_content/swagger-ui.css", "/livez", "/readyz", "/healthz"),
    }
    counted = 'plan_recommender_requests_total{route="/model",status="200"}'
    # The flood comes from a process of its own, so that it does not keep this one from sending predictions.
    with (
        serving(service) as server,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other_process,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        alone, right = capacity(server, seconds / 2), _right(server)
        findings.figures["/predict alone"] = f"{alone:,.0f} requests/s"
        asked = 0
        for name, paths in floods.items():
            requests = [get(path) for path in paths]
            other_process.submit(closed_loop, server.url, requests, 1, 0.1).result()  # warm
            flood = other_process.submit(closed_loop, server.url, requests, clients, seconds + 2)
            time.sleep(1)
            alive: list[float] = []
            asking = threading.Thread(target=_ask_again_and_again, args=(server, "/livez", seconds, alive))
            asking.start()
            beside = closed_loop(server.url, [PREDICT], CONNECTIONS, seconds, expected=right)
            asking.join()
            scraped = []
            for _ in range(3):
                asked += http.get("/model").status_code == HTTPStatus.OK
                scraped.append(_series(http).get(counted, "nothing") == f"{asked:.1f}")
            record = flood.result()
            for promise, holds in {
                "predictions keep a quarter of their rate": beside.rate(200) > alone / (4 * slack),
                "/livez is answered within a second": bool(alive) and max(alive) < slack,
                "every request is answered": {200} == set(record.counts()) == set(beside.counts()),
                "a scrape shows what was answered before it": all(scraped),
            }.items():
                findings.require(holds, f"{name}: {promise}")
            findings.figures |= {
                f"{name}, asked by {clients} clients": f"{', '.join(paths)}: {record.rate(200):,.0f} answers/s",
                f"{name}, /predict beside them": f"{beside.rate(200):,.0f} requests/s, {beside.rate(200) / alone:.0%}; "
                f"p99 {beside.latency_ms(99, 200):.1f} ms",
                f"{name}, /livez": f"{len(alive)} times, at most {1000 * max(alive, default=0):.0f} ms",
            }
    return findings


TRIALS: Final[dict[str, Callable[..., Findings]]] = {
    trial.__name__: trial for trial in (stop, kill, overload, slow, memory, oversize, logs, metrics, documents)
}

QUICK: Final[dict[str, dict[str, float]]] = {
    "stop": {"trials": 2, "seconds": 2.0},
    "kill": {"kills": 1, "seconds_between": 6.0},
    "overload": {"seconds": 2.0, "after_seconds": 2.0, "slack": 5.0},
    "slow": {"clients": 100, "seconds": 26.0, "load": 0.02, "before_seconds": 1.0, "slack": 5.0},
    "memory": {"valid": 30_000, "invalid": 5_000, "warm_seconds": 2.0},
    "oversize": {"bodies": 50},
    "logs": {"requests": 2_000},
    "metrics": {"paths": 2_000},
    "documents": {"seconds": 2.0, "slack": 2.0},
}
"""Arguments of the short form, where what depends on the clock has slack."""

_HEADING = "## What the last trials measured\n"
_RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[A-Z]+\] \[[^\]]+\] [^\x00-\x1f\x7f]*$")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials; returns 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.trials", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "trial", nargs="*", choices=[[], *TRIALS], help=f"which: {', '.join(TRIALS)}; all when left out"
    )
    parser.add_argument("--quick", action="store_true", help="the short form that `make test` runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures into this document too")
    options = parser.parse_args(arguments)
    if options.out is not None and _HEADING not in options.out.read_text(encoding="utf-8"):
        parser.error(f"{options.out}: expected the heading {_HEADING.strip()!r}, found none")
    found = []
    for name in options.trial or TRIALS:
        try:
            found.append(TRIALS[name](**(QUICK[name] if options.quick else {})))
        except ServerDidNotStartError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        print(found[-1], flush=True)
    if options.out is not None:
        _write(options.out, found)
    return int(any(findings.broken for findings in found))


def _write(document: Path, found: Sequence[Findings]) -> None:
    """Put the figures behind the heading that is kept for them; those of other trials stay."""
    before, heading, after = document.read_text(encoding="utf-8").partition(_HEADING)
    sections = {part.partition("`")[0]: f"### `{part.strip()}" for part in after.split("### `")[1:]}
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    about = f"{date.today()}, commit {asked.stdout.strip() or 'unknown'}, {platform.machine()}, {os.cpu_count()} cores:"
    for findings in found:
        verdict = "**broken: " + "; ".join(findings.broken) + "**" if findings.broken else "kept"
        rows = [f"| {name} | {figure} |" for name, figure in findings.figures.items()]
        head = [f"### `{findings.trial}`: {verdict}", "", about, "", "| figure | measured |", "| --- | --- |"]
        sections[findings.trial] = "\n".join([*head, *rows])
    ordered = [sections[name] for name in TRIALS if name in sections]
    document.write_text(before + heading + "\n" + "\n\n".join(ordered) + "\n", encoding="utf-8")


class _Strike(threading.Thread):
    """Counts the connections of a worker and kills it at once, beside the generator."""

    def __init__(self, victim: psutil.Process) -> None:
        super().__init__()
        self._victim = victim
        self.connections = 0
        self.moment = 0.0

    def run(self) -> None:
        os.kill(self._victim.pid, signal.SIGSTOP)  # or it would accept some more while they are counted
        self.connections = sum(c.status == "ESTABLISHED" for c in self._victim.net_connections("tcp"))
        self.moment = monotonic()
        os.kill(self._victim.pid, signal.SIGKILL)


def _right(server: Server) -> bytes:
    """Give the answer that every good request has to get."""
    return httpx.post(f"{server.url}/predict", json=USAGE, timeout=10).content


def _series(http: httpx.Client) -> dict[str, str]:
    return dict(re.findall(r"^([^#\s]+) (\S+)$", http.get("/metrics").text, re.MULTILINE))


def _hostile_headers(path: str) -> bytes:
    """Give a request whose headers a framework may log as they come, or fail to read."""
    headers = [
        b"Content-Type: \xff\x9b31m\x85", b"Content-Length: 0",
        b"baggage: " + b",".join(b"forged%d=\xff" % number for number in range(100)),
        b"traceparent: 00-deadbeefdeadbeefdeadbeefdeadbeef-00f067aa0ba902b7-01", b"tracestate: \x9b31m\x85forged=1",
    ]  # fmt: skip
    return b"\r\n".join([b"GET %b HTTP/1.1" % path.encode(), b"Host: localhost", *headers, b"", b""])


def _connection(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def _until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until it holds, or so long; give when that was."""
    deadline = monotonic() + seconds
    while monotonic() < deadline and not condition():
        time.sleep(0.1)
    return monotonic()


def _answering(server: Server) -> list[psutil.Process]:
    """Workers that hold a connection or are waiting for one: those whose event loop runs."""
    return [worker for worker in workers(server) if worker.num_threads() > 1]


def _ask_again_and_again(server: Server, path: str, seconds: float, times: list[float]) -> None:
    """Ask as a probe does, on a connection of its own each time; note how long each answer 200 took, inf for none.

    By the standard library: httpx prepares TLS for each, which takes a tenth of a core away from what is measured.
    """
    address = urlsplit(server.url)
    end = monotonic() + seconds
    while monotonic() < end:
        start = monotonic()
        with contextlib.closing(HTTPConnection(address.netloc, timeout=5)) as connection:
            try:
                connection.request("GET", path)
                if connection.getresponse().status == HTTPStatus.OK:
                    times.append(monotonic() - start)
            except TimeoutError:
                times.append(math.inf)
        time.sleep(0.2)


def _drip(connections: list[socket.socket], seconds: float, closed: list[float]) -> None:
    """Send a byte a second on each, and note when each was closed."""
    left = []
    head, body = PREDICT[: PREDICT.index(b"\r\n\r\n") + 4], PREDICT[PREDICT.index(b"\r\n\r\n") + 4 :]
    for number, connection in enumerate(connections):
        connection.setblocking(False)
        left.append((connection, iter((PREDICT, body, b"")[number % 3])))
        if number % 3:
            connection.send(head)
    end = monotonic() + seconds
    while left and monotonic() < end:
        start = monotonic()
        for entry in list(left):
            connection, content = entry
            try:
                connection.send(bytes(itertools.islice(content, 1)))
                with contextlib.suppress(BlockingIOError):
                    while connection.recv(4096):
                        pass
                    left.remove(entry)
                    closed.append(monotonic())
            except OSError:
                left.remove(entry)
                closed.append(monotonic())
        time.sleep(max(1 - (monotonic() - start), 0))


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 64 * 1024):
        yield content[start : start + 64 * 1024]


if __name__ == "__main__":
    sys.exit(main())
