"""The `console` blocks of a page: its commands, and whether they print what the page says they print."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tools.server import ROOT

PAGES_WITH_COMMANDS = (
    "README.md",
    "docs/training.md",
    "docs/serving.md",
    "docs/files.md",
    "docs/warehouse.md",
    "docs/advice.md",
    "docs/campaign.md",
    "docs/drift.md",
    "docs/retraining.md",
    "docs/operations.md",
)
"""In the order in which their commands are run: each page finds what those before it have left."""

TRANSLATIONS = {"README.es.md": "README.md"}
"""Pages whose blocks are those of another page, where they are run."""

PAGES = [
    *(ROOT / name for name in ("README.md", "README.es.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


@dataclass(frozen=True)
class Step:
    """A command of a page, and the output that stands below it."""

    page: str
    command: str
    output: str


def all_steps() -> list[Step]:
    """List the commands of all pages, in the order in which they are run."""
    return [step for page in PAGES_WITH_COMMANDS for step in steps(page)]


def steps(page: str) -> Iterator[Step]:
    """List the commands of one page."""
    for block in re.findall(r"^```console\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Step(page, command, output)


def shows(documented: list[str], printed: list[str]) -> bool:
    """Whether lines were printed as documented: `...` stands for any lines, a tag or a time for any other.

    Numbers may differ by one part in a million, because another processor rounds differently. For the same reason the
    largest difference between the tables and the pipeline, of some 1e-13, may be another one of its kind.
    """
    if not documented:
        return not printed
    if documented[0] == "...":
        return any(shows(documented[1:], printed[start:]) for start in range(len(printed) + 1))
    return bool(printed) and _alike(documented[0], printed[0]) and shows(documented[1:], printed[1:])


def _alike(documented: str, printed: str) -> bool:
    varies = r"(?:plan_recommender:|\"model_version\":\")[a-z0-9]{16}| +[0-9]+ ms$"  # a tag, or how long something took
    one, other = (re.sub(varies, "VARIES", line) for line in (documented, printed))
    number = r"[0-9][0-9,]*(?:\.[0-9]+)?(?:e-?[0-9]+)?"
    if re.sub(number, "N", one) != re.sub(number, "N", other):
        return False
    values = [[float(n.replace(",", "")) for n in re.findall(number, line)] for line in (one, other)]
    return values[0] == pytest.approx(values[1], rel=1e-6, abs=1e-12)
