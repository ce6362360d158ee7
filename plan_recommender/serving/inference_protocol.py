"""The Open Inference Protocol (V2) over REST: its requests and answers, and what they mean in the service's own terms.

A request is read as the `UsageBatch` that it stands for, and that is answered as `/predict_batch` answers it: bounds,
errors and bits are the same. The protocol is described at
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from collections.abc import Mapping
from itertools import chain
from typing import Annotated, Any, Final, Literal, Self, get_args

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before Python 3.12

from plan_recommender.model.features import EXAMPLE, FEATURE_NAMES, PLANS
from plan_recommender.model.record import MODEL_NAME
from plan_recommender.serving.batches import decisions_of
from plan_recommender.serving.inference_metadata import ModelMetadata, TensorMetadata, version_of
from plan_recommender.serving.schemas import MAX_BATCH_ROWS, BatchRecommendation, UsageBatch

MAX_ID: Final = 256
"""The number of characters of a request's id at most."""

InputType = Literal["FP64", "FP32", "INT64", "INT32"]
OutputName = Literal[
    "probability_is_ultra", "prediction", "recommended_plan", "log_odds", "base_value", "contributions"
]
_OutputType = Literal["FP64", "INT64", "BYTES"]

OUTPUTS: Final[tuple[OutputName, ...]] = get_args(OutputName)
DECISION: Final = OUTPUTS[:3]
"""What is answered unless the request asks for something else."""

EXPLANATION: Final = OUTPUTS[3:]
"""What the parameter `explain` adds to that."""

_OUTPUT_TYPES: Final[dict[OutputName, _OutputType]] = dict(
    zip(OUTPUTS, ("FP64", "INT64", "BYTES", "FP64", "FP64", "FP64"), strict=True)
)
_FEATURES: Final = len(FEATURE_NAMES)
_INTEGER_BITS: Final[Mapping[str, int]] = {"INT64": 64, "INT32": 32}


class RequestParameters(BaseModel):
    """Parameters of a request; others than these are ignored, because platforms add their own."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    explain: Annotated[
        bool, Field(description=f"whether {', '.join(EXPLANATION)} are answered too, unless `outputs` names what is")
    ] = False


class RequestInput(BaseModel):
    """A tensor: of one feature, or of all four."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[
        str, Field(description="of the feature, if four tensors are sent; the name of a single tensor is not looked at")
    ]
    shape: Annotated[
        list[Annotated[int, Field(ge=0, le=MAX_BATCH_ROWS)]],
        Field(min_length=1, max_length=2, description="[n] or [n, 1] of each of four tensors, [n, 4] of a single one"),
    ]
    datatype: Annotated[
        InputType,
        Field(description="the elements of FP32 are rounded to single precision before they are looked at"),
    ]
    parameters: Annotated[dict[str, JsonValue], Field(description="ignored")] = {}
    data: Annotated[
        list[Any],
        Field(
            max_length=MAX_BATCH_ROWS * _FEATURES,
            description="in row-major order: all elements in one list, or a list of each row",
        ),
    ]


class RequestOutput(BaseModel):
    """The name of a tensor that is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: OutputName
    parameters: Annotated[dict[str, JsonValue], Field(description="ignored: data is always sent as JSON")] = {}


class InferenceRequest(BaseModel):
    """Between one and 10,000 subscribers, as four tensors or as one, answered in the order sent."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        json_schema_extra={
            "example": {
                "id": "42",
                "inputs": [
                    {"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in EXAMPLE.items()
                ],
            }
        },
    )

    id: Annotated[
        str | None,
        Field(max_length=MAX_ID, description="is answered as it was sent"),
        WithJsonSchema({"type": "string", "maxLength": MAX_ID, "nullable": True}),  # as OpenAPI 3.0 says it
    ] = None
    parameters: RequestParameters = RequestParameters()
    inputs: Annotated[
        list[RequestInput],
        Field(
            min_length=1,
            max_length=_FEATURES,
            description=f"{', '.join(FEATURE_NAMES)} in any order; or one tensor, whose columns are in this order",
        ),
    ]
    outputs: Annotated[
        list[RequestOutput], Field(max_length=100, description="what is answered; empty: all that the parameters say")
    ] = []

    _batch: UsageBatch = PrivateAttr()

    @model_validator(mode="after")
    def _read(self) -> Self:
        rows = [dict(zip(FEATURE_NAMES, row, strict=True)) for row in _rows(self.inputs)]
        self._batch = UsageBatch.model_validate({"rows": rows})
        return self

    @property
    def batch(self) -> UsageBatch:
        """The subscribers."""
        return self._batch

    @property
    def wanted(self) -> tuple[OutputName, ...]:
        """The names of the outputs to answer with, each once, in the order in which they were asked for."""
        if self.outputs:
            return tuple(dict.fromkeys(output.name for output in self.outputs))
        return OUTPUTS if self.parameters.explain else DECISION


class ResponseOutput(TypedDict):
    """A tensor that is answered; `data` is one list, in row-major order."""

    name: OutputName
    datatype: _OutputType
    shape: list[int]
    data: list[float] | list[int] | list[str]


