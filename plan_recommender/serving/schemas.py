"""The typed requests and answers of the service; the four features of a request are in model/features.py.

A request is validated, so it is a pydantic model. An answer is the service's own, so it is a dictionary whose keys and
types are declared: pydantic describes it, and writing it as JSON takes a third of the time that a model takes.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before Python 3.12

from plan_recommender.model.features import EXAMPLE, CustomerUsage, FeatureSpec
from plan_recommender.model.regions import FEW_ROWS
from plan_recommender.model.threshold import SegmentThresholds

MAX_BATCH_ROWS = 10_000


class UsageBatch(BaseModel):
    """Between one and 10,000 subscribers, answered in the order sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": {"rows": [EXAMPLE]}})

    rows: Annotated[list[CustomerUsage], Field(min_length=1, max_length=MAX_BATCH_ROWS)]


class Decision(TypedDict):
    """The answer for one subscriber."""

    prediction: Annotated[Literal[0, 1], Field(description="1 for Ultra, 0 for Smart")]
    probability_is_ultra: Annotated[float, Field(ge=0, le=1, description="the model's probability of Ultra")]
    recommended_plan: Annotated[Literal["Smart", "Ultra"], Field(description="the plan that `prediction` stands for")]


class Recommendation(Decision):
    """The answer for one subscriber, and the model that gave it."""

    model: Annotated[str, Field(description="tag of the model that answered")]


class Contribution(TypedDict):
    """How much one feature moved one prediction."""

    feature: str
    value: Annotated[float, Field(description="as sent")]
    contribution: Annotated[float, Field(description="to the log-odds of Ultra; negative speaks for Smart")]
    effect_points: Annotated[
        float,
        Field(
            description="percentage points that it adds to the probability of Ultra: the probability with the "
            "contribution less the one without it, everything else equal; negative speaks for Smart"
        ),
    ]
    sentence: Annotated[
        str, Field(description="what it means and how common such usage is on each plan, in plain English")
    ]
    few_training_rows: Annotated[
        bool,
        Field(
            description=f"whether fewer than {FEW_ROWS} rows of the training part are like this, so that the "
            "contribution is little more than a guess; the sentence says so too"
        ),
    ]
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


class BatchRecommendation(TypedDict):
    """One decision a row, in the order sent, and the model that gave them."""

    predictions: list[Decision]
    model: Annotated[str, Field(description="tag of the model that answered")]


class Health(BaseModel):
    """Whether a model can answer; found out by asking it."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "unavailable"]
    model: str = Field(description="tag of the model that was asked")
    detail: str = Field(description="that it answered, or why it did not")


class ModelDescription(BaseModel):
    """What is known of the model that answers."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(description="tag in the BentoML model store")
    trained_at: str = Field(description="UTC, ISO 8601")
    estimator: str
    features: list[FeatureSpec]
    target: str
    threshold: float = Field(description="probability of Ultra from which Ultra is recommended")
    threshold_objective: str = Field(description="what it was chosen for; none: it is a configured number")
    segment_thresholds: list[SegmentThresholds] = Field(
        description="thresholds that differ by usage of one feature; empty: one for everybody"
    )
    metrics: dict[str, Any] = Field(description="on the test part, beside the majority rule")
    data: dict[str, Any] = Field(description="the table it was trained on")
    versions: dict[str, str] = Field(description="of the libraries that trained it")
