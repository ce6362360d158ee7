"""The CronJobs' commands run once each in a container of deploy/jobs/Dockerfile, as their manifests say."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import engine_client
from tests.deploy.manifests import RETRAINING, Manifest, cron_jobs, quantity, render
from tools import synthesise
from tools.container import client, docker
from tools.server import ROOT

pytestmark = pytest.mark.slow

TAG = f"plan_recommender_jobs:test-{os.getpid()}"


class Ended(NamedTuple):
    """What became of a container."""

    code: int
    out: str
    err: str


class Place(NamedTuple):
    """What a cluster mounts."""

    models: Path
    data: Path


@pytest.fixture(scope="module")
def pods() -> dict[str, Manifest]:
    return cron_jobs(render(RETRAINING))


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    engine_client()
    command = [client(), "build", "--quiet", "--file", "deploy/jobs/Dockerfile", "--tag", TAG, "."]
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    yield TAG
    docker("image", "rm", "--force", TAG)


@pytest.fixture
def place(tmp_path: Path, copy_store: Callable[[Path], Path]) -> Place:
    """A store with the trained model, and new data on which usage has drifted, for whatever user a container has."""
    copy_store(tmp_path / "models")
    (tmp_path / "data").mkdir()
    table = tmp_path / "data" / "labelled.csv"
    assert synthesise.main(["--rows", "1500", "--shift", "data_growth", "--seed", "7", "--out", str(table)]) == 0
    shutil.copy2(table, table.with_name("usage.csv"))
    for path in [tmp_path / "models", *(tmp_path / "models").rglob("*")]:
        path.chmod(0o777)
    for path in [tmp_path / "data", *(tmp_path / "data").iterdir()]:
        path.chmod(0o755)
    tmp_path.chmod(0o755)
    return Place(tmp_path / "models", tmp_path / "data")


def test_drift_is_judged_and_its_report_is_beside_the_store(
    image: str, pods: dict[str, Manifest], place: Place
) -> None:
    ended = carried_out(image, pods["drift"], place)
    assert (ended.code, ended.err) == (1, ""), ended
    assert "\nverdict: drift" in ended.out
    report = json.loads((place.models / "drift" / "drift_report.json").read_text())
    assert report["verdict"] == "drift"
    assert (place.models / "drift" / "drift.html").is_file()


def test_a_model_is_trained_and_registered_and_the_same_data_again_changes_nothing(
    image: str, pods: dict[str, Manifest], place: Place
) -> None:
    latest = place.models / "models" / "plan_recommender" / "latest"
    before = latest.read_text()
    ended = carried_out(image, pods["retraining"], place)
    assert (ended.code, ended.err) == (0, ""), ended
    last = ended.out.splitlines()[-1]
    after = latest.read_text()
    assert last.startswith(f"registered plan_recommender:{after} in place of plan_recommender:{before};")
    assert (place.models / "artifacts" / "report.html").is_file()
    again = carried_out(image, pods["retraining"], place)
    assert (again.code, again.out.splitlines()[-1].partition(":")[0]) == (0, "unchanged"), again
    assert latest.read_text() == after
    lines = (place.models / "retraining.jsonl").read_text().splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["registered", "same data"]


def test_a_job_that_may_not_write_says_so(image: str, pods: dict[str, Manifest], place: Place) -> None:
    """The control: the container has no other place to write to than those that are mounted."""
    ended = carried_out(image, pods["retraining"], place, models="ro")
    assert ended.code == 2
    assert "Read-only file system" in ended.err


def test_the_image_holds_no_table_and_runs_as_the_manifests_say(image: str, pods: dict[str, Manifest]) -> None:
    listed = docker("run", "--rm", "--entrypoint", "ls", image, "/app").split()
    assert "users_behavior.csv" not in listed
    assert "tests" not in listed
    for pod in pods.values():
        assert docker("run", "--rm", "--entrypoint", "id", image, "-u").strip() == str(
            pod["securityContext"]["runAsUser"]
        )


def carried_out(image: str, pod: Manifest, place: Place, models: str = "rw") -> Ended:
    """Run a pod's container with its arguments, user, rights, memory and mounts, and without a network."""
    (container,) = pod["containers"]
    context, rights, limits = pod["securityContext"], container["securityContext"], container["resources"]["limits"]
    options = ["--network", "none", "--user", f"{context['runAsUser']}:{context['runAsGroup']}"]
    options += ["--read-only"] * rights["readOnlyRootFilesystem"]
    options += ["--security-opt", "no-new-privileges"] * (not rights["allowPrivilegeEscalation"])
    options += [f"--cap-drop={name}" for name in rights["capabilities"]["drop"]]
    options += ["--memory", str(quantity(limits["memory"])), "--cpus", limits["cpu"]]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    for volume in pod["volumes"]:
        mount = mounts[volume["name"]]
        if "emptyDir" in volume:
            size = quantity(volume["emptyDir"]["sizeLimit"])
            options += ["--tmpfs", f"{mount['mountPath']}:rw,mode=1777,size={size}"]
        else:
            how = "ro" if mount.get("readOnly") else models
            options += ["--volume", f"{getattr(place, volume['name'])}:{mount['mountPath']}:{how}"]
    command = [client(), "run", "--rm", *options, image, *container["args"]]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ended(ran.returncode, ran.stdout, ran.stderr)
