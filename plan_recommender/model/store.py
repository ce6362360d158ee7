"""The reading half of the model store: find a registered model, verify it, open its tables.

Nothing here writes to the store; training/publish.py does. A model's files are read only after their SHA-256 has been
compared with the record. This module and serving/patches are the only ones that use private parts of BentoML. A command
that only reads a model does not import BentoML, which takes longer than the rest of its start.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import ValidationError

from plan_recommender.errors import ModelError
from plan_recommender.model import signatures
from plan_recommender.model.features import FEATURES, TARGET
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.model.record import (
    DOCUMENT_FILE,
    HABITS_FILE,
    MODEL_NAME,
    REFERENCE_FILE,
    ROW_KEY,
    TRAINING_ROWS_FILE,
    TRAINING_SUBSCRIBERS_FILE,
    ModelRecord,
)
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import ModelDocument, read_document, read_limited
from plan_recommender.private_parts import PrivateParts

if TYPE_CHECKING:
    from bentoml._internal.models import ModelStore

LATEST = f"{MODEL_NAME}:latest"
"""The newest model that passed the gate, or the one that a rollback went back to."""

CHAMPION = f"{MODEL_NAME}:champion"
"""The model that somebody has chosen to serve; until then, the one that `LATEST` names. Only this project knows it."""

PRIVATE_PARTS = PrivateParts(
    "bentoml",
    "1.4.39",
    signatures={"bentoml._internal.models:ModelStore.__init__": "self, base_path"},
    names=("bentoml._internal.configuration.containers:BentoMLContainer.model_store",),
)
"""The private parts of BentoML that this module uses, because the public API does not say where the store is.

They are imported inside the functions, so that they are checked first.
"""

_CONTAINERS = "bentoml._internal.configuration.containers"

RECORD_KEY = "plan_recommender"
"""The key of BentoML's metadata under which the record is stored."""


@dataclass(frozen=True)
class RegisteredModel:
    """A verified record, and the folder of the model's files; each file is verified whenever it is read."""

    tag: str
    path: Path
    record: ModelRecord

    def document(self) -> ModelDocument:
        """Read the model's tables.

        Raises:
            ModelError: the file is missing or was altered, or it is of another schema version.
        """
        content = self.document_bytes()
        try:
            return read_document(content)
        except ModelError as error:
            raise ModelError(
                f"{self.path / DOCUMENT_FILE}: {error}; train again with this version of the code"
            ) from error

    def document_bytes(self) -> bytes:
        """Read the model's tables in the bytes that were registered.

        Raises:
            ModelError: the file is missing or was altered.
        """
        return self._verified(DOCUMENT_FILE, "model document", "train again, or roll back with `make rollback`")

    def scorer(self) -> Scorer:
        """Read the model's tables, ready for scoring.

        Raises:
            ModelError: as for `document`.
        """
        return Scorer(self.document())

    def reference(self) -> bytes:
        """Read the reference profile for drift, as the JSON of a `ReferenceProfile`.

        Raises:
            ModelError: the file is missing or was altered.
        """
        return self._verified(REFERENCE_FILE, "reference profile", "train again, or name a reference sample with --ref")

    def habits(self) -> bytes:
        """Read the profile of habits for the forecast of the next bill, as the JSON of a `HabitProfile`.

        Raises:
            ModelError: the file is missing or was altered.
        """
        return self._verified(HABITS_FILE, "profile of habits", "train again, or roll back with `make rollback`")

    def profile(self) -> ReferenceProfile:
        """Read the reference profile of the training part.

        Raises:
            ModelError: the file is missing or was altered, or another version of this project wrote it.
        """
        try:
            return ReferenceProfile.model_validate_json(self.reference())
        except ValidationError as error:
            raise ModelError(f"{self.tag}: expected a reference profile of this version; train again") from error

    def training_rows(self) -> npt.NDArray[np.uint64]:
        """Read the keys of the rows that the model was trained on, shape (rows,), as `split.row_keys` makes them.

        Raises:
            ModelError: the file is missing or was altered.
        """
        return np.frombuffer(self._verified(TRAINING_ROWS_FILE, "keys of its training rows", "train again"), ROW_KEY)

    def training_subscribers(self) -> npt.NDArray[np.uint64]:
        """Read the keys of the subscribers that the model was trained on, as `split.subscriber_keys` makes them.

        Shape (subscribers,); empty if the model's table did not say who its rows belong to.

        Raises:
            ModelError: the file is missing or was altered.
        """
        if TRAINING_SUBSCRIBERS_FILE not in self.record.digests:
            return np.empty(0, ROW_KEY)
        content = self._verified(TRAINING_SUBSCRIBERS_FILE, "keys of its subscribers", "train again")
        return np.frombuffer(content, ROW_KEY)

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


