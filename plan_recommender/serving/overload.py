"""Which requests a worker takes on: it never lets more wait than it can answer soon, and it ends in good order.

**Queue.** A worker answers its requests one by one. In each turn of its event loop it begins some of them; the others
wait, and between the turns new connections are accepted, of which uvloop takes one a turn. A burst is let in, however
many come at once. When for a tenth of a second never less than half of the most that may wait did, more is being asked
than can be answered, and what finds the queue full is refused: "controlled delay" as in Maurer, "Fail at Scale", ACM
Queue 13(8), 2015. A refusal is held back for a moment: a client that asks again at once would else keep the worker busy
refusing. As long as one is held back, half as many may wait: what is let in under overload is answered soon.

**Lane.** Large batches take milliseconds and go to a thread. One at a time is carried out, as side by
side they would only take the interpreter from each other and from the single predictions between them; some wait, and
more than some are refused. As soon as one had to be refused, a quarter may wait until the lane has been empty: what is
let in under overload is answered soon, and as many clients as there is room for are never refused.

**Drain.** After SIGTERM a worker answers on for a moment, closing each connection after its answer, so that what was
sent before the signal is answered; then it refuses what comes, until what is under way is done or has had its time.
"""

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from plan_recommender.serving import error_responses

MOST_WAITING: Final = 128
"""Requests that wait for a worker before it refuses others; a prediction takes some 50 microseconds."""

REFUSAL_PAUSE_SECONDS: Final = 0.035

DRAIN_SECONDS: Final = 0.5
"""How long after SIGTERM everything that comes is answered."""

STOP_SECONDS: Final = 5.0
"""How long after SIGTERM requests that are under way may take."""

_IN_TURN = 16  # requests that are begun in a turn of the event loop
_GROUP_SECONDS = 0.005  # refusals of which are let go together, with one timer
_BURST_SECONDS = 0.1  # how long more may come than can be answered soon

T = TypeVar("T")
Act = Callable[[], object]


class Queue:
    """The requests of one worker that wait for their turn."""

    def __init__(self, most: int) -> None:
        """Let so many wait, or half as many under overload."""
        self._most = most
        self._waiting: deque[Act] = deque()
        self._begun = 0  # in this turn
        self._held: deque[tuple[float, Act]] = deque()
        self._calm_at = 0.0

    def admits(self) -> bool:
        """Tell whether one more request may wait."""
        most = self._most // 2 if self._held else self._most
        return len(self._waiting) < most or perf_counter() - self._calm_at < _BURST_SECONDS

    @property
    def occupied(self) -> bool:
        """Whether requests wait to be begun or to be refused."""
        return bool(self._waiting or self._held)

    def enter(self, begin: Act) -> None:
        """Begin a request now, or when those before it have been."""
        if not self._begun:  # nothing has come since the last turn
            self._note_calm()
            asyncio.get_running_loop().call_soon(self._turn)
        if self._begun < _IN_TURN:
            self._begun += 1
            begin()
        else:
            self._waiting.append(begin)

    def hold(self, refuse: Act) -> None:
        """Refuse a request after REFUSAL_PAUSE_SECONDS, or a little less."""
        self._held.append((perf_counter() + REFUSAL_PAUSE_SECONDS, refuse))
        if len(self._held) == 1:
            asyncio.get_running_loop().call_later(REFUSAL_PAUSE_SECONDS, self._let_go)

    def _turn(self) -> None:
        self._begun = min(len(self._waiting), _IN_TURN)
        if self._begun:
            asyncio.get_running_loop().call_soon(self._turn)
        for _ in range(self._begun):
            self._waiting.popleft()()
        if self._begun:
            self._note_calm()

    def _note_calm(self) -> None:
        if len(self._waiting) < self._most // 2 and not self._held:
            self._calm_at = perf_counter()

    def _let_go(self) -> None:
        loop = asyncio.get_running_loop()
        now = perf_counter()
        while self._held and self._held[0][0] <= now + _GROUP_SECONDS:
            loop.call_soon(self._held.popleft()[1])
        if self._held:
            loop.call_later(self._held[0][0] - now, self._let_go)


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
        if self._pieces >= self._most:
            self._overloaded = True
        return not self._pieces or self._pieces < (self._most // 4 if self._overloaded else self._most)

    async def let_in(self) -> None:
        """Go on at once if one more piece may wait.

        Raises:
            Refusal: too much is waiting already; held back as those of the queue are.
        """
        if not self.admits():
            await asyncio.sleep(REFUSAL_PAUSE_SECONDS)
            raise error_responses.overloaded()

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
    """The orderly end of a worker."""

    def __init__(self, queue: Queue) -> None:
        """Wait for the requests in this queue too."""
        self._queue = queue
        self.under_way = 0
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
        while (self.under_way or self._queue.occupied) and perf_counter() - start < STOP_SECONDS - DRAIN_SECONDS:
            await asyncio.sleep(0.02)
        stop(signal.SIGTERM, None)
