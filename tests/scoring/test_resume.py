"""A run that is killed leaves no output, and the next one goes on where it was: the same bytes come out."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plan_recommender.config.table_format import TableFormat
from plan_recommender.errors import OutputError, TableError
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.store import RegisteredModel
from plan_recommender.scoring import outputs
from plan_recommender.scoring.answers import Answerer
from plan_recommender.scoring.counts import Counts
from plan_recommender.scoring.files import Scoring, Task, score_file
from plan_recommender.scoring.journal import Checkpoint, Journal, only_one
from plan_recommender.scoring.outputs import discard, forget
from tests.scoring.kills import kill_and_continue

RUN: dict[str, Any] = {"model": "a digest"}


class Killed(BaseException):
    """In the place of a kill: nothing handles it."""


@pytest.fixture
def scoring(model: RegisteredModel, monkeypatch: pytest.MonkeyPatch) -> Scoring:
    monkeypatch.setattr(outputs, "CHECKPOINT_BYTES", 2_000)
    return Scoring(Answerer(model.document()), TableFormat(), None, 1, RUN, 500)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    lines = [f"{i},{'x' if i % 9 == 4 else i},{i}.5,{i},{i * 20}" for i in range(1_000)]
    (tmp_path / "in.csv").write_text("\n".join(["id,calls,minutes,messages,mb_used", *lines]) + "\n")
    return Task(tmp_path / "in.csv", tmp_path / "out.csv", tmp_path / "out.rejects.csv")


@pytest.fixture
def whole(task: Task, scoring: Scoring) -> tuple[bytes, bytes]:
    """What a run without a kill writes."""
    score_file(task, replace(scoring, run=None))
    result = task.output.read_bytes(), task.rejects.read_bytes()
    task.output.unlink()
    task.rejects.unlink()
    return result


@pytest.fixture
def kill_after(task: Task, scoring: Scoring, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Kill a run once it has noted so many places."""

    def execute(places: int) -> None:
        note, left = Journal.note, [places]

        def noting(self: Journal, checkpoint: Checkpoint) -> None:
            note(self, checkpoint)
            left[0] -= 1
            if not left[0]:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "note", noting)
            with pytest.raises(Killed):
                score_file(task, scoring)

    return execute


def test_two_runs_do_not_write_the_same_rejects(task: Task, scoring: Scoring, whole: tuple[bytes, bytes]) -> None:
    other = task._replace(output=task.output.with_name("other.csv"))
    refused = pytest.raises(OutputError, match="expected to be the only run with --resume that writes it, found one")
    with only_one(task.rejects.with_name(".out.rejects.csv.part")), refused:  # as another run has it
        score_file(other, scoring)
    score_file(other, scoring)  # the control
    assert (other.output.read_bytes(), task.rejects.read_bytes()) == whole


def test_only_a_file_is_replaced(task: Task, scoring: Scoring) -> None:
    os.mkfifo(task.output)
    with pytest.raises(OutputError, match="Not a regular file"):
        score_file(task, scoring)
    assert task.output.is_fifo()
    assert hidden(task.output.parent) == []


def test_a_symbolic_link_in_the_place_of_a_part_is_not_followed(task: Task, scoring: Scoring) -> None:
    precious = task.output.with_name("precious")
    precious.write_text("precious")
    task.output.with_name(".out.csv.part").symlink_to(precious)
    with pytest.raises(OutputError, match="Too many levels of symbolic links"):
        score_file(task, scoring)
    assert precious.read_text() == "precious"


def test_a_complete_run_removes_what_a_killed_one_left_unless_one_is_at_it(
    task: Task, scoring: Scoring, kill_after: Callable[[int], None]
) -> None:
    kill_after(1)
    left = hidden(task.output.parent)
    assert left == [".out.csv.journal", ".out.csv.part", ".out.rejects.csv.part"]
    with only_one(task.output.with_name(left[0])):
        discard(task.output, task.rejects)
        assert hidden(task.output.parent) == left
    discard(task.output, task.rejects)
    assert hidden(task.output.parent) == []


def results(task: Task) -> tuple[bytes, bytes]:
    return task.output.read_bytes(), task.rejects.read_bytes()


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


PARTS = [".out.csv.journal", ".out.csv.part", ".out.rejects.csv.part"]


