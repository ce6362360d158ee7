"""What the tests share: a model store of their own, a trained model, servers that are real and are stopped.

The file is long because pytest finds shared fixtures only in a conftest.py, and most of these are built on each other.
"""

import fcntl
import gc
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

_SESSION = Path(tempfile.mkdtemp(prefix="plan-recommender-tests-"))

# Before anything imports bentoml, which reads these once.
os.environ["BENTOML_HOME"] = str(_SESSION / "bentoml")
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_SESSION / "prometheus")
os.environ.pop("BENTOML_CONFIG", None)

# Some machines turn it on for all of Python. Each of the hundreds of commands and services that the tests start would
# compile the project anew, and each worker the tests, which takes a third of the time of collecting them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Before anything imports NumPy, which reads them once: tests run side by side, and threads beyond the cores would only
# wait for each other. They are unset below, so that the commands and services that tests start run as a user's do.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
os.environ |= ONE_THREAD
(_SESSION / "prometheus").mkdir()

from tests.untraced import collecting, without_coverage  # isort: skip  # before what it imports

import bentoml
import certifi
import joblib
import numpy as np
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from sklearn.pipeline import Pipeline
from starlette.testclient import TestClient

from plan_recommender import cli
from plan_recommender.data.synthesis import generate
from plan_recommender.model import store as model_store
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.record import MODEL_NAME
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel, find
from tests.pictures import blank_pictures
from tests.processes import Processes
from tools.container import ContainerError, containerize, docker
from tools.container import client as docker_client
from tools.containerize import build
from tools.server import ROOT, Server, serving

for _name in ONE_THREAD:
    del os.environ[_name]

TESTS = ROOT / "tests"
GOOD = {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}
HEADER = "calls,minutes,messages,mb_used,is_ultra"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was measured and, loudly, what was left out and why."""
    measured = [
        (report.nodeid.rpartition("/")[2], name, value)
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
    ]
    if measured:
        terminalreporter.section("measured")
    for test, name, value in measured:
        terminalreporter.line(f"{test}: {name}: {value}")
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("LEFT OUT", red=True, bold=True)
    for reason, tests in reasons.items():
        terminalreporter.line(f"{tests} tests: {reason}", red=True)


def leave_out(reason: str) -> NoReturn:
    """Leave a test out on a machine that lacks what it needs; `.ci/run` lets none be left out."""
    if os.environ.get("LEAVE_NOTHING_OUT"):
        pytest.fail(f"nothing may be left out here: {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_sessionfinish(session: pytest.Session) -> None:
    shutil.rmtree(_SESSION, ignore_errors=True)
    if hasattr(session.config, "workerinput"):
        return  # of several workers; the controller ends after them
    base: Path | None = getattr(getattr(session.config, "_tmp_path_factory", None), "_basetemp", None)
    for made in (_NEWER_IMAGE, _IMAGE):
        if base is not None and (file := base / _SHARED / made).exists():
            docker("image", "rm", "--force", file.read_text().split()[0])


_SHARED = "shared"
_IMAGE, _NEWER_IMAGE = "image", "newer image"  # files in that folder, which name them
_processes = Processes()


def _remember_the_authorities() -> None:
    """Read once which authorities httpx trusts: each of its clients would take 28 ms for it, and ask none of them."""
    create, authorities = ssl.create_default_context, certifi.where()
    remembered = create(cafile=authorities)

    def context(*arguments: Any, **options: Any) -> ssl.SSLContext:
        asked = not arguments and options == {"cafile": authorities}
        return remembered if asked else create(*arguments, **options)

    ssl.create_default_context = context


_remember_the_authorities()
joblib.cpu_count(only_physical_cores=True)  # it runs a program for that, and remembers the answer


_LONG = (
    *("loadtest/test_trial_controls.py", "docs/test_commands.py", "scoring/test_spark.py", "loadtest/test_trials.py"),
    *("container/test_jobs.py", "serving/test_renewal.py", "serving/test_drift_service.py", "container/test_image.py"),
    *("serving/test_prediction_log.py", "container/test_roll.py", "tools/test_drift_demo.py"),
    *("training/test_search.py", "training/test_tracking.py", "training/test_train.py", "serving/test_settings.py"),
    *("container/test_layers.py", "container/test_manifests.py", "container/test_base_image.py"),
    *("container/test_supply.py", "serving/test_drain.py", "serving/test_overloaded_service.py"),
    *("notebooks/test_notebooks.py", "container/test_life.py", "serving/test_page_in_a_browser.py"),
    *("end_to_end/test_threshold_paths.py", "serving/test_start.py", "loadtest/test_locustfile.py"),
    "docs/test_contributing.py",
    # These would be among the last, for they are collected last.
    *("tools/test_canary.py", "tools/test_openapi_cases.py"),
    *("training/test_retraining.py", "training/test_compiler.py", "training/test_gate.py"),
)
"""Files that take longest: they begin first, or one of the workers would end long after the others."""


_REPEATED_LINES = (
    *("model/test_champion.py", "model/test_every_answer.py", "model/test_logistic.py", "model/test_reasons.py"),
    *("model/test_sentences_are_true.py", "serving/test_exactness.py"),
)
"""Files that run the same few lines many thousand times, which takes a third longer with coverage."""

_SLOW_BUT_MEASURED = ("scoring/test_spark.py", "training/test_search.py", "training/test_tracking.py")
"""Files of slow tests that alone reach what they test, in this process.

