"""A second model beside the one that answers: it scores the same rows, and /metrics says how far the two agree.

Nothing here is in the way of a prediction. A row that was answered is put into a list, and once a second a thread of
each worker scores what has come. Rows that cannot be scored in time are counted as skipped, and nobody waits for
them. No row is kept.
"""

import logging
import threading
from collections import Counter
from functools import cache
from itertools import product
from struct import Struct
from time import thread_time
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from plan_recommender.errors import ModelError
from plan_recommender.model import store
from plan_recommender.model.features import PLANS, FeatureMatrix
from plan_recommender.model.store import RegisteredModel
from plan_recommender.model.tables import Values
from plan_recommender.serving.patches.prometheus import observe_many
from plan_recommender.serving.settings import Environment, variable

SCORE_SECONDS: Final = 1.0
"""How often a worker scores what has come, and so how much later than an answer its series are.

NumPy gives the interpreter away in nearly every step, and each time the event loop has to give it back. Ten times a
second that costs more than the steps themselves.
"""

MAX_SINGLE_ROWS: Final = 1_000
"""Single rows that may wait, and so the most that are scored in a second; they take 48 kB.

They are enough to know how far two models agree. A worker at its full speed answers twenty times as many, and to score
all of those took a tenth of its time.
"""

MAX_BATCH_ROWS: Final = 10_000
"""Rows of batches that may wait: as many as the largest request has. They take about 0.5 MB.

A worker at its full speed answers forty times as many in a second, and to score all of them would take a tenth of its
time.
"""

MAX_SHARE: Final = 0.03
"""Largest share of a worker's time that scoring takes, also on a slow machine: after much work the pause is longer."""

