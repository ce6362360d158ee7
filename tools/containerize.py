"""`make containerize`: build an image of the registered model, show what is in it, start it and ask it.

usage: python -m tools.containerize [--offline] [--base IMAGE] [OPTION ...]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.containerize")

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from plan_recommender.errors import PlanRecommenderError
from plan_recommender.model.signatures import sign_bento, signing_with, verifying_with
from plan_recommender.serving.image import BASE, BASE_VARIABLE
from tools.base_image import look_up
from tools.bill import SupplyError
from tools.container import (
    HARDENED,
    NAME,
    ContainerError,
    client,
    containerize,
    docker,
    running,
    size_mb,
    tag_by_content,
)
from tools.server import ROOT
from tools.sign import folder_of, verify_bento
from tools.supply import OFFLINE_HELP, VULNERABLE, report

MAX_MB_OVER_BASE: Final = 350
"""How much larger than its base the image may be (millions of bytes)."""

MAX_READY_SECONDS: Final = 3.0
"""How long it may take from `docker run` until it is ready (s), on a machine that does nothing else."""

MAX_RESIDENT_MIB: Final = 250
"""How much memory its processes may hold (MiB)."""

STARTS: Final = 3

USAGE: Final = {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}
PURPOSES: Final = {
    "numpy": "the arrays that batches are scored with",
    "numpy.libs": "OpenBLAS, which numpy is linked with",
    "uvloop": "the event loop of the server",
    "bentoml": "the framework",
    "aiohttp": "BentoML's own client, which it imports when it serves",
    "pydantic": "request and response models",
    "pydantic_core": "pydantic's compiled part",
    "pygments": "colours, for rich",
    "rich": "what BentoML's command line prints with",
    "opentelemetry": "BentoML imports it",
    "tornado": "of kantoku, BentoML's supervisor of processes",
    "yaml": "model.yaml and bento.yaml",
    "cryptography": "of model-signing, which verifies the model's signature",
    "rfc3161_client": "of model-signing: time stamps of keyless signatures",
    "securesystemslib": "of model-signing: Sigstore's roots of trust",
    "dns": "of model-signing: email-validator imports it",
    "google": "protobuf, of model-signing",
}
"""The purpose of the large Python packages in the image."""

_SITE_PACKAGES = "/app/.venv/lib/python3.11/site-packages"
_MIN_MB_SHOWN = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and try the image; returns 0, 1 if it misses a goal, or 2 if it could not be built or does not answer."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.containerize",
        usage="%(prog)s [-h] [--offline] [--base IMAGE] [--signing-key PEM] [--verify-key PEM] [OPTION ...]",
        description="Build an image of the registered model, show what is in it, start it and ask it.",
        epilog="OPTION: any option of `bentoml containerize`, such as --opt network=host. Exit code 0: the image keeps "
        "its goals; 1: it misses one; 2: it could not be built, does not answer, or could not be audited.",
        allow_abbrev=False,
    )
    parser.add_argument("--offline", action="store_true", help=OFFLINE_HELP)
    parser.add_argument(
        "--base", metavar="IMAGE", default=BASE, help="what the image is made from (default: %(default)s)"
    )
    parser.add_argument("--signing-key", type=Path, metavar="PEM", help="private key that signs the Bento")
    parser.add_argument(
        "--verify-key", type=Path, metavar="PEM",
        help="public key that must have signed the Bento and its model, or no image is built",
    )  # fmt: skip
    chosen, options = parser.parse_known_args(arguments)
    try:
        print("== build the Bento and its image", flush=True)
        base = look_up(chosen.base)
        print(f"base image: {base}", flush=True)
        bento = signed(build(base.reference), chosen.signing_key, chosen.verify_key)
        image = containerize(bento, [*base.labels, *options])
        over = size_mb(image) - size_mb(base.reference)
        print(f"{image}: {size_mb(image):,.0f} MB, {over:,.0f} MB over {base.name}")
        print("\n== what is in it, by size")
        for megabytes, piece, purpose in contents(image, base.reference):
            print(f"{megabytes:6.1f} MB  {piece:<20} {purpose}")
        print("\n== what it is made of", flush=True)
        audited = report(image, offline=chosen.offline)
        print("\n== start it, and ask", flush=True)
        resident, ready = try_out(image)
        goals = {
            f"at most {MAX_MB_OVER_BASE} MB over {base.name}": over <= MAX_MB_OVER_BASE,
            f"at most {MAX_RESIDENT_MIB} MiB resident": resident <= MAX_RESIDENT_MIB,
            "no known vulnerabilities": audited != VULNERABLE,
        }
        missed = [goal for goal, reached in goals.items() if not reached]
        if not missed and audited == 0:
            docker("tag", image, f"{NAME}:latest")
            if tag := tag_by_content(image):
                print(f"tagged {tag}, which names the model and the commit")
    except (ContainerError, SupplyError, PlanRecommenderError, httpx.HTTPError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if ready > MAX_READY_SECONDS:  # a warning only, because a busy machine may be the reason
        print(f"warning: expected it to be ready within {MAX_READY_SECONDS:g} s, found {ready:.1f} s", file=sys.stderr)
    if missed:
        print(f"error: the image misses its goals: {'; '.join(missed)}", file=sys.stderr)
    if missed or audited:
        print(f"\nstopped; {NAME}:latest is what it was before")
        return 1 if missed else audited
    print(f"\nstopped, and tagged {NAME}:latest. To run it:\n")
    print(f"docker run --rm --publish 127.0.0.1:3000:3000 {' '.join(HARDENED)} {image}")
    return 0


def build(base: str = BASE) -> str:
    """Run `bentoml build`; returns the tag of the Bento.

    Args:
        base: the image that the Bento's image is made from.

    Raises:
        ContainerError: there is no container engine for the next step, or the build failed.
    """
    client()
    bentoml = Path(sys.executable).with_name("bentoml")
    environment = os.environ | {BASE_VARIABLE: base}
    built = subprocess.run(
        [bentoml, "build", "--output", "tag"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if built.returncode:
        raise ContainerError(f"bentoml build ended with {built.returncode}: {built.stderr.strip()}")
    return built.stdout.strip().removeprefix("__tag__:")


def signed(bento: str, signing_key: Path | None, verify_key: Path | None) -> str:
    """Sign a Bento if there is a private key, then verify it and its model if there is a public one; returns its tag.

    Raises:
        SignatureError: a key cannot be read, or a signature does not hold.
    """
    folder = folder_of("bento", bento)
    if signing_key is not None:
        sign_bento(folder, signing_with(signing_key))
    if verify_key is not None:
        verify_bento(folder, verifying_with(verify_key))
    return bento


def try_out(image: str) -> tuple[float, float]:
    """Start the image `STARTS` times, ask it each time, and print the answers.

    Returns:
        The largest resident memory (MiB), and the shortest time from `docker run` until it was ready (s).

    Raises:
        ContainerError: it did not become ready.
        httpx.HTTPError: it did not answer with 200.
    """
    resident, seconds = 0.0, []
    for _ in range(STARTS):
        with running(image) as container, httpx.Client(base_url=container.url, trust_env=False) as http:
            answers = [http.get("/health"), http.post("/predict", json=USAGE)]
            for answer in answers:
                answer.raise_for_status()
            resident = max(resident, resident_mib(container.id))
            seconds.append(container.ready_seconds)
    starts = ", ".join(f"{each:.1f}" for each in seconds)
    print(f"ready {starts} s after docker run, {resident:.0f} MiB resident")
    for answer in answers:
        print(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return resident, min(seconds)


def contents(image: str, base: str = BASE) -> list[tuple[float, str, str]]:
    """List what the image adds to its base, the largest first: millions of bytes, name and purpose.

    Packages of less than `_MIN_MB_SHOWN` are added up.
    """
    listed = docker(
        "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c",
        f"du --apparent-size --block-size=1 --summarize {_SITE_PACKAGES}/* /home/bentoml/bento",
    )  # fmt: skip
    sizes = {Path(path).name: int(size) / 1e6 for size, path in (line.split("\t") for line in listed.splitlines())}
    bento = sizes.pop("bento")
    rows = [(size, name, PURPOSES.get(name, "?")) for name, size in sizes.items() if size >= _MIN_MB_SHOWN]
    rest = sum(sizes.values()) - sum(size for size, *_ in rows)
    hidden = size_mb(image) - size_mb(base) - sum(sizes.values()) - bento
    rows += [
        (rest, f"{len(sizes) - len(rows)} more", "what those and BentoML import"),
        (bento, "the Bento", "service, model, lock"),
        (hidden, "lower layers", "uv, which installed the packages, and their tests: removed, but still downloaded"),
    ]
    return sorted(rows, reverse=True)


def resident_mib(container: str) -> float:
    """Memory that all processes of a container hold, in MiB; pages that they share count once."""
    shown = docker("exec", container, "sh", "-c", "cat /proc/[0-9]*/smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in shown if line.startswith("Pss:")) / 1024
