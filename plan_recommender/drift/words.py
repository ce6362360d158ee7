"""The verdict in words: what has changed, by how much in its own unit, and what it means for plans and bills.

The console and the page say these sentences; they are written nowhere else.
"""

from typing import Final

from plan_recommender.drift.report import Bills, DriftReport, FeatureDrift, PairDrift, PlanBill, PredictionDrift

_UNITS: Final = {"calls": "calls", "minutes": "minutes", "messages": "messages", "mb_used": "MB"}
_MB_PER_GB: Final = 1024
_NOTICEABLE: Final = 0.02
"""Change of the share above the old percentile that is worth a word."""
_CLOSER: Final = 0.05
"""Change of gamma that is worth a word."""
_STRATA_NAMED: Final = 4
_WITHOUT_DECIMALS: Final = 10
"""Change of a bill (currency) from which decimals say nothing that matters."""


def verdict_words(report: DriftReport) -> list[str]:
    """Say in sentences what the verdict rests on, the most important first; also what no verdict can say."""
    said = []
    if not report.drifted:
        said.append("Nothing has drifted: no difference is both more than chance and large enough to matter.")
    mix = [] if report.mix is None else [_of_mix(report)]
    if report.verdict == "other mix":
        said += mix
    said += [_of_feature(feature) for feature in report.features if feature.finding == "drift"]
    said += [_of_pair(pair) for pair in report.pairs if pair.finding == "drift"]
    small = [f.name for f in report.features if f.finding == "no relevant drift"]
    small += [" and ".join(pair.features) for pair in report.pairs if pair.finding == "no relevant drift"]
    if small:
        said.append(f"More than chance, but too small to matter: {', '.join(small)}.")
    if report.verdict != "other mix":
        said += mix
    if report.predictions is not None:
        said += _of_predictions(report.predictions)
    if report.bills is not None:
        said.append(_of_bills(report.bills))
    return said


def amount(name: str, *values: float) -> str:
    """Write an amount of a feature without its sign, or the two ends of a range; more than a gigabyte in gigabytes."""
    sizes = [abs(value) for value in values]
    unit, decimals = _UNITS[name], 0 if max(sizes) >= 10 else 1
    if name == "mb_used" and max(sizes) >= _MB_PER_GB:
        sizes, unit, decimals = [size / _MB_PER_GB for size in sizes], "GB", 1
    return f"{' to '.join(f'{size:,.{decimals}f}' for size in sorted(sizes))} {unit}"


def closeness(pair: PairDrift) -> str:
    """Say how two features go together now beside before, from Goodman and Kruskal's gamma of both."""
    a, b = pair.features
    before, now = pair.reference_association, pair.current_association
    if before * now < 0 and min(abs(before), abs(now)) >= _CLOSER:
        way = "the other way round"
    elif abs(abs(now) - abs(before)) < _CLOSER:
        way = "about as closely as before"
    else:
        way = "less closely than before" if abs(now) < abs(before) else "more closely than before"
    return f"{a} and {b} go together {way} (gamma {before:.2f} before, {now:.2f} now)"


def _of_feature(feature: FeatureDrift) -> str:
    emptied = [reason for reason in feature.reasons if reason.startswith("empty cells")]
    before, now = feature.reference_missing_share, feature.current_missing_share
    said = [f"empty in {now:.0%} of the rows (before: {before:.0%})"] if emptied else []
    if feature.current_mean is not None and feature.change is not None:
        low, high = feature.change
        if not low <= 0 <= high:
            change = feature.current_mean - feature.reference_mean
            by, ends = (  # the unit of calls is calls, which the sentence begins with
                amount(feature.name, *values).removesuffix(f" {feature.name}") for values in ((change,), (low, high))
            )
            said.append(f"{'up' if change > 0 else 'down'} by {by} on average (99% interval {ends})")
        elif len(feature.reasons) > len(emptied):
            said.append("on average as before, but distributed otherwise")
        above = feature.above_old_percentile
        if above is not None and abs(above - 0.05) >= _NOTICEABLE:
            said.append(f"{above:.0%} of the rows above the old 95th percentile")
    return f"{feature.name} {'; '.join(said)}."


def _of_pair(pair: PairDrift) -> str:
    said = closeness(pair)
    return f"{said}, but in another way." if "as closely as before" in said else f"{said}."


def _of_mix(report: DriftReport) -> str:
    mix = report.mix
    assert mix is not None
    if mix.p_value >= report.thresholds["alpha"]:
        said = f"The mix of {mix.column} is as before"
    else:
        strata = sorted(
            zip(mix.strata, mix.reference_shares, mix.current_shares, strict=True),
            key=lambda stratum: -abs(stratum[2] - stratum[1]),
        )
        named = [f"{name or '(empty)'} {before:.0%} → {now:.0%}" for name, before, now in strata[:_STRATA_NAMED]]
        said = f"The mix of {mix.column} has changed ({', '.join(named)}{', ...' if len(strata) > len(named) else ''})"
    if mix.drifted is None:
        return f"{said}; it cannot be held fixed, because the reference lacks a part of it."
    if mix.drifted:
        return f"{said}; with the mix held fixed, these have drifted: {', '.join(mix.drifted)}."
    return f"{said}; with the mix held fixed, nothing has drifted{'' if report.drifted else ' either'}."


def _of_predictions(found: PredictionDrift) -> list[str]:
    points = 100 * (found.current_ultra_share - found.reference_ultra_share)
    if abs(points) < 0.05:
        change = "as many as in the reference"
    else:
        change = f"{abs(points):.1f} percentage points {'more' if points > 0 else 'fewer'} than in the reference"
    accuracy = 100 * (found.current_expected_accuracy - found.reference_expected_accuracy)
    brier = found.current_expected_brier - found.reference_expected_brier
    return [
        f"{found.current_ultra_share:.1%} of the rows would be recommended Ultra, {change}.",
        f"If the model's probabilities are still right, its accuracy changes by {accuracy:+.1f} percentage points and "
        f"its Brier score by {brier:+.4f}; whether they are right cannot be seen without labels.",
    ]


def _of_bills(bills: Bills) -> str:
    largest = max(abs(end) for plan in bills.plans for end in (*plan.change, *(plan.interval or ())))
    decimals = 0 if largest >= _WITHOUT_DECIMALS else bills.decimals
    said = [_of_plan(plan, bills, decimals) for plan in bills.plans]
    return (
        f"Under the same tariffs a month like these costs, on average, {', '.join(said[:-1])}"
        f"{' and ' if len(said) > 1 else ''}{said[-1]}."
    )


def _of_plan(plan: PlanBill, bills: Bills, decimals: int) -> str:
    said = f"{_dearer(plan.change, bills.currency, decimals)} on {plan.plan}"
    if plan.interval is not None and plan.interval != plan.change:
        said += f" (99% interval {_dearer(plan.interval, bills.currency, decimals)})"
    return said


def _dearer(ends: tuple[float, float], currency: str, decimals: int) -> str:
    """Say how much more or less something costs, as one amount or as a range."""
    low, high = (round(end, decimals) for end in ends)
    if low == high:
        return "the same" if low == 0 else f"{abs(low):,.{decimals}f} {currency} {'more' if low > 0 else 'less'}"
    if low <= 0 < high or low < 0 <= high:
        return f"{abs(low):,.{decimals}f} {currency} less to {high:,.{decimals}f} {currency} more"
    least, most = sorted((abs(low), abs(high)))
    return f"{least:,.{decimals}f} to {most:,.{decimals}f} {currency} {'more' if high > 0 else 'less'}"
