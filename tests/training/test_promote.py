"""The alias `:champion`: it follows `:latest` until somebody chooses, then it stays, and BentoML does not mind it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bentoml
import pytest

import evaluate
from plan_recommender.errors import ModelError
from plan_recommender.model import store as model_store
from plan_recommender.model.record import DOCUMENT_FILE, MODEL_NAME
from plan_recommender.training import publish
from tests.conftest import Command
from tools import promote, rollback

Copy = Callable[[str], str]


@pytest.fixture
def copy(store: Path, model: model_store.RegisteredModel) -> Copy:
    """Put a copy of the trained model into the store under another version, as the latest; returns its tag."""

    def make(version: str) -> str:
        folder = store / MODEL_NAME / version
        shutil.copytree(model.path, folder)
        description = folder / "model.yaml"
        description.write_text(description.read_text().replace(model.tag.partition(":")[2], version))
        publish.promote(model_store.find(f"{MODEL_NAME}:{version}"))
        return f"{MODEL_NAME}:{version}"

    return make


def champion() -> str:
    return model_store.find(model_store.CHAMPION).tag


def test_it_follows_the_latest_until_somebody_chooses_and_then_stays(command: Command, copy: Copy) -> None:
    a = copy("a")
    assert champion() == a
    b = copy("b")
    assert champion() == model_store.find().tag == b
    answer = command(promote.main, a)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"plan_recommender:champion is now {a} (trained ")
    assert answer.out.endswith("; before, it followed plan_recommender:latest\n")
    c = copy("c")
    assert (champion(), model_store.find().tag) == (a, c)
    assert command(rollback.main).code == 0
    assert (champion(), model_store.find().tag) == (a, b)
    assert command(promote.main, model_store.CHAMPION).out.endswith("; it was already\n")
    assert command(promote.main).out.endswith(f"; it was {a}\n")
    assert champion() == b


def test_only_a_model_that_can_answer_is_chosen(command: Command, copy: Copy, store: Path) -> None:
    a, b = copy("a"), copy("b")
    assert command(promote.main, a).code == 0
    (store / MODEL_NAME / "b" / DOCUMENT_FILE).write_bytes(b"")
    answer = command(promote.main, b)
    assert (answer.code, champion()) == (2, a)
    assert "model.json: expected the registered model document, found an altered one" in answer.err
    answer = command(promote.main, "plan_recommender:nowhere")
    assert (answer.code, champion()) == (2, a)
    assert "expected the model plan_recommender:nowhere in the BentoML model store" in answer.err


def test_a_champion_that_was_deleted_is_named_with_its_alias(command: Command, copy: Copy) -> None:
    a, _ = copy("a"), copy("b")
    assert command(promote.main, a).code == 0
    bentoml.models.delete(a)
    with pytest.raises(ModelError) as raised:
        champion()
    assert f"expected the model {a}, which plan_recommender:champion names, in the BentoML" in str(raised.value)


def test_commands_take_it_for_a_model(command: Command, copy: Copy, tmp_path: Path) -> None:
    a, _ = copy("a"), copy("b")
    assert command(promote.main, a).code == 0
    answer = command(evaluate.main, "--model", model_store.CHAMPION, "--artifacts", tmp_path / "evaluation")
    assert answer.code == 0
    assert a in answer.out


@pytest.mark.slow
def test_bentoml_lists_gets_and_deletes_models_beside_it(command: Command, copy: Copy, store: Path) -> None:
    a, b = copy("a"), copy("b")
    assert command(promote.main, a).code == 0

    def bentoml_models(*arguments: str) -> str:
        program = Path(sys.executable).with_name("bentoml")
        environment = {"BENTOML_HOME": str(store.parent), "BENTOML_DO_NOT_TRACK": "True", "PATH": "/usr/bin:/bin"}
        ended = subprocess.run(
            [program, "models", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
        return ended.stdout

    listed = bentoml_models("list")
    assert a in listed
    assert b in listed
    assert "champion" not in listed
    assert "version: b" in bentoml_models("get", model_store.LATEST)
    bentoml_models("delete", "--yes", b)
    assert champion() == model_store.find().tag == a
    bentoml_models("delete", "--yes", a)
    assert not (store / MODEL_NAME).exists()