Other slow tests are not measured: what they test runs in processes of its own, or quick tests reach it too.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files; the tests of documents are slow, because they run the commands that are shown."""
    places = {TESTS / name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
    for item in items:
        if item.path.parent == TESTS / "docs":
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let no test start a process that is not marked as slow: `make test-quick` is quick for that reason."""
    slow = item.get_closest_marker("slow") is not None
    name = item.path.relative_to(TESTS).as_posix()
    measured = name in _SLOW_BUT_MEASURED if slow else name not in _REPEATED_LINES
    with _processes.refused(None if slow else item.nodeid), nullcontext() if measured else without_coverage():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep what is imported, and the tests that are found, out of the garbage collector's rounds."""
    gc.disable()
    try:
        with collecting():
            return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], AbstractContextManager[Path]]:
    """A folder that all workers of pytest-xdist share, for one of them at a time."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / _SHARED

    @contextmanager
    def alone() -> Iterator[Path]:
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder

    return alone


@dataclass(frozen=True)
class TrainedModel:
    """What the session's one training run left."""

    tag: str
    artifacts: Path
    data: Path


@pytest.fixture(scope="session")
def trained(shared: Callable[[], AbstractContextManager[Path]]) -> TrainedModel:
    """Train on the shipped table, with the shipped configuration; the first worker does it for all of them."""
    import train

    artifacts = _SESSION / "artifacts"
    models = Path(os.environ["BENTOML_HOME"]) / "models" / MODEL_NAME
    data = ROOT / "users_behavior.csv"
    with shared() as folder:
        if not (folder / "trained").exists():
            place = folder / "training"
            arguments = ["--config", str(ROOT / "model_config.yaml"), "--data", str(data), "--artifacts", str(place)]
            assert train.main(arguments) == 0
            shutil.copytree(models, folder / "models")
            place.rename(folder / "trained")
        else:
            shutil.copytree(folder / "models", models, dirs_exist_ok=True)
    shutil.copytree(folder / "trained", artifacts)
    return TrainedModel(model_store.find().tag, artifacts, data)


@pytest.fixture(scope="session")
def trained_tag(trained: TrainedModel) -> str:
    """The tag of the model that `trained` registered."""
    return trained.tag


@pytest.fixture(scope="session")
def trained_metrics(trained: TrainedModel) -> dict[str, Any]:
    """What metrics.json of the same run holds."""
    metrics: dict[str, Any] = json.loads((trained.artifacts / "metrics.json").read_text())
    return metrics


@pytest.fixture(scope="session")
def copy_store(trained_tag: str) -> Callable[[Path], Path]:
    """Make a BENTOML_HOME that holds the trained model and nothing else; returns the model's folder in it."""
    trained_model = model_store.find(trained_tag).path

    def copy(home: Path) -> Path:
        models = home / "models" / MODEL_NAME
        version = trained_tag.partition(":")[2]
        shutil.copytree(trained_model, models / version)
        (models / "latest").write_text(version)
        return models / version

    return copy


