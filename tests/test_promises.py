"""docs/promises.md names tests that are there, and every file of tests, so that the table cannot rot."""

import ast
import re

import pytest

from tools.server import ROOT

TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")


def rows(page: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each promise, and the file and the name of each test that shows it."""
    lines = re.findall(r"^\| (?!promise \||---)(.+?) \| (.+) \|$", page, re.MULTILINE)
    return [(promise, re.findall(r"`([a-z0-9_/]+\.py)::(test_\w+)`", tests)) for promise, tests in lines]


def named(page: str) -> set[tuple[str, str]]:
    return {test for _, tests in rows(page) for test in tests}


def present() -> set[tuple[str, str]]:
    """File and name of every test that there is."""
    return {
        (str(path.relative_to(TESTS)), node.name)
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_test_that_is_named_exists() -> None:
    assert sorted(named(PAGE) - present()) == []


def test_every_file_of_tests_is_named() -> None:
    files = {file for file, _ in present()}
    assert sorted(files - {file for file, _ in named(PAGE)}) == []
    assert len(files) > 40  # the control: they were looked for in the right place


def test_every_promise_has_a_test_and_stands_once() -> None:
    promises = [promise for promise, _ in rows(PAGE)]
    assert len(promises) == len(set(promises)) == PAGE.count("::test_") - PAGE.count("<br>")
    assert [promise for promise, tests in rows(PAGE) if not tests] == []


@pytest.mark.parametrize("test", ["cli.py::test_a", "test_cli.py::test_no_such_test"])
def test_a_test_that_is_not_there_would_be_noticed(test: str) -> None:
    """The control of the first test."""
    assert named(f"| a promise | `{test}` |") - present()
