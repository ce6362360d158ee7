"""What deploy/kubernetes says of the image is so: it is run as the manifests tell a cluster to run it."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
import pytest

from plan_recommender import http
from tests.conftest import GOOD
from tests.deploy.manifests import BASE, OVERLAY, Manifest, container, one, pod, quantity, render

KEY = "correct-horse-battery-staple"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@dataclass(frozen=True)
class Pod:
    """A container that runs as a pod would."""

    identifier: str
    url: str


@pytest.fixture(scope="module")
def base() -> list[Manifest]:
    return render(BASE)


@pytest.fixture(scope="module")
def overlay() -> list[Manifest]:
    return render(OVERLAY)


@pytest.fixture(scope="module")
def running(image: str, base: list[Manifest]) -> Iterator[Pod]:
    with _running(image, base) as it:
        yield it


def test_the_user_is_the_image_s_own(image: str, base: list[Manifest]) -> None:
    context = pod(base)["securityContext"]
    for flag, name in (("-u", "runAsUser"), ("-g", "runAsGroup")):
        assert int(docker("run", "--rm", "--entrypoint", "id", image, flag)) == context[name]


def test_the_port_is_the_one_that_the_image_exposes(image: str, base: list[Manifest]) -> None:
    (exposed,) = json.loads(docker("image", "inspect", "--format", "{{json .Config.ExposedPorts}}", image))
    assert exposed == f"{_port(base)}/tcp"


def test_what_is_mounted_over_is_a_folder_of_the_image(image: str, base: list[Manifest]) -> None:
    for mount in container(base)["volumeMounts"]:
        docker("run", "--rm", "--entrypoint", "test", image, "-d", mount["mountPath"])


def test_the_settings_are_read_by_the_image(image: str, overlay: list[Manifest]) -> None:
    """A wrong value stops the start with a sentence that names the variable: so it is read."""
    names = [*one(overlay, "ConfigMap")["data"], *(variable["name"] for variable in container(overlay)["env"])]
    for name in names:
        if name.startswith("PLAN_RECOMMENDER_"):
            with _started(image, overlay, "--env", f"{name}=not so") as identifier:
                assert docker("wait", identifier).strip() != "0"
                assert f"environment variable {name}: " in docker("logs", identifier)


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_is_answered(running: Pod, base: list[Manifest], probe: str) -> None:
    seconds = container(base)[probe]["timeoutSeconds"]
    assert httpx.get(running.url + container(base)[probe]["httpGet"]["path"], timeout=seconds).status_code == 200


def test_a_path_that_is_no_probe_is_not_answered(running: Pod) -> None:
    assert httpx.get(running.url + "/ready").status_code == 404


def test_the_monitored_path_has_the_series(running: Pod, overlay: list[Manifest]) -> None:
    (endpoint,) = one(overlay, "ServiceMonitor")["spec"]["endpoints"]
    httpx.post(running.url + "/predict", json=GOOD).raise_for_status()
    assert "plan_recommender_requests_total{" in httpx.get(running.url + endpoint["path"]).text


def test_the_largest_bodies_stay_within_the_memory_limit(image: str, base: list[Manifest]) -> None:
    resources = container(base)["resources"]
    with _running(image, base) as it:
        assert set(_send_the_largest(it)) <= {200, 503}
        assert httpx.get(it.url + container(base)["livenessProbe"]["httpGet"]["path"]).status_code == 200
        used = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", it.identifier).partition("/")[0].strip()
        assert quantity(used.removesuffix("B")) < quantity(resources["requests"]["memory"])


def test_with_less_memory_they_would_not(image: str, base: list[Manifest]) -> None:
    with _running(image, base, "--memory", "300m") as it, pytest.raises(httpx.TransportError):
        _send_the_largest(it)


def test_it_needs_no_network_beyond_its_own(image: str, base: list[Manifest]) -> None:
    """The NetworkPolicy lets nothing out, not even questions to DNS."""
    with _started(image, base, "--network", "none") as identifier:
        ask = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{_port(base)}/readyz').status)"
        _wait_until_ready(identifier, base, lambda: docker("exec", identifier, "python", "-c", ask).strip() == "200")


def test_with_a_key_the_probes_are_answered_and_clients_are_asked_for_it(image: str, overlay: list[Manifest]) -> None:
    (variable,) = container(overlay)["env"]
    with _running(image, overlay, "--env", f"{variable['name']}={KEY}") as it:
        for probe in PROBES:
            assert httpx.get(it.url + container(overlay)[probe]["httpGet"]["path"]).status_code == 200
        assert httpx.post(it.url + "/predict", json=GOOD).status_code == 401
        keyed = httpx.post(it.url + "/predict", json=GOOD, headers={"Authorization": f"Bearer {KEY}"})
        assert keyed.status_code == 200


def test_it_ends_well_within_the_grace_period(image: str, base: list[Manifest]) -> None:
    grace = pod(base)["terminationGracePeriodSeconds"] - container(base)["lifecycle"]["preStop"]["sleep"]["seconds"]
    with _running(image, base) as it:
        start = time.monotonic()
        docker("stop", "--time", str(grace), it.identifier)
        assert time.monotonic() - start < grace / 2
        assert docker("inspect", "--format", "{{.State.ExitCode}}", it.identifier).strip() != "137"  # killed


def docker(*arguments: str) -> str:
    """Run the engine's command line."""
    command = ["docker", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout


@contextmanager
def _running(image: str, manifests: list[Manifest], *options: str) -> Iterator[Pod]:
    port = str(_port(manifests))
    with _started(image, manifests, "--publish", f"127.0.0.1::{port}", *options) as identifier:
        url = "http://" + docker("port", identifier, port).strip()
        path = container(manifests)["startupProbe"]["httpGet"]["path"]
        _wait_until_ready(identifier, manifests, lambda: httpx.get(url + path).status_code == 200)
        yield Pod(identifier, url)


@contextmanager
def _started(image: str, manifests: list[Manifest], *options: str) -> Iterator[str]:
    """Start a container with what the manifests say of users, rights, memory, mounts and settings."""
    of_pod, of_container, limits = pod(manifests), container(manifests), container(manifests)["resources"]["limits"]
    rights = of_container["securityContext"]
    mounts = {mount["name"]: mount["mountPath"] for mount in of_container["volumeMounts"]}
    context = of_pod["securityContext"]
    command = ["run", "--detach", "--user", f"{context['runAsUser']}:{context['runAsGroup']}"]
    command += ["--read-only"] * rights["readOnlyRootFilesystem"]
    command += ["--security-opt", "no-new-privileges"] * (not rights["allowPrivilegeEscalation"])
    command += [f"--cap-drop={name}" for name in rights["capabilities"]["drop"]]
    command += ["--memory", str(quantity(limits["memory"])), "--cpus", limits["cpu"]]
    for volume in of_pod["volumes"]:
        size = quantity(volume["emptyDir"]["sizeLimit"])
        command += ["--tmpfs", f"{mounts[volume['name']]}:rw,exec,mode=1777,size={size}"]
    for name, value in one(manifests, "ConfigMap")["data"].items():
        command += ["--env", f"{name}={value}"]
    identifier = docker(*command, *options, image).strip()
    try:
        yield identifier
    finally:
        docker("rm", "--force", identifier)


def _wait_until_ready(identifier: str, manifests: list[Manifest], ready: Callable[[], bool]) -> None:
    """Ask for as long as the startup probe would."""
    probe = container(manifests)["startupProbe"]
    deadline = time.monotonic() + probe["periodSeconds"] * probe["failureThreshold"]
    while time.monotonic() < deadline and docker("inspect", "--format", "{{.State.Running}}", identifier) == "true\n":
        with suppress(httpx.TransportError, subprocess.CalledProcessError):
            if ready():
                return
        time.sleep(probe["periodSeconds"])
    pytest.fail(
        f"expected a pod that its startup probe finds ready, found none; its log:\n{docker('logs', identifier)}"
    )


def _send_the_largest(it: Pod) -> list[int]:
    """Batches of 10,000 rows in bodies of 10 MiB, from 24 clients at the same time; the statuses of the answers."""
    rows = json.dumps({"rows": [GOOD] * 10_000}).encode()
    body = rows + b" " * (10 * http.MIB - len(rows))

    def client(_: int) -> list[int]:
        with httpx.Client(base_url=it.url, timeout=60, headers={"Content-Type": "application/json"}) as to:
            return [to.post("/predict_batch", content=body).status_code for _ in range(4)]

    with ThreadPoolExecutor(24) as pool:
        return [status for statuses in pool.map(client, range(24)) for status in statuses]


def _port(manifests: list[Manifest]) -> int:
    (port,) = container(manifests)["ports"]
    return int(port["containerPort"])
