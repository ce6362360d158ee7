"""The names of one request: its own id, and the trace of the caller that it belongs to.

Both come back in the headers of the answer and stand in the log, so that a line of the log is found from an answer, and
the other way round. Nothing else that a client sends gets into either, so both have to be of the form given here.
"""

import re
import secrets
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

_NAMES: Final = frozenset({REQUEST_ID, TRACEPARENT})
_MADE: Final = secrets.token_hex(6).encode() + b"-%x"
_numbers = count()


RequestIds = list[Header]
"""The names of one request, as headers of its answer: the request's id, and the trace where there is a valid one."""


def ids_of(headers: list[Header]) -> RequestIds:
    """Take the names out of the headers of a request, whose names are in lower case.

    A request id that is not of the form `_TOKEN` is replaced by a new one. Of two request ids the last counts, as with
    every other header. Two `traceparent` are as good as none, because the request would belong to two traces.
    """
    for name, _ in headers:
        if name in _NAMES:
            return _given(headers)
    return [(REQUEST_ID, new_request_id())]  # most requests; anything more would cost a percent of a prediction


def new_request_id() -> bytes:
    """Make an id that no other request has: random for this process, and counted in it."""
    return _MADE % next(_numbers)


def fields_of(ids: RequestIds) -> dict[str, str | None]:
    """Give what a record of the log says of them."""
    trace = ids[1][1][3:35].decode() if len(ids) > 1 else None
    return {"request_id": ids[0][1].decode(), "trace_id": trace}


def _given(headers: list[Header]) -> RequestIds:
    request_ids = [value for name, value in headers if name == REQUEST_ID]
    traces = [value for name, value in headers if name == TRACEPARENT]
    known = bool(request_ids) and _TOKEN.fullmatch(request_ids[-1]) is not None
    ids = [(REQUEST_ID, request_ids[-1] if known else new_request_id())]
    if len(traces) == 1 and (traceparent := _valid(traces[0])) is not None:
        ids.append((TRACEPARENT, traceparent))
    return ids


def _valid(traceparent: bytes) -> bytes | None:
    found = _TRACE.fullmatch(traceparent)
    if found is None or (found[1] == b"00" and found[3] is not None):
        return None
    return traceparent[:55]
