"""Search for better parameters of the candidates with Optuna, by cross-validation on the training part.

Every finished trial is kept in a database, so that a search that was stopped goes on where it was. What is tried next
depends on the finished trials and the seed only: a search that was stopped finds what it would have found.
"""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from plan_recommender.config.estimators import BinnedLogisticSearch, BoostedTreesSearch
from plan_recommender.config.settings import Candidate, Metric, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import ConfigError, OutputError
from plan_recommender.training.selection import LESS_IS_BETTER, Fold, cross_validate_one, make_folds
from plan_recommender.training.split import compared_part, split_table
from plan_recommender.training.threshold_choice import fold_threshold

TRIALS_FILE = "trials.sqlite3"

_FINISHED = (TrialState.COMPLETE, TrialState.FAIL)  # FAIL: the parameters cannot be fitted
_ANSWERED_METRICS = frozenset({"accuracy", "f1"})
_LIBRARIES = ("numpy", "optuna", "scikit-learn", "scipy")
_DIGEST_LENGTH = 16

Parameters = dict[str, Any]
Space = dict[str, BaseDistribution]


@dataclass(frozen=True)
class Searched:
    """What the search found for one candidate."""

    candidate: Candidate
    trials: int
    metric: Metric
    configured: float | None  # None when the configured values cannot be fitted
    best: float
    parameters: Parameters

    def line(self) -> str:
        """Say it in one line."""
        before = "none" if self.configured is None else f"{self.configured:.4f}"
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.parameters.items())
        return (
            f"search {self.candidate}: {self.trials} trials, {self.metric} {self.best:.4f} "
            f"(as configured: {before}) with {values}"
        )


def search(
    table: LabelledTable,
    settings: Settings,
    trials: int,
    progress: Callable[[Candidate, int], object] = lambda *_: None,
) -> tuple[Settings, list[Searched]]:
    """Look for better parameters of every candidate that has a space to look in.

    Args:
        table: the labelled table; only its training part is used.
        settings: the configuration.
        trials: how many trials of a candidate are wanted, those of earlier searches among them. When none of those
            has the configured values there is one more, so that the best is never worse than they are.
        progress: is called with the candidate and how many more of its trials have finished.

    Returns:
        The configuration with the best parameters in place of the configured ones, and what was found.

    Raises:
        TableError: the table cannot be split.
        ConfigError: there is nothing to search, or nothing that can be fitted.
        OutputError: the trials cannot be read or kept.
    """
    candidates = searchable(settings)
    if not candidates:
        raise ConfigError(
            f"--search: expected at least one of {', '.join(_SPACES)} in selection.candidates, "
            f"found {', '.join(settings.selection.candidates)}"
        )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    split = split_table(table, settings.split.test_share, settings.seed)
    training = compared_part(table.take(split.training), settings)
    # Seeds of its own: on the folds of the comparison that follows, the best trial would be too good to be true.
    folds_seed, sampler_seed = np.random.SeedSequence(settings.seed).generate_state(2).tolist()
    folds = make_folds(training.target, settings.selection.folds, 1, folds_seed)
    estimators, found = settings.estimators, []
    with _storage(settings.search.directory / TRIALS_FILE) as storage:
        for candidate in candidates:
            searched = _search_one(
                candidate, training, folds, settings, _Wanted(storage, table.sha256, trials, sampler_seed), progress
            )
            best = getattr(estimators, candidate).model_copy(update=searched.parameters)
            estimators = estimators.model_copy(update={candidate: best})
            found.append(searched)
    return settings.model_copy(update={"estimators": estimators}), found


def searchable(settings: Settings) -> list[Candidate]:
    """Tell which of the candidates have a space to look in, in their order."""
    return [candidate for candidate in settings.selection.candidates if candidate in _SPACES]


def fragment(found: Sequence[Searched]) -> str:
    """Write the best parameters as they stand in a configuration file."""
    document = {"estimators": {searched.candidate: searched.parameters for searched in found}}
    return yaml.safe_dump(document, sort_keys=False)


@dataclass(frozen=True)
class _Wanted:
    """How the trials of each candidate are made and kept."""

    storage: RDBStorage
    table_sha256: str
    trials: int
    seed: int


