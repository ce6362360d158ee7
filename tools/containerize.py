"""`make containerize`: an image of the registered model, built, looked into, started and asked.

python -m tools.containerize [OPTION ...]     options of `bentoml containerize`, such as --opt network=host
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from plan_recommender.errors import PlanRecommenderError
from plan_recommender.serving.image import BASE
from tools.container import HARDENED, NAME, ContainerError, client, containerize, docker, running, size_mb
from tools.server import ROOT
from tools.supply import SupplyError, audit, write_bill

MAX_MB_OVER_BASE: Final = 350
"""How much larger than its base the image may be."""

MAX_READY_SECONDS: Final = 3.0
"""How long it may take from `docker run` to ready, on a machine that does nothing else."""

MAX_RESIDENT_MIB: Final = 250
"""How much memory it may hold."""

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
}
"""What the large Python packages in the image are for."""

_SITE_PACKAGES = "/app/.venv/lib/python3.11/site-packages"
_WORTH_A_LINE_MB = 2.0


def main(options: Sequence[str] | None = None) -> int:
    """Build the Bento and its image; returns 1 when it misses a goal, 2 when it could not be built."""
    try:
        print("== build the Bento and its image", flush=True)
        image = containerize(build(), sys.argv[1:] if options is None else options)
        over = size_mb(image) - size_mb(BASE)
        print(f"{image}: {size_mb(image):,.0f} MB, {over:,.0f} MB over {BASE}")
        print("\n== what is in it, by size")
        for megabytes, piece, purpose in contents(image):
            print(f"{megabytes:6.1f} MB  {piece:<20} {purpose}")
        print("\n== what it is made of", flush=True)
        bill, audited = write_bill(), audit()
        print(f"bill of materials: {bill.relative_to(ROOT)}\nadvisories: {audited}")
        print("\n== start it, and ask", flush=True)
        resident, ready = try_out(image)
        docker("tag", image, f"{NAME}:latest")
    except (ContainerError, SupplyError, PlanRecommenderError, httpx.HTTPError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\nstopped, and tagged {NAME}:latest. To run it:\n")
    print(f"docker run --rm --publish 127.0.0.1:3000:3000 {' '.join(HARDENED)} {image}")
    goals = {
        f"at most {MAX_MB_OVER_BASE} MB over {BASE}": over <= MAX_MB_OVER_BASE,
        f"at most {MAX_RESIDENT_MIB} MiB resident": resident <= MAX_RESIDENT_MIB,
        "no known vulnerabilities": not audited.vulnerable,
    }
    if ready > MAX_READY_SECONDS:  # a busy machine may be why, so it is no failure
        print(f"warning: expected it to be ready within {MAX_READY_SECONDS:g} s, found {ready:.1f} s", file=sys.stderr)
    missed = [goal for goal, reached in goals.items() if not reached]
    if missed:
        print(f"error: the image misses its goals: {'; '.join(missed)}", file=sys.stderr)
    return int(bool(missed))


def build() -> str:
    """Run `bentoml build`, for an image; returns the tag of the Bento.

    Raises:
        ContainerError: it failed.
    """
    client()  # without an engine there is no use in a Bento
    bentoml = Path(sys.executable).with_name("bentoml")
    built = subprocess.run([bentoml, "build", "--output", "tag"], cwd=ROOT, capture_output=True, text=True, check=False)
    if built.returncode:
        raise ContainerError(f"bentoml build ended with {built.returncode}: {built.stderr.strip()}")
    return built.stdout.strip().removeprefix("__tag__:")


def try_out(image: str) -> tuple[float, float]:
    """Start it some times, and ask; returns MiB resident, and the shortest seconds from `docker run` to ready.

    Raises:
        ContainerError: it did not start.
        httpx.HTTPError: it did not answer.
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


def contents(image: str) -> list[tuple[float, str, str]]:
    """List what lies over the base: megabytes, piece and purpose, the largest first, small ones together."""
    listed = docker(
        "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c",
        f"du --apparent-size --block-size=1 --summarize {_SITE_PACKAGES}/* /home/bentoml/bento",
    )  # fmt: skip
    sizes = {Path(path).name: int(size) / 1e6 for size, path in (line.split("\t") for line in listed.splitlines())}
    bento = sizes.pop("bento")
    rows = [(size, name, PURPOSES.get(name, "?")) for name, size in sizes.items() if size >= _WORTH_A_LINE_MB]
    rest = sum(sizes.values()) - sum(size for size, *_ in rows)
    hidden = size_mb(image) - size_mb(BASE) - sum(sizes.values()) - bento
    rows += [
        (rest, f"{len(sizes) - len(rows)} more", "what those and BentoML import"),
        (bento, "the Bento", "service, model, lock"),
        (hidden, "lower layers", "uv, which installed the packages, and their tests: removed, but still downloaded"),
    ]
    return sorted(rows, reverse=True)


def resident_mib(container: str) -> float:
    """Memory that all processes of a container hold, shared pages once, in MiB."""
    shown = docker("exec", container, "sh", "-c", "cat /proc/[0-9]*/smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in shown if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    sys.exit(main())
