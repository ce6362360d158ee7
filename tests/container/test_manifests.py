"""What deploy/kubernetes says of the image is so: it is run as the manifests tell a cluster to run it."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from plan_recommender.serving.limits import MIB
from plan_recommender.serving.settings import Environment
from tests.conftest import GOOD
from tests.deploy.manifests import BASE, OVERLAY, Manifest, container, one, pod, quantity, render
from tools.container import Container, ContainerError, docker, running

pytestmark = pytest.mark.slow

KEY = "correct-horse-battery-staple"
LOOPBACK = ("0100007F", "01000000")
"""How /proc/net ends 127.0.0.1 and ::1."""
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(scope="module")
def base() -> list[Manifest]:
    return render(BASE)


@pytest.fixture(scope="module")
def overlay() -> list[Manifest]:
    return render(OVERLAY)


@pytest.fixture(scope="module")
def served(image: str, base: list[Manifest]) -> Iterator[Container]:
    with _running(image, base) as it:
        yield it


def test_the_user_is_the_image_s_own(image: str, base: list[Manifest]) -> None:
    context = pod(base)["securityContext"]
    for flag, name in (("-u", "runAsUser"), ("-g", "runAsGroup")):
        assert int(docker("run", "--rm", "--entrypoint", "id", image, flag)) == context[name]


def test_the_port_is_exposed_and_the_only_one_that_is_listened_on(
    image: str, base: list[Manifest], served: Container
) -> None:
    exposed = json.loads(docker("image", "inspect", "--format", "{{json .Config.ExposedPorts}}", image))
    assert f"{_port(base)}/tcp" in exposed
    sockets = [line.split() for line in served.execute("cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()]
    listening = [local.split(":") for _, local, _, state, *_ in sockets if state == "0A"]
    assert {int(port, 16) for address, port in listening if not address.endswith(LOOPBACK)} == {_port(base)}


def test_what_is_mounted_over_is_a_folder_of_the_image(image: str, base: list[Manifest]) -> None:
    for mount in container(base)["volumeMounts"]:
        docker("run", "--rm", "--entrypoint", "test", image, "-d", mount["mountPath"])


def test_the_settings_are_read_by_the_image(image: str, overlay: list[Manifest]) -> None:
    """A wrong value stops the start with a sentence that names the variable: so it is read."""
    names = [*one(overlay, "ConfigMap")["data"], *(variable["name"] for variable in container(overlay)["env"])]
    for name in names:
        if name.startswith("PLAN_RECOMMENDER_"):
            with _started(image, overlay, env={name: "not so"}) as identifier:
                assert docker("wait", identifier).strip() != "0"
                assert f"environment variable {name}: " in docker("logs", identifier)


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_is_answered(served: Container, base: list[Manifest], probe: str) -> None:
    seconds = container(base)[probe]["timeoutSeconds"]
    assert httpx.get(served.url + container(base)[probe]["httpGet"]["path"], timeout=seconds).status_code == 200


def test_a_path_that_is_no_probe_is_not_answered(served: Container) -> None:
    assert httpx.get(served.url + "/ready").status_code == 404


def test_the_monitored_path_has_the_series(served: Container, overlay: list[Manifest]) -> None:
    (endpoint,) = one(overlay, "ServiceMonitor")["spec"]["endpoints"]
    httpx.post(served.url + "/predict", json=GOOD).raise_for_status()
    assert "plan_recommender_requests_total{" in httpx.get(served.url + endpoint["path"]).text


def test_the_largest_bodies_stay_within_the_memory_limit(served: Container, base: list[Manifest]) -> None:
    resources = container(base)["resources"]
    assert set(_send_the_largest(served)) <= {200, 503}
    assert httpx.get(served.url + container(base)["livenessProbe"]["httpGet"]["path"]).status_code == 200
    used = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", served.id).partition("/")[0].strip()
    assert quantity(used.removesuffix("B")) < quantity(resources["requests"]["memory"])


def test_with_half_the_memory_that_they_take_they_would_not(image: str, base: list[Manifest]) -> None:
    """Without a limit the container holds up to 400 MiB meanwhile (memory.peak of its cgroup), and 149 MiB before."""
    with _running(image, base, "--memory", "200m") as it, pytest.raises(httpx.TransportError):
        _send_the_largest(it)


def test_it_needs_no_network_beyond_its_own(image: str, base: list[Manifest]) -> None:
    """The NetworkPolicy lets nothing out, not even questions to DNS."""
    probe = container(base)["startupProbe"]
    url = f"http://127.0.0.1:{_port(base)}{probe['httpGet']['path']}"
    ask = f"import urllib.request; print(urllib.request.urlopen({url!r}).status)"
    status = ""
    with _started(image, base, "--network", "none") as identifier:
        for _ in range(probe["failureThreshold"]):
            with suppress(ContainerError):  # it is not ready yet
                status = docker("exec", identifier, "python", "-c", ask).strip()
                break
            time.sleep(probe["periodSeconds"])
    assert status == "200"


def test_with_a_key_the_probes_are_answered_and_clients_are_asked_for_it(
    image: str, overlay: list[Manifest], tmp_path: Path
) -> None:
    (variable,) = container(overlay)["env"]
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    keys.chmod(0o644)
    mounted = ("--volume", f"{keys}:{variable['value']}:ro")
    with _running(image, overlay, *mounted, env={variable["name"]: variable["value"]}) as it:
        for probe in PROBES:
            assert httpx.get(it.url + container(overlay)[probe]["httpGet"]["path"]).status_code == 200
        assert httpx.post(it.url + "/predict", json=GOOD).status_code == 401
        keyed = httpx.post(it.url + "/predict", json=GOOD, headers={"Authorization": f"Bearer {KEY}"})
        assert keyed.status_code == 200


def test_it_ends_well_within_the_grace_period(served: Container, base: list[Manifest]) -> None:
    """The last test of this file: it ends the container of the others."""
    grace = pod(base)["terminationGracePeriodSeconds"]
    drain = Environment.read(_settings(base)).drain_seconds
    start = time.monotonic()
    docker("stop", "-t", str(grace), served.id)
    assert drain <= time.monotonic() - start < (drain + grace) / 2
    assert docker("inspect", "--format", "{{.State.ExitCode}}", served.id).strip() != "137"  # killed


@contextmanager
def _running(
    image: str, manifests: list[Manifest], *options: str, env: dict[str, str] | None = None
) -> Iterator[Container]:
    """Run a container as the manifests tell a cluster to."""
    with running(image, _settings(manifests) | (env or {}), [*_options(manifests), *options]) as it:
        yield it


@contextmanager
def _started(image: str, manifests: list[Manifest], *options: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """The same, without waiting until it is ready."""
    settings = [f"--env={name}={value}" for name, value in (_settings(manifests) | (env or {})).items()]
    identifier = docker("run", "--detach", *_options(manifests), *settings, *options, image).split()[0]
    try:
        yield identifier
    finally:
        docker("rm", "--force", identifier)


def _settings(manifests: list[Manifest]) -> dict[str, str]:
    return dict(one(manifests, "ConfigMap")["data"])


def _options(manifests: list[Manifest]) -> list[str]:
    """What the manifests say of users, rights, memory and mounts, as options of `docker run`."""
    rights, context = container(manifests)["securityContext"], pod(manifests)["securityContext"]
    limits = container(manifests)["resources"]["limits"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container(manifests)["volumeMounts"]}
    options = ["--user", f"{context['runAsUser']}:{context['runAsGroup']}"]
    options += ["--read-only"] * rights["readOnlyRootFilesystem"]
    options += ["--security-opt", "no-new-privileges"] * (not rights["allowPrivilegeEscalation"])
    options += [f"--cap-drop={name}" for name in rights["capabilities"]["drop"]]
    options += ["--memory", str(quantity(limits["memory"])), "--cpus", limits["cpu"]]
    for volume in pod(manifests)["volumes"]:
        if "secret" in volume:  # a test that needs its files mounts them
            continue
        size = quantity(volume["emptyDir"]["sizeLimit"])
        options += ["--tmpfs", f"{mounts[volume['name']]}:rw,exec,mode=1777,size={size}"]
    return options


def _send_the_largest(it: Container) -> list[int]:
    """Batches of 10,000 rows in bodies of 10 MiB, from 24 clients at the same time; the statuses of the answers."""
    rows = json.dumps({"rows": [GOOD] * 10_000}).encode()
    body = rows + b" " * (10 * MIB - len(rows))

    def client(_: int) -> list[int]:
        with httpx.Client(base_url=it.url, timeout=60, headers={"Content-Type": "application/json"}) as to:
            return [to.post("/predict_batch", content=body).status_code for _ in range(4)]

    with ThreadPoolExecutor(24) as pool:
        return [status for statuses in pool.map(client, range(24)) for status in statuses]


def _port(manifests: list[Manifest]) -> int:
    (port,) = container(manifests)["ports"]
    return int(port["containerPort"])