@contextmanager
def _storage(path: Path) -> Iterator[RDBStorage]:
    """Open the database of trials; SQLite takes back what a killed process left half written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: expected a folder that can be written, found: {error.strerror}") from error
    try:
        storage = _open(f"sqlite:///{path}")
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, OptunaError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise OutputError(
            f"{path}: expected a database of trials that can be written, found: {reason}; "
            "name another folder in search.directory, or delete this one to begin anew"
        ) from error


def _open(url: str) -> RDBStorage:
    try:
        return RDBStorage(url)
    except RuntimeError as error:  # how Optuna says that another version made the tables
        raise OptunaError(str(error)) from error


def _search_one(
    candidate: Candidate,
    training: LabelledTable,
    folds: Sequence[Fold],
    settings: Settings,
    wanted: _Wanted,
    progress: Callable[[Candidate, int], object],
) -> Searched:
    metric, section = settings.selection.metric, getattr(settings.estimators, candidate)
    space = _SPACES[candidate](section.search)
    configured: Parameters = {name: getattr(section, name) for name in space}
    _require_inside(candidate, configured, space)
    less_is_better = metric in LESS_IS_BETTER
    study = optuna.create_study(
        storage=wanted.storage,
        study_name=f"{candidate}-{_digest(space, settings, wanted.table_sha256)}",
        direction="minimize" if less_is_better else "maximize",
        load_if_exists=True,
    )

    def measured(parameters: Mapping[str, Any]) -> float | None:
        """Mean over the folds; None when the parameters cannot be fitted."""
        estimator = section.model_copy(update=dict(parameters))
        estimators = settings.estimators.model_copy(update={candidate: estimator})
        tried = settings.model_copy(update={"estimators": estimators})
        try:
            found = cross_validate_one(candidate, training.features, training.target, folds, tried)
        except ConfigError:
            return None
        return float(found.scores(metric).mean())

    finished = study.get_trials(deepcopy=False, states=_FINISHED)
    progress(candidate, len(finished))
    as_configured = next((trial for trial in finished if trial.params == configured), None)
    if as_configured is None:
        # Measured first and stored when it is done: waiting in the database, it could be lost with a killed process.
        as_configured = _finished_trial(configured, space, measured(configured))
        study.add_trial(as_configured)
        finished = [*finished, as_configured]
        progress(candidate, 1)
    while len(finished) < wanted.trials:
        # A seed for each trial: one for the search would begin again when it resumes, and repeat itself. Trials that
        # another process runs, or ran when it was killed, must not matter, so they are not lied about.
        seed = np.random.SeedSequence([wanted.seed, len(finished)]).generate_state(1).item()
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=False)
        trial = study.ask(space)
        value = measured(trial.params)
        study.tell(trial, value, state=TrialState.FAIL if value is None else None)
        finished = study.get_trials(deepcopy=False, states=_FINISHED)
        progress(candidate, 1)
    values = {i: trial.value for i, trial in enumerate(finished) if trial.value is not None}
    if not values:
        raise ConfigError(f"--search: expected parameters of {candidate} that can be fitted, found none in "
                          f"{len(finished)} trials; change estimators.{candidate}.search")  # fmt: skip
    best = (min if less_is_better else max)(values, key=values.__getitem__)  # the first of equally good ones
    return Searched(
        candidate=candidate,
        trials=len(finished),
        metric=metric,
        configured=as_configured.value,
        best=values[best],
        parameters={name: finished[best].params[name] for name in space},
    )


def _finished_trial(parameters: Parameters, space: Space, value: float | None) -> FrozenTrial:
    state = TrialState.FAIL if value is None else TrialState.COMPLETE
    return optuna.trial.create_trial(state=state, value=value, params=parameters, distributions=space)


def _require_inside(candidate: Candidate, configured: Parameters, space: Space) -> None:
    """Refuse a search that could not come back to the configured values."""
    for name, distribution in space.items():
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        low, high, value = distribution.low, distribution.high, configured[name]
        if not low <= value <= high:
            raise ConfigError(
                f"--search: expected estimators.{candidate}.{name} within the ends of its search, {low:g} to {high:g}, "
                f"found {value:g}; widen estimators.{candidate}.search.{name}"
            )


def _digest(space: Space, settings: Settings, table_sha256: str) -> str:
    """Name what makes trials comparable: a trial of another table, split, space or library is another search's."""
    metric = settings.selection.metric
    identity = {
        "table": table_sha256,
        "seed": settings.seed,
        "test_share": settings.split.test_share,
        "folds": settings.selection.folds,
        "max_rows": settings.selection.max_rows,
        "metric": metric,
        "threshold": fold_threshold(settings) if metric in _ANSWERED_METRICS else None,
        "space": {name: repr(distribution) for name, distribution in space.items()},
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:_DIGEST_LENGTH]


def _binned_logistic_space(bins: BinnedLogisticSearch) -> Space:
    return {"bins": _whole(bins.bins), "knots": _whole(bins.knots), "C": _log(bins.C)}


def _boosted_trees_space(trees: BoostedTreesSearch) -> Space:
    return {
        "trees": _whole(trees.trees),
        "learning_rate": _log(trees.learning_rate),
        "max_leaf_nodes": _whole(trees.max_leaf_nodes),
        "min_samples_leaf": _whole(trees.min_samples_leaf),
        "l2_regularization": _log(trees.l2_regularization),
    }


def _whole(ends: Sequence[int]) -> BaseDistribution:
    return IntDistribution(ends[0], ends[1])


def _log(ends: Sequence[float]) -> BaseDistribution:
    return FloatDistribution(ends[0], ends[1], log=True)


_SPACES: dict[Candidate, Callable[[Any], Space]] = {
    "binned_logistic": _binned_logistic_space,
    "boosted_trees": _boosted_trees_space,
}
