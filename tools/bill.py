"""The bill of materials of an image, as CycloneDX: its Debian and Python packages, its model, its base and its digest.

debsbom reads the list of Debian packages, cyclonedx-py the lock of the Python packages, and cyclonedx-python-lib puts
them together and checks the result against the schema of CycloneDX. Only what is in the image is named.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast
from uuid import NAMESPACE_URL, uuid5

import yaml
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from plan_recommender.data.outputs import replacing
from plan_recommender.model.record import MODEL_NAME
from tools import image_contents
from tools.base_image import DIGEST_LABEL, NAME_LABEL
from tools.container import docker
from tools.server import ROOT

LOCK: Final = ROOT / "requirements" / "serving.txt"
OUTPUTS: Final = ROOT / "dist"
BILL: Final = "sbom.cdx.json"
VERSION: Final = SchemaVersion.V1_6

OF_DEBIAN: Final = "/usr/lib/python3/dist-packages"
"""Where Debian's packages put Python packages, which Debian repairs without a new version."""

_SPECIFICATION = VERSION.to_version()


class SupplyError(Exception):
    """A tool failed; the message holds its name and what it printed to stderr."""


@dataclass(frozen=True)
class Contents:
    """What the image holds, as the image itself says it."""

    image: dict[str, Any]
    """What `docker image inspect` says."""
    packages: dict[str, str]
    """Version by name of the Python packages in the virtual environment, names as indexes compare them (PEP 503)."""
    packages_of_base: dict[str, str]
    """The same for the base image's Python, without those that belong to a Debian package."""
    files: dict[str, str]
    """SHA-256 by path of the files of the Bento, the model's among them."""
    dpkg_status: str
    os_release: dict[str, str]
    bento: dict[str, Any]


def write_bill(contents: Contents, folder: Path = OUTPUTS) -> Path:
    """Write the bill of materials of an image into `folder`; returns its path.

    Raises:
        SupplyError: a tool failed, or the image holds what cannot be described.
    """
    text = bill_of(contents)
    with replacing(folder / BILL) as file:
        file.write(text)
    return folder / BILL


def look_into(image: str) -> Contents:
    """Ask an image what it holds; runs a container of it, without a network, until it has answered.

    Raises:
        ContainerError: there is no such image, or it could not be run.
        SupplyError: its answer is not that of an image of the service.
    """
    program = Path(image_contents.__file__).read_text()
    inspected = json.loads(docker("image", "inspect", image))[0]
    hardened = ("--rm", "--network", "none", "--read-only", "--entrypoint", "python")
    try:
        found = json.loads(docker("run", *hardened, inspected["Id"], "-I", "-c", program))
    except ValueError as error:
        raise SupplyError(f"{image}: expected the contents of the image, found: {error}") from error
    lines = [line.partition("=") for line in found["os_release"].splitlines() if "=" in line]
    return Contents(
        image=inspected,
        packages={normal(name): version for name, version, _ in found["packages"]},
        packages_of_base={
            normal(name): version for name, version, place in found["packages_of_base"] if place != OF_DEBIAN
        },
        files=found["files"],
        dpkg_status=found["dpkg_status"],
        os_release={name: value.strip('"') for name, _, value in lines},
        bento=yaml.safe_load(found["bento"]),
    )


def bill_of(contents: Contents) -> str:
    """Describe an image; the same image gives the same text.

    Raises:
        SupplyError: a tool failed, or what it gave is not valid.
    """
    image = contents.image
    debian, python = debian_bill(contents), _python_bill()
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, image["Id"]))
    bom.metadata.timestamp = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", image["Created"]))
    for part in (debian, python):
        bom.metadata.tools.components.update(part.metadata.tools.components)
    system = cast(Component, debian.metadata.component)  # debsbom names the distribution here
    base, bento, model = _python_packages(contents.packages_of_base), _bento(contents), _model(contents)
    installed = [*_of_lock(python, contents.packages)]
    subject = bom.metadata.component = _subject(image)
    bom.components.update([system, *debian.components, *base, *installed, bento, model])
    bom.dependencies.update(debian.dependencies)
    bom.register_dependency(subject, [system, *base, bento])
    bom.register_dependency(bento, [model, *installed])
    # It reads a grammar for a second and a half, for which those who only build an image need not wait.
    from cyclonedx.validation.json import JsonStrictValidator

    text = make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=2)
    wrong = JsonStrictValidator(VERSION).validate_str(text)
    if wrong is not None:
        raise SupplyError(f"expected a bill that is valid CycloneDX {_SPECIFICATION}, found: {wrong}")
    return text + "\n"


