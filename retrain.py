"""Retrain: if new labelled data gives a reason to, train on it, and register the model if it is better."""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("retrain")

import argparse
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from plan_recommender import cli
from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import ModelError, OutputError, PlanRecommenderError
from plan_recommender.model import store
from plan_recommender.model.store import RegisteredModel
from plan_recommender.report.outcome import REFUSED, register, require_own_folder
from plan_recommender.report.run_words import say_refused, say_registered
from plan_recommender.report.terminal import candidates_table, metrics_table, table_lines
from plan_recommender.report.tracked import track, track_registered
from plan_recommender.training import history
from plan_recommender.training.gate import GateReport
from plan_recommender.training.habits import LearnedHabits
from plan_recommender.training.history import HISTORY_FILE, Retraining, finished_before
from plan_recommender.training.inputs import check_plausible, read_inputs
from plan_recommender.training.options import add_training_options, settings_of
from plan_recommender.training.retraining import described, made_from_the_same, reasons_for
from plan_recommender.training.run import Trained, look, require_better, train_and_judge


@dataclass
class _Run:
    """What a run works on, and its line in the history, to which it adds what it finds."""

    settings: Settings
    history: Path
    line: Retraining

    def note(self, **found: object) -> None:
        """Add to the line; nothing is written yet."""
        self.line = self.line.model_copy(update=found)

    def end(self, **found: object) -> None:
        """Add to the line, and write it."""
        self.note(**found)
        history.append(self.history, self.line)


def main(arguments: list[str] | None = None) -> int:
    """Retrain once; returns 0 if a model was registered or there was nothing to do, 1 if the gate refused it."""
    options = _parser().parse_args(arguments)
    settings = settings_of(options, cli.say)
    artifacts = settings.artifacts.directory
    require_own_folder(artifacts)
    path = options.history or history.file_beside(artifacts)
    with history.one_at_a_time(path):
        run = _Run(settings, path, history.begin(settings.data.path, options.always))
        try:
            return _retrain(run, options)
        except PlanRecommenderError as error:
            with suppress(OutputError):  # the error itself is said in any case
                run.end(outcome="undecided", reason=str(error))
            raise


def _retrain(run: _Run, options: argparse.Namespace) -> int:
    settings = run.settings
    table, habits = read_inputs(settings, options.tariffs)
    if settings.mlflow.enabled:
        cli.require_mlflow()
    champion = _champion()
    run.line = described(run.line, table, habits, champion, settings)
    for line in table_lines(table):
        cli.say(line)
    if done := _done_before(run, champion, table, habits):
        run.end(outcome="same data", reason=done)
        cli.say(f"unchanged: {done}")
        return cli.DONE
    check_plausible(table, habits, options.accept_drift, cli.say)
    if champion is None:
        run.note(reason="there was no model that can answer")
    else:
        reasons = reasons_for(champion, table, settings)
        run.note(drift=reasons.verdict, drifted=reasons.drifted, reason=reasons.sentence())
        cli.say(f"{champion.tag}: {reasons.sentence()}")
        if not reasons.found and not options.always:
            ageing = reasons.ageing
            figures = {} if ageing is None else {"fresh_rows": ageing.rows, "champion_brier": ageing.brier}
            run.end(outcome="no reason", **figures)
            cli.say(f"unchanged: {champion.tag} stays, because there is no reason for another model")
            return cli.DONE
    trained, verdict = train_and_judge(table, settings, cli.say)
    cli.say(candidates_table(trained.results, trained.candidates))
    if champion is not None:
        verdict, beside = require_better(verdict, champion, trained, table, settings)
        if beside is not None:
            run.note(fresh_rows=beside.rows, champion_brier=beside.champion, model_brier=beside.model)
            run.note(difference_low=beside.low, difference_high=beside.high)
    if not verdict.passed:
        return _refuse(run, trained, verdict, table, habits)
    return _register(run, trained, verdict, table, habits)


def _champion() -> RegisteredModel | None:
    """Find the registered model; None if there is none that can answer, which is said."""
    try:
        champion = store.latest()
        if champion is not None:
            champion.scorer()
    except ModelError as error:
        cli.say(f"warning: trained as if there were no model, because the registered one cannot answer: {error}")
        return None
    return champion


def _done_before(
    run: _Run, champion: RegisteredModel | None, table: LabelledTable, habits: LearnedHabits
) -> str | None:
    """Say what this run would only do again; None if there is nothing of the kind."""
    if champion is not None and made_from_the_same(champion, table, habits, run.settings):
        return f"{champion.tag} was made from this table, with these settings and libraries"
    before = finished_before(history.read(run.history), run.line)
    if before is None:
        return None
    what = f"registered {before.model}" if before.model is not None else before.outcome
    return f"the run of {before.at} has decided about this table, with these settings and libraries: {what}"


def _refuse(run: _Run, trained: Trained, verdict: GateReport, table: LabelledTable, habits: LearnedHabits) -> int:
    failed = [f"expected {check.name}, found {check.found}" for check in verdict.checks if not check.passed]
    run.note(outcome="refused", reason=f"{run.line.reason}; {'; '.join(failed)}")
    shown = [*history.read(run.history), run.line]
    say_refused(trained, verdict, table, habits, run.settings, shown, cli.say, cli.warn)
    track(trained, verdict, None, table, run.settings, None, cli.say, cli.warn)
    run.end()
    stays = "there is still no model" if run.line.champion is None else f"{run.line.champion} stays"
    cli.say(f"refused: {stays}, because the new model failed {len(failed)} of {len(verdict.checks)} checks of the gate")
    return cli.ANSWER_IS_NO


def _register(run: _Run, trained: Trained, verdict: GateReport, table: LabelledTable, habits: LearnedHabits) -> int:
    settings, earlier = run.settings, history.read(run.history)
    run.note(outcome="registered")
    tested = look(trained, table, settings)
    cli.say(metrics_table(tested.results.model, tested.results.majority_rule, tested.results.intervals))
    with ExitStack() as ending:
        registered = register(
            trained, verdict, tested, table, habits, settings, ending,
            lambda tag: [*earlier, run.line.model_copy(update={"model": tag})],
        )  # fmt: skip
        # The model is registered. From here on the run ends with its usual words and 0, whatever signal comes.
        cli.keep_exit_code()
        try:
            run.end(model=registered.tag)
        except OutputError as error:
            cli.warn(f"{registered.tag} is registered, but is not in the history: {error}")
        say_registered(registered, trained, tested, habits, settings, cli.say)
        track_registered(trained, verdict, tested, table, settings, registered, cli.say, cli.warn)
        instead = "as the first model" if run.line.champion is None else f"in place of {run.line.champion}"
        cli.say(f"registered {registered.tag} {instead}; a service takes it when it is restarted")
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retrain.py",
        description=(
            "Look at new labelled data: if usage has drifted from that of the registered model's table, or the model "
            "answers it worse than its own, train on it, and register the new model if it passes the gate and is "
            "better on fresh rows. The same data again changes nothing. Exit code 0: a new model is registered, or "
            "there was nothing to do; 1: the new model was refused, the registered one stays, and "
            f"{REFUSED}/ beside the artifacts says why; 2: it could not be decided. The last line says which."
        ),
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="new labelled table")
    parser.add_argument(
        "--always", action="store_true", help="train even if there is no reason to; the gate stays as strict"
    )
    parser.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help=f"where each run adds a line (default: {HISTORY_FILE} beside the artifacts)",
    )
    parser.add_argument("--seed", type=cli.seed, help="seed of everything random (default: seed)")
    add_training_options(parser)
    return parser
