"""Train the plan recommender: fit, evaluate, compile, prove, register."""

import argparse
import importlib.metadata
import json
import platform
import warnings
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import joblib
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from plan_recommender import cli, registry
from plan_recommender.compiler import Proof, compile_pipeline, prove
from plan_recommender.config import DEFAULT_CONFIG, Settings, load_settings
from plan_recommender.errors import ConfigError
from plan_recommender.evaluation import Labels, Metrics, Probabilities, comparison, measure, measure_majority_rule
from plan_recommender.files import StagedDirectory, staged_directory, writing
from plan_recommender.pipeline import PREPROCESSOR, build_pipeline, frame
from plan_recommender.reference import profile
from plan_recommender.report import plot_confusion_matrix, plot_roc_curve
from plan_recommender.scorer import Scorer
from plan_recommender.selection import Split, split_table
from plan_recommender.table import LabelledTable, check_trainable, read_labelled
from plan_recommender.usage import FEATURES

VERSIONS_RECORDED = ("bentoml", "numpy", "onnxruntime", "pandas", "scikit-learn", "scipy", "skl2onnx")


@dataclass(frozen=True)
class Trained:
    """A fitted pipeline, its compiled form, and what the one look at the test part found."""

    split: Split
    pipeline: Pipeline
    graph: bytes
    proof: Proof
    test_target: Labels
    test_probabilities: Probabilities
    model: Metrics
    majority_rule: Metrics


def train(table: LabelledTable, settings: Settings) -> Trained:
    """Fit on the training part, compile, prove the two equal, and measure on the test part.

    Raises:
        TableError: the table cannot be split.
        ConfigError: the estimator refuses its parameters.
        CompileError: the scorer does not answer as the pipeline does.
    """
    split = split_table(table, settings.split.test_share, settings.seed)
    pipeline = _fit(table, split, settings)
    graph = compile_pipeline(pipeline)
    scorer = Scorer(graph, settings.threshold)
    proof = prove(scorer, pipeline, table.features, settings.proof, settings.seed)
    target = table.target[split.test]
    probabilities = scorer.probabilities(table.features[split.test])
    return Trained(
        split=split,
        pipeline=pipeline,
        graph=graph,
        proof=proof,
        test_target=target,
        test_probabilities=probabilities,
        model=measure(target, probabilities, scorer.decide(probabilities)),
        majority_rule=measure_majority_rule(target, float(table.target[split.training].mean())),
    )


def main(arguments: list[str] | None = None) -> int:
    """Train and register one model; returns the exit code."""
    options = _parser().parse_args(arguments)
    settings = _settings(options)
    table = read_labelled(settings.data.path)
    check_trainable(table, settings.data.max_missing_share, settings.data.min_rows)
    _print_table(table)
    with tqdm(total=3, unit="step", disable=None, leave=False) as progress:
        progress.set_description("fit, compile and prove")
        trained = train(table, settings)
        progress.update()
        directory = settings.artifacts.directory
        with staged_directory(directory) as artifacts, registry.staging() as model:
            progress.set_description("write artifacts")
            with writing(directory):
                _write_artifacts(artifacts.path, trained, table, settings)
            with writing(registry.store_path()):
                record = _write_model(model.path, artifacts.path, trained, table, settings)
            with writing(directory):
                (artifacts.path / "run.json").write_text(_json({"model": model.tag, **record.model_dump(mode="json")}))
                artifacts.keep_the_rest()
            progress.update()
            progress.set_description("register")
            with writing(registry.store_path()):
                _commit(model, record, artifacts)
            progress.update()
    cli.say(comparison(trained.model, trained.majority_rule))
    if trained.model.accuracy <= trained.majority_rule.accuracy:
        cli.say("warning: less accurate than the majority rule: do not act on this model's recommendations")
    cli.say(
        f"compiled scorer: same decision as the pipeline on {trained.proof.rows:,} rows, "
        f"largest difference in probability {trained.proof.largest_difference:.1e}"
    )
    cli.say(f"artifacts: {directory}")
    cli.say(f"registered {model.tag}")
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py", description="Train the plan recommender and register it in the BentoML model store."
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="YAML", help="configuration (default: %(default)s)"
    )
    parser.add_argument("--data", type=Path, metavar="CSV", help="labelled table (default: data.path)")
    parser.add_argument("--artifacts", type=Path, metavar="DIR", help="results folder (default: artifacts.directory)")
    parser.add_argument("--seed", type=cli.seed, help="seed of everything random (default: seed)")
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
    return settings


