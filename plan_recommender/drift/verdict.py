"""The verdict on a current sample: whether it has drifted from a reference, in what, by how much, and how surely.

Three things are needed for "drift": chance explains a difference in fewer than `drift.alpha` of samples, all tests
taken together; the difference is as large as `drift.smallest_gap` or `drift.smallest_phi`; and there are enough rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp, norm

from plan_recommender.config.settings import DriftSettings
from plan_recommender.drift.design_effect import Subscribers
from plan_recommender.drift.judgement import (
    Effects,
    Judgement,
    current_effects,
    judge,
    reference_effects,
)
from plan_recommender.drift.mix import Mix
from plan_recommender.drift.reference import Summary, summarise
from plan_recommender.drift.report import DriftReport, FeatureDrift, PairDrift, PredictionDrift, shown_p
from plan_recommender.errors import TableError
from plan_recommender.model.profile import FeatureProfile, ReferenceProfile, bins_of
from plan_recommender.model.scorer import Scorer
from plan_recommender.monitoring.distance import population_stability_index
from plan_recommender.monitoring.layout import PREDICTIONS, Codes, Layout, pair_name

Values = npt.NDArray[np.float64]

_PERCENTILE: Final = 0.95
_CONFIDENCE: Final = 0.99
_MIN_SUBSCRIBERS: Final = 30


@dataclass(frozen=True)
class Sample:
    """A current sample."""

    features: Values
    """Shape (rows, features), columns in the order of the profile, NaN where a value is missing."""
    subscribers: Subscribers | None = None
    """Whose each row is, shape (rows,)."""
    mix: Mix | None = None
    """What the rows of both samples are composed of."""
    reference: Values | None = None
    """With `mix`: the features of the reference, shape (rows, features)."""


def compare(
    reference: ReferenceProfile, current: Sample, settings: DriftSettings, scorer: Scorer | None = None
) -> DriftReport:
    """Compare a current sample with a reference, and judge its features, their pairs and the predictions.

    A feature has also drifted if its share of missing values differs from the reference's by `missing_threshold`.

    Args:
        reference: the profile to compare with.
        current: the sample.
        settings: the thresholds.
        scorer: of the model whose predictions the profile describes; None: predictions are not compared.

    Raises:
        TableError: a sample has fewer than `min_rows` rows or values of a feature, once their number is divided by the
            design effect. A feature has drifted whatever the number of its values if too many of them are missing.
    """
    if scorer is None:
        reference = reference.model_copy(update={"predictions": None})
    layout = Layout(reference)
    codes = layout.codes(current.features)
    summary = None if scorer is None else summarise(current.features, scorer)
    effects = _effects(layout, codes, summary, current.subscribers)
    emptied = _emptied(reference, current.features, settings)
    _require_enough(reference, current, codes, effects, emptied, settings)
    before = layout.reference(reference).astype(np.float64)
    counts = layout.count(codes, None if summary is None else summary.probabilities).astype(np.float64)
    both = reference_effects(reference), effects
    left_out = frozenset(
        feature.name
        for i, feature in enumerate(reference.features)
        if not _enough(codes[:, i], effects, feature, settings)
    )
    judged = judge(layout, before, counts, both, settings, left_out)
    features = [
        _Described(feature, current.features[:, i], judged.get(feature.name), effects[feature.name].mean).report(
            emptied.get(feature.name), counts[layout.margins[i]], settings
        )
        for i, feature in enumerate(reference.features)
    ]
    pairs = [
        _pair(names, judged[pair_name(*names)], before[cells].reshape(shape), counts[cells].reshape(shape))
        for names, shape, cells in zip(
            (pair.features for pair in reference.pairs), layout.shapes, layout.pair_cells, strict=True
        )
        if pair_name(*names) in judged
    ]
    drifted = [feature.name for feature in features if feature.finding == "drift"]
    drifted += [name for name, found in judged.items() if found.finding == "drift" and name not in drifted]
    mix = None
    if current.mix is not None and current.reference is not None:
        fixed = _with_mix_fixed(layout, current.mix, current.reference, scorer)
        again = None if fixed is None else judge(layout, fixed, counts, both, settings, left_out)
        mix = current.mix.change(
            None if again is None else [*emptied, *(name for name, found in again.items() if found.finding == "drift")]
        )
    return DriftReport(
        verdict="no drift" if not drifted else "other mix" if mix is not None and mix.explains else "drift",
        drifted=drifted,
        reference_rows=reference.rows,
        current_rows=len(current.features),
        reference_subscribers=reference.subscribers,
        current_subscribers=None if current.subscribers is None else len(np.unique(current.subscribers)),
        thresholds={
            "alpha": settings.alpha,
            "smallest_gap": settings.smallest_gap,
            "smallest_phi": settings.smallest_phi,
            "missing_share": settings.missing_threshold,
        },
        features=features,
        pairs=pairs,
        predictions=_predictions(reference, summary, judged.get(PREDICTIONS)),
        mix=mix,
    )


def _effects(layout: Layout, codes: Codes, summary: Summary | None, subscribers: Subscribers | None) -> Effects:
    probability_codes = None if summary is None else bins_of(summary.probabilities, layout.probability_edges)
    return current_effects(layout, codes, probability_codes, subscribers)


def _emptied(reference: ReferenceProfile, features: Values, settings: DriftSettings) -> dict[str, str]:
    """Say of which features the share of missing values has changed too much."""
    said = {}
    for i, feature in enumerate(reference.features):
        before = feature.missing / max(1, reference.rows)
        now = float(np.isnan(features[:, i]).sum()) / max(1, len(features))
        if abs(now - before) >= settings.missing_threshold:
            said[feature.name] = f"empty cells {before:.1%} → {now:.1%} (threshold {settings.missing_threshold:.0%})"
    return said


def _enough(values: Codes, effects: Effects, feature: FeatureProfile, settings: DriftSettings) -> bool:
    return int((values >= 0).sum()) >= settings.min_rows * effects[feature.name].mean


def _require_enough(
    reference: ReferenceProfile,
    current: Sample,
    codes: Codes,
    effects: Effects,
    emptied: Mapping[str, str],
    settings: DriftSettings,
) -> None:
    """Refuse samples that are too small, naming of each the feature that needs the most rows."""
    if current.subscribers is not None and (found := len(np.unique(current.subscribers))) < _MIN_SUBSCRIBERS:
        raise TableError(
            f"expected rows of at least {_MIN_SUBSCRIBERS} subscribers in the current sample, found {found:,}; how "
            "alike the rows of one are cannot be told from so few"
        )
    before = [(sum(f.counts), f.design_effect, f.name) for f in reference.features]
    now = [
        (len(codes), 1.0, f.name)
        if f.name in emptied
        else (int((codes[:, i] >= 0).sum()), effects[f.name].mean, f.name)
        for i, f in enumerate(reference.features)
    ]
    said = []
    for sample, features in (("reference", before), ("current", now)):
        short = [(int(np.ceil(settings.min_rows * effect)), count, effect, name) for count, effect, name in features]
        short = [each for each in short if each[1] < each[0]]
        if short:
            needed, count, effect, name = max(short, key=lambda each: each[0])
            why = "drift.min_rows" if effect == 1 else f"drift.min_rows times their design effect of {effect:.1f}"
            said.append(
                f"feature {name!r}: expected at least {needed:,} values in the {sample} sample ({why}), found {count:,}"
            )
    if said:
        raise TableError(f"{'; '.join(said)}; collect more before asking for a verdict")


def _with_mix_fixed(layout: Layout, mix: Mix, features: Values, scorer: Scorer | None) -> Values | None:
    """Count the reference so that its mix is that of the current sample, shape (cells,)."""
    codes = layout.codes(features)
    probabilities = None if scorer is None else scorer.probabilities(features)
    counts = [
        layout.count(codes[rows], None if probabilities is None else probabilities[rows]).astype(np.float64)
        for rows in (mix.reference == stratum for stratum in range(len(mix.strata)))
    ]
    return mix.held_fixed(layout, counts)


class _Described:
    """One feature in both samples."""

    def __init__(self, reference: FeatureProfile, values: Values, judged: Judgement | None, effect: float) -> None:
        self._reference, self._judged, self._effect = reference, judged, effect
        self._rows = len(values)
        self._present = values[~np.isnan(values)]

    def report(self, emptied: str | None, counts: Values, settings: DriftSettings) -> FeatureDrift:
        reference, present, judged = self._reference, self._present, self._judged
        ks = None if judged is None else ks_2samp(reference.values, present, method="asymp")
        reasons = [] if emptied is None else [emptied]
        if judged is not None and judged.finding != "no drift":
            reasons.append(self._reason(judged, settings))
        return FeatureDrift(
            name=reference.name,
            finding="drift" if emptied is not None or judged is None else judged.finding,
            reasons=reasons,
            reference_n=sum(reference.counts),
            current_n=len(present),
            reference_missing_share=reference.missing / max(1, reference.missing + sum(reference.counts)),
            current_missing_share=1 - len(present) / self._rows,
            p_value=None if judged is None else judged.p_value,
            gap=None if judged is None else judged.gap,
            phi=None if judged is None else judged.phi,
            psi=None if judged is None else population_stability_index(reference.counts, counts, settings.smoothing),
            ks_statistic=None if ks is None else float(ks.statistic),
            ks_p_value=None if ks is None else float(ks.pvalue),
            reference_mean=reference.mean,
            current_mean=float(present.mean()) if len(present) else None,
            change=None if judged is None else self._change(),
            reference_median=float(np.median(reference.values)),
            current_median=float(np.median(present)) if len(present) else None,
            above_old_percentile=float((present > np.quantile(reference.values, _PERCENTILE)).mean())
            if len(present)
            else None,
            design_effect=self._effect,
        )

    def _change(self) -> tuple[float, float]:
        """Interval of the change of the mean, from the variances of both samples and their design effects."""
        reference, present = self._reference, self._present
        variance = np.var(reference.values) * reference.design_effect / sum(reference.counts)
        variance += np.var(present) * self._effect / len(present)
        half = float(norm.ppf((1 + _CONFIDENCE) / 2) * np.sqrt(variance))
        change = float(present.mean()) - reference.mean
        return change - half, change + half

    def _reason(self, judged: Judgement, settings: DriftSettings) -> str:
        chance = f"p {shown_p(judged.p_value)}"
        sizes = f"gap {judged.gap:.3f}, phi {judged.phi:.3f}"
        if judged.finding == "drift":
            return f"{sizes} with {chance}"
        return f"{chance}, but {sizes} are below what matters ({settings.smallest_gap:g} and {settings.smallest_phi:g})"


def _pair(names: list[str], judged: Judgement, before: Values, now: Values) -> PairDrift:
    return PairDrift(
        features=names,
        finding=judged.finding,
        p_value=judged.p_value,
        phi=judged.phi or 0.0,
        reference_association=_gamma(before),
        current_association=_gamma(now),
    )


def _predictions(
    reference: ReferenceProfile, summary: Summary | None, judged: Judgement | None
) -> PredictionDrift | None:
    before = reference.predictions
    if before is None or summary is None or judged is None:
        return None
    return PredictionDrift(
        finding=judged.finding,
        p_value=judged.p_value,
        gap=judged.gap or 0.0,
        reference_mean=before.mean,
        current_mean=summary.mean,
        reference_ultra_share=before.ultra_share,
        current_ultra_share=summary.ultra_share,
        reference_expected_accuracy=before.expected_accuracy,
        current_expected_accuracy=summary.expected_accuracy,
        reference_expected_brier=before.expected_brier,
        current_expected_brier=summary.expected_brier,
    )


def _gamma(counts: Values) -> float:
    """Goodman and Kruskal's gamma (1954, doi 10.1080/01621459.1954.10501231) of a table of counts; 0 without pairs."""
    later = np.flip(np.cumsum(np.cumsum(np.flip(counts), axis=0), axis=1))  # rows in bins at least as high in both
    above = np.zeros_like(counts)
    above[:-1, :-1] = later[1:, 1:]
    turned = np.fliplr(counts)
    later = np.flip(np.cumsum(np.cumsum(np.flip(turned), axis=0), axis=1))
    below = np.zeros_like(counts)
    below[:-1, :-1] = later[1:, 1:]
    concordant, discordant = float((counts * above).sum()), float((turned * below).sum())
    total = concordant + discordant
    return (concordant - discordant) / total if total else 0.0
