"""The verdict in words: what has changed, by how much in its own unit, and what it means for recommendations."""

from typing import Final

from plan_recommender.drift.report import DriftReport, FeatureDrift, PairDrift, PredictionDrift

_UNITS: Final = {"calls": "calls", "minutes": "minutes", "messages": "messages", "mb_used": "MB"}
_MB_PER_GB: Final = 1024
_NOTICEABLE: Final = 0.02
"""Change of the share above the old percentile that is worth a word."""


def verdict_words(report: DriftReport) -> list[str]:
    """Say in sentences what the verdict rests on, the most important first; also what no verdict can say."""
    said = [_of_feature(feature) for feature in report.features if feature.finding == "drift"]
    said += [_of_pair(pair) for pair in report.pairs if pair.finding == "drift"]
    small = [f.name for f in report.features if f.finding == "no relevant drift"]
    small += [" and ".join(pair.features) for pair in report.pairs if pair.finding == "no relevant drift"]
    if small:
        said.append(f"Not chance, but too small to matter: {', '.join(small)}.")
    if report.mix is not None:
        said.append(_of_mix(report))
    if report.predictions is not None:
        said += _of_predictions(report.predictions)
    return said


def amount(name: str, value: float) -> str:
    """Write an amount of a feature with its unit, without a sign; more than a gigabyte in gigabytes."""
    value = abs(value)
    if name == "mb_used" and value >= _MB_PER_GB:
        return f"{value / _MB_PER_GB:.1f} GB"
    return f"{value:.0f} {_UNITS[name]}" if value >= 10 else f"{value:.1f} {_UNITS[name]}"


def _of_feature(feature: FeatureDrift) -> str:
    if feature.current_mean is None or feature.change is None:
        return f"{feature.name}: {'; '.join(feature.reasons)}."
    change = feature.current_mean - feature.reference_mean
    low, high = feature.change
    way = "up" if change > 0 else "down"
    ends = sorted((abs(low), abs(high)))
    if low <= 0 <= high:
        words = f"{feature.name} on average as before, but distributed otherwise"
    else:
        words = (
            f"{feature.name} {way} by {amount(feature.name, change)} on average "
            f"(99% interval {amount(feature.name, ends[0])} to {amount(feature.name, ends[1])})"
        )
    above = feature.above_old_percentile
    if above is not None and abs(above - 0.05) >= _NOTICEABLE:
        words += f"; {above:.0%} of the rows above the old 95th percentile"
    emptied = [reason for reason in feature.reasons if reason.startswith("empty cells")]
    return f"{'; '.join([words, *emptied])}."


def _of_pair(pair: PairDrift) -> str:
    a, b = pair.features
    before, now = pair.reference_association, pair.current_association
    way = "less closely" if abs(now) < abs(before) else "more closely"
    return f"{a} and {b} go together {way} than before (gamma {before:.2f}, now {now:.2f})."


def _of_mix(report: DriftReport) -> str:
    mix = report.mix
    assert mix is not None
    shares = ", ".join(
        f"{stratum} {before:.0%} → {now:.0%}"
        for stratum, before, now in zip(mix.strata, mix.reference_shares, mix.current_shares, strict=True)
    )
    if mix.drifted is None:
        return f"Mix of {mix.column}: {shares}; it cannot be held fixed, because the reference lacks some of it."
    if not mix.drifted:
        after = "nothing has drifted" if report.drifted else "nothing has drifted either"
    else:
        after = f"still drifted: {', '.join(mix.drifted)}"
    return f"Mix of {mix.column}: {shares}; with the mix held fixed, {after}."


def _of_predictions(found: PredictionDrift) -> list[str]:
    points = 100 * (found.current_ultra_share - found.reference_ultra_share)
    more = "more" if points >= 0 else "fewer"
    accuracy = 100 * (found.current_expected_accuracy - found.reference_expected_accuracy)
    brier = found.current_expected_brier - found.reference_expected_brier
    return [
        f"{found.current_ultra_share:.1%} would be recommended Ultra, {abs(points):.1f} points {more} than in the "
        "reference.",
        f"Expected from the probabilities alone: accuracy {accuracy:+.1f} points, Brier score {brier:+.4f}; that the "
        "relation of usage and plan itself has changed cannot be seen without labels.",
    ]
