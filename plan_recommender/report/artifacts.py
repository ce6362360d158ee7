"""The files that a training run leaves for people and programs."""

from collections.abc import Sequence

import numpy as np

from plan_recommender.evaluation.comparison import COMPARED
from plan_recommender.training.selection import CandidateSummary, CrossValidated


def candidates_csv(results: Sequence[CrossValidated], summaries: Sequence[CandidateSummary]) -> str:
    """Write the same table as CSV, with both ends of every interval, and of the middle 95 % of the fit times."""
    ends = ("mean", "low", "high")
    metrics = [f"{name}_{end}" for name in COMPARED for end in ends]
    lines = [["candidate", "champion", *metrics, "fit_seconds_median", "fit_seconds_low", "fit_seconds_high"]]
    for result, summary in zip(results, summaries, strict=True):
        seconds = np.array(result.fit_seconds)
        fits = np.quantile(seconds, [0.5, 0.025, 0.975])
        numbers = [getattr(found, end) for found in summary.metrics.values() for end in ends]
        lines.append([summary.candidate, str(int(summary.champion)), *(repr(float(n)) for n in (*numbers, *fits))])
    return "".join(",".join(line) + "\n" for line in lines)
