"""Run a real server until a block ends: `bentoml serve`, or another command, on a free port of 127.0.0.1."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
"""The folder of the repository."""

FROM_SOURCE = "service:PlanRecommender"
START_SECONDS = 60
STOP_SECONDS = 20

PORTS = range(20_000, 32_000)
"""Ports that a server may get.

The system's choice (bind to port 0) is not used: it takes ports that outgoing connections get as well, on Linux from
32768 on, so that a client of another test could hold the port by the time the server binds it.
"""


class ServerDidNotStartError(Exception):
    """The server ended, or exceeded `START_SECONDS`, before it was ready; the message holds the end of its log."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]
    """The command that was started; it may have child processes."""
    log: Path
    """The file that its output goes to."""
    ready_seconds: float
    """From the start of the command until it answered for the first time that it is ready."""


@contextmanager
def serving(
    target: str = FROM_SOURCE,
    cwd: Path = ROOT,
    bentoml: Path | None = None,
    env: Mapping[str, str] | None = None,
    cores: Collection[int] = (),
) -> Iterator[Server]:
    """Run `bentoml serve TARGET` until the block ends.

    Args:
        target: what to serve: an import string, or the tag of a Bento.
        cwd: the working directory of the command.
        bentoml: the program; None: the one beside this interpreter.
        env: environment variables, added to those of this process.
        cores: as for `running`.

    Raises:
        ServerDidNotStartError: the server did not become ready.
    """
    port = free_port()
    program = str(bentoml or Path(sys.executable).with_name("bentoml"))
    command = [program, "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    environment = {"BENTOML_DO_NOT_TRACK": "True"} | dict(env or {})
    with running(command, port, "/readyz", cwd, environment, cores) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    ready: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    cores: Collection[int] = (),
) -> Iterator[Server]:
    """Run a server until the block ends; then stop it, and kill the processes that it started if they are left.

    Args:
        command: starts the server, which listens on 127.0.0.1.
        port: the port that the command names.
        ready: path that answers 200 as soon as the server is ready.
        cwd: the working directory of the command.
        env: environment variables, added to those of this process.
        cores: processor cores that the server may use, on Linux; none: all.

    Raises:
        ServerDidNotStartError: the server did not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="plan-recommender-serving-") as folder:
        log = Path(folder) / "server.log"
        start = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            if cores and sys.platform == "linux":
                with suppress(ProcessLookupError):  # it has ended already, which _wait_until_ready reports
                    os.sched_setaffinity(process.pid, cores)
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(process, url + ready, log)
            yield Server(url, process, log, time.monotonic() - start)
        finally:
            _stop(process)


def free_port() -> int:
    """Find a port among `PORTS` that is free on the loopback interface now.

    Raises:
        OSError: all of them are in use.
    """
    chance = random.SystemRandom()  # test runners with the same seed must not choose the same ports
    for port in chance.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"expected a free port of 127.0.0.1 from {PORTS[0]} to {PORTS[-1]}; all are in use")


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=5) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(url).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    ended = process.poll()
    how = "is still not ready" if ended is None else f"ended with {ended}"
    raise ServerDidNotStartError(f"expected a ready server within {START_SECONDS} s; it {how}:\n{_tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    started = [] if process.poll() is not None else psutil.Process(process.pid).children(recursive=True)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for orphan in started:
        with suppress(psutil.NoSuchProcess):
            orphan.kill()


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-4000:]
