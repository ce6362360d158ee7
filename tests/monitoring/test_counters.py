"""What a worker counts for the drift watch: every row once, whichever threads count; no row is kept."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.model.features import FEATURE_NAMES, CustomerUsage, FeatureMatrix
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.monitoring.counters import BLOCK_ROWS, DriftCounters
from plan_recommender.monitoring.layout import ROWS, Counts
from plan_recommender.monitoring.model_bins import ModelBins
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import UsageBatch


@pytest.fixture(scope="module")
def bins(model: RegisteredModel) -> ModelBins:
    return ModelBins(model.profile(), [feature.cuts for feature in model.document().features])


def by_hand(bins: ModelBins, scorer: Scorer, features: FeatureMatrix) -> Counts:
    return bins.layout.count(bins.layout.codes(features), scorer.probabilities(features))


def usages(features: FeatureMatrix) -> list[CustomerUsage]:
    return [CustomerUsage(**dict(zip(FEATURE_NAMES, row, strict=True))) for row in features.tolist()]


def test_single_rows_batches_and_explanations_are_counted_and_checks_of_the_model_are_not(
    model: RegisteredModel, bins: ModelBins, scorer: Scorer, subscribers: FeatureMatrix
) -> None:
    recommender = Recommender(model, load_tariffs(shipped_tariffs()))
    counters = DriftCounters(bins)
    recommender.count(counters.row, counters.block)
    assert recommender.health().status == "ok"
    assert counters.counts()[ROWS] == 0
    rows = usages(subscribers[:3_000])
    for usage in rows[:1_500]:
        recommender.recommend(usage)
    for usage in rows[1_500:1_600]:
        recommender.explain(usage)
    recommender.recommend_batch(UsageBatch(rows=rows[1_600:]))
    assert recommender.health().status == "ok"
    np.testing.assert_array_equal(counters.counts(), by_hand(bins, scorer, subscribers[:3_000]))


def test_no_row_is_lost_or_counted_twice_by_threads_that_count_side_by_side(
    bins: ModelBins, scorer: Scorer, subscribers: FeatureMatrix
) -> None:
    counters = DriftCounters(bins)
    looked_up = [scorer.bins(*row) for row in subscribers.tolist()]
    answers = scorer.probabilities(subscribers).tolist()
    parts = [slice(start, start + 2_500) for start in range(0, 20_000, 2_500)]

    def count(part: slice) -> None:
        for place, probability in zip(looked_up[part], answers[part], strict=True):
            counters.row(place, probability)
        scorer.probabilities(subscribers[part], counters.block)

    with ThreadPoolExecutor(5) as threads:
        counting = [threads.submit(count, part) for part in parts]
        while not all(each.done() for each in counting):
            counters.counts()
    np.testing.assert_array_equal(counters.counts(), 2 * by_hand(bins, scorer, subscribers))


def test_memory_does_not_grow_with_the_rows(bins: ModelBins, scorer: Scorer, subscribers: FeatureMatrix) -> None:
    counters = DriftCounters(bins)
    looked_up = [scorer.bins(*row) for row in subscribers.tolist()]
    held = 0
    for place in looked_up:
        counters.row(place, 0.5)
        held = max(held, len(counters._rows))
    assert held == BLOCK_ROWS - 1
    assert counters.counts().nbytes == 8 * bins.layout.cells < 4096
    assert counters._rows == []


@pytest.mark.parametrize("broken", [True, False])
def test_what_cannot_be_counted_is_in_no_ones_way(
    bins: ModelBins, scorer: Scorer, subscribers: FeatureMatrix, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    def fail(*_: Any) -> Counts:
        raise MemoryError("no room")

    counters = DriftCounters(bins)
    if broken:
        monkeypatch.setattr(bins, "count", fail)
    rows = subscribers[:BLOCK_ROWS]
    for row, probability in zip(rows.tolist(), scorer.probabilities(rows, counters.block).tolist(), strict=True):
        counters.row(scorer.bins(*row), probability)
    assert counters.counts()[ROWS] == (0 if broken else 2 * BLOCK_ROWS)
    assert isinstance(counters.error, MemoryError) == broken
