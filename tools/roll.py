"""Roll between two images behind a real nginx, forward and back, under load, and count the requests that failed.

usage: python -m tools.roll IMAGE OTHER [--rolls N] [--rate N] [--requests N]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.roll")

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from loadtest.generator import Event, open_loop
from loadtest.record import Record
from loadtest.trials.service import PREDICT
from plan_recommender.serving.settings import variable
from tools.container import HARDENED, STOP_SECONDS, ContainerError, docker
from tools.server import ROOT, START_SECONDS, free_port

CONFIGURATION: Final = ROOT / "deploy" / "nginx" / "plan-recommender.conf"
"""The recipe that is tried: only its three ports are replaced, by free ones."""

DRAIN_SECONDS: Final = 5
"""Longer than `fail_timeout` of the recipe."""

_CONNECTIONS: Final = 64
"""Of the client. Those that wait for an instance that starts are fewer, so that no request is kept from being sent."""

_LOAD_SECONDS: Final = 5.0
"""The load comes in pieces of this length, because how long a roll takes is not known before."""

_NGINX: Final = """
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/plan-recommender.conf;
}}
"""


class RollError(Exception):
    """nginx is missing or did not start; the message is one sentence."""


@dataclass(frozen=True)
class Proxy:
    """A running nginx with the recipe."""

    url: str
    ports: tuple[int, int]
    """Where it expects the two instances."""


@dataclass(frozen=True)
class Roll:
    """One roll forward and back."""

    record: Record
    """What became of the requests."""
    models: tuple[str, str, str]
    """The tag of the model that answered before it, after rolling forward, and after rolling back."""

    @property
    def failed(self) -> int:
        """Requests that were not answered with 200."""
        return len(self.record) - self.record.count(200)


def main(arguments: Sequence[str] | None = None) -> int:
    """Roll as often as asked; returns 0, 1 if a request failed, or 2 if it could not be tried."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.roll",
        description="Roll between two images behind a real nginx, forward and back, under load, and count the requests "
        "that failed.",
        epilog="Exit code 0: none failed; 1: some did; 2: it could not be tried. It needs Docker and nginx.",
        allow_abbrev=False,
    )
    parser.add_argument("images", nargs=2, metavar="IMAGE", help="the image that serves, and the one to roll to")
    parser.add_argument("--rolls", type=int, default=10, help="rolls forward and back (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=15_000, help="at least so many a roll (default: %(default)s)")
    options = parser.parse_args(arguments)
    failed = 0
    try:
        with proxy() as nginx:
            for number in range(options.rolls):
                done = roll(nginx, options.images, options.rate, options.requests, seed=number)
                failed += done.failed
                record = done.record
                print(
                    f"roll {number + 1}: {len(record):,} requests, {done.failed} failed{_statuses(record)}; median "
                    f"{record.latency_ms(50, 200):.1f} ms, slowest {record.latency_ms(100, 200):,.0f} ms, "
                    f"{int((record.ended - record.due > 1).sum())} longer than 1 s; "
                    f"{' -> '.join(done.models)}",
                    flush=True,
                )
    except (RollError, ContainerError, httpx.HTTPError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{failed} requests failed in {options.rolls} rolls")
    return int(bool(failed))


@contextmanager
def proxy(retries: bool = True) -> Iterator[Proxy]:
    """Run nginx with the recipe until the block ends.

    Args:
        retries: False leaves out that a request without an answer is sent to the other instance, as a control.

    Raises:
        RollError: there is no nginx, or it does not start.
    """
    program = shutil.which("nginx")
    if program is None:
        raise RollError("expected the program nginx on the PATH, found none: apt-get install nginx-light")
    port, *ports = (free_port() for _ in range(3))
    recipe = CONFIGURATION.read_text(encoding="utf-8")
    for written, free in ((8080, port), (3001, ports[0]), (3002, ports[1])):
        recipe = recipe.replace(f"127.0.0.1:{written}", f"127.0.0.1:{free}")
    if not retries:
        recipe = re.sub(r"proxy_next_upstream .*;", "proxy_next_upstream off;", recipe)
    with tempfile.TemporaryDirectory(prefix="plan-recommender-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx, started as root, works as another user
        (folder / "plan-recommender.conf").write_text(recipe, encoding="utf-8")
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder), encoding="utf-8")
        process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while not (folder / "nginx.pid").exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            if not (folder / "nginx.pid").exists():
                said = (folder / "error.log").read_text() if (folder / "error.log").exists() else "nothing"
                raise RollError(f"expected nginx to start, it said: {said}")
            yield Proxy(f"http://127.0.0.1:{port}", (ports[0], ports[1]))
        finally:
            process.terminate()
            process.wait(10)


def roll(nginx: Proxy, images: Sequence[str], rate: float, requests: int, seed: int = 0) -> Roll:
    """Serve the first image, and under load roll to the second and back.

    Args:
        nginx: in front of the two instances; neither of its ports is in use.
        images: of the instance that serves, and of the one to roll to.
        rate: requests a second.
        requests: at least so many are sent, and at least until the roll is over.
        seed: of the moments at which requests are sent.

    Raises:
        ContainerError: a container did not start.
    """
    containers = [_start(images[0], nginx.ports[0])]
    models = [_model(nginx)]
    faults: list[Exception] = []

    def replace(image: str, port: int) -> None:
        """The recipe: start the next instance, and when it is ready stop the one of before."""
        containers.append(_start(image, port))
        docker("stop", "-t", str(STOP_SECONDS + DRAIN_SECONDS), containers[-2])
        models.append(_model(nginx))

    def forward_and_back() -> None:
        try:
            replace(images[1], nginx.ports[1])
            docker("rm", containers[0])
            replace(images[0], nginx.ports[0])
        except (ContainerError, httpx.HTTPError) as error:
            faults.append(error)

    rolling = threading.Thread(target=forward_and_back)
    try:
        records = [
            open_loop(nginx.url, [PREDICT], rate, _LOAD_SECONDS, _CONNECTIONS, seed, [Event(1.0, rolling.start)])
        ]
        while rolling.is_alive() or sum(map(len, records)) < requests:
            records.append(open_loop(nginx.url, [PREDICT], rate, _LOAD_SECONDS, _CONNECTIONS, seed + len(records)))
    finally:
        for container in containers:
            with suppress(ContainerError):
                docker("rm", "--force", container)
    if faults:
        raise faults[0]
    return Roll(_together(records), (models[0], models[1], models[2]))


def _statuses(record: Record) -> str:
    """Say which statuses those had that failed, as loadtest/record.py numbers them."""
    found = {status: count for status, count in record.counts().items() if status != httpx.codes.OK}
    return f" {found}" if found else ""


def _together(records: Sequence[Record]) -> Record:
    due, sent, ended, status = (
        np.concatenate([getattr(record, name) for record in records]) for name in ("due", "sent", "ended", "status")
    )
    return Record(due, sent, ended, status, sum(record.without_retry_after for record in records))


def _start(image: str, port: int) -> str:
    """Start an instance, and wait until it is ready; returns the id of its container."""
    environment = f"{variable('drain_seconds')}={DRAIN_SECONDS}"
    publish = f"127.0.0.1:{port}:3000"
    container = docker("run", "--detach", "--publish", publish, "--env", environment, *HARDENED, image).split()[0]
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=5, trust_env=False) as http:
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if http.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK:
                    return container
            time.sleep(0.1)
    said = docker("logs", "--tail", "20", container)
    docker("rm", "--force", container)
    raise ContainerError(f"expected an instance that is ready within {START_SECONDS} s; its log ends:\n{said}")


def _model(nginx: Proxy) -> str:
    model: str = httpx.get(f"{nginx.url}/model", timeout=10, trust_env=False).raise_for_status().json()["model"]
    return model
