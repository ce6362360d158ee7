"""The page on the model's document shows what the reader in JavaScript really prints, and names every field."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from plan_recommender.model import logistic
from plan_recommender.model.tables import MAX_LOG_ODDS, STEP, FeatureTable, ModelDocument, PairMap
from tests.conftest import TrainedModel, leave_out
from tests.docs.console import shows
from tools.server import ROOT

PAGE = (ROOT / "docs" / "model_format.md").read_text()


def test_the_example_prints_what_the_page_shows(trained: TrainedModel, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        leave_out("the reader in JavaScript is not tried: there is no node")
    (block,) = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    command, output = block
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "artifacts").symlink_to(trained.artifacts)
    ran = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert shows(output.splitlines(), ran.stdout.splitlines())


def test_every_field_of_the_document_is_on_the_page(trained: TrainedModel) -> None:
    document = json.loads((trained.artifacts / "model.json").read_text())
    assert set(document) == set(ModelDocument.model_fields)
    for part in (ModelDocument, FeatureTable, PairMap):
        for name in part.model_fields:
            assert f"`{name}" in PAGE, name


def test_the_constants_on_the_page_are_those_of_the_code() -> None:
    for constant in (logistic.INVERSE_LN2, logistic.LN2_HIGH, logistic.LN2_LOW, int(logistic.ROUNDING)):
        assert repr(constant) in PAGE
    assert STEP == 2**-44
    assert f"below\n{MAX_LOG_ODDS:g}," in PAGE
