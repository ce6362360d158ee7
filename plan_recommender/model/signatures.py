"""Signatures of models and Bentos, made and verified with the OpenSSF package model-signing and a pair of keys.

A signature is a Sigstore bundle in the folder that it signs: the SHA-256 of every file in it. Three files of a model
are not in that list, because the image does not hold them (`NOT_SERVED`); the signed model.yaml holds their SHA-256
instead, and where they are present they are compared with it. So one signature holds in the store and in the image.

model-signing is imported when a signature is made or verified and not before, because that takes half a second.
"""

import ast
import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from plan_recommender.errors import ModelError
from plan_recommender.model.digests import sha256
from plan_recommender.model.record import MODEL_NAME, NOT_SERVED

if TYPE_CHECKING:
    from model_signing.hashing import Config as Hashing
    from model_signing.signing import Config as Signer
    from model_signing.verifying import Config as Verifier

SIGNATURE_FILE = "model.sig"
"""The signature of a model, in its folder."""

BENTO_SIGNATURE_FILE = "bento.sig"
"""The signature of a Bento, in its folder."""

BENTO_MODELS = "models"
"""The folder of a Bento, in an image or an export, that holds its models; each of them has a signature of its own."""

_MAX_BYTES = 1024 * 1024
"""Size of a signature or a key that is read (bytes)."""

_MISMATCH = "Signature mismatch: "
"""So begins what model-signing says of files that differ; a Python list of sentences follows."""

_REQUIRED: list[Path] = []  # the public key, once `require` has named one


class SignatureError(ModelError):
    """A signature is missing, was not made with the right key, or does not belong to what the folder holds."""


def require(public_key: Path | None) -> None:
    """From now on let this process open no model that this key has not signed; None: open any model.

    The key is read whenever a model is opened, not now.
    """
    _REQUIRED[:] = [] if public_key is None else [public_key]


def check(versions: Path, tag: str) -> None:
    """Verify the model that a tag names, if `require` was called; opens none of its files otherwise.

    Args:
        versions: the folder that holds one folder for each version of the model.
        tag: of the model, with its version or `latest`.

    Raises:
        SignatureError: there is no such model, its signature does not hold, or the public key cannot be read.
    """
    if not _REQUIRED:
        return
    version = tag.partition(":")[2]
    if version in ("", "latest"):
        latest = versions / "latest"
        version = latest.read_text().strip() if latest.is_file() else ""
    if not version or Path(version).name != version:
        raise SignatureError(f"expected the model {tag} in {versions}, found none; train one, or name another")
    verify_model(versions / version, verifying_with(_REQUIRED[0]))


def verifying_with(public_key: Path) -> "Verifier":
    """Make a verifier of signatures that were made with the private key of this public one.

    Raises:
        SignatureError: the key cannot be read, or is not a public key in PEM of the curve P-256, P-384 or P-521.
    """
    from model_signing.verifying import Config

    try:
        return Config().use_elliptic_key_verifier(public_key=_regular(public_key))
    except (OSError, ValueError, AttributeError, TypeError) as error:  # AttributeError: a key of another algorithm
        raise SignatureError(_bad_key(public_key, "public", error)) from error


def signing_with(private_key: Path) -> "Signer":
    """Make a signer.

    Raises:
        SignatureError: the key cannot be read, or is not a private key in PEM of one of the curves, without a password.
    """
    from model_signing.signing import Config

    try:
        return Config().use_elliptic_key_signer(private_key=_regular(private_key))
    except (OSError, ValueError, AttributeError, TypeError) as error:  # TypeError: it needs a password
        raise SignatureError(_bad_key(private_key, "private", error)) from error


def sign_model(folder: Path, signer: "Signer") -> None:
    """Sign a model that was not altered since it was registered, in place of an earlier signature.

    Raises:
        SignatureError: a file differs from the record, or the folder holds something that cannot be signed.
    """
    _require_as_recorded(folder, must_have=True)
    _sign(folder, folder / SIGNATURE_FILE, (*NOT_SERVED, SIGNATURE_FILE), signer)


def verify_model(folder: Path, verifier: "Verifier") -> None:
    """Verify a model before anything else reads it: no file is parsed until the signature holds for all of them.

    The folder must have the name of the version that the signed model.yaml has, so that no other model can stand in its
    place. Files of `NOT_SERVED` may be missing.

    Raises:
        SignatureError: the signature is missing or does not hold, or the folder is that of another version.
    """
    _verify(folder, folder / SIGNATURE_FILE, (*NOT_SERVED, SIGNATURE_FILE), verifier)
    _require_as_recorded(folder, must_have=False)


