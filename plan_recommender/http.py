"""The HTTP contract: which routes there are, what they refuse, and the one shape of every error.

`HttpContract` is an ASGI application that stands in front of BentoML's. It reads the body with a limit, validates it
with the API's request model and writes the answer of the service's `Recommender`; BentoML's built-in routes are passed
on, and any other path is refused here. BentoML's own handling answers a refusal in three different shapes, blames the
client for faults of the server, takes forms for JSON and reads bodies of any size; and what it does around every
request (a span, an access log record, a timer, metrics labelled with the client's path) takes longer than the answer.
"""

import gc
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
from bentoml import get_current_service
from bentoml._internal import server
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plan_recommender.errors import ModelError
from plan_recommender.recommender import Health, Recommender
from plan_recommender.telemetry import NO_ROUTE, telemetry
from plan_recommender.usage import CustomerUsage, UsageBatch

MIB: Final = 1024 * 1024
MAX_PROBLEMS = 100
"""Most problems that one answer lists; a batch can hold 40,000."""

BODY_SECONDS: Final = 20.0
"""How long a client may take to send a body."""

MAX_KEY = 100
"""Most characters of an unknown field's name that an answer repeats."""

_BENTOMLS_ROUTES: Final = frozenset({"/", "/docs.json", "/schema.json", "/livez", "/readyz", "/healthz", "/metrics"})
_STATIC: Final = "static_content"
_COLLECTOR_THRESHOLDS: Final = (50_000, 20, 100)
"""Allocations before a round of the garbage collector; a round at Python's 700 costs more than it frees."""

_USUAL_TYPE: Final = "application/json"
_HEADERS_READ: Final = frozenset({b"content-encoding", b"content-length", b"content-type"})
_JSON = [(b"content-type", _USUAL_TYPE.encode())]
_LONGEST_LENGTH = 18  # digits of a content length; Python refuses to read thousands of them
_UTF8 = {"utf-8", "utf8", "us-ascii"}

logger = logging.getLogger("bentoml.plan_recommender")


class Problem(BaseModel):
    """One thing that is wrong with a request, and where."""

    model_config = ConfigDict(frozen=True)

    loc: list[str | int]
    msg: str
    type: str


class ErrorAnswer(BaseModel):
    """The body of every answer that is an error."""

    model_config = ConfigDict(frozen=True)

    error: str
    detail: list[Problem]


@dataclass(frozen=True)
class Query:
    """A route without a body."""

    answer: Callable[[Recommender], BaseModel]
    methods: tuple[str, ...] = ("GET", "HEAD")


@dataclass(frozen=True)
class Command:
    """A route with a JSON body."""

    request: type[BaseModel]
    answer: Callable[[Recommender, Any], BaseModel]
    max_bytes: int
    in_thread: bool = False  # a large batch or an explanation would hold up every other request of its worker
    methods: tuple[str, ...] = ("POST",)


ROUTES: Final[dict[str, Query | Command]] = {
    "/predict": Command(CustomerUsage, Recommender.recommend, max_bytes=1 * MIB),
    "/predict_batch": Command(UsageBatch, Recommender.recommend_batch, max_bytes=10 * MIB, in_thread=True),
    "/explain": Command(CustomerUsage, Recommender.explain, max_bytes=1 * MIB, in_thread=True),
    "/health": Query(Recommender.health),
    "/model": Query(Recommender.about),
}


