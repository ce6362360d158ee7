"""Training on identical data with identical settings, libraries and code registers nothing; whatever differs trains."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bentoml
import pytest
import yaml

import train
from plan_recommender.model import signatures
from plan_recommender.model import store as model_store
from plan_recommender.model.record import DOCUMENT_FILE, MODEL_NAME
from plan_recommender.training.code import code_digest
from tests.conftest import Answer, Command, using, write_quick_configuration
from tests.model.test_signatures import make_keys
from tests.pictures import blank_pictures
from tools import rollback

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, and the store and artifacts of a model that was trained with it."""
    folder = tmp_path_factory.mktemp("first")
    with using(folder / "home"), blank_pictures():
        assert train.main(["--config", str(write_quick_configuration(folder))]) == 0
    return folder


@pytest.fixture
def again(command: Command, store: Path, quick: Path, first: Path, tmp_path: Path) -> Callable[..., Answer]:
    """Begin with the first model; gives what trains once more, with more options."""
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    return lambda *options: command(train.main, "--config", quick, *options)


def registered() -> int:
    return len(bentoml.models.list(MODEL_NAME))


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """When each file was written, and what it holds."""
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def record_says(model: model_store.RegisteredModel, **fields: object) -> None:
    """Let the record of a model say something else; None: nothing."""
    path = model.path / "model.yaml"
    description: dict[str, Any] = yaml.safe_load(path.read_text())
    record = description["metadata"]["plan_recommender"]
    description["metadata"]["plan_recommender"] = {k: v for k, v in (record | fields).items() if v is not None}
    path.write_text(yaml.safe_dump(description))


def test_the_same_again_is_unchanged_and_nothing_is_written(again: Callable[..., Answer], tmp_path: Path) -> None:
    tag, before = model_store.find().tag, (state(tmp_path / "home"), state(tmp_path / "artifacts"))
    answer = again()
    assert (answer.code, answer.err) == (0, "")
    last = answer.out.splitlines()[-1]
    assert last.startswith(f"unchanged: {tag} was made from this table, with these settings, libraries and code")
    assert (state(tmp_path / "home"), state(tmp_path / "artifacts")) == before
    shutil.copy(Path("users_behavior.csv"), tmp_path / "the same under another name.csv")
    answer = again("--data", tmp_path / "the same under another name.csv", "--artifacts", tmp_path / "other")
    assert answer.out.splitlines()[-1].startswith(f"unchanged: {tag} ")
    assert not (tmp_path / "other").exists()


def test_a_model_without_a_signature_is_signed_if_there_is_a_key(again: Callable[..., Answer], tmp_path: Path) -> None:
    keys, model = make_keys(tmp_path / "keys"), model_store.find()
    answer = again("--signing-key", keys.private)
    assert (answer.code, answer.err, registered()) == (0, "", 1)
    assert "; it had no signature, and is signed now; " in answer.out.splitlines()[-1]
    signatures.verify_model(model.path, signatures.verifying_with(keys.public))
    assert "signed now" not in again("--signing-key", keys.private).out


def test_whoever_asks_for_it_gets_another_model_of_the_same(again: Callable[..., Answer]) -> None:
    first = model_store.find()
    answer = again("--again")
    second = model_store.find()
    assert (answer.code, answer.out.splitlines()[-1]) == (0, f"registered {second.tag}")
    assert second.tag != first.tag
    assert second.record.digests == first.record.digests


@pytest.mark.parametrize("what", ["seed", "settings", "advice", "libraries", "code", "unknown code", "damaged"])
def test_whatever_differs_trains(again: Callable[..., Answer], quick: Path, what: str) -> None:
    model, options = model_store.find(), []
    if what == "seed":
        options = ["--seed", "1"]
    elif what == "settings":
        quick.write_text(quick.read_text().replace("proof: {rows: 500}", "proof: {rows: 600}"))
    elif what == "advice":
        quick.write_text(quick.read_text() + "advice: {min_months: 3}\n")
    elif what == "libraries":
        record_says(model, versions=model.record.versions | {"numpy": "1.0"})
    elif what == "code":
        record_says(model, code="0" * 64)
    elif what == "unknown code":
        record_says(model, code=None)
    else:
        (model.path / DOCUMENT_FILE).write_text("{}")
    answer = again(*options)
    assert (answer.code, registered()) == (0, 2), answer.out


def test_after_a_rollback_the_same_is_compared_with_the_model_that_is_the_latest(
    again: Callable[..., Answer], command: Command
) -> None:
    first = model_store.find().tag
    assert again("--seed", "1").code == 0
    assert again().out.splitlines()[-1] == f"registered {model_store.find().tag}"  # the latest has another seed
    assert command(rollback.main, first).code == 0
    assert again().out.splitlines()[-1].startswith(f"unchanged: {first} ")


def test_the_digest_of_the_code_is_of_every_file_and_its_path(tmp_path: Path) -> None:
    assert code_digest() == code_digest()
    found = set()
    for name, content in (("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("part/b.py", "2")):
        shutil.rmtree(tmp_path / "package", ignore_errors=True)
        (tmp_path / "package" / "part").mkdir(parents=True)
        (tmp_path / "package" / name).write_text(content)
        found.add(code_digest(tmp_path / "package"))
        (tmp_path / "package" / "a.pyc").write_text("no code that anybody wrote")
        assert code_digest(tmp_path / "package") in found
    assert len(found) == 4