def find(tag: str = LATEST) -> RegisteredModel:
    """Find a registered model by its tag, and verify its record.

    Raises:
        ModelError: the store holds no such model, its record is of another version, or it must be signed and is not.
    """
    if tag.partition(":")[0] != MODEL_NAME:
        raise ModelError(f"expected a model tag {MODEL_NAME}:<version>, found {tag!r}")
    alias, tag = tag, resolved(tag)
    signatures.check(versions_folder(), tag)
    version = latest_version() if tag == LATEST else tag.partition(":")[2]
    if version and record_file(versions_folder() / version).is_file():
        return read(versions_folder() / version)
    return read(_looked_up(tag, alias))


def resolved(tag: str) -> str:
    """Put in place of `CHAMPION` the tag of the model that it names now, as a tag that BentoML knows; keep any other.

    Nothing is looked up: whether there is such a model is for `find` to say.
    """
    if tag != CHAMPION:
        return tag
    version = champion_version()
    return LATEST if version is None else f"{MODEL_NAME}:{version}"


def latest() -> RegisteredModel | None:
    """Find the model that `:latest` names; None if it names no model.

    Raises:
        ModelError: as for `find`.
    """
    return find() if latest_file().is_file() else None


def latest_version() -> str | None:
    """Give the version that `:latest` names, without looking at the model; None if it names no model."""
    return latest_file().read_text().strip() if latest_file().is_file() else None


def champion_version() -> str | None:
    """Give the version that somebody has let `CHAMPION` name, without looking at the model; None if nobody has."""
    return champion_file().read_text().strip() if champion_file().is_file() else None


def read(folder: Path) -> RegisteredModel:
    """Check that a model in the store has a record of this version, for these features; opens none of its other files.

    Raises:
        ModelError: the record is missing or malformed, or was made for other features.
    """
    tag = f"{MODEL_NAME}:{folder.name}"
    try:
        about: Any = yaml.safe_load(record_file(folder).read_bytes())
        stored = about["metadata"].get(RECORD_KEY)
    except Exception as error:  # a damaged file fails in whatever way its damage makes it fail
        raise ModelError(unreadable(tag, error)) from error
    try:
        record = ModelRecord.model_validate(stored)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the record"
        raise ModelError(
            f"{tag}: expected the record that train.py stores with a model; {where}: {first['msg']}; train again"
        ) from error
    if record.features != list(FEATURES) or record.target != TARGET:
        raise ModelError(
            f"{tag}: expected a model for {[f.name for f in FEATURES]}, found one for "
            f"{[f.name for f in record.features]}; train again with this version of the code"
        )
    return RegisteredModel(tag, folder, record)


def store_in(folder: Path) -> "ModelStore":
    """Make a model store of another folder, for the argument `_model_store` of `bentoml.models.create`."""
    from bentoml._internal.models import ModelStore

    return ModelStore(folder)


def store_path() -> Path:
    """Give the folder of the model store: that of a Bento that is served, otherwise the one in BENTOML_HOME."""
    if _CONTAINERS not in sys.modules:
        return Path(os.path.expandvars(os.environ.get("BENTOML_HOME", "~/bentoml"))).expanduser() / "models"
    from bentoml._internal.configuration.containers import BentoMLContainer

    _check_private_parts()
    return Path(BentoMLContainer.model_store.get()._path)


def versions_folder() -> Path:
    """Give the folder that holds one folder for each version of the model."""
    return store_path() / MODEL_NAME


def latest_file() -> Path:
    """Give the path of BentoML's file that holds the version that `:latest` names."""
    return versions_folder() / "latest"


def champion_file() -> Path:
    """Give the path of the file that holds the version that `:champion` names. BentoML lists folders only."""
    return versions_folder() / "champion"


def record_file(folder: Path) -> Path:
    """Give the path of BentoML's own file about a model, which holds the record."""
    return folder / "model.yaml"


def unreadable(tag: str, error: Exception) -> str:
    """Say that a model was found and is damaged."""
    reason = " ".join(str(error).split())[:200]
    return (
        f"expected the model {tag} in the BentoML model store {store_path()}, found one that BentoML cannot read: "
        f"{reason}; delete its folder, or train again"
    )


def not_found(tag: str) -> str:
    """Say that there is no such model."""
    return (
        f"expected the model {tag} in the BentoML model store {store_path()}, found none; "
        "train one with `python train.py`, or set BENTOML_HOME to the store that holds it"
    )


@cache
def _check_private_parts() -> None:
    PRIVATE_PARTS.check()


def _looked_up(tag: str, alias: str) -> Path:
    """Let BentoML look for a model that is not simply there: `:latest` of a deleted model, or part of a version."""
    import bentoml
    from bentoml.exceptions import NotFound

    try:
        return Path(bentoml.models.get(tag).path)
    except NotFound as error:
        raise ModelError(not_found(f"{tag}, which {alias} names," if alias == CHAMPION else tag)) from error
    except Exception as error:  # a damaged model.yaml fails in whatever way its damage makes BentoML fail
        raise ModelError(unreadable(tag, error)) from error
