"""README, cards, quoted figures, links and command lines: what the documents name exists and is current."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from benchmark.page import BEGIN, key_figures, with_key_figures
from plan_recommender.report.pages import CARDS
from tests.conftest import TrainedModel
from tests.docs.console import PAGES
from tools import cards
from tools.server import ROOT

README = (ROOT / "README.md").read_text()
MAX_README_LINES = 150
MAX_LINE = 120


def test_the_readme_is_for_five_minutes() -> None:
    lines = README.splitlines()
    assert len(lines) <= MAX_README_LINES
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    too_long = [line for line in prose.splitlines() if len(line) > MAX_LINE and not line.startswith(("|", "!["))]
    assert not too_long


def test_the_readme_leads_to_every_page() -> None:
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)}
    assert {page for page in PAGES if page.name != "README.md"} <= linked


@pytest.mark.parametrize("card", CARDS)
def test_the_cards_are_those_of_a_run(trained: TrainedModel, card: str) -> None:
    fresh, shipped = trained.artifacts / card, ROOT / "docs" / card
    assert fresh.read_text() == shipped.read_text(), f"docs/{card} is stale: `make cards` writes it anew"


def test_a_stale_card_is_noticed(
    trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cards, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    fresh = {card: (trained.artifacts / card).read_text() for card in CARDS}
    assert cards.write(fresh, {"model_maps.png": b"a picture"}) == 0
    assert (tmp_path / "docs" / "model_maps.png").read_bytes() == b"a picture"
    assert cards.check(fresh) == 0  # the control
    (tmp_path / "docs" / "model_card.md").write_text(fresh["model_card.md"].replace("0.8056", "0.9056"))
    capsys.readouterr()
    assert cards.check(fresh) == 1
    assert capsys.readouterr().out == "docs/model_card.md: stale; write it anew with `make cards`\n"


def test_the_readme_quotes_the_benchmark_as_it_was_measured() -> None:
    page = ROOT / "docs" / "benchmark.md"
    measured = key_figures(page.read_text()) if page.exists() else ""
    assert BEGIN in README
    assert key_figures(README) == measured, "README.md quotes other figures than docs/benchmark.md; `make benchmark`"


def test_other_figures_than_the_measured_ones_would_be_noticed() -> None:
    """The control of the test above."""
    measured = "| this service | 1,234 |\n"
    assert key_figures(with_key_figures(README, measured)) == measured
    assert key_figures(with_key_figures(README, measured.replace("1,234", "1,235"))) != measured


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_make_targets_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(r"`make ([a-z-]+)", document.read_text()))
    declared = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= declared


CONTRACT_TARGETS = (
    "install demo test lint check train evaluate predict advise drift serve build containerize loadtest benchmark clean"
)


@pytest.mark.parametrize("target", CONTRACT_TARGETS.split())
def test_every_target_of_the_contract_is_in_the_makefile_and_in_its_help(target: str) -> None:
    planned = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert planned.returncode == 0, planned.stderr
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  {target} +\S", shown, re.MULTILINE)


COMMANDS = {
    "train.py": ["--config", "--data", "--artifacts", "--seed", "--search", "--mlflow"],
    "retrain.py": ["--config", "--data", "--groups", "--artifacts", "--tariffs", "--always", "--history"],
    "evaluate.py": ["--data", "--model", "--artifacts"],
    "predict.py": ["--input", "--output", "--model", "--rejects"],
    "advise.py": ["--input", "--output", "--tariffs", "--model", "--rejects", "--backtest", "--report"],
    "drift.py": ["--ref", "--cur", "--features", "--out", "--html"],
    "-m benchmark.serving": ["--seconds", "--rounds", "--only", "--open-seconds", "--mlserver-python", "--out"],
    "-m tools.synthesise": ["--rows", "--subscribers", "--months", "--seed", "--out", "--output", "--shift"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_option_of_the_contract(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module(command.removeprefix("-m ").removesuffix(".py")).main
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in COMMANDS[command])
