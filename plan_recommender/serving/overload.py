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

**Batches** take milliseconds, so they are answered in steps, one batch after the other, and one step in each turn of
the event loop: single requests are answered between the steps. `max_batches` of them may wait or be answered. Once one
was refused, only a quarter as many may, until none is left. A batch is admitted or refused by its head, so that no body
is read in vain. It takes a place only when its body is complete, so that slow clients keep no others out; if no place
is free then, it is refused after all.

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
from collections.abc import Callable, Generator, Iterator
from time import perf_counter
from typing import Any, Final, TypeVar

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

    def __init__(self, max_batches: int, max_bodies_bytes: int, drain_seconds: float) -> None:
        """Set up a worker's admission.

        Args:
            max_batches: how many batches may wait or be answered.
            max_bodies_bytes: how large all bodies that are being read may be together.
            drain_seconds: how long everything is answered after SIGTERM.
        """
        self.queue = Queue(MAX_WAITING)
        self.batches = Lane(max_batches)
        self.heads = Lane(MAX_WAITING)
        """What is answered by its head alone, and never refused: refusals, queries and documents."""
        self.bodies = Bodies(max_bodies_bytes)
        self.drain = Drain(drain_seconds)

    def admits(self, command: Command) -> bool:
        """Tell, when the head of a request has come, whether it is taken on."""
        if self.drain.started and self.drain.accepts_no_more:
            return True  # connections are closed after their answer, so that not much more comes
        return self.queue.admits() and (not command.in_steps or self.batches.admits())


class Queue:
    """The requests of one worker that wait to be begun or to be refused."""

    def __init__(self, max_waiting: int) -> None:
        """Let at most `max_waiting` requests wait, or half as many under overload."""
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Callable[[Any], object], Any]] = deque()
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

    def enter(self, begin: Callable[[T], object], request: T) -> None:
        """Begin a request now, or when those before it have been begun."""
        if not self._begun:  # nothing has come since the last turn
            self._note_calm()
            asyncio.get_running_loop().call_soon(self._turn)
        if self._begun < _BEGUN_IN_A_TURN:
            self._begun += 1
            begin(request)
        else:
            self._waiting.append((begin, request))

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
            begin, request = self._waiting.popleft()
            begin(request)
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


class Bodies:
    """The bodies that one worker is reading."""

    def __init__(self, max_bytes: int) -> None:
        """Let them hold at most `max_bytes` together."""
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def too_many(self) -> bool:
        """Whether they hold more than they may."""
        return self._bytes > self._max_bytes

    def hold(self, size: int) -> None:
        """Count bytes that have come."""
        self._bytes += size

    def release(self, size: int) -> None:
        """Count bytes of a body that is complete or given up."""
        self._bytes -= size


class Lane:
    """Work in steps: one step in each turn of the event loop, and one piece of work after the other."""

    def __init__(self, max_pieces: int) -> None:
        """Let at most `max_pieces` pieces wait or be carried out."""
        self._max_pieces = max_pieces
        self._overloaded = False
        self._waiting: deque[tuple[Iterator[None], Callable[[Any], object]]] = deque()

    def admits(self) -> bool:
        """Tell whether one more piece may wait."""
        pieces = self.pieces
        if pieces >= self._max_pieces:
            self._overloaded = True
        return not pieces or pieces < (self._max_pieces // 4 if self._overloaded else self._max_pieces)

    @property
    def pieces(self) -> int:
        """How many pieces wait or are carried out."""
        return len(self._waiting)

    def enter(self, steps: Generator[None, None, T], done: Callable[[T], object]) -> None:
        """Carry out these steps when their turn comes, and tell `done` what they end with."""
        self._waiting.append((steps, done))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        steps, done = self._waiting[0]
        loop = asyncio.get_running_loop()
        try:
            next(steps)
        except StopIteration as ended:
            self._waiting.popleft()
            loop.call_soon(done, ended.value)  # what it raises is nothing to the others
        except Exception:
            self._waiting.popleft()
            raise
        finally:
            if self._waiting:
                loop.call_soon(self._turn)
            else:
                self._overloaded = False


class Drain:
    """Stops a worker in good order."""

    def __init__(self, seconds: float) -> None:
        """Answer everything for so many seconds after SIGTERM."""
        self._seconds = seconds
        self._since: float | None = None
        self._gives_way = False
        self.started = False
        """Whether connections are to be closed after their answer."""
        self._task: asyncio.Task[None] | None = None

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
                self._since, self.started = perf_counter(), True
                logger.info("worker stops because of SIGTERM, after a drain of %g s", self._seconds)
                self._task = asyncio.get_running_loop().create_task(self._run(stop))

        def give_way() -> None:
            self._gives_way = self.started = True
            logger.info("worker gives way to another because of SIGHUP")
            stop(signal.SIGTERM, None)  # other workers have copies of the socket

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, start)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, give_way)

    def _is_over_since(self, seconds: float) -> bool:
        return self._since is not None and perf_counter() - self._since > self._seconds + seconds

    async def _run(self, stop: Callable[[int, Any], object]) -> None:
        await asyncio.sleep(self._seconds)
        stop(signal.SIGTERM, None)
