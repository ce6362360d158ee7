"""The table that drift.py prints, as text of several lines."""

from plan_recommender.drift.report import DriftReport, FeatureDrift, PairDrift, shown_p
from plan_recommender.drift.words import amount, verdict_words
from plan_recommender.report.page_parts import number


def drift_table(report: DriftReport) -> str:
    """Show what was found about features, pairs and predictions, what it means in words, and the verdict."""
    lines = [
        f"{'part':<22} {'change':>13} {'gap':>6} {'phi':>6} {'p':>8} {'PSI':>7} {'KS':>7} {'n ref.':>7} {'n cur.':>7}  "
        "finding"
    ]
    lines += [
        f"{f.name:<22} {_change(f):>13} {number(f.gap, '.3f'):>6} {number(f.phi, '.3f'):>6} {shown_p(f.p_value):>8} "
        f"{number(f.psi, '.4f'):>7} {number(f.ks_statistic, '.4f'):>7} {f.reference_n:>7} {f.current_n:>7}  {f.finding}"
        for f in report.features
    ]
    lines += [
        f"{' and '.join(pair.features):<22} {_change_of_pair(pair):>13} {'':>6} "
        f"{pair.phi:>6.3f} {shown_p(pair.p_value):>8} {'':>31}  {pair.finding}"
        for pair in report.pairs
    ]
    if (p := report.predictions) is not None:
        points = 100 * (p.current_ultra_share - p.reference_ultra_share)
        lines.append(
            f"{'predictions':<22} {f'{points:+.1f} points':>13} {p.gap:>6.3f} {'':>6} {shown_p(p.p_value):>8} "
            f"{'':>31}  {p.finding}"
        )
    return "\n".join([*lines, *verdict_words(report), f"verdict: {report.verdict}"])


def _change(feature: FeatureDrift) -> str:
    """Write the change of the mean with its sign and unit."""
    if feature.current_mean is None:
        return "-"
    change = feature.current_mean - feature.reference_mean
    return f"{'-' if change < 0 else '+'}{amount(feature.name, change)}"


def _change_of_pair(pair: PairDrift) -> str:
    return f"{round(pair.current_association - pair.reference_association, 2) + 0.0:+.2f}"
