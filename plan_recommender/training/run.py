"""What a training run finds: the champion, compiled and proved, its quality, and whether it may be registered."""

from collections.abc import Callable
from dataclasses import dataclass

from sklearn.pipeline import Pipeline

from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import ModelError
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.held_out import Analysis, analyse
from plan_recommender.evaluation.metrics import Probabilities
from plan_recommender.model import store
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import ModelDocument
from plan_recommender.training import gate
from plan_recommender.training.candidates import fit
from plan_recommender.training.compiler import Proof, compile_pipeline, prove
from plan_recommender.training.gate import GateReport
from plan_recommender.training.selection import (
    CandidateSummary,
    CrossValidated,
    calibration_out_of_fold,
    cross_validate,
    summarise,
)
from plan_recommender.training.split import Split, compared_part, split_table
from plan_recommender.training.threshold_choice import choose_threshold

STEPS_AFTER_SELECTION = 2
"""How often `train` tells its progress once the candidates are compared."""


@dataclass(frozen=True)
class Trained:
    """A champion, fitted and compiled, and all that was found out on the way to it."""

    split: Split
    results: list[CrossValidated]
    candidates: list[CandidateSummary]
    champion: Candidate
    calibration: Calibration  # of the out-of-fold probabilities
    pipeline: Pipeline
    document: ModelDocument
    scorer: Scorer
    proof: Proof
    analysis: Analysis
    test_probabilities: Probabilities


def train(table: LabelledTable, settings: Settings, progress: Callable[[str], object] = lambda _: None) -> Trained:
    """Choose a champion on the training part, fit, compile and prove it, and look at the test part once.

    Args:
        table: the labelled table.
        settings: the configuration.
        progress: is called with the name of what comes next whenever a step is done.

    Raises:
        TableError: the table cannot be split.
        ConfigError: an estimator refuses its parameters.
        CompileError: the scorer does not answer as the pipeline does.
    """
    split = split_table(table, settings.split.test_share, settings.seed)
    training, test = table.take(split.training), table.take(split.test)
    compared = compared_part(training, settings)
    results = cross_validate(compared.features, compared.target, settings, lambda: progress("compare candidates"))
    candidates = summarise(results, settings)
    champion = next(result for result, summary in zip(results, candidates, strict=True) if summary.champion)
    threshold = choose_threshold(compared.features, compared.target, champion.probabilities, settings)
    calibration = calibration_out_of_fold(compared.target, champion, settings)
    progress("fit, compile and prove")
    pipeline = fit(champion.candidate, settings, training.features, training.target)
    document = compile_pipeline(pipeline, threshold, training.features)
    scorer = Scorer(document)
    proof = prove(document, pipeline, table.features, settings.proof, settings.seed)
    progress("look at the test part")
    analysis, probabilities = analyse(test, split.test + 1, training, scorer, settings)
    return Trained(
        split=split,
        results=results,
        candidates=candidates,
        champion=champion.candidate,
        calibration=calibration,
        pipeline=pipeline,
        document=document,
        scorer=scorer,
        proof=proof,
        analysis=analysis,
        test_probabilities=probabilities,
    )


def judge(
    trained: Trained, table: LabelledTable, settings: Settings, say: Callable[[str], object] = lambda _: None
) -> GateReport:
    """Hold a model against the baselines, the bounds of calibration, and the registered model if there is one.

    Calls `say` with a warning when there is a registered model that cannot answer, and so is not compared with.
    """
    champion = next(result for result in trained.results if result.candidate == trained.champion)
    checks = gate.check_baselines(champion, trained.results, settings)
    checks.append(gate.check_calibration(trained.calibration, settings.gate))
    test = table.take(trained.split.test)
    checks.append(gate.check_test_part(test))
    try:
        registered = store.latest()
        if registered is not None:
            registered.scorer()
    except ModelError as error:
        # It cannot answer, so that any model that passes the rest is better.
        say(f"warning: not compared with the registered model, which cannot answer: {error}")
        return GateReport(checks=checks)
    if registered is not None:
        checks.append(_check_registered(registered, trained, test, settings))
    return GateReport(checks=checks)


def _check_registered(
    registered: store.RegisteredModel, trained: Trained, test: LabelledTable, settings: Settings
) -> gate.Check:
    try:
        return gate.check_registered(registered, trained.scorer, test, trained.test_probabilities, settings)
    except ModelError as error:  # it answers, but what it was trained on is not known any more
        return gate.Check(
            name=f"Brier score not worse than that of {registered.tag} on the same rows",
            passed=False,
            found=f"that they cannot be compared: {error}",
        )
