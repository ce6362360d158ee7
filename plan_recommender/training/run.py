"""A training run, step by step: `train` makes a champion, `judge` decides whether it is registered, `look` measures it.

Nothing here writes a file: train.py hands the results to report/artifacts.py and training/publish.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sklearn.pipeline import Pipeline
from tqdm import tqdm

from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import ModelError
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.held_out import HeldOutResults, evaluate_held_out
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.model import store
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import ModelDocument
from plan_recommender.training import gate
from plan_recommender.training.candidates import fit
from plan_recommender.training.compiler import Proof, compile_pipeline, prove
from plan_recommender.training.fresh_rows import Answers, Beside
from plan_recommender.training.gate import GateReport
from plan_recommender.training.repeats import OtherSplits, check_calibration, compare_with_baselines
from plan_recommender.training.selection import (
    CandidateSummary,
    CrossValidated,
    calibration_out_of_fold,
    cross_validate,
    summarise,
)
from plan_recommender.training.split import Split, compared_part, split_table
from plan_recommender.training.threshold_choice import choose_threshold

STEPS_AFTER_SELECTION = 1
"""Number of calls of `progress` by `train` after the candidates were compared."""


@dataclass(frozen=True)
class Trained:
    """A champion, fitted and compiled, and the results that led to it."""

    split: Split
    compared: LabelledTable
    """The rows of the training part on which the candidates were compared."""
    results: list[CrossValidated]
    """One for each candidate, in the order of the configuration, like `candidates`."""
    candidates: list[CandidateSummary]
    champion: Candidate
    calibration: Calibration
    """Of the champion's out-of-fold probabilities."""
    pipeline: Pipeline
    """Fitted on the whole training part; `document` and `scorer` are compiled from it."""
    document: ModelDocument
    scorer: Scorer
    proof: Proof


@dataclass(frozen=True)
class Tested:
    """What was found when the test part was looked at."""

    results: HeldOutResults
    target: Labels
    """Of the test part, shape (rows,)."""
    probabilities: Probabilities
    """Of Ultra, shape (rows,)."""


def train(table: LabelledTable, settings: Settings, progress: Callable[[str], object] = lambda _: None) -> Trained:
    """Choose a champion on the training part; fit, compile and prove it.

    Args:
        table: the labelled table, which passed `check_trainable`.
        settings: the configuration.
        progress: is called after every fit of the comparison, and before the step that follows it, with a description
            of the step.

    Raises:
        TableError: the table has too few rows of a label for the split or for the folds.
        ConfigError: an estimator refuses its parameters, or does not converge.
        CompileError: the pipeline cannot be compiled, or the scorer does not answer as the pipeline does.
    """
    split = split_table(table, settings.split.test_share, settings.seed)
    training = table.take(split.training)
    compared = compared_part(training, settings)
    results = cross_validate(
        compared.features, compared.target, settings, lambda: progress("compare candidates"), compared.subscribers
    )
    candidates = summarise(results, settings)
    champion = next(result for result, summary in zip(results, candidates, strict=True) if summary.champion)
    threshold = choose_threshold(compared.features, compared.target, champion.probabilities, settings)
    calibration = calibration_out_of_fold(compared.target, champion, settings, compared.subscribers)
    progress("fit, compile and prove")
    pipeline = fit(champion.candidate, settings, training.features, training.target)
    document = compile_pipeline(pipeline, threshold, training.features, training.target)
    scorer = Scorer(document)
    proof = prove(document, pipeline, table.features, settings.proof, settings.seed)
    return Trained(
        split=split,
        compared=compared,
        results=results,
        candidates=candidates,
        champion=champion.candidate,
        calibration=calibration,
        pipeline=pipeline,
        document=document,
        scorer=scorer,
        proof=proof,
    )


def train_and_judge(
    table: LabelledTable, settings: Settings, say: Callable[[str], object]
) -> tuple[Trained, GateReport]:
    """Train a model and put it through the gate, with a progress bar if stderr is a terminal.

    Raises:
        TableError, ConfigError, CompileError: as `train`.
    """
    selection = settings.selection
    fits = len(selection.candidates) * selection.folds * selection.repeats
    with tqdm(total=fits + STEPS_AFTER_SELECTION, unit="step", disable=None, leave=False) as progress:

        def report_progress(step: str) -> None:
            progress.set_description(step)
            progress.update()

        trained = train(table, settings, report_progress)
        return trained, judge(trained, table, settings, say)


def look(trained: Trained, table: LabelledTable, settings: Settings) -> Tested:
    """Measure a champion on the test part, once everything has been decided.

    Raises:
        TableError: a feature has no values in the training part.
    """
    test, training = table.take(trained.split.test), table.take(trained.split.training)
    results, probabilities = evaluate_held_out(test, trained.split.test, training, trained.scorer, settings)
    return Tested(results, test.target, probabilities)


def judge(
    trained: Trained, table: LabelledTable, settings: Settings, say: Callable[[str], object] = lambda _: None
) -> GateReport:
    """Put a model through the gate: the baselines, calibration, the test part, and the registered model if any.

    A registered model that cannot answer is not compared with; `say` is called with a warning then. It is also called
    if the comparison with the baselines or the check of calibration is close, so that other splits of the table decide.
    """
    champion = next(result for result in trained.results if result.candidate == trained.champion)
    others = OtherSplits(trained.champion, table, settings)
    compared = compare_with_baselines(champion, trained.results, others, settings, say)
    calibrated = check_calibration(trained.calibration, trained.champion, others, settings, say)
    checks = [*compared.checks, calibrated.check]
    test = table.take(trained.split.test)
    checks.append(gate.check_test_part(test))
    try:
        registered = store.latest()
        if registered is not None:
            registered.scorer()
    except ModelError as error:
        # Any model that passes the other checks is better than one that cannot answer.
        say(f"warning: not compared with the registered model, which cannot answer: {error}")
        return GateReport(checks=checks, splits=compared.splits, calibration_splits=calibrated.splits)
    if registered is not None:
        checks.append(_check_registered(registered, trained, test, settings))
    return GateReport(checks=checks, splits=compared.splits, calibration_splits=calibrated.splits)


def require_better(
    verdict: GateReport, registered: store.RegisteredModel, trained: Trained, table: LabelledTable, settings: Settings
) -> tuple[GateReport, Beside | None]:
    """Add to a verdict the check of a retraining: the new model has to be better than the registered one on fresh rows.

    Returns:
        The verdict, and the figures of both models; None if there are too few fresh rows, or the model is damaged.
    """
    test = table.take(trained.split.test)
    try:
        beside = Beside.measure(registered, *answers_of(trained, test), settings)
    except ModelError:  # as the check before this one says
        beside = None
    check = gate.check_better(registered, beside, settings)
    return verdict.model_copy(update={"checks": [*verdict.checks, check]}), beside


def answers_of(trained: Trained, test: LabelledTable) -> tuple[Answers, Answers]:
    """Give a new model's answers to the test part, and those of its cross-validation to the training part."""
    champion = next(result for result in trained.results if result.candidate == trained.champion)
    on_test = Answers(test, trained.scorer.probabilities(test.features)[None])
    return on_test, Answers(trained.compared, champion.probabilities)


def _check_registered(
    registered: store.RegisteredModel, trained: Trained, test: LabelledTable, settings: Settings
) -> gate.Check:
    try:
        return gate.check_registered(registered, *answers_of(trained, test), settings)
    except ModelError as error:  # it answers, but the file with the rows that it was trained on is damaged
        return gate.Check(
            name=gate.not_worse_than(registered),
            passed=False,
            found=f"that they cannot be compared: {error}",
        )
