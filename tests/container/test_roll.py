"""The recipe for rolling without a lost request, with a real nginx and containers of two models.

`python -m tools.roll` does the same ten times with more requests; docs/deployment.md has what it counted.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import run, write_quick_configuration
from tests.deploy.conftest import require
from tools.container import containerize, docker
from tools.containerize import build
from tools.roll import proxy, roll

pytestmark = pytest.mark.slow

RATE, REQUESTS = 100.0, 2_000


@pytest.fixture(scope="module")
def images(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The image of the trained model, and one of another model."""
    require("nginx", "nginx-light")
    folder = tmp_path_factory.mktemp("other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(folder / "home"))
        options = ("--config", write_quick_configuration(folder), "--artifacts", folder / "artifacts", "--seed", "7")
        trained = run("train.py", *options)
        assert trained.returncode == 0, trained.stderr
        other = containerize(build())
    yield [image, other]
    docker("image", "rm", "--force", other)


def test_no_request_fails_while_one_model_is_replaced_by_another_and_back(
    images: list[str], record_property: Callable[..., None]
) -> None:
    with proxy() as nginx:
        done = roll(nginx, images, RATE, REQUESTS)
    before, forward, back = done.models
    assert before == back != forward
    assert done.record.counts() == {200: len(done.record)}
    record_property("roll forward and back: requests, failed", f"{len(done.record):,}, {done.failed}")


def test_without_a_second_attempt_requests_fail(images: list[str]) -> None:
    """The control: what an instance that ends does not answer is lost."""
    with proxy(retries=False) as nginx:
        assert roll(nginx, images, RATE, REQUESTS).failed
