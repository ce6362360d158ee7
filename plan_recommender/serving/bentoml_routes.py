"""BentoML's own routes, answered so that a client who asks for them a lot does not keep the worker from predicting.

BentoML makes /docs.json and /schema.json anew for every request and in the event loop, though they never change, and it
renders /metrics for as many clients side by side as ask. Here those two documents are made once, one rendering of
/metrics serves all clients that wait for it, and requests to BentoML's routes are answered one after the other, so that
predictions are answered in between.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from time import perf_counter
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plan_recommender.serving import error_responses
from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.exchange import Exchange, send_answer
from plan_recommender.serving.metrics import telemetry
from plan_recommender.serving.patches import bentoml_internals

RENDERING_SHARE: Final = 0.1
"""The largest share of a worker's time that goes into rendering /metrics. A rendering takes some milliseconds in a
thread, and takes the interpreter from the event loop meanwhile."""

MAX_PAUSE_SECONDS: Final = 1.0
"""Longest pause between two renderings, however long one takes: Prometheus waits 10 seconds for an answer."""

PROBE_PAUSE_SECONDS: Final = 0.002
"""Pause between two probes. BentoML takes up to half a millisecond for one, and a thread asks whether the model
answers."""

PAGE_PAUSE_SECONDS: Final = 0.004
"""Pause between two parts of BentoML's page or of its files. Each takes about a millisecond, because threads that
read from the disk take the interpreter from the event loop."""

_METRICS: Final = "/metrics"
_PROBES: Final = frozenset({"/livez", "/readyz", "/healthz"})
_ROUTES: Final = _PROBES | {"/", "/docs.json", "/schema.json", _METRICS}
_READING: Final = frozenset({"GET", "HEAD"})
_FORWARDED_HEADERS: Final = frozenset(
    b"accept accept-encoding access-control-request-headers access-control-request-method host if-modified-since "
    b"if-none-match if-range origin range".split()
)
"""Headers that change what BentoML answers. It logs others unescaped, or it crashes on them: on a Content-Type without
a body, and on malformed headers of tracing."""

Documents = Mapping[str, Callable[[], object]]
"""For each path, what makes the document that it answers with."""

logger = logging.getLogger("bentoml.plan_recommender")


@dataclass(frozen=True)
class Answer:
    """A complete answer to GET."""

    status: int
    headers: list[Header]
    """Without those that every answer of the server has, such as `date`."""
    body: bytes


class BentoRoutes:
    """ASGI application in front of BentoML's, for the routes that BentoML brings along."""

    def __init__(self, app: ASGIApp, documents: Documents) -> None:
        """Stand in front of `app`; `documents` make what paths answer with JSON that never changes."""
        self._app = app
        # A document is made when it is first asked for: making both at the start would delay it by 25 ms.
        self._documents = {path: cache(partial(_as_json, make)) for path, make in documents.items()}
        self._metrics = Shared(self._render_metrics, RENDERING_SHARE, MAX_PAUSE_SECONDS)
        self._document_turns = Turns()
        self._probe_turns, self._page_turns = Turns(PROBE_PAUSE_SECONDS), Turns(PAGE_PAUSE_SECONDS)

    @staticmethod
    def has(path: str) -> bool:
        """Tell whether BentoML answers a path."""
        return path in _ROUTES or path in bentoml_internals.static_files()

    async def __call__(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange | None = None) -> None:
        """Answer one request to a path that BentoML has, or pass it on."""
        path = scope["path"]
        forwarded = [header for header in scope["headers"] if header[0] in _FORWARDED_HEADERS]
        passed_on = {**scope, "headers": forwarded}
        if scope["type"] != "http":
            await self._app(passed_on, receive, send)
        elif path in _PROBES:
            await self._probe_turns.take()
            await self._app(passed_on, receive, send)
        elif scope["method"] in _READING and (path == _METRICS or path in self._documents):
            answer = await self._metrics.get(scope) if path == _METRICS else self._documents[path]()
            await self._document_turns.take()
            body = b"" if scope["method"] == "HEAD" else answer.body
            await send_answer(exchange, send, answer.status, answer.headers, body)
        else:
            await self._page_turns.take()
            await self._app(passed_on, receive, self._page_turns.pacing(send))

    async def _render_metrics(self, scope: Scope) -> Answer:
        """Have BentoML render the series, which it does in a thread."""
        telemetry().flush()  # in the event loop, which owns what is entered
        messages: list[Message] = []

        async def record(message: Message) -> None:
            messages.append(message)

        # The answer is for all clients that wait, so nothing in it may come from the request that happened to be first.
        asked = {name: scope[name] for name in scope if name != "extensions"}
        asked |= {"method": "GET", "query_string": b"", "headers": []}
        try:
            await self._app(asked, _no_body, record)
            start, *parts = messages
            return Answer(start["status"], start["headers"], b"".join(part.get("body", b"") for part in parts))
        except Exception:
            logger.exception("%s failed", _METRICS)
            fault = error_responses.fault()
            return Answer(int(fault.status), fault.whole_headers(), fault.body)


class Turns:
    """Lets one request continue in each turn of the event loop, or after a pause, in the order in which they came.

    A turn ends by itself, so a client that does not read its answer does not hold up the others.
    """

    def __init__(self, pause: float = 0.0) -> None:
        """Pause `pause` seconds between two requests; 0 means until the next turn of the event loop."""
        self._pause = pause
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def take(self) -> None:
        """Wait for a turn."""
        loop = asyncio.get_running_loop()
        if self._taken:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            self._schedule(loop)

    def pacing(self, send: Send) -> Send:
        """Have each part of a body wait for a turn, too."""

        async def send_in_turn(message: Message) -> None:
            if message["type"] == "http.response.body":
                await self.take()
            await send(message)

        return send_in_turn

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._pause:
            loop.call_later(self._pause, self._next, loop)
        else:
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # it was not cancelled
                turn.set_result(None)
                self._schedule(loop)
                return
        self._taken = False


class Shared:
    """Renders for many clients at once: one rendering at a time, and each client gets one that began after its request.

    So no client is answered from a cache, and a single client that asks now and then never waits.
    """

    def __init__(self, render: Callable[[Scope], Awaitable[Answer]], share: float, max_pause: float) -> None:
        """Render for at most this share of the time, with pauses of at most `max_pause` seconds between renderings."""
        self._render = render
        self._pauses = (1 - share) / share
        self._max_pause = max_pause
        self._one = asyncio.Lock()
        self._upcoming: asyncio.Task[Answer] | None = None
        self._not_before = 0.0

    async def get(self, scope: Scope) -> Answer:
        """Give the result of a rendering that begins after this call."""
        if self._upcoming is None:
            self._upcoming = asyncio.get_running_loop().create_task(self._begin(scope))
        return await asyncio.shield(self._upcoming)  # the others still wait for it when this client is gone

    async def _begin(self, scope: Scope) -> Answer:
        async with self._one:
            await asyncio.sleep(self._not_before - perf_counter())
            self._upcoming = None
            start = perf_counter()
            try:
                return await self._render(scope)
            finally:
                end = perf_counter()
                self._not_before = end + min(self._pauses * (end - start), self._max_pause)


def _as_json(make: Callable[[], object]) -> Answer:
    body = bytes(JSONResponse(make()).body)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Answer(int(HTTPStatus.OK), headers, body)


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
