"""Train the plan recommender: compare candidates, fit the champion, compile, prove, evaluate, gate, register."""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("train")

import argparse
import importlib
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.billing.tariffs import TARIFFS_DEFAULT, find_tariffs, load_tariffs
from plan_recommender.cli import needing
from plan_recommender.config.load import DEFAULT_HELP, choose_config, load_settings
from plan_recommender.config.settings import Candidate, DriftSettings, Settings
from plan_recommender.data.csv_table import LabelledTable, check_trainable, read_labelled
from plan_recommender.data.month_panel import SHIPPED_MONTHS
from plan_recommender.data.plausibility import find_mistakes
from plan_recommender.data.subscribers import find_doubt, groups_option
from plan_recommender.data.table_options import add_table_options, format_of
from plan_recommender.drift.reference import profile
from plan_recommender.errors import ModelError, OutputError, TableError, TrackingError
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.tables import write_document
from plan_recommender.report.outcome import (
    REFUSED,
    Registered,
    earlier_refused,
    leave_refused,
    register,
    require_own_folder,
)
from plan_recommender.report.terminal import candidates_table, metrics_table, table_lines
from plan_recommender.training.gate import GateReport
from plan_recommender.training.habits import LearnedHabits, learn_habits
from plan_recommender.training.publish import library_versions
from plan_recommender.training.run import STEPS_AFTER_SELECTION, Tested, Trained, judge, look, train


def main(arguments: list[str] | None = None) -> int:
    """Train one model, and register it if it passes the gate; returns 0 if it did, 1 if it was refused."""
    options = _parser().parse_args(arguments)
    settings = _settings(options)
    table = read_labelled(settings.data.path, groups=settings.data.groups, format=settings.data.format)
    check_trainable(table, settings.data.max_missing_share, settings.data.min_rows)
    habits = learn_habits(settings.advice.months or SHIPPED_MONTHS, load_tariffs(options.tariffs or find_tariffs()))
    if settings.mlflow.enabled:
        _require_mlflow()
    for line in table_lines(table):
        cli.say(line)
    _check_plausible(table, habits, options.accept_drift)
    if options.search is not None:
        settings = _searched(table, settings, options.search)
    trained, verdict = _train(table, settings)
    cli.say(candidates_table(trained.results, trained.candidates))
    if not verdict.passed:
        _say_refused(trained, verdict, table, habits, settings)
        _track(trained, verdict, None, table, settings)
        return cli.ANSWER_IS_NO
    tested = look(trained, table, settings)
    cli.say(metrics_table(tested.results.model, tested.results.majority_rule, tested.results.intervals))
    with ExitStack() as ending:
        registered = register(trained, verdict, tested, table, habits, settings, ending)
        # The model is registered. From here on the run ends with its usual words and 0, whatever signal comes.
        cli.keep_exit_code()
        _say_registered(registered, trained, tested, habits, settings)
        track = partial(_track, trained, verdict, tested, table, settings, registered)
        if not registered.signals.interruptible(track) and settings.mlflow.enabled:
            cli.warn(f"not tracked to its end, {registered.tag} is registered all the same: interrupted")
    return cli.DONE


def _say_registered(
    registered: Registered, trained: Trained, tested: Tested, habits: LearnedHabits, settings: Settings
) -> None:
    """Say what the run has found and where it is; `registered` is the last word."""
    cli.say(registered.looks_before)
    if tested.results.model.accuracy < tested.results.majority_rule.accuracy:
        cli.say("warning: with this threshold less accurate than recommending the majority plan to everybody")
    cli.say(
        f"champion {trained.champion}, threshold {trained.scorer.threshold}, "
        f"expected calibration error {trained.calibration.ece:.4f} out of fold"
    )
    cli.say(
        f"tables: same decision as the pipeline on {trained.proof.rows:,} rows, "
        f"largest difference in log-odds {trained.proof.largest_difference:.1e}"
    )
    cli.say(
        f"next bills: how usage varies was learned from {habits.months:,} months of {habits.profile.subscribers:,} "
        f"subscribers in {habits.path.name}"
    )
    cli.say("passed every check of the gate")
    cli.say(f"artifacts: {settings.artifacts.directory}, of which report.html is for people")
    if other_report := earlier_refused(settings.artifacts.directory):
        cli.say(other_report)
    cli.say(f"registered {registered.tag}")


