"""A shadow scores every row that is answered, changes no answer, and is in nobody's way, whatever becomes of it."""

import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from pydantic_core import to_json

from loadtest.trials.service import ready_workers, several, wait_until
from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.errors import PlanRecommenderError
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES, PLANS, CustomerUsage, FeatureMatrix
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.serving import shadow as shadow_module
from plan_recommender.serving.batches import write_batch
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import UsageBatch
from plan_recommender.serving.settings import Environment, variable
from plan_recommender.serving.shadow import DIFFERENCE_BUCKETS, SKIP_REASONS, Shadow, shadow_series
from tests.conftest import using
from tests.serving.second_model import MOVED, add_second_model
from tools.server import ServerDidNotStartError, serving

ROWS = "plan_recommender_shadow_rows_total"
BUCKET = "plan_recommender_shadow_difference_bucket"
SKIPPED = "plan_recommender_shadow_skipped_total"

Pairs = Counter[tuple[str, str]]
"""Rows by the decisions of champion and shadow."""

Counted = tuple[Pairs, list[int], dict[str, float]]
"""These, rows in buckets of the difference, and skipped rows by reason."""


class TwoModels(NamedTuple):
    """A store of both, and both opened."""

    home: Path
    champion: RegisteredModel
    shadow: RegisteredModel


