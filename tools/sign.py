"""Sign a registered model or a Bento, or verify its signature from outside, before anything of it runs.

usage: python -m tools.sign {model,bento} [TAG] {--key PEM | --verify PEM | --keyless | --identity NAME --issuer URL}
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.sign")

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from plan_recommender import cli
from plan_recommender.data.outputs import writing
from plan_recommender.model import bento_model, signatures, store
from plan_recommender.model.digests import sha256
from plan_recommender.model.record import MODEL_NAME
from plan_recommender.model.signatures import SignatureError

if TYPE_CHECKING:
    from model_signing.signing import Config as Signer
    from model_signing.verifying import Config as Verifier


def main(arguments: list[str] | None = None) -> int:
    """Sign or verify once; returns 0, or 1 if a signature does not hold."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.identity is None) != (options.issuer is None):
        parser.error("--identity and --issuer go together")
    folder = folder_of(options.what, options.tag)
    sign, verify = _SIGN[options.what], _VERIFY[options.what]
    if options.key is not None or options.keyless:
        signer = _keyless() if options.key is None else signatures.signing_with(options.key)
        with writing(folder):
            sign(folder, signer)
        cli.say(f"signed {folder}")
        return cli.DONE
    verifier = _of_identity(options) if options.verify is None else signatures.verifying_with(options.verify)
    try:
        verify(folder, verifier)
    except SignatureError as error:
        cli.say(f"refused: {error}")
        return cli.ANSWER_IS_NO
    cli.say(f"verified {folder}")
    return cli.DONE


def verify_bento(folder: Path, verifier: "Verifier") -> None:
    """Verify a Bento and the models in it, or where it holds none, those of the store that it names.

    Raises:
        SignatureError: a signature does not hold, a model is not the one that the Bento was built with, or a folder of
            models holds others.
    """
    signatures.verify_bento(folder, verifier)
    described: dict[str, Any] = yaml.safe_load((folder / "bento.yaml").read_text(encoding="utf-8"))
    carried = folder / signatures.BENTO_MODELS
    within = carried if carried.is_dir() else store.store_path()
    expected = dict(_models(described, within))
    if within == carried:
        found = {path for path in carried.rglob("*") if not path.is_dir() and path.parent not in expected}
        if others := sorted(path for path in found if path.name != "latest"):
            raise SignatureError(f"{folder}: expected the models that bento.yaml names, found {others[0]} too")
    for model, digest in expected.items():
        signatures.verify_model(model, verifier)
        if (got := sha256(model / "model.yaml")) != digest:
            raise SignatureError(
                f"{model}: expected the record that the Bento was built with (SHA-256 {digest}), found another ({got})"
            )


def folder_of(what: str, tag: str) -> Path:
    """Find what a tag names, or take a path to a folder, without opening any file of it."""
    if tag.partition(":")[0] != MODEL_NAME:
        return Path(tag).resolve()
    place = store.store_path() if what == "model" else store.store_path().with_name("bentos")
    version = store.resolved(tag).partition(":")[2] if what == "model" else tag.partition(":")[2]
    if version in ("", "latest"):
        version = (place / MODEL_NAME / "latest").read_text().strip()
    return place / MODEL_NAME / version


def _models(described: dict[str, Any], within: Path) -> Iterator[tuple[Path, str | None]]:
    """Give the folder of each model that a Bento names, and the digest that its model.yaml must have."""
    for service in described["services"]:
        for model in service["models"]:
            name, _, version = str(model["tag"]).partition(":")
            yield within / name / version, (model.get("metadata") or {}).get(bento_model.RECORD_DIGEST)


_SIGN = {"model": signatures.sign_model, "bento": signatures.sign_bento}
_VERIFY = {"model": signatures.verify_model, "bento": verify_bento}


def _keyless() -> "Signer":
    from model_signing.signing import Config

    return Config().use_sigstore_signer()


def _of_identity(options: argparse.Namespace) -> "Verifier":
    from model_signing.verifying import Config

    return Config().use_sigstore_verifier(identity=options.identity, oidc_issuer=options.issuer)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sign",
        description="Sign a registered model or a built Bento with the OpenSSF's model-signing, or verify a signature "
        "before anything of it is parsed or runs. Exit code 0: it is signed, or the signature holds; 1: it does not "
        "hold; 2: it could not be done.",
    )
    parser.add_argument("what", choices=("model", "bento"), help="what TAG names")
    parser.add_argument(
        "tag", nargs="?", default=store.LATEST, metavar="TAG",
        help="tag in the BentoML store, or the folder of an exported one (default: %(default)s)",
    )  # fmt: skip
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--key", type=Path, metavar="PEM", help="sign with this private key")
    action.add_argument("--verify", type=Path, metavar="PEM", help="verify with this public key")
    action.add_argument(
        "--keyless", action="store_true",
        help="sign with an identity of Sigstore (needs the internet, and publishes the signature in a public log)",
    )  # fmt: skip
    action.add_argument("--identity", metavar="NAME", help="verify what this identity signed with --keyless")
    parser.add_argument("--issuer", metavar="URL", help="with --identity: who vouches for it")
    return parser
