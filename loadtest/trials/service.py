"""The service that a trial starts: a correct request, its worker processes, its capacity and its metrics."""

import contextlib
import math
import re
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import httpx
import psutil

from loadtest.generator import closed_loop, post
from plan_recommender.serving.settings import variable
from tools.server import Server

USAGE: Final = {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}
PREDICT: Final = post("/predict", USAGE)
CONNECTIONS: Final = 16
MIB: Final = 1024 * 1024


def several(number: int) -> dict[str, str]:
    """Give the environment variable that makes `bentoml serve` start `number` workers."""
    return {variable("workers"): str(number)}


def workers(server: Server) -> list[psutil.Process]:
    """List the worker processes, without the supervisor; a new one may not be ready to answer yet."""
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "_bentoml_impl.worker.service" in process.cmdline():
                found.append(process)
    return found


def ready_workers(server: Server) -> list[psutil.Process]:
    """List the workers whose event loop runs: those with more than one thread."""
    return [worker for worker in workers(server) if worker.num_threads() > 1]


def capacity(server: Server, seconds: float) -> float:
    """Measure how many predictions a second the service answers to `CONNECTIONS` connections that never pause."""
    closed_loop(server.url, [PREDICT], CONNECTIONS, min(seconds, 1.0))  # warm
    return closed_loop(server.url, [PREDICT], CONNECTIONS, seconds).rate(200)


def correct_answer(server: Server) -> bytes:
    """Ask for `USAGE` once, and give the body that every other answer to it must have."""
    return httpx.post(f"{server.url}/predict", json=USAGE, timeout=10).content


def series_of(http: httpx.Client) -> dict[str, str]:
    """Read `/metrics`: the value of every series, by its name with labels, both as text."""
    return dict(re.findall(r"^([^#\s]+) (\S+)$", http.get("/metrics").text, re.MULTILINE))


def connect(server: Server) -> socket.socket:
    """Open a TCP connection to the service and send nothing; reads and writes time out after 10 seconds."""
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until the condition holds, or for `seconds`; returns the moment of `time.monotonic()` when waiting ended."""
    deadline = monotonic() + seconds
    while monotonic() < deadline and not condition():
        time.sleep(0.1)
    return monotonic()


def probe(server: Server, path: str, seconds: float, times: list[float]) -> None:
    """Ask five times a second at most, each time on a new connection, as the probe of an orchestrator does.

    Appends to `times` how many seconds each answer 200 took, and infinity where an answer took longer than 5 seconds.
    It uses the standard library because httpx prepares TLS for every client, which would take a tenth of a core away
    from what is measured.
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
