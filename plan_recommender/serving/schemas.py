"""The typed requests and answers of the service; the four features of a request are in model/features.py.

A request is validated, so it is a pydantic model. An answer is the service's own, so it is a dictionary whose keys and
types are declared: pydantic describes it, and writing it as JSON takes a third of the time that a model takes.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before Python 3.12

from plan_recommender.billing.forecast import MAX_MONTHS
from plan_recommender.billing.tariffs import MAX_USAGE, MIN_ACTIVE_SHARE
from plan_recommender.model.features import EXAMPLE, Calls, CustomerUsage, FeatureSpec, MbUsed, Messages, Minutes
from plan_recommender.model.regions import FEW_ROWS
from plan_recommender.model.threshold import SegmentThresholds

MAX_BATCH_ROWS = 10_000

# As OpenAPI 3.0 says it.
_NULLABLE = WithJsonSchema({"type": "number", "format": "double", "nullable": True})
_NULLABLE_USAGE = WithJsonSchema({"type": "number", "minimum": 0, "maximum": MAX_USAGE, "nullable": True})
_NULLABLE_TEXT = WithJsonSchema({"type": "string", "nullable": True})


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


class UsageMonth(CustomerUsage):
    """What one subscriber used in one calendar month, up to 1,000,000,000 of each quantity."""

    model_config = ConfigDict(json_schema_extra={"example": {"month": "2026-10", **EXAMPLE}})

    # Bounds of pydantic, because a validator in Python would take longer than all the others together.
    calls: Annotated[Calls, Field(le=MAX_USAGE)]
    minutes: Annotated[Minutes, Field(le=MAX_USAGE)]
    messages: Annotated[Messages, Field(le=MAX_USAGE)]
    mb_used: Annotated[MbUsed, Field(le=MAX_USAGE)]
    month: Annotated[str, Field(pattern=r"^[12][0-9]{3}-(0[1-9]|1[0-2])$", description="calendar month, YYYY-MM")]
    billed_minutes: Annotated[
        float | None,
        Field(
            ge=0,
            le=MAX_USAGE,
            description="minutes after the rounding of each call, which differ from `minutes` by one for each call at "
            "most (refused otherwise, where the tariffs in force round by call); null: not known",
        ),
        _NULLABLE_USAGE,
    ] = None
    active_share: Annotated[
        float | None,
        Field(
            ge=MIN_ACTIVE_SHARE,
            le=1,
            description="share of the month's days on which the subscriber was active: less than 1 in the months of "
            "registration and of leaving; null: 1",
        ),
        WithJsonSchema({"type": "number", "minimum": MIN_ACTIVE_SHARE, "maximum": 1, "nullable": True}),
    ] = None


class AdviceRequest(BaseModel):
    """The plan held and the past months of one subscriber."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        json_schema_extra={
            "example": {
                "plan": "Smart",
                "months": [
                    {"month": "2026-09", "calls": 78, "minutes": 493.2, "messages": 61, "mb_used": 21110.5},
                    {"month": "2026-10", **EXAMPLE},
                ],
            }
        },
    )

    plan: Annotated[
        str | None, Field(max_length=40, description="name of the plan held; null: none, or not known"), _NULLABLE_TEXT
    ] = None
    months: Annotated[
        list[UsageMonth], Field(min_length=1, max_length=MAX_MONTHS, description="ascending, each month once")
    ]

    @field_validator("months")
    @classmethod
    def _ascend(cls, months: list[UsageMonth]) -> list[UsageMonth]:
        for before, after in pairwise(months):
            if after.month <= before.month:
                raise PydanticCustomError(
                    "not_ascending",
                    f"Input should be months in ascending order, each once; {after.month} stands after {before.month}",
                )
        return months


class BillItems(TypedDict):
    """The bill of one month on one plan (currency)."""

    fee: float
    minutes: Annotated[float, Field(description="for billed minutes beyond those included")]
    messages: Annotated[float, Field(description="for messages beyond those included")]
    data: Annotated[float, Field(description="for data beyond what is included")]
    total: float
    estimated: Annotated[
        bool, Field(description="whether the billed minutes were not given, so that the bill rests on an estimate")
    ]


