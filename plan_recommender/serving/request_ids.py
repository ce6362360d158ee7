"""The names of one request: its own id, and the trace of the caller that it belongs to.

Both come back in the headers of the answer and stand in the log, so that a line of the log is found from an answer, and
the other way round. Nothing else that a client sends gets into either, so both have to be of the form given here.
"""

import re
import secrets
from collections.abc import Mapping
from itertools import count
from typing import Final

from plan_recommender.serving.error_responses import Header

REQUEST_ID: Final = b"x-request-id"
TRACEPARENT: Final = b"traceparent"

MAX_REQUEST_ID: Final = 128
"""Most characters of a request id that is taken over."""

_TOKEN: Final = re.compile(rb"[A-Za-z0-9._:+/=-]{1,%d}" % MAX_REQUEST_ID)
_TRACE: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,200})?"
)
"""W3C Trace Context, section 3.2. Only a version after 00 may have more than four parts, which nobody knows yet."""

_MADE: Final = secrets.token_hex(6).encode() + b"-%x"
_MADE_LINE: Final = REQUEST_ID + b": " + _MADE + b"\r\n"
_numbers = count()


IdLines = bytes
"""The names of one request, as lines of the headers of its answer: the id, and the trace where there is a valid one."""


def id_lines(headers: list[Header], fields: Mapping[bytes, bytes]) -> IdLines:
    """Take the names out of the headers of a request, whose names are in lower case, and which `fields` has by name.

    A request id that is not of the form `_TOKEN` is replaced by a new one. Of two request ids the last counts, as with
    every other header. Two `traceparent` are as good as none, because the request would belong to two traces.
    """
    if REQUEST_ID in fields or TRACEPARENT in fields:
        return _given(headers)
    return _MADE_LINE % next(_numbers)


def new_request_id() -> bytes:
    """Make an id that no other request has: random for this process, and counted in it."""
    return _MADE % next(_numbers)


def fields_of(ids: IdLines) -> dict[str, str | None]:
    """Give what a record of the log says of them."""
    request_id, *traces = (line.partition(": ")[2] for line in ids.decode().splitlines())
    return {"request_id": request_id, "trace_id": traces[0][3:35] if traces else None}


def _given(headers: list[Header]) -> IdLines:
    request_ids = [value for name, value in headers if name == REQUEST_ID]
    traces = [value for name, value in headers if name == TRACEPARENT]
    known = bool(request_ids) and _TOKEN.fullmatch(request_ids[-1]) is not None
    ids = b"%b: %b\r\n" % (REQUEST_ID, request_ids[-1] if known else new_request_id())
    if len(traces) == 1 and (traceparent := _valid(traces[0])) is not None:
        ids += b"%b: %b\r\n" % (TRACEPARENT, traceparent)
    return ids


def _valid(traceparent: bytes) -> bytes | None:
    found = _TRACE.fullmatch(traceparent)
    if found is None or (found[1] == b"00" and found[3] is not None):
        return None
    return traceparent[:55]
