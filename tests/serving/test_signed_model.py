"""PLAN_RECOMMENDER_VERIFY_KEY: without a signed model a service does not start, and a worker is not renewed."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from loadtest.trials.service import workers
from plan_recommender.model import signatures
from plan_recommender.model.record import DOCUMENT_FILE, NOT_SERVED
from plan_recommender.model.signatures import SIGNATURE_FILE
from plan_recommender.serving.settings import variable
from tests.conftest import run
from tests.model.test_signatures import Keys, make_keys
from tests.serving.test_settings import failed_start
from tools.server import free_port, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def signed(tmp_path: Path, copy_store: Callable[[Path], Path], keys: Keys) -> Path:
    """The folder of the trained model, signed, in a store of its own."""
    folder = copy_store(tmp_path / "home")
    signatures.sign_model(folder, signatures.signing_with(keys.private))
    return folder


def environment(signed: Path, key: Path) -> dict[str, str]:
    return {"BENTOML_HOME": str(signed.parents[2]), variable("verify_key"): str(key)}


TAMPERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "one byte": (
        lambda model: (model / DOCUMENT_FILE).write_bytes((model / DOCUMENT_FILE).read_bytes().replace(b"1", b"2", 1)),
        f"Hash mismatch for '{DOCUMENT_FILE}'",
    ),
    "no signature": (lambda model: (model / SIGNATURE_FILE).unlink(), "found no signature (model.sig)"),
}
"""One of each kind: all that is refused is in tests/model/test_signatures.py."""


@pytest.mark.parametrize("case", TAMPERS)
def test_a_model_whose_signature_does_not_hold_stops_the_start_with_one_sentence(
    signed: Path, keys: Keys, case: str
) -> None:
    tamper, sentence = TAMPERS[case]
    tamper(signed)
    said = failed_start(free_port(), **environment(signed, keys.public))
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_an_older_signed_model_in_the_place_of_a_newer_one_stops_the_start(signed: Path, keys: Keys) -> None:
    shutil.copytree(signed, signed.with_name("newer"))
    (signed.parent / "latest").write_text("newer")
    said = failed_start(free_port(), **environment(signed, keys.public))
    assert f"expected the model plan_recommender:newer, found plan_recommender:{signed.name}" in said
    assert len(said.splitlines()) == 1


def test_a_key_that_cannot_be_read_stops_the_start(signed: Path) -> None:
    said = failed_start(free_port(), **environment(signed, signed / "nowhere.pub"))
    assert "nowhere.pub: expected a public key in PEM" in said
    assert len(said.splitlines()) == 1


def test_a_signed_model_is_served_and_a_worker_that_is_renewed_verifies_anew_until_the_signature_is_back(
    signed: Path, keys: Keys, trained_tag: str
) -> None:
    """The control of the tests above, without the files that the image leaves out."""
    for name in NOT_SERVED:
        (signed / name).unlink(missing_ok=True)
    away = signed.parents[2] / "away.sig"
    with serving(env=environment(signed, keys.public)) as server:
        assert httpx.get(f"{server.url}/health", timeout=10).json()["model"] == trained_tag
        assert "Traceback" not in server.log.read_text()
        (signed / SIGNATURE_FILE).rename(away)
        for worker in workers(server):
            worker.kill()
        deadline = time.monotonic() + 40
        while "found no signature (model.sig)" not in server.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        away.rename(signed / SIGNATURE_FILE)
        log = server.log.read_text()
        assert "found no signature (model.sig)" in log
        assert "Traceback" not in log
        assert httpx.get(f"{server.url}/health", timeout=40).json()["status"] == "ok"


def test_without_a_key_the_package_is_not_imported() -> None:
    """It takes half a second and 40 MiB."""
    told = run("-W", "ignore", "-c", "import sys, service; print('model_signing' in sys.modules)")
    assert told.stdout.splitlines()[-1] == "False", told.stderr
