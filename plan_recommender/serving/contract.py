"""The HTTP contract: which routes there are, what they refuse, and how a request is answered.

`HttpContract` is an ASGI application that stands in front of BentoML's. It reads the body with a limit, validates it
with the API's request model and writes the answer of the service's `Recommender`; BentoML's built-in routes are passed
on, and any other path is refused here. BentoML's own handling answers a refusal in three different shapes, blames the
client for faults of the server, takes forms for JSON and reads bodies of any size; and what it does around every
request (a span, an access log record, a timer, metrics labelled with the client's path) takes longer than the answer.
"""

import asyncio
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from time import perf_counter
from typing import Any, Final

from bentoml import get_current_service
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving import error_responses
from plan_recommender.serving.auth import Access
from plan_recommender.serving.bentoml_routes import BentoRoutes, Documents
from plan_recommender.serving.error_responses import CLOSE, Header, Refusal
from plan_recommender.serving.metrics import NO_ROUTE, telemetry
from plan_recommender.serving.overload import MOST_WAITING, Drain, Lane, Queue
from plan_recommender.serving.patches.connection import (
    ARRIVED,
    MAX_HEAD_BYTES,
    WHOLE_ANSWER,
    WHOLE_BODY,
    WholeAnswer,
    WholeBody,
)
from plan_recommender.serving.recommender import Answered, Recommender
from plan_recommender.serving.schemas import (
    MAX_BATCH_ROWS,
    BatchRecommendation,
    Explanation,
    Health,
    Recommendation,
    UsageBatch,
)
from plan_recommender.serving.settings import Environment

MIB: Final = 1024 * 1024
BODY_SECONDS: Final = 20.0
"""How long a client may take to send a body."""

_COLLECTOR_THRESHOLDS: Final = (50_000, 20, 100)
"""Allocations before a round of the garbage collector; a round at Python's 700 costs more than it frees."""

_SWITCH_SECONDS: Final = 0.0005
"""After which the thread of a large batch lets single predictions in between; Python's own is ten times as long."""

_OK, _UNAVAILABLE = int(HTTPStatus.OK), int(HTTPStatus.SERVICE_UNAVAILABLE)  # an enumeration is slow to compare
_USUAL_TYPE: Final = b"application/json"
_CONTENT_TYPE: Final[Header] = (b"content-type", _USUAL_TYPE)
_LONGEST_LENGTH = 18  # digits of a content length; Python refuses to read thousands of them
_UTF8 = {"utf-8", "utf8", "us-ascii"}

logger = logging.getLogger("bentoml.plan_recommender")


@dataclass(frozen=True)
class Query:
    """A route without a body."""

    answer: Callable[[Recommender], BaseModel]
    methods: tuple[str, ...] = ("GET", "HEAD")


@dataclass(frozen=True)
class Command:
    """A route with a JSON body."""

    request: type[BaseModel]
    response: type[BaseModel]
    answer: Callable[[Recommender, Any], Answered]
    """Gives the JSON of a `response`."""
    max_bytes: int
    most_names: int = 1_000
    """Names and strings in a body; each that is unknown makes an error of some hundred bytes."""
    methods: tuple[str, ...] = ("POST",)


ROUTES: Final[dict[str, Query | Command]] = {
    "/predict": Command(CustomerUsage, Recommendation, Recommender.recommend_json, max_bytes=1 * MIB),
    "/predict_batch": Command(
        UsageBatch,
        BatchRecommendation,
        Recommender.recommend_batch_json,
        max_bytes=10 * MIB,
        most_names=5 * MAX_BATCH_ROWS,
    ),
    "/explain": Command(CustomerUsage, Explanation, Recommender.explain_json, max_bytes=1 * MIB),
    "/health": Query(Recommender.health),
    "/model": Query(Recommender.about),
}


