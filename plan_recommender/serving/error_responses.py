"""Error responses: the one shape that all of them have, and a function for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from plan_recommender.billing.given_minutes import Bounds

MAX_PROBLEMS: Final = 100
"""The number of problems that one response lists at most; a batch can hold 40,000."""

MAX_KEY: Final = 100
"""The number of characters of an unknown field's name that a response repeats at most."""

RETRY_SECONDS: Final = 1
"""After how long a client may try again when the service is overloaded or stopping: the value of Retry-After."""

OVERLOAD: Final = "overload"
"""The reason of a refusal under overload."""

STOPPING: Final = "stopping"
"""The reason of what is not answered because the service was told to stop."""

Header = tuple[bytes, bytes]

CLOSE: Final[Header] = (b"connection", b"close")

_ACCEPTS_JSON: Final[Header] = (b"accept", b"application/json")


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


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818  # an answer to a client, not an error of the program
    """A request that is answered with an error, and nothing else."""

    status: HTTPStatus
    error: str
    detail: list[Problem]
    headers: Sequence[Header] = field(default_factory=tuple)
    reason: str = ""
    """What the metrics call it."""
    body: bytes = b""
    """The error in the one shape, as JSON."""

    def __post_init__(self) -> None:
        if not self.body:
            self.body = ErrorAnswer(error=self.error, detail=self.detail).model_dump_json().encode()

    def whole_headers(self) -> list[Header]:
        """Give the headers with those that describe the body, but not what ends the connection."""
        length = (b"content-length", b"%d" % len(self.body))
        return [(b"content-type", b"application/json"), *(h for h in self.headers if h != CLOSE), length]

    @property
    def closes(self) -> bool:
        """Whether the connection cannot carry another request."""
        return CLOSE in self.headers


def no_such_path(paths: Iterable[str]) -> Refusal:
    """404: neither the contract nor BentoML has such a path."""
    error = "There is no such path; GET / lists those that there are."
    return _refusal(HTTPStatus.NOT_FOUND, "path", error, "path", f"expected one of {', '.join(paths)}")


def other_version(version: str) -> Refusal:
    """404: the path names another version of the model than the one that is served."""
    error = "There is no such version of the model; the path without /versions/… is that of the version that is served."
    return _refusal(HTTPStatus.NOT_FOUND, "path", error, "version", f"expected {version}")


def other_method(path: str, methods: Sequence[str]) -> Refusal:
    """405: the path has no such method; the header Allow lists those that it has."""
    allowed = (b"allow", ", ".join(methods).encode())
    error, expected = f"{path} answers {methods[0]} only.", f"expected {methods[0]}"
    return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method", error, "method", expected, allowed)


def unknown_key() -> Refusal:
    """401: the request does not carry the service's API key."""
    error = "The request needs the service's API key, as `Authorization: Bearer <key>`."
    header = (b"www-authenticate", b"Bearer")
    return _refusal(HTTPStatus.UNAUTHORIZED, "key", error, "authorization", "expected the API key", header)


def compressed_body() -> Refusal:
    """415: the body is compressed, which could make a small body a large one."""
    header = (b"accept-encoding", b"identity")
    return _not_taken("The body must not be compressed.", "content-encoding", "expected no content encoding", header)


def not_json() -> Refusal:
    """415: by its headers the body is not JSON in UTF-8."""
    error = "The body must be JSON in UTF-8, with the content type application/json."
    return _not_taken(error, "content-type", "expected application/json", _ACCEPTS_JSON)


def binary_tensors() -> Refusal:
    """415: by its headers the body holds tensors in binary after its JSON, an extension of the inference protocol."""
    error = "The body must be JSON, without tensors in binary; with tritonclient set binary_data=False."
    return _not_taken(error, "inference-header-content-length", "expected no such header", _ACCEPTS_JSON)


def too_large(max_bytes: int) -> Refusal:
    """413: the rest of the body is not read, so the connection cannot carry another request."""
    return _above(max_bytes, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body", "body")


def head_too_large(max_bytes: int) -> Refusal:
    """431: path and headers together are too large."""
    return _above(max_bytes, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request", "head")


def slow_body(seconds: float) -> Refusal:
    """408: the body did not come in time."""
    return _slow(f"The body did not come within {seconds:g} seconds.", "body")


def slow_head(seconds: float) -> Refusal:
    """408: the head did not come in time."""
    return _slow(f"The head of a request did not come within {seconds:g} seconds.", "head")


def incomplete_body() -> Refusal:
    """400: the client is gone and reads no answer, but metrics and drain have to see the request end."""
    return _invalid("The body ended before it was complete.", "body", "expected all of it")


def not_http() -> Refusal:
    """400: the bytes are not HTTP."""
    return _invalid("The request is not HTTP.", "head", "expected HTTP/1.1", CLOSE)


def not_valid(error: ValidationError) -> Refusal:
    """400: validation failed; the response lists the first problems that pydantic found."""
    count = error.error_count()
    problems = [
        Problem(loc=[_shortened(part) for part in e["loc"]], msg=e["msg"], type=e["type"])
        for e in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_PROBLEMS]
    ]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problems[0].loc).lstrip(".")
    first = f"{where}: {problems[0].msg}" if where else problems[0].msg
    more = f" ({count - 1:,} more; the first {MAX_PROBLEMS} are listed)" if count > MAX_PROBLEMS else ""
    more = more or (f" ({count - 1} more)" if count > 1 else "")
    return Refusal(HTTPStatus.BAD_REQUEST, f"The request is not valid: {first}{more}.", problems, reason="invalid")


