"""`make start-demo` builds the image and starts it on a port; `make stop-demo` stops and removes it.

Compose starts Prometheus and Grafana as well, where it is installed and their images can be pulled; otherwise Docker
starts the service alone.

usage: python -m tools.start_demo [--stop | OPTION ...]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.start_demo")

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import httpx

from plan_recommender.serving.settings import KEY_FILE_VARIABLE, KEY_VARIABLE
from tools.container import HARDENED, NAME, ContainerError, client, containerize, docker, running
from tools.containerize import build
from tools.demo import SUBSCRIBERS
from tools.server import ROOT, START_SECONDS

COMPOSE_FILE: Final = ROOT / "deploy" / "compose.yaml"
PROJECT: Final = "plan-recommender-demo"
"""Name of the container, or of the compose project; `--stop` removes what has this name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the demo or stop it; returns 0, or 2 if that could not be done."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.start_demo",
        usage="%(prog)s [-h] [--stop | OPTION ...]",
        description="Build an image of the registered model, start it on the port that the environment variable PORT "
        "names (3000), and ask it. It goes on running.",
        epilog="OPTION: any option of `bentoml containerize`, such as --opt network=host.",
        allow_abbrev=False,
    )
    parser.add_argument("--stop", action="store_true", help="stop and remove what an earlier start has left running")
    chosen, options = parser.parse_known_args(arguments)
    if chosen.stop and options:
        parser.error(f"argument --stop: expected no other options, found {' '.join(options)}")
    try:
        if chosen.stop:
            return _stop()
        if KEY_FILE_VARIABLE in os.environ:  # the file is not in the container, which would be open to everybody
            raise ContainerError(
                f"expected the key for this demo in {KEY_VARIABLE}, found {KEY_FILE_VARIABLE}; set the one instead of "
                "the other, or give compose the file (deploy/compose.key.yaml)"
            )
        return _start(options, _port("PORT", 3000))
    except (ContainerError, httpx.HTTPError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _start(options: Sequence[str], port: int) -> int:
    print("== build the image", flush=True)
    image = containerize(build(), options)
    with running(image):
        print(f"{image}, which starts")
    docker("tag", image, f"{NAME}:latest")
    _stop()
    url = f"http://127.0.0.1:{port}"
    print(f"\n== start it on {url}", flush=True)
    if not _compose(image, port):
        passed_on = ["--env", KEY_VARIABLE] if KEY_VARIABLE in os.environ else []
        publish = ["--publish", f"127.0.0.1:{port}:3000"]
        docker("run", "--detach", "--name", PROJECT, *publish, *passed_on, *HARDENED, image)
    keyed = {"Authorization": f"Bearer {os.environ[KEY_VARIABLE]}"} if KEY_VARIABLE in os.environ else {}
    with httpx.Client(base_url=url, headers=keyed, trust_env=False) as http:
        _wait_until_ready(http)
        print(f"\nGET /health\n{http.get('/health').raise_for_status().text}")
        for who, usage in SUBSCRIBERS.items():
            print(f"\nPOST /predict: {who}\n{http.post('/predict', json=usage).raise_for_status().text}")
    print(f"\nIt is up on {url}; `make stop-demo` takes it down.")
    return 0


def _compose(image: str, port: int) -> bool:
    """Start the service, Prometheus and Grafana with compose; returns whether that succeeded."""
    command = _compose_command()
    if command is None:
        print("no compose here: the service alone, without Prometheus and Grafana")
        return False
    environment = os.environ | {"PLAN_RECOMMENDER_IMAGE": image, "PORT": str(port)}
    started = subprocess.run([*command, "up", "--detach"], env=environment, capture_output=True, text=True, check=False)
    if started.returncode:
        why = (started.stderr.strip().splitlines() or ["no reason was given"])[-1]
        print(f"compose could not start all of it ({why}): the service alone, without Prometheus and Grafana")
        _stop()
        return False
    prometheus, grafana = _port("PROMETHEUS_PORT", 9090), _port("GRAFANA_PORT", 3001)
    print(f"Prometheus is at http://127.0.0.1:{prometheus}, the dashboard at http://127.0.0.1:{grafana}")
    return True


def _compose_command() -> list[str] | None:
    files = ["--project-name", PROJECT, "--file", str(COMPOSE_FILE)]
    if subprocess.run([client(), "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [client(), "compose", *files]
    alone = shutil.which("docker-compose")
    return None if alone is None else [alone, *files]


def _stop() -> int:
    """Stop and remove what an earlier start has left running, if anything; returns 0."""
    command = _compose_command()
    if command is not None:
        subprocess.run([*command, "down", "--volumes"], capture_output=True, check=False)
    subprocess.run([client(), "rm", "--force", PROJECT], capture_output=True, check=False)
    return 0


def _wait_until_ready(http: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if http.get("/readyz").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise ContainerError(
        f"expected a service that is ready within {START_SECONDS} s at {http.base_url}; see docker logs"
    )


def _port(name: str, default: int) -> int:
    """Read a port from the environment; like compose, it treats an empty variable as unset."""
    value = os.environ.get(name) or str(default)
    if not value.isascii() or not value.isdecimal() or not 0 < int(value) < 2**16:
        raise ContainerError(f"environment variable {name}: expected a port, 1 to 65535, found {value!r}")
    return int(value)