def _fit(table: LabelledTable, split: Split, settings: Settings) -> Pipeline:
    pipeline = build_pipeline(settings)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            pipeline.fit(frame(table.features[split.training]), table.target[split.training])
    except (ValueError, ConvergenceWarning) as error:
        raise ConfigError(f"estimators.{settings.estimator}: scikit-learn refused to fit: {error}") from error
    return pipeline


def _write_artifacts(folder: Path, trained: Trained, table: LabelledTable, settings: Settings) -> None:
    (folder / "metrics.json").write_text(_json(_metrics(trained, table, settings)))
    plot_roc_curve(folder / "roc_curve.png", trained.test_target, trained.test_probabilities, trained.model.roc_auc)
    plot_confusion_matrix(folder / "confusion_matrix.png", trained.model)
    joblib.dump(trained.pipeline, folder / "model.joblib")
    joblib.dump(trained.pipeline.named_steps[PREPROCESSOR], folder / "preprocessor.joblib")


def _write_model(
    folder: Path, artifacts: Path, trained: Trained, table: LabelledTable, settings: Settings
) -> registry.ModelRecord:
    training = trained.split.training
    reference = profile(table.features[training], settings.features, settings.drift, settings.seed)
    (folder / registry.PIPELINE_FILE).write_bytes((artifacts / "model.joblib").read_bytes())
    (folder / registry.SCORER_FILE).write_bytes(trained.graph)
    (folder / registry.REFERENCE_FILE).write_text(reference.model_dump_json())
    return registry.ModelRecord(
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        features=list(FEATURES),
        target=settings.target,
        threshold=settings.threshold,
        seed=settings.seed,
        data=registry.TrainingData(
            file=table.path.name,
            sha256=table.sha256,
            rows=len(table.target),
            training_rows=len(training),
            training_ultra_share=float(table.target[training].mean()),
        ),
        metrics=_metrics(trained, table, settings),
        proof=asdict(trained.proof),
        settings=settings.model_dump(mode="json"),
        versions={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in VERSIONS_RECORDED},
        digests=registry.digests(folder),
    )


def _commit(model: registry.StagedModel, record: registry.ModelRecord, artifacts: StagedDirectory) -> None:
    """Put model and artifacts in place; what fails on the way takes back what was done before it."""
    with cli.uninterrupted():
        try:
            model.place(record)
            artifacts.publish()
            model.promote()
        except BaseException:
            artifacts.take_back()
            model.withdraw()
            raise


def _metrics(trained: Trained, table: LabelledTable, settings: Settings) -> dict[str, object]:
    """What metrics.json holds: the same for the same data and seed, so no time and no tag."""
    return {
        **trained.model.model_dump(),
        "majority_rule": trained.majority_rule.model_dump(),
        "estimator": settings.estimator,
        "threshold": settings.threshold,
        "test_rows": len(trained.test_target),
        "seed": settings.seed,
        "data_sha256": table.sha256,
    }


def _print_table(table: LabelledTable) -> None:
    missing = ", ".join(f"{count} in {name}" for name, count in table.missing.items() if count)
    cli.say(
        f"{table.path}: {len(table.target):,} rows, {table.target.mean():.1%} Ultra, "
        f"empty cells imputed with the median: {missing or 'none'}"
    )


def _json(document: object) -> str:
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


if __name__ == "__main__":
    cli.run(main)
