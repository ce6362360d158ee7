"""Train the plan recommender: compare candidates, fit the champion, compile, prove, evaluate, gate, register."""

import argparse
import importlib
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.cli import needing
from plan_recommender.config.load import DEFAULT_CONFIG, load_settings
from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data import outputs
from plan_recommender.data.csv_table import LabelledTable, check_trainable, read_labelled
from plan_recommender.data.facts import describe
from plan_recommender.data.outputs import StagedDirectory, staged_directory, writing
from plan_recommender.drift.reference import profile
from plan_recommender.errors import TrackingError
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.model import digests, store
from plan_recommender.model.features import FEATURES
from plan_recommender.model.record import (
    DOCUMENT_FILE,
    PIPELINE_FILE,
    REFERENCE_FILE,
    ROW_KEY,
    TRAINING_ROWS_FILE,
    ModelRecord,
    TrainingData,
)
from plan_recommender.model.tables import ModelDocument, write_document
from plan_recommender.report import pages, plots
from plan_recommender.report.artifacts import candidates_csv
from plan_recommender.report.terminal import candidates_table, metrics_table
from plan_recommender.training import publish
from plan_recommender.training.candidates import PREPROCESSOR
from plan_recommender.training.findings import Findings
from plan_recommender.training.gate import GateReport
from plan_recommender.training.run import STEPS_AFTER_SELECTION, Trained, judge, train
from plan_recommender.training.split import row_keys

_REPEATED_SHARE = 0.01
VERSIONS_RECORDED = ("bentoml", "numpy", "pandas", "scikit-learn", "scipy")


def main(arguments: list[str] | None = None) -> int:
    """Train and register one model; returns the exit code."""
    options = _parser().parse_args(arguments)
    settings = _settings(options)
    table = read_labelled(settings.data.path)
    check_trainable(table, settings.data.max_missing_share, settings.data.min_rows)
    if settings.mlflow.enabled:
        _require_mlflow()
    _print_table(table)
    if options.search is not None:
        settings = _searched(table, settings, options.search)
    trained, verdict = _train(table, settings)
    cli.say(candidates_table(trained.results, trained.candidates))
    cli.say(metrics_table(trained.analysis.model, trained.analysis.majority_rule))
    if not verdict.passed:
        for check in verdict.checks:
            if not check.passed:
                cli.say(f"refused: expected {check.name}, found {check.found}")
        cli.say("nothing was registered; the model store and the artifacts are as they were")
        _track(trained, verdict, table, settings)
        return cli.ANSWER_IS_NO
    tag, written = _register(trained, verdict, table, settings)
    if trained.analysis.model.accuracy < trained.analysis.majority_rule.accuracy:
        cli.say("warning: with this threshold less accurate than recommending the majority plan to everybody")
    cli.say(
        f"champion {trained.champion}, threshold {trained.scorer.threshold}, "
        f"expected calibration error {trained.calibration.ece:.4f} out of fold"
    )
    cli.say(
        f"tables: same decision as the pipeline on {trained.proof.rows:,} rows, "
        f"largest difference in log-odds {trained.proof.largest_difference:.1e}"
    )
    cli.say("passed every check of the gate")
    cli.say(f"artifacts: {settings.artifacts.directory}, of which report.html is for people")
    cli.say(f"registered {tag}")
    _track(trained, verdict, table, settings, tag, [settings.artifacts.directory / name for name in written])
    return cli.DONE


def _train(table: LabelledTable, settings: Settings) -> tuple[Trained, GateReport]:
    """Train and judge, with a progress bar on a terminal."""
    selection = settings.selection
    fits = len(selection.candidates) * selection.folds * selection.repeats
    with tqdm(total=fits + STEPS_AFTER_SELECTION, unit="step", disable=None, leave=False) as progress:

        def report_progress(step: str) -> None:
            progress.set_description(step)
            progress.update()

        trained = train(table, settings, report_progress)
        return trained, judge(trained, table, settings)


