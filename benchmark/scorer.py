"""`make benchmark`: time the registered model without HTTP, beside the scikit-learn pipeline that it was compiled from.

All contestants answer the same rows in the same process, in turns, so that a busy machine slows all of them equally.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.scorer")

import importlib.metadata
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime

import bentoml
import numpy as np
from pydantic_core import to_json

from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.data.synthesis import generate
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES, PLANS, CustomerUsage, FeatureMatrix
from plan_recommender.model.reasons import Reasons
from plan_recommender.model.scorer import Scorer
from plan_recommender.monitoring.counters import DriftCounters
from plan_recommender.monitoring.model_bins import ModelBins
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import AdviceRequest
from plan_recommender.training.candidates import frame

ROUNDS = 20
ROWS = 200
BATCH_ROWS = 1_000_000
COUNTED_ROWS = 100_000
MONTHS = 12

PIPELINE = "pipeline, one-row DataFrame"

Answer = Callable[[], object]
"""Answers for each of the `ROWS` subscribers, one after the other."""


def main() -> None:
    """Print the time that one row takes, and the number of rows a second in a batch."""
    model = store.find()
    rows = np.concatenate([chunk.features for chunk in generate(BATCH_ROWS, seed=1)])
    print(_conditions(model.tag))
    _print_one_row(_measure(_contestants(model, rows[:ROWS])))
    scorer, bins = model.scorer(), ModelBins(model.profile(), [feature.cuts for feature in model.document().features])
    rates = _rates(scorer, rows)
    low, high = np.quantile(rates, [0.05, 0.95])
    print(
        f"\ncompiled scorer, {BATCH_ROWS:,} rows at once: {statistics.median(rates) / 1e6:.1f} million rows/s, "
        f"{low / 1e6:.1f}-{high / 1e6:.1f} in 5 % to 95 % of the rounds"
    )
    for name, seconds in _counting(scorer, bins, rows[:COUNTED_ROWS]).items():
        low, high = np.quantile(seconds, [0.05, 0.95])
        print(
            f"counting for drift, {name}: {statistics.median(seconds) * 1e6:.3f} µs a row, "
            f"{low * 1e6:.3f}-{high * 1e6:.3f} µs in 5 % to 95 % of the rounds"
        )


def _contestants(model: store.RegisteredModel, rows: FeatureMatrix) -> dict[str, Answer]:
    document, pipeline = model.document(), bentoml.sklearn.load_model(model.tag)
    recommender = Recommender(model, load_tariffs(shipped_tariffs()))
    scorer = Scorer(document)
    reasons = Reasons(document, scorer)
    frames = [frame(rows[i : i + 1]) for i in range(len(rows))]
    values = [tuple(row) for row in rows.tolist()]
    months = [CustomerUsage(**dict(zip(FEATURE_NAMES, row, strict=True))) for row in values]
    bodies = [month.model_dump_json().encode() for month in months]

    def predict(body: bytes) -> bytes:
        return to_json(recommender.recommend(CustomerUsage.model_validate_json(body)))

    def explain(body: bytes) -> bytes:
        return to_json(recommender.explain(CustomerUsage.model_validate_json(body)))

    def advise(body: bytes) -> bytes:
        return to_json(recommender.advise(AdviceRequest.model_validate_json(body)))

    histories = _histories(rows)
    return {
        PIPELINE: lambda: [pipeline.predict_proba(one) for one in frames],
        "compiled scorer": lambda: [scorer.recommend(*row) for row in values],
        "recommendation, JSON written": lambda: [to_json(recommender.recommend(month)) for month in months],
        "/predict without HTTP, from bytes to bytes": lambda: [predict(body) for body in bodies],
        "reasons": lambda: [reasons.explain(row) for row in values],
        "/explain without HTTP, from bytes to bytes": lambda: [explain(body) for body in bodies],
        f"/advise with {MONTHS} months without HTTP, likewise": lambda: [advise(body) for body in histories],
    }


def _histories(rows: FeatureMatrix) -> list[bytes]:
    """Make a request for advice of each row: months that are up to a fifth more or less than it."""
    rng = np.random.default_rng(1)
    bodies = []
    for i, row in enumerate(rows):
        usage = np.round(row * rng.uniform(0.8, 1.2, (MONTHS, 1)), 2).tolist()
        months = [
            {"month": f"2026-{m:02d}", **dict(zip(FEATURE_NAMES, month, strict=True))}
            for m, month in enumerate(usage, 1)
        ]
        bodies.append(to_json({"plan": PLANS[i % len(PLANS)], "months": months}))
    return bodies


def _measure(contestants: dict[str, Answer]) -> dict[str, list[float]]:
    """Time the contestants in turns; returns seconds per row, one number for each round."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, answer in contestants.items():
            answer()  # fills the caches, as they are in a service under load
            started = time.perf_counter()
            answer()
            seconds[name].append((time.perf_counter() - started) / ROWS)
    return seconds


def _print_one_row(seconds: dict[str, list[float]]) -> None:
    slowest = statistics.median(seconds[PIPELINE])
    print("| one row | median | 5 % to 95 % of the rounds | times as fast |")
    print("| --- | --- | --- | --- |")
    for name, samples in seconds.items():
        low, high = np.quantile(samples, [0.05, 0.95])
        middle = statistics.median(samples)
        print(f"| {name} | {middle * 1e6:,.1f} µs | {low * 1e6:,.1f}-{high * 1e6:,.1f} µs | {slowest / middle:,.0f} |")


def _rates(scorer: Scorer, rows: FeatureMatrix) -> list[float]:
    """Time a batch; returns rows a second, one number for each round."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        scorer.probabilities(rows)
        found.append(len(rows) / (time.perf_counter() - started))
    return found


def _counting(scorer: Scorer, bins: ModelBins, rows: FeatureMatrix) -> dict[str, list[float]]:
    """Time what the drift watch adds; returns seconds a row, one number for each round.

    Single rows are noted one by one, and counted whenever a block is full. For a batch, the time of scoring alone is
    taken off that of scoring and counting.
    """
    looked_up = [scorer.bins(*row) for row in rows.tolist()]
    answers = scorer.probabilities(rows).tolist()
    seconds: dict[str, list[float]] = {"row by row": [], "in a batch": []}
    for _ in range(ROUNDS):
        counters = DriftCounters(bins)
        started = time.perf_counter()
        for place, probability in zip(looked_up, answers, strict=True):
            counters.row(place, probability)
        counters.counts()
        seconds["row by row"].append((time.perf_counter() - started) / len(rows))
        started = time.perf_counter()
        scorer.probabilities(rows)
        scored = time.perf_counter()
        scorer.probabilities(rows, counters.block)
        seconds["in a batch"].append((time.perf_counter() - scored - (scored - started)) / len(rows))
    return seconds


def _conditions(tag: str) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    packages = ("bentoml", "numpy", "pydantic", "scikit-learn")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip() or 'unknown'}, {tag}, {platform.machine()} "
        f"{platform.system()}, Python {platform.python_version()}, {versions}; {ROUNDS} rounds of {ROWS} rows\n"
    )
