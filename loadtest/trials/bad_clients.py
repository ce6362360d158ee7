"""Trials with clients that misbehave: slow ones, bodies over the limit, and requests made to spoil the log."""

import contextlib
import itertools
import re
import socket
import threading
import time
from collections.abc import Iterator
from time import monotonic
from typing import Final

import httpx

from loadtest.generator import closed_loop, get, open_loop, post
from loadtest.record import UNSENT
from loadtest.trials.report import TrialReport
from loadtest.trials.service import CONNECTIONS, MIB, PREDICT, USAGE, capacity, connect, correct_answer, workers
from tools.server import FROM_SOURCE, serving

_RECORD: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[A-Z]+\] \[[^\]]+\] [^\x00-\x1f\x7f]*$")
"""A whole line of BentoML's log: time, level, logger, and a text without control characters."""


def slow(
    clients: int = 500,
    seconds: float = 30.0,
    load: float = 0.3,
    before_seconds: float = 10.0,
    slack: float = 1.0,
    capacity_seconds: float = 1.0,
    *,
    service: str = FROM_SOURCE,
) -> TrialReport:
    """Open `clients` connections that send one byte a second of a head or a body, or a head and then nothing.

    The promises: correct requests, sent at the same time, are all answered with 200 and the right body, and their p99
    latency at most doubles; the service closes the connection of every slow client within 30 s.

    Args:
        clients: number of slow clients.
        seconds: how long they go on; the correct requests are sent for as long, but for at most 25 s.
        load: rate of the correct requests, as a share of the service's capacity.
        before_seconds: how long the correct requests are sent alone first, for the latency to compare with.
        slack: factor on the latency that is allowed.
        capacity_seconds: how long the service's capacity is measured first, and warmed up before that.
        service: import string of the service.
    """
    report = TrialReport("slow")
    with serving(service) as server:
        rate = load * capacity(server, capacity_seconds)
        before = open_loop(server.url, [PREDICT], rate, before_seconds, CONNECTIONS)
        start = monotonic()
        connections = [connect(server) for _ in range(clients)]
        closed: list[float] = []
        dripping = threading.Thread(target=_drip, args=(connections, seconds, closed))
        dripping.start()
        during = open_loop(
            server.url, [PREDICT], rate, min(seconds, 25.0), CONNECTIONS, seed=1, expected=correct_answer(server)
        )
        during = during.chosen(during.status != UNSENT)
        dripping.join()
        for connection in connections:
            connection.close()
        lasted = max(closed, default=start) - start
        p99_before, p99 = before.latency_ms(99, 200), during.latency_ms(99, 200)
        report.require(during.count(200) == len(during), "good requests are answered")
        report.require(p99 <= 2 * slack * p99_before, "p99 of good requests is at most 2 times that before", timed=True)
        report.require(len(closed) == clients and lasted <= 30, "slow clients are closed within 30 s")
        report.figures |= {
            "slow clients": f"{clients}, of which {len(closed)} were closed, the last after {lasted:.1f} s",
            "p99 of good requests": f"{p99:.1f} ms, before {p99_before:.1f} ms",
        }
    return report


def oversize(bodies: int = 100, *, service: str = FROM_SOURCE) -> TrialReport:
    """Send bodies 1 MiB over the limit, in turns with a Content-Length and in chunks without one.

    The promises, for `bodies` to each of /predict and /predict_batch: each is refused with 413; the resident memory of
    the worker, read after each answer, rises by less than the size of one such body.
    """
    report = TrialReport("oversize")
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
            report.require(statuses == {413}, "they get 413")
            report.require(growth < limit + MIB, "resident memory rises by less than the limit and 1 MiB")
            report.figures[path] = f"{bodies} bodies, statuses {statuses}, memory at most {growth / MIB:+.1f} MiB"
    return report


def logs(requests: int = 10_000, *, service: str = FROM_SOURCE) -> TrialReport:
    """Send bad requests, with forged log lines, control characters and an amount in them, and read the log.

    At least `requests` are sent, and 50 that are not HTTP. The promises: there are at most as many records as requests,
    and every line is a whole record without control characters; 10,000 requests leave less than 5 MB; the forged time
    begins no line, and neither the amount nor a stack trace is in the log.
    """
    report = TrialReport("logs")
    amount = "31415.926535"
    lines = "%0d%0a2026-01-01T00:00:00+0000%20[INFO]%20[forged]%20line%1b[31m"
    bad = [
        post("/predict", USAGE | {"minutes": -1, "calls": float(amount)}),
        post("/predict", f'{{"calls": {amount}'.encode()),
        post("/predict", {"forged\r\n[INFO]\x1b[31m": amount}),
        get(f"/{lines}"), get(f"/docs.json?{lines}"), get(f"/?{lines}"), get(f"/static_content/{lines}"),
        post("/predict", USAGE, f"Content-Type: text/{lines}", "User-Agent: \x1b[31mred"),
        *(_hostile_request(path) for path in ("/livez", "/metrics", "/docs.json", "/")),  # BentoML answers these paths
    ]  # fmt: skip
    with serving(service) as server:
        start = server.log.stat().st_size
        done = 0
        while done < requests:
            done += len(closed_loop(server.url, bad, 8, 1.0))
        for _ in range(50):
            connection = connect(server)
            connection.sendall(b"\x1b[31m not http \r\n\r\n")
            connection.close()
        time.sleep(0.5)
        text = server.log.read_bytes()[start:].decode("utf-8", errors="replace")
        records = text.splitlines()
        report.require(len(text) < 5_000_000 * done / 10_000, "10,000 bad requests leave less than 5 MB")
        report.require(len(records) <= done + 50, "at most one record a request")
        report.require(all(_RECORD.match(record) for record in records), "every record can be parsed")
        report.require(
            "\x1b" not in text and "[forged]" not in "".join(record for record in records if not _RECORD.match(record)),
            "no control characters, no forged records",
        )
        report.require(not any(record.startswith("2026-01-01T00:00:00") for record in records), "no forged records")
        report.require(amount not in text, "no values of clients")
        report.require("Traceback" not in text, "no stack traces for faults of clients")
        report.figures["log"] = f"{len(text):,} bytes and {len(records):,} records for {done + 50:,} bad requests"
    return report


def _drip(connections: list[socket.socket], seconds: float, closed: list[float]) -> None:
    """Send a byte a second on each connection, until the server has closed all of them or `seconds` are over.

    A third of the connections send a whole request that way; a third send the head at once and the body that way; a
    third send the head at once and no body. What the server answers is read and discarded. For each connection that the
    server closes, the moment of `time.monotonic()` is appended to `closed`.
    """
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
    """Give a body in pieces of 64 KiB; httpx sends an iterator in chunks, without a Content-Length."""
    for start in range(0, len(content), 64 * 1024):
        yield content[start : start + 64 * 1024]


def _hostile_request(path: str) -> bytes:
    """Write a GET request with headers that a framework may log unchanged, or crash on."""
    headers = [
        b"Content-Type: \xff\x9b31m\x85", b"Content-Length: 0",
        b"baggage: " + b",".join(b"forged%d=\xff" % number for number in range(100)),
        b"traceparent: 00-deadbeefdeadbeefdeadbeefdeadbeef-00f067aa0ba902b7-01", b"tracestate: \x9b31m\x85forged=1",
    ]  # fmt: skip
    return b"\r\n".join([b"GET %b HTTP/1.1" % path.encode(), b"Host: localhost", *headers, b"", b""])
