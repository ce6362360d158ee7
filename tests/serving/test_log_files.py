"""The parts of the prediction log by themselves: its lines, its files, and what a prediction spends on it."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from plan_recommender.model.features import FEATURE_NAMES, PLANS, CustomerUsage, FeatureMatrix
from plan_recommender.model.scorer import Scorer
from plan_recommender.serving.batches import Decisions
from plan_recommender.serving.limits import MIB
from plan_recommender.serving.prediction_log import PredictionLog
from plan_recommender.serving.schemas import BatchRecommendation, Recommendation, UsageBatch
from tests.serving.corpus import GOOD
from tests.serving.test_prediction_log import lines_of, size_of


def answered(scorer: Scorer, usage: CustomerUsage) -> Recommendation:
    prediction, probability = scorer.recommend(usage.calls, usage.minutes, usage.messages, usage.mb_used)
    plan = PLANS[prediction]
    return {"prediction": prediction, "probability_is_ultra": probability, "recommended_plan": plan, "model": "a:b"}


def as_batch(answers: list[Recommendation]) -> BatchRecommendation:
    predictions = np.array([answer["prediction"] for answer in answers])
    decisions = Decisions(predictions, np.array([answer["probability_is_ultra"] for answer in answers]))
    return {"predictions": cast(Any, decisions), "model": "a:b"}


def test_every_double_reads_back_as_the_same(scorer: Scorer, subscribers: FeatureMatrix, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    extremes = [[0.0, 5e-324, 1e308, 0.1 + 0.2], [1e22, 123456789012345680.0, 2.0**53, 1 / 3]]
    usage = [
        CustomerUsage(calls=a, minutes=b, messages=c, mb_used=d)
        for a, b, c, d in [*extremes, *(subscribers[:500] * rng.random((500, 4))).tolist()]
    ]
    answers = [answered(scorer, month) for month in usage]
    log = PredictionLog(tmp_path, 1.0, 16 * MIB, 1)
    for month, answer in zip(usage, answers, strict=True):
        log.note(month, answer, [])
    log.note(UsageBatch(rows=usage), as_batch(answers), [])
    log._flush()
    found = lines_of(tmp_path)
    assert len(found) == 2 * len(usage)
    for line, month, answer in zip(found, 2 * usage, 2 * answers, strict=True):
        assert CustomerUsage(**{name: getattr(line, name) for name in FEATURE_NAMES}) == month
        assert line.probability_is_ultra.hex() == answer["probability_is_ultra"].hex()


def test_files_that_are_deleted_or_a_folder_that_is_do_not_stop_the_log(scorer: Scorer, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder, 1.0, 16 * MIB, 1)
    usage = CustomerUsage.model_validate(GOOD)
    answer = answered(scorer, usage)
    for _ in range(3):
        log.note(usage, answer, [])
        log._flush()
        (file,) = folder.iterdir()
        file.unlink()
    folder.rmdir()
    log.note(usage, answer, [])
    log._flush()
    assert len(lines_of(folder)) == 1


def test_a_file_ends_at_its_size_and_the_oldest_make_room(tmp_path: Path) -> None:
    """Many workers in one process take turns as unluckily as they can: all look, and then all write."""
    bound, count = 1 * MIB, 8
    logs = [PredictionLog(tmp_path, 1.0, bound, count) for _ in range(count)]
    block = bytearray(b"x" * logs[0]._files.block_bytes)
    largest = 0
    for _ in range(20):
        for log in logs:
            log._files._make_room()
        for log in logs:
            log._files.append(block)
        largest = max(largest, size_of(tmp_path))
    assert bound / 2 < largest <= bound
    assert max(file.stat().st_size for file in tmp_path.iterdir()) <= bound // 8
    before = size_of(tmp_path)
    for log in logs:  # the control: without looking, the bound would be exceeded
        log._files._make_room = lambda: None  # type: ignore[method-assign]
        for _ in range(4):
            log._files.append(block)
    assert size_of(tmp_path) == before + 4 * count * len(block) > bound


def test_a_note_never_raises(scorer: Scorer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = PredictionLog(tmp_path, 1.0, 16 * MIB, 1)
    assert log.note(CustomerUsage.model_validate(GOOD), {}, []) == ""
    assert log.note(CustomerUsage.model_validate(GOOD), {}, []) == ""
    assert caplog.text.count("failed (KeyError: ") == 1


def test_notes_take_no_time(scorer: Scorer, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    log = PredictionLog(tmp_path, 1.0, 16 * MIB, 1)
    usage = CustomerUsage.model_validate(GOOD)
    answer = answered(scorer, usage)
    headers = [(b"host", b"127.0.0.1:3000"), (b"content-type", b"application/json"), (b"x-reference", b"s-7")]
    batch = UsageBatch(rows=[usage] * 10_000)
    many = as_batch([answer] * 10_000)

    def best_of(times: int, act: Callable[[], object], each: int) -> float:
        found = []
        for _ in range(times):
            log._take_all()
            start = time.perf_counter()
            for _ in range(each):
                act()
            found.append((time.perf_counter() - start) / each)
        return min(found)

    one = best_of(10, lambda: log.note(usage, answer, headers), 5000)
    rows = best_of(5, lambda: log.note(batch, many, headers), 1)
    assert not os.listdir(tmp_path)
    log._take_all()
    for _ in range(5000):
        log.note(usage, answer, headers)
    start = time.perf_counter()
    log._flush()
    line = (time.perf_counter() - start) / 5000
    record_property("a note of a prediction", f"{one * 1e6:.2f} µs")
    record_property("a note of a batch of 10,000 rows", f"{rows * 1e3:.1f} ms")
    record_property("a line in the thread of the log", f"{line * 1e6:.1f} µs")
    assert one < 20e-6
    assert len(lines_of(tmp_path)) == 5000
