"""A real server for as long as a block runs: `bentoml serve` on a free loopback port."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
FROM_SOURCE = "service:PlanRecommender"
START_SECONDS = 60
STOP_SECONDS = 20


class ServerDidNotStartError(Exception):
    """The server ended, or took too long, before it was ready; the message holds the end of its log."""


@dataclass(frozen=True)
class Server:
    """A running server, and the file that its output goes to."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def serving(
    target: str = FROM_SOURCE,
    cwd: Path = ROOT,
    bentoml: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run `bentoml serve TARGET` until the block ends.

    Args:
        target: what to serve: an import string, or the tag of a Bento.
        cwd: where the command runs.
        bentoml: the program; the one beside this interpreter when left out.
        env: added to the environment.

    Raises:
        ServerDidNotStartError: it did not become ready.
    """
    port = _free_port()
    program = str(bentoml or Path(sys.executable).with_name("bentoml"))
    with tempfile.TemporaryDirectory(prefix="plan-recommender-serving-") as folder:
        log = Path(folder) / "server.log"
        metrics = Path(folder) / "metrics"
        metrics.mkdir()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, "serve", target, "--host", "127.0.0.1", "--port", str(port)],
                cwd=cwd,
                env={**os.environ, "BENTOML_DO_NOT_TRACK": "True", "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
                | dict(env or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(f"http://127.0.0.1:{port}", process, log)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            _stop(process)


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if httpx.get(f"{server.url}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    ended = server.process.poll()
    how = "is still not ready" if ended is None else f"ended with {ended}"
    raise ServerDidNotStartError(f"expected a ready server within {START_SECONDS} s; it {how}:\n{_tail(server.log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-4000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
