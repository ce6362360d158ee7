"""The HTTP contract: which routes there are, what they refuse, and the one shape of every error.

`HttpContract` is an ASGI middleware that stands where BentoML's own request handling would. It reads the body with a
limit, validates it with the API's request model and writes the answer of the service's `Recommender`. BentoML's
handling answers a refusal in three different shapes, blames the client for faults of the server, takes forms for JSON
and reads bodies of any size. Its metrics, access log, timeouts and built-in routes stay in force around this.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import anyio.to_thread
import bentoml
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plan_recommender.errors import ModelError
from plan_recommender.recommender import Health, Recommender
from plan_recommender.usage import CustomerUsage, UsageBatch

MIB: Final = 1024 * 1024
MAX_PROBLEMS = 100
"""Most problems that one answer lists; a batch can hold 40,000."""

MAX_KEY = 100
"""Most characters of an unknown field's name that an answer repeats."""

_JSON = [(b"content-type", b"application/json")]
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
    """ASGI middleware that answers the routes of the contract and passes everything else on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        route = ROUTES.get(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        headers = list(_JSON)
        try:
            status, answer = await _answer(route, scope, receive)
            body = answer.model_dump_json().encode()
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


def _server_side(error: str, kind: str) -> bytes:
    answer = ErrorAnswer(error=error, detail=[Problem(loc=[], msg="the fault is the server's", type=kind)])
    return answer.model_dump_json().encode()


_SERVER_FAULT = _server_side("The service failed to answer; its log says why.", "internal_server_error")
_UNAVAILABLE = _server_side("No model can answer at the moment; try again later.", "service_unavailable")


async def _answer(route: Query | Command, scope: Scope, receive: Receive) -> tuple[HTTPStatus, BaseModel]:
    if scope["method"] not in route.methods:
        raise _refusal(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{scope['path']} answers {route.methods[0]} only.",
            "method",
            f"expected {route.methods[0]}",
            [(b"allow", ", ".join(route.methods).encode())],
        )
    recommender: Recommender = bentoml.get_current_service().recommender
    if isinstance(route, Query):
        answer = route.answer(recommender)
        unavailable = isinstance(answer, Health) and answer.status != "ok"
        return HTTPStatus.SERVICE_UNAVAILABLE if unavailable else HTTPStatus.OK, answer
    headers = _headers(scope)
    _require_json(headers)
    body = await _read_body(receive, headers, route.max_bytes)
    if route.in_thread:
        return HTTPStatus.OK, await anyio.to_thread.run_sync(lambda: route.answer(recommender, _parse(route, body)))
    return HTTPStatus.OK, route.answer(recommender, _parse(route, body))


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _require_json(headers: dict[str, str]) -> None:
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise _refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The body must not be compressed.",
            "content-encoding",
            "expected no content encoding",
            [(b"accept-encoding", b"identity")],
        )
    media_type, *parameters = (
        part.strip().lower() for part in headers.get("content-type", "application/json").split(";")
    )
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


async def _read_body(receive: Receive, headers: dict[str, str], max_bytes: int) -> bytes:
    """Read a body, counting the bytes that really come, and no more of them than the limit allows."""
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and (len(announced) > _LONGEST_LENGTH or int(announced) > max_bytes):
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
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