def _register(trained: Trained, verdict: GateReport, table: LabelledTable, settings: Settings) -> tuple[str, list[str]]:
    """Write artifacts and model, all or nothing; returns the model's tag and the names of the artifacts."""
    findings = Findings(
        champion=trained.champion,
        candidates=trained.candidates,
        threshold=trained.scorer.threshold,
        calibration=trained.calibration,
        gate=verdict,
        test=trained.analysis,
        data=describe(table),
    )
    directory = settings.artifacts.directory
    with staged_directory(directory) as artifacts, publish.staging() as model:
        with writing(directory):
            _write_artifacts(artifacts.path, trained, findings, table, settings)
        with writing(store.store_path()):
            record = _write_model(model.path, artifacts.path, trained, findings, table, settings)
        with writing(directory):
            _write_pages(artifacts.path, model.tag, record, trained, findings, table)
            written = sorted(path.name for path in artifacts.path.iterdir())
            artifacts.keep_the_rest()
        with writing(store.store_path()):
            _commit(model, record, artifacts)
        return model.tag, written


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=(
            "Compare the candidates, train the champion, and register it in the BentoML model store if it passes the "
            "gate. Exit code 0: it is registered, even if MLflow, when wanted, could not be told of it; 1: it was "
            "refused, and nothing has changed."
        ),
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="YAML", help="configuration (default: %(default)s)"
    )
    parser.add_argument("--data", type=Path, metavar="CSV", help="labelled table (default: data.path)")
    parser.add_argument("--artifacts", type=Path, metavar="DIR", help="results folder (default: artifacts.directory)")
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
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    settings = load_settings(options.config)
    if options.data is not None:
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"path": options.data})})
    if options.artifacts is not None:
        directory = settings.artifacts.model_copy(update={"directory": options.artifacts})
        settings = settings.model_copy(update={"artifacts": directory})
    if options.seed is not None:
        settings = settings.model_copy(update={"seed": options.seed})
    if options.mlflow:
        settings = settings.model_copy(update={"mlflow": settings.mlflow.model_copy(update={"enabled": True})})
    return settings


def _searched(table: LabelledTable, settings: Settings, trials: int) -> Settings:
    """Put the best parameters that a search finds in place of the configured ones, and say which they are."""
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
    """Find out before the work whether it can be tracked."""
    with needing("mlflow", "--mlflow or mlflow.enabled"):
        importlib.import_module("plan_recommender.training.tracking")


def _track(
    trained: Trained,
    verdict: GateReport,
    table: LabelledTable,
    settings: Settings,
    tag: str | None = None,
    artifacts: Sequence[Path] = (),
) -> None:
    """Tell MLflow of a run, if it is wanted; `tag` is None when the model was refused.

    That MLflow cannot be told is a warning: the exit code answers whether the model is registered.
    """
    if not settings.mlflow.enabled:
        return
    from plan_recommender.training import tracking

    tags = {
        "gate": "passed" if verdict.passed else "refused",
        "champion": trained.champion,
        "seed": str(settings.seed),
        "data.file": table.path.name,
        "data.sha256": table.sha256,
        **({} if tag is None else {"model": tag}),
        **{f"version.{name}": version for name, version in _versions().items()},
    }
    analysis = trained.analysis
    test = {"model": analysis.model.model_dump(), "majority_rule": analysis.majority_rule.model_dump()}
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
        # No pickles: who can write to a shared store would run code wherever they are opened.
        artifacts=[path for path in artifacts if path.suffix != ".joblib"],
        document=None if tag is None else write_document(trained.document),
    )
    try:
        run_id = tracking.track(run, settings)
    except TrackingError as error:
        kept = "nothing was registered" if tag is None else f"{tag} is registered all the same"
        cli.warn(f"not tracked, {kept}: {error}")
    else:
        cli.say(f"tracked as run {run_id} in {settings.mlflow.tracking_uri}, experiment {settings.mlflow.experiment}")


def _write_artifacts(
    folder: Path, trained: Trained, findings: Findings, table: LabelledTable, settings: Settings
) -> None:
    (folder / "metrics.json").write_text(_json(_metrics(findings, table, settings)))
    (folder / "findings.json").write_text(findings.model_dump_json(indent=2) + "\n")
    (folder / "candidates.csv").write_text(candidates_csv(trained.results, trained.candidates))
    (folder / "business_impact.csv").write_text(
        pd.DataFrame([row.model_dump() for row in findings.test.impact.curve]).to_csv(index=False)
    )
    (folder / DOCUMENT_FILE).write_bytes(write_document(trained.document))
    _draw(folder, findings, trained.document, table.target[trained.split.test], trained.test_probabilities)
    joblib.dump(trained.pipeline, folder / "model.joblib")
    joblib.dump(trained.pipeline.named_steps[PREPROCESSOR], folder / "preprocessor.joblib")


