"""BentoML's own routes, answered so that a client who asks for them a lot does not keep the worker from predicting.

BentoML makes /docs.json and /schema.json anew for every request and in the event loop, though they never change, and it
renders /metrics for as many clients side by side as ask. Here those two documents are made once, one rendering of
/metrics serves all clients that wait for it, and requests to BentoML's routes are answered one after the other, so that
predictions are answered in between.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from http import HTTPStatus
from time import perf_counter
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message

from plan_recommender.serving import error_responses
from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.messages import Request, Response, lines
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


def is_bentomls(path: str) -> bool:
    """Tell whether BentoML answers a path."""
    return path in _ROUTES or path in bentoml_internals.static_files()


class BentoRoutes:
    """Has BentoML's ASGI application answer the routes that BentoML brings along."""

    def __init__(self, app: ASGIApp, documents: Documents) -> None:
        """Stand in front of `app`; `documents` make what paths answer with JSON that never changes."""
        self._app = app
        # A document is made when it is first asked for: making both at the start would delay it by 25 ms.
        self._documents = {path: cache(partial(_as_json, make)) for path, make in documents.items()}
        self._metrics = Shared(self._render_metrics, RENDERING_SHARE, MAX_PAUSE_SECONDS)
        self._document_turns = Turns()
        self._probe_turns, self._page_turns = Turns(PROBE_PAUSE_SECONDS), Turns(PAGE_PAUSE_SECONDS)

    async def answer(self, request: Request) -> Response:
        """Answer one request to a path of which `is_bentomls` is true."""
        try:
            return await self._answer(request)
        except Exception:
            logger.exception("%s failed", request.path)
            return _FAULT.without_body() if request.method == "HEAD" else _FAULT

    async def _answer(self, request: Request) -> Response:
        path, method = request.path, request.method
        if path in _PROBES:
            await self._probe_turns.take()
            return await self._ask(request)
        if method in _READING and (path == _METRICS or path in self._documents):
            answer = await self._metrics.get() if path == _METRICS else self._documents[path]()
            await self._document_turns.take()
            return answer.without_body() if method == "HEAD" else answer
        await self._page_turns.take()
        return await self._ask(request, self._page_turns)

    async def _render_metrics(self) -> Response:
        """Have BentoML render the series, which it does in a thread."""
        telemetry().flush()  # in the event loop, which owns what is entered
        try:
            # The answer is for all clients that wait, so nothing in it comes from one of their requests.
            return await self._ask(Request("GET", _METRICS, [], 0.0))
        except Exception:
            logger.exception("%s failed", _METRICS)
            return _FAULT

    async def _ask(self, request: Request, turns: "Turns | None" = None) -> Response:
        """Call BentoML's application; each part of its body waits for a turn."""
        headers = [header for header in request.headers if header[0] in _FORWARDED_HEADERS]
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "scheme": "http",
            "method": request.method, "path": request.path, "raw_path": request.path.encode(), "root_path": "",
            "query_string": b"", "headers": headers, "client": None, "server": None, "state": {},
        }  # fmt: skip
        received, parts = _NoBody(), list[bytes]()
        start: Message = {}

        async def send(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            else:
                if turns is not None:
                    await turns.take()
                parts.append(message.get("body", b""))

        await self._app(scope, received, send)
        answer = _whole(start["status"], list(start["headers"]), b"".join(parts))
        return answer.without_body() if request.method == "HEAD" else answer


class Turns:
    """Lets one request continue in each turn of the event loop, or after a pause, in the order in which they came.

    A turn ends by itself, so a client that does not read its answer does not hold up the others.
    """

    def __init__(self, pause: float = 0.0) -> None:
        """Pause `pause` seconds between two requests; 0 means until the next turn of the event loop."""
        self._pause = pause
        self._one = asyncio.Lock()
        self._not_before = 0.0

    async def take(self) -> None:
        """Wait for a turn."""
        async with self._one:
            await asyncio.sleep(self._not_before - perf_counter())  # at least until the next turn
            self._not_before = perf_counter() + self._pause


class Shared:
    """Renders for many clients at once: one rendering at a time, and each client gets one that began after its request.

    So no client is answered from a cache, and a single client that asks now and then never waits.
    """

    def __init__(self, render: Callable[[], Awaitable[Response]], share: float, max_pause: float) -> None:
        """Render for at most this share of the time, with pauses of at most `max_pause` seconds between renderings."""
        self._render = render
        self._pauses = (1 - share) / share
        self._max_pause = max_pause
        self._one = asyncio.Lock()
        self._upcoming: asyncio.Task[Response] | None = None
        self._not_before = 0.0

    async def get(self) -> Response:
        """Give the result of a rendering that begins after this call."""
        if self._upcoming is None:
            self._upcoming = asyncio.get_running_loop().create_task(self._begin())
        return await asyncio.shield(self._upcoming)  # the others still wait for it when this client is gone

    async def _begin(self) -> Response:
        async with self._one:
            await asyncio.sleep(self._not_before - perf_counter())
            self._upcoming = None
            start = perf_counter()
            try:
                return await self._render()
            finally:
                end = perf_counter()
                self._not_before = end + min(self._pauses * (end - start), self._max_pause)


class _NoBody:
    """What a request without a body receives, from a client that stays."""

    def __init__(self) -> None:
        self._given = False

    async def __call__(self) -> Message:
        if self._given:
            await asyncio.get_running_loop().create_future()
        self._given = True
        return {"type": "http.request", "body": b"", "more_body": False}


def _as_json(make: Callable[[], object]) -> Response:
    return _whole(int(HTTPStatus.OK), [(b"content-type", b"application/json")], bytes(JSONResponse(make()).body))


def _whole(status: int, headers: list[Header], body: bytes) -> Response:
    """Give a response with its length, which BentoML does not know of what it sends in parts."""
    without_body = status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
    if not without_body and not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(body)))
    return Response(status, lines(headers), body)


def _fault() -> Response:
    refusal = error_responses.fault()
    return Response(int(refusal.status), lines(refusal.whole_headers()), refusal.body)


_FAULT: Final = _fault()
