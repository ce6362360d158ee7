"""Pictures of a run, and the drift report that a person reads."""

import base64
import html
import io
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from plan_recommender.evaluation import Labels, Metrics, Probabilities
from plan_recommender.reference import DriftReport, FeatureDrift, ReferenceProfile
from plan_recommender.usage import FEATURES, PLANS

matplotlib.use("Agg")

_DPI = 120
_REPRODUCIBLE = {"Software": None}  # matplotlib would write its version
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9730d", "#888888"


def plot_roc_curve(path: Path, target: Labels, probabilities: Probabilities, auc: float) -> None:
    """Draw true against false positive rate, as a PNG."""
    false_positive_rate, true_positive_rate, _ = roc_curve(target, probabilities)
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(false_positive_rate, true_positive_rate, color=_BLUE, label=f"model, AUC {auc:.3f}")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="majority rule, AUC 0.500")
    axes.set(
        title=f"ROC curve on {len(target):,} test rows",
        xlabel="Smart subscribers recommended Ultra (share)",
        ylabel="Ultra subscribers recommended Ultra (share)",
        aspect="equal",
    )
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=_DPI, metadata=_REPRODUCIBLE)


def plot_confusion_matrix(path: Path, metrics: Metrics) -> None:
    """Draw how many subscribers of each plan were recommended which plan, as a PNG."""
    cells = metrics.confusion_matrix
    counts = np.array(
        [[cells.true_negative, cells.false_positive], [cells.false_negative, cells.true_positive]], dtype=np.float64
    )
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts, cmap="Blues")
    for row, column in np.ndindex(2, 2):
        dark = counts[row, column] > counts.max() / 2
        axes.text(
            column, row, f"{counts[row, column]:,.0f}", ha="center", va="center", color="white" if dark else "black"
        )
    axes.set(
        title=f"Confusion matrix on {counts.sum():,.0f} test rows",
        xlabel="recommended plan", ylabel="plan held",
        xticks=[0, 1], yticks=[0, 1], xticklabels=PLANS, yticklabels=PLANS,
    )  # fmt: skip
    figure.savefig(path, dpi=_DPI, metadata=_REPRODUCIBLE)


def drift_html(report: DriftReport, reference: ReferenceProfile, current: npt.NDArray[np.float64]) -> str:
    """Lay out a drift report as one self-contained HTML page with the distributions of both samples."""
    rows = "".join(_drift_row(feature) for feature in report.features)
    drifted = ", ".join(report.drifted_features) or "none"
    picture = base64.b64encode(_plot_distributions(reference, current)).decode()
    limits = ", ".join(f"{name} {value:g}" for name, value in report.thresholds.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Drift report: {report.verdict}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; width: 100% }} th, td {{ padding: .35rem .6rem; text-align: right }}
th {{ border-bottom: 2px solid #222 }} td {{ border-bottom: 1px solid #ddd }}
th:first-child, td:first-child, th:last-child, td:last-child {{ text-align: left }}
.drift td {{ background: #fdeee0 }} img {{ width: 100% }}
</style></head><body>
<h1>Verdict: {report.verdict}</h1>
<p>Drifted features: {html.escape(drifted)}. {report.reference_rows:,} reference rows, {report.current_rows:,} current
rows. Thresholds: {limits}.</p>
<table><thead><tr><th>feature</th><th>PSI</th><th>KS</th><th>KS p</th><th>n ref.</th><th>n cur.</th>
<th>median ref.</th><th>median cur.</th><th>verdict</th></tr></thead><tbody>{rows}</tbody></table>
<h2>Distributions</h2>
<img alt="Histogram of every feature in both samples" src="data:image/png;base64,{picture}">
</body></html>
"""


def number(value: float | None, form: str) -> str:
    """Write a number, or a dash where there is none."""
    return "-" if value is None else format(value, form)


def _drift_row(f: FeatureDrift) -> str:
    cells = (
        html.escape(f.name),
        number(f.psi, ".4f"),
        number(f.ks_statistic, ".4f"),
        number(f.ks_p_value, ".3g"),
        f"{f.reference_n:,}",
        f"{f.current_n:,}",
        f"{f.reference_median:,.2f}",
        number(f.current_median, ",.2f"),
        html.escape("; ".join(f.reasons)) or "no drift",
    )
    return f"<tr class='{'drift' if f.drifted else ''}'>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _plot_distributions(reference: ReferenceProfile, current: npt.NDArray[np.float64]) -> bytes:
    units = {feature.name: feature.unit for feature in FEATURES}
    columns = min(2, len(reference.features))
    rows = -(-len(reference.features) // columns)
    figure = Figure(figsize=(11, 3.4 * rows), layout="constrained")
    for i, feature in enumerate(reference.features):
        axes = figure.add_subplot(rows, columns, i + 1)
        values = current[~np.isnan(current[:, i]), i]
        bins = np.histogram_bin_edges(np.concatenate([feature.values, values]), bins=40).tolist()
        axes.hist(feature.values, bins=bins, density=True, color=_BLUE, alpha=0.55, label="reference")
        if len(values):
            axes.hist(values, bins=bins, density=True, histtype="step", linewidth=1.6, color=_ORANGE, label="current")
        axes.set(title=feature.name, xlabel=units.get(feature.name, ""), yticks=[], ylabel="density")
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png", metadata=_REPRODUCIBLE)
    return buffer.getvalue()
