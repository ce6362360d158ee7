"""Answers whose bytes never change while a worker runs: made once, and sent again only to who has others."""

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self

from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.messages import lines

JSON_TYPE: Final = b"application/json"

_OK, _NOT_MODIFIED = int(HTTPStatus.OK), int(HTTPStatus.NOT_MODIFIED)
_ASK_EACH_TIME: Final[Header] = (b"cache-control", b"no-cache")
"""A client keeps the bytes and asks each time whether they are still those of the entity tag, which takes no body."""


@dataclass(frozen=True)
class Kept:
    """One such answer. Its entity tag is the SHA-256 of its bytes."""

    body: bytes
    etag: bytes
    head: bytes
    """The lines of all headers but the length."""

    @classmethod
    def of(cls, body: bytes, content_type: bytes = JSON_TYPE, headers: tuple[Header, ...] = ()) -> Self:
        """Prepare the answer with these bytes, and with further headers."""
        etag = b'"' + hashlib.sha256(body).hexdigest().encode() + b'"'
        return cls(body, etag, lines(((b"content-type", content_type), (b"etag", etag), _ASK_EACH_TIME, *headers)))

    def answer(self, asked: list[Header]) -> tuple[int, bytes, bytes]:
        """Give status, head and body for a request: 304 without a body if its If-None-Match names these bytes.

        Names of headers must be in lower case, as ASGI servers send them.
        """
        known = b",".join(value for name, value in asked if name == b"if-none-match").split(b",")
        if any(tag.strip().removeprefix(b"W/") in (self.etag, b"*") for tag in known):
            return _NOT_MODIFIED, self.head, b""
        return _OK, b"%bcontent-length: %d\r\n" % (self.head, len(self.body)), self.body
