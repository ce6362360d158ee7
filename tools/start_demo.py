"""`make start-demo`: the image, up on a port and asked; `make stop-demo` takes it down.

With compose, where it is installed and the images of Prometheus and Grafana are to be had, else with Docker alone.

    python -m tools.start_demo [OPTION ...]     options of `bentoml containerize`; the environment variable PORT (3000)
    python -m tools.start_demo --stop
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import httpx

from plan_recommender.serving.settings import KEY_VARIABLE
from tools.container import HARDENED, NAME, ContainerError, client, containerize, docker, running
from tools.containerize import build
from tools.demo import SUBSCRIBERS
from tools.server import ROOT, START_SECONDS

COMPOSE_FILE: Final = ROOT / "deploy" / "compose.yaml"
PROJECT: Final = "plan-recommender-demo"
"""Name of the container, or of the compose project; `--stop` takes down what bears it."""


def main(options: Sequence[str] | None = None) -> int:
    """Put it up, or take it down; returns 2 when that could not be done."""
    options = sys.argv[1:] if options is None else options
    try:
        if list(options) == ["--stop"]:
            return _stop()
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
    """Start service, Prometheus and Grafana; tells whether that could be done."""
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
    """Take down what an earlier start put up; it is well if there is none."""
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
    """Read a port from the environment, as compose does."""
    value = os.environ.get(name) or str(default)
    if not value.isascii() or not value.isdecimal() or not 0 < int(value) < 2**16:
        raise ContainerError(f"environment variable {name}: expected a port, 1 to 65535, found {value!r}")
    return int(value)


if __name__ == "__main__":
    sys.exit(main())
