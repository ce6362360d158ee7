"""The four features, which are one month of a subscriber's usage, and the two plans.

This is the only definition of the features: `CustomerUsage`, and the types of its fields. The configuration, the
tables, the fitted pipeline, the compiled scorer and the HTTP API are all checked against it.
"""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, JsonValue

PLANS: tuple[Literal["Smart"], Literal["Ultra"]] = ("Smart", "Ultra")
"""The plans by their label: 0 is Smart, 1 is Ultra."""

TARGET = "is_ultra"
"""Name of the label: 1 when the subscriber is on Ultra, 0 on Smart."""

FeatureMatrix = npt.NDArray[np.float64]
"""Shape (rows, 4), columns in the order of `FEATURE_NAMES`, NaN where a value is missing."""

EXAMPLE: dict[str, JsonValue] = {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}
"""The subscriber that the OpenAPI document shows as an example."""

_DOUBLE: dict[str, JsonValue] = {"format": "double"}


Calls = Annotated[float, Field(ge=0, description="calls made", json_schema_extra=_DOUBLE | {"x-unit": "calls / month"})]
Minutes = Annotated[
    float, Field(ge=0, description="total call time", json_schema_extra=_DOUBLE | {"x-unit": "minutes / month"})
]
Messages = Annotated[
    float, Field(ge=0, description="text messages sent", json_schema_extra=_DOUBLE | {"x-unit": "SMS / month"})
]
MbUsed = Annotated[
    float, Field(ge=0, description="mobile data used", json_schema_extra=_DOUBLE | {"x-unit": "MB / month"})
]


class CustomerUsage(BaseModel):
    """What one subscriber used in one month: four finite numbers of at least 0.

    A missing or an unknown name is refused. So are a number in quotes and a boolean, because they are more often a
    client's mistake than its intention.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, json_schema_extra={"example": EXAMPLE}
    )

    calls: Calls
    minutes: Minutes
    messages: Messages
    mb_used: MbUsed


class FeatureSpec(BaseModel):
    """One feature, in the form that is stored with a model and shown at `GET /model`."""

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


def matrix(rows: list[CustomerUsage]) -> FeatureMatrix:
    """Arrange subscribers for the scorer: shape (rows, 4), columns in the order of `FEATURE_NAMES`."""
    return np.array([(row.calls, row.minutes, row.messages, row.mb_used) for row in rows], dtype=np.float64)