def too_many_names(max_names: int) -> Refusal:
    """400: the body has so many names that listing what is wrong with each would take long."""
    error = f"The request is not valid: it holds more than {max_names:,} names and strings."
    return _invalid(error, "body", "expected the fields that the route documents")


def too_many_values(max_values: int) -> Refusal:
    """400: the body lists so many values that looking at each would take long."""
    error = f"The request is not valid: it lists more than {max_values:,} values."
    return _invalid(error, "body", "expected the fields that the route documents")


def unknown_plan(plans: Sequence[str]) -> Refusal:
    """400: the request names a plan that the tariffs do not have."""
    expected = f"Input should be {' or '.join(map(repr, plans))}, or null"
    return _invalid(f"The request is not valid: plan: {expected}.", "plan", expected)


def impossible_minutes(places: Sequence[tuple[int, Bounds]]) -> Refusal:
    """400: billed minutes contradict the calls and the minutes of the same month.

    Args:
        places: of these months in the request, and what can be.
    """
    problems = [
        Problem(
            loc=["months", place, "billed_minutes"],
            msg=f"Input should be {bounds}, because each call is rounded by a minute at most, or null",
            type="contradiction",
        )
        for place, bounds in places
    ]
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    where = f"months[{places[0][0]}].billed_minutes"
    error = f"The request is not valid: {where}: {problems[0].msg}{more}."
    return Refusal(HTTPStatus.BAD_REQUEST, error, problems, reason="invalid")


def overloaded() -> Refusal:
    """503: more requests come than can be answered soon."""
    return replace(_OVERLOADED)  # a copy, because an exception that is raised changes; its body is ready


def stopping() -> Refusal:
    """503: this process is about to end."""
    return _unavailable("The service is stopping; try again later.", STOPPING, CLOSE)


def fault() -> Refusal:
    """500: the service failed; the log holds the exception."""
    return _servers(HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed to answer; its log says why.", "fault")


def _invalid(error: str, where: str, expected: str, *headers: Header) -> Refusal:
    return _refusal(HTTPStatus.BAD_REQUEST, "invalid", error, where, expected, *headers)


def _not_taken(error: str, where: str, expected: str, accepted: Header) -> Refusal:
    return _refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media_type", error, where, expected, accepted)


def _above(max_bytes: int, status: HTTPStatus, what: str, where: str) -> Refusal:
    limit = f"{max_bytes:,} bytes"
    return _refusal(
        status, "size", f"{what} is larger than the limit of {limit}.", where, f"expected at most {limit}", CLOSE
    )


def _slow(error: str, where: str) -> Refusal:
    return _refusal(HTTPStatus.REQUEST_TIMEOUT, "slow", error, where, "expected all of it sooner", CLOSE)


def _refusal(status: HTTPStatus, reason: str, error: str, where: str, expected: str, *headers: Header) -> Refusal:
    return Refusal(status, error, [Problem(loc=[where], msg=expected, type=_type(status))], headers, reason)


def _unavailable(error: str, reason: str, *headers: Header) -> Refusal:
    retry = (b"retry-after", b"%d" % RETRY_SECONDS)
    return _servers(HTTPStatus.SERVICE_UNAVAILABLE, error, reason, retry, *headers)


def _servers(status: HTTPStatus, error: str, reason: str, *headers: Header) -> Refusal:
    problem = Problem(loc=[], msg="the fault is the server's", type=_type(status))
    return Refusal(status, error, [problem], headers, reason)


def _type(status: HTTPStatus) -> str:
    return status.phrase.lower().replace(" ", "_")


def _shortened(part: str | int) -> str | int:
    """Shorten a name that the client chose, which can be as long as its body."""
    return part if isinstance(part, int) or len(part) <= MAX_KEY else f"{part[:MAX_KEY]}…"


_OVERLOADED: Final = _unavailable("The service is overloaded; try again later.", OVERLOAD)
