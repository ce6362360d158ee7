"""tools.sign, and the training that signs: models and Bentos are verified from outside, with every exit code."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import train
from plan_recommender.model import signatures
from plan_recommender.model import store as model_store
from plan_recommender.model.signatures import BENTO_SIGNATURE_FILE, SIGNATURE_FILE
from tests.conftest import Command, using
from tests.model.test_signatures import Keys, make_keys
from tools import containerize, sign
from tools.server import ROOT


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def model(tmp_path: Path, copy_store: Callable[[Path], Path]) -> Iterator[Path]:
    """The folder of the trained model in a store of its own."""
    folder = copy_store(tmp_path / "home")
    with using(tmp_path / "home"):
        yield folder


def test_a_model_is_signed_and_verified_by_its_tag_and_by_its_folder(command: Command, model: Path, keys: Keys) -> None:
    before = command(sign.main, "model", "--verify", keys.public)
    assert before.code == 1
    assert f"refused: {model}: expected what the owner of the key has signed, found no signature" in before.out
    assert command(sign.main, "model", "--key", keys.private).code == 0
    for what in ([], [f"plan_recommender:{model.name}"], [model]):
        assert command(sign.main, "model", *what, "--verify", keys.public).out == f"verified {model}\n"
    others = make_keys(keys.public.parent / "others")
    assert command(sign.main, "model", "--verify", others.public).code == 1
    (model / "extra.txt").write_text("x")
    refused = command(sign.main, "model", "--verify", keys.public)
    assert (refused.code, "Extra files found" in refused.out) == (1, True)


def test_the_packages_own_command_verifies_it_too(command: Command, model: Path, keys: Keys) -> None:
    from click.testing import CliRunner
    from model_signing._cli import main as model_signing

    assert command(sign.main, "model", "--key", keys.private).code == 0
    options = ["--signature", str(model / SIGNATURE_FILE), "--public_key", str(keys.public), str(model)]
    verified = CliRunner().invoke(model_signing, ["verify", "key", *options])
    assert (verified.exit_code, "Verification succeeded" in verified.output) == (0, True)


def test_a_key_of_the_wrong_kind_is_told_without_its_text(command: Command, model: Path, keys: Keys) -> None:
    said = command(sign.main, "model", "--key", keys.public)
    assert (said.code, said.out) == (2, "")
    assert "expected a private key in PEM of the curve P-256" in said.err
    said = command(sign.main, "model", "--verify", keys.private)
    assert said.code == 2
    assert not any(line in said.err for line in keys.private.read_text().splitlines())


@pytest.mark.slow
def test_a_trained_model_is_signed_before_it_is_in_the_store(
    command: Command, store: Path, quick: Path, tmp_path: Path, keys: Keys
) -> None:
    options = ["--config", quick, "--artifacts", tmp_path / "artifacts"]
    early = command(train.main, *options, "--signing-key", tmp_path / "nowhere.key")
    assert (early.code, early.out) == (2, "")
    assert "nowhere.key: expected a private key in PEM" in early.err
    assert command(train.main, *options, "--signing-key", keys.private).code == 0
    signatures.require(keys.public)
    try:
        assert (model_store.find().path / SIGNATURE_FILE).is_file()
    finally:
        signatures.require(None)


@pytest.fixture
def bento(model: Path, keys: Keys, tmp_path: Path) -> Path:
    """The folder of a Bento of the signed model, itself signed, as an export holds it."""
    home = model.parents[2]
    signatures.sign_model(model, signatures.signing_with(keys.private))
    program = Path(sys.executable).with_name("bentoml")
    env = os.environ | {"BENTOML_HOME": str(home)}
    built = subprocess.run([program, "build", "--output", "tag"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    folder = home / "bentos" / built.stdout.strip().removeprefix("__tag__:").replace(":", "/")
    signatures.sign_bento(folder, signatures.signing_with(keys.private))
    return folder


@pytest.mark.slow
def test_a_bento_and_its_model_are_verified_together_and_no_image_is_made_otherwise(
    command: Command, bento: Path, model: Path, keys: Keys, tmp_path: Path
) -> None:
    tag = f"plan_recommender:{bento.name}"

    def verify(folder: Path = bento) -> tuple[int, str]:
        answer = command(sign.main, "bento", folder, "--verify", keys.public)
        return answer.code, answer.out

    assert command(sign.main, "bento", tag, "--verify", keys.public).code == 0
    assert containerize.signed(tag, keys.private, keys.public) == tag

    exported = tmp_path / "exported"  # with its model in it, without the files that the image leaves out
    shutil.copytree(bento, exported)
    inside = exported / "models" / "plan_recommender" / model.name
    shutil.copytree(model, inside, ignore=shutil.ignore_patterns("*.pkl", "*.bin"))
    (inside.parent / "latest").write_text(model.name)
    assert verify(exported)[0] == 0
    (inside.parent / "other").mkdir()
    (inside.parent / "other" / "model.yaml").write_text("")
    assert verify(exported)[0] == 1

    service = bento / "src" / "service.py"
    content = service.read_bytes()
    for tampered, sentence in (
        (lambda: service.write_bytes(content + b"\n"), "Hash mismatch for 'src/service.py'"),
        (lambda: (bento / "src" / "sitecustomize.py").write_text(""), "Extra files found"),
        (service.unlink, "Missing files"),
        ((bento / BENTO_SIGNATURE_FILE).unlink, f"found no signature ({BENTO_SIGNATURE_FILE})"),
    ):
        tampered()
        code, said = verify()
        assert (code, sentence in said) == (1, True), said
        with pytest.raises(signatures.SignatureError):
            containerize.signed(tag, None, keys.public)
        (bento / "src" / "sitecustomize.py").unlink(missing_ok=True)
        service.write_bytes(content)
        signatures.sign_bento(bento, signatures.signing_with(keys.private))
        assert verify()[0] == 0, "the control"

    record = yaml.safe_load((model / "model.yaml").read_text())  # another model of that tag, signed with the same key
    (model / "model.yaml").write_text(yaml.safe_dump(record | {"creation_time": "2026-01-01T00:00:00+00:00"}))
    signatures.sign_model(model, signatures.signing_with(keys.private))
    code, said = verify()
    assert (code, "expected the record that the Bento was built with" in said) == (1, True)
