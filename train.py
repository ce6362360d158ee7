"""Train the plan recommender: compare candidates, fit the champion, compile, prove, evaluate, gate, register."""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("train")

import argparse
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.cli import needing, require_mlflow
from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.outputs import writing
from plan_recommender.errors import ModelError
from plan_recommender.model import store
from plan_recommender.model.signatures import SIGNATURE_FILE, sign_model, signing_with
from plan_recommender.report.outcome import REFUSED, register, require_own_folder
from plan_recommender.report.run_words import say_refused, say_registered
from plan_recommender.report.terminal import candidates_table, metrics_table, table_lines
from plan_recommender.report.tracked import track, track_registered
from plan_recommender.training import history
from plan_recommender.training.code import code_digest
from plan_recommender.training.habits import LearnedHabits
from plan_recommender.training.inputs import check_plausible, read_inputs
from plan_recommender.training.options import add_training_options, settings_of
from plan_recommender.training.retraining import made_from_the_same
from plan_recommender.training.run import look, train_and_judge


def main(arguments: list[str] | None = None) -> int:
    """Train one model, and register it if it passes the gate; returns 0 if it did or is there, 1 if it was refused."""
    options = _parser().parse_args(arguments)
    settings = settings_of(options, cli.say)
    require_own_folder(settings.artifacts.directory)
    if options.mlflow:
        settings = settings.model_copy(update={"mlflow": settings.mlflow.model_copy(update={"enabled": True})})
    table, habits = read_inputs(settings, options.tariffs)
    if settings.mlflow.enabled:
        require_mlflow()
    for line in table_lines(table):
        cli.say(line)
    check_plausible(table, habits, options.accept_drift, cli.say)
    if options.search is not None:
        settings = _searched(table, settings, options.search)
    if not options.again and (same := _already_made(table, habits, settings)):
        signed = "; it had no signature, and is signed now" if _sign_if_unsigned(same, settings) else ""
        cli.say(
            f"unchanged: {same.tag} was made from this table, with these settings, libraries and code{signed}; "
            "to train all the same, and to write the artifacts anew, add --again"
        )
        return cli.DONE
    trained, verdict = train_and_judge(table, settings, cli.say)
    cli.say(candidates_table(trained.results, trained.candidates))
    retrainings = history.read(history.file_beside(settings.artifacts.directory))
    if not verdict.passed:
        say_refused(trained, verdict, table, habits, settings, retrainings, cli.say, cli.warn)
        track(trained, verdict, None, table, settings, None, cli.say, cli.warn)
        return cli.ANSWER_IS_NO
    tested = look(trained, table, settings)
    cli.say(metrics_table(tested.results.model, tested.results.majority_rule, tested.results.intervals))
    with ExitStack() as ending:
        registered = register(trained, verdict, tested, table, habits, settings, ending, lambda _: retrainings)
        # The model is registered. From here on the run ends with its usual words and 0, whatever signal comes.
        cli.keep_exit_code()
        say_registered(registered, trained, tested, habits, settings, cli.say)
        cli.say(f"registered {registered.tag}")
        track_registered(trained, verdict, tested, table, settings, registered, cli.say, cli.warn)
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=(
            "Compare the candidates, train the champion, and register it in the BentoML model store if it passes the "
            "gate. If `:latest` names a model that was made from the same, nothing changes. Exit code 0: it is "
            "registered, even if MLflow, when wanted, could not be told of it, or was before; 1: it was "
            f"refused, nothing has changed, and {REFUSED}/ beside the artifacts says what to do next."
        ),
    )
    parser.add_argument("--data", type=Path, metavar="FILE", help="labelled table (default: data.path)")
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
    parser.add_argument(
        "--again",
        action="store_true",
        help="train although the latest model was made from the same data, settings, libraries and code",
    )
    add_training_options(parser)
    return parser


def _already_made(table: LabelledTable, habits: LearnedHabits, settings: Settings) -> store.RegisteredModel | None:
    """Give the latest model if training would only make it once more; None: it would not, or is damaged."""
    try:
        model = store.latest()
        if model is None or model.record.code != code_digest():
            return None
        model.scorer()
    except ModelError:
        return None
    return model if made_from_the_same(model, table, habits, settings) else None


def _sign_if_unsigned(model: store.RegisteredModel, settings: Settings) -> bool:
    """Sign a model that has no signature if there is a key for that; tells whether it did."""
    key = settings.artifacts.signing_key
    if key is None or (model.path / SIGNATURE_FILE).exists():
        return False
    with writing(model.path):
        sign_model(model.path, signing_with(key))
    return True


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
