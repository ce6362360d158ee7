"""The recipe for rolling without a lost request, with a real nginx and containers of two models.

`python -m tools.roll` does the same ten times with more requests; docs/deployment.md has what it counted.
"""

from collections.abc import Callable

import pytest

from tests.conftest import OtherImage
from tests.deploy.conftest import require
from tools.roll import proxy, roll

pytestmark = pytest.mark.slow

RATE, REQUESTS = 100.0, 2_000


@pytest.fixture(scope="module")
def images(image: str, newer_image: OtherImage) -> list[str]:
    """The image of the trained model, and one of another model."""
    require("nginx", "nginx-light")
    return [image, newer_image.name]


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
