"""The BentoML model store: register a trained model whole or not at all, find one, verify it, load its tables."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import bentoml
import numpy as np
import numpy.typing as npt
from bentoml._internal.bento.bento import BentoModelInfo
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from bentoml.exceptions import BentoMLException, NotFound
from bentoml.models import BentoModel, ModelContext
from bentoml.types import ModelSignature
from pydantic import ValidationError

from plan_recommender.errors import ModelError, OutputError
from plan_recommender.model.digests import sha256
from plan_recommender.model.features import FEATURES, TARGET
from plan_recommender.model.record import (
    DOCUMENT_FILE,
    MODEL_NAME,
    REFERENCE_FILE,
    ROW_KEY,
    TRAINING_ROWS_FILE,
    ModelRecord,
)
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import ModelDocument, read_document, read_limited

LATEST = f"{MODEL_NAME}:latest"

RUN_FILE = "run.json"  # not of the model but of the artifacts: what went into the run, and which model came out

_REMEMBERED = 100  # versions that were the latest, for rolling back
_RECORD_KEY = "plan_recommender"
_RECORD_DIGEST = "model_yaml_sha256"  # in a Bento, of the model that it was built with


class ServedModel(BentoModel):
    """The reference by which a service names its model; unlike BentoML's, it looks in the local store only."""

    def to_info(self, alias: str | None = None) -> Any:
        """Name the model for a Bento.

        Raises:
            BentoMLException: it is not in the store.
        """
        stored = self._require()
        info: BentoModelInfo = super().to_info(alias)
        digest = {_RECORD_DIGEST: sha256(_record_file(stored))}
        return BentoModelInfo(info.tag, info.module, info.creation_time, alias=alias, metadata=digest)

    def resolve(self, *arguments: Any, **options: Any) -> bentoml.Model:
        """Open the model.

        Raises:
            BentoMLException: it is not in the store.
        """
        self._require()
        return cast(bentoml.Model, super().resolve(*arguments, **options))

    def _require(self) -> bentoml.Model:
        try:
            stored = self.stored
        except Exception as error:  # a damaged model.yaml fails in whatever way its damage makes BentoML fail
            raise BentoMLException(_unreadable(str(self.tag), error)) from error
        if stored is None:
            raise BentoMLException(_not_found(str(self.tag)))
        return cast(bentoml.Model, stored)


@dataclass(frozen=True)
class RegisteredModel:
    """A verified record, and where the model's files are; every file is verified when it is read."""

    tag: str
    path: Path
    record: ModelRecord

    def document(self) -> ModelDocument:
        """Read the tables that the model is.

        Raises:
            ModelError: they are not the ones that were registered, or were made for another version of the code.
        """
        content = self._verified(DOCUMENT_FILE, "model document", "train again, or roll back with `make rollback`")
        try:
            return read_document(content)
        except ModelError as error:
            raise ModelError(
                f"{self.path / DOCUMENT_FILE}: {error}; train again with this version of the code"
            ) from error

    def scorer(self) -> Scorer:
        """Load the model for scoring.

        Raises:
            ModelError: as `document`.
        """
        return Scorer(self.document())

    def reference(self) -> bytes:
        """Read the reference profile for drift, as JSON.

        Raises:
            ModelError: it is not the one that was registered.
        """
        return self._verified(REFERENCE_FILE, "reference profile", "train again, or name a reference sample with --ref")

    def training_rows(self) -> npt.NDArray[np.uint64]:
        """Read the keys of the rows that it was trained on, shape (rows,), as `selection.row_keys` makes them.

        Raises:
            ModelError: they are not the ones that were registered.
        """
        return np.frombuffer(self._verified(TRAINING_ROWS_FILE, "keys of its training rows", "train again"), ROW_KEY)

    def _verified(self, name: str, what: str, remedy: str) -> bytes:
        path = self.path / name
        try:
            content = read_limited(path) if name == DOCUMENT_FILE else path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"{path}: expected the registered {what}, found none that can be read ({error.strerror}); {remedy}"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.record.digests[name]:
            raise ModelError(f"{path}: expected the registered {what}, found an altered one; {remedy}")
        return content


