"""What a connection may do: uvicorn's HTTP protocol, with the limits that it lacks and refusals in the one shape.

uvicorn waits for ever for the rest of a request's head and for a client that does not read its answer, takes heads and
pipelines of any size, answers what is not HTTP in plain text, loses the body of a request that offers another protocol,
and when it stops drops what idle connections have just sent.
"""

import asyncio
import time
from collections.abc import Callable, Sized
from functools import partial
from typing import Any, ClassVar, Final, Protocol, cast

import httptools
import uvicorn.protocols.http.auto
from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from plan_recommender.serving import error_responses
from plan_recommender.serving.error_responses import CLOSE, Header, Refusal
from plan_recommender.serving.metrics import NO_ROUTE, telemetry
from plan_recommender.serving.overload import Queue

WHOLE_ANSWER: Final = "plan_recommender.whole_answer"
"""ASGI extension: status, headers and body in one call."""

WHOLE_BODY: Final = "plan_recommender.whole_body"
"""ASGI extension: gives the body if all of it has come, and else None."""

ARRIVED: Final = "plan_recommender.arrived"
"""ASGI extension: when the head of the request had come, by time.perf_counter()."""

MAX_HEAD_BYTES: Final = 32 * 1024
HEAD_SECONDS: Final = 10.0
"""How long a client may take for the head of a request, or to read on in an answer."""

MOST_REQUESTS: Final = 1000
"""Requests that one connection carries; a new one goes to a worker that is not busy, so that load evens out."""

MOST_PIPELINED: Final = 100
"""Requests of one connection that wait for the answer to another; after them it is closed."""

_OVERLOADED: Final = error_responses.overloaded()
_OVERLOADED_HEADERS: Final = _OVERLOADED.whole_headers()
_FRAMING = 8  # bytes of chunk sizes and the like that may come with a byte of a body
_YIELD_SECONDS = 50e-6
_LOOK_SECONDS = 2.5
_LINGER_SECONDS = 0.2
_DISCARD_SECONDS = 1.0
_ABORT_SECONDS = 1.0

WholeAnswer = Callable[[int, list[Header], bytes], bool]
WholeBody = Callable[[], bytes | None]


class Door(Protocol):
    """What decides which requests are let in."""

    queue: Queue

    def is_work(self, scope: Scope) -> bool:
        """Tell whether a request waits for its turn, or is begun at once."""

    def admits(self, path: str) -> bool:
        """Tell whether there is room for one more request that waits."""


