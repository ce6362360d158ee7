"""What a request that is not answered gets instead: the one shape of every error, and each refusal in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

MAX_PROBLEMS: Final = 100
"""Most problems that one answer lists; a batch can hold 40,000."""

MAX_KEY: Final = 100
"""Most characters of an unknown field's name that an answer repeats."""

RETRY_SECONDS: Final = 1
"""When an overloaded or stopping service asks to be asked again."""

OVERLOAD: Final = "overload"
"""The reason of a refusal under overload."""

Header = tuple[bytes, bytes]

CLOSE: Final[Header] = (b"connection", b"close")


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
class Refusal(Exception):  # noqa: N818  # an answer to a client, and no error of the program
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

    def response(self) -> bytes:
        """Give the whole answer as it goes over the wire, for where no ASGI server writes it."""
        lines = [f"HTTP/1.1 {int(self.status)} {self.status.phrase}".encode()]
        lines += [name + b": " + value for name, value in self.whole_headers()]
        return b"\r\n".join([*lines, b"", self.body])

    def whole_headers(self) -> list[Header]:
        """Give the headers with those that describe the body."""
        length = (b"content-length", b"%d" % len(self.body))
        return [(b"content-type", b"application/json"), *self.headers, length]


def no_such_path(paths: Iterable[str]) -> Refusal:
    """404."""
    return _refusal(
        HTTPStatus.NOT_FOUND,
        "There is no such path; GET / lists those that there are.",
        "path",
        f"expected one of {', '.join(paths)}",
        reason="path",
    )


def other_method(path: str, methods: Sequence[str]) -> Refusal:
    """405."""
    return _refusal(
        HTTPStatus.METHOD_NOT_ALLOWED,
        f"{path} answers {methods[0]} only.",
        "method",
        f"expected {methods[0]}",
        [(b"allow", ", ".join(methods).encode())],
        reason="method",
    )


def unknown_key() -> Refusal:
    """401."""
    return _refusal(
        HTTPStatus.UNAUTHORIZED,
        "The request needs the service's API key, as `Authorization: Bearer <key>`.",
        "authorization",
        "expected the API key",
        [(b"www-authenticate", b"Bearer")],
        reason="key",
    )


def compressed_body() -> Refusal:
    """415."""
    return _refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body must not be compressed.",
        "content-encoding",
        "expected no content encoding",
        [(b"accept-encoding", b"identity")],
        reason="media_type",
    )


def not_json() -> Refusal:
    """415."""
    return _refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body must be JSON in UTF-8, with the content type application/json.",
        "content-type",
        "expected application/json",
        [(b"accept", b"application/json")],
        reason="media_type",
    )


def too_large(max_bytes: int) -> Refusal:
    """413; what is left of the body is not read, so the connection cannot carry another request."""
    return _refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is larger than the limit of {max_bytes:,} bytes.",
        "body",
        f"expected at most {max_bytes:,} bytes",
        [CLOSE],
        reason="size",
    )


def head_too_large(max_bytes: int) -> Refusal:
    """431."""
    return _refusal(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"The head of the request is larger than the limit of {max_bytes:,} bytes.",
        "head",
        f"expected at most {max_bytes:,} bytes",
        [CLOSE],
        reason="size",
    )


def slow_body(seconds: float) -> Refusal:
    """408."""
    return _refusal(
        HTTPStatus.REQUEST_TIMEOUT,
        f"The body did not come within {seconds:g} seconds.",
        "body",
        "expected all of it sooner",
        [CLOSE],
        reason="slow",
    )


def slow_head(seconds: float) -> Refusal:
    """408."""
    return _refusal(
        HTTPStatus.REQUEST_TIMEOUT,
        f"The head of a request did not come within {seconds:g} seconds.",
        "head",
        "expected all of it sooner",
        [CLOSE],
        reason="slow",
    )


def incomplete_body() -> Refusal:
    """400, which nobody reads; it is given so that everything around the application sees the request end."""
    return _refusal(
        HTTPStatus.BAD_REQUEST, "The body ended before it was complete.", "body", "expected all of it", reason="invalid"
    )


def not_http() -> Refusal:
    """400."""
    return _refusal(
        HTTPStatus.BAD_REQUEST, "The request is not HTTP.", "head", "expected HTTP/1.1", [CLOSE], reason="invalid"
    )


def not_valid(error: ValidationError) -> Refusal:
    """400, with the first problems that pydantic found."""
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


def too_many_names(most: int) -> Refusal:
    """400, before anything looks for what is wrong with each of them."""
    return _refusal(
        HTTPStatus.BAD_REQUEST,
        f"The request is not valid: it holds more than {most:,} names and strings.",
        "body",
        "expected the fields that the route documents",
        reason="invalid",
    )


def overloaded() -> Refusal:
    """503: more is asked than can be answered soon."""
    return replace(_OVERLOADED)  # a new one, as it is raised, but its body is written already: it has to be cheap


def stopping() -> Refusal:
    """503: this process is about to end."""
    refusal = _server_side(
        HTTPStatus.SERVICE_UNAVAILABLE, "The service is stopping; try again later.", RETRY_SECONDS, reason="stopping"
    )
    refusal.headers = [*refusal.headers, CLOSE]
    return refusal


def fault() -> Refusal:
    """500."""
    return _server_side(
        HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed to answer; its log says why.", reason="fault"
    )


def _refusal(
    status: HTTPStatus, error: str, where: str, expected: str, headers: Sequence[Header] = (), *, reason: str
) -> Refusal:
    return Refusal(status, error, [Problem(loc=[where], msg=expected, type=_type(status))], headers, reason)


def _server_side(status: HTTPStatus, error: str, retry_seconds: int = 0, *, reason: str) -> Refusal:
    headers = [(b"retry-after", str(retry_seconds).encode())] if retry_seconds else []
    problem = Problem(loc=[], msg="the fault is the server's", type=_type(status))
    return Refusal(status, error, [problem], headers, reason)


def _type(status: HTTPStatus) -> str:
    return status.phrase.lower().replace(" ", "_")


def _shortened(part: str | int) -> str | int:
    """Do not send a client's own megabyte back to it."""
    return part if isinstance(part, int) or len(part) <= MAX_KEY else f"{part[:MAX_KEY]}…"


_OVERLOADED: Final = _server_side(
    HTTPStatus.SERVICE_UNAVAILABLE, "The service is overloaded; try again later.", RETRY_SECONDS, reason=OVERLOAD
)