def _train(table: LabelledTable, settings: Settings) -> tuple[Trained, GateReport]:
    """Train a model and put it through the gate, with a progress bar if stderr is a terminal."""
    selection = settings.selection
    fits = len(selection.candidates) * selection.folds * selection.repeats
    with tqdm(total=fits + STEPS_AFTER_SELECTION, unit="step", disable=None, leave=False) as progress:

        def report_progress(step: str) -> None:
            progress.set_description(step)
            progress.update()

        trained = train(table, settings, report_progress)
        return trained, judge(trained, table, settings, cli.say)


def _say_refused(
    trained: Trained, verdict: GateReport, table: LabelledTable, habits: LearnedHabits, settings: Settings
) -> None:
    """Say why a model was refused and what to do next, and leave the report of the run in a folder of its own."""
    failed = [check for check in verdict.checks if not check.passed]
    for check in failed:
        cli.say(f"refused: expected {check.name}, found {check.found}")
    doubt = find_doubt(table)
    if doubt is not None and doubt.better is not None:
        cli.say(f"what helps first: train with {groups_option(doubt.better)}; these figures are not of new subscribers")
    for advice in dict.fromkeys(check.advice for check in failed):
        cli.say(f"what helps: {advice}")
    try:
        left = leave_refused(trained, verdict, table, habits, settings)
    except OutputError as error:
        cli.warn(f"the report of this run is not kept: {error}")
    else:
        if left.looks_before:
            cli.say(left.looks_before)
        cli.say(f"report: {left.report}, which begins with what to do next")
    cli.say("nothing was registered; the model store and the artifacts are as they were")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=(
            "Compare the candidates, train the champion, and register it in the BentoML model store if it passes the "
            "gate. Exit code 0: it is registered, even if MLflow, when wanted, could not be told of it; 1: it was "
            f"refused, nothing has changed, and {REFUSED}/ beside the artifacts says what to do next."
        ),
    )
    parser.add_argument("--config", type=Path, metavar="YAML", help=f"configuration (default: {DEFAULT_HELP})")
    parser.add_argument("--data", type=Path, metavar="FILE", help="labelled table (default: data.path)")
    parser.add_argument(
        "--groups",
        metavar="COLUMN",
        help="column that says which subscriber a row belongs to: each one's rows stay together in every split and "
        "interval (default: data.groups)",
    )
    parser.add_argument(
        "--months",
        type=Path,
        metavar="CSV",
        help="months of subscribers, from which the forecast of the next bill learns (default: advice.months, "
        "otherwise the shipped ones)",
    )
    parser.add_argument(
        "--tariffs",
        type=Path,
        metavar="YAML",
        help=f"how minutes are billed (default: {TARIFFS_DEFAULT})",
    )
    parser.add_argument("--artifacts", type=Path, metavar="DIR", help="results folder (default: artifacts.directory)")
    parser.add_argument(
        "--accept-drift",
        action="store_true",
        help="train although the table looks as if it had a mistake, such as another unit, beside the registered model",
    )
    parser.add_argument("--seed", type=cli.seed, help="seed of everything random (default: seed)")
    parser.add_argument(
        "--search",
        type=cli.positive_int,
        metavar="N",
        help="first look for better parameters, N trials of each candidate that has a space to look in; goes on where "
        "an earlier search of the same stopped (needs Optuna: make optional)",
    )
    parser.add_argument(
        "--mlflow",
        action="store_true",
        help="track this run with MLflow, as mlflow.enabled does for every run (needs MLflow: make optional)",
    )
    add_table_options(parser)
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    settings = load_settings(choose_config(options.config, cli.say))
    format = format_of(options, settings.data.format)
    data = settings.data.model_copy(update={"path": options.data or settings.data.path, "format": format})
    settings = settings.model_copy(update={"data": data})
    if options.groups is not None:
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"groups": options.groups})})
    if options.months is not None:
        settings = settings.model_copy(update={"advice": settings.advice.model_copy(update={"months": options.months})})
    if options.artifacts is not None:
        directory = settings.artifacts.model_copy(update={"directory": options.artifacts})
        settings = settings.model_copy(update={"artifacts": directory})
    require_own_folder(settings.artifacts.directory)
    if options.seed is not None:
        settings = settings.model_copy(update={"seed": options.seed})
    if options.mlflow:
        settings = settings.model_copy(update={"mlflow": settings.mlflow.model_copy(update={"enabled": True})})
    return settings