@pytest.fixture(scope="session")
def client(trained: TrainedModel) -> Iterator[TestClient]:
    """The service in this process, its start-up and shutdown included."""
    from service import PlanRecommender

    service = cast(Any, PlanRecommender)  # the decorator makes it a bentoml.Service, which its types do not say
    with TestClient(service.to_asgi()) as test_client:
        yield test_client


@pytest.fixture(scope="session")
def server(trained: TrainedModel) -> Iterator[Server]:
    """The service as a user starts it from source."""
    with serving() as running:
        yield running


def engine_client() -> str:
    """Give the Docker client, on a machine that has an engine."""
    try:
        return docker_client()
    except ContainerError as error:
        leave_out(f"the image is not tried: {error}")


@pytest.fixture(scope="session")
def image(trained_tag: str, shared: Callable[[], AbstractContextManager[Path]]) -> str:
    """Name of the image that `bentoml build` and `bentoml containerize` make of the trained model, once."""
    engine_client()
    with shared() as folder:
        name = folder / _IMAGE
        if not name.exists():
            name.write_text(containerize(build()))
        return name.read_text()


@dataclass(frozen=True)
class OtherImage:
    """An image of another model."""

    name: str
    model: str
    """The tag of the model."""


@pytest.fixture(scope="session")
def newer_image(
    image: str,
    copy_store: Callable[[Path], Path],
    shared: Callable[[], AbstractContextManager[Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> OtherImage:
    """An image of a model that was trained after that of `image`, in a copy of its store; made once."""
    place = tmp_path_factory.mktemp("newer")
    with shared() as folder, pytest.MonkeyPatch.context() as patch:
        made = folder / _NEWER_IMAGE
        if not made.exists():
            copy_store(place / "home")
            patch.setenv("BENTOML_HOME", str(place / "home"))
            options = ("--config", write_quick_configuration(place), "--artifacts", place / "artifacts", "--seed", "7")
            trained = run("train.py", *options)
            assert trained.returncode == 0, trained.stderr
            model: str = json.loads((place / "artifacts" / "run.json").read_text())["model"]
            made.write_text(f"{containerize(build())}\n{model}")
        return OtherImage(*made.read_text().split())


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
        timeout=900,  # a machine that is busy with other tests takes several times as long
        check=False,
    )


Main = Callable[[list[str]], int]


QUICK = """
data: {{path: {data}, min_rows: 1}}
selection: {{candidates: [majority_rule, logistic_regression, boosted_trees], folds: 2, repeats: 1}}
gate: {{max_ece: 0.2, margin: 0.2}}
money: {{bootstrap_samples: 100}}
proof: {{rows: 500}}
"""


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command's main as `python command.py` does, in this process."""

    def execute(main: Main, *arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.run(lambda: main([str(argument) for argument in arguments]))
        assert isinstance(caught.value.code, int)
        return Answer(caught.value.code, *capsys.readouterr())

    return execute


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """An empty model store that this process uses until the test ends, whose pictures are blank; returns its models."""
    with using(tmp_path / "home"), blank_pictures():
        yield tmp_path / "home" / "models"


@contextmanager
def using(home: Path) -> Iterator[None]:
    """Let this process use the model store of this home."""
    (home / "models").mkdir(parents=True, exist_ok=True)
    BentoMLContainer.model_store.set(ModelStore(home / "models"))
    try:
        yield
    finally:
        BentoMLContainer.model_store.reset()


def write_quick_configuration(folder: Path) -> Path:
    """Write one: one strong candidate, few folds, a short proof, a gate that small and odd tables pass."""
    path = folder / "config.yaml"
    path.write_text(QUICK.format(data=ROOT / "users_behavior.csv"), encoding="utf-8")
    return path


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A configuration with which training is quick."""
    return write_quick_configuration(tmp_path)


@pytest.fixture(scope="session")
def model(trained: TrainedModel) -> RegisteredModel:
    return find(trained.tag)


@pytest.fixture(scope="session")
def scorer(model: RegisteredModel) -> Scorer:
    return model.scorer()


@pytest.fixture(scope="session")
def pipeline(trained: TrainedModel) -> Pipeline:
    return bentoml.sklearn.load_model(trained.tag)


@pytest.fixture(scope="session")
def subscribers() -> FeatureMatrix:
    """20,000 generated rows that no test trains on."""
    return np.concatenate([chunk.features for chunk in generate(20_000, seed=99)])
