"""One month of a subscriber's usage: the four features and the typed requests and answers.

`CustomerUsage` is the one definition of the features. The configuration, the tables, the fitted pipeline, the compiled
scorer and the HTTP API are all checked against it.
"""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

MAX_BATCH_ROWS = 10_000
PLANS: tuple[Literal["Smart"], Literal["Ultra"]] = ("Smart", "Ultra")

FeatureMatrix = npt.NDArray[np.float64]
"""Shape (rows, 4), columns in the order of `FEATURE_NAMES`, NaN where a value is missing."""

_DOUBLE: dict[str, JsonValue] = {"format": "double"}
_EXAMPLE: dict[str, JsonValue] = {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}


class CustomerUsage(BaseModel):
    """What one subscriber used in one month: four finite numbers, none negative, none missing.

    Strict: a number in quotes and a boolean are refused, because they are more often a client's mistake than its
    intention.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, json_schema_extra={"example": _EXAMPLE}
    )

    calls: Annotated[
        float, Field(ge=0, description="calls made", json_schema_extra=_DOUBLE | {"x-unit": "calls / month"})
    ]
    minutes: Annotated[
        float, Field(ge=0, description="total call time", json_schema_extra=_DOUBLE | {"x-unit": "minutes / month"})
    ]
    messages: Annotated[
        float, Field(ge=0, description="text messages sent", json_schema_extra=_DOUBLE | {"x-unit": "SMS / month"})
    ]
    mb_used: Annotated[
        float, Field(ge=0, description="mobile data used", json_schema_extra=_DOUBLE | {"x-unit": "MB / month"})
    ]


class UsageBatch(BaseModel):
    """Between one and 10,000 subscribers, answered in the order sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": {"rows": [_EXAMPLE]}})

    rows: Annotated[list[CustomerUsage], Field(min_length=1, max_length=MAX_BATCH_ROWS)]


class Decision(BaseModel):
    """The answer for one subscriber."""

    model_config = ConfigDict(frozen=True)

    prediction: Annotated[Literal[0, 1], Field(description="1 for Ultra, 0 for Smart")]
    probability_is_ultra: Annotated[float, Field(ge=0, le=1, description="the model's probability of Ultra")]
    recommended_plan: Annotated[Literal["Smart", "Ultra"], Field(description="the plan that `prediction` stands for")]


class Recommendation(Decision):
    """The answer for one subscriber, and the model that gave it."""

    model: Annotated[str, Field(description="tag of the model that answered")]


class Contribution(BaseModel):
    """How much one feature moved one prediction."""

    model_config = ConfigDict(frozen=True)

    feature: str
    value: Annotated[float, Field(description="as sent")]
    contribution: Annotated[float, Field(description="to the log-odds of Ultra; negative speaks for Smart")]
    sentence: Annotated[str, Field(description="what it means, in plain English")]
    plan_changes_at: Annotated[
        float | None,
        Field(
            description="nearest value of the feature at which, everything else equal, the other plan would be "
            "recommended; null where there is none"
        ),
        WithJsonSchema({"type": "number", "format": "double", "nullable": True}),  # as OpenAPI 3.0 says it
    ]
    change: Annotated[str, Field(description="where the plan changes, in plain English")]


class Explanation(Decision):
    """The answer for one subscriber, why, and the model that gave it."""

    log_odds: Annotated[float, Field(description="logarithm of the odds of Ultra; 0 is a probability of one half")]
    base_value: Annotated[
        float, Field(description="mean log-odds over usage drawn, each feature by itself, from the training part")
    ]
    contributions: Annotated[
        list[Contribution],
        Field(description="one a feature, largest absolute value first; with base_value they sum to log_odds exactly"),
    ]
    model: Annotated[str, Field(description="tag of the model that answered")]


class BatchRecommendation(BaseModel):
    """One decision a row, in the order sent, and the model that gave them."""

    model_config = ConfigDict(frozen=True)

    predictions: list[Decision]
    model: Annotated[str, Field(description="tag of the model that answered")]


class FeatureSpec(BaseModel):
    """One feature as it is stored with a model and shown at `GET /model`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    unit: str
    description: str
    minimum: float


def _spec(name: str) -> FeatureSpec:
    schema = CustomerUsage.model_json_schema()["properties"][name]
    return FeatureSpec(name=name, unit=schema["x-unit"], description=schema["description"], minimum=schema["minimum"])


FEATURE_NAMES: tuple[str, ...] = tuple(CustomerUsage.model_fields)
FEATURES: tuple[FeatureSpec, ...] = tuple(_spec(name) for name in FEATURE_NAMES)
TARGET = "is_ultra"


def matrix(rows: list[CustomerUsage]) -> FeatureMatrix:
    """Lay requests out as the scorer takes them: shape (rows, 4), columns in the order of `FEATURE_NAMES`."""
    return np.array([(row.calls, row.minutes, row.messages, row.mb_used) for row in rows], dtype=np.float64)
