"""The walls between the packages: `make lint` fails on an import that goes through one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.server import ROOT

pytestmark = pytest.mark.slow

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
RUFF = Path(sys.executable).with_name("ruff")

FORBIDDEN = {
    "model/sql/statement.py": ["plan_recommender.cli", "plan_recommender.config.table_format"],
    "model/tables.py": ["plan_recommender.config.settings", "plan_recommender.data.csv_table", "plan_recommender.cli"],
    "serving/recommender.py": ["plan_recommender.training.candidates", "plan_recommender.config.load"],
    "serving/overload.py": ["uvicorn", "circus.watcher", "click"],
    "evaluation/metrics.py": ["plan_recommender.training.gate", "plan_recommender.serving.schemas"],
    "campaign/outcomes.py": ["plan_recommender.evaluation.comparison", "plan_recommender.config.settings"],
    "drift/verdict.py": ["plan_recommender.training.publish"],
    "data/synthesis.py": ["plan_recommender.cli", "plan_recommender.training.split"],
    "model/scorer.py": ["tools.demo", "train", "service", "drift"],
    "training/run.py": ["plan_recommender.cli", "plan_recommender.report.pages"],
}


def test_the_house_keeps_its_walls(copy: Path) -> None:
    linted = lint_imports(copy)
    assert linted.returncode == 0, linted.stdout
    assert " 0 broken." in linted.stdout


@pytest.mark.parametrize(
    ("module", "imported"), [(module, name) for module, names in FORBIDDEN.items() for name in names]
)
def test_an_import_through_a_wall_fails(copy: Path, module: str, imported: str) -> None:
    path = copy / "plan_recommender" / module
    path.write_text(f"{path.read_text()}\nimport {imported}\n")
    linted = lint_imports(copy)
    assert linted.returncode == 1, linted.stdout
    assert f"plan_recommender.{module.removesuffix('.py').replace('/', '.')} -> {imported.partition('.')[0]}" in (
        linted.stdout
    )


def test_a_package_that_no_wall_knows_fails(copy: Path) -> None:
    (copy / "plan_recommender" / "annex").mkdir()
    (copy / "plan_recommender" / "annex" / "__init__.py").write_text("")
    linted = lint_imports(copy)
    assert linted.returncode == 1, linted.stdout
    assert "annex" in linted.stdout


@pytest.mark.parametrize(
    "line",
    [
        "from bentoml._internal.configuration.containers import BentoMLContainer",
        "import _bentoml_impl.server",
        "from _bentoml_sdk.service import factory",
        "from uvicorn.protocols.http import auto",
        "import circus.watcher",
        "import bentoml_cli.serve",
    ],
)
def test_private_parts_of_other_packages_are_imported_in_one_place_only(line: str) -> None:
    assert "TID251" in private_import(line, "plan_recommender/serving/core.py")
    assert "TID251" not in private_import(line, "plan_recommender/serving/patches/uvicorn_seam.py")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, to be changed."""
    shutil.copytree(ROOT / "plan_recommender", tmp_path / "plan_recommender", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy2(ROOT / ".importlinter", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [LINT_IMPORTS, "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def private_import(line: str, name: str) -> str:
    command: list[str | Path] = [RUFF, "check", "--no-cache", "--select", "TID251", "--stdin-filename", name, "-"]
    ran = subprocess.run(command, input=f"{line}\n", cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout
