"""The supply chain of an image: write its bill of materials, and ask for the known vulnerabilities of its packages.

usage: python -m tools.supply [--offline] IMAGE
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.supply")

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat

from plan_recommender.data.outputs import replacing
from tools.bill import OUTPUTS, VERSION, Contents, SupplyError, debian_bill, look_into, run_tool, write_bill
from tools.container import ContainerError
from tools.server import ROOT

AUDIT: Final = "audit.json"
VULNERABLE: Final = 1
"""The exit code for a vulnerability that has a repair."""

NOT_KNOWN: Final = 2
"""The exit code for packages that were not audited."""

TRACKER: Final = "https://security-tracker.debian.org/tracker"
OFFLINE_HELP: Final = (
    "go on where the databases of advisories cannot be reached, without knowing whether packages are vulnerable; "
    "otherwise that ends with exit code 2"
)


@dataclass(frozen=True)
class Audit:
    """What is known of the vulnerabilities of packages of one kind."""

    kind: str
    packages: int
    not_audited: list[str]
    """Packages about which nothing is known: the database of advisories could not be reached, or lacks them."""
    vulnerable: list[str]
    """One sentence for each vulnerability that a newer version repairs: package, version, advisory, that version."""
    unrepaired: int = 0
    """How many more are known that no newer version of the distribution repairs."""

    def __str__(self) -> str:
        """Describe the result in one line; packages that were not audited are never called free of vulnerabilities."""
        if self.vulnerable:
            text = f"{len(self.vulnerable)} known vulnerabilities: {'; '.join(self.vulnerable)}"
        elif self.not_audited:
            text = ""
        elif self.unrepaired:
            text = f"no vulnerabilities in {self.packages} packages that a newer version repairs"
        else:
            text = f"no known vulnerabilities in {self.packages} packages"
        unrepaired = f"{self.unrepaired} that Debian has not repaired" if self.unrepaired else ""
        missing = (
            f"NOT AUDITED: of {len(self.not_audited)} of {self.packages} packages no advisories could be had; "
            "run this where the databases of advisories answer"
            if self.not_audited
            else ""
        )
        return f"{self.kind}: " + "; ".join(part for part in (text, unrepaired, missing) if part)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bill of an image and audit it; returns 0, 1 if it is vulnerable, or 2 if that could not be told."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.supply",
        description="Write the bill of materials of an image of the service, and ask for the known vulnerabilities of "
        "its packages.",
        epilog="Exit code 0: no known vulnerability has a repair; 1: one has; 2: it could not be told.",
    )
    parser.add_argument("--offline", action="store_true", help=OFFLINE_HELP)
    parser.add_argument("image", metavar="IMAGE", help="its name")
    chosen = parser.parse_args(arguments)
    try:
        return report(chosen.image, offline=chosen.offline)
    except (ContainerError, SupplyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def report(image: str, *, offline: bool) -> int:
    """Write the bill and the audit of an image into `OUTPUTS`, print what was found, and return the exit code.

    Raises:
        ContainerError: there is no such image, or it could not be run.
        SupplyError: a tool failed.
    """
    contents = look_into(image)
    print(f"bill of materials: {write_bill(contents).relative_to(ROOT)}")
    audits = audit(contents)
    for each in audits:
        print(f"advisories, {each}")
    return verdict(audits, offline=offline)


def verdict(audits: Sequence[Audit], *, offline: bool) -> int:
    """Say on stderr what is wrong; returns 0, 1 if a package is vulnerable, or 2 if that is not known and must be."""
    if any(each.vulnerable for each in audits):
        print("error: expected no known vulnerabilities with a repair, found those above", file=sys.stderr)
        return VULNERABLE
    if any(each.not_audited for each in audits):
        if offline:
            print("warning: not audited, as --offline allows: nothing is known of vulnerabilities", file=sys.stderr)
            return 0
        print(
            "error: expected advisories about every package, found packages that were NOT AUDITED; run this where the "
            "databases of advisories answer, or accept not to know with --offline (make: OFFLINE=1)",
            file=sys.stderr,
        )
        return NOT_KNOWN
    return 0


def audit(contents: Contents, folder: Path = OUTPUTS, tracker: str = TRACKER) -> list[Audit]:
    """Ask for advisories about the packages of an image, and write the answers into `folder`.

    Args:
        contents: of the image.
        folder: gets the answers.
        tracker: where the security tracker of Debian is.

    Raises:
        SupplyError: pip-audit failed.
    """
    python = contents.packages_of_base | contents.packages
    asked = _ask_about_python(python)
    debian = _ask_about_debian(contents, tracker)
    with replacing(folder / AUDIT) as file:
        file.write(json.dumps({"python": asked, "debian": debian}, indent=2) + "\n")
    return [read_python(asked), read_debian(debian)]


def read_python(document: dict[str, Any]) -> Audit:
    """Read the JSON that pip-audit wrote; a package that it skipped counts as not audited."""
    packages = document["dependencies"]
    return Audit(
        kind="Python packages",
        packages=len(packages),
        not_audited=[package["name"] for package in packages if "skip_reason" in package],
        vulnerable=[
            f"{package['name']} {package['version']}: {found['id']}, "
            f"fixed in {', '.join(found['fix_versions']) or 'no version'}"
            for package in packages
            for found in package.get("vulns", [])
        ],
    )


def read_debian(document: dict[str, Any]) -> Audit:
    """Read what debsbom found in the tracker; only what Debian has repaired in this release asks for a new image."""
    found = document["found"]
    repaired = [each for each in found if each["vulnerability"]["status"] == "resolved"]
    return Audit(
        kind="Debian packages",
        packages=len(document["packages"]),
        not_audited=document["packages"] if document["error"] else [],
        vulnerable=[
            f"{each['package']}: {each['vulnerability']['id']}, fixed in {each['vulnerability']['fixed-in']}"
            for each in repaired
        ],
        unrepaired=len(found) - len(repaired),
    )


def _ask_about_python(packages: dict[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "installed.txt")
        pinned.write_text("".join(f"{name}=={version}\n" for name, version in sorted(packages.items())))
        options = ("--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off")
        document: dict[str, Any] = json.loads(run_tool("pip-audit", *options, "--requirement", pinned, finds=1))
    return document


def _ask_about_debian(contents: Contents, tracker: str) -> dict[str, Any]:
    """Ask about the source packages, which is how the tracker counts them; an error means that nothing is known."""
    bill = debian_bill(contents)
    sources = [
        f"{each.name} {each.version}"
        for each in bill.components
        if each.purl and each.purl.qualifiers.get("arch") == "source"
    ]
    release = contents.os_release.get("VERSION_CODENAME", "")
    answer: dict[str, Any] = {"release": release, "packages": sources, "found": [], "error": ""}
    with tempfile.TemporaryDirectory() as folder:
        named, database = Path(folder, "debian.cdx.json"), Path(folder, "tracker.json")
        named.write_text(make_outputter(bill, OutputFormat.JSON, VERSION).output_as_string())
        options = ("--sbom-type", "cdx", "--tracker", tracker, "--db", database, "--update-db", "--distro", release)
        try:
            found = run_tool("debsbom", "sec-scan", *options, "--format", "json", named)
        except SupplyError as error:
            return answer | {"error": str(error)}
        known = {
            each
            for package in json.loads(database.read_text()).values()
            for cve in package.values()
            for each in cve["releases"]
        }
    if release not in known:
        return answer | {"error": f"the tracker knows nothing of the release {release!r}"}
    return answer | {"found": [json.loads(line) for line in found.splitlines()]}
