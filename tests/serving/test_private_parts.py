"""Private parts of other packages: a service whose packages are others does not start, and says which it expected."""

import importlib.metadata
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from plan_recommender.errors import PrivatePartsError
from plan_recommender.private_parts import PrivateParts, signature_of
from plan_recommender.serving.patches import expected
from tests.conftest import TrainedModel
from tools.server import ROOT, ServerDidNotStartError, serving

SERVING_LOCK = (ROOT / "requirements" / "serving.txt").read_text()
_HISTOGRAM = "prometheus_client:Histogram"
REMEDY = "install the versions of requirements/serving.txt"


def test_what_is_installed_is_what_was_expected() -> None:
    expected.check()


@pytest.mark.parametrize("parts", expected.ALL, ids=lambda parts: parts.package)
def test_the_expected_versions_are_those_of_the_lock(parts: PrivateParts) -> None:
    assert f"\n{parts.package}=={parts.version} \\\n" in SERVING_LOCK


def one(first: int, second: int = 0, *others: int, keyword: int = 0, **rest: int) -> None:
    """A function with every kind of parameter."""


def test_a_signature_is_written_with_its_names_in_order() -> None:
    assert signature_of(one) == "first, second, *others, keyword, **rest"


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            PrivateParts("pytest-none", "1.0"),
            f"pytest-none: expected version 1.0, found none; {REMEDY}",
        ),
        (
            PrivateParts("click", "1.0"),
            "click: expected version 1.0, whose private parts this project was written for, found version "
            f"{expected.CLICK.version}; {REMEDY}",
        ),
        (
            PrivateParts("click", expected.CLICK.version, names=("click:no_such_name",)),
            f"click: expected version {expected.CLICK.version}, which has click:no_such_name, found version "
            f"{expected.CLICK.version}, which does not have it; {REMEDY}",
        ),
        (
            PrivateParts(
                "prometheus-client", expected.PROMETHEUS.version, attributes={_HISTOGRAM: ("_buckets", "_heap")}
            ),
            f"prometheus-client: expected version {expected.PROMETHEUS.version}, which has {_HISTOGRAM}._heap, found "
            f"version {expected.PROMETHEUS.version}, which does not have it; {REMEDY}",
        ),
        (
            PrivateParts("click", expected.CLICK.version, {"click:ClickException.show": "self"}),
            f"click: expected version {expected.CLICK.version}, in which click:ClickException.show takes (self), found "
            f"version {expected.CLICK.version}, in which it takes (self, file); {REMEDY}",
        ),
    ],
)
def test_a_difference_is_told_in_one_sentence(parts: PrivateParts, sentence: str) -> None:
    with pytest.raises(PrivatePartsError) as failure:
        parts.check()
    assert str(failure.value) == sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "distribution", "file", "before", "after", "sentence"),
    [
        (
            "uvicorn", "uvicorn", "protocols/http/httptools_impl.py",
            "def shutdown(self)", "def shutdown(self, late: bool = False)",
            "HttpToolsProtocol.shutdown takes (self), found version {version}, in which it takes "
            "(self, late); " + REMEDY,
        ),
        (
            "circus", "kantoku", "watcher.py",
            "def reap_process(self, pid, status=None)", "def reap_process(self, pid, status=None, again=False)",
            "Watcher.reap_process takes (self, pid, status), found version {version}, in which it takes "
            "(self, pid, status, again); " + REMEDY,
        ),
    ],
    ids=["uvicorn", "circus"],
)  # fmt: skip
def test_a_service_does_not_start_on_a_package_whose_private_parts_are_others(
    trained: TrainedModel, tmp_path: Path, package: str, distribution: str, file: str, before: str, after: str,
    sentence: str,
) -> None:  # fmt: skip
    doctored = doctor(package, tmp_path)
    text = (doctored / file).read_text()
    assert text.count(before) == 1
    (doctored / file).write_text(text.replace(before, after))
    version = importlib.metadata.version(distribution)
    log = log_of_a_failed_start(tmp_path)
    assert f"{distribution}: expected version {version}, in which " in log
    assert sentence.format(version=version) in log


@pytest.mark.slow
@pytest.mark.parametrize(("package", "distribution"), [("uvicorn", "uvicorn"), ("circus", "kantoku")])
def test_a_service_does_not_start_on_another_version_of_a_package(
    trained: TrainedModel, tmp_path: Path, package: str, distribution: str
) -> None:
    doctor(package, tmp_path)
    version = importlib.metadata.version(distribution)
    metadata = next(tmp_path.glob("*.dist-info")) / "METADATA"
    metadata.write_text(re.sub(r"^Version: .*$", "Version: 99.1", metadata.read_text(), flags=re.MULTILINE))
    log = log_of_a_failed_start(tmp_path)
    assert (
        f"{distribution}: expected version {version}, whose private parts this project was written for, found version "
        f"99.1; {REMEDY}"
    ) in log


@pytest.mark.slow
def test_a_service_starts_on_an_undoctored_copy(trained: TrainedModel, tmp_path: Path) -> None:
    """The control of the tests above."""
    for package in ("uvicorn", "circus"):
        doctor(package, tmp_path)
    with serving(env={"PYTHONPATH": str(tmp_path)}) as server:
        assert server.process.poll() is None


def doctor(package: str, folder: Path) -> Path:
    """Copy a package and its metadata to a folder that Python looks in first; gives the package."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent
    (distribution,) = importlib.metadata.packages_distributions()[package]
    (metadata,) = installed.parent.glob(f"{distribution}-*.dist-info")
    shutil.copytree(metadata, folder / metadata.name)
    return Path(shutil.copytree(installed, folder / package, ignore=shutil.ignore_patterns("__pycache__")))


def log_of_a_failed_start(folder: Path) -> str:
    with pytest.raises(ServerDidNotStartError) as failure, serving(env={"PYTHONPATH": str(folder)}):
        pass
    log = str(failure.value).partition("\n")[2]
    assert "ended with 1" in str(failure.value)
    assert "Traceback" not in log
    return log