def sign_bento(folder: Path, signer: "Signer") -> None:
    """Sign a Bento but for the models in it, which have signatures of their own.

    Raises:
        SignatureError: the folder holds something that cannot be signed, such as a symbolic link.
    """
    _sign(folder, folder / BENTO_SIGNATURE_FILE, (BENTO_MODELS, BENTO_SIGNATURE_FILE), signer)


def verify_bento(folder: Path, verifier: "Verifier") -> None:
    """Verify a Bento but for the models in it; bento.yaml, which is signed, holds the digest of each model's record.

    Raises:
        SignatureError: the signature is missing or does not hold.
    """
    _verify(folder, folder / BENTO_SIGNATURE_FILE, (BENTO_MODELS, BENTO_SIGNATURE_FILE), verifier)


def _sign(folder: Path, signature: Path, ignored: tuple[str, ...], signer: "Signer") -> None:
    try:
        signer.set_hashing_config(_hashing(ignored)).sign(folder, signature)
    except ValueError as error:
        raise SignatureError(
            f"{folder}: expected a folder of ordinary files to sign, found another: {error}"
        ) from error


def _verify(folder: Path, signature: Path, ignored: tuple[str, ...], verifier: "Verifier") -> None:
    try:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}")
        verifier.set_hashing_config(_hashing(ignored))
        with contextlib.redirect_stdout(io.StringIO()):  # model-signing prints a warning about old signatures
            verifier.verify(folder, _regular(signature))
    except Exception as error:  # a bundle that somebody has made up fails in whatever way it makes the package fail
        raise SignatureError(
            f"{folder}: expected what the owner of the key has signed, found {_reason(signature, error)}; restore what "
            "was signed, or sign it with `python -m tools.sign`"
        ) from error


def _hashing(ignored: tuple[str, ...]) -> "Hashing":
    from model_signing.hashing import Config

    serialised = Config().use_file_serialization(hashing_algorithm="sha256", max_workers=1)
    return serialised.set_ignored_paths(paths=ignored, ignore_git_paths=False)


def _require_as_recorded(folder: Path, *, must_have: bool) -> None:
    """Compare a model's folder with its model.yaml: the name, and the files that the signature does not list."""
    try:
        described: dict[str, Any] = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
        tag = f"{described['name']}:{described['version']}"
        recorded: dict[str, str] = described["metadata"]["plan_recommender"]["digests"]
        names = sorted(recorded) if must_have else NOT_SERVED
        found = {name: sha256(folder / name) for name in names if must_have or (folder / name).exists()}
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise SignatureError(
            f"{folder}: expected a model with its record, found none: {error!r}; train again"
        ) from error
    if tag != f"{MODEL_NAME}:{folder.name}":
        raise SignatureError(
            f"{folder}: expected the model {MODEL_NAME}:{folder.name}, found {tag}, another that was put in its place; "
            "restore the right one"
        )
    altered = [name for name, digest in found.items() if recorded.get(name) != digest]
    if altered:
        raise SignatureError(
            f"{folder}: expected the files that were registered, found {', '.join(altered)} altered or added; restore "
            "them, or train again"
        )


def _regular(path: Path) -> Path:
    """Refuse what is not an ordinary file, or is larger than a key or a signature can be."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} has more than {_MAX_BYTES} bytes")
    return path


def _reason(signature: Path, error: Exception) -> str:
    from cryptography.exceptions import InvalidSignature

    if isinstance(error, OSError) and not signature.exists():
        return f"no signature ({signature.name})"
    if isinstance(error, InvalidSignature):
        return "a signature that was altered or made with another key"
    text = " ".join(str(error).split())
    if text.startswith(_MISMATCH):
        with contextlib.suppress(ValueError, SyntaxError):
            listed = ast.literal_eval(text.removeprefix(_MISMATCH))
            text = "; ".join(sentence.partition(": Expected ")[0] for sentence in listed)  # without the digests
    return f"{type(error).__name__}: {text}"[:500]


def _bad_key(key: Path, kind: str, error: Exception) -> str:
    # The error's own text could hold a part of the key.
    why = error.strerror or "no such file" if isinstance(error, OSError) else "something else"
    return (
        f"{key}: expected a {kind} key in PEM of the curve P-256, P-384 or P-521, without a password, found {why}; "
        "docs/image.md says how to make a pair"
    )