DIFFERENCE_BUCKETS: Final = (-0.5, -0.2, -0.1, -0.05, -0.02, -0.01, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Upper ends, of the shadow's probability of Ultra less the champion's; the middle bucket holds what is the same."""

SKIP_REASONS: Final = ("queue", "fault")
"""Why rows are not scored: too many waited already, or the shadow failed on them."""

_END_SECONDS: Final = 2.0
"""How long a worker that ends waits until the last rows are scored."""

_ROW: Final = Struct("=6d")
"""A single row: four features, the champion's decision, its probability.

As bytes it takes a fifth of the memory of a tuple, and is an array already.
"""

Decisions = npt.NDArray[np.int64]
"""1 for Ultra and 0 for Smart, shape (rows,)."""

logger = logging.getLogger("bentoml.plan_recommender")


class Shadow:
    """The shadow of one worker. Any thread may tell it of rows."""

    def __init__(self, model: RegisteredModel) -> None:
        """Load the model.

        Raises:
            ModelError: it is damaged.
        """
        self.tag = model.tag
        self._scorer = model.scorer()
        self._single = bytearray()
        self._skipped_single = 0  # since the start; `score` reports what has come since it looked last
        self._counted_single = 0
        self._batches: list[tuple[FeatureMatrix, Decisions, Values]] = []
        self._batch_rows = 0
        self._skipped = 0
        self._lock = threading.Lock()
        self._complained = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    @classmethod
    def of(cls, environment: Environment) -> Self | None:
        """Load the model that the environment names; None if it names none.

        Raises:
            ModelError: the store does not hold it, or it is damaged.
        """
        if environment.shadow is None:
            return None
        try:
            return cls(store.find(environment.shadow))
        except ModelError as error:
            raise ModelError(f"environment variable {variable('shadow')}: {error}") from error

    def start(self) -> None:
        """Start the series at 0, and the thread."""
        shadow_series().begin(self.tag)
        logger.info("the shadow %s scores what is answered; /metrics says how far it agrees", self.tag)
        self._thread.start()

    def end(self) -> None:
        """Score the last rows, and end the thread."""
        self._ending.set()
        self._thread.join(_END_SECONDS)

    def row(
        self, calls: float, minutes: float, messages: float, mb_used: float, prediction: int, probability: float
    ) -> None:
        """Take notice of one row, and of how it was answered.

        At full speed nearly every row is only counted as skipped, so that no lock is taken for it.
        """
        if len(self._single) < MAX_SINGLE_ROWS * _ROW.size:
            self._single.extend(_ROW.pack(calls, minutes, messages, mb_used, prediction, probability))
        else:
            self._skipped_single += 1

    def batch(self, features: FeatureMatrix, predictions: Decisions, probabilities: Values) -> None:
        """Take notice of rows, and of how they were answered; the arrays must not change afterwards."""
        rows = len(features)
        with self._lock:
            if self._batch_rows + rows > MAX_BATCH_ROWS:
                self._skipped += rows
                return
            self._batch_rows += rows
            self._batches.append((features, predictions, probabilities))

    def score(self) -> None:
        """Score and count what has come. Rows on which that fails are counted as skipped, and the log says so once."""
        with self._lock:
            batches, self._batches, self._batch_rows = self._batches, [], 0
            skipped, self._skipped = self._skipped, 0
        skipped_single = self._skipped_single
        skipped += skipped_single - self._counted_single
        self._counted_single = skipped_single
        single = bytes(self._single)
        del self._single[: len(single)]  # what another thread appends meanwhile stays for the next time
        rows = len(single) // _ROW.size + sum(len(features) for features, _, _ in batches)
        series = shadow_series()
        if skipped:
            series.skip("queue", skipped)
        if not rows:
            return
        try:
            series.count(self.tag, *self._compare(single, batches))
        except Exception as error:
            series.skip("fault", rows)
            if not self._complained:  # without the error's text, which may hold what a client sent
                logger.error("the shadow %s failed on rows, which are skipped: %s", self.tag, type(error).__name__)
            self._complained = True

    def _compare(
        self, single: bytes, batches: list[tuple[FeatureMatrix, Decisions, Values]]
    ) -> tuple[Decisions, Decisions, Values]:
        """Give the decisions of both models, and the shadow's probabilities less the champion's."""
        flat = np.frombuffer(single).reshape(-1, 6)
        features = np.concatenate([flat[:, :4], *(each for each, _, _ in batches)])
        champions = np.concatenate([flat[:, 4].astype(np.int64), *(each for _, each, _ in batches)])
        probabilities = np.concatenate([flat[:, 5], *(each for _, _, each in batches)])
        own = self._scorer.probabilities(features)
        return champions, self._scorer.decide(features, own), own - probabilities

    def _run(self) -> None:
        pause = SCORE_SECONDS
        while not self._ending.wait(pause):
            before = thread_time()
            self.score()
            pause = max(SCORE_SECONDS, (thread_time() - before) / MAX_SHARE)
        self.score()


class ShadowSeries:
    """The series of one worker; prometheus_client's multiprocess mode adds up those of all workers."""

    def __init__(self) -> None:
        # Not at the top: BentoML tells prometheus_client where the workers' files are after it has imported us.
        import prometheus_client

        self._rows = prometheus_client.Counter(
            "plan_recommender_shadow_rows", "Rows that the shadow scored too, by the decisions of both models.",
            ["champion", "shadow", "model"],
        )  # fmt: skip
        self._difference = prometheus_client.Histogram(
            "plan_recommender_shadow_difference", "The shadow's probability of Ultra less the champion's.", ["model"],
            buckets=DIFFERENCE_BUCKETS,
        )  # fmt: skip
        self._skipped = prometheus_client.Counter(
            "plan_recommender_shadow_skipped", "Rows that were answered and that the shadow did not score.", ["reason"]
        )

    def begin(self, model: str) -> None:
        """Start series at 0, because a rate needs a first value."""
        for champion, shadow in product(PLANS, PLANS):
            self._rows.labels(champion, shadow, model).inc(0)
        observe_many(self._difference.labels(model), Counter({0: 0}), 0)
        for reason in SKIP_REASONS:
            self._skipped.labels(reason).inc(0)

    def count(self, model: str, champions: Decisions, shadows: Decisions, differences: Values) -> None:
        """Count rows by the decisions of both models, and the differences of their probabilities, shapes (rows,)."""
        pairs = np.bincount(2 * champions + shadows, minlength=4).tolist()
        for (champion, shadow), rows in zip(product(PLANS, PLANS), pairs, strict=True):
            if rows:
                self._rows.labels(champion, shadow, model).inc(rows)
        buckets = Counter(np.searchsorted(DIFFERENCE_BUCKETS, differences).tolist())
        observe_many(self._difference.labels(model), buckets, float(differences.sum()))

    def skip(self, reason: str, rows: int) -> None:
        """Count rows that were not scored for one of `SKIP_REASONS`."""
        self._skipped.labels(reason).inc(rows)


@cache
def shadow_series() -> ShadowSeries:
    """Give the one `ShadowSeries` of this process; the first call makes it."""
    return ShadowSeries()
