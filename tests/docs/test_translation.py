"""README.es.md is a translation of the present README.md, and whatever is no prose is the same in both."""

import re

import pytest

from benchmark.page import key_figures, with_key_figures
from plan_recommender.errors import PlanRecommenderError
from tests.docs.console import TRANSLATIONS
from tools import readme_es
from tools.readme_es import digest, recorded_digest, renewed, spanish_figures
from tools.server import ROOT

SOURCE = (ROOT / "README.md").read_text(encoding="utf-8")
TRANSLATION = (ROOT / "README.es.md").read_text(encoding="utf-8")
STALE = (
    "README.md has changed since README.es.md was translated from it: translate the change, then "
    "`python -m tools.readme_es` writes the new digest"
)
MAX_LINE = 120


def blocks(page: str) -> list[str]:
    """The blocks of code, with the name of their language."""
    return re.findall(r"^```.*?^```$", page, re.MULTILINE | re.DOTALL)


def targets(page: str) -> list[str]:
    """Where the links of a page lead to, in their order; without the links between the languages."""
    found = re.findall(r"\]\(([^)\s]+)\)", page)
    return [target for target in found if target not in {*TRANSLATIONS, *TRANSLATIONS.values()}]


def figures(page: str) -> list[float]:
    """The numbers of the key figures, whatever signs they are written with."""
    text = key_figures(page)
    spanish = "peticiones/s" in text
    numbers = re.findall(r"\d[\d,.\u202f]*\d|\d", text)
    english = [n.replace("\u202f", "").replace(",", ".") if spanish else n.replace(",", "") for n in numbers]
    return [float(number) for number in english]


def test_the_translation_is_of_the_present_readme() -> None:
    assert recorded_digest(TRANSLATION) == digest(SOURCE), STALE


def test_every_block_and_every_link_is_that_of_the_readme() -> None:
    assert blocks(TRANSLATION) == blocks(SOURCE) != []
    assert targets(TRANSLATION) == targets(SOURCE) != []
    for mark in (r"^#+ ", r"^\|", r"^!\["):
        assert len(re.findall(mark, TRANSLATION, re.MULTILINE)) == len(re.findall(mark, SOURCE, re.MULTILINE))


def test_the_key_figures_are_those_of_the_readme() -> None:
    assert figures(TRANSLATION) == figures(SOURCE) != []
    assert key_figures(TRANSLATION) == spanish_figures(key_figures(SOURCE)), "`python -m tools.readme_es`"


def test_each_page_leads_to_the_other_language_first() -> None:
    assert SOURCE.startswith("[Español](README.es.md)\n")
    assert TRANSLATION.partition("-->\n")[2].lstrip().startswith("[English](README.md)\n")
    assert "están en inglés" in TRANSLATION


def test_no_line_is_too_long() -> None:
    prose = re.sub(r"^```.*?^```", "", TRANSLATION, flags=re.MULTILINE | re.DOTALL)
    assert [line for line in prose.splitlines() if len(line) > MAX_LINE and not line.startswith(("|", "!["))] == []


@pytest.mark.parametrize(("old", "new"), [("# Tele", "# A Tele"), ("```console", "```bash"), ("](docs/", "](x/")])
def test_a_changed_readme_would_be_noticed(old: str, new: str) -> None:
    """The control of the tests above."""
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert recorded_digest(TRANSLATION) != digest(changed)
    assert recorded_digest(renewed(TRANSLATION, changed)) == digest(changed)  # what the command does


def test_other_key_figures_leave_the_digest_and_are_written_into_the_translation() -> None:
    measured = re.sub(r"\| [0-9,]+ \|", "| 9,876 |", key_figures(SOURCE), count=1)
    measured = re.sub(r"[0-9.]+ times", "1.91 times", measured)
    other = with_key_figures(SOURCE, measured)
    assert digest(other) == digest(SOURCE)
    assert figures(other) != figures(TRANSLATION)
    written = renewed(TRANSLATION, other)
    assert figures(written) == figures(other)
    assert "| 9876 |" in written
    assert written.count("SHA-256") == 1


def test_figures_that_it_cannot_translate_are_refused() -> None:
    with pytest.raises(PlanRecommenderError, match="expected key figures that this program translates, found 'News'"):
        spanish_figures("| this service | 1 |\n\nNews")
    with pytest.raises(PlanRecommenderError, match=r"expected a comment with the SHA-256 of README.md, found none"):
        recorded_digest("no comment")


def test_the_command_writes_both(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("readme")
    monkeypatch.setattr(readme_es, "ROOT", folder)
    monkeypatch.setattr(readme_es, "SOURCE", folder / "README.md")
    monkeypatch.setattr(readme_es, "TRANSLATION", folder / "README.es.md")
    (folder / "README.md").write_text(SOURCE + "More.\n", encoding="utf-8")
    (folder / "README.es.md").write_text(with_key_figures(TRANSLATION, ""), encoding="utf-8")
    assert readme_es.main([]) == 0
    written = (folder / "README.es.md").read_text(encoding="utf-8")
    assert written == TRANSLATION.replace(digest(SOURCE), digest(SOURCE + "More.\n"))
