"""What the Open Inference Protocol (V2) asks about the server and the model: their paths, state and metadata."""

from typing import Final

from pydantic import BaseModel, Field

from plan_recommender.model.record import MODEL_NAME

MODEL_PATH: Final = f"/v2/models/{MODEL_NAME}"
"""Path of the model; a version of it is at `<MODEL_PATH>/versions/<version>`."""

_VERSIONS: Final = f"{MODEL_PATH}/versions/"


class ServerLive(BaseModel):
    """Whether the process answers: it does, or nothing would come."""

    live: bool


class Ready(BaseModel):
    """Whether the model can answer."""

    ready: bool


class ServerReady(Ready):
    """Whether the model can answer; the protocol's text calls that `live`, and platforms look for `ready`."""

    live: bool


class ModelReady(Ready):
    """Whether the model can answer, and its name."""

    name: str


class ServerMetadata(BaseModel):
    """Which server this is."""

    name: str
    version: str = Field(description="of the Bento")
    extensions: list[str] = Field(description="none: tensors are sent as JSON")


class TensorMetadata(BaseModel):
    """A tensor that the model takes or gives; -1 is the number of subscribers."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What the model takes and gives."""

    name: str
    versions: list[str] = Field(description="the one that is served")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


def version_of(tag: str) -> str:
    """Give the version in the tag of a model."""
    return tag.partition(":")[2]


def split_version(path: str) -> tuple[str, str | None]:
    """Give a path without the version that it names, and the version; None if it names none."""
    if not path.startswith(_VERSIONS):
        return path, None
    version, slash, rest = path[len(_VERSIONS) :].partition("/")
    return f"{MODEL_PATH}{slash}{rest}", version


def with_version(path: str, version: str) -> str:
    """Give the path of a version from the path of the model, or of what is below it."""
    return f"{_VERSIONS}{version}{path.removeprefix(MODEL_PATH)}"
