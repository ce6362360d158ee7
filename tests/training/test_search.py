"""The search: better or equal, on the training part only, kept, resumed, and not needed by anything else.

The file is long because all cases search on the same small table, and read the trials of a search by the helpers at the
top.
"""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml
from optuna.trial import TrialState

import train
from plan_recommender.config.load import load_settings
from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable, read_labelled
from plan_recommender.data.synthesis import generate
from plan_recommender.errors import ConfigError, OutputError
from plan_recommender.evaluation.metrics import Labels
from plan_recommender.model import store as model_store
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.training import candidates
from plan_recommender.training.search import TRIALS_FILE, Searched, fragment, search, searchable
from plan_recommender.training.split import split_table
from tests.conftest import Command, run
from tests.pictures import blank_pictures
from tools.server import ROOT

pytestmark = pytest.mark.slow

CONFIG = """
data: {{path: table.csv, min_rows: 1}}
selection:
  candidates: [majority_rule, logistic_regression, binned_logistic, boosted_trees]
  folds: 2
  repeats: 1
estimators:
  binned_logistic: {{bins: 4, C: 1.0e-4, search: {{bins: [3, 5], C: [1.0e-4, 0.1]}}}}
  boosted_trees:
    trees: 5
    search: {{trees: [2, 12]}}
gate: {{max_ece: 0.3, margin: 0.3}}
money: {{bootstrap_samples: 100}}
proof: {{rows: 500}}
{more}
"""
KILLED_AFTER = 3
WANTED = 12  # more than 10, after which the sampler learns from earlier trials
SLOW_TO_END = 120  # seconds


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with a small table and its configuration, whose path it gives; pictures are blank in this process."""
    write_table(tmp_path / "table.csv", seed=5)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(more=""))
    with blank_pictures():
        yield path


def write_table(path: Path, seed: int) -> None:
    chunk = next(generate(400, seed))
    rows = np.column_stack([chunk.features, chunk.target])
    np.savetxt(path, rows, fmt="%.6g", delimiter=",", header="calls,minutes,messages,mb_used,is_ultra", comments="")


def table_of(settings: Settings) -> LabelledTable:
    return read_labelled(settings.data.path)


def finished(folder: Path) -> dict[str, int]:
    """How many trials of each study have finished, read by Optuna itself."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / TRIALS_FILE}")
    try:
        return {
            study.study_name: sum(t.state.is_finished() for t in storage.get_all_trials(study._study_id))
            for study in storage.get_all_studies()
        }
    finally:
        storage.remove_session()
        storage.engine.dispose()


def of_trees_alone(settings: Settings) -> Settings:
    """The settings with one candidate that is searched."""
    only = settings.selection.model_copy(update={"candidates": ["boosted_trees"]})
    return settings.model_copy(update={"selection": only})


def by_candidate(found: list[Searched]) -> dict[str, Searched]:
    return {searched.candidate: searched for searched in found}


def test_the_best_is_better_than_the_configuration_and_replaces_it(place: Path) -> None:
    settings = load_settings(place)
    best, found = search(table_of(settings), settings, 8)
    assert [searched.candidate for searched in found] == ["binned_logistic", "boosted_trees"]
    for searched in found:
        assert searched.trials == 8
        assert searched.configured is not None
        assert searched.best < searched.configured  # the configured values are poor ones, and less log loss is better
        section = getattr(best.estimators, searched.candidate)
        assert {name: getattr(section, name) for name in searched.parameters} == searched.parameters
    assert best.estimators.logistic_regression == settings.estimators.logistic_regression
    assert best.model_copy(update={"estimators": settings.estimators}) == settings


def test_the_first_trial_is_the_configuration_so_that_one_trial_changes_nothing(place: Path) -> None:
    settings = load_settings(place)
    best, found = search(table_of(settings), settings, 1)
    assert best == settings
    assert all(searched.best == searched.configured for searched in found)


def test_more_is_better_where_the_metric_says_so(place: Path) -> None:
    place.write_text(place.read_text().replace("folds: 2", "folds: 2\n  metric: roc_auc"))
    settings = load_settings(place)
    _, found = search(table_of(settings), settings, 8)
    assert all(searched.configured is not None and searched.best >= searched.configured for searched in found)
    assert any(searched.configured is not None and searched.best > searched.configured for searched in found)