class StagedModel:
    """A model being built outside the store: write its files to `path`, then `place` it, then `promote` it."""

    def __init__(self, workshop: Path) -> None:
        self.path = workshop / "files"
        self.path.mkdir()
        self._workshop = workshop
        self._tag = bentoml.Tag.from_taglike(MODEL_NAME).make_new_version()
        self._earlier_before = _earlier_versions()
        self._latest_before = _latest_file().read_text() if _latest_file().is_file() else None

    @property
    def tag(self) -> str:
        """The tag that the model will have."""
        return str(self._tag)

    def place(self, record: ModelRecord) -> None:
        """Put the complete model into the store in one step; `:latest` does not change."""
        with bentoml.models.create(
            self._tag,
            module="bentoml.sklearn",  # so that bentoml.sklearn.load_model opens the pipeline
            labels={"task": "plan-recommendation"},
            metadata={_RECORD_KEY: record.model_dump(mode="json", exclude_none=True)},  # BentoML takes no None
            signatures={"predict": ModelSignature(batchable=True), "predict_proba": ModelSignature(batchable=True)},
            context=ModelContext("sklearn", {"scikit-learn": record.versions["scikit-learn"]}),
            _model_store=ModelStore(self._workshop),  # a store of one, in which BentoML writes
        ) as model:
            shutil.copytree(self.path, model.path, dirs_exist_ok=True)
        _home().mkdir(parents=True, exist_ok=True)
        made, place = self._workshop / self._tag.path(), _home() / str(self._tag.version)
        try:
            made.rename(place)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The store is a volume of its own: copy, beginning with the file without which BentoML cannot list it.
            place.mkdir()
            shutil.copy2(made / "model.yaml", place)
            shutil.copytree(made, place, dirs_exist_ok=True)

    def promote(self) -> None:
        """Make the placed model the one that `:latest` names, in one step."""
        _remember_latest(str(self._tag.version))
        _point_latest_at(str(self._tag.version))

    def withdraw(self) -> None:
        """Undo `promote` and `place`, as far as they were done."""
        if _latest_file().is_file() and _latest_file().read_text() == self._tag.version:
            if self._latest_before is None:
                _latest_file().unlink()
            else:
                _point_latest_at(self._latest_before)
        if _home().is_dir() and _earlier_versions() != self._earlier_before:
            _write_earlier_versions(self._earlier_before)
        shutil.rmtree(_home() / str(self._tag.version), ignore_errors=True)
        if _home().is_dir() and not any(_home().iterdir()):
            _home().rmdir()


@contextmanager
def staging() -> Iterator[StagedModel]:
    """Offer a model to build; whatever was not placed in the store when the block ends is gone.

    Raises:
        OutputError: the store cannot be written.
    """
    try:
        # Beside the store, so that placing is one rename; outside it, so that no listing sees it.
        workshop = Path(tempfile.mkdtemp(dir=store_path().parent, prefix=f".{MODEL_NAME}."))
    except OSError as error:
        raise OutputError(
            f"{error.filename}: expected a model store that can be written, found: {error.strerror}"
        ) from error
    try:
        yield StagedModel(workshop)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def find(tag: str = LATEST) -> RegisteredModel:
    """Find a registered model by its tag.

    Raises:
        ModelError: there is none, or it is not one of ours.
    """
    if tag.partition(":")[0] != MODEL_NAME:
        raise ModelError(f"expected a model tag {MODEL_NAME}:<version>, found {tag!r}")
    try:
        stored = bentoml.models.get(tag)
    except NotFound as error:
        raise ModelError(_not_found(tag)) from error
    except Exception as error:  # a damaged model.yaml fails in whatever way its damage makes BentoML fail
        raise ModelError(_unreadable(tag, error)) from error
    return verify(stored)


