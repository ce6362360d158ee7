"""What the README shows is what happens: its commands are run, in order, and print what it says they print."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark.page import BEGIN, key_figures, with_key_figures
from plan_recommender.report.pages import CARDS
from tests.conftest import TrainedModel, engine_client
from tools import cards
from tools.container import NAME, docker
from tools.server import FROM_SOURCE, ROOT, free_port, serving

README = (ROOT / "README.md").read_text()
SERVE = f"bentoml serve {FROM_SOURCE}"
ITSELF = "make test"  # what runs this
OF_THE_IMAGE = ("make containerize", "make start-demo", "make stop-demo")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Step:
    """A command of the README, and the output that stands below it."""

    command: str
    output: str


def steps() -> Iterator[Step]:
    for block in re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Step(command, output)


def shows(documented: list[str], printed: list[str]) -> bool:
    """Whether lines were printed as documented: `...` stands for any lines, a tag or a time for any other.

    Numbers may differ in what another processor rounds otherwise, one part in a million.
    """
    if not documented:
        return not printed
    if documented[0] == "...":
        return any(shows(documented[1:], printed[start:]) for start in range(len(printed) + 1))
    return bool(printed) and _alike(documented[0], printed[0]) and shows(documented[1:], printed[1:])


def _alike(documented: str, printed: str) -> bool:
    varies = r"plan_recommender:[a-z0-9]{16}| +[0-9]+ ms$"  # a tag, or how long something took
    one, other = (re.sub(varies, "VARIES", line) for line in (documented, printed))
    number = r"[0-9][0-9,]*(?:\.[0-9]+)?(?:e-?[0-9]+)?"
    if re.sub(number, "N", one) != re.sub(number, "N", other):
        return False
    values = [[float(n.replace(",", "")) for n in re.findall(number, line)] for line in (one, other)]
    return values[0] == pytest.approx(values[1], rel=1e-6, abs=1e-15)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What git tracks, with this environment as its .venv."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    place = tmp_path / "checkout"
    for name in filter(None, tracked.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place / name)
    (place / ".venv").symlink_to(sys.prefix)
    for lock in (place / "requirements").glob("*.txt"):
        os.utime(lock, (0, 0))  # older than the environment, so that make takes it as it is
    return place


def test_every_command_of_the_readme_does_what_the_readme_says(checkout: Path, tmp_path: Path) -> None:
    home = {"BENTOML_HOME": str(tmp_path / "home")}
    environment = os.environ | home | {"PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    commands = [step.command for step in steps()]
    assert commands[:2] == ["make demo", ITSELF]
    url = "http://127.0.0.1:3000"
    with ExitStack() as stack:
        for step in steps():
            if step.command == ITSELF or step.command in OF_THE_IMAGE:
                continue
            if step.command == SERVE:
                url = stack.enter_context(serving(cwd=checkout, env=home)).url
                continue
            command = step.command.replace("http://127.0.0.1:3000", url)
            command = command.replace("examples/client.py", f"examples/client.py {url}")
            ran = subprocess.run(["bash", "-c", command], cwd=checkout, env=environment, capture_output=True, text=True)
            expected_code = 1 if "verdict: drift" in step.output else 0
            assert ran.returncode == expected_code, f"{step.command}\n{ran.stdout}{ran.stderr}"
            if step.output:
                message = f"{step.command} printed:\n{ran.stdout}"
                assert shows(step.output.splitlines(), ran.stdout.splitlines()), message


def test_every_command_of_the_readme_about_the_image_does_what_the_readme_says(
    checkout: Path, copy_store: Callable[[Path], Path], tmp_path: Path
) -> None:
    engine_client()
    copy_store(tmp_path / "home")
    port = str(free_port())
    environment = os.environ | {"BENTOML_HOME": str(tmp_path / "home"), "PORT": port, "MAKEFLAGS": "", "MAKELEVEL": "0"}
    of_the_image = [step for step in steps() if step.command in OF_THE_IMAGE]
    assert [step.command for step in of_the_image] == list(OF_THE_IMAGE)
    with ExitStack() as stack:
        stack.enter_context(_keeping_the_latest_image())
        stack.callback(subprocess.run, OF_THE_IMAGE[-1].split(), cwd=checkout, env=environment, check=False)
        for step in of_the_image:
            ran = subprocess.run(step.command.split(), cwd=checkout, env=environment, capture_output=True, text=True)
            assert ran.returncode == 0, f"{step.command}\n{ran.stdout}{ran.stderr}"
            for image in re.findall(rf"^({NAME}:[a-z0-9]{{16}})[:,] ", ran.stdout, re.MULTILINE):
                stack.callback(docker, "image", "rm", "--force", image)
            output = step.output.replace(":3000;", f":{port};")
            assert shows(output.splitlines(), ran.stdout.splitlines()), f"{step.command} printed:\n{ran.stdout}"


@contextmanager
def _keeping_the_latest_image() -> Iterator[None]:
    """Afterwards the name is what it was: the tests share the engine with whoever runs them."""
    latest = f"{NAME}:latest"
    before = docker("images", "--quiet", "--no-trunc", latest).strip()
    yield
    docker("image", "rm", "--force", latest)
    if before:
        docker("tag", before, latest)


def test_a_wrong_output_would_be_noticed() -> None:
    """The control of the test above."""
    assert shows(["registered plan_recommender:aaaaaaaaaaaaaaaa"], ["registered plan_recommender:bbbbbbbbbbbbbbbb"])
    assert shows(["accuracy 0.6100000001"], ["accuracy 0.61"])
    assert not shows(["accuracy 0.61"], ["accuracy 0.6101"])
    assert not shows(["accuracy 0.61"], ["precision 0.61"])
    assert not shows(["3,214 rows"], ["3,215 rows"])
    assert shows(["a", "...", "b"], ["a", "x", "y", "b"])
    assert not shows(["a", "...", "b"], ["a", "x"])
    assert not shows(["a"], ["a", "b"])


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(r"`make ([a-z-]+)", document.read_text()))
    declared = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= declared


CONTRACT_TARGETS = (
    "install demo test lint check train evaluate predict drift serve build containerize loadtest benchmark clean"
)


@pytest.mark.parametrize("target", CONTRACT_TARGETS.split())
def test_every_target_of_the_contract_is_in_the_makefile_and_in_its_help(target: str) -> None:
    planned = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert planned.returncode == 0, planned.stderr
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^{target} +\S", shown, re.MULTILINE)


COMMANDS = {
    "train.py": ["--config", "--data", "--artifacts", "--seed", "--search", "--mlflow"],
    "evaluate.py": ["--data", "--model", "--artifacts"],
    "predict.py": ["--input", "--output", "--model", "--rejects"],
    "drift.py": ["--ref", "--cur", "--features", "--out", "--html"],
    "-m benchmark.serving": ["--seconds", "--rounds", "--only", "--open-seconds", "--mlserver-python", "--out"],
    "-m tools.synthesise": ["--rows", "--seed", "--out", "--shift"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_option_of_the_contract(command: str) -> None:
    shown = subprocess.run([sys.executable, *command.split(), "--help"], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0
    assert all(option in shown.stdout for option in COMMANDS[command])