def test_only_the_training_part_is_looked_at(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(place)
    table = table_of(settings)
    seen: list[int] = []
    real = candidates.fit

    def watched(candidate: Candidate, tried: Settings, features: FeatureMatrix, target: Labels) -> object:
        rows = {tuple(row) for row in table.features[split_table(table, 0.2, settings.seed).test]}
        seen.append(sum(tuple(row) in rows for row in features))
        return real(candidate, tried, features, target)

    monkeypatch.setattr("plan_recommender.training.selection.fit", watched)
    search(table, settings, 2)
    assert seen == [0] * (2 * 2 * 2)  # candidates, trials, folds


def test_the_same_seed_gives_the_same_search_and_another_seed_another(place: Path) -> None:
    def found(folder: str, seed: int) -> list[Searched]:
        settings = of_trees_alone(load_settings(place))
        kept = settings.search.model_copy(update={"directory": place.parent / folder})
        return search(table_of(settings), settings.model_copy(update={"search": kept, "seed": seed}), 4)[1]

    first = found("one", 42)
    assert found("two", 42) == first
    assert found("three", 43) != first


def test_a_search_goes_on_where_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = of_trees_alone(load_settings(place))
    table = table_of(settings)
    at_once = settings.model_copy(
        update={"search": settings.search.model_copy(update={"directory": place.parent / "at_once"})}
    )
    expected = search(table, at_once, 12)[1]
    some = search(table, settings, 4)[1]
    assert [searched.trials for searched in some] == [4]
    fits, real = [], candidates.fit

    def counted_fit(candidate: Candidate, tried: Settings, features: FeatureMatrix, target: Labels) -> object:
        fits.append(candidate)
        return real(candidate, tried, features, target)

    monkeypatch.setattr("plan_recommender.training.selection.fit", counted_fit)
    assert search(table, settings, 4)[1] == some
    assert fits == []
    assert search(table, settings, 12)[1] == expected  # what it would have found without the break
    assert len(fits) == 8 * 2
    assert set(finished(settings.search.directory).values()) == {12}


def test_new_configured_values_are_tried_even_when_enough_trials_are_there(place: Path) -> None:
    settings = load_settings(place)
    table = table_of(settings)
    search(table, settings, 3)
    place.write_text(place.read_text().replace("C: 1.0e-4,", "C: 0.0123,"))
    changed = by_candidate(search(table, load_settings(place), 3)[1])
    assert (changed["binned_logistic"].trials, changed["boosted_trees"].trials) == (4, 3)


def test_the_fragment_is_configuration_that_searches_no_further(place: Path) -> None:
    settings = load_settings(place)
    table = table_of(settings)
    best, found = search(table, settings, 6)
    document = yaml.safe_load(place.read_text())
    for candidate, parameters in yaml.safe_load(fragment(found))["estimators"].items():
        document["estimators"][candidate] |= parameters
    place.write_text(yaml.safe_dump(document))
    assert load_settings(place).estimators == best.estimators
    again = search(table, load_settings(place), 6)[1]
    assert [searched.trials for searched in again] == [6, 6]
    assert all(searched.best == searched.configured for searched in again)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("folds: 2", "folds: 3"),
        ("folds: 2", "folds: 2\n  metric: brier"),
        ("data: {", "split: {test_share: 0.3}\ndata: {"),
        ("data: {", "seed: 1\ndata: {"),
        ("data: {", "data: {format: {map: {calls: minutes, minutes: calls}}, "),
        ("bins: 4, C: 1.0e-4, search: {bins: [3, 5]", "bins: 4, C: 1.0e-4, search: {bins: [3, 6]"),
    ],
    ids=["folds", "metric", "split", "seed", "columns", "space"],
)
def test_what_makes_trials_incomparable_makes_another_study(place: Path, old: str, new: str) -> None:
    settings = load_settings(place)
    search(table_of(settings), settings, 1)
    studies = set(finished(settings.search.directory))
    assert place.read_text().count(old) == 1
    place.write_text(place.read_text().replace(old, new))
    search(table_of(settings), load_settings(place), 1)
    added = set(finished(settings.search.directory)) - studies
    assert "binned_logistic" in {name.partition("-")[0] for name in added}


