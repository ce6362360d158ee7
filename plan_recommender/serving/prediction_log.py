"""The prediction log: a line of JSON for each prediction, written beside the predictions and never in their way.

Whoever predicts only appends to a queue in memory; a thread of the worker turns what is in it into lines, and writes
them to files of its own (log_files.py). A prediction therefore never waits for the disk, and no fault of the log
changes an answer: lines that cannot be written are dropped and counted.
"""

import json
import logging
import random
import re
import secrets
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain, count
from pathlib import Path
from time import monotonic, time
from typing import Any, Final, NamedTuple, cast

import numpy as np

from plan_recommender.model.features import FeatureMatrix
from plan_recommender.serving.batches import decisions_of, features_of
from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.limits import MIB
from plan_recommender.serving.log_files import LogFiles
from plan_recommender.serving.metrics import telemetry
from plan_recommender.serving.schemas import BatchRecommendation, Recommendation, UsageBatch
from plan_recommender.serving.settings import Environment

REFERENCE_HEADER: Final = b"x-reference"
ID_HEADER: Final = b"x-prediction-id"

MAX_REFERENCE: Final = 128
"""Most characters of a reference, which are visible ASCII; any other is treated as absent."""

MAX_PENDING: Final = 16_384
"""Single predictions and batches that may wait for the disk in a worker, some 5 MiB."""

MAX_PENDING_ROWS: Final = 80_000
"""Rows of batches among them, some 4 MiB."""

FLUSH_SECONDS: Final = 0.25
"""How long a line waits in memory before it is written; a worker that is killed loses so much."""

_VISIBLE: Final = re.compile(rb"[!-~]{1,%d}" % MAX_REFERENCE)
_WARNING_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 1.5  # a worker that waited 5 s after its drain is killed 3 s later

logger = logging.getLogger("bentoml.plan_recommender")


class _One(NamedTuple):
    """A prediction that waits to be written."""

    time: float
    id: str
    reference: str | None
    model: str
    calls: float
    minutes: float
    messages: float
    mb_used: float
    probability: float
    prediction: int

    @property
    def size(self) -> int:
        return 1

    def lines(self) -> Iterator[bytes]:
        reference = "null" if self.reference is None else json.dumps(self.reference)
        usage = (self.calls, self.minutes, self.messages, self.mb_used)
        at, model = _rfc3339(self.time), _json(self.model)
        yield _line(at, self.id, reference, model, usage, self.probability, self.prediction)


class _Batch(NamedTuple):
    """The sampled rows of a batch, as numbers without the objects that they were: those take ten times the memory."""

    time: float
    id: str
    reference: str | None
    model: str
    rows: list[int]
    features: FeatureMatrix
    probabilities: list[float]
    predictions: bytes

    @property
    def size(self) -> int:
        return len(self.rows)

    def lines(self) -> Iterator[bytes]:
        at, model, reference = _rfc3339(self.time), _json(self.model), "null"
        values = zip(self.rows, self.features.tolist(), self.probabilities, self.predictions, strict=True)
        for row, usage, probability, prediction in values:
            if self.reference is not None:
                reference = json.dumps(f"{self.reference}/{row}")
            yield _line(at, f"{self.id}/{row}", reference, model, usage, probability, prediction)


