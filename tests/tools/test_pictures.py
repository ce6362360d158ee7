"""The README's pictures show what the project does now: they are made again, and compared."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.conftest import TrainedModel
from tests.report.test_pages_in_a_browser import browser
from tools import pictures
from tools.server import ROOT, Server

MOST_UNLIKE = 6.0
"""Mean difference of the pixels, of 255: the tag of the model, times and the browser's version may differ."""


@pytest.fixture(scope="module")
def made(server: Server, trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures, made again."""
    browser()
    folder = tmp_path_factory.mktemp("pictures")
    pictures.write(folder, server.url, trained.artifacts / "report.html")
    return folder


@pytest.mark.slow
def test_the_session_is_what_the_demo_says(made: Path) -> None:
    assert (made / pictures.SESSION).read_bytes() == (pictures.FOLDER / pictures.SESSION).read_bytes(), (
        "docs/pictures is stale; write it anew with `make pictures`"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [pictures.PAGE, pictures.REPORT])
def test_a_screenshot_shows_what_is_there(made: Path, name: str) -> None:
    assert unlikeness(pixels(made / name), pixels(pictures.FOLDER / name)) <= MOST_UNLIKE, (
        f"docs/pictures/{name} is stale; write it anew with `make pictures`"
    )


@pytest.mark.parametrize("name", [pictures.PAGE, pictures.REPORT])
def test_a_blank_screenshot_would_not_do(name: str) -> None:
    shown = pixels(pictures.FOLDER / name)
    assert unlikeness(shown, np.full_like(shown, 255)) > MOST_UNLIKE


def test_the_session_needs_nothing_from_elsewhere() -> None:
    drawn = (pictures.FOLDER / pictures.SESSION).read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"]+", drawn) == ["http://www.w3.org/2000/svg"]
    assert "url(http" not in drawn


def test_the_readme_shows_all_of_them() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for picture in pictures.FOLDER.iterdir():
        assert f"](docs/pictures/{picture.name})" in readme


def pixels(picture: Path) -> npt.NDArray[np.int16]:
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def unlikeness(one: npt.NDArray[np.int16], other: npt.NDArray[np.int16]) -> float:
    assert one.shape == other.shape
    return float(np.abs(one - other).mean())
