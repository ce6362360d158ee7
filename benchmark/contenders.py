"""The servers that the benchmark compares: how each is started, and their versions."""

import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from benchmark.peers.model import VARIABLE, Assignment
from loadtest.trials.service import several
from plan_recommender.errors import MissingLibraryError
from tools.server import ROOT, Server, free_port, running, serving

BASE: Final = "fastapi"
"""The contender to which all ratios are computed."""

ASGI: Final = "constant-asgi"
"""The contender of the least work: it reads the request and always answers the same bytes."""

SERVICE: Final = "service"

_NAMED = ("bentoml", "uvicorn", "uvloop", "httptools", "fastapi", "pydantic", "numpy", "scikit-learn", "litserve")

Serve = Callable[[Collection[int]], AbstractContextManager[Server]]
"""Start a server on these processor cores, for as long as a block runs."""


TITLES: Final = {
    ASGI: "constant ASGI application",
    BASE: "FastAPI, constant answer",
    "fastapi-loaded-once": "FastAPI, scikit-learn pipeline loaded once",
    "fastapi-loaded-per-request": "FastAPI, scikit-learn pipeline loaded per request",
    "litserve": "LitServe, scikit-learn pipeline",
    "mlserver": "MLServer, scikit-learn pipeline",
    SERVICE: "this service",
}


def contenders(assignment: Assignment, mlserver_python: Path | None) -> dict[str, Serve | None]:
    """Give the way to start each contender, by name, in the order of the table; None: it is not installed.

    Args:
        assignment: the model and the constant answer that the peers get.
        mlserver_python: an interpreter with MLServer; None: this one, if MLServer is installed.

    Raises:
        MissingLibraryError: FastAPI is not installed.
    """
    if not _installed("fastapi"):
        raise MissingLibraryError(
            f"expected FastAPI, which the service is compared with, found none in {sys.prefix}; `make benchmark` "
            "installs it, as does `pip install --require-hashes --no-deps -r requirements/benchmark.txt`"
        )
    told = {VARIABLE: assignment.model_dump_json()}
    python = mlserver_python or (Path(sys.executable) if _installed("mlserver") else None)
    return {
        ASGI: _uvicorn("constant", told),
        BASE: _uvicorn("fastapi_constant", told),
        "fastapi-loaded-once": _uvicorn("fastapi_loaded_once", told),
        "fastapi-loaded-per-request": _uvicorn("fastapi_loaded_per_request", told),
        "litserve": _litserve(told) if _installed("litserve") else None,
        "mlserver": _mlserver(python, told) if python else None,
        SERVICE: lambda cores: serving(cores=cores),
    }


def serve_with_two_workers(cores: Collection[int]) -> AbstractContextManager[Server]:
    """Start the service with two workers on these processor cores."""
    return serving(cores=cores, env=several(2))


def versions(mlserver_python: Path | None) -> dict[str, str]:
    """Give the versions of the packages that are measured, by name; those that are not installed say so.

    Raises:
        MissingLibraryError: `mlserver_python` cannot be run, or has no MLServer.
    """
    found = {name: importlib.metadata.version(name) if _installed(name) else "not installed" for name in _NAMED}
    return found | {"mlserver": _mlserver_version(mlserver_python)}


def _uvicorn(factory: str, told: dict[str, str]) -> Serve:
    def serve(cores: Collection[int]) -> AbstractContextManager[Server]:
        port = free_port()
        command = [
            *(sys.executable, "-m", "uvicorn", "--factory", f"benchmark.peers.asgi:{factory}"),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--log-level", "warning"),
        ]
        return running(command, port, "/health", env=told, cores=cores)

    return serve


def _litserve(told: dict[str, str]) -> Serve:
    def serve(cores: Collection[int]) -> AbstractContextManager[Server]:
        port = free_port()
        command = [sys.executable, "-m", "benchmark.peers.litserve_api", str(port)]
        return running(command, port, "/health", env=told, cores=cores)

    return serve


def _mlserver(python: Path, told: dict[str, str]) -> Serve:
    @contextmanager
    def serve(cores: Collection[int]) -> Iterator[Server]:
        port = free_port()
        settings = {
            "HOST": "127.0.0.1",
            "HTTP_PORT": str(port),
            "GRPC_PORT": str(free_port()),
            "METRICS_PORT": str(free_port()),
            "PARALLEL_WORKERS": "0",  # the server itself answers, like the other contenders
            "DEBUG": "false",  # no access log
            "MODEL_NAME": "plan",
            "MODEL_IMPLEMENTATION": "benchmark.peers.mlserver_runtime.PlanRuntime",
        }
        env = told | {f"MLSERVER_{name}": value for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}
        # MLServer leaves folders behind in its working directory.
        with tempfile.TemporaryDirectory(prefix="plan-recommender-mlserver-") as folder:
            command = [str(python.absolute().with_name("mlserver")), "start", folder]
            with running(command, port, "/v2/models/plan/ready", Path(folder), env, cores) as server:
                yield server

    return serve


def _mlserver_version(python: Path | None) -> str:
    if python is None:
        return importlib.metadata.version("mlserver") if _installed("mlserver") else "not installed"
    program = "from importlib.metadata import version; print(version('mlserver'))"
    try:
        asked = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingLibraryError(
            f"{python}: expected a Python interpreter with MLServer, found none; "
            "docs/benchmark.md says what to install for it, and without it the row stays empty"
        ) from error
    return asked.stdout.strip()


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
