"""The drift report for people: one HTML page whose first screen says the verdict, with its pictures in it."""

from typing import Final

from markupsafe import Markup

from plan_recommender.drift.report import Bills, DriftReport, PairDrift, shown_p
from plan_recommender.drift.words import amount, closeness, verdict_words
from plan_recommender.model.profile import ReferenceProfile, Values
from plan_recommender.model.scorer import Scorer
from plan_recommender.report.drift_plots import (
    draw_feature,
    draw_pair,
    draw_probabilities,
    draw_shares,
    pair_shares,
)
from plan_recommender.report.page_parts import embedded_picture, environment, number

_THRESHOLDS: Final = {
    "alpha": "A difference counts as more than chance if, of samples in which nothing has changed, fewer than this "
    "share look so different in any of all tests together.",
    "smallest_gap": "The smallest gap that matters: 3 percent more data for everybody make a gap of about 0.05, and 30 "
    "percent more one of about 0.4. A difference that is more than chance and smaller is no drift.",
    "smallest_phi": "The smallest phi that matters, of the shares of a feature's bins or of how two go together.",
    "missing_share": "A feature has drifted, whatever its values, if its share of empty cells changed by this much.",
}


def drift_html(report: DriftReport, reference: ReferenceProfile, current: Values, scorer: Scorer | None) -> str:
    """Write a drift report as one self-contained HTML page, with the distributions of both samples.

    Args:
        report: the verdict.
        reference: the profile that was compared with.
        current: the current sample, shape (rows, features), columns in the order of the profile.
        scorer: of the model whose predictions the report is about; None where it is about none.
    """
    moved = most_moved(report)
    return environment().get_template("drift.html.j2").render(
        report=report,
        said=verdict_words(report),
        features=_feature_pictures(report, reference, current),
        moved=moved,
        moved_words=None if moved is None or moved.finding == "no drift" else closeness(moved),
        moved_pictures=[] if moved is None else _pair_pictures(moved, reference, current),
        predicted=_prediction_pictures(report, reference, current, scorer),
        mixed=_mix_picture(report),
        amount=amount,
        money=_money,
        number=number,
        shown_p=shown_p,
        thresholds=[(name, value, _THRESHOLDS[name]) for name, value in report.thresholds.items()],
    )  # fmt: skip


def most_moved(report: DriftReport) -> PairDrift | None:
    """Give the pair with the largest phi, drifted or not; None where no pair was compared."""
    return max(report.pairs, key=lambda pair: pair.phi, default=None)


def _feature_pictures(report: DriftReport, reference: ReferenceProfile, current: Values) -> list[Markup]:
    pictures = []
    for i, (found, feature) in enumerate(zip(report.features, reference.features, strict=True)):
        now = "no values now" if found.current_mean is None else f"{amount(found.name, found.current_mean)} now"
        before = amount(found.name, found.reference_mean)
        alt = f"Histograms of {found.name} over each other: mean {before} before, {now}"
        pictures.append(embedded_picture(draw_feature(feature, current[:, i]), alt))
    return pictures


def _pair_pictures(pair: PairDrift, reference: ReferenceProfile, current: Values) -> list[Markup]:
    shares = pair_shares(reference, current, pair.features)
    names = " and ".join(pair.features)
    shown = (
        "shares of the reference",
        "shares of the current sample",
        "change of the shares",
        "change that neither feature makes alone",
    )
    return [
        embedded_picture(png, f"Map of {names} in coarse bins: {what}")
        for png, what in zip(draw_pair(shares), shown, strict=True)
    ]


def _prediction_pictures(
    report: DriftReport, reference: ReferenceProfile, current: Values, scorer: Scorer | None
) -> list[Markup]:
    found, before = report.predictions, reference.predictions
    if found is None or before is None or scorer is None:
        return []
    shares = draw_shares(
        "share of the rows", ["recommended\nUltra"], [found.reference_ultra_share], [found.current_ultra_share]
    )  # fmt: skip
    return [
        embedded_picture(
            draw_probabilities(before, scorer.probabilities(current)),
            f"Distribution of the probability of Ultra: mean {found.reference_mean:.1%} before, "
            f"{found.current_mean:.1%} now",
        ),
        embedded_picture(
            shares,
            f"Bars: {found.reference_ultra_share:.1%} recommended Ultra before, {found.current_ultra_share:.1%} now",
        ),
    ]


def _mix_picture(report: DriftReport) -> Markup | None:
    mix = report.mix
    if mix is None:
        return None
    names = [name or "(empty)" for name in mix.strata]
    picture = draw_shares(f"mix of {mix.column}", names, mix.reference_shares, mix.current_shares)
    return embedded_picture(picture, f"Bars: shares of the rows by {mix.column} in both samples")


def _money(ends: tuple[float, float] | float | None, bills: Bills, sign: str = "") -> str:
    """Write an amount, or the two ends where they differ."""
    if ends is None:
        return "-"
    low, high = ends if isinstance(ends, tuple) else (ends, ends)
    texts = [f"{value:{sign},.{bills.decimals}f}" for value in (low, high)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)
