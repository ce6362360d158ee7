"""`make benchmark`: one subscriber at a time, the compiled scorer beside the pipeline it was compiled from.

Both answer the same rows in the same process, in turns, so that a noisy machine disturbs both alike.
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

from plan_recommender import registry
from plan_recommender.pipeline import frame
from plan_recommender.synthesis import generate

ROUNDS = 20
ROWS = 200


def main() -> None:
    """Print the table."""
    model = registry.find()
    scorer = model.scorer()
    pipeline = bentoml.sklearn.load_model(model.tag)
    rows = next(generate(ROWS, seed=1)).features
    matrices = [rows[i : i + 1] for i in range(ROWS)]
    frames = [frame(row) for row in matrices]
    contestants: dict[str, Callable[[int], object]] = {
        "pipeline, one-row DataFrame": lambda i: pipeline.predict_proba(frames[i]),
        "compiled scorer": lambda i: scorer.probabilities(matrices[i]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, answer in contestants.items():
            started = time.perf_counter()
            for i in range(ROWS):
                answer(i)
            seconds[name].append((time.perf_counter() - started) / ROWS)
    slowest = statistics.median(seconds["pipeline, one-row DataFrame"])
    print(_conditions(model.tag))
    print("| one row | median | 5 % to 95 % of the rounds | times as fast |")
    print("| --- | --- | --- | --- |")
    for name, samples in seconds.items():
        low, high = np.quantile(samples, [0.05, 0.95])
        middle = statistics.median(samples)
        print(f"| {name} | {middle * 1e6:,.1f} µs | {low * 1e6:,.1f}-{high * 1e6:,.1f} µs | {slowest / middle:,.0f} |")


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
