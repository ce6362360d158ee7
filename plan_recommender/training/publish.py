"""The writing half of the model store: publish a model completely or not at all, promote it, roll back.

To publish a model is to move it into the store, where it can be named by its tag; to promote it is to let `:latest`
name it. Each is one step of the file system, so that a reader never sees half a model. Only a store that is a mount
point takes a copy, file by file, before the model is promoted. model/store.py is the reading half.
"""

import errno
import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from bentoml.models import ModelContext
from bentoml.types import ModelSignature

from plan_recommender.billing.advice import AdvicePolicy
from plan_recommender.config.settings import AdviceSettings, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.outputs import HeldSignals, StagedDirectory, holding_signals
from plan_recommender.drift.reference import profile
from plan_recommender.errors import ModelError, OutputError
from plan_recommender.model.digests import digests
from plan_recommender.model.features import FEATURES
from plan_recommender.model.record import (
    DOCUMENT_FILE,
    HABITS_FILE,
    MODEL_NAME,
    PIPELINE_FILE,
    REFERENCE_FILE,
    ROW_KEY,
    TRAINING_ROWS_FILE,
    TRAINING_SUBSCRIBERS_FILE,
    ModelRecord,
    MonthsData,
    TrainingData,
)
from plan_recommender.model.signatures import sign_model, signing_with
from plan_recommender.model.store import (
    RECORD_KEY,
    RegisteredModel,
    champion_file,
    find,
    latest_file,
    latest_version,
    store_in,
    store_path,
    versions_folder,
)
from plan_recommender.training.code import code_digest
from plan_recommender.training.findings import Findings, metrics_document
from plan_recommender.training.habits import LearnedHabits
from plan_recommender.training.run import Trained
from plan_recommender.training.split import row_keys, subscriber_keys

VERSIONS_RECORDED = ("bentoml", "numpy", "pandas", "scikit-learn", "scipy")

_MAX_REMEMBERED = 100  # versions that were the latest, to which `roll_back` can go back


class StagedModel:
    """A model that is built outside the store: write its files to `path`, then `publish` it, then `promote` it."""

    def __init__(self, staging: Path) -> None:
        self.path = staging / "files"
        self.path.mkdir()
        self._staging = staging
        self._tag = bentoml.Tag.from_taglike(MODEL_NAME).make_new_version()
        self._earlier_before = _earlier_versions()
        self._latest_before = latest_file().read_text() if latest_file().is_file() else None

    @property
    def tag(self) -> str:
        """The tag that the model will have."""
        return str(self._tag)

    def publish(self, record: ModelRecord, signing_key: Path | None = None) -> None:
        """Put the complete model into the store, signed if there is a key for that; `:latest` does not change."""
        with bentoml.models.create(
            self._tag,
            module="bentoml.sklearn",  # so that bentoml.sklearn.load_model opens the pipeline
            labels={"task": "plan-recommendation"},
            metadata={RECORD_KEY: record.model_dump(mode="json", exclude_none=True)},  # BentoML takes no None
            signatures={"predict": ModelSignature(batchable=True), "predict_proba": ModelSignature(batchable=True)},
            context=ModelContext("sklearn", {"scikit-learn": record.versions["scikit-learn"]}),
            _model_store=store_in(self._staging),  # BentoML writes into the staging folder, not yet into the store
        ) as model:
            shutil.copytree(self.path, model.path, dirs_exist_ok=True)
        versions_folder().mkdir(parents=True, exist_ok=True)
        made, place = self._staging / self._tag.path(), versions_folder() / str(self._tag.version)
        if signing_key is not None:
            sign_model(made, signing_with(signing_key))
        try:
            made.rename(place)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The store is another file system. BentoML fails to list a folder without model.yaml, so that comes first.
            place.mkdir()
            shutil.copy2(made / "model.yaml", place)
            shutil.copytree(made, place, dirs_exist_ok=True)

    def promote(self) -> None:
        """Let `:latest` name the published model, in one step."""
        _remember_latest(str(self._tag.version))
        _point_latest_at(str(self._tag.version))

    def withdraw(self) -> None:
        """Undo `promote` and `publish` as far as they were done."""
        if latest_file().is_file() and latest_file().read_text() == self._tag.version:
            if self._latest_before is None:
                latest_file().unlink()
            else:
                _point_latest_at(self._latest_before)
        if versions_folder().is_dir() and _earlier_versions() != self._earlier_before:
            _write_earlier_versions(self._earlier_before)
        shutil.rmtree(versions_folder() / str(self._tag.version), ignore_errors=True)
        if versions_folder().is_dir() and not any(versions_folder().iterdir()):
            versions_folder().rmdir()


