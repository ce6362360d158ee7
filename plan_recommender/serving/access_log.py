"""The access log: a record for each request of the contract that failed, and for a share of those that did not.

Records are what an incident is reconstructed from, and what a client sends could forge them: a record holds only what
the service itself knows, and the request's ids, whose form is checked. It holds no address of a client: that would be
that of the proxy as a rule, and is personal data where it is not.

Records of errors are written at once. Others wait for a moment and are written together: one by itself takes ten times
the processor's time, because between two of them all that writing needs has left its caches.
"""

import asyncio
import logging
import random
from collections import Counter
from time import time
from typing import Final, NamedTuple

from plan_recommender.serving.request_ids import IdLines, fields_of

MAX_ERRORS_A_SECOND: Final = 10
"""Records of one status that a worker writes in a second; more are counted, and their number is told a second later.

Whoever knows no key, or asks more than is answered, could otherwise fill the disk.
"""

FLUSH_SECONDS: Final = 1.0
"""How long the record of a success waits at most; a worker that is killed loses so much."""

_MAX_WAITING: Final = 8
"""Records that are written together; meanwhile the worker answers nobody. With 32 that was what the 99th percentile of
the latency came from, and eight cost no more for each."""

_FIRST_ERROR: Final = 400
_SECOND: Final = 1.0

logger = logging.getLogger("bentoml.plan_recommender.access")


class _Answered(NamedTuple):
    """A request that was answered, and when, in Unix time."""

    time: float
    route: str
    status: int
    milliseconds: float
    bytes: int
    rows: int | None
    ids: IdLines


class AccessLog:
    """The access log of one worker; only the event loop may call it."""

    def __init__(self, share: float) -> None:
        """Write a record for this share (0 to 1) of the requests that are answered, chosen at random."""
        self._share = share
        self._model: str | None = None
        self._waiting: list[_Answered] = []
        self._flush_later: asyncio.TimerHandle | None = None
        self._written: Counter[int] = Counter()  # errors by status, in this second
        self._left_out: Counter[int] = Counter()
        self._second: asyncio.TimerHandle | None = None

    def begin(self, model: str) -> None:
        """From now on, say that this model answers."""
        self._model = model

    def end(self) -> None:
        """Write what waits, and say what was left out in the last second."""
        self._flush()
        if self._second is not None:
            self._second.cancel()
            self._next_second()

    def wants(self, status: int) -> bool:
        """Choose whether a request with this status of the answer leaves a record."""
        return status >= _FIRST_ERROR or random.random() < self._share  # noqa: S311  # a sample is no secret

    def note(self, route: str, status: int, seconds: float, size: int, rows: int | None, ids: IdLines) -> None:
        """Note a request that is answered.

        Args:
            route: the path of the route, or a name for all paths that are none.
            status: of the answer.
            seconds: from the head of the request to the answer.
            size: bytes of the body that was answered.
            rows: subscribers that were answered for; None: the answer is not about subscribers.
            ids: of the request.
        """
        answered = _Answered(time(), route, status, round(seconds * 1000, 3), size, rows, ids)
        if status >= _FIRST_ERROR:
            if self._has_room(status):
                self._write(logging.WARNING, answered)
            return
        self._waiting.append(answered)
        if len(self._waiting) >= _MAX_WAITING:
            self._flush()
        elif self._flush_later is None:
            self._flush_later = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._flush_later is not None:
            self._flush_later.cancel()
            self._flush_later = None
        for answered in self._waiting:
            self._write(logging.INFO, answered)
        self._waiting.clear()

    def _write(self, level: int, answered: _Answered) -> None:
        if not logger.isEnabledFor(level):
            return
        at, route, status, milliseconds, size, rows, ids = answered
        fields = {
            "route": route, "status": status, "milliseconds": milliseconds, "bytes": size, "rows": rows,
            "model": self._model, **fields_of(ids),
        }  # fmt: skip
        trace = "" if fields["trace_id"] is None else f", trace {fields['trace_id']}"
        message = (
            f"{route} answered {status} after {milliseconds:g} ms with {size} bytes, "
            f"rows: {'none' if rows is None else rows}, request {fields['request_id']}{trace}"
        )
        record = logger.makeRecord(logger.name, level, __file__, 0, message, (), None, extra={"fields": fields})
        record.created = at  # when it was answered, not when it is written
        logger.handle(record)

    def _has_room(self, status: int) -> bool:
        if self._second is None:
            self._second = asyncio.get_running_loop().call_later(_SECOND, self._next_second)
        if self._written[status] >= MAX_ERRORS_A_SECOND:
            self._left_out[status] += 1
            return False
        self._written[status] += 1
        return True

    def _next_second(self) -> None:
        self._second = None
        self._written.clear()
        for status, number in self._left_out.items():
            logger.warning(
                "%d more requests were answered %d within a second, and have no record of their own",
                *(number, status),
                extra={"fields": {"status": status, "left_out": number}},
            )
        self._left_out.clear()
