"""The worked examples of CONTRIBUTING.md apply to the code as it is, and do what the page says."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import yaml

from tests.docs.console import shows, steps
from tools.server import FROM_SOURCE, ROOT, serving

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = re.findall(r"^### (A new [^\n]+)\n.*?^```diff\n(.*?)^```", CONTRIBUTING, re.MULTILINE | re.DOTALL)


def test_there_is_an_example_for_everything_that_is_added_often() -> None:
    titles = ["A new candidate", "A new route", "A new setting", "A new section of the report"]
    assert [title for title, _ in EXAMPLES] == titles


def test_the_worked_examples_work(checkout: Path, tmp_path: Path) -> None:
    for title, diff in EXAMPLES:
        applied = subprocess.run(["git", "apply", "-"], cwd=checkout, input=diff, capture_output=True, text=True)
        assert applied.returncode == 0, f"{title} no longer applies:\n{applied.stderr}"
    if (ROOT / ".mypy_cache").is_dir():  # left by `make lint`: with it mypy looks at what the examples change only
        shutil.copytree(ROOT / ".mypy_cache", checkout / ".mypy_cache")
    for check in ("ruff check .", "ruff format --check .", "mypy plan_recommender train.py service.py"):
        ran = subprocess.run([sys.executable, "-m", *check.split()], cwd=checkout, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout
    home = {"BENTOML_HOME": str(tmp_path / "home")}
    environment = os.environ | home | {"PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    with ExitStack() as stack:
        url = ""
        for step in steps("CONTRIBUTING.md"):
            if step.command == f"bentoml serve {FROM_SOURCE}":
                url = stack.enter_context(serving(cwd=checkout, env=home)).url
                continue
            command = step.command.replace("http://127.0.0.1:3000", url)
            ran = subprocess.run(["bash", "-c", command], cwd=checkout, env=environment, capture_output=True, text=True)
            assert ran.returncode == 0, f"{step.command}\n{ran.stdout}{ran.stderr}"
            message = f"{step.command} printed:\n{ran.stdout}"
            assert shows(step.output.splitlines(), ran.stdout.splitlines()), message


def test_an_example_for_other_code_would_not_apply(checkout: Path) -> None:
    """The control of the test above."""
    for title, diff in EXAMPLES:
        lines = [line for line in diff.splitlines() if line.startswith(" ") and line.strip()]
        other = diff.replace(f"{lines[0]}\n", f"{lines[0]} # other code\n", 1)
        ran = subprocess.run(
            ["git", "apply", "--check", "-"], cwd=checkout, input=other, capture_output=True, text=True
        )
        assert ran.returncode != 0, title


def test_the_set_up_installs_the_hook_of_the_configuration() -> None:
    assert "\n.venv/bin/pre-commit install\n" in CONTRIBUTING
    assert yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
