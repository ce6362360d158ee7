"""Compare a current sample with a reference profile, feature by feature, and judge which features have drifted."""

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import ks_2samp

from plan_recommender.config.settings import DriftSettings
from plan_recommender.errors import TableError
from plan_recommender.model.profile import (
    FeatureProfile,
    ReferenceProfile,
    Values,
    histogram,
    population_stability_index,
)


class FeatureDrift(BaseModel):
    """One feature in both samples; a statistic is None where the current sample has too few values of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    reference_n: Annotated[int, Field(description="reference values compared, missing ones left out")]
    current_n: Annotated[int, Field(description="current values compared, missing ones left out")]
    reference_missing_share: float
    current_missing_share: float
    ks_statistic: Annotated[float | None, Field(description="largest gap between the two distribution functions")]
    ks_p_value: Annotated[float | None, Field(description="asymptotic, two-sided")]
    psi: Annotated[float | None, Field(description="population stability index over the reference's bins")]
    reference_median: float
    current_median: float | None
    drifted: bool
    reasons: list[str]


class DriftReport(BaseModel):
    """The verdict on a sample, and the figures and thresholds that it is based on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Literal["drift", "no drift"]
    drifted_features: list[str]
    reference_rows: int
    current_rows: int
    thresholds: dict[str, float]
    features: list[FeatureDrift]


def compare(reference: ReferenceProfile, current: Values, settings: DriftSettings) -> DriftReport:
    """Compare a current sample with a reference, and judge every feature.

    A feature has drifted if its PSI is at least `psi_threshold`; if its Kolmogorov-Smirnov statistic is at least
    `ks_threshold` and the p-value below `ks_alpha` (a p-value alone would call any difference in a large sample drift);
    or if its share of missing values differs from the reference's by at least `missing_threshold`.

    Args:
        reference: the profile to compare with.
        current: shape (rows, features), columns in the order of the profile, NaN where a value is missing.
        settings: the thresholds, the smoothing of the PSI, and the minimum of values.

    Raises:
        TableError: the current sample has fewer than `min_rows` rows, or a feature has fewer than `min_rows` values: in
            the reference, or in the current sample unless its missing values alone say that it has drifted.
    """
    features = [_compare_feature(p, current[:, i], settings) for i, p in enumerate(reference.features)]
    drifted = [feature.name for feature in features if feature.drifted]
    return DriftReport(
        verdict="drift" if drifted else "no drift",
        drifted_features=drifted,
        reference_rows=reference.rows,
        current_rows=len(current),
        thresholds={
            "psi": settings.psi_threshold,
            "ks_statistic": settings.ks_threshold,
            "ks_alpha": settings.ks_alpha,
            "missing_share": settings.missing_threshold,
        },
        features=features,
    )


def _compare_feature(reference: FeatureProfile, current: Values, settings: DriftSettings) -> FeatureDrift:
    present = current[~np.isnan(current)]
    before, now = sum(reference.counts), len(present)
    _require_rows("reference", reference.name, before, settings)
    _require_rows("current", reference.name, len(current), settings)
    missing_before = reference.missing / (before + reference.missing)
    missing_now = 1 - now / len(current)
    reasons = []
    if abs(missing_now - missing_before) >= settings.missing_threshold:
        reasons.append(
            f"empty cells {missing_before:.1%} → {missing_now:.1%} (threshold {settings.missing_threshold:.0%})"
        )
    if not reasons:
        _require_rows("current", reference.name, now, settings)
    psi = ks = p_value = None
    if now >= settings.min_rows:
        psi = population_stability_index(
            reference.counts, histogram(present, np.array(reference.edges)), settings.smoothing
        )
        test = ks_2samp(reference.values, present, method="asymp")
        ks, p_value = float(test.statistic), float(test.pvalue)
        if psi >= settings.psi_threshold:
            reasons.append(f"PSI {psi:.3f} ≥ {settings.psi_threshold:g}")
        if ks >= settings.ks_threshold and p_value < settings.ks_alpha:
            reasons.append(f"KS {ks:.3f} ≥ {settings.ks_threshold:g} with p {p_value:.2g} < {settings.ks_alpha:g}")
    return FeatureDrift(
        name=reference.name,
        reference_n=len(reference.values),
        current_n=now,
        reference_missing_share=missing_before,
        current_missing_share=missing_now,
        ks_statistic=ks,
        ks_p_value=p_value,
        psi=psi,
        reference_median=float(np.median(reference.values)),
        current_median=float(np.median(present)) if now else None,
        drifted=bool(reasons),
        reasons=reasons,
    )


def _require_rows(sample: str, feature: str, count: int, settings: DriftSettings) -> None:
    if count < settings.min_rows:
        raise TableError(
            f"feature {feature!r}: expected at least {settings.min_rows:,} values in the {sample} sample "
            f"(drift.min_rows), found {count:,}; collect more before asking for a verdict"
        )