@pytest.mark.parametrize("places", [1, 3, 7])
def test_a_run_goes_on_where_one_was_killed(
    task: Task, scoring: Scoring, whole: tuple[bytes, bytes], kill_after: Callable[[int], None], places: int
) -> None:
    kill_after(places)
    assert not task.output.exists()
    assert not task.rejects.exists()
    assert hidden(task.source.parent) == PARTS
    with (task.output.with_name(".out.csv.part")).open("ab") as part:
        part.write(b"what was written after the last place that was noted")
    counts = score_file(task, scoring)
    assert results(task) == whole
    assert counts.earlier >= 2_000 * places / 30
    assert (counts.rows, counts.scored, counts.rejected) == (1_000, 889, 111)
    forget(task.output)
    assert hidden(task.source.parent) == []


def torn(journal: Path) -> None:
    content = journal.read_bytes()
    journal.write_bytes(content[: content.rstrip(b"\n").rindex(b"\n") + 20])


def altered(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes().replace(b'"rejected":', b'"rejected":1', 1))


@pytest.mark.parametrize(("damage", "goes_on"), [(torn, True), (altered, False)])
def test_a_damaged_line_of_the_journal_and_those_behind_it_do_not_count(
    task: Task,
    scoring: Scoring,
    whole: tuple[bytes, bytes],
    kill_after: Callable[[int], None],
    damage: Callable[[Path], None],
    goes_on: bool,
) -> None:
    kill_after(4)
    damage(task.output.with_name(".out.csv.journal"))
    counts = score_file(task, scoring)
    assert results(task) == whole
    assert (counts.earlier > 0) == goes_on


def shorter_part(task: Task) -> None:
    os.truncate(task.output.with_name(".out.csv.part"), 100)


def no_part(task: Task) -> None:
    task.rejects.with_name(".out.rejects.csv.part").unlink()


def other_input(task: Task) -> None:
    os.utime(task.source, (1, 1))


@pytest.mark.parametrize("change", [shorter_part, no_part, other_input])
def test_a_run_begins_anew_where_it_cannot_go_on(
    task: Task,
    scoring: Scoring,
    whole: tuple[bytes, bytes],
    kill_after: Callable[[int], None],
    change: Callable[[Task], None],
) -> None:
    kill_after(4)
    change(task)
    assert score_file(task, scoring).earlier == 0
    assert results(task) == whole


def test_another_model_begins_anew(
    task: Task, scoring: Scoring, whole: tuple[bytes, bytes], kill_after: Callable[[int], None]
) -> None:
    kill_after(4)
    assert score_file(task, replace(scoring, run=RUN | {"model": "another"})).earlier == 0
    assert results(task) == whole


def test_between_the_two_renames_there_is_nothing_left_to_score(
    task: Task, scoring: Scoring, whole: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target == task.output:
            raise Killed
        return replace_file(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            score_file(task, scoring)
    assert not task.output.exists()
    assert task.rejects.read_bytes() == whole[1]
    counts = score_file(task, scoring)
    assert results(task) == whole
    assert counts == Counts(1_000, 889, 111, counts.ultra, [0] * 4, counts.first_reject)


def test_a_second_run_of_the_same_output_is_refused(
    task: Task, scoring: Scoring, kill_after: Callable[[int], None]
) -> None:
    with outputs.resumable(task.output, task.rejects, ",", RUN) as first:
        with pytest.raises(OutputError, match=r"expected to be the only run with --resume that writes it, found one"):
            score_file(task, scoring)
        first.output.write(b"x")


def test_a_file_that_is_refused_leaves_nothing(task: Task, scoring: Scoring) -> None:
    content = task.source.read_text()
    task.source.write_text(content + "x" * 200_000 + "\n")
    with pytest.raises(TableError, match="field larger than field limit"):
        score_file(task, scoring)
    assert [path.name for path in task.source.parent.iterdir()] == ["in.csv"]
    task.source.write_text(content)  # the control
    score_file(task, scoring)


@pytest.mark.slow
def test_killed_runs_end_with_the_bytes_of_a_run_without_a_kill(model: RegisteredModel, tmp_path: Path) -> None:
    tally = kill_and_continue(model.path / DOCUMENT_FILE, tmp_path, 6)
    assert tally.different == 0
    assert tally.kills == 6
    assert tally.continued
