"""What a connection may do: uvicorn's HTTP protocol, with the limits that it lacks and refusals in the one shape.

uvicorn waits for ever for the rest of a request's head and for a client that does not read its answer, takes heads of
any size, answers what is not HTTP in plain text, and when it stops drops what idle connections have just sent.
"""

import asyncio
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import uvicorn.protocols.http.auto
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from plan_recommender import refusals
from plan_recommender.refusals import CLOSE, Header, Refusal

WHOLE_ANSWER: Final = "plan_recommender.whole_answer"
"""ASGI extension: status, headers and body in one call."""

MAX_HEAD_BYTES: Final = 32 * 1024
HEAD_SECONDS: Final = 10.0
"""How long a client may take for the head of a request, or to read the end of an answer."""

_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)
MOST_REQUESTS: Final = 1000
"""Requests that one connection carries; a new one goes to a worker that is not busy, so that load evens out."""

_YIELD_SECONDS = 50e-6
_LOOK_SECONDS = 2.5
_LINGER_SECONDS = 0.2
_ABORT_SECONDS = 1.0


WholeAnswer = Callable[[int, list[Header], bytes], bool]


class Connection(HttpToolsProtocol):
    """One connection."""

    shared = False
    """Whether other workers accept connections from the same socket."""

    _watch: asyncio.TimerHandle | None = None
    _owed: tuple[object, bool] | None = None
    _owed_since = 0.0
    _stopping = False
    _requests = 0
    _unfinished_head = 0
    _deaf = False  # what follows a refusal is not heard

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch what the client owes."""
        super().connection_made(transport)
        self._look()
        if self.shared:
            # All workers accept from one socket, and the event loop takes whatever waits there. While it pauses, the
            # others take theirs: else one worker gets all of a burst of connections, and keeps them.
            time.sleep(_YIELD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no more."""
        super().connection_lost(exc)
        if self._watch is not None:
            self._watch.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is the head of a request that does not end."""
        if self._deaf or self.transport.is_closing():
            return
        if b"pgrade" in data and self._idle and not self._unfinished_head:
            data = _without_upgrade(data)
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or not self._idle:
            self._unfinished_head = 0
        else:
            self._unfinished_head += len(data)
            if self._unfinished_head > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(refusals.head_too_large(MAX_HEAD_BYTES))

    def on_headers_complete(self) -> None:
        """Begin a request, and offer the application to answer it in one piece.

        After the server began to stop, or after many, it is the connection's last.
        """
        super().on_headers_complete()
        # Of requests that were sent together this is the newest, and not the one that is answered next.
        self.scope["extensions"] = cast(Any, {WHOLE_ANSWER: partial(self._answer, self.cycle)})
        self._requests += 1
        if self._stopping or self._requests >= MOST_REQUESTS:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End the connection: after what is under way, or what the client has sent already."""
        self._stopping = True
        if self._idle:
            self.loop.call_later(_LINGER_SECONDS, self._close_if_idle)
        else:
            self.cycle.keep_alive = False
        self.loop.call_later(_ABORT_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(refusals.not_http())

    def _answer(self, cycle: RequestResponseCycle, status: int, headers: list[Header], body: bytes) -> bool:
        """Answer a request; False: not now, take the usual way.

        The usual way writes the head and the body apart, and each when it comes. Here they are one piece, and the
        pieces of one turn of the event loop are written at its end, one after the other: a client on the same machine,
        or a network card, is then woken once for several.
        """
        if cycle.disconnected or cycle.response_started or self.flow.write_paused:
            return False
        pieces = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            pieces += (name, b": ", value, b"\r\n")
        cycle.keep_alive = cycle.keep_alive and CLOSE not in headers
        if not cycle.keep_alive and CLOSE not in headers:
            pieces.append(b"connection: close\r\n")
        pieces += (b"\r\n", body)
        _outbox.append((self.transport, b"".join(pieces)))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            _write_outbox()
            self.transport.close()
        elif len(_outbox) == 1:
            self.loop.call_soon(_write_outbox)
        cycle.on_response()
        return True

    @property
    def _idle(self) -> bool:
        """Whether no request is under way; its head may be."""
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._idle:
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Leave no record of CONNECT, whose answer says all."""

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what the application never sees; behind a complete request, end the connection after its answer."""
        self._deaf = True
        if self._idle or self.cycle.more_body:
            _write_outbox()
            self.transport.write(refusal.response())
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def _look(self) -> None:
        """Every now and then: has what the client owes come since the last look? No request pays for this."""
        now = self.loop.time()
        closing = self.transport.is_closing()
        owed = (self.cycle, closing) if closing or self._idle else None
        if owed is None or self._owed is None or owed != self._owed:
            self._owed, self._owed_since = owed, now
        elif now - self._owed_since >= HEAD_SECONDS - _LOOK_SECONDS:
            if closing:
                self.transport.abort()
                return
            self._refuse(refusals.slow_head(HEAD_SECONDS))
        self._watch = self.loop.call_later(_LOOK_SECONDS, self._look)


def _without_upgrade(data: bytes) -> bytes:
    """Take the offer of another protocol out of a request's head: the parser would lose the body that follows it.

    Java's own client offers HTTP/2 with every request; a server may ignore that (RFC 9110, section 7.8).
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"", head) + end + rest


_outbox: list[tuple[asyncio.Transport, bytes]] = []


def _write_outbox() -> None:
    for transport, answer in _outbox:
        if not transport.is_closing():
            transport.write(answer)
    _outbox.clear()


def install(workers: object) -> None:
    """Make uvicorn use it in this process: BentoML's worker, which starts uvicorn, has no setting for that.

    Args:
        workers: as BentoML's configuration says it: a number, `cpu_count`, or None for one.
    """
    Connection.shared = workers not in (None, 1)
    uvicorn.protocols.http.auto.AutoHTTPProtocol = cast(Any, Connection)
