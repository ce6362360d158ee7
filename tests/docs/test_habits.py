"""What contributors are asked to use works: `make help`, the hooks before a commit, the templates."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.server import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
INTERNAL = {"model"}  # what other targets depend on, and nobody asks for by itself
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"


def make_help() -> dict[str, dict[str, str]]:
    """What `make help` shows: by group, each target and what it does."""
    command = ["make", "--no-print-directory", "help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    groups: dict[str, dict[str, str]] = {}
    for paragraph in shown.strip().split("\n\n"):
        title, *targets = paragraph.splitlines()
        groups[title] = dict(re.split(r"\s+", target.strip(), maxsplit=1) for target in targets)
    return groups


def test_make_help_shows_every_described_target_in_its_group() -> None:
    groups = make_help()
    assert list(groups) == re.findall(r"^##@ (.+)$", MAKEFILE, re.MULTILINE)
    described = re.findall(r"^([a-z-]+):.*## +(\S.*)$", MAKEFILE, re.MULTILINE)
    shown = [(target, text) for targets in groups.values() for target, text in targets.items()]
    assert shown == described


def test_every_phony_target_is_described_or_internal() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    shown = {target for targets in make_help().values() for target in targets}
    assert set(phony.split()) == shown | INTERNAL


def test_the_hooks_are_the_commands_of_make_lint() -> None:
    planned = [
        "make",
        "--dry-run",
        "--no-print-directory",
        "--old-file",
        ".venv/dev",
        "--old-file",
        ".venv/image",
        "lint",
    ]
    commands = subprocess.run(planned, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [hook["entry"] for hook in HOOKS] == commands
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in HOOKS)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone with the project's hooks installed and one file in it."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / ".gitignore").write_text(".venv\n")
    for command in ("git init --quiet", ".venv/bin/pre-commit install", "git add ."):
        subprocess.run(command.split(), cwd=folder, env=environment(tmp_path), check=True, capture_output=True)
    return folder


def environment(home: Path) -> dict[str, str]:
    """Without the slow hooks, which are commands like the others, and without this machine's git configuration."""
    quick = {"ruff-check", "ruff-format"}
    identity = {f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return os.environ | identity | {
        "SKIP": ",".join(hook["id"] for hook in HOOKS if hook["id"] not in quick),
        "PRE_COMMIT_HOME": str(home / "pre-commit"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }  # fmt: skip


def test_a_commit_that_make_lint_would_refuse_is_refused(repository: Path, tmp_path: Path) -> None:
    commit = ["git", "commit", "--quiet", "--message", "a change"]
    module = repository / "module.py"
    for text, refused in (('"""Unused."""\n\nimport os\n', True), ('"""Fine."""\n', False)):
        module.write_text(text)
        subprocess.run(["git", "add", "module.py"], cwd=repository, check=True)
        ran = subprocess.run(commit, cwd=repository, env=environment(tmp_path), capture_output=True, text=True)
        assert (ran.returncode != 0) is refused, ran.stderr
        assert ("F401" in ran.stderr + ran.stdout) is refused


def test_issue_forms_are_what_github_takes() -> None:
    forms = [path for path in TEMPLATES.glob("*.yml") if path.name != "config.yml"]
    assert forms
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= form.keys(), path.name
        identifiers = [field["id"] for field in form["body"]]
        assert len(set(identifiers)) == len(identifiers), path.name
        for field in form["body"]:
            assert field["type"] in {"textarea", "input", "dropdown", "checkboxes"}, path.name
            assert field["attributes"]["label"], path.name
            assert field["validations"] == {"required": True}, path.name
    assert yaml.safe_load((TEMPLATES / "config.yml").read_text()) == {"blank_issues_enabled": False}


def test_the_pull_request_template_asks_for_what_the_changelog_says() -> None:
    template = (ROOT / ".github" / "pull_request_template.md").read_text()
    assert re.findall(r"^## (.+)$", template, re.MULTILINE) == ["What changes for whom", "Why", "How it is shown"]
    named = set(re.findall(r"`make ([a-z-]+)`", template))
    assert named <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for path in re.findall(r"`([\w/]+\.\w+)`", template):
        assert (ROOT / path).is_file()
