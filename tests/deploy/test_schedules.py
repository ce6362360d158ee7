"""The systemd units, the crontab and the workflow are valid, agree with the CronJobs, and their commands run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import drift
import retrain
from tests.conftest import write_quick_configuration
from tests.deploy.conftest import require
from tests.deploy.manifests import RETRAINING, cron_jobs, render
from tools import synthesise
from tools.server import ROOT

pytestmark = pytest.mark.slow

SCHEDULES = ROOT / "deploy" / "schedules"
HOME, PLACE = "/var/lib/plan-recommender", "/opt/plan-recommender"
WORKFLOW = ROOT / ".github" / "workflows" / "retrain.yml"
RELOAD = "/usr/bin/systemctl reload plan-recommender.service"


def units() -> list[Path]:
    return sorted(path for path in SCHEDULES.iterdir() if path.suffix in (".service", ".timer"))


def setting(unit: Path, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)
    return str(value)


def cron_lines() -> list[tuple[str, str]]:
    """Time and command of each entry of the crontab."""
    found = re.findall(r"^((?:\S+ ){5})(cd .*)$", (SCHEDULES / "crontab").read_text(), re.MULTILINE)
    return [(time.strip(), command) for time, command in found]


def at_home(text: str, folder: Path) -> str:
    """Put the checkout and a folder in place of where a machine has them."""
    return text.replace(PLACE, str(folder / "opt")).replace(HOME, str(folder / "home"))


@pytest.fixture
def machine(tmp_path: Path, copy_store: Callable[[Path], Path]) -> Path:
    """A checkout under opt/, and under home/ the store with the trained model, and data on which usage has drifted.

    Its configuration is quick, because the commands are tested here, and the shipped one by those of the pages.
    """
    (tmp_path / "opt").mkdir()
    for name in ("drift.py", "retrain.py", "plan_recommender", "tariffs.yaml"):
        (tmp_path / "opt" / name).symlink_to(ROOT / name)
    write_quick_configuration(tmp_path / "opt").rename(tmp_path / "opt" / "model_config.yaml")
    (tmp_path / "opt" / ".venv").symlink_to(sys.prefix)
    copy_store(tmp_path / "home")
    (tmp_path / "home" / "data").mkdir()
    for name in ("usage.csv", "labelled.csv"):
        table = str(tmp_path / "home" / "data" / name)
        assert synthesise.main(["--rows", "1500", "--shift", "data_growth", "--seed", "7", "--out", table]) == 0
    return tmp_path


def started(command: str, machine: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"BENTOML_HOME": str(machine / "home")}
    return subprocess.run(
        ["bash", "-c", command], cwd=machine / "opt", env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("unit", units(), ids=lambda path: path.name)
def test_a_unit_is_what_systemd_takes(unit: Path, tmp_path: Path) -> None:
    assert verified(tmp_path, unit.name, lambda text: text) == ""


@pytest.mark.parametrize(
    ("name", "right", "wrong", "complaint"),
    [
        ("plan-recommender-drift.timer", "OnCalendar=Mon", "OnCalendar=Moonday", "Failed to parse calendar"),
        ("plan-recommender.service", "Type=exec", "Type=exe", "Failed to parse service type"),
        ("plan-recommender-retraining.service", "ProtectSystem=", "ProtectsSystem=", "Unknown key"),
    ],
)
def test_a_wrong_unit_is_noticed(tmp_path: Path, name: str, right: str, wrong: str, complaint: str) -> None:
    """The control."""
    assert complaint in verified(tmp_path, name, lambda text: text.replace(right, wrong, 1))


def verified(folder: Path, name: str, change: Callable[[str], str]) -> str:
    """What `systemd-analyze verify` says of a unit whose programs are there; "" is nothing."""
    program = require("systemd-analyze", "systemd")
    (folder / "opt" / ".venv" / "bin").mkdir(parents=True)
    for executable in ("python", "bentoml"):
        (folder / "opt" / ".venv" / "bin" / executable).symlink_to(Path(sys.executable).with_name(executable))
    for unit in units():
        text = at_home(unit.read_text(), folder)
        (folder / unit.name).write_text(change(text) if unit.name == name else text)
    ran = subprocess.run(
        [program, "verify", "--man=no", str(folder / name)], capture_output=True, text=True, check=False
    )
    return ran.stderr if ran.returncode or "plan-recommender" in ran.stderr else ""


def test_the_service_is_renewed_by_a_reload_and_after_a_retraining() -> None:
    assert setting(SCHEDULES / "plan-recommender.service", "ExecReload") == "/bin/kill -HUP $MAINPID"
    assert setting(SCHEDULES / "plan-recommender-retraining.service", "ExecStartPost") == f"-+{RELOAD}"


def test_the_commands_of_a_machine_are_those_of_the_cluster() -> None:
    """Only the places differ."""
    pods = cron_jobs(render(RETRAINING))
    for job in ("drift", "retraining"):
        (container,) = pods[job]["containers"]
        unit = setting(SCHEDULES / f"plan-recommender-{job}.service", "ExecStart").removeprefix(f"{PLACE}/")
        (line,) = (command for _, command in cron_lines() if container["args"][0] in command)
        assert line == f"cd {PLACE} && {unit}"
        assert [part.replace(f"{HOME}/data/", "/data/").replace(HOME, "/models") for part in shlex.split(unit)[1:]] == (
            container["args"]
        )


def test_they_run_at_the_same_times() -> None:
    times = {job["metadata"]["name"]: job["spec"]["schedule"] for job in render(RETRAINING) if job["kind"] == "CronJob"}
    assert [time for time, _ in cron_lines()] == [times["plan-recommender-drift"], times["plan-recommender-retraining"]]
    (of_workflow,) = yaml.safe_load(WORKFLOW.read_text())[True]["schedule"]  # YAML takes `on` for a boolean
    assert of_workflow["cron"] == times["plan-recommender-retraining"]
    assert setting(SCHEDULES / "plan-recommender-drift.timer", "OnCalendar") == "Mon *-*-* 04:15:00"
    assert setting(SCHEDULES / "plan-recommender-retraining.timer", "OnCalendar") == "*-*-02 03:30:00"


def test_the_lines_of_the_crontab_run(machine: Path) -> None:
    (_, of_drift), (_, of_retraining) = cron_lines()
    judged = started(at_home(of_drift, machine), machine)
    assert (judged.returncode, judged.stderr) == (1, "")
    assert "\nverdict: drift" in judged.stdout
    trained = started(at_home(of_retraining, machine), machine)
    assert (trained.returncode, trained.stderr) == (0, "")
    assert trained.stdout.splitlines()[-1].startswith("registered ")
    assert (machine / "home" / "retraining.jsonl").is_file()


def test_the_command_of_the_workflow_runs(machine: Path) -> None:
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    (command,) = (step["run"] for step in job["steps"] if "retrain.py" in step.get("run", ""))
    ran = started(f"DATA={machine}/home/data/labelled.csv; {command}", machine)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[-1].startswith("registered ")


def test_a_command_with_a_wrong_option_would_be_noticed() -> None:
    """The control of those that run: both commands refuse what they do not know."""
    for main in (drift.main, retrain.main):
        with pytest.raises(SystemExit) as caught:
            main(["--dat", "x", "--no-such-option"])
        assert caught.value.code == 2
