"""Tell MLflow of a run, if that is configured; training/tracking.py, which needs MLflow, is imported only then."""

from collections.abc import Callable

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import TrackingError
from plan_recommender.model.tables import write_document
from plan_recommender.report.outcome import Registered
from plan_recommender.training.gate import GateReport
from plan_recommender.training.publish import library_versions
from plan_recommender.training.run import Tested, Trained


def track_registered(
    trained: Trained,
    verdict: GateReport,
    tested: Tested,
    table: LabelledTable,
    settings: Settings,
    registered: Registered,
    say: Callable[[str], object],
    warn: Callable[[str], object],
) -> None:
    """Do as `track` for a model that is registered, where Ctrl-C and SIGTERM end no more than this."""
    whole = registered.signals.interruptible(
        lambda: track(trained, verdict, tested, table, settings, registered, say, warn)
    )
    if not whole and settings.mlflow.enabled:
        warn(f"not tracked to its end, {registered.tag} is registered all the same: interrupted")


def track(
    trained: Trained,
    verdict: GateReport,
    tested: Tested | None,
    table: LabelledTable,
    settings: Settings,
    registered: Registered | None,
    say: Callable[[str], object],
    warn: Callable[[str], object],
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
        warn(f"not tracked, {kept}: {error}")
    else:
        say(f"tracked as run {run_id} in {settings.mlflow.tracking_uri}, experiment {settings.mlflow.experiment}")
