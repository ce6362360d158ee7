"""No layer of the image holds a pickle or a key of a row that the model was trained on, however the image is built."""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import httpx
import pytest

from plan_recommender.model import store
from plan_recommender.model.record import (
    DOCUMENT_FILE,
    HABITS_FILE,
    NOT_SERVED,
    REFERENCE_FILE,
    TRAINING_SUBSCRIBERS_FILE,
)
from plan_recommender.serving.image import IGNORE_FILE
from tests.conftest import GOOD, engine_client
from tools.container import client, docker, running, size_mb
from tools.containerize import build
from tools.server import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "image.md").read_text()
EXPORT = 'mkdir -p dist/bento && bentoml export plan_recommender:latest "$PWD/dist/bento.tar"'
UNPACK = "tar --extract --file dist/bento.tar --directory dist/bento"
BUILD = "docker build --file dist/bento/env/docker/Dockerfile --tag plan_recommender:by-hand dist/bento"


class Exported(NamedTuple):
    """A Bento as the page says it is exported: the folder in which the lines were run, and where it was unpacked."""

    place: Path
    bento: Path


@pytest.fixture(scope="module")
def exported(trained_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The Bento of the trained model, with the file that only a model of named subscribers has."""
    engine_client()
    place = tmp_path_factory.mktemp("by-hand")
    bento = build()
    for line in (EXPORT, UNPACK):
        in_shell(line.replace("plan_recommender:latest", bento), place)
    version = trained_tag.partition(":")[2]
    (place / "dist/bento/models/plan_recommender" / version / TRAINING_SUBSCRIBERS_FILE).write_bytes(b"keys")
    return Exported(place, place / "dist" / "bento")


def in_shell(line: str, place: Path) -> str:
    """Run a line of the page, with the project's own programs and the Docker client that can build."""
    folders = (Path(sys.executable).parent, Path(client()).parent, os.environ["PATH"])
    environment = os.environ | {"PATH": os.pathsep.join(map(str, folders)), "DOCKER_BUILDKIT": "1"}
    ran = subprocess.run(["bash", "-c", line], cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def files_of_layers(image: str, place: Path) -> set[PurePosixPath]:
    """List the files of every layer of an image, those too that a later layer deletes."""
    archive = place / "image.tar"
    docker("save", "--output", str(archive), image)
    found: set[PurePosixPath] = set()
    with tarfile.open(archive) as layers:
        for member in layers.getmembers():
            content = layers.extractfile(member) if member.isfile() and not member.name.endswith(".json") else None
            if content is None:
                continue
            try:
                with tarfile.open(fileobj=content) as layer:
                    found |= {PurePosixPath(name) for name in layer.getnames()}
            except tarfile.ReadError:  # an index of the archive
                continue
    archive.unlink()
    return found


def secret(files: set[PurePosixPath]) -> set[str]:
    """Name the files that must not be in the image; NumPy's own tests, which a later layer deletes, hold one pickle."""
    ours = {file for file in files if "site-packages" not in file.parts and not file.name.startswith(".wh.")}
    return {file.name for file in ours if file.suffix in {".pkl", ".joblib"} or file.name in NOT_SERVED}


@contextmanager
def copied(exported: Exported, tmp_path: Path, *, lines: str = "") -> Iterator[str]:
    """Make an image that holds what an engine is sent of the Bento, and nothing else."""
    name = f"supply-test-layers:{os.getpid()}"
    (tmp_path / "Dockerfile").write_text(f"FROM python:3.11-slim\nCOPY . /bento\n{lines}")
    in_shell(f"docker build --quiet --file {tmp_path}/Dockerfile --tag {name} {exported.bento}", tmp_path)
    try:
        yield name
    finally:
        docker("image", "rm", "--force", name)


def test_no_layer_holds_what_serving_does_not_read(image: str, tmp_path: Path) -> None:
    files = files_of_layers(image, tmp_path)
    assert not secret(files)
    models = {file.name for file in files if "models/plan_recommender/" in str(file)}
    assert {DOCUMENT_FILE, REFERENCE_FILE, HABITS_FILE, "model.yaml"} <= models, "the control: it looks in the layers"


def test_what_an_engine_is_sent_of_a_bento_lacks_them_too(exported: Exported, tmp_path: Path) -> None:
    with copied(exported, tmp_path) as name:
        files = files_of_layers(name, tmp_path)
    assert not secret(files)
    assert DOCUMENT_FILE in {file.name for file in files}


def test_without_the_list_they_would_be_there_and_deleting_them_later_does_not_help(
    exported: Exported, tmp_path: Path
) -> None:
    """The control: a Bento as BentoML itself would write it."""
    plain = Exported(exported.place, shutil.copytree(exported.bento, tmp_path / "plain"))
    (plain.bento / IGNORE_FILE).unlink()
    with copied(plain, tmp_path, lines="RUN find /bento -name '*.pkl' -delete\n") as name:
        assert not docker("run", "--rm", "--network", "none", name, "find", "/bento", "-name", "*.pkl")
        assert secret(files_of_layers(name, tmp_path)) == set(NOT_SERVED)


def test_an_exported_bento_holds_the_whole_model(exported: Exported) -> None:
    """As docs/image.md says: so it is for whoever may see the training data."""
    (model,) = (exported.bento / "models" / "plan_recommender").glob("*/")
    assert {file.name for file in store.find().path.iterdir()} <= {file.name for file in model.iterdir()}


def test_the_line_of_the_page_builds_an_image_that_answers_and_holds_no_pickle(
    exported: Exported, image: str, trained_tag: str, tmp_path: Path
) -> None:
    for line in (EXPORT, UNPACK, BUILD):
        assert f"\n{line}\n" in PAGE
    tag = f"supply-test-by-hand:{os.getpid()}"
    in_shell(BUILD.replace("plan_recommender:by-hand", tag), exported.place)
    try:
        files = files_of_layers(tag, tmp_path)
        assert not secret(files)
        assert not {file for file in files if "uv" in file.parts and ".cache" in file.parts}, "a second copy"
        assert size_mb(tag) == pytest.approx(size_mb(image), abs=5)
        with running(tag) as container, httpx.Client(base_url=container.url, trust_env=False) as http:
            assert http.post("/predict", json=GOOD).raise_for_status().json()["model"] == trained_tag
    finally:
        docker("image", "rm", "--force", tag)
