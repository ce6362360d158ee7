"""Which requests a worker takes on: it never lets more wait than it can answer soon, and it stops in good order.

**Single requests** wait in a queue. In each turn of the event loop 16 of them are begun; between the turns new
connections are accepted, of which uvloop accepts one a turn. A new request is treated by the state of the queue:

| state | when | a new request |
| --- | --- | --- |
| calm | within the last 0.1 s, fewer than half of `MAX_WAITING` waited and no refusal was pending | waits in any case |
| full | not calm, and no refusal is pending | waits if fewer than `MAX_WAITING` do, otherwise it is refused |
| overloaded | not calm, and a refusal is pending | waits if fewer than half of that do, otherwise it is refused |

This is "controlled delay" as in Maurer, "Fail at Scale", ACM Queue 13(8), 2015: a short burst is answered, and in a
lasting overload requests are refused. A refusal is pending for `REFUSAL_PAUSE_SECONDS` before it is sent, because a
client that asks again at once would keep the worker busy refusing. Under overload only half as many requests may wait,
so that they are answered soon.

**Batches** take milliseconds, so they are answered in a thread, one at a time: side by side they would only take the
interpreter from each other and from single requests. `max_batches` of them may wait or be answered. Once one was
refused, only a quarter as many may, until none is left. A batch is admitted or refused by its head, so that no body is
read in vain. It takes a place only when its body is complete, so that slow clients keep no others out; if no place is
free then, it is refused after all.

**Draining**: after SIGTERM a worker answers everything for as long as it is set to, closing each connection after its
answer, while /health and /readyz say 503, so that whoever distributes requests sends it no more. Then it accepts no
more connections, and answers what is under way or comes within `LAST_SECONDS` on those that it has. It ends when all of
them are closed, at the latest after `STOP_SECONDS`.

**Giving way**: after SIGHUP, which the supervisor sends when another worker has taken its place on the same socket, a
worker accepts no more connections. It answers what comes on those that it has, closing each one after its answer.
"""

import asyncio
import logging
import signal
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from plan_recommender.serving.limits import LAST_SECONDS, MAX_WAITING, REFUSAL_PAUSE_SECONDS
from plan_recommender.serving.routes import Command

_BEGUN_IN_A_TURN: Final = 16
_REFUSED_TOGETHER_SECONDS: Final = 0.005
"""Refusals that are due within this time share a timer."""

_BURST_SECONDS: Final = 0.1
"""How long a burst of requests is let in, whatever its size."""

logger = logging.getLogger("bentoml.plan_recommender")

T = TypeVar("T")
Act = Callable[[], object]


class Admission:
    """Decides which requests one worker takes on; the only place where that is decided."""

    def __init__(self, max_batches: int, drain_seconds: float) -> None:
        """Let at most `max_batches` batches wait or be answered, and drain for so many seconds."""
        self.queue = Queue(MAX_WAITING)
        self.batches = Lane(max_batches)
        self.drain = Drain(drain_seconds)

    def admits(self, command: Command) -> bool:
        """Tell, when the head of a request has come, whether it is taken on."""
        if self.drain.accepts_no_more:
            return True  # connections are closed after their answer, so that not much more comes
        return self.queue.admits() and (not command.in_thread or self.batches.admits())


