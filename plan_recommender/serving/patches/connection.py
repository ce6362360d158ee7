"""A connection of the service: uvicorn's, with the limits that it lacks, and refusals in the one shape.

uvicorn waits for ever for the rest of a request's head and for a client that does not read its answer. It takes heads
and pipelines of any size, answers what is not HTTP in plain text, loses the body of a request that asks for an
upgrade, and drops what idle connections have just sent when it stops.

A connection is always in one `Input` state, which says what the bytes that come next belong to:

| state | next |
| --- | --- |
| BETWEEN messages | HEAD with the first byte of a request |
| HEAD | BODY when the head is complete, or UPGRADE when it asks for another protocol |
| UPGRADE | HEAD: the request is read again without that header |
| BODY | BETWEEN when the message is complete |
| IGNORED | nothing: the connection is about to be closed |
"""

import asyncio
import time
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import httptools
import uvicorn.protocols.http.auto
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from plan_recommender.serving import error_responses, limits
from plan_recommender.serving.access_log import AccessLog
from plan_recommender.serving.error_responses import CLOSE, OVERLOAD, Header, Refusal
from plan_recommender.serving.exchange import EXCHANGE
from plan_recommender.serving.framing import Framing, Stall
from plan_recommender.serving.inference_metadata import split_version
from plan_recommender.serving.limits import MAX_HEAD_BYTES, MAX_PIPELINED, MAX_REQUESTS
from plan_recommender.serving.metrics import NO_ROUTE
from plan_recommender.serving.overload import Queue
from plan_recommender.serving.patches.cycle import (
    CycleExchange,
    Flow,
    closing_unless_it_reads,
    put_into_outbox,
    write_outbox,
)
from plan_recommender.serving.patches.worker import Decide, Worker
from plan_recommender.serving.request_ids import ids_of
from plan_recommender.serving.routes import ROUTES, Command

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_OVERLOADED: Final = error_responses.overloaded()
_OVERLOADED_HEADERS: Final = _OVERLOADED.whole_headers()

_YIELD_SECONDS: Final = 50e-6
"""How long a new connection keeps its worker, so that other workers accept the next ones."""

_LOOK_SECONDS: Final = 2.5
"""How often a connection is looked at for a client that does nothing."""

_LINGER_SECONDS: Final = 0.2
"""How long an idle connection stays open after the stop has begun, for a request that is on its way."""

_DISCARD_SECONDS: Final = 1.0
"""How long the rest of a refused body is read and thrown away before the connection is closed."""


class Input(Enum):
    """What the bytes that come next belong to."""

    BETWEEN = auto()
    HEAD = auto()
    UPGRADE = auto()
    BODY = auto()
    IGNORED = auto()


_BETWEEN_MESSAGES: Final = (Input.BETWEEN, Input.UPGRADE)


def install(workers: object, decide: Decide, queue: Queue, access_log: AccessLog) -> None:
    """Make uvicorn use `Connection` in this process: BentoML's worker, which starts uvicorn, has no setting for that.

    Args:
        workers: as BentoML's configuration says it: a number, `cpu_count`, or None for one.
        decide: as in `Worker`.
        queue: as in `Worker`.
        access_log: as in `Worker`.
    """
    Connection.worker = Worker(decide, queue, access_log, shared_socket=workers not in (None, 1))
    uvicorn.protocols.http.auto.AutoHTTPProtocol = cast(Any, Connection)


