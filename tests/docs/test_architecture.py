"""The map in docs/architecture.md leads to what is there: every folder, file and function that it names."""

import ast
import re
import subprocess
from functools import cache

import pytest

from tools.server import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
CHAIN = re.compile(r"`([\w/]+\.py)`((?:,?\s(?:and\s|then\s)?`[\w.]+`)*)")
"""A file, and the names that follow it: "`file.py`, `function`, then `Class.method`"."""


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def places(text: str) -> list[tuple[str, str]]:
    """Every file that a text names, with each name that follows it."""
    return [(file, name) for file, chain in CHAIN.findall(text) for name in re.findall(r"`([^`]+)`", chain) or [""]]


@cache
def names(file: str) -> set[str]:
    """The functions, classes and methods (`Class.method`) that a module defines."""
    defined = {""}
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            defined |= {f"{node.name}.{method}" for method in methods}
    return defined


@pytest.mark.parametrize(
    "title",
    ["One request", "One training run", "One retraining", "One row of a file", "One subscriber of a file of months"],
)
def test_the_files_and_functions_of_a_path_exist(title: str) -> None:
    steps = re.findall(r"^\d+\. (.*(?:\n   .*)*)", section(title), re.MULTILINE)
    assert len(steps) >= 5
    for step in steps:
        first, *_ = places(step)
        assert step.startswith(f"`{first[0]}`, `{first[1]}`"), "a step begins with a file and a function"
    for file, name in places(section(title)):
        assert (ROOT / file).is_file(), file
        assert name in names(file), f"{file} has no {name}"


def test_the_map_names_every_package_and_every_folder() -> None:
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in (ROOT / "plan_recommender").glob("*/**/__init__.py")}
    assert set(re.findall(r"^\| `([^`]+)` \|", section("The packages"), re.MULTILINE)) == packages
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {f"{file.partition('/')[0]}/" for file in listed.splitlines() if "/" in file}
    named = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (.+?) \|", section("The map"), re.MULTILINE)))
    assert {name for name in named if name.endswith("/")} == folders
    assert all((ROOT / name).exists() for name in named)


def test_a_function_that_is_gone_would_be_noticed() -> None:
    """The control of the tests above."""
    assert places("`train.py`, `main`, then `gone`: x; `predict.py` and `a` b, `service.py`, `A.b`") == [
        ("train.py", "main"),
        ("train.py", "gone"),
        ("predict.py", "a"),
        ("service.py", "A.b"),
    ]
    assert {"main", "_searched"} <= names("train.py")
    assert "gone" not in names("train.py")
