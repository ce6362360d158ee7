"""Looks at a test part are counted by model, whether it was registered or refused."""

import json
from pathlib import Path

import pytest

from plan_recommender.config.settings import Settings
from plan_recommender.training import looks
from tests.training.candidates import shipped

SETTINGS = Settings()
MORE_FOLDS = Settings.model_validate({"selection": {"folds": 4}})
ELSEWHERE = Settings.model_validate({"artifacts": {"directory": "/tmp/other"}, "data": {"path": "/tmp/copy.csv"}})  # noqa: S108  # only named


def refused(champion: str = "average", settings: Settings = SETTINGS, seed: int = 42, share: float = 0.2) -> looks.Look:
    return looks.look("train.py", None, shipped(), seed, share, looks.digest_of_run(champion, settings))


@pytest.mark.parametrize(
    ("again", "others"),
    [
        (refused(), 0),
        (refused(settings=ELSEWHERE), 0),
        (refused(seed=7), 1),
        (refused(share=0.3), 1),
        (refused("boosted_trees"), 1),
        (refused(settings=MORE_FOLDS), 1),
        (looks.look("train.py", "plan_recommender:a", shipped(), 42, 0.2), 1),
    ],
)
def test_the_same_refused_run_is_not_another_model(tmp_path: Path, again: looks.Look, others: int) -> None:
    artifacts = tmp_path / "artifacts"
    assert looks.note(artifacts, refused()) == 0
    assert looks.note(artifacts, again) == others
    assert looks.note(artifacts, looks.look("evaluate.py", "plan_recommender:b", shipped(), 42, 0.2)) == 1 + others


def test_refused_looks_of_an_older_version_count_one_by_one(tmp_path: Path) -> None:
    old = refused().model_dump(exclude={"run"})
    (tmp_path / "looks.jsonl").write_text(f"{json.dumps(old)}\n" * 2 + "not JSON\n")
    assert looks.note(tmp_path / "artifacts", refused()) == 2


def test_the_same_registered_run_again_is_not_another_model(tmp_path: Path) -> None:
    def of(tag: str, settings: Settings = SETTINGS) -> looks.Look:
        return looks.look("train.py", tag, shipped(), 42, 0.2, looks.digest_of_run("average", settings))

    artifacts = tmp_path / "artifacts"
    assert looks.note(artifacts, of("plan_recommender:a")) == 0
    assert looks.note(artifacts, looks.look("evaluate.py", "plan_recommender:a", shipped(), 42, 0.2)) == 0
    assert looks.note(artifacts, of("plan_recommender:b")) == 0
    assert looks.note(artifacts, refused()) == 0  # as it would be beside its own model
    assert looks.note(artifacts, of("plan_recommender:c", MORE_FOLDS)) == 1
    assert looks.note(artifacts, looks.look("evaluate.py", "plan_recommender:a", shipped(), 42, 0.2)) == 1


def test_a_history_in_a_new_folder_is_begun_and_one_of_an_older_version_is_read(tmp_path: Path) -> None:
    artifacts = tmp_path / "new" / "folder" / "artifacts"
    assert looks.note(artifacts, refused()) == 0
    history = looks.file_beside(artifacts)
    history.write_text(history.read_text().replace('"run"', '"refused"'))
    assert looks.note(artifacts, refused()) == 0
    assert looks.note(artifacts, refused(seed=7)) == 1


def test_the_sentence_names_the_history_that_it_is_from(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "artifacts").symlink_to("real")
    path = looks.file_beside(tmp_path / "artifacts")
    assert path == tmp_path / "looks.jsonl"
    assert looks.sentence(0, path).endswith(f"before, as far as {tmp_path.name}/looks.jsonl tells")
    assert (
        f"2 other models were measured on a test part of this table before ({tmp_path.name}/looks.jsonl): "
        in looks.sentence(2, path)
    )
