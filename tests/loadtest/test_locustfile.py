"""The load test notices what each of its shapes is for, and passes a service that is as it should be."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import TrainedModel, run
from tools.server import ROOT, Server

pytestmark = pytest.mark.slow

REAL = "the service itself"
ABSENT = "no service at all"

PATIENT: dict[str, object] = {"p95_ms": 2000, "p99_ms": 3000}  # for a machine that runs other tests beside this
CALM: dict[str, object] = {"p95_ms": 600, "p99_ms": 800}  # a service with a fault is slow in a second
STEADY: dict[str, object] = {"users": 4, **PATIENT}
STEP: dict[str, object] = {"users": 4, "steps": 2, "min_steps": 2, **PATIENT}
SPIKE: dict[str, object] = {"users": 4, "peak_users": 12, "peak_p99_ms": 3000, "max_refused_share": 0.7, **PATIENT}
SOAK: dict[str, object] = {"users": 4, **PATIENT}

Run = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Case:
    """A run against a service, mostly one with a fault, and what comes of it."""

    service: str
    shape: str
    budget: dict[str, object]
    seconds: int
    said: tuple[str, ...]
    exit_code: int = 1
    options: tuple[str, ...] = ()


CASES = {
    "healthy, steady": Case(REAL, "steady", STEADY, 2, ("steady: 4 users", "budget kept"), exit_code=0),
    "healthy, step": Case(
        REAL, "step", STEP, 2, ("steps that keep the budget: 2 of 2, up to 8 users", "budget kept"), exit_code=0
    ),
    "healthy, spike": Case(REAL, "spike", SPIKE, 4, ("recovered: 4 users", "budget kept"), exit_code=0),
    "too slow": Case(
        REAL, "steady", STEADY | {"p95_ms": 0.001, "p99_ms": 0.002}, 1,
        ("budget broken: steady: expected a 95th percentile of at most 0.001 ms, found ",
         "budget broken: steady: expected a 99th percentile of at most 0.002 ms, found "),
    ),
    "not there": Case(ABSENT, "steady", STEADY, 1, ("expected at most 0.00% failures, found 100.00%",)),
    "wrong answers with status 200": Case(
        "wrong", "steady", STEADY, 1, ("expected at most 0.00% failures, found ", "Ultra at probability 0.9")
    ),
    "advice for a dearer plan": Case(
        "dear_advice", "steady", STEADY, 2, ("expected at most 0.00% failures, found ", "found choose Ultra of ")
    ),
    "a bill that does not add up": Case(
        "wrong_bill", "steady", STEADY, 2, ("expected at most 0.00% failures, found ", "expected a total of ")
    ),
    "answers that are no JSON": Case(
        "garbled", "steady", STEADY, 1,
        ("expected at most 0.00% failures, found ", "expected an answer of /predict, found "),
    ),
    "no word of the model that answers": Case(
        "nameless", "steady", STEADY, 1, ("expected at most 0.00% failures, found ",)
    ),
    "requests that are never answered": Case("mute", "steady", STEADY, 1, ("expected at most 0.00% failures, found ",)),
    "refusals without an overload": Case(
        "refuses_always", "steady", STEADY, 1, ("expected at most 0.00% refusals, found ",)
    ),
    "a step that is too high": Case(
        "slow_when_crowded", "step", STEP | CALM, 2,
        ("steps that keep the budget: 1 of 2, up to 4 users", "expected the first 2 steps to keep it, found 1",
         "step 2: expected a 95th percentile of at most 600 ms, found "),
    ),
    "a step that may be too high": Case(
        "slow_when_crowded", "step", STEP | CALM | {"min_steps": 1}, 2,
        ("steps that keep the budget: 1 of 2, up to 4 users", "budget kept"), exit_code=0,
    ),
    "a spike in which some are refused": Case(
        "refuses_when_crowded", "spike", SPIKE, 4, ("p99 of refusals", "budget kept"), exit_code=0
    ),
    "a spike in which too many are refused": Case(
        "refuses_when_crowded", "spike", SPIKE | {"max_refused_share": 0.1}, 4,
        ("spike: expected at most 10.00% refusals, found ",),
    ),
    "refusals that do not say when to try again": Case(
        "refuses_without_retry_after", "spike", SPIKE, 4, ("spike: expected at most 0.00% failures, found ",)
    ),
    "a spike that is too slow": Case(
        "slow_when_crowded", "spike", SPIKE | {"peak_p99_ms": 800}, 4,
        ("spike: expected a 99th percentile of at most 800 ms, found ",),
    ),
    "no recovery from a spike": Case(
        "slow_ever_after", "spike", SPIKE | CALM, 4,
        ("recovered: expected a 95th percentile of at most 600 ms, found ",),
    ),
    "a leak of memory": Case(
        "leaks_memory", "soak", SOAK, 2, ("expected resident memory to grow by at most 10 MiB, found ",)
    ),
    "a leak of descriptors": Case("leaks_descriptors", "soak", SOAK, 2, ("expected at most 10 more open descriptors",)),
    "users beside a shape": Case(
        ABSENT, "steady", STEADY, 1, ("error: expected --shape and --seconds, found --users, --spawn-rate",), 2,
        options=("--users", "3"),
    ),
    "a budget that cannot be": Case(
        ABSENT, "steady", {"users": 0}, 1, ("error: ", "model_config.yaml: loadtest.steady.users: "), 2
    ),
    "several generators": Case(
        ABSENT, "steady", STEADY, 1, ("error: expected one locust process",), 2, options=("--processes", "2")
    ),
    "one of several generators": Case(
        ABSENT, "steady", STEADY, 1, ("error: expected one locust process",), 2, options=("--worker",)
    ),
    "a server that is no process": Case(
        ABSENT, "soak", SOAK, 1, ("error: --server-pid: expected a process of this user, found: ",), 2,
        options=("--server-pid", "4194304"),
    ),
}  # fmt: skip


def locust(folder: Path, host: str, shape: str, budget: dict[str, object], seconds: int, *options: str) -> Run:
    """Run the project's locust users in a shape, held to a budget of the test's own."""
    shutil.copytree(ROOT / "loadtest", folder / "loadtest", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "model_config.yaml").write_text(json.dumps({"loadtest": {shape: budget}}))
    command = [
        *(str(Path(sys.executable).with_name("locust")), "--headless", "--only-summary", "--host", host),
        *("--locustfile", "loadtest/locustfile.py", "--shape", shape, "--seconds", str(seconds), *options),
    ]
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def faulty(fault: str) -> Iterator[tuple[str, int]]:
    """Run a service with a fault; its address and its process id."""
    command = [sys.executable, "-m", "tests.loadtest.faulty", fault]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}", process.pid
        finally:
            process.kill()


@pytest.fixture(scope="module")
def runs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Run the cases, six at a time: a run mostly waits."""
    place = tmp_path_factory.mktemp("runs")

    def run_case(name: str) -> Run:
        case, folder = CASES[name], place / name
        if case.service in (REAL, ABSENT):
            url = server.url if case.service == REAL else "http://127.0.0.1:9"
            return locust(folder, url, case.shape, case.budget, case.seconds, *case.options)
        with faulty(case.service) as (url, pid):
            return locust(folder, url, case.shape, case.budget, case.seconds, "--server-pid", str(pid))

    with ThreadPoolExecutor(6) as pool:
        return dict(zip(CASES, pool.map(run_case, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_shape_passes_what_is_as_it_should_be_and_nothing_else(runs: dict[str, Run], name: str) -> None:
    case, found = CASES[name], runs[name]
    missing = [text for text in case.said if text not in found.stdout + found.stderr]
    assert (found.returncode, missing) == (case.exit_code, []), found.stderr


def test_the_tool_starts_a_service_and_looks_at_its_memory(trained: TrainedModel) -> None:
    found = run("-m", "tools.loadtest", "--shape", "soak", "--seconds", "2")
    broken = [line for line in found.stderr.splitlines() if "budget broken: " in line]
    assert [line for line in broken if "percentile" not in line] == []  # which a machine that is busy breaks too
    assert found.returncode == bool(broken), found.stderr
    assert "MiB when warm" in found.stderr


def test_the_tool_cannot_decide_without_a_service(tmp_path: Path) -> None:
    found = run("-m", "tools.loadtest", env={"BENTOML_HOME": str(tmp_path)})
    assert (found.returncode, found.stderr.startswith("error: expected a ready server")) == (2, True), found.stderr