def latest() -> RegisteredModel | None:
    """Find the model that `:latest` names; None when no model was ever registered.

    Raises:
        ModelError: there is one, but it is damaged or not one of ours.
    """
    return find() if _latest_file().is_file() else None


def roll_back() -> RegisteredModel:
    """Make the model that was the latest before the present one the latest again; once more goes one further back.

    Raises:
        ModelError: there is none that can answer.
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
    """Make a registered model the latest, in one step.

    Raises:
        ModelError: it is damaged.
    """
    model.scorer()
    _remember_latest(model.tag.partition(":")[2])
    _point_latest_at(model.tag.partition(":")[2])


def latest_version() -> str | None:
    """Tell which version `:latest` names, whether it can be read or not."""
    return _latest_file().read_text().strip() if _latest_file().is_file() else None


def of_bento(info: BentoModelInfo) -> RegisteredModel:
    """Open the model that a Bento was built with.

    Raises:
        ModelError: it is not there, or its record is not what it was when the Bento was built.
    """
    try:
        stored = ServedModel(info.tag).resolve()
    except BentoMLException as error:
        raise ModelError(str(error)) from error
    expected, found = (info.metadata or {}).get(_RECORD_DIGEST), sha256(_record_file(stored))
    if found != expected:
        raise ModelError(
            f"{_record_file(stored)}: expected the record that the Bento was built with (SHA-256 {expected}), found "
            f"another ({found}); the file was damaged or replaced, or the Bento was built otherwise: build it again"
        )
    return verify(stored)


def verify(stored: bentoml.Model) -> RegisteredModel:
    """Check that a stored model was registered by this project for this schema; opens none of its files.

    Raises:
        ModelError: it was not.
    """
    try:
        record = ModelRecord.model_validate(stored.info.metadata.get(_RECORD_KEY))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the record"
        raise ModelError(
            f"{stored.tag}: expected the record that train.py stores with a model; {where}: {first['msg']}; train again"
        ) from error
    if record.features != list(FEATURES) or record.target != TARGET:
        raise ModelError(
            f"{stored.tag}: expected a model for {[f.name for f in FEATURES]}, found one for "
            f"{[f.name for f in record.features]}; train again with this version of the code"
        )
    return RegisteredModel(str(stored.tag), Path(stored.path), record)


def store_path() -> Path:
    """Tell where the models are."""
    return Path(BentoMLContainer.model_store.get()._path)


def _record_file(stored: bentoml.Model) -> Path:
    return Path(stored.path) / "model.yaml"  # BentoML's own, which holds the record


def _home() -> Path:
    return store_path() / MODEL_NAME


def _latest_file() -> Path:
    return _home() / "latest"


def _earlier_file() -> Path:
    return _home() / ".earlier"


def _earlier_versions() -> list[str]:
    """What `:latest` named before, the last one last."""
    return _earlier_file().read_text().split() if _earlier_file().is_file() else []


def _remember_latest(successor: str) -> None:
    present = latest_version()
    if present is not None and present != successor:
        _write_earlier_versions([*_earlier_versions(), present][-_REMEMBERED:])


def _write_earlier_versions(versions: list[str]) -> None:
    if versions:
        _replace(_earlier_file(), "".join(f"{version}\n" for version in versions))
    else:
        _earlier_file().unlink(missing_ok=True)


def _point_latest_at(version: str) -> None:
    _replace(_latest_file(), version)


def _replace(path: Path, content: str) -> None:
    # Beside it, on the store's file system; and hidden files, so that no listing of models sees them.
    new = path.with_name(f".{path.name.lstrip('.')}.{os.getpid()}")
    try:
        new.write_text(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _unreadable(tag: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return (
        f"expected the model {tag} in the BentoML model store {store_path()}, found one that BentoML cannot read: "
        f"{reason}; delete its folder, or train again"
    )


def _not_found(tag: str) -> str:
    return (
        f"expected the model {tag} in the BentoML model store {store_path()}, found none; "
        "train one with `python train.py`, or set BENTOML_HOME to the store that holds it"
    )
