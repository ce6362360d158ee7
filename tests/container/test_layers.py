"""No layer of the image holds a pickle or a key of a row that the model was trained on, however the image is built."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

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


def files_of_layers(images: Iterable[str], place: Path) -> dict[str, set[PurePosixPath]]:
    """List the files of every layer of each image, those too that a later layer deletes.

    The images are saved into one archive, which holds the layers that they share once.
    """
    archive = place / "images.tar"
    docker("save", "--output", str(archive), *images)
    layers: dict[str, set[PurePosixPath]] = {}
    found = {}
    with tarfile.open(archive) as saved:

        def content(name: str) -> IO[bytes]:
            file = saved.extractfile(name)
            assert file is not None, f"{name} is a file of the archive"
            return file

        for image in json.load(content("manifest.json")):
            for name in image["Layers"]:
                if name not in layers:
                    with tarfile.open(fileobj=content(name)) as layer:
                        layers[name] = {PurePosixPath(file) for file in layer.getnames()}
            (tag,) = image["RepoTags"]
            found[tag] = set[PurePosixPath]().union(*(layers[name] for name in image["Layers"]))
    archive.unlink()
    return found


def secret(files: set[PurePosixPath]) -> set[str]:
    """Name the files that must not be in the image; NumPy's own tests, which a later layer deletes, hold one pickle."""
    ours = {file for file in files if "site-packages" not in file.parts and not file.name.startswith(".wh.")}
    return {file.name for file in ours if file.suffix in {".pkl", ".joblib"} or file.name in NOT_SERVED}


def copy_into_image(bento: Path, place: Path, name: str, *, lines: str = "") -> None:
    """Make an image that holds what an engine is sent of the Bento, and nothing else."""
    (place / "Dockerfile").write_text(f"FROM python:3.11-slim\nCOPY . /bento\n{lines}")
    in_shell(f"docker build --quiet --file {place}/Dockerfile --tag {name} {bento}", place)


class Images(NamedTuple):
    """Names of the images of the exported Bento, and the files of all layers of each."""

    by_hand: str
    """Built by the line of the page."""
    sent: str
    """What an engine is sent of the Bento."""
    plain: str
    """The same of a Bento as BentoML itself would write it; its last layer deletes the pickles."""
    files: dict[str, set[PurePosixPath]]
    """By the name of the image, the session's among them."""


@pytest.fixture(scope="module")
def images(exported: Exported, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    place = tmp_path_factory.mktemp("layers")
    by_hand, sent, plain = names = [f"supply-test-{what}:{os.getpid()}" for what in ("by-hand", "sent", "plain")]
    with ExitStack() as stack:
        for name in names:
            stack.callback(subprocess.run, [client(), "image", "rm", "--force", name], capture_output=True, check=False)
        in_shell(BUILD.replace("plan_recommender:by-hand", by_hand), exported.place)
        copy_into_image(exported.bento, place, sent)
        (shutil.copytree(exported.bento, place / "plain") / IGNORE_FILE).unlink()
        copy_into_image(place / "plain", place, plain, lines="RUN find /bento -name '*.pkl' -delete\n")
        yield Images(by_hand, sent, plain, files_of_layers([image, *names], place))


def test_no_layer_holds_what_serving_does_not_read(image: str, images: Images) -> None:
    files = images.files[image]
    assert not secret(files)
    models = {file.name for file in files if "models/plan_recommender/" in str(file)}
    assert {DOCUMENT_FILE, REFERENCE_FILE, HABITS_FILE, "model.yaml"} <= models, "the control: it looks in the layers"


def test_what_an_engine_is_sent_of_a_bento_lacks_them_too(images: Images) -> None:
    files = images.files[images.sent]
    assert not secret(files)
    assert DOCUMENT_FILE in {file.name for file in files}


def test_without_the_list_they_would_be_there_and_deleting_them_later_does_not_help(images: Images) -> None:
    """The control."""
    assert not docker("run", "--rm", "--network", "none", images.plain, "find", "/bento", "-name", "*.pkl")
    assert secret(images.files[images.plain]) == set(NOT_SERVED)


def test_an_exported_bento_holds_the_whole_model(exported: Exported) -> None:
    """As docs/image.md says: so it is for whoever may see the training data."""
    (model,) = (exported.bento / "models" / "plan_recommender").glob("*/")
    assert {file.name for file in store.find().path.iterdir()} <= {file.name for file in model.iterdir()}


def test_the_line_of_the_page_builds_an_image_that_answers_and_holds_no_pickle(
    images: Images, image: str, trained_tag: str
) -> None:
    for line in (EXPORT, UNPACK, BUILD):
        assert f"\n{line}\n" in PAGE
    files = images.files[images.by_hand]
    assert DOCUMENT_FILE in {file.name for file in files}
    assert not secret(files)
    assert not {file for file in files if "uv" in file.parts and ".cache" in file.parts}, "a second copy"
    assert size_mb(images.by_hand) == pytest.approx(size_mb(image), abs=5)
    with running(images.by_hand) as container, httpx.Client(base_url=container.url, trust_env=False) as http:
        assert http.post("/predict", json=GOOD).raise_for_status().json()["model"] == trained_tag