class Connection(HttpToolsProtocol):
    """One connection; uvicorn calls its methods for what the client sends and for what the server decides."""

    worker: ClassVar[Worker]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._input = Input.BETWEEN
        self._framing = Framing()
        self._requests = 0
        self._complete: RequestResponseCycle | None = None  # the newest request of which all has come
        self._answering: RequestResponseCycle | None = None  # the request that is answered now, or was last
        self._refused: RequestResponseCycle | None = None  # the newest request that is refused, whatever its body
        self._stopping = False
        self._stall = Stall()
        self._look_again: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to look for a client that does nothing."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = Flow(self.transport, self.pipeline)
        self._look()
        if self.worker.shared_socket:
            # All workers accept from one socket, and the event loop soon takes whatever waits there. While it pauses,
            # the others take theirs. Otherwise one worker gets all of a burst of connections, and keeps them.
            time.sleep(_YIELD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, and look no more."""
        super().connection_lost(exc)  # which tells the newest request only
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        if self._look_again is not None:
            self._look_again.cancel()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio takes an answer; uvicorn's types say it gives none
        """Answer what a client has sent before it said that it sends no more."""
        write_outbox()
        waiting = not self._idle and not self.cycle.more_body and self.scheme == "http"
        if waiting:
            self._input = Input.IGNORED
            self.cycle.keep_alive = False
        return waiting

    def data_received(self, data: bytes) -> None:
        """Parse what came, within limits that hold in every state of a request."""
        self._unset_keepalive_if_required()
        if self._ignores_input or self.transport.is_closing():
            return
        between, inside = self._input in _BETWEEN_MESSAGES, self._framing.begin_data()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_again_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse_connection(error_responses.not_http())
        self._framing.end_data(len(data), inside, between=between)
        if self._framing.too_large and not self._ignores_input:
            self._refuse_connection(error_responses.head_too_large(MAX_HEAD_BYTES))

    def on_message_begin(self) -> None:
        """Begin to read a head."""
        super().on_message_begin()
        self._input = Input.HEAD
        self._framing.begin_message()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head; fields that follow a body in chunks are left out."""
        if self._input is Input.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request, unless it is to be read again."""
        tunnel = self.parser.get_method() == b"CONNECT"
        if self.parser.should_upgrade() and not tunnel:
            self._input = Input.UPGRADE
            return
        self._input = Input.BODY
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests wait")
        super().on_headers_complete()
        self._requests += 1
        if self._stopping or tunnel or self._requests >= MAX_REQUESTS:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, unless its request is refused."""
        self._framing.body(len(body))
        if self.cycle is not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that all of a request has come."""
        self._framing.end_message()
        if self._input is not Input.UPGRADE:
            self._input = Input.BETWEEN
            super().on_message_complete()
            self._complete = self.cycle

    def shutdown(self) -> None:
        """End the connection: after what is under way, or what the client has sent already."""
        self._stopping = True
        if self._idle:
            self.loop.call_later(_LINGER_SECONDS, self._close_if_idle)
        else:
            self.cycle.keep_alive = False
        self.loop.call_later(limits.STOP_SECONDS, self.transport.abort)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        """Decide about a request when it is the next of its connection, and begin it, let it wait, or refuse it."""
        self._answering = cycle
        arrived = time.perf_counter()
        verdict = self.worker.decide(cast(Any, cycle.scope))
        if isinstance(verdict, Refusal) and verdict.reason == OVERLOAD:
            self._refused = cycle
            self.worker.queue.refuse_later(partial(self._refuse_overloaded, cycle, arrived))
            return
        # The application takes it out again; a request that it never sees must not have one (see take_exchange).
        cycle.scope["extensions"] = cast(
            Any, {EXCHANGE: CycleExchange(self.answer_in_one_piece, cycle, arrived, verdict)}
        )
        if cycle.waiting_for_100_continue:
            app = closing_unless_it_reads(cycle, app)
        begin = partial(super()._start_asgi_task, cycle, app)
        if isinstance(verdict, Command):
            self.worker.queue.enter(begin)
        else:
            begin()

    def _refuse_overloaded(self, cycle: RequestResponseCycle, arrived: float) -> None:
        """Refuse a request under overload; the application never sees it, because that has to be cheap."""
        ids = ids_of(cast(list[Header], cycle.scope["headers"]))
        if cycle.response_complete:
            return  # the rest of its body was no HTTP, and it has that answer
        if not cycle.disconnected:
            self.write_answer(cycle, _OVERLOADED.status, [*_OVERLOADED_HEADERS, *ids], _OVERLOADED.body)
        self.worker.note_refusal(split_version(cycle.scope["path"])[0], _OVERLOADED, arrived, ids)

    @property
    def _ignores_input(self) -> bool:
        return self._input is Input.IGNORED

    @property
    def _idle(self) -> bool:
        """Whether no request is under way; its head may be."""
        return self.cycle is None or self.cycle.response_complete

    def _read_again_without_upgrade(self, rest: bytes) -> None:
        """Read a request again without its Upgrade header, after which the parser takes no body.

        Java's own client asks for HTTP/2 in every request; a server may ignore that (RFC 9110, section 7.8).
        """
        if self._input is not Input.UPGRADE:  # after CONNECT: what follows was for a tunnel
            self._input = Input.IGNORED
            return
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def answer_in_one_piece(self, cycle: RequestResponseCycle, status: int, headers: list[Header], body: bytes) -> bool:
        """Answer a request; False: that cannot be done now, so the answer has to go uvicorn's way.

        uvicorn writes the head and the body apart, and each when it comes. Here they are one piece, and the pieces of
        one turn of the event loop are written at its end, one after the other.
        """
        if cycle.disconnected or cycle.response_started or self.flow.write_paused:
            return False
        if CLOSE in headers:
            headers = [header for header in headers if header != CLOSE]
            cycle.keep_alive = cycle.keep_alive and bool(self.pipeline)  # those that have come are answered first
        self.write_answer(cycle, status, headers, body)
        return True

    def write_answer(self, cycle: RequestResponseCycle, status: int, headers: list[Header], body: bytes) -> None:
        """Write a whole answer at the end of this turn of the event loop, and go on to the next request."""
        if cycle.waiting_for_100_continue:
            cycle.keep_alive = False
        pieces = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            pieces += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            pieces.append(b"connection: close\r\n")
        pieces += (b"\r\n", body)
        first = put_into_outbox(self.transport, b"".join(pieces))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self._end(cycle.more_body)
        elif first:
            self.loop.call_soon(write_outbox)
        cycle.on_response()

    def _end(self, more_comes: bool) -> None:
        """Close the connection behind the last answer.

        While a client still sends, its system would take the close for a fault and drop the answer unread: what comes
        is discarded for a moment.
        """
        write_outbox()
        self._input = Input.IGNORED
        if more_comes:
            self.flow.resume_reading()
            self.loop.call_later(_DISCARD_SECONDS, self.transport.close)
        else:
            self.transport.close()

    def _refuse_connection(self, refusal: Refusal) -> None:
        """Refuse what the application never sees; complete requests before it are answered, and end the connection."""
        self._input = Input.IGNORED
        if self._complete is not None and not self._complete.response_complete:
            self._complete.keep_alive = False
            return
        route, ids = NO_ROUTE, ids_of([])  # the head is not complete, or is none
        if not self._idle:  # the body is wrong, and this is the answer to its request; the application's goes nowhere
            path = split_version(self.cycle.scope["path"])[0]
            route, ids = path if path in ROUTES else NO_ROUTE, ids_of(cast(list[Header], self.cycle.scope["headers"]))
            self.cycle.response_started = self.cycle.response_complete = True
            self.cycle.message_event.set()
        self.worker.note_refusal(route, refusal, time.perf_counter(), ids)
        write_outbox()
        self.transport.write(refusal.response(ids))
        self.transport.close()

    def _close_if_idle(self) -> None:
        if self._idle:
            self.transport.close()

    def _look(self) -> None:
        """End the connection when something from its client has been pending for too long; no request waits for this.

        The head of a request is pending when no request is under way; reading on is, while an answer is unread.
        """
        now = self.loop.time()
        unread = self.transport.get_write_buffer_size()
        head_pending = self._idle and not unread
        pending = (self.cycle, unread, self.transport.is_closing()) if head_pending or unread else None
        if self._stall.seconds(pending, now) >= limits.HEAD_SECONDS:
            if unread or self.transport.is_closing():
                self.transport.abort()
            elif self._input is Input.HEAD or (self._framing.outside and self._input in _BETWEEN_MESSAGES):
                self._refuse_connection(error_responses.slow_head(limits.HEAD_SECONDS))
            else:
                self.transport.close()  # nothing came, and an answer to nothing might be taken for one to what comes
        self._look_again = self.loop.call_later(_LOOK_SECONDS, self._look)
