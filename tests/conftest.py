"""What the tests share: a model store of their own, a trained model, servers that are real and are stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]
_SESSION = Path(tempfile.mkdtemp(prefix="plan-recommender-tests-"))

# Before anything imports bentoml, which reads these once.
os.environ["BENTOML_HOME"] = str(_SESSION / "bentoml")
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_SESSION / "prometheus")
os.environ.pop("BENTOML_CONFIG", None)
(_SESSION / "prometheus").mkdir()

import httpx  # noqa: E402
import pytest  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from plan_recommender import registry  # noqa: E402

GOOD = {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}
HEADER = "calls,minutes,messages,mb_used,is_ultra"
START_SECONDS = 60
STOP_SECONDS = 20


def pytest_sessionfinish() -> None:
    shutil.rmtree(_SESSION, ignore_errors=True)


@dataclass(frozen=True)
class TrainedModel:
    """What the session's one training run left."""

    tag: str
    artifacts: Path
    data: Path


@dataclass(frozen=True)
class Server:
    """A running server and the file that its output goes to."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@pytest.fixture(scope="session")
def trained() -> TrainedModel:
    """Train on the shipped table, with the shipped configuration, into the tests' own store."""
    import train

    artifacts = _SESSION / "artifacts"
    data = ROOT / "users_behavior.csv"
    code = train.main(["--config", str(ROOT / "model_config.yaml"), "--data", str(data), "--artifacts", str(artifacts)])
    assert code == 0
    return TrainedModel(registry.find().tag, artifacts, data)


@pytest.fixture(scope="session")
def client(trained: TrainedModel) -> Iterator[TestClient]:
    """The service in this process, its start-up and shutdown included."""
    from service import PlanRecommender

    with TestClient(PlanRecommender.to_asgi()) as test_client:  # type: ignore[attr-defined]
        yield test_client


@pytest.fixture(scope="session")
def server(trained: TrainedModel) -> Iterator[Server]:
    """The service as a user starts it from source."""
    with serving(["service:PlanRecommender"], cwd=ROOT) as running:
        yield running


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Write a CSV file from its lines; the first is the usual header unless one is given."""

    def write(*lines: str, header: str = HEADER, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    return write


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of the project's Python commands as a user does."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@contextmanager
def serving(
    target: list[str], cwd: Path, bentoml: Path | None = None, env: dict[str, str] | None = None
) -> Iterator[Server]:
    """Run `bentoml serve` on a free loopback port until the block ends."""
    port = free_port()
    program = bentoml or Path(sys.executable).with_name("bentoml")
    log = Path(tempfile.mkstemp(dir=_SESSION, suffix=".log")[1])
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", *target, "--host", "127.0.0.1", "--port", str(port)],
            cwd=cwd,
            env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": tempfile.mkdtemp(dir=_SESSION)} | (env or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with _Stopping(process):
        server = Server(f"http://127.0.0.1:{port}", process, log)
        wait_until_ready(server)
        yield server


def wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if httpx.get(f"{server.url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the server did not become ready:\n{server.log.read_text()[-4000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Stopping:
    """Ends a process that we started, politely first."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