@pytest.fixture(scope="module")
def models(copy_store: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> TwoModels:
    home = tmp_path_factory.mktemp("home")
    tag = add_second_model(copy_store(home))
    with using(home):
        return TwoModels(home, store.find(), store.find(tag))


@pytest.fixture
def shadow(models: TwoModels) -> Shadow:
    return Shadow(models.shadow)


@pytest.fixture
def shadowed(models: TwoModels, shadow: Shadow) -> Recommender:
    return Recommender(models.champion, load_tariffs(shipped_tariffs()), shadow=shadow)


def usages(features: FeatureMatrix) -> list[CustomerUsage]:
    return [CustomerUsage(**dict(zip(FEATURE_NAMES, row, strict=True))) for row in features.tolist()]


def expected(models: TwoModels, features: FeatureMatrix) -> tuple[Pairs, list[int]]:
    """Rows by both decisions, and in buckets of the difference, from the two scorers alone."""
    scorers: list[Scorer] = [models.champion.scorer(), models.shadow.scorer()]
    champion, other = (scorer.probabilities(features) for scorer in scorers)
    decisions = [each.decide(features, own).tolist() for each, own in zip(scorers, (champion, other), strict=True)]
    pairs: Pairs = Counter((PLANS[first], PLANS[second]) for first, second in zip(*decisions, strict=True))
    edges = [-np.inf, *DIFFERENCE_BUCKETS, np.inf]
    difference = other - champion
    return pairs, [int(((low < difference) & (difference <= high)).sum()) for low, high in pairwise(edges)]


def counted(tag: str) -> Counted:
    """The same from the series of this process, and the skipped rows by reason."""
    series = shadow_series()
    pairs = {
        (champion, other): int(series._rows.labels(champion, other, tag)._value.get())
        for champion in PLANS
        for other in PLANS
    }
    buckets = [int(bucket.get()) for bucket in series._difference.labels(tag)._buckets]
    skipped = {reason: series._skipped.labels(reason)._value.get() for reason in SKIP_REASONS}
    return Counter(pairs), buckets, skipped


@pytest.fixture
def before(models: TwoModels) -> Counted:
    return counted(models.shadow.tag)


def grown(models: TwoModels, before: Counted) -> Counted:
    pairs, buckets, skipped = counted(models.shadow.tag)
    return (
        pairs - before[0],
        [now - then for now, then in zip(buckets, before[1], strict=True)],
        {reason: skipped[reason] - before[2][reason] for reason in SKIP_REASONS},
    )


def test_answers_are_those_of_the_champion_alone_to_the_last_bit(
    models: TwoModels, shadowed: Recommender, subscribers: FeatureMatrix
) -> None:
    alone = Recommender(models.champion, shadowed.tariffs)
    asked = usages(subscribers[:300])
    batch = UsageBatch(rows=asked)
    for usage in asked:
        assert to_json(shadowed.recommend(usage)) == to_json(alone.recommend(usage))
        assert to_json(shadowed.explain(usage)) == to_json(alone.explain(usage))
    assert write_batch(shadowed.recommend_batch(batch)) == write_batch(alone.recommend_batch(batch))
    other = Recommender(models.shadow, shadowed.tariffs)  # the control: the second model's answers are others
    assert write_batch(other.recommend_batch(batch)) != write_batch(alone.recommend_batch(batch))


def test_every_row_of_every_way_is_counted_once(
    models: TwoModels, shadowed: Recommender, shadow: Shadow, subscribers: FeatureMatrix,
    before: Counted,
) -> None:  # fmt: skip
    features = subscribers[:2_000]
    asked = usages(features)
    for usage in asked[:200]:
        shadowed.recommend(usage)
    for usage in asked[200:300]:
        shadowed.explain(usage)
    shadowed.recommend_batch(UsageBatch(rows=asked[300:301]))
    shadowed.recommend_batch(UsageBatch(rows=asked[301:]))
    assert shadowed.health().status == "ok"  # asks by every way, and is not counted
    shadow.score()
    pairs, buckets = expected(models, features)
    assert grown(models, before) == (pairs, buckets, {"queue": 0, "fault": 0})
    assert pairs["Smart", "Ultra"] > 0 == pairs["Ultra", "Smart"], f"log-odds {MOVED} higher"
    shadow.score()  # the control: nothing is counted twice
    assert grown(models, before)[0] == pairs


def test_a_shadow_that_is_the_champion_agrees_on_everything(models: TwoModels, subscribers: FeatureMatrix) -> None:
    same = Shadow(models.champion)
    recommender = Recommender(models.champion, load_tariffs(shipped_tariffs()), shadow=same)
    start = counted(same.tag)
    recommender.recommend_batch(UsageBatch(rows=usages(subscribers[:500])))
    same.score()
    pairs, buckets, _ = counted(same.tag)
    assert sum((pairs - start[0]).values()) == 500
    assert pairs["Smart", "Ultra"] == pairs["Ultra", "Smart"] == 0
    middle = len(DIFFERENCE_BUCKETS) // 2
    assert buckets[middle] - start[1][middle] == 500
    assert [-edge for edge in reversed(DIFFERENCE_BUCKETS)] == list(DIFFERENCE_BUCKETS)


def test_a_shadow_that_fails_later_is_counted_and_logged_once_and_answers_stay(
    models: TwoModels, shadowed: Recommender, shadow: Shadow, subscribers: FeatureMatrix,
    before: Counted, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    asked = usages(subscribers[:50])
    alone = Recommender(models.champion, shadowed.tariffs)
    tables, shadow._scorer._flat = shadow._scorer._flat, {(0, 1): np.array(["damaged"])}
    with caplog.at_level(logging.ERROR, "bentoml.plan_recommender"):
        for _ in range(3):
            for usage in asked:
                assert shadowed.recommend(usage) == alone.recommend(usage)
            shadow.score()
    assert grown(models, before) == (Counter(), [0] * (len(DIFFERENCE_BUCKETS) + 1), {"queue": 0, "fault": 150})
    (record,) = caplog.records
    assert record.getMessage().startswith(f"the shadow {shadow.tag} failed on rows, which are skipped: ")
    assert not any(str(value) in record.getMessage() for row in subscribers[:50].tolist() for value in row)
    shadow._scorer._flat = tables  # the control: it was the damage
    shadowed.recommend(asked[0])
    shadow.score()
    assert sum(grown(models, before)[0].values()) == 1


def test_rows_beyond_what_may_wait_are_skipped_and_counted(
    models: TwoModels, shadowed: Recommender, shadow: Shadow, subscribers: FeatureMatrix,
    before: Counted, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(shadow_module, "MAX_SINGLE_ROWS", 10)
    monkeypatch.setattr(shadow_module, "MAX_BATCH_ROWS", 100)
    asked = usages(subscribers[:70])
    for usage in asked[:14]:
        shadowed.recommend(usage)
    for _ in range(2):
        shadowed.recommend_batch(UsageBatch(rows=asked))
    shadow.score()
    pairs, _, skipped = grown(models, before)
    assert (sum(pairs.values()), skipped) == (10 + 70, {"queue": 4 + 70, "fault": 0})
    shadowed.recommend(asked[0])  # the control: as soon as it has scored, there is room again
    shadow.score()
    assert sum(grown(models, before)[0].values()) == 81


def test_scoring_takes_at_most_its_share_of_the_time(shadow: Shadow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scoring takes 60 ms of the processor, so that the pauses after it are 60 ms / 3 % and not a second."""
    spent, pauses = [0.0], []

    def score() -> None:
        spent[0] += 0.06

    class Ending(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            return len(pauses) > 3

    monkeypatch.setattr(shadow, "score", score)
    monkeypatch.setattr(shadow, "_ending", Ending())
    monkeypatch.setattr(shadow_module, "thread_time", lambda: spent[0])
    shadow._run()
    assert pauses == pytest.approx([1.0, 2.0, 2.0, 2.0])


def test_a_row_costs_less_than_its_decision(
    shadow: Shadow, shadowed: Recommender, subscribers: FeatureMatrix, record_property: Callable[..., None]
) -> None:
    """By this process' processor time; `python -m benchmark.shadow` asks a service, and needs a quiet machine."""
    asked = usages(subscribers[: shadow_module.MAX_SINGLE_ROWS])

    def seconds(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return (time.process_time() - start) / len(asked)

    def answer() -> None:
        for usage in asked:
            shadowed.recommend(usage)

    best = dict.fromkeys(("without", "with", "scoring"), 1.0)
    for _ in range(10):
        shadowed.shadow = None
        best["without"] = min(best["without"], seconds(answer))
        shadowed.shadow = shadow
        best["with"] = min(best["with"], seconds(answer))
        best["scoring"] = min(best["scoring"], seconds(shadow.score))
    beside, later = best["with"] - best["without"], best["scoring"]
    record_property("a shadow", f"{1e6 * beside:.2f} µs of a prediction, and {1e6 * later:.2f} µs in its thread")
    assert beside + later < best["without"]  # which is a small part of what a request takes


def test_without_the_variable_there_is_no_shadow(models: TwoModels) -> None:
    assert Shadow.of(Environment.read({})) is None
    assert Shadow.of(Environment.read({variable("shadow"): ""})) is None
    with using(models.home):
        named = Shadow.of(Environment.read({variable("shadow"): models.shadow.tag}))
    assert named is not None
    assert named.tag == models.shadow.tag


@pytest.mark.parametrize(
    ("tag", "sentence"),
    [
        ("plan_recommender:nosuchmodel", "expected the model plan_recommender:nosuchmodel in the BentoML model store"),
        ("another:model", "Value error, expected a model tag plan_recommender:<version>, plan_recommender:latest or"),
    ],
)
def test_a_shadow_that_is_not_there_is_refused_in_one_sentence(models: TwoModels, tag: str, sentence: str) -> None:
    with using(models.home), pytest.raises(PlanRecommenderError) as refused:
        Shadow.of(Environment.read({variable("shadow"): tag}))
    assert str(refused.value).startswith(f"environment variable PLAN_RECOMMENDER_SHADOW: {sentence}")
    assert len(str(refused.value).splitlines()) == 1


@pytest.fixture
def damaged(models: TwoModels, tmp_path: Path) -> Path:
    """A home whose second model has one bit flipped."""
    shutil.copytree(models.home / "models", tmp_path / "models")
    document = tmp_path / "models" / models.shadow.tag.replace(":", "/") / DOCUMENT_FILE
    content = bytearray(document.read_bytes())
    content[len(content) // 2] ^= 1
    document.write_bytes(content)
    return tmp_path


@pytest.mark.slow
def test_a_damaged_shadow_stops_the_start_and_no_shadow_does_not(models: TwoModels, damaged: Path) -> None:
    home = {"BENTOML_HOME": str(damaged)}
    with (
        pytest.raises(ServerDidNotStartError) as failure,
        serving(env=home | {variable("shadow"): models.shadow.tag}),
    ):
        pass
    log = str(failure.value).partition("\n")[2]
    assert "environment variable PLAN_RECOMMENDER_SHADOW: " in log
    assert "expected the registered model document, found an altered one" in log
    assert "Traceback" not in log
    with serving(env=home) as server:  # the control
        assert httpx.get(f"{server.url}/metrics").text.count("plan_recommender_shadow_rows_total") == 0


@pytest.fixture
def service(models: TwoModels) -> Iterator[httpx.Client]:
    """Two workers with a shadow; each request on a connection of its own, so that both get some."""
    env = several(2) | {"BENTOML_HOME": str(models.home), variable("shadow"): models.shadow.tag}
    limits = httpx.Limits(max_keepalive_connections=0)
    with serving(env=env) as server, httpx.Client(base_url=server.url, timeout=30, limits=limits) as http:
        wait_until(lambda: len(ready_workers(server)) == 2, 30)
        yield http


@pytest.mark.slow
def test_a_service_counts_what_all_workers_answered_and_answers_as_one_without(
    service: httpx.Client, models: TwoModels, subscribers: FeatureMatrix
) -> None:
    features = subscribers[:1_500]
    rows = [dict(zip(FEATURE_NAMES, row, strict=True)) for row in features.tolist()]
    begun = shadow_lines(service)
    assert {value for name, value in begun.items() if name.startswith((ROWS, SKIPPED))} == {0}
    asked: list[tuple[str, object]] = [("/predict", row) for row in rows[:400]]
    asked += [("/explain", row) for row in rows[400:500]]
    asked += [("/predict_batch", {"rows": rows[i : i + 100]}) for i in range(500, 1_500, 100)]

    def ask(request: tuple[str, object]) -> bytes:
        answer = service.post(request[0], json=request[1])
        assert answer.status_code == 200
        return answer.content

    with ThreadPoolExecutor(8) as threads:
        answered = list(threads.map(ask, asked))
    for _ in range(5):  # none of these is a row that was answered
        assert service.get("/health").status_code == 200
        assert service.post("/predict", json={"calls": -1}).status_code == 400
    wait_until(lambda: sum(rows_of(shadow_lines(service)).values()) >= len(rows), 30)
    found = shadow_lines(service)
    pairs, buckets = expected(models, features)
    assert rows_of(found) == {pair: pairs[pair] for pair in rows_of(found)}
    cumulated = [value for name, value in found.items() if name.startswith(BUCKET)]
    assert sorted(cumulated) == np.cumsum(buckets).tolist()
    assert {name: value for name, value in found.items() if name.startswith(SKIPPED)} == {
        f'{SKIPPED}{{reason="{reason}"}}': 0 for reason in SKIP_REASONS
    }
    with (
        serving(env={"BENTOML_HOME": str(models.home)}) as alone,
        httpx.Client(base_url=alone.url, timeout=30) as http,
    ):
        assert [http.post(path, json=body).content for path, body in asked] == answered
        assert shadow_lines(http) == {}


def shadow_lines(http: httpx.Client) -> dict[str, float]:
    lines = [line for line in http.get("/metrics").text.splitlines() if line.startswith("plan_recommender_shadow")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def rows_of(found: dict[str, float]) -> dict[tuple[str, str], float]:
    """Rows by both decisions."""
    rows = {}
    for name, value in found.items():
        if name.startswith(ROWS):
            labels = dict(label.split("=") for label in name.partition("{")[2].rstrip("}").split(","))
            rows[labels["champion"].strip('"'), labels["shadow"].strip('"')] = value
    return rows
