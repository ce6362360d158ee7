"""The routes of the HTTP contract: one table, which the service, its documents, its metrics and its limits share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from msgspec.json import Encoder
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving.batches import read_batch, read_usage, write_batch
from plan_recommender.serving.error_responses import Refusal
from plan_recommender.serving.inference_metadata import (
    MODEL_PATH,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from plan_recommender.serving.inference_protocol import InferenceRequest, InferenceResponse
from plan_recommender.serving.kept import Kept
from plan_recommender.serving.limits import MIB
from plan_recommender.serving.messages import Response
from plan_recommender.serving.schemas import (
    MAX_BATCH_ROWS,
    AdviceAnswer,
    AdviceRequest,
    BatchRecommendation,
    Explanation,
    Health,
    ModelDescription,
    ModelHabits,
    Recommendation,
    StoredDocument,
    TariffsInForce,
    UsageBatch,
)

_MAX_BATCH_VALUES: Final = 5 * MAX_BATCH_ROWS
"""Of the rows that may be in a batch, four values each, and some more."""


@dataclass(frozen=True)
class Query:
    """A route without a body."""

    call: str
    """The method of the service that answers, called without arguments."""
    response: type[BaseModel]
    """What it returns, or what the bytes are that it returns."""
    description: str
    """For the OpenAPI document."""
    kept: bool = False
    """Whether it returns `Kept` bytes, which have an entity tag."""
    methods: tuple[str, ...] = ("GET", "HEAD")


@dataclass(frozen=True)
class Command:
    """A route with a JSON body."""

    call: str
    """The method of the service that answers, called with a `request`."""
    request: type[BaseModel]
    """What a body is validated as."""
    response: Any
    """What the method returns: a type whose values pydantic_core.to_json can write."""
    description: str
    """For the OpenAPI document."""
    max_bytes: int
    """Largest body that is accepted (bytes)."""
    max_names: int = 1_000
    """Names and strings in a body; each that is unknown makes an error of some hundred bytes."""
    max_values: int = 1_000
    """Values that a body lists, counted by its commas; each that is wrong makes such an error too."""
    in_steps: bool = False
    """Whether answering takes so long that others are answered in between."""
    counted: Literal["predictions", "advice"] | None = "predictions"
    """What the metrics count of its answers."""
    logged: bool = True
    """Whether its answers are predictions, which the prediction log takes down."""
    in_languages: bool = False
    """Whether the answer has sentences in the language that the request asks for."""
    methods: tuple[str, ...] = ("POST",)
    write: Callable[[Any], bytes] = Encoder().encode
    """Writes what the method returns; msgspec takes half as long as pydantic's to_json, and takes no models."""

    @cached_property
    def read(self) -> Callable[[bytes], Any]:
        """Validates a body; raises pydantic's ValidationError."""
        if self.request is UsageBatch:
            return read_batch
        if self.request is CustomerUsage:
            return read_usage
        return TypeAdapter(self.request).validator.validate_json  # the model's own method takes half as long again


ROUTES: Final[dict[str, Query | Command]] = {
    "/predict": Command(
        "predict",
        CustomerUsage,
        Recommendation,
        "Answer for one subscriber, as JSON of a `Recommendation`.",
        max_bytes=1 * MIB,
    ),
    "/predict_batch": Command(
        "predict_batch",
        UsageBatch,
        BatchRecommendation,
        "Answer for many subscribers, as JSON of a `BatchRecommendation`.",
        max_bytes=10 * MIB,
        max_names=_MAX_BATCH_VALUES,
        max_values=_MAX_BATCH_VALUES,
        in_steps=True,
        write=write_batch,
    ),
    "/explain": Command(
        "explain",
        CustomerUsage,
        Explanation,
        "Answer for one subscriber and say why, as JSON of an `Explanation`.",
        max_bytes=1 * MIB,
        counted=None,
        in_languages=True,
    ),
    "/advise": Command(
        "advise",
        AdviceRequest,
        AdviceAnswer,
        "Bill the last month on every plan, forecast the next one, and advise, as JSON of an `AdviceAnswer`.",
        max_bytes=1 * MIB,
        counted="advice",
        logged=False,
        in_languages=True,
    ),
    "/health": Query("health", Health, "Ask the model, and tell whether it answers as it did when it was loaded."),
    "/model": Query("about", ModelDescription, "Tell what was stored with the model when it was registered."),
    "/model/document": Query(
        "document", StoredDocument, "Give the model's document, in the bytes that were registered.", kept=True
    ),
    "/model/habits": Query(
        "habits",
        ModelHabits,
        "Give what the forecast and the advice need beside the tariffs: the profile of habits and the policy.",
        kept=True,
    ),
    "/tariffs": Query("tariffs", TariffsInForce, "Give the tariffs in force.", kept=True),
    "/v2": Query("server_metadata", ServerMetadata, "Tell which server this is (Open Inference Protocol)."),
    "/v2/": Query("server_metadata", ServerMetadata, "The same, at the path that the protocol's schema has."),
    "/v2/health/live": Query("server_live", ServerLive, "Tell that the process runs (Open Inference Protocol)."),
    "/v2/health/ready": Query(
        "server_ready", ServerReady, "Tell whether the model can answer (Open Inference Protocol)."
    ),
    MODEL_PATH: Query(
        "model_metadata", ModelMetadata, "Tell what the model takes and gives (Open Inference Protocol)."
    ),
    f"{MODEL_PATH}/ready": Query(
        "model_ready", ModelReady, "Tell whether the model can answer (Open Inference Protocol)."
    ),
    f"{MODEL_PATH}/infer": Command(
        "infer",
        InferenceRequest,
        InferenceResponse,
        "Answer for many subscribers, as `/predict_batch` does (Open Inference Protocol).",
        max_bytes=10 * MIB,
        max_values=_MAX_BATCH_VALUES,
        in_steps=True,
        write=to_json,
    ),
    "/ping": Query("health", Health, "The same as `/health`, at the path that SageMaker asks."),
    "/invocations": Command(
        "invocations",
        UsageBatch,
        BatchRecommendation,
        "The same as `/predict_batch`, at the path that SageMaker calls.",
        max_bytes=10 * MIB,
        max_names=_MAX_BATCH_VALUES,
        max_values=_MAX_BATCH_VALUES,
        in_steps=True,
        write=write_batch,
    ),
}

Verdict = Query | Command | Refusal | Kept | Response | None
"""What becomes of a request, decided by its head: answered by a route, refused, answered with a file of the page or
with a response that is ready, or passed on to BentoML (None)."""
