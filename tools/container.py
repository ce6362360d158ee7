"""Docker, by its command line: find a client, build an image of a Bento, and run containers until a block ends."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import httpx

from plan_recommender.model.bento_model import SOURCE_COMMIT
from plan_recommender.model.source import short
from tools.server import ROOT, START_SECONDS, free_port

NAME: Final = "plan_recommender"
HARDENED: Final = (
    *("--read-only", "--tmpfs", "/tmp:size=64m", "--memory", "512m"),  # noqa: S108  # the container's own
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
"""Options of `docker run` that take away what the service does not need."""

REVISION_LABEL: Final = "org.opencontainers.image.revision"
MODEL_LABEL: Final = "plan-recommender.model"
"""The label of an image with the tag of the model in it. It is no reversed domain, because the project has none."""

STOP_SECONDS: Final = 10
"""Time that docs/operations.md asks an operator to give a container for stopping (s)."""

MB: Final = 1_000_000

_WORKER: Final = "_bentoml_impl.worker.service"
_NEEDS_BUILDX: Final = 23  # clients from this version on cannot build without the plugin buildx


class ContainerError(Exception):
    """There is no container engine, or a command of its client failed; the message is one sentence for the operator."""


@dataclass(frozen=True)
class Container:
    """A running container of the image."""

    id: str
    url: str
    ready_seconds: float
    """From `docker run` until `/readyz` answered for the first time."""

    def log(self) -> str:
        """Read what it has written to its output so far."""
        return docker("logs", self.id)

    def execute(self, *command: str) -> str:
        """Run a command in the container; returns what it printed. ContainerError if it failed."""
        return docker("exec", self.id, *command)


@cache
def client() -> str:
    """Find a Docker client on the path that can build images, and whose engine answers; looks once in a process.

    Raises:
        ContainerError: there is no such client.
    """
    found = []
    for folder in os.get_exec_path():
        program = shutil.which("docker", path=folder)
        if program is None or program in found:
            continue
        found.append(program)
        asked = _run(program, "version", "--format", "{{.Client.Version}} {{.Server.Version}}")
        version = re.match(r"(\d+)\.\S+ \d+\.", asked.stdout)
        if asked.returncode or version is None:
            continue
        if int(version[1]) < _NEEDS_BUILDX or _run(program, "buildx", "version").returncode == 0:
            return program
    what = f"found {', '.join(found)}, of which none has both" if found else "found no program named docker"
    raise ContainerError(
        f"expected a Docker client that can build images (it has the plugin buildx, or is older than "
        f"{_NEEDS_BUILDX}) and an engine that answers it; {what}; install Docker, and start its engine"
    )


def docker(*arguments: str) -> str:
    """Run a command of the Docker client; returns what it printed to stdout and then to stderr.

    Raises:
        ContainerError: the command failed, or there is no client.
    """
    ended = _run(client(), *arguments)
    if ended.returncode:
        raise ContainerError(f"docker {' '.join(arguments)} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout + ended.stderr


def containerize(bento: str, options: Sequence[str] = ()) -> str:
    """Run `bentoml containerize` on a Bento; returns the name of the image, which is the tag of the Bento.

    Args:
        bento: tag of the Bento.
        options: more options of `bentoml containerize`, such as `--opt network=host`.

    Raises:
        ContainerError: there is no engine, or the image could not be built.
    """
    program = Path(client())
    # BentoML uses the first docker on the path, so the folder of the right one comes first.
    environment = os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "DOCKER_BUILDKIT": "1"}
    bentoml = Path(sys.executable).with_name("bentoml")
    built = subprocess.run(
        [bentoml, "containerize", bento, "--image-tag", bento, *_label_options(bento), *options],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # The exit code is not enough: bentoml may exit with 0 after a failed build.
    if built.returncode or _run(client(), "image", "inspect", bento).returncode:
        raise ContainerError(f"expected an image {bento}, which bentoml containerize did not build:\n{built.stderr}")
    return bento


def labels(bento: str) -> dict[str, str]:
    """Give the labels of a Bento's image: the OCI's own, and `MODEL_LABEL`; what is not known is left out.

    Those of its base are `tools.base_image.BaseImage.labels`.

    Raises:
        ContainerError: there is no such Bento.
    """
    commit, model, created = _described(bento)
    return {
        "org.opencontainers.image.title": NAME,
        "org.opencontainers.image.description": "Recommends a mobile plan from one month of a subscriber's usage",
        "org.opencontainers.image.version": bento.partition(":")[2],
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.licenses": "MIT",
        MODEL_LABEL: model,
    } | ({} if commit is None else {REVISION_LABEL: commit})


def tag_by_content(image: str) -> str | None:
    """Give an image one more tag, by its labels: `plan_recommender:<version of the model>-<commit>`; returns it.

    None: the commit is not known, so there is no such tag.

    Raises:
        ContainerError: there is no such image.
    """
    found = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    if REVISION_LABEL not in found:
        return None
    tag = f"{found[MODEL_LABEL]}-{short(found[REVISION_LABEL])}"
    docker("tag", image, tag)
    return tag


def size_mb(image: str) -> float:
    """Size of an image as Docker reports it, in millions of bytes."""
    return int(docker("image", "inspect", "--format", "{{.Size}}", image)) / MB


@contextmanager
def running(
    image: str,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = HARDENED,
    *,
    on_host: bool = False,
) -> Iterator[Container]:
    """Run a container until the block ends, on a free port of the loopback interface.

    Args:
        image: name of the image.
        env: environment variables.
        options: more options of `docker run`.
        on_host: use the host's network, so that no proxy is between a client and the service.

    Raises:
        ContainerError: the container did not become ready in `START_SECONDS`.
    """
    port = free_port()
    variables = dict(env or {})
    if on_host:
        network = ["--network", "host"]
        variables |= {"BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": str(port)}
    else:
        network = ["--publish", f"127.0.0.1:{port}:{variables.get('BENTOML_PORT', 3000)}"]
    settings = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
    start = time.monotonic()
    container = docker("run", "--detach", *network, *settings, *options, image).splitlines()[0]
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(container, url)
        yield Container(container, url, time.monotonic() - start)
    finally:
        _run(client(), "rm", "--force", "--volumes", container)


def workers(container: Container) -> list[int]:
    """List the worker processes of a container, by the process ids that they have inside it."""
    listed = container.execute("sh", "-c", "for p in /proc/[0-9]*; do echo $p $(tr '\\0' ' ' < $p/cmdline); done")
    processes = [line.partition(" ") for line in listed.splitlines()]
    return [int(path.removeprefix("/proc/")) for path, _, args in processes if f"-m {_WORKER} " in args]


def _described(bento: str) -> tuple[str | None, str, str]:
    """Give the commit that a Bento was built from, the tag of its model, and when it was built (ISO 8601)."""
    program = str(Path(sys.executable).with_name("bentoml"))  # which reads BENTOML_HOME now, as the other steps do
    shown = _run(program, "get", bento, "--output", "json")
    if shown.returncode:
        said = " ".join(shown.stderr.split())
        raise ContainerError(f"expected a Bento {bento} to make an image of, which `bentoml get` does not show: {said}")
    about = json.loads(shown.stdout)
    (model,) = (model for service in about["services"] for model in service["models"])
    return model["metadata"].get(SOURCE_COMMIT) or None, model["tag"], about["creation_time"]


def _label_options(bento: str) -> list[str]:
    return [part for name, value in labels(bento).items() for part in ("--opt", f"label={name}={value}")]


def _wait_until_ready(container: str, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(base_url=url, timeout=5, trust_env=False) as http:
        while time.monotonic() < deadline:
            try:
                if http.get("/readyz").status_code in (httpx.codes.OK, httpx.codes.UNAUTHORIZED):
                    return
            except httpx.TransportError:
                pass
            if docker("inspect", "--format", "{{.State.Running}}", container).strip() == "false":
                break
            time.sleep(0.02)
    log = docker("logs", "--tail", "30", container)
    raise ContainerError(f"expected a container that is ready within {START_SECONDS} s; its log ends:\n{log}")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
