"""The Bento as it ships: built, looked into, and served from an environment that holds the serving lock and no more."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from starlette.testclient import TestClient

from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.model.source import source_commit
from plan_recommender.serving.image import BASE, UV
from plan_recommender.serving.page_files import page_files
from plan_recommender.serving.settings import variable
from tests.conftest import run, write_quick_configuration
from tests.serving.corpus import Case, comparable
from tests.serving.protocol_corpus import CORPUS
from tools.server import ROOT, free_port, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, copy_store: Callable[[Path], Path]) -> Path:
    """A BENTOML_HOME of its own, with the trained model in it."""
    place = tmp_path_factory.mktemp("home")
    copy_store(place)
    return place


@pytest.fixture(scope="module")
def bento(home: Path) -> Path:
    """Build the Bento from the checkout; returns its folder."""
    built = subprocess.run(
        [Path(sys.executable).with_name("bentoml"), "build", "--output", "tag"],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "open to everybody" not in built.stdout + built.stderr  # which is said by a service that starts
    return home / "bentos" / built.stdout.strip().removeprefix("__tag__:").replace(":", "/")


@pytest.fixture(scope="module")
def serving_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the serving lock only; returns its bentoml program.

    Its files are those of this environment, into which pip has installed them by the locks, with their hashes: the
    same versions, and seconds quicker than once more from an index. The image's tests install the lock as users do.
    """
    place = tmp_path_factory.mktemp("serving") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    lock = (ROOT / "requirements" / "serving.txt").read_text()
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE):
        installed = importlib.metadata.distribution(name)
        assert (name, installed.version) == (name, version)
        for file in installed.files or ():
            source = Path(str(installed.locate_file(file))).resolve()
            target = place / source.relative_to(Path(sys.prefix).resolve())
            if source.is_file() and target.parent != place / "bin":
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
    program = place / "bin" / "bentoml"
    _, rest = Path(sys.executable).with_name("bentoml").read_text().split("\n", 1)
    program.write_text(f"#!{place / 'bin' / 'python'}\n{rest}")
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def http(
    home: Path, bento: Path, serving_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """The Bento, served away from the checkout, after a newer model has been trained into the same store."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    env = {"BENTOML_HOME": str(home)}
    config = write_quick_configuration(elsewhere)
    newer = run("train.py", "--config", config, "--artifacts", elsewhere / "artifacts", env=env)
    assert newer.returncode == 0, newer.stderr
    with (
        serving(f"{bento.parent.name}:{bento.name}", elsewhere, serving_environment, env) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        yield client


def test_all_that_it_carries_can_be_imported_where_nothing_of_training_is_installed(
    bento: Path, serving_environment: Path, home: Path
) -> None:
    source = bento / "src"
    python = serving_environment.with_name("python")
    ran = subprocess.run(
        [python, "-W", "ignore", ROOT / "tests/programs/import_all.py", source],
        cwd=source, env=os.environ | {"BENTOML_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found: dict[str, list[str]] = json.loads(ran.stdout)
    assert {"service.py", "plan_recommender/serving/app.py"} <= set(found["files"])  # the control
    assert found["training"] == []
    locked = (bento / "env" / "python" / "requirements.txt").read_text()
    assert "--hash=sha256:" in locked
    assert not [name for name in ("scikit-learn", "pandas", "scipy", "onnxruntime") if f"\n{name}==" in locked]
    assert "\nnumpy==" in locked  # the control


def test_it_carries_the_what_if_page(http: httpx.Client) -> None:
    for path, file in page_files().items():
        answer = http.get(path)
        assert (answer.status_code, answer.content) == (200, file.body), path


def test_its_dockerfile_is_what_plan_recommender_image_says(bento: Path) -> None:
    """BentoML writes it from its own template; this notices when another version of BentoML would write another."""
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text()
    instructions = [line.split() for line in dockerfile.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert [words[1] for words in instructions if words[0] == "FROM"] == [BASE]
    assert not re.search(r"apt-get|build-essential|\bgit\b", dockerfile)
    steps = [" ".join(words) for words in instructions if words[0] == "RUN"]
    (own_uv,) = (number for number, step in enumerate(steps) if f"uv=={UV} --hash=sha256:" in step)
    (its_uv,) = (number for number, step in enumerate(steps) if "command -v uv >/dev/null || pip install uv" in step)
    (finish,) = (number for number, step in enumerate(steps) if "./env/docker/script__" in step)
    assert own_uv < its_uv < finish == max(n for n, step in enumerate(steps) if "entrypoint" not in step)
    assert "ENV BENTOML_DO_NOT_TRACK=$BENTOML_DO_NOT_TRACK" in dockerfile
    assert "ARG BENTOML_DO_NOT_TRACK=True" in dockerfile
    assert [words[1] for words in instructions if words[0] == "USER"] == ["bentoml"]
    (script,) = (bento / "env" / "docker").glob("script__*")
    assert script.read_text() == (ROOT / "deploy" / "image" / "finish").read_text()


def test_the_image_and_the_locks_are_made_by_the_same_uv() -> None:
    assert f'"uv=={UV}"' in (ROOT / "tools" / "lock").read_text()


def test_it_names_the_model_it_was_built_with(bento: Path, trained_tag: str) -> None:
    document = yaml.safe_load((bento / "bento.yaml").read_text())
    assert document["name"] == "plan_recommender"
    assert [model["tag"] for model in document["services"][0]["models"]] == [trained_tag]


def test_the_openapi_document_that_it_carries_is_the_one_that_it_serves(bento: Path, http: httpx.Client) -> None:
    carried = json.loads(json.dumps(yaml.safe_load((bento / "apis" / "openapi.yaml").read_text())))  # keys are strings
    served = http.get("/docs.json").json()
    del carried["info"]["version"], served["info"]["version"]  # a Bento has its version when it is built
    assert carried == served
    assert "503" in carried["paths"]["/predict"]["post"]["responses"]  # the control: it is ours


def test_without_a_model_none_is_built_and_nobody_is_asked_for_one(tmp_path: Path) -> None:
    """BentoML by itself would look for the model at its makers' cloud."""
    built = subprocess.run(
        [Path(sys.executable).with_name("bentoml"), "build"],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 1
    assert "expected the model plan_recommender:latest in the BentoML model store" in built.stdout + built.stderr
    assert "fetch from remote" not in built.stdout + built.stderr


def test_it_serves_the_model_it_was_built_with_after_a_newer_one_was_trained(
    http: httpx.Client, home: Path, trained_tag: str
) -> None:
    version = trained_tag.partition(":")[2]
    assert (home / "models" / "plan_recommender" / "latest").read_text() != version  # the control: it has moved
    assert http.get("/health").json()["model"] == trained_tag


def test_it_tells_the_bento_the_commit_the_model_and_the_tariffs(
    http: httpx.Client, bento: Path, trained_tag: str
) -> None:
    about = http.get("/model").json()
    assert (about["bento"], about["model"]) == (f"plan_recommender:{bento.name}", trained_tag)
    # Whether files differ from the commit may have changed since the Bento was built.
    assert (about["source_commit"] or "").partition("-")[0] == (source_commit() or "").partition("-")[0]
    assert about["tariffs"]["sha256"] == load_tariffs(shipped_tariffs()).digest
    server = {"name": "plan_recommender", "version": bento.name, "extensions": []}
    assert [http.get(path).json() for path in ("/v2", "/v2/")] == [server] * 2


def test_it_serves_no_other_model_than_the_one_it_carries(http: httpx.Client, home: Path, trained_tag: str) -> None:
    """The store holds a newer one, which `http` has seen trained."""
    (newer,) = {path.name for path in (home / "models/plan_recommender").iterdir() if path.is_dir()} - {
        trained_tag.partition(":")[2]
    }
    (bento,) = (path for path in (home / "bentos/plan_recommender").iterdir() if path.is_dir())
    program = str(Path(sys.executable).with_name("bentoml"))
    command = [program, "serve", f"plan_recommender:{bento.name}", "--port"]
    for wanted in (f"plan_recommender:{newer}", "plan_recommender:latest", "plan_recommender:champion"):
        env = os.environ | {"BENTOML_HOME": str(home), variable("model"): wanted}
        started = [*command, str(free_port())]
        ended = subprocess.run(started, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 1
        said = ended.stdout + ended.stderr
        assert f"expected {trained_tag}, the only model that the Bento plan_recommender:{bento.name} carries" in said
        assert len(said.strip().splitlines()) == 1
    env = {"BENTOML_HOME": str(home), variable("model"): trained_tag}  # the control
    with serving(f"plan_recommender:{bento.name}", env=env) as server:
        assert httpx.get(f"{server.url}/health").json()["model"] == trained_tag


def test_it_is_built_with_the_model_that_the_environment_names(
    http: httpx.Client, home: Path, tmp_path: Path, trained_tag: str
) -> None:
    """`:latest` names the newer one, which `http` has seen trained."""
    shutil.copytree(home / "models", tmp_path / "models")
    (tmp_path / "models/plan_recommender/champion").write_text(trained_tag.partition(":")[2])
    built = subprocess.run(
        [Path(sys.executable).with_name("bentoml"), "build", "--output", "tag"],
        cwd=ROOT, env=os.environ | {"BENTOML_HOME": str(tmp_path), variable("model"): "plan_recommender:champion"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    folder = tmp_path / "bentos" / built.stdout.strip().removeprefix("__tag__:").replace(":", "/")
    (service,) = yaml.safe_load((folder / "bento.yaml").read_text())["services"]
    assert [model["tag"] for model in service["models"]] == [trained_tag]


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_every_answer_is_byte_for_byte_that_of_the_service_from_source(
    http: httpx.Client, client: TestClient, case: Case
) -> None:
    served = http.request(case.method, case.path, content=case.body, headers=case.headers)
    in_process = client.request(case.method, case.path, content=case.body, headers=case.headers)
    assert served.status_code == case.status
    assert comparable(case, served.content) == comparable(case, in_process.content)