def _searched(table: LabelledTable, settings: Settings, trials: int) -> Settings:
    """Search for better parameters, print them, and put them in place of the configured ones."""
    with needing("optuna", "--search"):
        from plan_recommender.training import search
    total = len(search.searchable(settings)) * trials
    with tqdm(total=total, unit="trial", disable=None, leave=False) as progress:

        def report_progress(candidate: Candidate, finished: int) -> None:
            progress.set_description(f"search {candidate}")
            progress.update(finished)

        settings, found = search.search(table, settings, trials, report_progress)
    for searched in found:
        cli.say(searched.line())
    cli.say(f"this run uses the best; to keep them, write into the configuration:\n\n{search.fragment(found)}")
    return settings


def _require_mlflow() -> None:
    """Fail before the training begins if MLflow is not installed."""
    with needing("mlflow", "--mlflow or mlflow.enabled"):
        importlib.import_module("plan_recommender.training.tracking")


def _track(
    trained: Trained,
    verdict: GateReport,
    tested: Tested | None,
    table: LabelledTable,
    settings: Settings,
    registered: Registered | None = None,
) -> None:
    """Log the run to MLflow if that is configured; `registered` is None if the model was refused.

    If MLflow fails, that is a warning only, because the exit code says whether the model is registered.
    """
    if not settings.mlflow.enabled:
        return
    from plan_recommender.training import tracking

    tag, artifacts = (None, []) if registered is None else (registered.tag, registered.artifacts)
    tags = {
        "gate": "passed" if verdict.passed else "refused",
        "champion": trained.champion,
        "seed": str(settings.seed),
        "data.file": table.path.name,
        "data.sha256": table.sha256,
        **({} if tag is None else {"model": tag}),
        **{f"version.{name}": version for name, version in library_versions().items()},
    }
    test = {}
    if tested is not None:
        test = {"model": tested.results.model.model_dump(), "majority_rule": tested.results.majority_rule.model_dump()}
    run = tracking.TrackedRun(
        name=tag or f"refused {trained.champion}",
        tags=tags,
        results=trained.results,
        candidates=trained.candidates,
        metrics={
            **dict(tracking.flattened(test, "test.")),
            "expected_calibration_error": trained.calibration.ece,
            "threshold": trained.scorer.threshold.value,
        },
        gate=verdict,
        # No pickles: whoever can write to a shared store could run code where they are opened.
        artifacts=[settings.artifacts.directory / name for name in artifacts if not name.endswith(".joblib")],
        document=None if tag is None else write_document(trained.document),
    )
    try:
        run_id = tracking.track(run, settings)
    except TrackingError as error:
        kept = "nothing was registered" if tag is None else f"{tag} is registered all the same"
        cli.warn(f"not tracked, {kept}: {error}")
    else:
        cli.say(f"tracked as run {run_id} in {settings.mlflow.tracking_uri}, experiment {settings.mlflow.experiment}")


def _check_plausible(table: LabelledTable, habits: LearnedHabits, accept_drift: bool) -> None:
    """Refuse tables that look mistaken beside the registered model; without one, or if they are accepted, warn of it.

    Months for the forecast that were named are compared with the table, too, because both are usage of subscribers.
    """
    try:
        registered = store.latest()
        reference = None if registered is None else registered.profile()
    except ModelError:
        registered, reference = None, None  # the gate says so
    mistakes = find_mistakes(table.features, reference)
    if mistakes and registered is not None and not accept_drift:
        raise TableError(
            f"{table.path}: expected a table like the one that {registered.tag} was trained on, found: "
            f"{'; '.join(mistakes)}. Put it right, or pass --accept-drift if usage has changed so much"
        )
    for mistake in mistakes:
        cli.say(f"warning: {mistake}")
    if habits.path == SHIPPED_MONTHS:
        return
    beside = find_mistakes(habits.usage, profile(table.features, list(FEATURE_NAMES), DriftSettings(), 0))
    if beside and not mistakes and not accept_drift:  # with mistakes, the table itself may be what is wrong
        raise TableError(
            f"{habits.path}: expected months like the usage in {table.path}, found: {'; '.join(beside)}. Put them "
            "right, or pass --accept-drift if these subscribers are so unlike"
        )
    for mistake in beside:
        cli.say(f"warning: {habits.path}, for the forecast of bills: {mistake}")
