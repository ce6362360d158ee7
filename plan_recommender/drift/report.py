"""What is said of a current sample beside a reference: the verdict, and the figures and thresholds that it rests on."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.drift.judgement import Finding
from plan_recommender.drift.mix import MixChange

SMALLEST_P: Final = 1e-10
"""Smaller p-values are not told apart: some of them are computed no more exactly."""


def shown_p(p_value: float | None) -> str:
    """Write a p-value; a dash if there is none."""
    return "-" if p_value is None else f"< {SMALLEST_P:.0e}" if p_value < SMALLEST_P else f"{p_value:.2g}"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureDrift(_Part):
    """One feature in both samples; a statistic is None where the current sample has too few values of it."""

    name: str
    finding: Finding
    reasons: list[str]
    reference_n: Annotated[int, Field(description="reference values, missing ones left out")]
    current_n: Annotated[int, Field(description="current values, missing ones left out")]
    reference_missing_share: float
    current_missing_share: float
    p_value: Annotated[float | None, Field(description="of the better of two tests, corrected for all tests (Holm)")]
    gap: Annotated[float | None, Field(description="distance of the distribution functions (Anderson and Darling)")]
    phi: Annotated[float | None, Field(description="distance of the shares of the bins (chi-square)")]
    psi: Annotated[float | None, Field(description="population stability index over the reference's bins")]
    ks_statistic: Annotated[float | None, Field(description="largest gap between the two distribution functions")]
    ks_p_value: Annotated[float | None, Field(description="asymptotic, two-sided, as if all rows were of strangers")]
    reference_mean: Annotated[float, Field(description="in the feature's unit")]
    current_mean: float | None
    change: Annotated[tuple[float, float] | None, Field(description="interval of the change of the mean, 99 percent")]
    reference_median: float
    current_median: float | None
    above_old_percentile: Annotated[float | None, Field(description="share above the reference's 95th percentile")]
    design_effect: Annotated[float, Field(description="of the current sample")]


class PairDrift(_Part):
    """How two features go together in both samples."""

    features: list[str]
    finding: Finding
    p_value: Annotated[float, Field(description="corrected for all tests (Holm)")]
    phi: Annotated[float, Field(description="distance of how the two go together, whatever each does by itself")]
    reference_association: Annotated[float, Field(description="Goodman and Kruskal's gamma, -1 to 1")]
    current_association: float


class PredictionDrift(_Part):
    """What the model predicts for both samples."""

    finding: Finding
    p_value: Annotated[float, Field(description="corrected for all tests (Holm)")]
    gap: float
    reference_mean: Annotated[float, Field(description="probability of Ultra")]
    current_mean: float
    reference_ultra_share: Annotated[float, Field(description="of rows that are recommended Ultra")]
    current_ultra_share: float
    reference_expected_accuracy: Annotated[float, Field(description="if the probabilities are true")]
    current_expected_accuracy: float
    reference_expected_brier: Annotated[float, Field(description="if the probabilities are true")]
    current_expected_brier: float


class PlanBill(_Part):
    """What a month costs on one plan on average, in the currency; every amount is exact as a decimal number."""

    plan: str
    reference_mean: Annotated[tuple[float, float], Field(description="least and most; equal where rows are known")]
    current_mean: float
    change: Annotated[tuple[float, float], Field(description="of the mean, least and most")]
    interval: Annotated[
        tuple[float, float] | None, Field(description="of the change, 99 percent; None: the reference has no rows")
    ]


class Bills(_Part):
    """What months of both samples cost under the same tariffs; rows with an empty cell are left out."""

    currency: str
    decimals: Annotated[int, Field(description="of an amount")]
    valid_from: Annotated[str, Field(description="first day of the tariffs (YYYY-MM-DD)")]
    digest: Annotated[str, Field(description="SHA-256 of the tariffs")]
    rows_known: Annotated[bool, Field(description="False: the reference is a profile, whose rows are not known")]
    reference_months: int
    current_months: int
    plans: list[PlanBill]


class DriftReport(_Part):
    """The verdict on a sample, and the figures and thresholds that it is based on."""

    verdict: Annotated[
        Literal["drift", "other mix", "no drift"],
        Field(description="other mix: nothing has drifted once the mix of both samples is held fixed"),
    ]
    drifted: Annotated[list[str], Field(description="features, pairs as 'a and b', and 'predictions'")]
    reference_rows: int
    current_rows: int
    reference_subscribers: Annotated[int | None, Field(description="None: every row counts as a subscriber")]
    current_subscribers: Annotated[int | None, Field(description="None: every row counts as a subscriber")]
    thresholds: dict[str, float]
    features: list[FeatureDrift]
    pairs: list[PairDrift]
    predictions: Annotated[PredictionDrift | None, Field(description="None: no model was asked")]
    mix: Annotated[MixChange | None, Field(description="None: the samples do not say what they are composed of")]
    bills: Annotated[
        Bills | None, Field(description="None: no tariffs were given, or a sample has no rows that can be billed")
    ] = None