class PlanOutlook(TypedDict):
    """What one plan costs one subscriber (currency)."""

    plan: str
    last_bill: Annotated[BillItems, Field(description="of the last month that was sent")]
    expected: Annotated[float, Field(description="expected bill of the next whole month")]
    low: Annotated[float, Field(description="lower end of its 90 % interval")]
    high: Annotated[float, Field(description="upper end of its 90 % interval")]


class AdviceAnswer(TypedDict):
    """Which plan fits the next month of one subscriber."""

    advice: Annotated[
        Literal["keep", "switch", "choose"], Field(description="`choose` where the plan held is not known")
    ]
    plan: Annotated[str | None, Field(description="the plan held, as sent"), _NULLABLE_TEXT]
    advised_plan: str
    expected_saving: Annotated[
        float,
        Field(
            description="what the next month is expected to cost less than on the plan held: 0 for `keep`; for "
            "`choose`, less than on the next cheapest plan"
        ),
    ]
    saving_low: Annotated[float, Field(description="lower end of the 90 % interval of that saving")]
    saving_high: Annotated[float, Field(description="upper end of it")]
    p_saves: Annotated[float, Field(ge=0, le=1, description="probability that the next month costs less")]
    plans: Annotated[list[PlanOutlook], Field(description="every plan, in the order of the tariffs")]
    sentence: Annotated[str, Field(description="the advice in words, English or Spanish by Accept-Language")]
    currency: Annotated[str, Field(description="ISO 4217 code of all amounts")]
    model: Annotated[str, Field(description="tag of the model whose profile of habits was used")]
    tariffs: Annotated[str, Field(description="SHA-256 of the tariffs in force, as in GET /model")]


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
        str,
        Field(
            description="what it means and how common such usage is on each plan, in plain English or Spanish by "
            "Accept-Language"
        ),
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
        _NULLABLE,
    ]
    change: Annotated[str, Field(description="where the plan changes, in the same language")]


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


class StoredDocument(BaseModel):
    """The model: tables of numbers, as docs/model_format.md describes them."""

    format: str
    schema_version: int
    target: str
    threshold: dict[str, Any]
    features: list[dict[str, Any]] = Field(description="each with its cuts and its curve")
    constant: float
    maps: list[dict[str, Any]] = Field(description="one of each pair of features")


class ModelHabits(BaseModel):
    """What was registered with the model for the forecast and the advice."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(description="tag in the BentoML model store")
    habits: dict[str, Any] = Field(description="how months of subscribers vary: usual amounts, spreads and errors")
    advice: dict[str, Any] = Field(description="when a switch is advised")


class TariffsInForce(BaseModel):
    """The file of tariffs, with its digest; amounts are numbers whose shortest decimal form is exact."""

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(description="of the tariffs, as in GET /model and in the answers of /advise")
    currency: str = Field(description="ISO 4217 code of all amounts")
    smallest_unit: float = Field(description="smallest amount that is billed (currency)")
    valid_from: str = Field(description="first day, YYYY-MM-DD")
    minutes: dict[str, Any] = Field(description="how call time becomes billed minutes")
    data: dict[str, Any] = Field(description="the step in which data is billed (MB)")
    plans: list[dict[str, Any]] = Field(description="fee, what is included, and what costs extra beyond")


class ModelDescription(BaseModel):
    """What is known of the model that answers."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(description="tag in the BentoML model store")
    bento: Annotated[str | None, _NULLABLE_TEXT] = Field(
        description="tag of the Bento that serves it; null: the service runs from source"
    )
    source_commit: Annotated[str | None, _NULLABLE_TEXT] = Field(
        description="git commit of the code that serves it, with -dirty if files differed from it; null: not known"
    )
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
    tariffs: dict[str, Any] = Field(description="in force: their SHA-256, currency, first day and plans")
    advice: dict[str, Any] = Field(description="when a switch is advised, and the months that this learned from")
