"""The supply chain of the image: its bill of materials, and the known vulnerabilities of its packages."""

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
    """A tool failed; the message holds its name and what it printed to stderr."""


@dataclass(frozen=True)
class Audit:
    """The result of pip-audit for the locked packages of the service."""

    packages: int
    not_audited: list[str]
    """Packages about which nothing is known: the database of advisories could not be reached, or lacks them."""
    vulnerable: list[str]
    """One sentence for each vulnerability: package, version, advisory, and the versions that fix it."""

    def __str__(self) -> str:
        """Describe the result in one line; packages that were not audited are never called free of vulnerabilities."""
        if self.vulnerable:
            return f"{len(self.vulnerable)} known vulnerabilities: {'; '.join(self.vulnerable)}"
        if self.not_audited:
            return (
                f"NOT AUDITED: of {len(self.not_audited)} of {self.packages} packages no advisories could be had; "
                "run this where the package index answers"
            )
        return f"no known vulnerabilities in {self.packages} packages"


def write_bill(folder: Path = OUTPUTS) -> Path:
    """Write the locked packages as a CycloneDX document into `folder`; returns its path.

    Raises:
        SupplyError: cyclonedx-py failed.
    """
    options = ("--output-format", "JSON", "--spec-version", SPECIFICATION, "--output-reproducible")
    bill = _run("cyclonedx-py", "requirements", LOCK, *options)
    with replacing(folder / BILL) as file:
        file.write(bill)
    return folder / BILL


def audit(folder: Path = OUTPUTS) -> Audit:
    """Ask the package index for advisories about the locked packages, and write the answer into `folder`.

    Raises:
        SupplyError: pip-audit failed.
    """
    options = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off")
    found = _run("pip-audit", *options, "--requirement", LOCK, finds=1)
    with replacing(folder / AUDIT) as file:
        file.write(found)
    return read(json.loads(found))


def read(document: dict[str, Any]) -> Audit:
    """Read the JSON that pip-audit wrote; a package that it skipped counts as not audited."""
    packages = document["dependencies"]
    return Audit(
        packages=len(packages),
        not_audited=[package["name"] for package in packages if "skip_reason" in package],
        vulnerable=[
            f"{package['name']} {package['version']}: {found['id']}, "
            f"fixed in {', '.join(found['fix_versions']) or 'no version'}"
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