def debian_bill(contents: Contents) -> Bom:
    """Describe the Debian packages of an image, each with the source package that it was built from.

    Raises:
        SupplyError: debsbom failed, for example because the image is not Debian's.
    """
    version = contents.os_release.get("VERSION_ID", "")
    with tempfile.TemporaryDirectory() as folder:
        status = Path(folder, "var/lib/dpkg/status")
        status.parent.mkdir(parents=True)
        status.write_text(contents.dpkg_status)
        options = ("--sbom-type", "cdx", "--cdx-schema-version", _SPECIFICATION, "--out", Path(folder, "debian"))
        distribution = ("--distro-name", "debian", *(("--distro-version", version) if version else ()))
        run_tool("debsbom", "generate", "--root", folder, *distribution, *options)
        return _read(Path(folder, "debian.cdx.json").read_text())


def normal(name: str) -> str:
    """Give a Python package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run_tool(program: str, *arguments: str | Path, finds: int = 0) -> str:
    """Run a tool of the project's environment; returns what it printed.

    Args:
        program: its name.
        arguments: of the tool.
        finds: the exit code, beside 0, with which it says that it found something.

    Raises:
        SupplyError: it ended otherwise.
    """
    command = [Path(sys.executable).with_name(program), *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, finds):
        raise SupplyError(f"{program} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout


def _python_bill() -> Bom:
    form = ("--output-format", "JSON", "--spec-version", _SPECIFICATION, "--output-reproducible")
    # The whole bill is validated, and to validate this part of it takes three seconds.
    return _read(run_tool("cyclonedx-py", "requirements", LOCK, *form, "--no-validate"))


def _read(text: str) -> Bom:
    return cast(Bom, Bom.from_json(json.loads(text)))  # type: ignore[attr-defined]  # a decorator adds it


def _of_lock(locked: Bom, installed: dict[str, str]) -> Iterable[Component]:
    """Give the lock's description, with the hashes of the distributions, of each package that is installed."""
    described = {(normal(component.name), component.version): component for component in locked.components}
    for name, version in sorted(installed.items()):
        if (name, version) not in described:
            raise SupplyError(f"expected that the lock {LOCK.name} names what is installed, found {name} {version}")
        yield described[name, version]


def _python_packages(installed: dict[str, str]) -> list[Component]:
    return [
        Component(name=name, version=version, purl=purl, bom_ref=f"base:{purl}")
        for name, version in sorted(installed.items())
        for purl in [PackageURL("pypi", name=name, version=version)]
    ]


def _bento(contents: Contents) -> Component:
    name, version = contents.bento["name"], contents.bento["version"]
    return Component(type=ComponentType.APPLICATION, name=name, version=version, bom_ref=f"bento:{name}:{version}")


def _model(contents: Contents) -> Component:
    """Describe the model, with each of its files that the image holds."""
    folder = f"/models/{MODEL_NAME}/"
    files = {path: digest for path, digest in contents.files.items() if folder in path and path.count("/") > 6}
    versions = {path.partition(folder)[2].partition("/")[0] for path in files}
    if len(versions) != 1:
        raise SupplyError(f"expected one model in the image, found {len(versions)}")
    (version,) = versions
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=MODEL_NAME,
        version=version,
        bom_ref=f"model:{MODEL_NAME}:{version}",
        components=[
            Component(type=ComponentType.FILE, name=path, hashes=[_sha256(digest)], bom_ref=f"file:{path}")
            for path, digest in files.items()
        ],
    )


def _subject(image: dict[str, Any]) -> Component:
    """Describe the image itself: its digest, where it was pushed that in the registry, and what it is made from."""
    tags: list[str] = image["RepoTags"] or [image["Id"]]
    name, _, version = tags[0].rpartition(":")
    labels = image["Config"].get("Labels") or {}
    base_name, base_digest = labels.get(NAME_LABEL), labels.get(DIGEST_LABEL)
    base = Component(
        type=ComponentType.CONTAINER,
        name=base_name or "unknown",
        bom_ref=f"base-image:{base_digest or base_name}",
        hashes=[_sha256(base_digest)] if base_digest else [],
    )
    pushed = sorted(image["RepoDigests"] or [])
    properties = [Property(name="docker:image:id", value=image["Id"])]
    properties += [Property(name="docker:image:repo_digest", value=each) for each in pushed]
    return Component(
        type=ComponentType.CONTAINER,
        name=name,
        version=version,
        bom_ref=f"image:{image['Id']}",
        hashes=[_sha256(image["Id"])],
        purl=_purl(pushed[0]) if pushed else None,
        properties=properties,
        pedigree=Pedigree(ancestors=[base]),
    )


def _purl(pushed: str) -> PackageURL:
    repository, _, digest = pushed.partition("@")
    qualifiers = {"repository_url": repository}
    return PackageURL("oci", name=repository.rpartition("/")[2], version=digest, qualifiers=qualifiers)


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))
