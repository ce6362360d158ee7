"""What train.py and retrain.py say of a run at its end."""

from collections.abc import Callable, Sequence

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.subscribers import find_doubt, groups_option
from plan_recommender.errors import OutputError
from plan_recommender.report.outcome import Registered, earlier_refused, leave_refused
from plan_recommender.training.gate import GateReport
from plan_recommender.training.habits import LearnedHabits
from plan_recommender.training.history import Retraining
from plan_recommender.training.run import Tested, Trained


def say_registered(
    registered: Registered,
    trained: Trained,
    tested: Tested,
    habits: LearnedHabits,
    settings: Settings,
    say: Callable[[str], object],
) -> None:
    """Say what the run has found and where it is; that the model is registered is left to the command's last line."""
    say(registered.looks_before)
    if tested.results.model.accuracy < tested.results.majority_rule.accuracy:
        say("warning: with this threshold less accurate than recommending the majority plan to everybody")
    say(
        f"champion {trained.champion}, threshold {trained.scorer.threshold}, "
        f"expected calibration error {trained.calibration.ece:.4f} out of fold"
    )
    say(
        f"tables: same decision as the pipeline on {trained.proof.rows:,} rows, "
        f"largest difference in log-odds {trained.proof.largest_difference:.1e}"
    )
    say(
        f"next bills: how usage varies was learned from {habits.months:,} months of {habits.profile.subscribers:,} "
        f"subscribers in {habits.path.name}"
    )
    say("passed every check of the gate")
    say(f"artifacts: {settings.artifacts.directory}, of which report.html is for people")
    if other_report := earlier_refused(settings.artifacts.directory):
        say(other_report)


def say_refused(
    trained: Trained,
    verdict: GateReport,
    table: LabelledTable,
    habits: LearnedHabits,
    settings: Settings,
    retrainings: Sequence[Retraining],
    say: Callable[[str], object],
    warn: Callable[[str], object],
) -> None:
    """Say why a model was refused and what to do next, and leave the report of the run in a folder of its own."""
    failed = [check for check in verdict.checks if not check.passed]
    for check in failed:
        say(f"refused: expected {check.name}, found {check.found}")
    doubt = find_doubt(table)
    if doubt is not None and doubt.better is not None:
        say(f"what helps first: train with {groups_option(doubt.better)}; these figures are not of new subscribers")
    for advice in dict.fromkeys(check.advice for check in failed):
        say(f"what helps: {advice}")
    try:
        left = leave_refused(trained, verdict, table, habits, settings, retrainings)
    except OutputError as error:
        warn(f"the report of this run is not kept: {error}")
    else:
        if left.looks_before:
            say(left.looks_before)
        say(f"report: {left.report}, which begins with what to do next")
    say("nothing was registered; the model store and the artifacts are as they were")