def _draw(
    folder: Path, findings: Findings, document: ModelDocument, target: Labels, probabilities: Probabilities
) -> None:
    test = findings.test
    plots.plot_curves(folder / pages.CURVES, document)
    plots.plot_maps(folder / pages.MAPS, document)
    plots.plot_roc_curve(folder / "roc_curve.png", target, probabilities, test.model.roc_auc)
    plots.plot_precision_recall(folder / "precision_recall.png", target, probabilities)
    plots.plot_confusion_matrix(folder / "confusion_matrix.png", test.model)
    calibrations = [("out of fold", findings.calibration), ("test part", test.calibration)]
    plots.plot_calibration(folder / "calibration.png", calibrations)
    plots.plot_profit(folder / "profit_curve.png", test.impact)
    plots.plot_importances(folder / "importances.png", test.importances)


def _write_pages(
    folder: Path,
    tag: str,
    record: ModelRecord,
    trained: Trained,
    findings: Findings,
    table: LabelledTable,
) -> None:
    run = {"model": tag, "table": str(table.path.resolve()), **record.model_dump(mode="json")}
    (folder / store.RUN_FILE).write_text(_json(run))
    seconds = {result.candidate: float(np.median(result.fit_seconds)) for result in trained.results}
    (folder / pages.REPORT).write_text(pages.render_report(tag, record, trained.document, findings, seconds, folder))
    for name, text in pages.render_cards(record, trained.document, findings, table).items():
        (folder / name).write_text(text)


def _write_model(
    folder: Path, artifacts: Path, trained: Trained, findings: Findings, table: LabelledTable, settings: Settings
) -> ModelRecord:
    training = table.take(trained.split.training)
    reference = profile(training.features, settings.features, settings.drift, settings.seed)
    (folder / PIPELINE_FILE).write_bytes((artifacts / "model.joblib").read_bytes())
    (folder / DOCUMENT_FILE).write_bytes((artifacts / DOCUMENT_FILE).read_bytes())
    (folder / REFERENCE_FILE).write_text(reference.model_dump_json())
    (folder / TRAINING_ROWS_FILE).write_bytes(row_keys(training).astype(ROW_KEY).tobytes())
    return ModelRecord(
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        features=list(FEATURES),
        target=settings.target,
        estimator=trained.champion,
        seed=settings.seed,
        data=TrainingData(
            file=table.path.name,
            sha256=table.sha256,
            rows=len(table.target),
            training_rows=len(training.target),
            training_ultra_share=float(training.target.mean()),
        ),
        metrics=_metrics(findings, table, settings),
        gate=[check.model_dump() for check in findings.gate.checks],
        proof=asdict(trained.proof),
        settings=_portable(settings),
        versions=_versions(),
        digests=digests.digests(folder),
    )


def _portable(settings: Settings) -> dict[str, object]:
    """Settings without the folders and addresses of this machine: the model travels, into images for one."""
    document = settings.model_dump(mode="json", exclude={"artifacts", "search", "mlflow"})
    path = settings.data.path.resolve()
    inside = path.is_relative_to(Path.cwd())
    return document | {"data": document["data"] | {"path": str(path.relative_to(Path.cwd())) if inside else path.name}}


def _commit(model: publish.StagedModel, record: ModelRecord, artifacts: StagedDirectory) -> None:
    """Put model and artifacts in place; what fails on the way takes back what was done before it."""
    with outputs.uninterrupted():
        try:
            model.publish(record)
            artifacts.publish()
            model.promote()
        except BaseException:
            artifacts.withdraw()
            model.withdraw()
            raise


def _metrics(findings: Findings, table: LabelledTable, settings: Settings) -> dict[str, object]:
    """What metrics.json holds: the same for the same data and seed, so no time and no tag."""
    champion = next(summary for summary in findings.candidates if summary.champion)
    return {
        **findings.test.model.model_dump(),
        "majority_rule": findings.test.majority_rule.model_dump(),
        "cross_validation": {name: found.model_dump() for name, found in champion.metrics.items()},
        "expected_calibration_error": findings.calibration.ece,
        "estimator": findings.champion,
        **findings.threshold.summary(),
        "test_rows": findings.test.rows,
        "seed": settings.seed,
        "data_sha256": table.sha256,
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in VERSIONS_RECORDED
    }


def _print_table(table: LabelledTable) -> None:
    missing = ", ".join(f"{count} in {name}" for name, count in table.missing.items() if count)
    cli.say(
        f"{table.path}: {len(table.target):,} rows, {table.target.mean():.1%} Ultra, "
        f"empty cells imputed with the median: {missing or 'none'}"
    )
    repeated = len(table.target) - len(np.unique(row_keys(table)))
    if repeated > _REPEATED_SHARE * len(table.target):
        cli.say(
            f"warning: {repeated:,} rows repeat another one: where one of them trains and the other tests, every "
            "figure is too good"
        )


def _json(document: object) -> str:
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


if __name__ == "__main__":
    cli.run(main)