class Queue:
    """The requests of one worker that wait to be begun or to be refused."""

    def __init__(self, max_waiting: int) -> None:
        """Let at most `max_waiting` requests wait, or half as many under overload."""
        self._max_waiting = max_waiting
        self._waiting: deque[Act] = deque()
        self._begun = 0  # in this turn of the event loop
        self._refusals: deque[tuple[float, Act]] = deque()
        self._calm_at = 0.0

    def admits(self) -> bool:
        """Tell whether one more request may wait."""
        max_waiting = self._max_waiting // 2 if self._refusals else self._max_waiting
        return len(self._waiting) < max_waiting or perf_counter() - self._calm_at < _BURST_SECONDS

    @property
    def occupied(self) -> bool:
        """Whether requests wait to be begun or to be refused."""
        return bool(self._waiting or self._refusals)

    @property
    def waiting(self) -> int:
        """How many requests wait to be begun."""
        return len(self._waiting)

    def enter(self, begin: Act) -> None:
        """Begin a request now, or when those before it have been begun."""
        if not self._begun:  # nothing has come since the last turn
            self._note_calm()
            asyncio.get_running_loop().call_soon(self._turn)
        if self._begun < _BEGUN_IN_A_TURN:
            self._begun += 1
            begin()
        else:
            self._waiting.append(begin)

    def refuse_later(self, refuse: Act) -> None:
        """Refuse a request after REFUSAL_PAUSE_SECONDS, or a little less."""
        self._refusals.append((perf_counter() + REFUSAL_PAUSE_SECONDS, refuse))
        if len(self._refusals) == 1:
            asyncio.get_running_loop().call_later(REFUSAL_PAUSE_SECONDS, self._refuse_those_due)

    def _turn(self) -> None:
        self._begun = min(len(self._waiting), _BEGUN_IN_A_TURN)
        if self._begun:
            asyncio.get_running_loop().call_soon(self._turn)
        for _ in range(self._begun):
            self._waiting.popleft()()
        if self._begun:
            self._note_calm()

    def _note_calm(self) -> None:
        if len(self._waiting) < self._max_waiting // 2 and not self._refusals:
            self._calm_at = perf_counter()

    def _refuse_those_due(self) -> None:
        loop = asyncio.get_running_loop()
        now = perf_counter()
        while self._refusals and self._refusals[0][0] <= now + _REFUSED_TOGETHER_SECONDS:
            loop.call_soon(self._refusals.popleft()[1])
        if self._refusals:
            loop.call_later(self._refusals[0][0] - now, self._refuse_those_due)


class Lane:
    """Work that is carried out in a thread, one piece at a time."""

    def __init__(self, max_pieces: int) -> None:
        """Let at most `max_pieces` pieces wait or be carried out."""
        self._max_pieces = max_pieces
        self._overloaded = False
        self._pieces = 0
        self._one = anyio.CapacityLimiter(1)

    def admits(self) -> bool:
        """Tell whether one more piece may wait."""
        if self._pieces >= self._max_pieces:
            self._overloaded = True
        return not self._pieces or self._pieces < (self._max_pieces // 4 if self._overloaded else self._max_pieces)

    @property
    def pieces(self) -> int:
        """How many pieces wait or are carried out."""
        return self._pieces

    async def carry_out(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call `work` in a thread when its turn comes."""
        self._pieces += 1
        try:
            return await anyio.to_thread.run_sync(work, *arguments, limiter=self._one)
        finally:
            self._pieces -= 1
            if not self._pieces:
                self._overloaded = False


class Drain:
    """Stops a worker in good order."""

    def __init__(self, seconds: float) -> None:
        """Answer everything for so many seconds after SIGTERM."""
        self._seconds = seconds
        self._since: float | None = None
        self._gives_way = False
        self._task: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        """Whether connections are to be closed after their answer."""
        return self._since is not None or self._gives_way

    @property
    def stopping(self) -> bool:
        """Whether the service was told to stop, and not only this worker to give way to another one."""
        return self._since is not None

    @property
    def accepts_no_more(self) -> bool:
        """Whether no new connections are accepted, or soon will not be."""
        return self._gives_way or self._is_over_since(0)

    @property
    def refusing(self) -> bool:
        """Whether requests that come now are refused."""
        return self._is_over_since(LAST_SECONDS)

    def before(self, stop: Callable[[int, Any], object]) -> None:
        """On SIGTERM drain, and then call `stop`, the handler that the server had installed; on SIGHUP at once.

        The server then closes its socket, and its connections as `Connection.shutdown` says.
        """

        def start() -> None:
            if self._task is None:
                self._since = perf_counter()
                logger.info("worker stops because of SIGTERM, after a drain of %g s", self._seconds)
                self._task = asyncio.get_running_loop().create_task(self._run(stop))

        def give_way() -> None:
            self._gives_way = True
            logger.info("worker gives way to another because of SIGHUP")
            stop(signal.SIGTERM, None)  # other workers have copies of the socket

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, start)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, give_way)

    def _is_over_since(self, seconds: float) -> bool:
        return self._since is not None and perf_counter() - self._since > self._seconds + seconds

    async def _run(self, stop: Callable[[int, Any], object]) -> None:
        await asyncio.sleep(self._seconds)
        stop(signal.SIGTERM, None)
