"""A model enters the store whole, and nothing that is not as it was registered comes out of it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import evaluate
from plan_recommender.model import store as model_store
from plan_recommender.model.record import DOCUMENT_FILE, MODEL_NAME, PIPELINE_FILE
from tests.conftest import Answer, Command, leave_out, run
from tools.server import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", "30"])
def test_the_documents_bytes_do_not_depend_on_pythons_hash_seed(
    model: model_store.RegisteredModel, hash_seed: str
) -> None:
    compiled = run(
        *("-m", "tests.programs.compile_again", model.path / PIPELINE_FILE),
        model.path / DOCUMENT_FILE,
        env={"PYTHONHASHSEED": hash_seed},
    )
    assert compiled.returncode == 0, compiled.stderr
    assert compiled.stdout.strip() == model.record.digests[DOCUMENT_FILE]


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [{"BENTOML_HOME": "/somewhere"}, {"BENTOML_HOME": "~/$PART/x"}, {}, {"BENTOML_HOME": "relative"}],
    ids=["a folder", "with a variable", "unset", "relative"],
)
def test_the_store_is_where_bentoml_says_that_it_is(environment: dict[str, str], tmp_path: Path) -> None:
    """Whoever only reads a model does not import BentoML, which takes longer than all else at a command's start."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.programs.store_path"],
        env={"HOME": str(tmp_path), "PART": "part", "PATH": os.environ["PATH"]} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    without, imported, with_bentoml = found.stdout.split()
    assert imported == "False"
    assert without == with_bentoml != "None"


def _earlier_schema(record: dict[str, Any]) -> None:
    record["schema_version"] = 2


def _no_document_digest(record: dict[str, Any]) -> None:
    del record["digests"][DOCUMENT_FILE]


def _digest_of_an_unknown_file(record: dict[str, Any]) -> None:
    record["digests"]["scorer.onnx"] = "0" * 64


def _threshold(record: dict[str, Any]) -> None:
    record["threshold"] = {"value": 0.5}


def _unknown_key(record: dict[str, Any]) -> None:
    record["extra"] = 1


@pytest.fixture
def description(store: Path, copy_store: Callable[[Path], Path]) -> Path:
    """What describes the trained model, in a store of the test's own."""
    return copy_store(store.parent) / "model.yaml"


def test_an_untouched_copy_is_taken(command: Command, description: Path, tmp_path: Path) -> None:
    """The control of the two tests below."""
    assert command(evaluate.main, "--artifacts", tmp_path / "evaluation").code == 0


@pytest.mark.parametrize(
    "change", [_earlier_schema, _no_document_digest, _digest_of_an_unknown_file, _threshold, _unknown_key]
)
def test_a_record_that_training_would_not_write_is_refused(
    command: Command, description: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    content = yaml.safe_load(description.read_text())
    change(content["metadata"]["plan_recommender"])
    description.write_text(yaml.safe_dump(content))
    answer = command(evaluate.main, "--artifacts", tmp_path / "evaluation")
    assert_refused(answer, "expected the record that train.py stores with a model")


@pytest.mark.parametrize("garbage", ["{[", "", "- a\n- b\n", "\x00"])
def test_a_garbled_model_file_is_refused_in_one_sentence(
    command: Command, description: Path, tmp_path: Path, garbage: str
) -> None:
    description.write_text(garbage)
    assert_refused(command(evaluate.main, "--artifacts", tmp_path / "evaluation"), "found one that BentoML cannot read")


@pytest.mark.slow
def test_a_store_on_a_volume_of_its_own_is_written_too(quick: Path, tmp_path: Path) -> None:
    shm = Path("/dev/shm")  # noqa: S108  # another file system; mkdtemp makes a folder there that is nobody else's
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        leave_out("there is no second file system at /dev/shm, so no store on a volume of its own was tried")
    volume = Path(tempfile.mkdtemp(dir=shm))
    try:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "models").symlink_to(volume)
        env = {"BENTOML_HOME": str(tmp_path / "home")}
        trained = run("train.py", "--config", quick, "--artifacts", tmp_path / "artifacts", env=env)
        assert (trained.returncode, trained.stderr) == (0, "")
        tag = json.loads((tmp_path / "artifacts" / "run.json").read_text())["model"]
        assert (volume / MODEL_NAME / "latest").read_text() == tag.partition(":")[2]
        assert run("evaluate.py", "--artifacts", tmp_path / "evaluation", env=env).returncode == 0
    finally:
        shutil.rmtree(volume)


def assert_refused(answer: Answer, sentence: str) -> None:
    assert (answer.code, answer.out) == (2, "")
    last = answer.err.splitlines()[-1]  # BentoML may have logged what it could not read
    assert last.startswith("error: ")
    assert sentence in last
