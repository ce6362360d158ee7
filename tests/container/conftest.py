"""The image of the tests' own model, built once a run by a real engine."""

import os

import pytest

from tests.conftest import leave_out
from tools.container import ContainerError, client, containerize
from tools.containerize import build


@pytest.fixture(scope="session")
def image(trained_tag: str) -> str:
    """Name of the image that `bentoml build` and `bentoml containerize` make of the trained model."""
    try:
        client()
    except ContainerError as error:
        leave_out(f"tests of the image: {error}")
    return containerize(build(), os.environ.get("CONTAINERIZE_OPTIONS", "").split())