class HttpContract:
    """ASGI application that answers the routes of the contract and passes BentoML's own on."""

    def __init__(self, app: ASGIApp, access: Access, environment: Environment, documents: Documents) -> None:
        """Stand in front of BentoML's application; `documents` make those of its paths whose answer never changes."""
        self._app = app
        self._bentoml_routes = BentoRoutes(app, documents)
        self._access = access
        self._recommender: Recommender | None = None
        self.queue = Queue(MOST_WAITING)
        self._lanes = {  # a single prediction is quick, and would hold up nobody in the event loop
            "/predict_batch": Lane(environment.max_batches),
        }
        self._drain = Drain(self.queue)
        self._max_bodies_bytes = environment.max_bodies_mib * MIB
        self._bodies_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._settled(send))
        elif scope["type"] != "http" or (
            BentoRoutes.has(scope["path"]) and self._access.allows(scope["path"], scope["headers"])
        ):
            await self._bentoml_routes(scope, receive, send)
        else:
            await self._handle(scope, receive, send)

    def is_work(self, scope: Scope) -> bool:
        """Tell whether a request is one that takes its time: those wait for their turn, and others do not.

        One without the key is none: who may not ask takes nobody's place.
        """
        path = scope["path"]
        route = ROUTES.get(path)
        return (
            isinstance(route, Command)
            and scope["method"] in route.methods
            and self._access.allows(path, scope["headers"])
        )

    def admits(self, path: str) -> bool:
        """Tell whether there is room for one more request that is work."""
        if self._drain.started:
            return True  # nothing new comes, and connections are closed after their answer
        lane = self._lanes.get(path)
        return self.queue.admits() and (lane is None or lane.admits())

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        extensions = scope.get("extensions", {})
        start: float = extensions.get(ARRIVED) or perf_counter()
        # Taken out, as they refer to the request, which refers to the scope: a circle would wait for the collector.
        whole_answer: WholeAnswer | None = extensions.pop(WHOLE_ANSWER, None)
        whole_body: WholeBody | None = extensions.pop(WHOLE_BODY, None)
        headers: list[Header] = [_CONTENT_TYPE]
        reason = ""
        self._drain.under_way += 1
        try:
            try:
                answer = await self._answer(scope, receive, whole_body)
            except Refusal as refusal:
                answer = refusal
            if isinstance(answer, Refusal):
                status, body, reason = int(answer.status), answer.body, answer.reason
                headers += answer.headers
                del answer  # it refers to the frame that raised it
            else:
                status, body = answer
            headers.append((b"content-length", b"%d" % len(body)))
            if self._drain.started and CLOSE not in headers:
                headers.append(CLOSE)
            content = b"" if scope["method"] == "HEAD" else body
            if whole_answer is None or not whole_answer(status, headers, content):
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": content})
        finally:
            self._drain.under_way -= 1
        telemetry().request(path if path in ROUTES else NO_ROUTE, status, reason, perf_counter() - start)

    async def _answer(
        self, scope: Scope, receive: Receive, whole_body: WholeBody | None
    ) -> tuple[int, bytes] | Refusal:
        path: str = scope["path"]
        try:
            if _head_bytes(scope) > MAX_HEAD_BYTES:
                raise error_responses.head_too_large(MAX_HEAD_BYTES)
            if not self._access.allows(path, scope["headers"]):
                raise error_responses.unknown_key()
            route = ROUTES.get(path)
            if route is None:
                raise error_responses.no_such_path(ROUTES)
            if scope["method"] not in route.methods:
                raise error_responses.other_method(path, route.methods)
            recommender = self._recommender
            if recommender is None:  # the first request: the service is made after this application
                recommender = self._recommender = get_current_service().recommender
            if isinstance(route, Query):
                answer = route.answer(recommender)
                unavailable = isinstance(answer, Health) and answer.status != "ok"
                return _UNAVAILABLE if unavailable else _OK, answer.model_dump_json().encode()
            lane = self._lanes.get(path)
            if self._drain.refusing:
                raise error_responses.stopping()
            if _announced_length(scope["headers"]) > route.max_bytes:
                raise error_responses.too_large(route.max_bytes)
            if lane:
                await lane.let_in()
            body = whole_body() if whole_body else None
            if body is None:
                body = await self._read_body(receive, route.max_bytes)
            elif len(body) > route.max_bytes:
                raise error_responses.too_large(route.max_bytes)
            if not lane:
                return _carry_out(route, recommender, body)
            if not lane.admits():  # it has been filled meanwhile
                body = b""  # which would else be kept until the refusal
            await lane.let_in()
            return await lane.carry_out(_carry_out, route, recommender, body)
        except Refusal:
            raise
        except Exception as error:
            logger.exception("%s failed", path)
            raise error_responses.fault() from error

    async def _read_body(self, receive: Receive, max_bytes: int) -> bytes:
        """Read a body, counting the bytes that really come, and no more of them than the limits allow."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._read_parts(receive, max_bytes)
        except TimeoutError as error:
            raise error_responses.slow_body(BODY_SECONDS) from error

    async def _read_parts(self, receive: Receive, max_bytes: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise error_responses.incomplete_body()
                part = message.get("body", b"")
                size += len(part)
                self._bodies_bytes += len(part)
                if size > max_bytes:
                    raise error_responses.too_large(max_bytes)
                if self._bodies_bytes > self._max_bodies_bytes:
                    raise error_responses.overloaded()
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
        finally:
            self._bodies_bytes -= size

    def _settled(self, send: Send) -> Send:
        """Once the service is up, settle the process: what it loaded leaves the garbage collector's rounds."""

        async def send_settled(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                telemetry().begin(ROUTES, get_current_service().recommender.tag)
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_COLLECTOR_THRESHOLDS)
                sys.setswitchinterval(_SWITCH_SECONDS)
                stop = signal.getsignal(signal.SIGTERM)
                if callable(stop) and threading.current_thread() is threading.main_thread():
                    self._drain.before(stop)
            elif message["type"] == "lifespan.shutdown.complete":
                telemetry().flush()
            await send(message)

        return send_settled