@dataclass(eq=False)
class HttpError(Exception):
    """A request that is answered with an error, and nothing else."""

    status: HTTPStatus
    error: str
    detail: list[Problem]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class HttpContract:
    """ASGI application that answers the routes of the contract and passes BentoML's own on."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand in front of BentoML's application."""
        self._app = app
        # In each lane one at a time: side by side, large batches would only take the interpreter from each other, and
        # from the single predictions between them.
        self._lanes = {path: anyio.CapacityLimiter(1) for path in ROUTES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, _settled(send))
        elif scope["type"] != "http" or _is_bentomls(scope["path"]):
            await self._app(scope, receive, send)
        else:
            await self._handle(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.perf_counter()
        headers = list(_JSON)
        status: HTTPStatus
        try:
            status, body = await _answer(scope, receive, self._lanes)
        except HttpError as error:
            status, body = error.status, ErrorAnswer(error=error.error, detail=error.detail).model_dump_json().encode()
            headers += error.headers
        except ModelError as error:
            logger.error("%s: %s", scope["path"], error)
            status, body = HTTPStatus.SERVICE_UNAVAILABLE, _UNAVAILABLE
            headers.append((b"retry-after", b"5"))
        except Exception:
            logger.exception("%s failed", scope["path"])
            status, body = HTTPStatus.INTERNAL_SERVER_ERROR, _SERVER_FAULT
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        route = scope["path"] if scope["path"] in ROUTES else NO_ROUTE
        telemetry().request(route, status, time.perf_counter() - start)


def _is_bentomls(path: str) -> bool:
    return path in _BENTOMLS_ROUTES or path in _static_files()


@cache
def _static_files() -> frozenset[str]:
    """What BentoML's page at / is made of; named one by one, as it counts requests by their path."""
    folder = Path(server.__file__).parent / _STATIC
    return frozenset(f"/{_STATIC}/{file.name}" for file in folder.iterdir())


def _settled(send: Send) -> Send:
    """Once the service is up, take what it loaded out of the garbage collector's rounds, and let them be fewer."""

    async def send_settled(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            telemetry()
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_COLLECTOR_THRESHOLDS)
        await send(message)

    return send_settled


def _server_side(error: str, kind: str) -> bytes:
    answer = ErrorAnswer(error=error, detail=[Problem(loc=[], msg="the fault is the server's", type=kind)])
    return answer.model_dump_json().encode()


_SERVER_FAULT = _server_side("The service failed to answer; its log says why.", "internal_server_error")
_UNAVAILABLE = _server_side("No model can answer at the moment; try again later.", "service_unavailable")


async def _answer(
    scope: Scope, receive: Receive, lanes: Mapping[str, anyio.CapacityLimiter]
) -> tuple[HTTPStatus, bytes]:
    route = ROUTES.get(scope["path"])
    if route is None:
        raise _refusal(
            HTTPStatus.NOT_FOUND,
            "There is no such path; GET / lists those that there are.",
            "path",
            f"expected one of {', '.join(ROUTES)}",
        )
    if scope["method"] not in route.methods:
        raise _refusal(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{scope['path']} answers {route.methods[0]} only.",
            "method",
            f"expected {route.methods[0]}",
            [(b"allow", ", ".join(route.methods).encode())],
        )
    recommender: Recommender = get_current_service().recommender
    if isinstance(route, Query):
        answer = route.answer(recommender)
        unavailable = isinstance(answer, Health) and answer.status != "ok"
        status = HTTPStatus.SERVICE_UNAVAILABLE if unavailable else HTTPStatus.OK
        return status, answer.model_dump_json().encode()
    headers = _headers(scope)
    _require_json(headers)
    body = await _read_body(receive, headers, route.max_bytes)
    if route.in_thread:
        return HTTPStatus.OK, await anyio.to_thread.run_sync(
            _carry_out, route, recommender, body, limiter=lanes[scope["path"]]
        )
    return HTTPStatus.OK, _carry_out(route, recommender, body)


def _carry_out(command: Command, recommender: Recommender, body: bytes) -> bytes:
    answer = command.answer(recommender, _parse(command, body))
    encoded = answer.model_dump_json().encode()
    telemetry().answer(answer)
    return encoded


def _headers(scope: Scope) -> dict[bytes, str]:
    """Give those that say how to read the body; ASGI servers send names in lower case."""
    return {name: value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS_READ}


def _require_json(headers: dict[bytes, str]) -> None:
    encoding = headers.get(b"content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise _refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The body must not be compressed.",
            "content-encoding",
            "expected no content encoding",
            [(b"accept-encoding", b"identity")],
        )
    if headers.get(b"content-type") == _USUAL_TYPE:
        return
    media_type, *parameters = (part.strip().lower() for part in headers.get(b"content-type", _USUAL_TYPE).split(";"))
    charsets = [p.partition("=")[2].strip("\"' ") for p in parameters if p.partition("=")[0].strip() == "charset"]
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    if not is_json or any(charset not in _UTF8 for charset in charsets):
        raise _refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The body must be JSON in UTF-8, with the content type application/json.",
            "content-type",
            "expected application/json",
            [(b"accept", b"application/json")],
        )


async def _read_body(receive: Receive, headers: dict[bytes, str], max_bytes: int) -> bytes:
    """Read a body, counting the bytes that really come, and no more of them than the limit allows."""
    announced = headers.get(b"content-length", "")
    if announced.isascii() and announced.isdigit() and (len(announced) > _LONGEST_LENGTH or int(announced) > max_bytes):
        raise _too_large(max_bytes)
    message: Message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False) and len(body) <= max_bytes:
        return body  # all of it at once, as bodies of a few hundred bytes come
    try:
        with anyio.fail_after(BODY_SECONDS):
            return await _read_parts(receive, message, max_bytes)
    except TimeoutError as error:
        raise _refusal(
            HTTPStatus.REQUEST_TIMEOUT,
            f"The body did not come within {BODY_SECONDS:g} seconds.",
            "body",
            "expected all of it sooner",
            [(b"connection", b"close")],
        ) from error


async def _read_parts(receive: Receive, message: Message, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            # Nobody reads this answer; it is given so that everything around us sees the request end.
            raise _refusal(
                HTTPStatus.BAD_REQUEST, "The body ended before it was complete.", "body", "expected all of it"
            )
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


def _parse(route: Command, body: bytes) -> BaseModel:
    try:
        return route.request.model_validate_json(body)
    except ValidationError as error:
        count = error.error_count()
        problems = [
            Problem(loc=[_shortened(part) for part in e["loc"]], msg=e["msg"], type=e["type"])
            for e in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_PROBLEMS]
        ]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problems[0].loc).lstrip(".")
    first = f"{where}: {problems[0].msg}" if where else problems[0].msg
    more = f" ({count - 1:,} more; the first {MAX_PROBLEMS} are listed)" if count > MAX_PROBLEMS else ""
    more = more or (f" ({count - 1} more)" if count > 1 else "")
    raise HttpError(HTTPStatus.BAD_REQUEST, f"The request is not valid: {first}{more}.", problems)


def _shortened(part: str | int) -> str | int:
    """Do not send a client's own megabyte back to it."""
    return part if isinstance(part, int) or len(part) <= MAX_KEY else f"{part[:MAX_KEY]}…"


def _too_large(max_bytes: int) -> HttpError:
    return _refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is larger than the limit of {max_bytes:,} bytes.",
        "body",
        f"expected at most {max_bytes:,} bytes",
        # What is left of the body is not read, so the connection cannot carry another request.
        [(b"connection", b"close")],
    )


def _refusal(
    status: HTTPStatus, error: str, where: str, expected: str, headers: list[tuple[bytes, bytes]] | None = None
) -> HttpError:
    kind = status.phrase.lower().replace(" ", "_")
    return HttpError(status, error, [Problem(loc=[where], msg=expected, type=kind)], headers or [])
