"""deploy/compose.yaml: what it says, and what it does when it is really started."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copy
from typing import Any

import httpx
import pytest
import yaml

from plan_recommender.serving import settings
from tests.conftest import engine_client
from tests.deploy.conftest import require
from tests.serving.corpus import GOOD
from tools.container import client
from tools.server import ROOT, free_port

COMPOSE_FILE = ROOT / "deploy/compose.yaml"
KEY_FILE = ROOT / "deploy/compose.key.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PORT = 3000
USER = "1034:1034"
STAND_IN = "plan-recommender-test-prometheus"
START_SECONDS = 60
STOP_SECONDS = 10
KEY = "a-key-for-the-test-of-compose"


@dataclass(frozen=True)
class Stack:
    """The service and Prometheus, started by compose."""

    service: str
    prometheus: str
    containers: dict[str, str]
    compose: Callable[..., str]

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine says of the container of a service."""
        (found,) = json.loads(_docker("inspect", self.containers[name]).stdout)
        return dict(found)


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """The command: Docker's plugin where there is one, else docker-compose."""
    docker = engine_client()
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    return [require("docker-compose", "docker-compose")]


@pytest.fixture(scope="module")
def stack(compose: list[str], image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start the service, with an API key, and Debian's Prometheus in place of the official image."""
    place = tmp_path_factory.mktemp("compose")
    _write_prometheus_stand_in(place, image)
    ports = {"PORT": str(free_port()), "PROMETHEUS_PORT": str(free_port())}
    keys = place / "keys"
    keys.write_text(f"{KEY}\n{KEY}-of-before\n")
    environment = {**os.environ, **ports, "API_KEY_FILE": str(keys), "PLAN_RECOMMENDER_IMAGE": image}
    environment |= {settings.PUBLIC_VARIABLE: "metrics", settings.variable("page"): "on"}  # health asks for a key too
    project = f"plan-recommender-test-{os.getpid()}"
    files = ["--project-name", project]
    for file in (COMPOSE_FILE, KEY_FILE, place / "stand-in.yaml"):
        files += ["--file", str(file)]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*compose, *files, *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        run("up", "--detach", "--build", "plan-recommender", "prometheus")
        containers = {name: run("ps", "--quiet", name).strip() for name in ("plan-recommender", "prometheus")}
        service, prometheus = (f"http://127.0.0.1:{ports[name]}" for name in ("PORT", "PROMETHEUS_PORT"))
        started = Stack(service, prometheus, containers, run)
        try:
            _wait_for(lambda: started.inspect("plan-recommender")["State"]["Health"]["Status"] == "healthy", "health")
        except AssertionError as error:
            raise AssertionError(f"{error}; the log ends:\n{run('logs', '--tail', '20', 'plan-recommender')}") from None
        yield started
    finally:
        run("down", "--volumes", "--timeout", str(STOP_SECONDS))
        _docker("image", "rm", STAND_IN)


@pytest.mark.slow
def test_compose_understands_the_file(compose: list[str]) -> None:
    command = [*compose, "--file", str(COMPOSE_FILE), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"plan-recommender", "prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert not {"privileged", "cap_add", "devices", "pid", "network_mode"} & set(service)
    assert all(mount.endswith(":ro") for mount in service.get("volumes", []) if mount.startswith("."))


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_on_loopback_unless_told_otherwise(name: str) -> None:
    (port,) = SERVICES[name]["ports"]
    assert re.match(r"127\.0\.0\.1:|\$\{ADDRESS:-127\.0\.0\.1\}:", port)


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_official_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"(prom/prometheus:v|grafana/grafana:)\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_the_service_is_as_the_image_is() -> None:
    service = SERVICES["plan-recommender"]
    assert service["user"] == USER
    assert service["tmpfs"] == ["/tmp:size=64m"]  # noqa: S108  # a path in the container
    assert service["ports"][0].endswith(f":{PORT}")
    assert f'"127.0.0.1", {PORT}' in service["healthcheck"]["test"][3]
    grace = float(service["stop_grace_period"].removeprefix("${STOP_GRACE_PERIOD:-").removesuffix("s}"))
    assert grace > STOP_SECONDS


def test_prometheus_asks_the_service_where_it_is_and_reads_the_rules() -> None:
    configuration = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = configuration["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"plan-recommender:{PORT}"]}]
    assert configuration["rule_files"] == ["rules.yml"]
    assert "./prometheus:/etc/prometheus:ro" in SERVICES["prometheus"]["volumes"]
    assert (ROOT / "deploy/prometheus/rules.yml").is_file()


def test_grafana_finds_prometheus_and_the_dashboard_where_they_are() -> None:
    provisioning = ROOT / "deploy/grafana/provisioning"
    mounts = dict(mount.removesuffix(":ro").split(":") for mount in SERVICES["grafana"]["volumes"])
    for kind in ("datasources", "dashboards"):
        assert mounts[f"./grafana/provisioning/{kind}"] == f"/etc/grafana/provisioning/{kind}"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text(encoding="utf-8"))[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert SERVICES["prometheus"]["ports"][0].endswith(":9090")
    provider = yaml.safe_load((provisioning / "dashboards/plan_recommender.yaml").read_text(encoding="utf-8"))
    assert provider["providers"][0]["options"]["path"] == mounts["./grafana/provisioning/dashboards"]
    home = "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH="
    (shown,) = [line.removeprefix(home) for line in SERVICES["grafana"]["environment"] if line.startswith(home)]
    assert Path(shown).parent == Path(mounts["./grafana/provisioning/dashboards"])
    assert (provisioning / "dashboards" / Path(shown).name).is_file()


def test_nobody_can_log_in_to_grafana() -> None:
    settings = dict(line.split("=", 1) for line in SERVICES["grafana"]["environment"])
    assert settings["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert settings["GF_AUTH_BASIC_ENABLED"] == "false"
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


@pytest.mark.slow
def test_the_service_answers_and_is_scraped(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    assert httpx.post(f"{stack.service}/predict", json=GOOD, headers=headers).status_code == httpx.codes.OK
    assert httpx.post(f"{stack.service}/predict", json=GOOD).status_code == httpx.codes.UNAUTHORIZED
    assert httpx.get(f"{stack.service}/health").status_code == httpx.codes.UNAUTHORIZED  # the healthcheck has the key
    _wait_for(lambda: _value(stack, 'up{job="plan_recommender"}') == 1, "Prometheus to see the target")
    _wait_for(lambda: _value(stack, "sum(plan_recommender_predictions_total)") == 1, "Prometheus to see the prediction")
    groups = httpx.get(f"{stack.prometheus}/api/v1/rules").json()["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    assert [rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"]


@pytest.mark.slow
def test_the_containers_are_what_the_file_says(stack: Stack) -> None:
    for name in stack.containers:
        host = stack.inspect(name)["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])
        assert host["Memory"] == 512 * 1024 * 1024
        (bindings,) = host["PortBindings"].values()
        assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"]
    assert stack.inspect("plan-recommender")["Config"]["User"] == USER


def test_the_variables_that_are_passed_on_are_those_that_the_service_knows() -> None:
    passed_on = {line.partition("=")[0] for line in SERVICES["plan-recommender"]["environment"]}
    assert {name for name in passed_on if name.startswith(settings.PREFIX)} == set(settings.known_variables())


@pytest.mark.slow
def test_what_is_set_is_passed_on_and_what_is_not_keeps_its_default(stack: Stack) -> None:
    lines = _docker("exec", stack.containers["plan-recommender"], "env").stdout.splitlines()
    assert f"{settings.variable('page')}=on" in lines
    assert not [line for line in lines if line.startswith(f"{settings.KEY_VARIABLE}=")]  # empty, it would be refused


@pytest.mark.slow
def test_the_key_is_in_a_file_and_seen_nowhere_else(stack: Stack) -> None:
    assert KEY not in json.dumps(stack.inspect("plan-recommender"))
    logged = _docker("logs", stack.containers["plan-recommender"])  # in the two streams of the service
    assert "initialized" in logged.stdout + logged.stderr, "the control"
    assert KEY not in logged.stdout + logged.stderr
    (file,) = (
        line.partition("=")[2]
        for line in _docker("exec", stack.containers["plan-recommender"], "env").stdout.splitlines()
        if line.startswith(settings.KEY_FILE_VARIABLE)
    )
    assert KEY in _docker("exec", stack.containers["plan-recommender"], "cat", file).stdout, "the control"


@pytest.mark.slow
def test_only_tmp_can_be_written(stack: Stack) -> None:
    container = stack.containers["plan-recommender"]
    assert _docker("exec", container, "touch", "/tmp/there").returncode == 0  # noqa: S108  # a path in the container
    for place in ("/home/bentoml/there", "/there", "/var/tmp/there"):  # noqa: S108  # a path in the container
        assert "Read-only file system" in _docker("exec", container, "touch", place).stderr, place


@pytest.mark.slow
def test_it_stops_in_time(stack: Stack) -> None:
    """The last of the tests of the running containers."""
    start = time.monotonic()
    stack.compose("stop", "plan-recommender")
    assert time.monotonic() - start < STOP_SECONDS
    assert stack.inspect("plan-recommender")["State"]["ExitCode"] != 137  # not killed


def _write_prometheus_stand_in(place: Path, image: str) -> None:
    """Debian's Prometheus, laid out as in the official image, which no test can count on to reach."""
    for program in ("prometheus", "promtool"):
        copy(require(program, "prometheus"), place / program)
    dockerfile = f"""
        FROM {image}
        USER 0
        COPY prometheus promtool /bin/
        RUN mkdir /prometheus && chown 65534:65534 /prometheus
        WORKDIR /prometheus
        USER 65534
        ENTRYPOINT ["/bin/prometheus"]
    """
    (place / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    stand_in = {"services": {"prometheus": {"image": STAND_IN, "build": str(place)}}}
    (place / "stand-in.yaml").write_text(yaml.safe_dump(stand_in), encoding="utf-8")


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([client(), *arguments], capture_output=True, text=True, timeout=60, check=False)


def _value(stack: Stack, expression: str) -> float | None:
    found = httpx.get(f"{stack.prometheus}/api/v1/query", params={"query": expression}).raise_for_status().json()
    return float(found["data"]["result"][0]["value"][1]) if found["data"]["result"] else None


def _wait_for(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"waited {START_SECONDS} s for {what}"
        time.sleep(0.5)