class Connection(HttpToolsProtocol):
    """One connection."""

    shared = False
    """Whether other workers accept connections from the same socket."""

    door: ClassVar[Door]
    """Who says which requests wait and which are refused; asked about each when it is the next of its connection."""

    _watch: asyncio.TimerHandle | None = None
    _owed: object = None
    _owed_since = 0.0
    _requests = 0
    _complete: RequestResponseCycle | None = None  # the newest request of which all has come
    _outside = _inside = 0  # bytes of the message that is coming: of its body, and others
    _begun = 0  # messages, in what came last
    _in_message = _in_head = _offered = False
    _current: RequestResponseCycle | None = None  # the request that is answered next
    _unwanted: RequestResponseCycle | None = None  # the newest request that is refused, whatever its body
    _deaf = False  # what comes is not heard any more
    _stopping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch what the client owes."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = _Flow(self.transport, self.pipeline)
        self._look()
        if self.shared:
            # All workers accept from one socket, and the event loop soon takes whatever waits there. While it pauses,
            # the others take theirs: else one worker gets all of a burst of connections, and keeps them.
            time.sleep(_YIELD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no more."""
        super().connection_lost(exc)  # which tells the newest request only
        if self._current is not None and not self._current.response_complete:
            self._current.disconnected = True
            self._current.message_event.set()
        if self._watch is not None:
            self._watch.cancel()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio takes an answer; uvicorn's types say it gives none
        """Answer what a client has sent before it said that it sends no more."""
        _write_outbox()
        waiting = not self._idle and not self.cycle.more_body and self.scheme == "http"
        if waiting:
            self._deaf = True
            self.cycle.keep_alive = False
        return waiting

    def data_received(self, data: bytes) -> None:
        """Take what came, within limits that hold in every state of a request."""
        self._unset_keepalive_if_required()
        if self._deaf or self.transport.is_closing():
            return
        between, inside = not self._in_message, self._inside
        self._begun = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_offer(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(error_responses.not_http())
        if not self._begun:
            self._outside += len(data) - (self._inside - inside)
        elif self._begun == 1 and between:
            self._outside = len(data) - self._inside
        else:
            self._outside = 0  # of the newest of several; it is counted from here on
        if self._outside > MAX_HEAD_BYTES + _FRAMING * self._inside and not self._deaf:
            self._refuse(error_responses.head_too_large(MAX_HEAD_BYTES))

    def on_message_begin(self) -> None:
        """Begin to read a head."""
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._begun += 1
        self._inside = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what follows a body in chunks is none."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._in_head = False
        tunnel = self.parser.get_method() == b"CONNECT"
        self._offered = self.parser.should_upgrade() and not tunnel
        if self._offered:
            return  # it comes again, without the offer
        if len(self.pipeline) >= MOST_PIPELINED:
            raise ValueError("too many requests wait")
        super().on_headers_complete()
        self._requests += 1
        if self._stopping or tunnel or self._requests >= MOST_REQUESTS:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._inside += len(body)
        if self.cycle is not self._unwanted:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_message = False
        self._outside = 0
        if not self._offered:
            super().on_message_complete()
            self._complete = self.cycle

    def shutdown(self) -> None:
        """End the connection: after what is under way, or what the client has sent already."""
        self._stopping = True
        if self._idle:
            self.loop.call_later(_LINGER_SECONDS, self._close_if_idle)
        else:
            self.cycle.keep_alive = False
        self.loop.call_later(_ABORT_SECONDS, self.transport.abort)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begin a request when its turn comes, with the offer to answer it in one piece; or refuse it."""
        self._current = cycle
        path, now = cycle.scope["path"], time.perf_counter()
        is_work = self.door.is_work(cast(Any, cycle.scope))
        if is_work and not self.door.admits(path):
            self._unwanted = cycle
            self.door.queue.hold(partial(self._turn_away, cycle, now))
            return
        # Not for those that are refused: it refers to the request, and only the application takes it out again.
        cycle.scope["extensions"] = cast(
            Any, {WHOLE_ANSWER: partial(self._answer, cycle), WHOLE_BODY: partial(_whole_body, cycle), ARRIVED: now}
        )
        if cycle.waiting_for_100_continue:
            app = _closing_unless_it_reads(cycle, app)
        begin = partial(super()._start_asgi_task, cycle, app)
        if is_work:
            self.door.queue.enter(begin)
        else:
            begin()

    def _turn_away(self, cycle: RequestResponseCycle, since: float) -> None:
        """Refuse a request under overload; the application never sees it, as that has to be cheap."""
        if not cycle.disconnected:
            self._write(cycle, _OVERLOADED.status, _OVERLOADED_HEADERS, _OVERLOADED.body)
        path = cycle.scope["path"]
        telemetry().request(path, int(_OVERLOADED.status), _OVERLOADED.reason, time.perf_counter() - since)

    @property
    def _idle(self) -> bool:
        """Whether no request is under way; its head may be."""
        return self.cycle is None or self.cycle.response_complete

    def _ignore_offer(self, rest: bytes) -> None:
        """Read a request again without its offer of another protocol, behind which the parser takes no body.

        Java's own client offers HTTP/2 with every request; a server may ignore that (RFC 9110, section 7.8).
        """
        if not self._offered:  # CONNECT: what follows was for a tunnel
            self._deaf = True
            return
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _answer(self, cycle: RequestResponseCycle, status: int, headers: list[Header], body: bytes) -> bool:
        """Answer a request; False: not now, take the usual way.

        The usual way writes the head and the body apart, and each when it comes. Here they are one piece, and the
        pieces of one turn of the event loop are written at its end, one after the other: a client on the same machine,
        or a network card, is then woken once for several.
        """
        if cycle.disconnected or cycle.response_started or self.flow.write_paused:
            return False
        if CLOSE in headers:
            headers = [header for header in headers if header != CLOSE]
            cycle.keep_alive = cycle.keep_alive and bool(self.pipeline)  # those that have come are answered first
        self._write(cycle, status, headers, body)
        return True

    def _write(self, cycle: RequestResponseCycle, status: int, headers: list[Header], body: bytes) -> None:
        if cycle.waiting_for_100_continue:
            cycle.keep_alive = False
        pieces = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            pieces += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            pieces.append(b"connection: close\r\n")
        pieces += (b"\r\n", body)
        _outbox.append((self.transport, b"".join(pieces)))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self._end(cycle.more_body)
        elif len(_outbox) == 1:
            self.loop.call_soon(_write_outbox)
        cycle.on_response()

    def _end(self, more_comes: bool) -> None:
        """Close the connection behind the last answer.

        While a client still sends, its system would take the close for a fault and drop the answer unread: what comes
        is discarded for a moment.
        """
        _write_outbox()
        self._deaf = True
        if more_comes:
            self.flow.resume_reading()
            self.loop.call_later(_DISCARD_SECONDS, self.transport.close)
        else:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse what the application never sees; complete requests before it are answered, and end the connection."""
        self._deaf = True
        telemetry().request(NO_ROUTE, int(refusal.status), refusal.reason, 0.0)
        if self.pipeline and self.pipeline[0][0] is not self._complete:
            self.pipeline.popleft()  # the faulty one itself
        if self._complete is not None and not self._complete.response_complete:
            self._complete.keep_alive = False
        else:
            _write_outbox()
            self.transport.write(refusal.response())
            self.transport.close()

    def _close_if_idle(self) -> None:
        if self._idle:
            self.transport.close()

    def _look(self) -> None:
        """Every now and then: has what the client owes come since the last look? No request pays for this."""
        now = self.loop.time()
        unread = self.transport.get_write_buffer_size()
        awaits_head = self._idle and not unread
        owed = (self.cycle, unread, self.transport.is_closing()) if awaits_head or unread else None
        if owed is None or owed != self._owed:
            self._owed, self._owed_since = owed, now
        elif now - self._owed_since >= HEAD_SECONDS:
            if unread or self.transport.is_closing():
                self.transport.abort()
            elif self._in_head or (self._outside and not self._in_message):
                self._refuse(error_responses.slow_head(HEAD_SECONDS))
            else:
                self.transport.close()  # nothing came, and an answer to nothing might be taken for one to what comes
        self._watch = self.loop.call_later(_LOOK_SECONDS, self._look)


class _Flow(FlowControl):
    """Reads on only when no request waits for its answer: else one connection could make any number of them wait."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


def _whole_body(cycle: RequestResponseCycle) -> bytes | None:
    """Give the body without the timer that waiting for it would need: that costs an eighth of a prediction's time."""
    if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.flow.resume_reading()
    return body


def _closing_unless_it_reads(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """End the connection when an application answers a client that waits to be asked for its body, and did not ask.

    The client may send the body all the same or leave it out, and nothing tells which.
    """

    async def closing(scope: Any, receive: Any, send: Any) -> None:
        async def send_closing(message: Any) -> None:
            if message["type"] == "http.response.start" and cycle.waiting_for_100_continue:
                cycle.keep_alive = False
            await send(message)

        await app(scope, receive, send_closing)

    return closing


_outbox: list[tuple[asyncio.Transport, bytes]] = []


def _write_outbox() -> None:
    answers = _outbox[:]
    _outbox.clear()
    for transport, answer in answers:
        if not transport.is_closing():
            transport.write(answer)


def install(workers: object, door: Door) -> None:
    """Make uvicorn use it in this process: BentoML's worker, which starts uvicorn, has no setting for that.

    Args:
        workers: as BentoML's configuration says it: a number, `cpu_count`, or None for one.
        door: as for `Connection`.
    """
    Connection.shared = workers not in (None, 1)
    Connection.door = door
    uvicorn.protocols.http.auto.AutoHTTPProtocol = cast(Any, Connection)
