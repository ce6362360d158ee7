"""What the image is made of: the bill names what is in it and no more, and what was not audited is not called clean."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from plan_recommender.model import store
from plan_recommender.model.record import NOT_SERVED
from tools import containerize, supply
from tools.bill import Contents, SupplyError, bill_of, debian_bill, look_into, normal, write_bill
from tools.container import ContainerError, docker
from tools.server import ROOT
from tools.supply import AUDIT, Audit, audit, read_debian, read_python, verdict

pytestmark = pytest.mark.slow

INSTALLED = (ROOT / "tests/programs/installed.py").read_text()
CLEAN = Audit("packages", 1, [], [])
UNKNOWN = Audit("packages", 1, ["a"], [])
VULNERABLE = Audit("packages", 1, [], ["a 1: CVE-1, fixed in 2"])


@pytest.fixture(scope="module", autouse=True)
def remembered(addresses_parsed_once: None) -> Iterator[None]:
    """Ask the tools about the Python packages, and for Debian's bill, only once."""
    answers: dict[str, Any] = {}

    def once(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def answer(about: Any) -> Any:
            key = f"{ask.__name__} {about}"
            if key not in answers:
                answers[key] = ask(about)
            return copy.deepcopy(answers[key])

        return answer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(supply, "_ask_about_python", once(supply._ask_about_python))
        patched.setattr("tools.supply.debian_bill", once(debian_bill))
        yield


@pytest.fixture(scope="module")
def contents(image: str) -> Contents:
    return look_into(image)


@pytest.fixture(scope="module")
def bill(contents: Contents) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(bill_of(contents))
    return document


def of(bill: dict[str, Any], beginning: str) -> list[dict[str, Any]]:
    """The components whose package URL begins so."""
    return [component for component in bill["components"] if component.get("purl", "").startswith(beginning)]


def answer(image: str, *command: str) -> str:
    return docker("run", "--rm", "--network", "none", "--entrypoint", command[0], image, *command[1:])


def test_the_subject_is_the_image_by_its_digest(image: str, bill: dict[str, Any]) -> None:
    subject = bill["metadata"]["component"]
    digest = docker("image", "inspect", "--format", "{{.Id}}", image).strip()
    assert (subject["type"], f"{subject['name']}:{subject['version']}") == ("container", image)
    assert subject["hashes"] == [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]


def test_it_names_every_debian_package_in_its_version(image: str, bill: dict[str, Any]) -> None:
    listed = answer(image, "dpkg-query", "--show", "--showformat", "${Package} ${Version}\n").splitlines()
    named = [each for each in of(bill, "pkg:deb/debian/") if "arch=source" not in each["purl"]]
    assert sorted(f"{each['name']} {each['version']}" for each in named) == sorted(listed)
    assert len(listed) > 50


def test_it_names_every_python_package_in_its_version_and_no_other(image: str, bill: dict[str, Any]) -> None:
    serving = json.loads(answer(image, "python", "-c", INSTALLED))
    named = {
        (normal(each["name"]), each["version"]): each
        for each in of(bill, "pkg:pypi/")
        if not each["bom-ref"].startswith("base:")
    }
    assert set(named) == {(normal(name), version) for name, version in serving.items()}
    assert all(each["externalReferences"][0]["hashes"] for each in named.values())
    assert "uv" not in {each["name"] for each in of(bill, "pkg:pypi/")}, "it is gone from the image"


def test_it_names_the_model_with_the_digest_of_every_file(trained_tag: str, bill: dict[str, Any]) -> None:
    (model,) = (each for each in bill["components"] if each["type"] == "machine-learning-model")
    assert f"{model['name']}:{model['version']}" == trained_tag
    files = {Path(each["name"]).name: each["hashes"][0]["content"] for each in model["components"]}
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in store.find().path.iterdir()}
    assert files == {name: digest for name, digest in there.items() if name not in NOT_SERVED}


def test_it_is_valid_and_all_that_it_refers_to_is_there(bill: dict[str, Any]) -> None:
    from cyclonedx.schema import SchemaVersion  # which takes more than a second
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    spoilt = json.dumps(bill | {"components": [{"type": "no such type", "name": "a"}]})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(spoilt) is not None, "the control"
    references = {each["bom-ref"] for each in [bill["metadata"]["component"], *bill["components"]]}
    for dependency in bill["dependencies"]:
        assert {dependency["ref"], *dependency.get("dependsOn", [])} <= references


def test_the_same_image_has_the_same_bill(image: str, bill: dict[str, Any], tmp_path: Path) -> None:
    assert json.loads(write_bill(look_into(image), tmp_path).read_text()) == bill


def test_a_package_that_no_lock_names_is_an_error(contents: Contents) -> None:
    with pytest.raises(SupplyError, match=r"the lock serving\.txt names what is installed, found crept-in 1\.0"):
        bill_of(Contents(**vars(contents) | {"packages": contents.packages | {"crept-in": "1.0"}}))


def test_every_package_is_audited_or_said_not_to_be(contents: Contents, tmp_path: Path) -> None:
    python, debian = audit(contents, tmp_path)
    document = json.loads((tmp_path / AUDIT).read_text())
    assert python.packages == len({**contents.packages_of_base, **contents.packages})
    assert debian.packages == len(document["debian"]["packages"]) > 50
    for each in (python, debian):
        assert ("NOT AUDITED" in str(each)) == bool(each.not_audited)
        assert not (each.not_audited and "no known" in str(each))


