"""Where a public key is named, a signed model opens, in the store as in the image, and an altered one never does."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import bentoml
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from plan_recommender.errors import ModelError
from plan_recommender.model import bento_model, signatures
from plan_recommender.model import store as model_store
from plan_recommender.model.record import DOCUMENT_FILE, HABITS_FILE, NOT_SERVED, PIPELINE_FILE, REFERENCE_FILE
from plan_recommender.model.signatures import SIGNATURE_FILE, SignatureError
from tests.conftest import using

Tamper = Callable[[Path], object]


class Keys(NamedTuple):
    """A pair, in files."""

    private: Path
    public: Path


def make_keys(folder: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None) -> Keys:
    """Write a new pair of keys into a new folder."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    folder.mkdir()
    keys = Keys(folder / "model.key", folder / "model.pub")
    keys.private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    keys.public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def signed(tmp_path: Path, copy_store: Callable[[Path], Path], keys: Keys) -> Iterator[Path]:
    """The folder of the trained model, signed, in a store whose models this process opens only if they are signed."""
    folder = copy_store(tmp_path / "home")
    signatures.sign_model(folder, signatures.signing_with(keys.private))
    signatures.require(keys.public)
    try:
        with using(tmp_path / "home"):
            yield folder
    finally:
        signatures.require(None)


