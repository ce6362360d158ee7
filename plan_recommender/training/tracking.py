"""Track training runs with MLflow: settings, metrics of every candidate, checks of the gate, artifacts and the model.

No pickle is logged, because whoever opens one runs its code; and MLflow sends no usage statistics to its makers.
"""

import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

# MLflow reads some of these when it is imported. What the operator has set is left as it is.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# With MLflow's own limits, a server that does not answer would delay the end of a finished run by minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
import mlflow.pyfunc
from mlflow.entities import Metric
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.utils.validation import (
    MAX_METRICS_PER_BATCH,
    MAX_PARAM_VAL_LENGTH,
    MAX_PARAMS_TAGS_PER_BATCH,
    MAX_TAG_VAL_LENGTH,
)

import plan_recommender
from plan_recommender.config.settings import SQLITE, Settings
from plan_recommender.errors import TrackingError
from plan_recommender.evaluation.comparison import COMPARED
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.training.gate import GateReport
from plan_recommender.training.selection import CandidateSummary, CrossValidated

MODEL = "model"
GATE_FILE = "gate.json"
LOCAL_ARTIFACTS = "mlartifacts"

_MODEL_NEEDS = ("mlflow", "numpy", "pandas", "pydantic")
_SHOWN = 300  # characters of MLflow's own message that an error repeats


@dataclass(frozen=True)
class TrackedRun:
    """What is logged about one training run."""

    name: str
    tags: Mapping[str, str]
    results: Sequence[CrossValidated]
    candidates: Sequence[CandidateSummary]
    metrics: Mapping[str, float]
    gate: GateReport
    artifacts: Sequence[Path]
    document: bytes | None
    """The compiled model; None if the gate refused it."""


def track(run: TrackedRun, settings: Settings) -> str:
    """Log a run to the configured store; returns MLflow's id of the run.

    Raises:
        TrackingError: MLflow failed; a part of the run may have been logged.
    """
    uri = settings.mlflow.tracking_uri
    try:
        mlflow.set_tracking_uri(uri)
        with mlflow.start_run(experiment_id=_experiment(settings), run_name=run.name) as active:
            _log(active.info.run_id, run, settings)
    except Exception as error:  # of MLflow, its HTTP client or its database; none of them undoes the training run
        found = " ".join(str(error).split())[:_SHOWN]
        raise TrackingError(
            f"mlflow.tracking_uri {uri}: expected a store that takes the run, found: {found}"
        ) from error
    return str(active.info.run_id)


def connect(settings: Settings) -> mlflow.MlflowClient:
    """Open the configured store for reading."""
    return mlflow.MlflowClient(settings.mlflow.tracking_uri)


def flattened(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested sections, each under its dotted name."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _experiment(settings: Settings) -> str:
    name, uri = settings.mlflow.experiment, settings.mlflow.tracking_uri
    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # A server has a place for artifacts. For a local store MLflow would use a folder of the working directory.
    place = None
    if uri.startswith(SQLITE):
        place = (Path(uri.removeprefix(SQLITE)).resolve().parent / LOCAL_ARTIFACTS).as_uri()
    return str(mlflow.create_experiment(name, artifact_location=place))


def _log(run_id: str, run: TrackedRun, settings: Settings) -> None:
    params = {name: _text(value)[:MAX_PARAM_VAL_LENGTH] for name, value in flattened(settings.model_dump(mode="json"))}
    checks = {
        f"gate.check_{i}": f"{'passed' if check.passed else 'refused'}: {check.name}; found {check.found}"
        for i, check in enumerate(run.gate.checks, start=1)
    }
    tags = {name: value[:MAX_TAG_VAL_LENGTH] for name, value in {**run.tags, **checks}.items()}
    for some in _batches(list(params.items()), MAX_PARAMS_TAGS_PER_BATCH):
        mlflow.log_params(dict(some))
    for some in _batches(list(tags.items()), MAX_PARAMS_TAGS_PER_BATCH):
        mlflow.set_tags(dict(some))
    client = mlflow.MlflowClient()
    for measured in _batches(list(_measured(run)), MAX_METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=measured)
    mlflow.log_text(run.gate.model_dump_json(indent=2) + "\n", GATE_FILE)
    for path in run.artifacts:
        mlflow.log_artifact(str(path))
    if run.document is not None:
        _log_model(run.document)


def _measured(run: TrackedRun) -> Iterator[Metric]:
    now = int(time.time() * 1000)
    for name, value in run.metrics.items():
        yield Metric(name, value, now, 0)
    for result, summary in zip(run.results, run.candidates, strict=True):
        for metric in COMPARED:
            for step, score in enumerate(result.scores(metric).tolist()):
                yield Metric(f"{result.candidate}.{metric}", score, now, step)
            yield Metric(f"{result.candidate}.{metric}.mean", summary.metrics[metric].mean, now, 0)


def _log_model(document: bytes) -> None:
    numbers = Schema([ColSpec(DataType.double, name) for name in FEATURE_NAMES])
    answers = Schema([ColSpec(DataType.long, "prediction"), ColSpec(DataType.double, "probability_is_ultra")])
    package = Path(plan_recommender.__file__).parent
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / DOCUMENT_FILE
        path.write_bytes(document)
        with warnings.catch_warnings():
            # No input example is logged, because it would be a row of the table. The warning begins with a colour code.
            warnings.filterwarnings("ignore", ".*An input example was not provided", UserWarning)
            mlflow.pyfunc.log_model(
                name=MODEL,
                python_model=str(Path(__file__).with_name("mlflow_model.py")),
                artifacts={"document": str(path)},
                code_paths=[str(package)],
                signature=ModelSignature(numbers, answers),
                # Without a list MLflow would run the model to find out what it imports.
                pip_requirements=[f"{name}=={version(name)}" for name in _MODEL_NEEDS],
            )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
