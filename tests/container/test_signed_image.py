"""The signature that was made in the store holds in the image, whose service does not start without it."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from plan_recommender.model import signatures
from plan_recommender.model.signatures import SIGNATURE_FILE
from plan_recommender.serving.settings import variable
from tests.model.test_signatures import Keys, make_keys
from tools.container import HARDENED, ContainerError, running

pytestmark = pytest.mark.slow

KEY = "/model.pub"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = make_keys(tmp_path / "keys")
    keys.public.chmod(0o644)
    return keys


def mounted(path: Path, place: str) -> tuple[str, str]:
    return ("--volume", f"{path}:{place}:ro")


def test_the_signature_of_the_store_holds_in_the_image(
    image: str, trained_tag: str, copy_store: Callable[[Path], Path], keys: Keys, tmp_path: Path
) -> None:
    model = copy_store(tmp_path / "home")
    signatures.sign_model(model, signatures.signing_with(keys.private))
    signature = f"/home/bentoml/bento/models/plan_recommender/{model.name}/{SIGNATURE_FILE}"
    options = (*HARDENED, *mounted(keys.public, KEY), *mounted(model / SIGNATURE_FILE, signature))
    with running(image, {variable("verify_key"): KEY}, options) as container:
        assert httpx.get(f"{container.url}/health", timeout=10).json()["model"] == trained_tag
        assert "Traceback" not in container.log()


def test_without_a_signature_the_image_does_not_start(image: str, keys: Keys) -> None:
    with (
        pytest.raises(ContainerError, match=rf"found no signature \({SIGNATURE_FILE}\)"),
        running(image, {variable("verify_key"): KEY}, (*HARDENED, *mounted(keys.public, KEY))),
    ):
        pass
