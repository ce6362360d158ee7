"""A container has a shadow as well: the folder of the second model is mounted into the Bento's own store."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from plan_recommender.model.features import PLANS
from plan_recommender.serving.settings import variable
from tests.conftest import GOOD
from tests.serving.second_model import add_second_model
from tools.container import HARDENED, ContainerError, running
from tools.server import ROOT

pytestmark = pytest.mark.slow

STORE = "/home/bentoml/bento/models/plan_recommender"


@pytest.fixture
def second(copy_store: Callable[[Path], Path], tmp_path: Path) -> tuple[str, Path]:
    """Its tag, and its folder."""
    first = copy_store(tmp_path)
    tag = add_second_model(first)
    folder = first.with_name(tag.partition(":")[2])
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | 0o055 if path.is_dir() else path.stat().st_mode | 0o044)  # of another user
    return tag, folder


def test_a_model_that_is_mounted_into_the_store_of_the_bento_is_a_shadow(
    image: str, trained_tag: str, second: tuple[str, Path]
) -> None:
    tag, folder = second
    mounted = ("--volume", f"{folder}:{STORE}/{folder.name}:ro")
    with running(image, {variable("shadow"): tag}, (*HARDENED, *mounted)) as container:
        for _ in range(20):
            answer = httpx.post(f"{container.url}/predict", json=GOOD).json()
            assert answer["model"] == trained_tag
        deadline = time.monotonic() + 20
        while (rows := _rows(container.url, tag)) < 20 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert rows == 20


def test_without_the_mount_the_container_ends_with_one_sentence(
    image: str, trained_tag: str, second: tuple[str, Path]
) -> None:
    tag, folder = second
    shutil.rmtree(folder)
    with pytest.raises(ContainerError) as failure, running(image, {variable("shadow"): tag}):
        pass
    assert f"environment variable PLAN_RECOMMENDER_SHADOW: expected the model {tag} in the" in str(failure.value)


def test_the_pages_name_that_folder() -> None:
    assert f":{STORE}/" in (ROOT / "docs/deployment.md").read_text(encoding="utf-8")


def _rows(url: str, tag: str) -> float:
    text = httpx.get(f"{url}/metrics").text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("plan_recommender_shadow_rows_total") and f'model="{tag}"' in line
        if any(f'shadow="{plan}"' in line for plan in PLANS)
    )