def _carry_out(command: Command, recommender: Recommender, body: bytes) -> tuple[int, bytes] | Refusal:
    # A refusal is returned and not raised: raised in a thread it would hold on to the body, in a circle of frames and
    # futures that waits for the garbage collector.
    if body.count(b'"') > 2 * command.most_names:
        return error_responses.too_many_names(command.most_names)
    try:
        request = command.request.model_validate_json(body)
    except ValidationError as error:
        return error_responses.not_valid(error)
    answered = command.answer(recommender, request)
    telemetry().answer(recommender.tag, answered.predictions, answered.probabilities)
    return _OK, answered.body


def _head_bytes(scope: Scope) -> int:
    return (
        len(scope.get("raw_path") or scope["path"])
        + len(scope["query_string"])
        + len(b"".join(chain(*scope["headers"])))
    )


def _announced_length(headers: list[Header]) -> int:
    """Give the bytes that a body is said to have, 0 without that; ASGI servers send names in lower case.

    Raises:
        Refusal: it is not said to be JSON as it stands.
    """
    length, media_type, encoding = b"", _USUAL_TYPE, b""
    for name, value in headers:
        if name == b"content-length":
            length = value
        elif name == b"content-type":
            media_type = value
        elif name == b"content-encoding":
            encoding = value.strip().lower()
    if encoding not in (b"", b"identity"):
        raise error_responses.compressed_body()
    if media_type != _USUAL_TYPE and not _is_json(media_type.decode("latin-1")):
        raise error_responses.not_json()
    if not length.isdigit():
        return 0  # what comes is counted in any case
    return int(length) if len(length) <= _LONGEST_LENGTH else 10**_LONGEST_LENGTH


def _is_json(content_type: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [p.partition("=")[2].strip("\"' ") for p in parameters if p.partition("=")[0].strip() == "charset"]
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    return is_json and all(charset in _UTF8 for charset in charsets)
