"""Bodies of requests: what their headers announce, and reading them within limits, also for all of them together."""

import asyncio
from typing import Final

from starlette.types import Receive

from plan_recommender.serving import error_responses, limits
from plan_recommender.serving.error_responses import Header

_USUAL_TYPE: Final = b"application/json"
_MAX_LENGTH_DIGITS: Final = 18  # of a content length; Python refuses to read thousands of them
_UTF8: Final = {"utf-8", "utf8", "us-ascii"}


class Bodies:
    """The bodies that one worker is reading."""

    def __init__(self, max_bytes: int) -> None:
        """Let all bodies that are being read hold at most `max_bytes` together."""
        self._max_bytes = max_bytes
        self._bytes = 0

    async def read(self, receive: Receive, max_bytes: int) -> bytes:
        """Read a body of at most `max_bytes`, counting the bytes that really come.

        Raises:
            Refusal: it is too large, too slow or incomplete, or all bodies together are too large.
        """
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                return await self._read(receive, max_bytes)
        except TimeoutError as error:
            raise error_responses.slow_body(limits.BODY_SECONDS) from error

    async def _read(self, receive: Receive, max_bytes: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise error_responses.incomplete_body()
                part = message.get("body", b"")
                size += len(part)
                self._bytes += len(part)
                if size > max_bytes:
                    raise error_responses.too_large(max_bytes)
                if self._bytes > self._max_bytes:
                    raise error_responses.overloaded()
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
        finally:
            self._bytes -= size


def announced_length(headers: list[Header]) -> int:
    """Give the size of a body by its Content-Length; 0 without one, or if it is not a number.

    Names of headers must be in lower case, as ASGI servers send them.

    Raises:
        Refusal: the headers say that the body is not JSON, or not all of it, or that it is compressed.
    """
    length, media_type, encoding = b"", _USUAL_TYPE, b""
    for name, value in headers:
        if name == b"content-length":
            length = value
        elif name == b"content-type":
            media_type = value
        elif name == b"content-encoding":
            encoding = value.strip().lower()
        elif name == b"inference-header-content-length":
            raise error_responses.binary_tensors()
    if encoding not in (b"", b"identity"):
        raise error_responses.compressed_body()
    if media_type != _USUAL_TYPE and not _is_json(media_type.decode("latin-1")):
        raise error_responses.not_json()
    if not length.isdigit():
        return 0  # the bytes that come are counted in any case
    return int(length) if len(length) <= _MAX_LENGTH_DIGITS else 10**_MAX_LENGTH_DIGITS


def _is_json(content_type: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [p.partition("=")[2].strip("\"' ") for p in parameters if p.partition("=")[0].strip() == "charset"]
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    return is_json and all(charset in _UTF8 for charset in charsets)
