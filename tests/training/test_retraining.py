"""retrain.py: a new model only if there is a reason and it is better; a line for each run, and nothing twice."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrain
import train
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.model import store as model_store
from plan_recommender.training import history
from plan_recommender.training.fresh_rows import FALSE_ALARMS, Ageing
from plan_recommender.training.history import Retraining
from tests.conftest import QUICK, Answer, Command, using
from tests.pictures import blank_pictures
from tools import rollback
from tools.retraining_rates import draw
from tools.server import ROOT

pytestmark = pytest.mark.slow

ROWS = 1500


class Life:
    """A service's folder: configuration, tables, artifacts, history and a store with a champion."""

    def __init__(self, folder: Path, command: Command) -> None:
        self.folder = folder
        self.config, self.artifacts = folder / "config.yaml", folder / "artifacts"
        self.history = folder / "retraining.jsonl"
        self._command = command
        settings = QUICK.format(data=ROOT / "users_behavior.csv").replace("margin: 0.2", "margin: 0.01")
        self.config.write_text(settings.replace("min_rows: 1", "min_rows: 100"), encoding="utf-8")

    def retrain(self, table: Path, *options: object) -> Answer:
        places = ("--config", self.config, "--artifacts", self.artifacts)
        return self._command(retrain.main, *places, "--data", table, *options)

    def table(self, kind: str, seed: int = 7) -> Path:
        drawn, path = draw(kind, ROWS, seed), self.folder / f"{kind.replace(' ', '_')}_{seed}.csv"
        rows = zip(drawn.features.tolist(), drawn.target.tolist(), strict=True)
        lines = [",".join(map(str, [*values, label])) for values, label in rows]
        path.write_text("\n".join(["calls,minutes,messages,mb_used,is_ultra", *lines]) + "\n")
        return path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.history.read_text().splitlines()]

    def state(self) -> dict[str, bytes]:
        """What a run could change beside the history."""
        kept = [model_store.store_path(), self.artifacts, self.folder / "looks.jsonl", self.folder / "refused"]
        files = [file for place in kept for file in ([place] if place.is_file() else sorted(place.rglob("*")))]
        return {str(file): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture
def empty(tmp_path: Path, command: Command) -> Iterator[Life]:
    with using(tmp_path / "home"), blank_pictures():
        yield Life(tmp_path, command)


@pytest.fixture
def life(empty: Life, command: Command) -> Life:
    answer = command(train.main, "--config", empty.config, "--artifacts", empty.artifacts)
    assert (answer.code, answer.err) == (0, "")
    return empty


def last(answer: Answer) -> str:
    return answer.out.splitlines()[-1]


def test_without_a_reason_nothing_is_trained_and_nobody_looks(life: Life) -> None:
    before, champion = life.state(), model_store.find().tag
    answer = life.retrain(life.table("nothing"))
    assert (answer.code, answer.err) == (0, "")
    assert last(answer) == f"unchanged: {champion} stays, because there is no reason for another model"
    assert life.state() == before
    (line,) = life.lines()
    assert (line["outcome"], line["drift"], line["drifted"]) == ("no reason", "no drift", [])
    assert line["fresh_rows"] == line["rows"] == ROWS


def test_after_drift_a_better_model_is_registered_and_the_same_data_again_changes_nothing(life: Life) -> None:
    champion, table = model_store.find().tag, life.table("data_growth")
    answer = life.retrain(table)
    assert (answer.code, answer.err) == (0, "")
    model = model_store.find().tag
    assert last(answer) == f"registered {model} in place of {champion}; a service takes it when it is restarted"
    (line,) = life.lines()
    assert (line["outcome"], line["champion"], line["model"], line["drifted"]) == (
        *("registered", champion, model),
        ["mb_used", "predictions"],
    )
    assert line["sha256"] == read_labelled(table).sha256
    assert line["model_brier"] < line["champion_brier"]
    assert line["difference_low"] < line["difference_high"] < 0
    report = (life.artifacts / "report.html").read_text()
    assert '<h2 id="retrainings">' in report
    assert f'<td class="text">{table.name}</td>' in report
    assert f'<td class="text">{model}</td>' in report
    before = life.state()
    again = life.retrain(table)
    assert (again.code, again.err) == (0, "")
    assert last(again) == f"unchanged: {model} was made from this table, with these settings and libraries"
    assert life.state() == before
    assert [line["outcome"] for line in life.lines()] == ["registered", "same data"]


def test_a_model_that_was_rolled_back_is_not_registered_again_from_the_same_data(life: Life, command: Command) -> None:
    champion, table = model_store.find().tag, life.table("data_growth")
    assert life.retrain(table).code == 0
    withdrawn = model_store.find().tag
    assert command(rollback.main).code == 0
    before = life.state()
    answer = life.retrain(table, "--always")
    assert answer.code == 0
    assert last(answer).endswith(f"these settings and libraries: registered {withdrawn}")
    assert model_store.find().tag == champion
    assert life.state() == before
    other_seed = life.retrain(table, "--seed", "1")  # the control: other settings are another run
    assert last(other_seed).startswith("registered ")


def test_a_month_with_shuffled_labels_is_refused_and_the_champion_stays(life: Life) -> None:
    champion, table = model_store.find().tag, life.table("shuffled labels")
    artifacts = {path.name: path.read_bytes() for path in life.artifacts.iterdir()}
    answer = life.retrain(table)
    assert (answer.code, answer.err) == (1, "")
    assert last(answer).startswith(f"refused: {champion} stays, because the new model failed ")
    assert model_store.find().tag == champion
    assert {path.name: path.read_bytes() for path in life.artifacts.iterdir()} == artifacts
    (line,) = life.lines()
    assert line["outcome"] == "refused"
    assert line["drift"] == "no drift"  # of usage: the labels alone give the reason
    assert "Brier score better than majority_rule's" in line["reason"]
    assert '<h2 id="retrainings">' in (life.folder / "refused" / "report.html").read_text()
    again = life.retrain(table)
    assert (again.code, last(again).partition(":")[0]) == (0, "unchanged")


def test_another_relation_with_the_same_usage_is_a_reason(life: Life) -> None:
    answer = life.retrain(life.table("other rule"))
    assert (answer.code, answer.err) == (0, "")
    assert last(answer).startswith("registered ")
    (line,) = life.lines()
    assert (line["outcome"], line["drift"], line["drifted"]) == ("registered", "no drift", [])
    assert "worse than its own" in line["reason"]


def test_always_trains_without_a_reason_and_the_gate_stays_as_strict(life: Life) -> None:
    champion, table = model_store.find().tag, life.table("nothing")
    assert life.retrain(table).code == 0
    answer = life.retrain(table, "--always")  # the run before decided nothing for this one
    assert answer.code == 1
    assert f"refused: expected Brier score better than that of {champion} on the same fresh rows" in answer.out
    assert model_store.find().tag == champion
    assert [line["outcome"] for line in life.lines()] == ["no reason", "refused"]


def test_without_a_model_it_trains_as_train_does(empty: Life) -> None:
    answer = empty.retrain(empty.table("nothing"))
    assert (answer.code, answer.err) == (0, "")
    model = model_store.find().tag
    assert last(answer) == f"registered {model} as the first model; a service takes it when it is restarted"
    (line,) = empty.lines()
    assert "champion" not in line
    assert line["model"] == model


def test_what_cannot_be_decided_is_a_line_too(life: Life) -> None:
    before, table = life.state(), life.folder / "broken.csv"
    table.write_text("calls,minutes,messages,mb_used,is_ultra\n1,2,3,4,perhaps\n")
    answer = life.retrain(table)
    assert answer.code == 2
    assert answer.err.startswith(f"error: {table}: ")
    assert life.state() == before
    (line,) = life.lines()
    assert (line["outcome"], line["data"]) == ("undecided", "broken.csv")
    assert f"error: {line['reason']}\n" == answer.err
    few = life.table("data_growth")
    few.write_text("\n".join(few.read_text().splitlines()[:120]) + "\n")
    life.config.write_text(life.config.read_text() + "drift: {min_rows: 200}\n")
    assert "collect more before asking for a verdict" in life.retrain(few).err
    assert [line["outcome"] for line in life.lines()] == ["undecided", "undecided"]


def test_two_retrainings_do_not_run_at_a_time(life: Life) -> None:
    table = life.table("nothing")
    with life.history.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = life.retrain(table)
        assert answer.code == 2
        assert "expected no other retraining with this history, found one under way" in answer.err
    assert life.retrain(table).code == 0  # the control


def test_a_history_of_ones_own_is_used(life: Life) -> None:
    other = life.folder / "elsewhere" / "runs.jsonl"
    assert life.retrain(life.table("nothing"), "--history", other).code == 0
    assert not life.history.exists()
    assert len(history.read(other)) == 1


def test_damaged_lines_are_left_out_and_a_torn_one_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "retraining.jsonl"
    run = Retraining(at="2026-11-29T00:00:00+00:00", data="a.csv", outcome="undecided", reason="x")
    history.append(path, run)
    with path.open("ab") as file:
        file.write(b'not JSON\n{"outcome": "registered"}\n\xff\n{"at": "2026-1')
    history.append(path, run)
    assert history.read(path) == [run, run]
    assert path.read_bytes().endswith(b'{"at": "2026-1\n' + run.model_dump_json(exclude_none=True).encode() + b"\n")
    assert history.read(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("months", [1, 6])
def test_a_champion_that_is_as_good_as_ever_is_found_worse_in_one_look_of_a_hundred(months: int) -> None:
    """A subscriber's months have scores that are alike; counted as single rows they would raise many false alarms."""
    rng = np.random.default_rng(5)
    trials, subscribers, rows_before = 3000, 200, 200 * months

    def scores() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.repeat(rng.beta(0.6, 3.0, subscribers), months)

    def false_alarms(by_subscriber: bool) -> float:
        found = 0
        for _ in range(trials):
            who = np.arange(subscribers * months) // (months if by_subscriber else 1)
            found += Ageing.of(scores(), who, float(scores().mean()), rows_before, 0.0).low > 0
        return found / trials

    assert FALSE_ALARMS == 0.01
    assert false_alarms(True) < 0.017
    if months > 1:
        assert false_alarms(False) > 0.1


def test_a_champion_that_has_become_worse_is_found() -> None:
    rng = np.random.default_rng(5)
    fresh = rng.beta(0.6, 3.0, 2000) + 0.03
    found = Ageing.of(fresh, np.arange(2000), 0.6 / 3.6, 2000, 0.01)
    assert found.worse
    assert 0 < found.low < found.brier - found.before
    slightly = Ageing.of(fresh, np.arange(2000), 0.6 / 3.6 + 0.025, 10**9, 0.01)
    assert not slightly.worse  # a difference below gate.margin, however certain


def test_the_synthetic_tables_are_what_their_names_say() -> None:
    """The control of this file: usage is the same where only the relation or the labels change."""
    same, other, shuffled = (draw(kind, ROWS, 7) for kind in ("nothing", "other rule", "shuffled labels"))
    assert np.array_equal(same.features, other.features)
    assert np.array_equal(same.features, shuffled.features)
    assert 0.2 < (same.target != other.target).mean() < 0.3
    assert shuffled.target.sum() == same.target.sum()
