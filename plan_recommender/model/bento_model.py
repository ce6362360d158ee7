"""The registered model as BentoML sees it: the reference that a Bento is built with, and the model behind it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import bentoml
from bentoml.exceptions import BentoMLException
from bentoml.models import BentoModel

from plan_recommender.errors import ModelError
from plan_recommender.model import signatures, store
from plan_recommender.model.digests import sha256
from plan_recommender.model.source import source_commit
from plan_recommender.model.store import RegisteredModel

SOURCE_COMMIT = "source_commit"
RECORD_DIGEST = "model_yaml_sha256"
"""The keys in a Bento's own list of its models for the commit of the source and for the digest of model.yaml."""


class ServedModel(BentoModel):
    """The reference by which the service names its model. Unlike BentoML's own, it looks in the local store only."""

    def to_info(self, alias: str | None = None) -> Any:
        """Describe the model for a Bento that is being built, with the digest by which `of_bento` recognises it.

        The commit of the source goes with it, because this is what runs at a build and at no other time.

        Raises:
            BentoMLException: the model is not in the local store.
        """
        stored = self._require()
        info = super().to_info(alias)
        known = {RECORD_DIGEST: sha256(store.record_file(Path(stored.path))), SOURCE_COMMIT: source_commit() or ""}
        return type(info)(info.tag, info.module, info.creation_time, alias=alias, metadata=known)

    def resolve(self, *arguments: Any, **options: Any) -> bentoml.Model:
        """Open the model.

        Raises:
            BentoMLException: the model is not in the local store.
        """
        self._require()
        return cast(bentoml.Model, super().resolve(*arguments, **options))

    def _require(self) -> bentoml.Model:
        try:
            signatures.check(store.versions_folder(), str(self.tag))
        except ModelError as error:  # BentoML's commands, which open models too, show their own errors in one sentence
            raise BentoMLException(str(error)) from error
        try:
            stored = self.stored
        except Exception as error:  # a damaged model.yaml fails in whatever way its damage makes BentoML fail
            raise BentoMLException(store.unreadable(str(self.tag), error)) from error
        if stored is None:
            raise BentoMLException(store.not_found(str(self.tag)))
        return cast(bentoml.Model, stored)


def of_bento(tag: str, known: Mapping[str, Any]) -> RegisteredModel:
    """Find the model that a Bento was built with, and verify its record.

    Args:
        tag: of the model.
        known: what the Bento says of it, as `ServedModel.to_info` wrote it.

    Raises:
        ModelError: the model is not in the store, or its record has changed since the Bento was built.
    """
    try:
        folder = Path(ServedModel(tag).resolve().path)
    except BentoMLException as error:
        raise ModelError(str(error)) from error
    record = store.record_file(folder)
    expected, found = known.get(RECORD_DIGEST), sha256(record)
    if found != expected:
        raise ModelError(
            f"{record}: expected the record that the Bento was built with (SHA-256 {expected}), found "
            f"another ({found}); the file was damaged or replaced, or the Bento was built otherwise: build it again"
        )
    return store.read(folder)
