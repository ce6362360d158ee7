"""Answers whose bytes never change while a worker runs: made once, and sent again only to who has others."""

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self

from plan_recommender.serving.error_responses import Header

JSON_TYPE: Final = b"application/json"

_OK, _NOT_MODIFIED = int(HTTPStatus.OK), int(HTTPStatus.NOT_MODIFIED)
_ASK_EACH_TIME: Final[Header] = (b"cache-control", b"no-cache")
"""A client keeps the bytes and asks each time whether they are still those of the entity tag, which takes no body."""


@dataclass(frozen=True)
class Kept:
    """One such answer. Its entity tag is the SHA-256 of its bytes."""

    body: bytes
    etag: bytes
    headers: tuple[Header, ...]
    """All headers of the answer with the body; `content-length` is the last."""

    @classmethod
    def of(cls, body: bytes, content_type: bytes = JSON_TYPE, headers: tuple[Header, ...] = ()) -> Self:
        """Prepare the answer with these bytes, and with further headers."""
        etag = b'"' + hashlib.sha256(body).hexdigest().encode() + b'"'
        length = (b"content-length", b"%d" % len(body))
        return cls(body, etag, ((b"content-type", content_type), (b"etag", etag), _ASK_EACH_TIME, *headers, length))

    def answer(self, asked: list[Header]) -> tuple[int, list[Header], bytes]:
        """Give status, headers and body for a request: 304 without a body if its If-None-Match names these bytes.

        Names of headers must be in lower case, as ASGI servers send them.
        """
        known = b",".join(value for name, value in asked if name == b"if-none-match").split(b",")
        if any(tag.strip().removeprefix(b"W/") in (self.etag, b"*") for tag in known):
            return _NOT_MODIFIED, list(self.headers[:-1]), b""
        return _OK, list(self.headers), self.body