class PredictionLog:
    """The prediction log of one worker."""

    def __init__(self, folder: Path, share: float, max_bytes: int, workers: int) -> None:
        """Prepare a log; no file is written before `start`.

        Args:
            folder: of all workers' files; it is made when it is missing.
            share: of the predictions (0 to 1) that are logged, chosen at random; of a batch each row by itself.
            max_bytes: that all files in the folder may have together.
            workers: that write to the folder.
        """
        self._share = share
        self._prefix = f"{secrets.token_hex(6)}-"
        self._numbers = count()
        self._random = np.random.default_rng()
        self._pending: deque[_One | _Batch] = deque()
        self._rows_noted = 0  # only ever written by the event loop
        self._rows_taken = 0  # only ever written by the thread of the log
        self._files = LogFiles(folder, max_bytes, workers)
        self._left = 0  # lines that the thread of the log has taken and not yet written
        self._warn_at = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, environment: Environment) -> "PredictionLog | None":
        """Make the log that the environment asks for; None if it asks for none."""
        folder = environment.prediction_log
        if folder is None:
            return None
        bound = environment.prediction_log_mib * MIB
        return cls(folder, environment.prediction_log_share, bound, environment.workers)

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="prediction log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end; what a disk that hangs does not take within `_STOP_SECONDS` is dropped."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
            if self._thread.is_alive():
                self._drop("stopping", self._left + sum(noted.size for noted in self._pending.copy()))

    def note(self, request: Any, answer: Any, headers: list[Header]) -> str:
        """Let an answer be logged; the event loop calls this.

        Args:
            request: a `CustomerUsage` or a `UsageBatch`.
            answer: what was answered: a `Recommendation`, an `Explanation` or a `BatchRecommendation`.
            headers: of the request, with names in lower case.

        Returns:
            The id of the prediction or of the batch; empty if nothing of it was sampled, or too much waits already.
        """
        try:
            if isinstance(request, UsageBatch):
                return self._note_batch(request, answer, headers)
            if self._share < 1 and random.random() >= self._share:  # noqa: S311  # a sample is no secret
                return ""
            if len(self._pending) >= MAX_PENDING:
                self._drop("queue", 1)
                return ""
            one = cast(Recommendation, answer)
            identity = f"{self._prefix}{next(self._numbers):x}"
            self._pending.append(
                _One(
                    time(), identity, _reference(headers), one["model"],
                    request.calls, request.minutes, request.messages, request.mb_used,
                    one["probability_is_ultra"], one["prediction"],
                )
            )  # fmt: skip
            return identity
        except Exception as error:  # whatever it is, it is no reason to answer nobody
            self._fault(error, 1)
            return ""

    def _note_batch(self, batch: UsageBatch, answer: BatchRecommendation, headers: list[Header]) -> str:
        size = len(batch.rows)
        rows = range(size) if self._share >= 1 else np.flatnonzero(self._random.random(size) < self._share).tolist()
        if not rows:
            return ""
        if len(self._pending) >= MAX_PENDING or self._rows_noted + len(rows) - self._rows_taken > MAX_PENDING_ROWS:
            self._drop("queue", len(rows))
            return ""
        decisions = decisions_of(answer)
        identity = f"{self._prefix}{next(self._numbers):x}"
        noted = _Batch(
            time(), identity, _reference(headers), answer["model"], list(rows), features_of(batch)[rows],
            decisions.probabilities[rows].tolist(), bytes(decisions.predictions[rows].tolist()),
        )  # fmt: skip
        self._rows_noted += len(rows)
        self._pending.append(noted)
        return identity

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(FLUSH_SECONDS)
            self._flush()

    def _flush(self) -> None:
        """Write all that waits. When a block cannot be written, it and what waits behind it are dropped."""
        waiting = self._take_all()
        self._left = sum(noted.size for noted in waiting)
        block, lines = bytearray(), 0
        try:
            for line in chain.from_iterable(noted.lines() for noted in waiting):
                if len(block) + len(line) > self._files.block_bytes:
                    self._write(block, lines)
                    block, lines = bytearray(), 0
                block += line
                lines += 1
            if lines:
                self._write(block, lines)
        except OSError as error:
            self._drop("disk", self._left)
            self._warn(f"cannot be written ({error.strerror or error})")
        except Exception as error:  # the thread has to outlive it
            self._fault(error, self._left)
        self._left = 0

    def _take_all(self) -> list[_One | _Batch]:
        taken = [self._pending.popleft() for _ in range(len(self._pending))]
        self._rows_taken += sum(noted.size for noted in taken if isinstance(noted, _Batch))
        return taken

    def _write(self, block: bytearray, lines: int) -> None:
        self._files.append(block)
        self._left -= lines
        telemetry().log_written(lines)

    def _drop(self, reason: str, lines: int) -> None:
        if lines:
            telemetry().log_dropped(reason, lines)

    def _fault(self, error: Exception, lines: int) -> None:
        self._drop("fault", lines)
        self._warn(f"failed ({type(error).__name__}: {error})")

    def _warn(self, what: str) -> None:
        """Warn once a minute at most: a full disk would otherwise be filled by what says so."""
        now = monotonic()
        if now >= self._warn_at:
            self._warn_at = now + _WARNING_SECONDS
            logger.warning(
                "the prediction log in %s %s; its lines are dropped, and counted in "
                "plan_recommender_prediction_log_dropped_total; predictions are answered as before",
                self._files.folder,
                what,
            )


def _reference(headers: list[Header]) -> str | None:
    """Give the caller's reference; of a header that stands twice the last counts, as with every other."""
    found = None
    for name, value in headers:
        if name == REFERENCE_HEADER:
            found = value
    return None if found is None or not _VISIBLE.fullmatch(found) else found.decode("ascii")


def _rfc3339(seconds: float) -> str:
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03}Z"


@lru_cache(1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_json = lru_cache(2)(json.dumps)
"""For the tag of the model: a worker has one."""


def _line(
    at: str, identity: str, reference: str, model: str, usage: Iterable[float], probability: float, prediction: int
) -> bytes:
    """Write a line; Python's repr of a finite double is JSON, reads back as the same, and is quicker than `json`."""
    calls, minutes, messages, mb_used = usage
    return (
        f'{{"time":"{at}","id":"{identity}","reference":{reference},"model":{model},"calls":{calls!r},'
        f'"minutes":{minutes!r},"messages":{messages!r},"mb_used":{mb_used!r},'
        f'"probability_is_ultra":{probability!r},"prediction":{prediction}}}\n'
    ).encode()