def test_another_table_has_trials_of_its_own_and_what_does_not_matter_has_not(place: Path) -> None:
    settings = load_settings(place)
    search(table_of(settings), settings, 1)
    place.write_text(place.read_text() + "threshold: 0.4\n")  # log loss does not ask for it
    search(table_of(settings), load_settings(place), 1)
    assert len(finished(settings.search.directory)) == 2
    write_table(settings.data.path, seed=6)
    _, found = search(table_of(settings), settings, 1)
    assert [searched.trials for searched in found] == [1, 1]
    assert len(finished(settings.search.directory)) == 4


def test_parameters_that_cannot_be_fitted_count_and_are_not_chosen(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(place)
    real = candidates.fit

    def fit(candidate: Candidate, tried: Settings, features: FeatureMatrix, target: Labels) -> object:
        if tried.estimators.binned_logistic.bins != 5:
            raise ConfigError("no")
        return real(candidate, tried, features, target)

    def fit_nothing(*_: object) -> None:
        raise ConfigError("no")

    with monkeypatch.context() as picky:
        picky.setattr("plan_recommender.training.selection.fit", fit)
        only = settings.selection.model_copy(update={"candidates": ["binned_logistic"]})
        (searched,) = search(table_of(settings), settings.model_copy(update={"selection": only}), 8)[1]
    assert (searched.trials, searched.configured, searched.parameters["bins"]) == (8, None, 5)
    monkeypatch.setattr("plan_recommender.training.selection.fit", fit_nothing)
    seed = settings.model_copy(update={"seed": 3})
    with pytest.raises(ConfigError, match="parameters of binned_logistic that can be fitted, found none in 2 trials"):
        search(table_of(settings), seed, 2)


def test_configured_values_outside_of_the_space_are_refused(place: Path) -> None:
    place.write_text(place.read_text().replace("bins: 4,", "bins: 9,"))
    settings = load_settings(place)
    with pytest.raises(ConfigError, match=r"estimators\.binned_logistic\.bins within .* 3 to 5, found 9; widen"):
        search(table_of(settings), settings, 2)


def test_nothing_to_search_is_refused(place: Path) -> None:
    place.write_text(place.read_text().replace("binned_logistic, boosted_trees", "average"))
    settings = load_settings(place)
    assert searchable(settings) == []
    with pytest.raises(ConfigError, match=r"expected at least one of binned_logistic, .* in selection\.candidates"):
        search(table_of(settings), settings, 2)


@pytest.mark.parametrize("broken", ["no database", "no folder"])
def test_trials_that_cannot_be_kept_are_one_sentence(place: Path, broken: str) -> None:
    settings = load_settings(place)
    folder = settings.search.directory
    if broken == "no folder":
        folder.write_text("in the way")
    else:
        folder.mkdir()
        (folder / TRIALS_FILE).write_text("not SQLite, but long enough to be looked at " * 100)
    with pytest.raises(
        OutputError, match=r"expected a (folder|database of trials) that can be written, found: "
    ) as error:
        search(table_of(settings), settings, 2)
    assert str(error.value).startswith(str(folder))
    assert "\n" not in str(error.value)


def test_a_run_says_what_it_found_and_the_model_records_it(
    command: Command, store: Path, place: Path, tmp_path: Path
) -> None:
    answer = command(train.main, "--config", place, "--search", 4)
    assert (answer.code, answer.err) == (0, "")
    lines = [line for line in answer.out.splitlines() if line.startswith("search ")]
    assert [re.sub(r"\d[\d.]*", "N", line.partition(" with ")[0]) for line in lines] == [
        "search binned_logistic: N trials, log_loss N (as configured: N)",
        "search boosted_trees: N trials, log_loss N (as configured: N)",
    ]
    text = answer.out.partition("write into the configuration:\n\n")[2].partition("\n\n")[0]
    printed = yaml.safe_load(text)["estimators"]
    recorded = model_store.find().record.settings["estimators"]
    assert {name: {key: recorded[name][key] for key in values} for name, values in printed.items()} == printed
    configured = load_settings(place).estimators.model_dump(mode="json")
    assert any(printed[name][key] != configured[name][key] for name in printed for key in printed[name])


def test_ctrl_c_ends_it_with_2_and_keeps_what_has_finished(
    command: Command, store: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(place)
    real, fits = candidates.fit, []

    def fit(candidate: Candidate, tried: Settings, features: FeatureMatrix, target: Labels) -> object:
        fits.append(candidate)
        if len(fits) == 2 * 4 + 2:  # in the second fold of the fifth trial
            raise KeyboardInterrupt
        return real(candidate, tried, features, target)

    with monkeypatch.context() as broken:
        broken.setattr("plan_recommender.training.selection.fit", fit)
        answer = command(train.main, "--config", place, "--search", 6)
    assert (answer.code, answer.err) == (2, "interrupted\n")
    assert list(store.iterdir()) == []
    assert list(finished(settings.search.directory).values()) == [4]
    assert command(train.main, "--config", place, "--search", 6).code == 0
    assert list(finished(settings.search.directory).values()) == [6, 6]


def test_a_killed_search_loses_only_what_was_running(
    command: Command, store: Path, place: Path, tmp_path: Path
) -> None:
    def arguments(folder: str) -> list[str]:
        config = tmp_path / f"{folder}.yaml"
        one = CONFIG.replace(" binned_logistic, boosted_trees]", " boosted_trees]")
        config.write_text(one.format(more=f"search: {{directory: {folder}}}\n"))
        return ["--config", str(config), "--artifacts", str(tmp_path / "artifacts"), "--search", str(WANTED)]

    process = subprocess.Popen(
        [sys.executable, "train.py", *arguments("killed")],
        cwd=ROOT, env=os.environ | {"BENTOML_HOME": str(store.parent)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + SLOW_TO_END
    while not (before := counted(tmp_path / "killed")) or before < KILLED_AFTER:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert KILLED_AFTER <= counted(tmp_path / "killed") < WANTED
    resumed = command(train.main, *arguments("killed"))
    assert (resumed.code, resumed.err) == (0, "")
    assert list(finished(tmp_path / "killed").values()) == [WANTED]
    # The control: a search that nobody killed finds the same.
    alone = command(train.main, *arguments("alone"))
    assert (alone.code, list(finished(tmp_path / "alone").values())) == (0, [WANTED])
    said = [[line for line in answer.out.splitlines() if line.startswith("search ")] for answer in (resumed, alone)]
    assert said[0] == said[1]
    assert len(said[0]) == 1


def counted(folder: Path) -> int:
    """Trials that have finished, read while another process writes; 0 as long as there is nothing to read."""
    try:
        with sqlite3.connect(f"file:{folder / TRIALS_FILE}?mode=ro", uri=True) as database:
            states = (TrialState.COMPLETE.name, TrialState.FAIL.name)
            return int(database.execute("SELECT count(*) FROM trials WHERE state IN (?, ?)", states).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_a_trial_that_another_process_left_running_does_not_count(place: Path) -> None:
    settings = load_settings(place)
    table = table_of(settings)
    search(table, settings, 3)
    (name, *_) = [name for name in finished(settings.search.directory) if name.startswith("binned")]
    url = f"sqlite:///{settings.search.directory / TRIALS_FILE}"
    study = optuna.load_study(study_name=name, storage=url)
    study.ask()
    assert [trial.state for trial in study.trials].count(TrialState.RUNNING) == 1
    _, found = search(table, settings, 5)
    assert by_candidate(found)["binned_logistic"].trials == 5
    assert [trial.state for trial in study.trials].count(TrialState.COMPLETE) == 5


def test_without_optuna_the_search_says_what_to_install(place: Path, tmp_path: Path) -> None:
    """That a training run without a search loads no optuna is in `test_tracking`."""
    refused = run(
        *("-m", "tests.programs.train_without", "optuna", "--search", "3"),
        *("--config", place, "--artifacts", tmp_path / "artifacts"),
        env={"BENTOML_HOME": str(tmp_path / "home")},
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: --search: expected the optional library optuna, found none in ")
    assert "`make optional`" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "home" / "models").exists() or not list((tmp_path / "home" / "models").iterdir())


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_a_number_of_trials_is_asked_for(command: Command, count: str) -> None:
    answer = command(train.main, f"--search={count}")
    assert answer.code == 2
    assert "argument --search: expected a whole number above 0" in answer.err
