"""What the image is made of: its bill of materials, and what is known against it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from plan_recommender.data.outputs import replacing
from tools.server import ROOT

LOCK: Final = ROOT / "requirements" / "serving.txt"
OUTPUTS: Final = ROOT / "dist"
BILL: Final = "sbom.cdx.json"
AUDIT: Final = "audit.json"
SPECIFICATION: Final = "1.6"


class SupplyError(Exception):
    """A tool failed; the message says which, and what it said."""


@dataclass(frozen=True)
class Audit:
    """What pip-audit found."""

    packages: int
    not_audited: list[str]
    """Packages of which the database of advisories said nothing: it could not be reached, or does not know them."""
    vulnerable: list[str]
    """One sentence for each vulnerability: package, version, advisory, and the version that mends it."""

    def __str__(self) -> str:
        """One line for a terminal."""
        if self.vulnerable:
            return f"{len(self.vulnerable)} known vulnerabilities: {'; '.join(self.vulnerable)}"
        if self.not_audited:
            return (
                f"NOT AUDITED: of {len(self.not_audited)} of {self.packages} packages no advisories could be had; "
                "run this where the package index answers"
            )
        return f"no known vulnerabilities in {self.packages} packages"


def write_bill(folder: Path = OUTPUTS) -> Path:
    """Write the lock as a CycloneDX document.

    Raises:
        SupplyError: the tool failed.
    """
    options = ("--output-format", "JSON", "--spec-version", SPECIFICATION, "--output-reproducible")
    bill = _run("cyclonedx-py", "requirements", LOCK, *options)
    with replacing(folder / BILL) as file:
        file.write(bill)
    return folder / BILL


def audit(folder: Path = OUTPUTS) -> Audit:
    """Ask the package index for advisories of what is locked, and write the answer.

    Raises:
        SupplyError: the tool failed.
    """
    options = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off")
    found = _run("pip-audit", *options, "--requirement", LOCK, finds=1)
    with replacing(folder / AUDIT) as file:
        file.write(found)
    return read(json.loads(found))


def read(document: dict[str, Any]) -> Audit:
    """Read what pip-audit wrote; that it could not ask about a package is no "nothing found"."""
    packages = document["dependencies"]
    return Audit(
        packages=len(packages),
        not_audited=[package["name"] for package in packages if "skip_reason" in package],
        vulnerable=[
            f"{package['name']} {package['version']}: {found['id']}, "
            f"mended in {', '.join(found['fix_versions']) or 'no version'}"
            for package in packages
            for found in package.get("vulns", [])
        ],
    )


def _run(program: str, *arguments: str | Path, finds: int = 0) -> str:
    command = [Path(sys.executable).with_name(program), *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, finds):
        raise SupplyError(f"{program} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout
