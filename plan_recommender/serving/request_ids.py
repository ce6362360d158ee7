"""The names of one request: its own id, and the trace of the caller that it belongs to.

Both come back in the headers of the answer and stand in the log, so that a line of the log is found from an answer, and
the other way round. Nothing else that a client sends gets into either, so both have to be of the form given here.
"""

import re
import secrets
from itertools import count
from typing import Final, NamedTuple

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

_PREFIX: Final = secrets.token_bytes(6).hex().encode()
_numbers = count()


class RequestIds(NamedTuple):
    """The names of one request."""

    request_id: bytes
    """The caller's, if it is of the form `_TOKEN`, otherwise a new one."""
    traceparent: bytes | None
    """The caller's, with the four parts that the standard describes; None if there is none that is valid."""

    @property
    def headers(self) -> list[Header]:
        """The headers of an answer that repeat them."""
        if self.traceparent is None:
            return [(REQUEST_ID, self.request_id)]
        return [(REQUEST_ID, self.request_id), (TRACEPARENT, self.traceparent)]

    @property
    def fields(self) -> dict[str, str | None]:
        """What a record of the log says of them."""
        trace = None if self.traceparent is None else self.traceparent[3:35].decode()
        return {"request_id": self.request_id.decode(), "trace_id": trace}


def ids_of(headers: list[Header]) -> RequestIds:
    """Take the names out of the headers of a request, whose names are in lower case.

    Of two request ids the last counts, as with every other header. Two `traceparent` are as good as none, because the
    request would belong to two traces.
    """
    request_id = traceparent = None
    traces = 0
    for name, value in headers:
        if name == REQUEST_ID:
            request_id = value
        elif name == TRACEPARENT:
            traceparent = value
            traces += 1
    if request_id is None or not _TOKEN.fullmatch(request_id):
        request_id = new_request_id()
    return RequestIds(request_id, _valid(traceparent) if traceparent is not None and traces == 1 else None)


def new_request_id() -> bytes:
    """Make an id that no other request has: random for this process, and counted in it."""
    return b"%b-%x" % (_PREFIX, next(_numbers))


def _valid(traceparent: bytes) -> bytes | None:
    found = _TRACE.fullmatch(traceparent)
    if found is None or (found[1] == b"00" and found[3] is not None):
        return None
    return traceparent[:55]
