"""Which requests a worker takes on: it never lets more wait than it can answer soon, and it ends in good order.

**Queue.** A worker answers its requests one by one, and those that wait are in its event loop, whose every turn carries
out what has come since the last. While there is a short turn now and then, every request is let in, however many come
at once. When for a tenth of a second all turns were long, more is being asked than can be answered, and from then on a
turn answers a limited number and refuses the rest: "controlled delay" as in Maurer, "Fail at Scale", ACM Queue 13(8),
2015. A refusal is held back for a moment: a client that asks again at once would else keep the worker busy refusing.

**Lane.** Large batches and explanations take milliseconds and go to a thread. One at a time is carried out, as side by
side they would only take the interpreter from each other and from the single predictions between them; some wait, and
more than some are refused. As soon as one had to be refused, fewer may wait until the lane has been empty: what is let
in under overload is answered soon, and as many clients as there is room for are never refused.

**Drain.** After SIGTERM a worker answers on for a moment, closing each connection after its answer, so that what was
sent before the signal is answered; then it refuses what comes, until what is under way is done or has had its time.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from plan_recommender import refusals

MOST_IN_TURN: Final = 64
"""Requests that one turn of an overloaded worker answers; a prediction takes some 50 microseconds."""

REFUSAL_PAUSE_SECONDS: Final = 0.03

DRAIN_SECONDS: Final = 0.5
"""How long after SIGTERM everything that comes is answered."""

STOP_SECONDS: Final = 5.0
"""How long after SIGTERM requests that are under way may take."""

_BURST_SECONDS = 0.1  # how long more may come than can be answered soon

T = TypeVar("T")


class Queue:
    """The requests of one worker that are waiting or under way."""

    def __init__(self, most_in_turn: int) -> None:
        """Let so many into each turn under overload."""
        self._most_in_turn = most_in_turn
        self._in_turn = 0
        self._last_short_turn = 0.0
        self.under_way = 0

    def enter(self, now: float) -> bool:
        """Count a request in, and tell whether it may be answered; `now` is perf_counter()."""
        self.under_way += 1
        if not self._in_turn:
            # It runs behind all requests of this turn, which are in the loop's list of things to do already.
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._in_turn += 1
        return self._in_turn <= self._most_in_turn or now - self._last_short_turn < _BURST_SECONDS

    def leave(self) -> None:
        """Count a request out."""
        self.under_way -= 1

    def _end_turn(self) -> None:
        if self._in_turn <= self._most_in_turn // 2:
            self._last_short_turn = perf_counter()
        self._in_turn = 0


class Lane:
    """Work that is carried out in a thread, one piece at a time."""

    def __init__(self, most: int) -> None:
        """Let so many pieces wait or be carried out."""
        self._most = most
        self._overloaded = False
        self._pieces = 0
        self._one = anyio.CapacityLimiter(1)

    def admits(self) -> bool:
        """Tell whether one more piece may wait."""
        if not self._pieces:
            self._overloaded = False
        elif self._pieces >= self._most:
            self._overloaded = True
        return self._pieces < (self._most // 2 if self._overloaded else self._most)

    async def carry_out(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call `work` in a thread when its turn comes.

        Raises:
            Refusal: too much is waiting already.
        """
        if not self.admits():
            raise refusals.overloaded()
        self._pieces += 1
        try:
            return await anyio.to_thread.run_sync(work, *arguments, limiter=self._one)
        finally:
            self._pieces -= 1


class Drain:
    """The orderly end of a worker."""

    def __init__(self, queue: Queue) -> None:
        """Wait for the requests of this queue at the end."""
        self._queue = queue
        self._since: float | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        """Whether connections are to be closed after their answer."""
        return self._since is not None

    @property
    def refusing(self) -> bool:
        """Whether requests that come now are refused."""
        return self._since is not None and perf_counter() - self._since > DRAIN_SECONDS

    def before(self, stop: Callable[[int, Any], object]) -> None:
        """On SIGTERM, drain and then call `stop`, the handler that the server had installed."""

        def start() -> None:
            if self._task is None:
                self._since = perf_counter()
                self._task = asyncio.get_running_loop().create_task(self._run(stop))

        with contextlib.suppress(NotImplementedError):  # on Windows the server's own handler stays
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, start)

    async def _run(self, stop: Callable[[int, Any], object]) -> None:
        await asyncio.sleep(DRAIN_SECONDS)
        start = perf_counter()
        while self._queue.under_way and perf_counter() - start < STOP_SECONDS - DRAIN_SECONDS:
            await asyncio.sleep(0.02)
        stop(signal.SIGTERM, None)
