"""What stops a start: no model, or one that is not as it was registered. One sentence, soon, and nothing served."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

import evaluate
import predict
from loadtest.trials.service import workers
from plan_recommender.model.digests import sha256
from plan_recommender.model.record import DOCUMENT_FILE, PIPELINE_FILE
from tests.conftest import Command, Main, run, using
from tools.server import ROOT, ServerDidNotStartError, serving

pytestmark = pytest.mark.slow

Damage = Callable[[Path], object]


def _truncate(model: Path) -> None:
    document = model / DOCUMENT_FILE
    document.write_bytes(document.read_bytes()[:100])


def _flip_a_bit(model: Path) -> None:
    document = model / DOCUMENT_FILE
    content = bytearray(document.read_bytes())
    content[len(content) // 2] ^= 1
    document.write_bytes(content)


def _enormous(model: Path) -> None:
    os.truncate(model / DOCUMENT_FILE, 200_000_000)


def _of_an_earlier_version(model: Path) -> None:
    """The document has an earlier schema, and the record says that it was registered so."""
    document = model / DOCUMENT_FILE
    content = json.loads(document.read_text())
    assert content["schema_version"] == 2
    document.write_text(json.dumps(content | {"schema_version": 1}))
    record = yaml.safe_load((model / "model.yaml").read_text())
    record["metadata"]["plan_recommender"]["digests"][DOCUMENT_FILE] = sha256(document)
    (model / "model.yaml").write_text(yaml.safe_dump(record))


def _other_schema(model: Path) -> None:
    document = yaml.safe_load((model / "model.yaml").read_text())
    document["metadata"]["plan_recommender"]["features"].reverse()
    (model / "model.yaml").write_text(yaml.safe_dump(document))


def _no_record(model: Path) -> None:
    document = yaml.safe_load((model / "model.yaml").read_text())
    document["metadata"] = {}
    (model / "model.yaml").write_text(yaml.safe_dump(document))


def _empty_record(model: Path) -> None:
    (model / "model.yaml").write_text("")


def _not_utf8(model: Path) -> None:
    (model / "model.yaml").write_bytes(b"name: \xff\xfe\n")


@pytest.fixture
def store(tmp_path: Path, copy_store: Callable[[Path], Path]) -> Path:
    """The folder of the trained model in a store of its own, to be damaged."""
    return copy_store(tmp_path)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no model": (lambda model: shutil.rmtree(model.parent), "train one with `python train.py`"),
    "an empty record": (_empty_record, "found one that BentoML cannot read: "),
    "a record that is not UTF-8": (_not_utf8, "found one that BentoML cannot read: "),
    "no document": (
        lambda model: (model / DOCUMENT_FILE).unlink(),
        "expected the registered model document, found none that can be read (No such file or directory)",
    ),
    "truncated": (_truncate, "expected the registered model document, found an altered one"),
    "one bit flipped": (_flip_a_bit, "expected the registered model document, found an altered one"),
    "200 MB": (_enormous, "expected the registered model document, found an altered one"),
    "an earlier schema": (_of_an_earlier_version, "of schema 2; schema_version: Input should be 2, found 1; train"),
    "another schema": (_other_schema, "found one for ['mb_used', 'messages', 'minutes', 'calls']"),
    "no record": (_no_record, "expected the record that train.py stores with a model"),
}


@pytest.fixture(scope="module")
def said(copy_store: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What stops the start with each damage, found in one process; with none of them, nothing."""
    homes = {}
    for name, (damage, _) in (DAMAGES | {"none": (lambda _: None, "")}).items():
        homes[name] = tmp_path_factory.mktemp("damaged")
        damage(copy_store(homes[name]))
    asked = run("-W", "ignore", "-m", "tests.programs.before_workers_start", *homes.values())
    assert asked.returncode == 0, asked.stderr
    found: list[str] = json.loads(asked.stdout.splitlines()[-1])
    return dict(zip(homes, found, strict=True))


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model_is_told_in_one_sentence_before_workers_start(said: dict[str, str], name: str) -> None:
    assert said["none"] == "", "the control"
    assert DAMAGES[name][1] in said[name]
    assert len(said[name].splitlines()) == 1


@pytest.mark.parametrize("name", ["no model", "one bit flipped"])
def test_a_damaged_model_stops_the_start_with_one_sentence(store: Path, name: str) -> None:
    damage, sentence = DAMAGES[name]
    damage(store)
    started = time.monotonic()
    with pytest.raises(ServerDidNotStartError) as failure, serving(env={"BENTOML_HOME": str(store.parents[2])}):
        pass
    assert time.monotonic() - started < 20
    assert "ended with 1" in str(failure.value)
    log = str(failure.value).partition("\n")[2]
    assert sentence in log
    assert "Traceback" not in log


def test_a_worker_that_finds_no_model_says_so_in_one_sentence_until_it_is_back(store: Path) -> None:
    """The control of the test above, with a damaged pipeline, which does not concern the service.

    It never opens the pickle, so not even a hostile one can hurt it.
    """
    (store / PIPELINE_FILE).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    away = store.parents[2] / "away"
    with serving(env={"BENTOML_HOME": str(store.parents[2])}) as server:
        store.rename(away)
        for worker in workers(server):
            worker.kill()
        sentence = "[CRITICAL] [entry_service:plan_recommender:1] expected the model"
        deadline = time.monotonic() + 30
        while server.log.read_text().count(sentence) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        away.rename(store)
        assert httpx.get(f"{server.url}/health", timeout=30).json()["status"] == "ok"
        log = server.log.read_text()
    assert log.count(sentence) >= 2
    assert "ended with exit code 3; another takes its place in 1 s\n" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("main", [predict.main, evaluate.main], ids=["predict.py", "evaluate.py"])
def test_the_commands_name_the_missing_model_and_what_to_do(main: Main, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with using(tmp_path / "empty"):
        arguments = ["--input", ROOT / "users_behavior.csv", "--output", out] if main is predict.main else []
        answer = command(main, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: expected the model plan_recommender:latest in the BentoML model store")
    assert "python train.py" in answer.err
    assert len(answer.err.splitlines()) == 1
    assert not out.exists()
