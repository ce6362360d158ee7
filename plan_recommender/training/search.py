"""Search for better parameters of the candidates with Optuna, by cross-validation on the training part.

Every finished trial is kept in a database, so that a search that was stopped continues where it was. What is tried next
depends only on the finished trials and the seed, so that a search that was stopped finds the same as one that was not.
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
_METRICS_OF_DECISIONS = frozenset({"accuracy", "f1"})  # which depend on the threshold
_LIBRARIES = ("numpy", "optuna", "scikit-learn", "scipy")
_DIGEST_LENGTH = 16

Parameters = dict[str, Any]
Space = dict[str, BaseDistribution]


@dataclass(frozen=True)
class Searched:
    """The result of the search for one candidate."""

    candidate: Candidate
    trials: int
    """Finished trials, with those of earlier searches."""
    metric: Metric
    configured: float | None
    """The metric with the configured parameters; None if they cannot be fitted."""
    best: float
    """The metric with the best parameters, mean over the folds."""
    parameters: Parameters
    """The best ones."""

    def line(self) -> str:
        """Describe the result in one line."""
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
    """Search for better parameters of every candidate that has a search space.

    The configured parameters are always among the trials, so that the best are never worse than they are.

    Args:
        table: the labelled table; only its training part is used.
        settings: the configuration.
        trials: number of trials of each candidate, with those that earlier searches finished; one more is made if
            all of these are finished and none has the configured parameters.
        progress: is called with the candidate and the number of its trials that have finished since the last call.

    Returns:
        The configuration with the best parameters in place of the configured ones, and one result for each candidate.

    Raises:
        TableError: the table has too few rows of a label for the split or for the folds.
        ConfigError: no candidate has a search space, a configured parameter is outside its space, or no parameters of a
            candidate can be fitted.
        OutputError: the database of trials cannot be read or written.
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
    # Other folds than those of the comparison that follows, on which the best trial would look better than it is.
    folds_seed, sampler_seed = np.random.SeedSequence(settings.seed).generate_state(2).tolist()
    folds = make_folds(training.target, settings.selection.folds, 1, folds_seed, training.subscribers)
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
    """List the configured candidates that have a search space, in their order."""
    return [candidate for candidate in settings.selection.candidates if candidate in _SPACES]


def fragment(found: Sequence[Searched]) -> str:
    """Write the best parameters as YAML for a configuration file."""
    document = {"estimators": {searched.candidate: searched.parameters for searched in found}}
    return yaml.safe_dump(document, sort_keys=False)


@dataclass(frozen=True)
class _Wanted:
    """What the searches of all candidates share."""

    storage: RDBStorage
    table_sha256: str
    trials: int
    seed: int


@contextmanager
def _storage(path: Path) -> Iterator[RDBStorage]:
    """Open the database of trials; SQLite rolls back what a killed process left half written."""
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
    except RuntimeError as error:  # Optuna raises it when another version made the database
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
        """Mean of the metric over the folds; None if the parameters cannot be fitted."""
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
        # It is measured before it is stored, because a trial that waits in the database is lost with a killed process.
        as_configured = _finished_trial(configured, space, measured(configured))
        study.add_trial(as_configured)
        finished = [*finished, as_configured]
        progress(candidate, 1)
    while len(finished) < wanted.trials:
        # Each trial has a seed of its own: one seed for the whole search would start again when the search is resumed,
        # and repeat its proposals. "Constant liar" is off, because it makes proposals depend on unfinished trials.
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
    best = (min if less_is_better else max)(values, key=values.__getitem__)  # of equally good ones, the first
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
    """Refuse a search whose space does not contain the configured parameters."""
    for name, distribution in space.items():
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        low, high, value = distribution.low, distribution.high, configured[name]
        if not low <= value <= high:
            raise ConfigError(
                f"--search: expected estimators.{candidate}.{name} within the ends of its search, {low:g} to {high:g}, "
                f"found {value:g}; widen estimators.{candidate}.search.{name}"
            )


def _digest(space: Space, settings: Settings, table_sha256: str) -> str:
    """Identify a search; trials with another table, split, space, metric or library are not comparable with its own."""
    metric = settings.selection.metric
    identity = {
        "table": table_sha256,
        "format": settings.data.format.model_dump(),  # with another column as the label it is another table
        "seed": settings.seed,
        "groups": settings.data.groups,
        "test_share": settings.split.test_share,
        "folds": settings.selection.folds,
        "max_rows": settings.selection.max_rows,
        "metric": metric,
        "threshold": fold_threshold(settings) if metric in _METRICS_OF_DECISIONS else None,
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
