"""Several workers on one socket: a burst of connections is spread over them, and none is kept for ever."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from loadtest.generator import closed_loop
from loadtest.trials.service import PREDICT, several, workers
from plan_recommender.serving.limits import MAX_REQUESTS
from plan_recommender.serving.patches.supervisor import Pauses
from tests.serving.faults import fault
from tools.server import ROOT, Server, free_port, serving

pytestmark = pytest.mark.slow

BURSTS = 12
CONNECTIONS = 16


@pytest.fixture(scope="module")
def two(trained_tag: str) -> Iterator[Server]:
    with serving(env=several(2)) as running:
        deadline = time.monotonic() + 20  # the second may be up later than the first
        while sum(worker.num_threads() > 1 for worker in workers(running)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        yield running


def test_a_burst_of_connections_is_spread(two: Server) -> None:
    address = urlsplit(two.url)
    fewest = []
    for _ in range(BURSTS):
        with ExitStack() as opened:
            for _ in range(CONNECTIONS):
                connection = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10)
                opened.callback(connection.close)
            time.sleep(0.2)
            held = [sum(c.status == "ESTABLISHED" for c in w.net_connections("tcp")) for w in workers(two)]
            assert sum(held) == CONNECTIONS
            fewest.append(min(held))
        time.sleep(0.1)
    assert median(fewest) >= 0.2 * CONNECTIONS, fewest  # half of them as a rule; without the pause at most one


def test_a_connection_ends_after_its_last_request_and_nothing_is_lost(two: Server) -> None:
    address = urlsplit(two.url)
    with (
        socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10) as connection,
        connection.makefile("rb") as answers,
    ):
        for number in range(1, MAX_REQUESTS + 1):
            connection.sendall(PREDICT)
            head = b"".join(iter(answers.readline, b"\r\n"))
            answers.read(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            assert head.startswith(b"HTTP/1.1 200")
            assert (b"connection: close" in head) == (number == MAX_REQUESTS)
        assert connection.recv(1) == b""
    answered, deadline = 0, time.monotonic() + 60
    while answered <= 5 * MAX_REQUESTS and time.monotonic() < deadline:
        record = closed_loop(two.url, [PREDICT], 4, 2.0)
        assert record.counts() == {200: len(record)}
        answered += len(record)
    assert answered > 5 * MAX_REQUESTS


@pytest.mark.parametrize(
    ("number", "how"), [(signal.SIGKILL, "9 (Killed)"), (signal.SIGSEGV, "11 (Segmentation fault)")]
)
def test_a_worker_that_dies_is_replaced_soon_and_the_log_says_so(two: Server, number: int, how: str) -> None:
    victim = workers(two)[0].pid
    start = time.monotonic()
    os.kill(victim, number)
    message = f"worker {victim} was ended by signal {how}; another takes its place"
    while message not in (log := two.log.read_text()) and time.monotonic() - start < 20:
        time.sleep(0.05)
    noticed = time.monotonic() - start
    assert log.count(message) == 1
    assert noticed < 4, "BentoML's supervisor by itself looks every 10 seconds"
    while sum(worker.num_threads() > 1 for worker in workers(two)) < 2 and time.monotonic() - start < 20:
        time.sleep(0.1)
    found = {worker.pid for worker in workers(two)}
    assert len(found) == 2
    assert victim not in found


def test_a_worker_that_circus_finds_dead_first_is_logged_too(trained_tag: str) -> None:
    with serving(fault("dropped_when_dead")) as running:
        deadline = time.monotonic() + 20
        while "was ended by signal 9" not in (log := running.log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert log.count("was ended by signal 9 (Killed); another takes its place\n") == 1
        series = httpx.get(f"{running.url}/metrics", timeout=30).text
    assert 'plan_recommender_worker_deaths_total{cause="killed"} 1.0' in series


def test_the_pauses_double_and_begin_anew_when_a_worker_has_lived() -> None:
    pauses = Pauses()
    assert [pauses.died(0.5, now=0.0) for _ in range(7)] == [0, 1, 2, 4, 8, 16, 16]
    assert not pauses.over(15.9)
    assert pauses.over(16.0)
    assert [pauses.died(age, now=100.0) for age in (60.0, 0.5, 0.5)] == [0, 1, 2]
    assert Pauses().over(0.0)


def test_a_worker_that_dies_at_its_start_is_replaced_after_longer_and_longer_pauses(trained_tag: str) -> None:
    killed: list[int] = []
    with serving() as running:
        deadline = time.monotonic() + 30
        while len(killed) < 4 and time.monotonic() < deadline:
            for worker in workers(running):
                if worker.pid not in killed:
                    worker.kill()
                    killed.append(worker.pid)
            time.sleep(0.02)
        assert httpx.get(f"{running.url}/health", timeout=30).json()["status"] == "ok"
        log = running.log.read_text()
    pauses = re.findall(r"another takes its place(?: in (.*) s)?$", log, re.MULTILINE)
    assert pauses == ["", "1", "2", "4"]


def test_a_worker_that_is_frozen_does_not_keep_the_service_from_ending(trained_tag: str) -> None:
    with serving(env=several(2)) as running:
        found = workers(running)
        os.kill(found[0].pid, signal.SIGSTOP)
        start = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(18)
        assert time.monotonic() - start < 14  # 8 s, counted in steps of 0.1 s that a busy machine draws out
        assert not psutil.wait_procs(found, timeout=5)[1]


def test_a_service_that_is_told_to_end_while_it_starts_ends(trained_tag: str) -> None:
    """The supervisor, which is busy starting its workers, would drop the order."""
    command: list[str | Path] = [Path(sys.executable).with_name("bentoml"), "serve", fault("stopped_while_starting")]
    environment = os.environ | {"BENTOML_PORT": str(free_port())}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_a_start_that_takes_long_leaves_no_error_in_the_log(trained_tag: str) -> None:
    """The supervisor takes it for an error when it is to look for dead workers while it starts some."""
    with serving(fault("starts_slowly"), env=several(3)) as running:
        deadline = time.monotonic() + 60
        while running.log.read_text().count("initialized") < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(workers(running)) == 3
        assert "ERROR" not in running.log.read_text()