class InferenceResponse(BaseModel):
    """The tensors, and the model that they come from."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: Annotated[
        str | None,
        Field(
            exclude_if=lambda sent: sent is None,
            description="as it was sent; absent if it was not",
            json_schema_extra=lambda schema: schema.pop("default"),
        ),
        WithJsonSchema({"type": "string"}),
    ] = None

    _decided: BatchRecommendation = PrivateAttr()

    @property
    def decided(self) -> BatchRecommendation:
        """The decisions that the tensors were made of, whichever of them were asked for."""
        return self._decided

    @classmethod
    def of(
        cls,
        request: InferenceRequest,
        decided: BatchRecommendation,
        explained: Mapping[OutputName, list[float]],
    ) -> "InferenceResponse":
        """Answer with what the request asks for; `explained` has those outputs of `EXPLANATION` that it does."""
        decisions = decisions_of(decided)
        predictions = decisions.predictions.tolist()
        found: dict[OutputName, list[Any]] = {
            "probability_is_ultra": decisions.probabilities.tolist(),
            "prediction": predictions,
            "recommended_plan": [PLANS[prediction] for prediction in predictions],
            **explained,
        }
        rows = len(decisions)
        outputs: list[ResponseOutput] = [
            {"name": name, "datatype": _OUTPUT_TYPES[name], "shape": _output_shape(name, rows), "data": found[name]}
            for name in request.wanted
        ]
        response = cls(
            model_name=MODEL_NAME, model_version=version_of(decided["model"]), id=request.id, outputs=outputs
        )
        response._decided = decided
        return response


def model_metadata(tag: str) -> ModelMetadata:
    """Describe the model with this tag."""
    return ModelMetadata(
        name=MODEL_NAME,
        versions=[version_of(tag)],
        platform="plan_recommender_document",
        inputs=[TensorMetadata(name=name, datatype="FP64", shape=[-1]) for name in FEATURE_NAMES],
        outputs=[
            TensorMetadata(name=name, datatype=_OUTPUT_TYPES[name], shape=_output_shape(name, -1)) for name in OUTPUTS
        ],
    )


def _output_shape(name: OutputName, rows: int) -> list[int]:
    return [rows, _FEATURES] if name == "contributions" else [rows]


def _rows(inputs: list[RequestInput]) -> list[tuple[Any, ...]]:
    """Arrange the elements by subscriber, each in the order of `FEATURE_NAMES`; what they are is not yet looked at."""
    places = {tensor.name: place for place, tensor in enumerate(inputs)}
    if set(places) == set(FEATURE_NAMES):
        lengths = {tensor.shape[0] for tensor in inputs}
        if len(lengths) > 1 or any(tensor.shape[1:] not in ([], [1]) for tensor in inputs):
            raise _invalid(("inputs",), "Input should be four tensors of one shape, [n] or [n, 1]")
        return list(zip(*(_elements(places[name], inputs[places[name]]) for name in FEATURE_NAMES), strict=True))
    if len(inputs) == 1 and inputs[0].shape[1:] == [_FEATURES]:
        elements = _elements(0, inputs[0])
        return [tuple(elements[start : start + _FEATURES]) for start in range(0, len(elements), _FEATURES)]
    raise _invalid(
        ("inputs",),
        f"Input should be four tensors {', '.join(FEATURE_NAMES)} of shape [n] or [n, 1], or one tensor of shape "
        f"[n, {_FEATURES}] with these columns",
    )


def _elements(place: int, tensor: RequestInput) -> list[Any]:
    """Give the elements of a tensor in row-major order, as its datatype says."""
    rows, width = tensor.shape[0], tensor.shape[1] if len(tensor.shape) > 1 else 1
    elements = tensor.data
    if len(tensor.shape) > 1 and elements and isinstance(elements[0], list):
        for row, values in enumerate(elements):
            if not isinstance(values, list) or len(values) != width:
                raise _invalid(("inputs", place, "data", row), f"Input should be a list of {width}, as the shape says")
        elements = list(chain.from_iterable(elements))
    if len(elements) != rows * width:
        raise _invalid(
            ("inputs", place, "data"),
            f"Input should have {rows * width:,} elements, as the shape says, not {len(elements):,}",
        )
    if tensor.datatype == "FP32":
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as that
            return [_in_single_precision(element) for element in elements]
    if tensor.datatype != "FP64":
        bound = 2 ** (_INTEGER_BITS[tensor.datatype] - 1)
        for index, element in enumerate(elements):
            if type(element) is not int or not -bound <= element < bound:
                raise _invalid(
                    ("inputs", place, "data", index),
                    f"Input should be an integer of {_INTEGER_BITS[tensor.datatype]} bits (row {index // width})",
                )
    return elements


def _in_single_precision(element: Any) -> Any:
    """Round a number; what is none, or too large for a double, is left to be refused."""
    if type(element) not in (int, float):
        return element
    try:
        return float(np.float32(element))
    except OverflowError:
        return element


def _invalid(place: tuple[str | int, ...], message: str) -> ValidationError:
    error = PydanticCustomError("tensor", "{message}", {"message": message})
    return ValidationError.from_exception_data(
        "InferenceRequest", [InitErrorDetails(type=error, loc=place, input=None)]
    )
