"""What the image is made of: the bill of materials names it, and an audit that could not ask is not a clean one."""

import json
import re
from pathlib import Path

import pytest

from tools.container import docker
from tools.server import ROOT
from tools.supply import AUDIT, LOCK, SPECIFICATION, audit, read, write_bill

pytestmark = pytest.mark.slow

INSTALLED = (ROOT / "tests/programs/installed.py").read_text()


def normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_bill_names_what_is_installed_in_the_image(image: str, tmp_path: Path) -> None:
    bill = json.loads(write_bill(tmp_path).read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", SPECIFICATION)
    named = {(normal(component["name"]), component["version"]) for component in bill["components"]}
    command = ["run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", INSTALLED]
    installed = {(normal(name), version) for name, version in json.loads(docker(*command)).items()}
    lock = LOCK.read_text()
    for_all = {(normal(name), version) for name, version in re.findall(r"^([\w.-]+)==(\S+) \\$", lock, re.MULTILINE)}
    assert for_all <= installed <= named
    assert all(component["externalReferences"][0]["hashes"] for component in bill["components"])


def test_the_bill_is_the_same_for_the_same_lock(tmp_path: Path) -> None:
    first = write_bill(tmp_path / "first").read_bytes()
    assert write_bill(tmp_path / "second").read_bytes() == first


def test_every_locked_package_is_audited_or_said_not_to_be(tmp_path: Path) -> None:
    found = audit(tmp_path)
    for_all = re.findall(r"^([\w.-]+)==\S+ \\$", LOCK.read_text(), re.MULTILINE)
    document = json.loads((tmp_path / AUDIT).read_text())
    assert set(map(normal, for_all)) <= {normal(package["name"]) for package in document["dependencies"]}
    assert found.packages == len(document["dependencies"])
    assert not found.vulnerable
    assert ("NOT AUDITED" in str(found)) == bool(found.not_audited)


@pytest.mark.parametrize(
    ("dependencies", "sentence"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], "no known vulnerabilities in 1 packages"),
        (
            [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}],
            "NOT AUDITED: of 1 of 2 packages no advisories could be had",
        ),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2", "1.1"]}]}],
            "1 known vulnerabilities: a 1: PYSEC-1, fixed in 2, 1.1",
        ),
    ],
)
def test_an_audit_says_what_it_found(dependencies: list[dict[str, object]], sentence: str) -> None:
    assert str(read({"dependencies": dependencies, "fixes": []})).startswith(sentence)
