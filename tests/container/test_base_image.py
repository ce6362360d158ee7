"""The base of the image is pinned by the digest that a registry has for it, and said not to be where there is none."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from shutil import which

import httpx
import pytest

from plan_recommender.serving.image import BASE
from tests.conftest import engine_client, leave_out
from tools.base_image import DIGEST_LABEL, NAME_LABEL, look_up
from tools.bill import bill_of, look_into
from tools.container import ContainerError, containerize, docker
from tools.containerize import build
from tools.server import free_port

pytestmark = pytest.mark.slow

MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on the loopback interface that has the base of the image; gives its host and port."""
    engine_client()
    program = which("docker-registry")
    if program is None:
        leave_out("the base image is not looked up in a registry: found no program docker-registry")
    place, port = tmp_path_factory.mktemp("registry"), free_port()
    host = f"127.0.0.1:{port}"
    (place / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {place}/data}}}}\nhttp: {{addr: '{host}'}}\n"
    )
    with subprocess.Popen(
        [program, "serve", str(place / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        try:
            _wait_for(host)
            docker("tag", BASE, f"{host}/{BASE}")
            docker("push", f"{host}/{BASE}")
            yield host
        finally:
            running.terminate()
            docker("image", "rm", f"{host}/{BASE}")


def _wait_for(host: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://{host}/v2/", trust_env=False).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the registry did not start")


def digest_in(registry: str, image: str) -> str:
    """The digest under which the registry itself says that it has an image."""
    name, _, tag = image.partition(":")
    url = f"http://{registry}/v2/{name}/manifests/{tag}"
    return httpx.head(url, headers={"Accept": MANIFESTS}, trust_env=False).headers["Docker-Content-Digest"]


def test_the_digest_is_that_of_the_registry(registry: str) -> None:
    base = look_up(f"{registry}/{BASE}")
    assert base.digest == digest_in(registry, BASE)
    assert base.reference == f"{registry}/{BASE}@{base.digest}" == str(base)
    assert look_up(base.reference) == base


def test_where_no_registry_answers_it_is_said_not_to_be_pinned() -> None:
    engine_client()
    base = look_up(f"127.0.0.1:9/{BASE}")
    assert (base.digest, base.reference) == (None, f"127.0.0.1:9/{BASE}")
    assert str(base).startswith(f"127.0.0.1:9/{BASE}, NOT PINNED by digest: ")
    assert DIGEST_LABEL not in str(base.labels)


def test_a_digest_that_the_registry_does_not_have_is_an_error(registry: str) -> None:
    with pytest.raises(ContainerError, match="docker pull"):
        look_up(f"{registry}/{BASE}@sha256:{'0' * 64}")


def test_the_image_is_made_from_that_digest_and_says_so(
    registry: str, trained_tag: str, addresses_parsed_once: None
) -> None:
    base = look_up(f"{registry}/{BASE}")
    assert base.digest is not None
    image = containerize(build(base.reference), base.labels)
    pushed = f"{registry}/supply-test:{os.getpid()}"
    try:
        labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
        assert (labels[NAME_LABEL], labels[DIGEST_LABEL]) == (base.name, base.digest)
        layers = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
        of_base = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", BASE))
        assert layers[: len(of_base)] == of_base
        docker("tag", image, pushed)
        docker("push", pushed)
        subject = json.loads(bill_of(look_into(image)))["metadata"]["component"]
    finally:
        docker("image", "rm", "--force", image, pushed)
    (ancestor,) = subject["pedigree"]["ancestors"]
    assert ancestor["name"] == base.name
    assert ancestor["hashes"] == [{"alg": "SHA-256", "content": base.digest.removeprefix("sha256:")}]
    repository, _, tag = pushed.rpartition(":")
    in_registry = digest_in(registry, f"supply-test:{tag}")
    assert {"name": "docker:image:repo_digest", "value": f"{repository}@{in_registry}"} in subject["properties"]
    assert in_registry.replace(":", "%3A") in subject["purl"] or in_registry in subject["purl"]