def _flip(name: str) -> Tamper:
    def flip(model: Path) -> None:
        content = bytearray((model / name).read_bytes())
        content[len(content) // 2] ^= 1
        (model / name).write_bytes(content)

    return flip


def _add(name: str) -> Tamper:
    def add(model: Path) -> None:
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text("x")

    return add


def _link(model: Path) -> None:
    (model / DOCUMENT_FILE).rename(model.parents[2] / "elsewhere.json")
    (model / DOCUMENT_FILE).symlink_to(model.parents[2] / "elsewhere.json")


def _sign_with_another_key(model: Path) -> None:
    signatures.sign_model(model, signatures.signing_with(make_keys(model.parents[3] / "others").private))


def _hint_of_the_right_key(model: Path) -> None:
    """Sign with another key, and let the bundle say that it was the right one."""
    right = yaml.safe_load((model / SIGNATURE_FILE).read_text())["verificationMaterial"]["publicKey"]["hint"]
    _sign_with_another_key(model)
    bundle = (model / SIGNATURE_FILE).read_text()
    wrong = yaml.safe_load(bundle)["verificationMaterial"]["publicKey"]["hint"]
    (model / SIGNATURE_FILE).write_text(bundle.replace(wrong, right))


def _record_another_digest(model: Path) -> None:
    """Alter the document and the digest that the record has of it, as somebody would who knows the store."""
    from plan_recommender.model.digests import sha256

    before = sha256(model / DOCUMENT_FILE)
    _flip(DOCUMENT_FILE)(model)
    record = (model / "model.yaml").read_text()
    (model / "model.yaml").write_text(record.replace(before, sha256(model / DOCUMENT_FILE)))


MATRIX: dict[str, tuple[Tamper, str]] = {
    "one bit of the document": (_flip(DOCUMENT_FILE), f"Hash mismatch for '{DOCUMENT_FILE}'; restore"),
    "one bit of the record": (_flip("model.yaml"), "Hash mismatch for 'model.yaml'"),
    "one bit of the reference": (_flip(REFERENCE_FILE), f"Hash mismatch for '{REFERENCE_FILE}'"),
    "one bit of the pickle": (_flip(PIPELINE_FILE), f"found {PIPELINE_FILE} altered or added"),
    "one bit of the signature": (_flip(SIGNATURE_FILE), "expected what the owner of the key has signed"),
    "document and record": (_record_another_digest, f"Hash mismatch for '{DOCUMENT_FILE}'"),
    "an extra file": (_add("extra.json"), "Extra files found"),
    "an extra hidden file": (_add(".gitignore"), "Extra files found"),
    "an extra file in a folder": (_add("sub/extra.py"), "Extra files found"),
    "an extra file under a name that the image leaves out": (_add(NOT_SERVED[2]), f"found {NOT_SERVED[2]} altered or"),
    "a missing document": (lambda model: (model / DOCUMENT_FILE).unlink(), "Missing files"),
    "a missing profile": (lambda model: (model / HABITS_FILE).unlink(), "Missing files"),
    "a missing record": (lambda model: (model / "model.yaml").unlink(), "Missing files"),
    "a link in place of a file": (_link, "it is a symlink"),
    "no signature": (lambda model: (model / SIGNATURE_FILE).unlink(), f"found no signature ({SIGNATURE_FILE})"),
    "an empty signature": (lambda model: (model / SIGNATURE_FILE).write_text(""), "expected what the owner"),
    "a signature of nothing": (lambda model: (model / SIGNATURE_FILE).write_text("{}"), "expected what the owner"),
    "an enormous signature": (lambda model: os.truncate(model / SIGNATURE_FILE, 2**40), "more than 1048576 bytes"),
    "another key": (_sign_with_another_key, "Key mismatch"),
    "another key that says it is the right one": (_hint_of_the_right_key, "altered or made with another key"),
}


def test_a_signed_model_opens(signed: Path) -> None:
    """The control of every test below."""
    found = model_store.find()
    assert found.path == signed
    assert found.scorer() is not None
    assert bento_model.ServedModel(model_store.LATEST).resolve().path == str(signed)


def test_the_same_signature_holds_without_the_files_that_the_image_leaves_out(signed: Path) -> None:
    for name in NOT_SERVED:
        (signed / name).unlink(missing_ok=True)
    assert model_store.find().path == signed


@pytest.mark.parametrize("case", MATRIX)
def test_an_altered_model_is_refused_before_anything_of_it_is_parsed(
    signed: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tamper, sentence = MATRIX[case]
    tamper(signed)

    def parse(*_: object, **__: object) -> None:
        raise AssertionError("BentoML has read model.yaml")

    monkeypatch.setattr(bentoml.Model, "from_path", parse)
    with pytest.raises(SignatureError) as refused:
        model_store.find()
    assert sentence in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(bentoml.exceptions.BentoMLException):
        bento_model.ServedModel(model_store.LATEST).resolve()


def test_without_a_key_an_unsigned_model_opens(signed: Path) -> None:
    (signed / SIGNATURE_FILE).unlink()
    signatures.require(None)
    assert model_store.find().path == signed


def newer(signed: Path, keys: Keys) -> Path:
    """Register the same model once more under a later version, and sign it."""
    later = signed.with_name("zzzzzzzzzzzzzzzz")
    shutil.copytree(signed, later)
    described = yaml.safe_load((later / "model.yaml").read_text())
    (later / "model.yaml").write_text(yaml.safe_dump(described | {"version": later.name}))
    signatures.sign_model(later, signatures.signing_with(keys.private))
    (signed.parent / "latest").write_text(later.name)
    return later


def test_an_older_model_that_is_put_in_the_place_of_a_newer_one_is_refused(signed: Path, keys: Keys) -> None:
    later = newer(signed, keys)
    assert model_store.find().path == later, "the control"
    shutil.rmtree(later)
    shutil.copytree(signed, later)
    with pytest.raises(
        SignatureError, match=f"expected the model plan_recommender:{later.name}, found .*{signed.name}"
    ):
        model_store.find()


def test_an_older_model_under_the_name_of_latest_is_refused_where_the_newer_one_is_named(
    signed: Path, keys: Keys
) -> None:
    """`:latest` may be moved back, which is what a rollback does; a tag names one model and no other."""
    later = newer(signed, keys)
    (signed.parent / "latest").write_text(signed.name)
    assert model_store.find().path == signed
    assert model_store.find(f"plan_recommender:{later.name}").path == later
    shutil.rmtree(later)
    with pytest.raises(SignatureError):
        model_store.find(f"plan_recommender:{later.name}")


def test_the_beginning_of_a_version_names_no_model(signed: Path) -> None:
    """BentoML takes it for the version that begins so."""
    with pytest.raises(ModelError):
        model_store.find(f"plan_recommender:{signed.name[:8]}")


@pytest.mark.parametrize("kind", ["missing", "a folder", "empty", "private", "RSA", "another curve"])
def test_without_a_usable_public_key_no_model_opens(signed: Path, keys: Keys, tmp_path: Path, kind: str) -> None:
    files = {
        "missing": lambda: tmp_path / "nowhere.pub",
        "a folder": lambda: tmp_path,
        "empty": lambda: _written(tmp_path / "empty.pub"),
        "private": lambda: keys.private,
        "RSA": lambda: make_keys(tmp_path / "rsa", rsa.generate_private_key(65537, 2048)).public,
        "another curve": lambda: make_keys(tmp_path / "k1", ec.generate_private_key(ec.SECP256K1())).public,
    }
    signatures.require(files[kind]())
    with pytest.raises(SignatureError, match="expected a public key in PEM of the curve P-256") as refused:
        model_store.find()
    assert len(str(refused.value).splitlines()) == 1


def test_an_altered_model_is_not_signed(signed: Path, keys: Keys) -> None:
    _flip(PIPELINE_FILE)(signed)
    with pytest.raises(SignatureError, match="altered"):
        signatures.sign_model(signed, signatures.signing_with(keys.private))


def _written(path: Path) -> Path:
    path.write_text("")
    return path
