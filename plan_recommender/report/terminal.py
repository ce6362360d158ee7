"""Every table that a command prints."""

from collections.abc import Sequence

import numpy as np

from plan_recommender.evaluation.comparison import COMPARED
from plan_recommender.evaluation.metrics import Metrics
from plan_recommender.training.selection import CandidateSummary, CrossValidated


def candidates_table(results: Sequence[CrossValidated], summaries: Sequence[CandidateSummary]) -> str:
    """Lay the candidates out for a terminal: mean ± half the interval, median fit time; * is the champion."""
    lines = [f"{'candidate':<21}" + "".join(f" {name:>15}" for name in COMPARED) + f" {'fit':>8}"]
    for result, summary in zip(results, summaries, strict=True):
        cells = [f"{m.mean:.4f} ±{m.high - m.mean:.4f}" for m in summary.metrics.values()]
        name = f"{'*' if summary.champion else ' '} {summary.candidate}"
        seconds = float(np.median(result.fit_seconds))
        lines.append(f"{name:<21}" + "".join(f" {cell:>15}" for cell in cells) + f" {seconds * 1000:>5.0f} ms")
    return "\n".join(lines)


def comparison(model: Metrics, majority: Metrics) -> str:
    """Lay the two out side by side, for a terminal."""
    lines = [f"{'':<10} {'model':>8} {'majority rule':>14}"]
    lines += [
        f"{name:<10} {getattr(model, name):>8.4f} {getattr(majority, name):>14.4f}"
        for name in Metrics.model_fields
        if name != "confusion_matrix"
    ]
    return "\n".join(lines)
