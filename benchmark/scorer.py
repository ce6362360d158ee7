"""`make benchmark`: one subscriber at a time, the compiled scorer beside the pipeline it was compiled from.

First the registered model, beside what the service makes of it: a recommendation, and an explanation, which scores
some 900 rows. Then every candidate that could have been registered, fitted on the table of the configuration. All
answer the same rows in the same process, in turns, so that a noisy machine disturbs all alike.
"""

import importlib.metadata
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime

import bentoml
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from plan_recommender import registry
from plan_recommender.compiler import compile_pipeline
from plan_recommender.config import BASELINES, Settings, load_settings
from plan_recommender.pipeline import fit, frame
from plan_recommender.recommender import Recommender
from plan_recommender.scorer import Scorer
from plan_recommender.synthesis import generate
from plan_recommender.table import read_labelled
from plan_recommender.threshold import Threshold
from plan_recommender.usage import FEATURE_NAMES, CustomerUsage, FeatureMatrix

ROUNDS = 20
ROWS = 200


PIPELINE = "pipeline, one-row DataFrame"

Answer = Callable[[int], object]


def main() -> None:
    """Print both tables."""
    model = registry.find()
    rows = next(generate(ROWS, seed=1)).features
    matrices = [rows[i : i + 1] for i in range(ROWS)]
    frames = [frame(row) for row in matrices]
    print(_conditions(model.tag))
    _print_model(model, rows, matrices, frames)
    print()
    _print_candidates(load_settings(), matrices, frames)


def _print_model(
    model: registry.RegisteredModel, rows: FeatureMatrix, matrices: list[FeatureMatrix], frames: list[pd.DataFrame]
) -> None:
    scorer = model.scorer()
    pipeline = bentoml.sklearn.load_model(model.tag)
    recommender = Recommender(model)
    months = [CustomerUsage(**dict(zip(FEATURE_NAMES, row, strict=True))) for row in rows.tolist()]
    seconds = _measure(
        {
            PIPELINE: _fitted(pipeline, frames),
            "compiled scorer": _compiled(scorer, matrices),
            "/predict, without HTTP": lambda i: recommender.recommend(months[i]),
            "/explain, without HTTP": lambda i: recommender.explain(months[i]),
        }
    )
    slowest = statistics.median(seconds[PIPELINE])
    print("| one row | median | 5 % to 95 % of the rounds | times as fast |")
    print("| --- | --- | --- | --- |")
    for name, samples in seconds.items():
        low, high = np.quantile(samples, [0.05, 0.95])
        middle = statistics.median(samples)
        print(f"| {name} | {middle * 1e6:,.1f} µs | {low * 1e6:,.1f}-{high * 1e6:,.1f} µs | {slowest / middle:,.0f} |")


def _print_candidates(settings: Settings, matrices: list[FeatureMatrix], frames: list[pd.DataFrame]) -> None:
    table = read_labelled(settings.data.path)
    contestants: dict[str, Answer] = {}
    names = [name for name in settings.selection.candidates if name not in BASELINES]
    for name in names:
        pipeline = fit(name, settings, table.features, table.target)
        scorer = Scorer(compile_pipeline(pipeline), Threshold(value=0.5))
        contestants[f"{name} fitted"] = _fitted(pipeline, frames)
        contestants[f"{name} compiled"] = _compiled(scorer, matrices)
    seconds = _measure(contestants)
    print("| candidate, one row | pipeline | compiled | 5 % to 95 % of the rounds | times as fast |")
    print("| --- | --- | --- | --- | --- |")
    for name in names:
        slow, fast = (statistics.median(seconds[f"{name} {kind}"]) for kind in ("fitted", "compiled"))
        low, high = np.quantile(seconds[f"{name} compiled"], [0.05, 0.95])
        print(
            f"| {name} | {slow * 1e6:,.1f} µs | {fast * 1e6:,.1f} µs | {low * 1e6:,.1f}-{high * 1e6:,.1f} µs | "
            f"{slow / fast:,.0f} |"
        )


def _fitted(pipeline: Pipeline, frames: list[pd.DataFrame]) -> Answer:
    return lambda i: pipeline.predict_proba(frames[i])


def _compiled(scorer: Scorer, matrices: list[FeatureMatrix]) -> Answer:
    return lambda i: scorer.probabilities(matrices[i])


def _measure(contestants: dict[str, Answer]) -> dict[str, list[float]]:
    """Let them answer in turns; seconds a row, one number a round."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, answer in contestants.items():
            started = time.perf_counter()
            for i in range(ROWS):
                answer(i)
            seconds[name].append((time.perf_counter() - started) / ROWS)
    return seconds


def _conditions(tag: str) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    packages = ("bentoml", "numpy", "onnxruntime", "scikit-learn")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip() or 'unknown'}, {tag}, {platform.machine()} "
        f"{platform.system()}, Python {platform.python_version()}, {versions}; {ROUNDS} rounds of {ROWS} rows\n"
    )


if __name__ == "__main__":
    main()