@contextmanager
def staging() -> Iterator[StagedModel]:
    """Offer a model to build; what was not published by the end of the block is removed.

    Raises:
        OutputError: there is no folder beside the store that can be written.
    """
    try:
        # Beside the store, so that publishing is a rename, and outside it, so that it is not listed.
        staging = Path(tempfile.mkdtemp(dir=store_path().parent, prefix=f".{MODEL_NAME}."))
    except OSError as error:
        raise OutputError(
            f"{error.filename}: expected a model store that can be written, found: {error.strerror}"
        ) from error
    try:
        yield StagedModel(staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def roll_back() -> RegisteredModel:
    """Let `:latest` name the model that it named before; calling it again goes back one model further.

    Models that were deleted since, or are damaged, are passed over.

    Raises:
        ModelError: no earlier model can answer.
    """
    versions = _earlier_versions()
    while versions:
        version = versions.pop()
        try:
            model = find(f"{MODEL_NAME}:{version}")
            model.scorer()
        except ModelError:
            continue  # deleted since, or damaged
        if version != latest_version():
            _point_latest_at(version)
            _write_earlier_versions(versions)
            return model
    raise ModelError(
        f"expected a model that was the latest before {latest_version() or 'any'} and can answer, found none in the "
        f"BentoML model store {store_path()}; `bentoml models list` shows its models, and one of them can be named"
    )


def promote(model: RegisteredModel) -> None:
    """Let `:latest` name a registered model, in one step; the one that it named can be rolled back to.

    Raises:
        ModelError: the model's tables are missing or were altered.
    """
    model.scorer()
    _remember_latest(model.tag.partition(":")[2])
    _point_latest_at(model.tag.partition(":")[2])


def choose_champion(model: RegisteredModel) -> None:
    """Let `:champion` name a registered model, in one step; `:latest` does not change.

    Raises:
        ModelError: the model's tables are missing or were altered.
    """
    model.scorer()
    _replace(champion_file(), model.tag.partition(":")[2])


def write_model(
    folder: Path,
    artifacts: Path,
    trained: Trained,
    findings: Findings,
    table: LabelledTable,
    habits: LearnedHabits,
    settings: Settings,
) -> ModelRecord:
    """Write the files of a staged model into `folder`; returns its record, with the digests of these files.

    Args:
        folder: of the staged model.
        artifacts: folder that already holds the pipeline and the document, which are copied.
        trained: the champion.
        findings: the results of the run.
        table: the whole table.
        habits: the profile of habits.
        settings: of the run; paths and addresses of this machine are left out of the record.
    """
    training = table.take(trained.split.training)
    reference = profile(
        training.features,
        settings.features,
        settings.drift,
        settings.seed,
        subscribers=training.subscribers,
        cuts=[feature.cuts for feature in trained.document.features],
        scorer=trained.scorer,
    )
    (folder / PIPELINE_FILE).write_bytes((artifacts / "model.joblib").read_bytes())
    (folder / DOCUMENT_FILE).write_bytes((artifacts / DOCUMENT_FILE).read_bytes())
    (folder / REFERENCE_FILE).write_text(reference.model_dump_json())
    (folder / HABITS_FILE).write_bytes(habits_document(habits))
    (folder / TRAINING_ROWS_FILE).write_bytes(row_keys(training).astype(ROW_KEY).tobytes())
    count = None if training.subscribers is None else len(np.unique(training.subscribers))
    if count is not None:
        keys = np.unique(subscriber_keys(training, count))
        (folder / TRAINING_SUBSCRIBERS_FILE).write_bytes(keys.astype(ROW_KEY).tobytes())
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
            groups=table.groups,
            subscribers=None if table.subscribers is None else len(np.unique(table.subscribers)),
            training_subscribers=count,
        ),
        months=MonthsData(
            file=habits.path.name, sha256=habits.sha256, months=habits.months, subscribers=habits.profile.subscribers
        ),
        advice=policy(settings.advice).model_dump(),
        metrics=metrics_document(findings, table, settings),
        gate=[check.model_dump() for check in findings.gate.checks],
        proof=asdict(trained.proof),
        settings=portable(settings),
        versions=library_versions(),
        code=code_digest(),
        digests=digests(folder),
    )


def publish_both(
    model: StagedModel,
    record: ModelRecord,
    artifacts: StagedDirectory,
    ending: ExitStack,
    signing_key: Path | None = None,
) -> HeldSignals:
    """Publish the model and the artifacts, and promote the model; if one step fails, all of them are undone.

    From the first step until `ending` is closed, Ctrl-C and SIGTERM wait, because what follows tells what was done.
    """
    held = ending.enter_context(holding_signals())
    try:
        model.publish(record, signing_key)
        artifacts.publish()
        model.promote()
    except BaseException:
        artifacts.withdraw()
        model.withdraw()
        raise
    return held


def library_versions() -> dict[str, str]:
    """Give the versions of Python and of the libraries that a model is made with."""
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in VERSIONS_RECORDED
    }


def portable(settings: Settings) -> dict[str, Any]:
    """Give the settings without folders and addresses of this machine, because models are copied to other machines."""
    document = settings.model_dump(
        mode="json",
        exclude={"artifacts", "search", "mlflow", "advice"},
        exclude_none=True,
    )
    path = settings.data.path.resolve()
    inside = path.is_relative_to(Path.cwd())
    return document | {"data": document["data"] | {"path": str(path.relative_to(Path.cwd())) if inside else path.name}}


def habits_document(habits: LearnedHabits) -> bytes:
    """Write the profile of habits as the file of a model holds it."""
    return habits.profile.model_dump_json().encode()


def policy(advice: AdviceSettings) -> AdvicePolicy:
    """Give the policy of advice that is registered with a model."""
    return AdvicePolicy(
        min_saving_share=advice.min_saving_share, min_p_saves=advice.min_p_saves, min_months=advice.min_months
    )


def _earlier_file() -> Path:
    return versions_folder() / ".earlier"


def _earlier_versions() -> list[str]:
    """Read the versions that `:latest` named before, the most recent one last."""
    return _earlier_file().read_text().split() if _earlier_file().is_file() else []


def _remember_latest(successor: str) -> None:
    present = latest_version()
    if present is not None and present != successor:
        _write_earlier_versions([*_earlier_versions(), present][-_MAX_REMEMBERED:])


def _write_earlier_versions(versions: list[str]) -> None:
    if versions:
        _replace(_earlier_file(), "".join(f"{version}\n" for version in versions))
    else:
        _earlier_file().unlink(missing_ok=True)


def _point_latest_at(version: str) -> None:
    _replace(latest_file(), version)


def _replace(path: Path, content: str) -> None:
    # The new file is beside the old one, so that replacing is one step; it is hidden, so that it is not listed.
    new = path.with_name(f".{path.name.lstrip('.')}.{os.getpid()}")
    try:
        new.write_text(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
