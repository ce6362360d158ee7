"""What happens before a command's `main` runs is one sentence and exit code 2: a wrong environment, an interruption."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import run
from tools.server import ROOT

pytestmark = pytest.mark.slow

FOLDERS = (".", "tools", "benchmark", "loadtest", "loadtest/trials")
PROGRAMS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in FOLDERS
    for path in sorted((ROOT / folder).glob("*.py"))
    if "\nif __name__ ==" in path.read_text(encoding="utf-8")
    and path.stem != "image_contents"  # needs no package: the Python of an image runs it
]
SENTENCE = "error: expected the environment that `make install` makes, found {}; run `make install` in {} and start "


def started(command: str) -> list[str]:
    """Give the arguments with which a user starts a command."""
    return ["-m", command.removesuffix(".__main__")] if "." in command else [f"{command}.py"]


@pytest.mark.parametrize("command", PROGRAMS)
def test_a_python_without_the_packages_is_told_what_is_missing_and_what_to_do(command: str) -> None:
    ended = run("-S", *started(command), "--help")  # without site-packages
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: expected the environment that `make install` makes, found no package ")
    assert ended.stderr.endswith(f"run `make install` in {ROOT} and start the command with {ROOT}/.venv/bin/python\n")
    assert ended.stderr.count("\n") == 1


def test_the_control_runs_in_the_environment() -> None:
    ended = run("train.py", "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("usage: train.py")


def test_another_folder_makes_no_difference(tmp_path: Path) -> None:
    ended = run("-S", ROOT / "train.py", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    package = "PACKAGE"  # whichever is imported first
    said = re.escape(SENTENCE.format(f"no package {package} in {sys.base_prefix}", ROOT)).replace(package, r"\w+")
    assert re.match(said, ended.stderr)


def test_an_older_python_is_told_so() -> None:
    pretend = "import runpy, sys; sys.version_info = (3, 9, 18); runpy.run_path('train.py', run_name='__main__')"
    ended = run("-c", pretend)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(SENTENCE.format("Python 3.9, which is older than 3.11", ROOT))


@pytest.mark.parametrize("command", [*PROGRAMS, "plan_recommender.start", "plan_recommender.__init__"])
def test_an_older_python_can_read_what_tells_it(command: str) -> None:
    source = (ROOT / f"{command.replace('.', '/')}.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 9))


def test_a_package_that_cannot_be_imported_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('built for\\nPython 3.8')\n")
    ended = run("predict.py", env={"PYTHONPATH": str(tmp_path)})
    assert (ended.returncode, ended.stdout) == (2, "")
    found = f"a package in {sys.prefix} that cannot be imported (built for Python 3.8)"
    assert ended.stderr.startswith(SENTENCE.format(found, ROOT))
    assert ended.stderr.count("\n") == 1


def test_a_fault_of_the_project_is_not_blamed_on_the_environment() -> None:
    ended = run("-c", "from plan_recommender.start import run; run('tools.absent')")
    assert ended.returncode == 2
    assert "Traceback" in ended.stderr
    assert ended.stderr.endswith("this is a fault of the project\n")


def test_the_collector_does_not_look_through_what_was_imported() -> None:
    told = "import atexit, gc; atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 1000)); "
    start = "from plan_recommender.start import run; run('tools.synthesise')"
    for statements, said in ((start, "True True"), ("from tools.synthesise import main; main()", "True False")):
        ended = run("-c", told + statements, "--help")
        assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.8])
def test_an_interruption_in_the_first_second_is_one_word(tmp_path: Path, number: int, seconds: float) -> None:
    train = [sys.executable, "train.py", "--artifacts", str(tmp_path / "artifacts")]
    environment = os.environ | {"BENTOML_HOME": str(tmp_path / "home")}
    with subprocess.Popen(
        train, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for_its_first_line(process.pid)
        time.sleep(seconds)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (2, "interrupted\n")
    assert not list(tmp_path.glob("artifacts*"))


def interrupted_at_its_end(statements: str) -> tuple[int, str]:
    """Interrupt a Python that ends slowly, as it does when a library has to tidy up; returns exit code and stderr."""
    slow = "import atexit, time; atexit.register(lambda: (print('ending', flush=True), time.sleep(30))); "
    command = [sys.executable, "-c", slow + statements, "--help"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line == "ending\n" for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    return process.returncode, error


def test_an_interruption_at_the_very_end_changes_nothing() -> None:
    command = "from plan_recommender.start import run; run('tools.synthesise')"
    assert interrupted_at_its_end(command) == (0, "")


def test_a_command_that_keeps_its_exit_code_ends_with_it_whatever_comes() -> None:
    """Between the end of `main` and that of the process, too, where objects are destroyed."""
    program = (
        "import os, signal; from plan_recommender import cli, start; "
        "kill = lambda: os.kill(os.getpid(), signal.SIGINT); "
        "start._imported = lambda _: type('command', (), {{'main': staticmethod(lambda: {} kill() or 0)}}); "
        "start.run('any')"
    )
    kept = run("-c", program.format("cli.keep_exit_code() or"))
    assert (kept.returncode, kept.stderr) == (0, "")
    control = run("-c", program.format(""))
    assert (control.returncode, control.stderr) == (2, "interrupted\n")


def test_the_control_without_what_starts_commands_ends_with_a_traceback() -> None:
    assert "Traceback" in interrupted_at_its_end("from tools.synthesise import main; main()")[1]


def wait_for_its_first_line(pid: int) -> None:
    """Wait until the process handles SIGTERM, which Python by itself does not."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (caught,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")]
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)
    raise TimeoutError("expected a command that handles SIGTERM within 30 s")
