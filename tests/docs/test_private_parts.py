"""docs/private_parts.md names every private part that is used, and for each seam a test that is there."""

import ast
import re

import pytest

from plan_recommender.private_parts import PrivateParts
from plan_recommender.serving.patches import expected
from tools.server import ROOT

TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "private_parts.md").read_text(encoding="utf-8")


def sections(page: str) -> dict[str, str]:
    """The text below each heading."""
    _, *parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(page: str) -> list[list[str]]:
    """The cells of each seam."""
    lines = re.findall(r"^\| (.+) \|$", page, re.MULTILINE)
    return [line.split(" | ") for line in lines if not line.startswith(("part |", "---"))]


def unnamed(page: str, parts: PrivateParts) -> list[str]:
    """Which of the parts of a package its section does not name, each by its module and its name in there."""
    section = sections(page).get(f"{parts.package} {parts.version}", "")
    names = [name for part in (*parts.signatures, *parts.names) for name in part.split(":")]
    return [name for name in names if f"`{name}`" not in section]


@pytest.mark.parametrize("parts", expected.ALL, ids=lambda parts: parts.package)
def test_every_part_that_is_used_is_named_with_its_version(parts: PrivateParts) -> None:
    assert unnamed(PAGE, parts) == []


@pytest.mark.parametrize(
    "parts",
    [
        PrivateParts("click", "1.0", names=("click:ClickException",)),
        PrivateParts("click", expected.CLICK.version, names=("click:no_such_name",)),
    ],
)
def test_a_part_that_is_not_named_would_be_noticed(parts: PrivateParts) -> None:
    """The control of the test above."""
    assert unnamed(PAGE, parts)


def test_every_package_of_the_page_is_used() -> None:
    assert sections(PAGE).keys() == {f"{parts.package} {parts.version}" for parts in expected.ALL}


def test_the_page_says_how_many_seams_there_are() -> None:
    (number,) = re.findall(r"^There are (\d+) seams\.", PAGE, re.MULTILINE)
    assert len(rows(PAGE)) == int(number)


def test_every_seam_has_a_reason_and_a_test_that_is_there() -> None:
    there = {
        f"{path.relative_to(TESTS)}::{node.name}"
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    for part, reason, tests in rows(PAGE):
        assert reason.endswith("."), part
        named = [test.strip("`") for test in tests.split("<br>")]
        assert [test for test in named if test not in there] == [], part
    (example,) = re.findall(r"^start fails with one sentence \(`(.+)`\)", PAGE, re.MULTILINE)
    assert example in there
