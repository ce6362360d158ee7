"""Going back to an earlier model: to the one that was the latest before, whatever has happened to the present one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plan_recommender.model import store as model_store
from plan_recommender.model.record import DOCUMENT_FILE, MODEL_NAME
from plan_recommender.training import publish
from tests.conftest import Command, TrainedModel
from tools import rollback

Register = Callable[[str], str]


@pytest.fixture
def register(store: Path, trained: TrainedModel, model: model_store.RegisteredModel) -> Register:
    """Register a copy of the trained model under another version, as training does; returns its tag."""

    def make(version: str) -> str:
        home = store / MODEL_NAME
        shutil.copytree(model.path, home / version)
        document = home / version / "model.yaml"
        document.write_text(document.read_text().replace(model.tag.partition(":")[2], version))
        publish.promote(model_store.find(f"{MODEL_NAME}:{version}"))
        return f"{MODEL_NAME}:{version}"

    return make


def test_each_step_goes_to_what_was_the_latest_before(command: Command, register: Register) -> None:
    a, b, _ = register("a"), register("b"), register("c")
    answer = command(rollback.main)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"plan_recommender:latest is now {b} (trained ")
    assert answer.out.endswith("; it was plan_recommender:c\n")
    assert model_store.find().tag == b
    assert command(rollback.main).code == 0
    assert model_store.find().tag == a
    register("d")
    assert command(rollback.main).code == 0
    assert model_store.find().tag == a  # and not c, which was rolled back
    answer = command(rollback.main)
    assert (answer.code, model_store.find().tag) == (2, a)
    assert "expected a model that was the latest before a and can answer, found none" in answer.err


def test_a_named_model_becomes_the_latest_and_the_way_back_is_kept(command: Command, register: Register) -> None:
    a, b = register("a"), register("b")
    assert command(rollback.main, a).code == 0
    assert model_store.find().tag == a
    assert "it was already" in command(rollback.main, a).out
    assert command(rollback.main).code == 0
    assert model_store.find().tag == b


@pytest.mark.parametrize("damaged", ["model.yaml", DOCUMENT_FILE])
def test_a_damaged_latest_does_not_stand_in_the_way(
    command: Command, register: Register, store: Path, damaged: str
) -> None:
    a, _ = register("a"), register("b")
    (store / MODEL_NAME / "b" / damaged).write_text("{")
    assert command(rollback.main).code == 0
    assert model_store.find().tag == a


def test_models_that_cannot_answer_are_passed_over(command: Command, register: Register, store: Path) -> None:
    a, _, _, _ = register("a"), register("b"), register("c"), register("d")
    (store / MODEL_NAME / "c" / DOCUMENT_FILE).write_bytes(b"")
    shutil.rmtree(store / MODEL_NAME / "b")
    assert command(rollback.main).code == 0
    assert model_store.find().tag == a


def test_a_model_that_cannot_answer_does_not_become_the_latest(
    command: Command, register: Register, store: Path
) -> None:
    a, b = register("a"), register("b")
    (store / MODEL_NAME / "a" / DOCUMENT_FILE).write_bytes(b"")
    answer = command(rollback.main, a)
    assert (answer.code, model_store.find().tag) == (2, b)
    assert "model.json: expected the registered model document, found an altered one" in answer.err