@contextmanager
def tracker(document: dict[str, Any]) -> Iterator[str]:
    """Serve a database in the form of Debian's security tracker."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/tracker/data/json" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/tracker"
        server.shutdown()


def cve(release: str, status: str, **more: str) -> dict[str, Any]:
    return {"releases": {release: {"status": status, "urgency": "not yet assigned", **more}}}


def test_debsbom_tells_what_debian_has_repaired_from_what_it_has_not(contents: Contents, tmp_path: Path) -> None:
    release = contents.os_release["VERSION_CODENAME"]
    found = {
        "CVE-2026-1": cve(release, "resolved", fixed_version="99:1"),
        "CVE-2026-2": cve(release, "open"),
        "CVE-2026-3": cve(release, "resolved", fixed_version="0:0.1"),
        "CVE-2026-4": cve("another-release", "open"),
    }
    with tracker({"dpkg": found}) as url:
        _, debian = audit(contents, tmp_path, url)
    assert not debian.not_audited
    (sentence,) = debian.vulnerable
    assert sentence.startswith("dpkg@")
    assert sentence.endswith(": CVE-2026-1, fixed in 99:1")
    assert debian.unrepaired == 1
    assert verdict([debian], offline=True) == 1


def test_a_tracker_that_does_not_know_the_release_audits_nothing(contents: Contents, tmp_path: Path) -> None:
    with tracker({"dpkg": {"CVE-2026-4": cve("another-release", "open")}}) as url:
        _, debian = audit(contents, tmp_path, url)
    assert len(debian.not_audited) == debian.packages
    with tracker({"dpkg": {"CVE-2026-4": cve(contents.os_release["VERSION_CODENAME"], "open")}}) as url:
        _, debian = audit(contents, tmp_path, url)
    assert (debian.not_audited, debian.unrepaired) == ([], 1), "the control"


def test_a_tracker_that_does_not_answer_audits_nothing(contents: Contents, tmp_path: Path) -> None:
    _, debian = audit(contents, tmp_path, "http://127.0.0.1:9/tracker")
    assert len(debian.not_audited) == debian.packages
    assert "NOT AUDITED" in str(debian)


@pytest.mark.parametrize(
    ("audits", "offline", "code", "word"),
    [
        ([CLEAN, CLEAN], False, 0, ""),
        ([CLEAN, UNKNOWN], False, 2, "NOT AUDITED; run this where the databases of advisories answer, or accept"),
        ([CLEAN, UNKNOWN], True, 0, "warning: not audited, as --offline allows: nothing is known of vulnerabilities"),
        ([VULNERABLE, UNKNOWN], False, 1, "error: expected no known vulnerabilities"),
        ([VULNERABLE, UNKNOWN], True, 1, "error: expected no known vulnerabilities"),
    ],
)
def test_what_is_not_known_fails_unless_that_is_accepted(
    audits: list[Audit], offline: bool, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdict(audits, offline=offline) == code
    said = capsys.readouterr().err
    assert word in said if word else not said


def test_make_containerize_fails_where_advisories_cannot_be_had_unless_it_may_be_offline(
    image: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The tools run as they do for a user, on an image that is built already; only the tracker does not answer.

    That the whole of `make containerize` goes on with OFFLINE=1 is in tests/docs/test_commands.py.
    """
    monkeypatch.setattr(supply, "audit", lambda contents: audit(contents, tmp_path, "http://127.0.0.1:9/tracker"))
    monkeypatch.setattr(containerize, "build", lambda base: image)
    monkeypatch.setattr(containerize, "containerize", lambda bento, options: bento)
    monkeypatch.setattr(containerize, "NAME", "supply-test")
    monkeypatch.setattr(containerize, "STARTS", 1)
    assert containerize.main([]) == supply.NOT_KNOWN
    said = capsys.readouterr()
    assert "NOT AUDITED" in said.out
    assert "or accept not to know with --offline (make: OFFLINE=1)" in said.err
    assert "supply-test:latest is what it was before" in said.out
    with pytest.raises(ContainerError):
        docker("image", "inspect", "supply-test:latest")
    assert supply.main(["--offline", image]) == 0
    said = capsys.readouterr()
    assert "NOT AUDITED" in said.out
    assert "warning: not audited, as --offline allows" in said.err
    assert supply.main(["supply-test-no-such-image"]) == 2


@pytest.mark.parametrize(
    ("dependencies", "sentence"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], "Python packages: no known vulnerabilities in 1 packages"),
        (
            [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}],
            "Python packages: NOT AUDITED: of 1 of 2 packages no advisories could be had",
        ),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2", "1.1"]}]}],
            "Python packages: 1 known vulnerabilities: a 1: PYSEC-1, fixed in 2, 1.1",
        ),
    ],
)
def test_an_audit_says_what_it_found(dependencies: list[dict[str, object]], sentence: str) -> None:
    assert str(read_python({"dependencies": dependencies, "fixes": []})).startswith(sentence)


def test_what_debian_has_not_repaired_is_said_and_does_not_fail() -> None:
    found = [{"package": "a@1", "vulnerability": {"id": "CVE-1", "status": "open"}}]
    result = read_debian({"packages": ["a 1"], "found": found, "error": ""})
    assert "1 that Debian has not repaired" in str(result)
    assert verdict([result], offline=False) == 0
