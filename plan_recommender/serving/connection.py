"""A connection of the service: bytes in, requests decided and answered in their order, bytes out.

llhttp, by httptools, parses. The limits of a head, of what waits and of time hold whatever a client does, and every
refusal has the one shape of errors. A connection is always in one state, which is that of its oldest request that is
not answered:

| state | it waits for | at most | then |
| --- | --- | --- | --- |
| `IDLE` | the first byte of a request | `HEAD_SECONDS` at first, then the server's keep-alive | it is closed |
| | the rest of a body that is not wanted | `BODY_SECONDS`, `_DISCARD_BYTES` | it is closed |
| `HEAD` | the rest of a head | `HEAD_SECONDS` since the answer before | 408 |
| `BODY` | the rest of a body that is wanted | `BODY_SECONDS` | 408 |
| `ANSWERING` | its answer | | |
| `ENDING` | nothing: the last answer is on its way | `HEAD_SECONDS` in which none of it is read | it is cut |

Requests that come while another one is answered wait in `_requests`, and meanwhile nothing more is read. While the
client does not read its answers, the state is `IDLE` or `HEAD`, though requests may wait: `_blocked` says so.

The file is long because all of these states are those of one class, in which the parser, the server, the transport and
the clock act on the same few attributes.
"""

import asyncio
import time
from collections import deque
from enum import Enum, auto
from functools import partial
from typing import Any, ClassVar, Final
from urllib.parse import unquote

import httptools

from plan_recommender.serving import error_responses, framing, limits
from plan_recommender.serving.error_responses import OVERLOAD, Header, Refusal
from plan_recommender.serving.exchange import Exchange, Worker
from plan_recommender.serving.limits import MAX_HEAD_BYTES, MAX_PIPELINED, MAX_REQUESTS
from plan_recommender.serving.messages import Response
from plan_recommender.serving.routes import ROUTES, Command

_LOOK_SECONDS: Final = 1.0
"""How often a connection is looked at for a client that does nothing."""

_YIELD_SECONDS: Final = 10e-6
"""How long a new connection keeps its worker, so that other workers accept the next ones."""

_LINGER_SECONDS: Final = 0.2
"""How long an idle connection stays open after the stop has begun, for a request that is on its way."""

_DISCARD_SECONDS: Final = 1.0
_DISCARD_BYTES: Final = 64 * limits.MIB
"""How long, and how much, is read and thrown away of what comes behind the last answer, such as a refused body."""

_FRAMING_PER_BYTE: Final = 8
"""Bytes of chunk sizes and the like that may come with one byte of a body."""

_MAX_TOGETHER: Final = 1 + MAX_PIPELINED
"""Requests that may come in one piece of data: one that is answered, and those that wait for it."""

_PATHS: Final = {path.encode(): path for path in ROUTES}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class State(Enum):
    """What a connection waits for."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    ANSWERING = auto()
    ENDING = auto()


_IDLE, _HEAD, _BODY, _ANSWERING, _ENDING = State  # a name of the module is found quicker than one of a class


class _NotTakenError(Exception):
    """Raised in what the parser calls: what has come is not taken."""


class Connection(asyncio.Protocol):
    """One connection."""

    worker: ClassVar[Worker]

    def __init__(
        self, config: Any, server_state: Any, app_state: Any, _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        """Set up a connection, as uvicorn does it.

        Args:
            config: uvicorn's, of which the keep-alive is used.
            server_state: uvicorn's, which has the connections and their tasks, counts requests and makes the server's
                headers.
            app_state: is of no use here.
            _loop: the event loop; None: the one that runs.
        """
        self.transport: Any = None
        self._loop = _loop or asyncio.get_running_loop()
        self._server = server_state
        self._keep_alive_seconds = config.timeout_keep_alive
        self._state = _IDLE
        self._requests: deque[Exchange] = deque()  # that are not answered, the oldest first
        self._newest: Exchange | None = None  # of which a part may still come
        self._count = 0
        self._headers: list[Header] = []
        self._url = b""
        self._in_message = self._in_head = self._read_again = False
        self._begun = 0  # messages that began in the piece of data that is parsed
        self._outside = self._inside = 0  # bytes of the newest message that are not of its body, and those that are
        self._fed = 0  # bytes of the piece, without those of bodies
        self._paused = self._blocked = False  # reading is paused; the client does not read its answers
        self._discarded = 0  # bytes
        self._deaf = False  # what comes is thrown away, because what came before was wrong or the last
        self._parser: Any = None
        self._waits: object = None  # what the connection waited for when it was last looked at
        self._since = 0.0  # when that was first seen
        self._parse_anew()

    # What the server and the transport call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to look for a client that does nothing."""
        self.transport = transport
        self._server.connections.add(self)
        self._look_again = self._loop.call_later(_LOOK_SECONDS, self._look)
        if self.worker.shared_socket:
            # All workers accept from one socket, and the event loop soon takes whatever waits there. While it pauses,
            # the others take theirs. Otherwise one worker gets all of a burst of connections, and keeps them.
            time.sleep(_YIELD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the requests; an answer that is under way goes nowhere."""
        self._server.connections.discard(self)
        self._look_again.cancel()
        if self._state is _BODY:
            self._refuse(self._requests[0], error_responses.incomplete_body())
        self._state, self._deaf = _ENDING, True
        self._requests.clear()
        self._parser = None  # or both would wait for the garbage collector

    def eof_received(self) -> bool:
        """Answer what a client has sent before it said that it sends no more."""
        plain = self.transport.get_extra_info("sslcontext") is None
        waits = plain and bool(self._requests) and (self._requests[-1].complete or self._requests[-1].parts is None)
        if waits:
            self._take_no_more()
        return waits

    def data_received(self, data: bytes) -> None:
        """Parse what came, within limits that hold in every state of a request."""
        if self._deaf:
            self._discarded += len(data)
            if self._discarded > _DISCARD_BYTES:
                self.transport.close()
            return
        at_a_start = self._state is _IDLE and not (self._requests or self._in_message or self._outside)
        if at_a_start and self._take_known(data):
            return
        self._begun = 0
        rest = self._parse(data)
        alone = rest is None and at_a_start and self._begun == 1 and not (self._in_message or self._deaf)
        if alone and self._newest is not None:
            self.worker.known_heads.learn(data, self._newest)
        while rest is not None:
            rest = self._parse(rest)
        if self._state is _BODY:
            self._wait_for_body(self._requests[0])
        if len(self._requests) > 1:
            self._pause()

    def shutdown(self) -> None:
        """End the connection: after what is under way, or what the client has sent already."""
        if self._requests:
            self._requests[-1].keep_alive = False
        else:
            self._loop.call_later(_LINGER_SECONDS, self._close_if_idle)
        self._loop.call_later(limits.STOP_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """Begin no more of the requests that wait until the client has read its answers."""
        self._blocked = True
        self._pause()

    def resume_writing(self) -> None:
        """Go on with the requests that wait."""
        self._blocked = False
        if self._state in (_IDLE, _HEAD):
            self._go_on()
        else:
            self._read_on()

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin to read a head."""
        self._begun += 1
        if self._deaf or self._begun > _MAX_TOGETHER:
            raise _NotTakenError("nothing more is read")
        self._inside = self._outside = 0
        self._url, self._headers = b"", []
        self._in_message = self._in_head = True
        if self._state is _IDLE:
            self._state = _HEAD  # its time counts from the answer before

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head; fields that follow a body in chunks are left out."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin a request if it is the oldest one; if it asks for another protocol, it is read again."""
        self._in_head = False
        parser, method = self._parser, self._parser.get_method()
        if parser.should_upgrade() and method != b"CONNECT":
            self._read_again = True
            return
        version = parser.get_http_version()
        head_bytes = self._head_bytes() if self._outside + self._fed > MAX_HEAD_BYTES else 0
        path = self._path() if head_bytes <= MAX_HEAD_BYTES else ""  # it is refused, however long its target is
        exchange = Exchange(method.decode(), path, self._headers, time.perf_counter(), head_bytes)
        if framing.is_faulty(version, self._headers, exchange.fields):
            raise _NotTakenError("the framing is not certain")
        self._count += 1
        exchange.parts = []
        exchange.asked = version != "1.1"  # HTTP/1.0 knows no 100 Continue (RFC 9110, section 15.2)
        exchange.may_carry_another = version == "1.1" and method != b"CONNECT" and parser.should_keep_alive()
        exchange.keep_alive = exchange.may_carry_another and self._count < MAX_REQUESTS
        self._newest = exchange
        self._requests.append(exchange)
        if len(self._requests) == 1:
            self._begin(exchange)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, if it is wanted."""
        size = len(body)
        self._fed -= size
        self._inside += size
        exchange = self._newest
        if exchange is not None and exchange.parts is not None:
            exchange.parts.append(body)
            exchange.size += size
            if self._state is _BODY and exchange.size > exchange.command.max_bytes:
                self._refuse(exchange, error_responses.too_large(exchange.command.max_bytes))

    def on_message_complete(self) -> None:
        """Have the request answered if it waited for that."""
        if self._read_again or self._newest is None:
            return
        self._in_message = False
        self._newest.complete = True
        if b"transfer-encoding" in self._newest.fields and not self._parser.should_keep_alive():
            self._newest.keep_alive = False  # a trailer may say so, behind which the parser reads nothing
            if self._newest.answered and self._state is not _ENDING:
                self._end()
        if self._state is _BODY:
            self._carry_out(self._newest)
        elif self._state is _ENDING:
            self._close_where_one_end_cannot()

    # What becomes of a request

    def _begin(self, exchange: Exchange) -> None:
        """Decide about the oldest request, and wait for its body, answer it, or have it answered."""
        core = self.worker.core
        verdict = exchange.verdict = exchange.verdict or core.decide(exchange)
        if isinstance(verdict, Command):
            exchange.command = verdict
            self._state = _BODY
            if exchange.size > verdict.max_bytes:  # it came while the request before was answered
                self._refuse(exchange, error_responses.too_large(verdict.max_bytes))
            elif exchange.complete:
                self._carry_out(exchange)
            return
        self._state, exchange.parts = _ANSWERING, None
        if verdict is None:
            task = self._loop.create_task(self._ask_bentoml(exchange))
            self._server.tasks.add(task)
            task.add_done_callback(self._server.tasks.discard)
        elif isinstance(verdict, Refusal) and verdict.reason == OVERLOAD:
            self._refuse_later(exchange, verdict)
        else:  # one in each turn, or many that are sent together would keep everybody else waiting
            core.admission.heads.enter(core.steps(verdict, exchange), partial(self._answer, exchange))

    def _wait_for_body(self, exchange: Exchange) -> None:
        """Count what has come of a body, and ask for the rest if the client wants to be asked."""
        bodies = self.worker.core.admission.bodies
        bodies.hold(exchange.size - exchange.held)
        exchange.held = exchange.size
        if bodies.too_many:
            self._leave_body(exchange)
            self._refuse_later(exchange, error_responses.overloaded())
        elif exchange.waits_to_be_asked:
            exchange.asked = True
            self.transport.write(_CONTINUE)

    def _carry_out(self, exchange: Exchange) -> None:
        """Have a request with a complete body answered when its turn comes."""
        admission, command = self.worker.core.admission, exchange.command
        parts = exchange.parts or [b""]
        exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._leave_body(exchange)
        if not command.in_steps:
            admission.queue.enter(self._answer_single, exchange)
        elif admission.batches.admits():
            admission.batches.enter(self.worker.core.steps(command, exchange), partial(self._answer, exchange))
        else:  # others came while the body did
            exchange.body = b""
            self._refuse_later(exchange, error_responses.overloaded())

    def _leave_body(self, exchange: Exchange) -> None:
        self._state, exchange.parts = _ANSWERING, None
        if exchange.held:
            self.worker.core.admission.bodies.release(exchange.held)

    def _answer_single(self, exchange: Exchange) -> None:
        self._answer(exchange, self.worker.core.answer(exchange.command, exchange))

    async def _ask_bentoml(self, exchange: Exchange) -> None:
        self._answer(exchange, await self.worker.bentoml_routes.answer(exchange))

    def _refuse_later(self, exchange: Exchange, refusal: Refusal) -> None:
        self.worker.core.admission.queue.refuse_later(partial(self._refuse, exchange, refusal))

    def _refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        if self._state is _BODY:
            self._leave_body(exchange)
        self._answer(exchange, self.worker.core.answer(refusal, exchange))

    def _answer(self, exchange: Exchange, response: Response) -> None:
        """Answer the oldest request, and go on to the next one or end the connection."""
        if exchange.answered:
            return  # the rest of its body was no HTTP, and it has that answer
        exchange.answered = True
        core, server = self.worker.core, self._server
        response = core.finished(exchange.verdict, exchange, response)
        if self.transport.is_closing():
            return
        server.total_requests += 1
        self._requests.popleft()
        last = not exchange.keep_alive or (not exchange.complete and exchange.waits_to_be_asked)
        if core.admission.drain.started:
            last = last or not self._requests  # those that have come are answered first
        elif response.closes:
            last = True
        first = self.worker.first_lines(response.status, server.default_headers)
        end = b"connection: close\r\n\r\n" if last else b"\r\n"
        self.transport.write(b"".join((first, response.head, end, response.body)))
        if last:
            self._end()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Begin the next request, or wait for one."""
        self._state = _HEAD if self._in_head else _IDLE
        if self._blocked:
            return
        self._read_on()
        if self._requests:
            self._requests[0].arrived = time.perf_counter()
            self._begin(self._requests[0])

    def _end(self) -> None:
        """Close the connection behind the last answer.

        If a client has sent what nobody reads, its system takes the close for a fault, and drops what it has not read
        of the answer. So this end is closed first, and what comes is discarded until the client closes too, but not for
        long (RFC 9112, section 9.6).
        """
        self._state, self._deaf = _ENDING, True
        self._requests.clear()
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._close_where_one_end_cannot()
        self._loop.call_later(_DISCARD_SECONDS, self.transport.close)

    def _close_where_one_end_cannot(self) -> None:
        """With TLS close both ends, if all of the last request has come."""
        if not self._in_message and not self.transport.can_write_eof():
            self.transport.close()

    def _refuse_connection(self, refusal: Refusal | None) -> None:
        """End the connection because of what came, with an answer if there is one to give.

        Complete requests before it are answered first.
        """
        if self._deaf:
            return  # it came behind the last answer
        newest = self._newest
        if newest is not None and not newest.complete and not self._in_head:  # its body is wrong
            if newest.answered:
                refusal = None
            elif refusal is None:
                self._requests.pop()
            else:  # this is its answer
                newest.keep_alive = self._in_message = False
                if newest is self._requests[0]:
                    self._refuse(newest, refusal)
                else:
                    newest.verdict, newest.complete, self._deaf = refusal, True, True
                return
        if refusal is None:
            if self._requests:
                self._take_no_more()
            else:
                self._in_message = False
                self._end()
            return
        nobody = Exchange("", "", [], time.perf_counter())  # the head is not complete, or is none
        nobody.verdict, nobody.complete, self._in_message, self._deaf = refusal, True, False, True
        self._requests.append(nobody)
        if len(self._requests) == 1:
            self._begin(nobody)

    def _take_no_more(self) -> None:
        self._deaf = True
        self._requests[-1].keep_alive = False

    # How a request comes

    def _parse(self, data: bytes) -> bytes | None:
        """Parse a piece of data; gives what of it has to be parsed anew, if anything."""
        alone, self._fed, rest = not self._in_message, len(data), None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = self._without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _NotTakenError | httptools.HttpParserError):
                raise  # a fault of ours: the event loop logs it and cuts the connection
            self._refuse_connection(None if self._begun > _MAX_TOGETHER else error_responses.not_http())
        except httptools.HttpParserError:
            self._refuse_connection(error_responses.not_http())
        if rest is None and (self._in_message or not self._begun):
            self._look_at_what_is_outside(alone)
        return rest

    def _take_known(self, data: bytes) -> bool:
        """Take a request that came whole and by itself, if its head has come before; tells whether it did so."""
        known, end = self.worker.known_heads.find(data)
        if known is None or len(data) - end != known.length:
            return False
        exchange = Exchange(known.method, known.path, known.headers, time.perf_counter(), 0, known.fields)
        self._count += 1
        exchange.keep_alive = known.keep_alive and self._count < MAX_REQUESTS
        exchange.parts, exchange.size, exchange.complete = [data[end:]], known.length, True
        exchange.verdict = self.worker.core.admitted(known.command)
        self._newest = exchange
        self._requests.append(exchange)
        self._begin(exchange)
        return True

    def _parse_anew(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _without_upgrade(self, rest: bytes) -> bytes | None:
        """Give a request to be parsed anew without its Upgrade header, after which the parser takes no body.

        Java's own client asks for HTTP/2 in every request; a server may ignore that (RFC 9110, section 7.8).
        """
        if not self._read_again:  # after CONNECT: what follows was for a tunnel
            return None
        self._read_again = False
        self._begun -= 1
        lines = [self._parser.get_method() + b" " + self._url + b" HTTP/" + self._parser.get_http_version().encode()]
        lines += [name + b": " + value for name, value in self._headers if name != b"upgrade"]
        self._in_message = False
        self._parse_anew()
        return b"\r\n".join([*lines, b"", rest])

    def _path(self) -> str:
        path = _PATHS.get(self._url)
        if path is None:
            raw = httptools.parse_url(self._url).path
            if raw is None:
                raise _NotTakenError("the target has no path")
            if not raw.isascii():
                raise _NotTakenError("the target is not ASCII")
            path = raw.decode()
            path = unquote(path) if "%" in path else path
        return path

    def _head_bytes(self) -> int:
        return len(self._url) + sum(len(name) + len(value) for name, value in self._headers)

    def _look_at_what_is_outside(self, alone: bool) -> None:
        """Limit what comes that is not of a body: heads, sizes of chunks, trailers."""
        if not self._begun:
            self._outside += self._fed
        elif self._begun == 1 and alone:
            self._outside = self._fed
        # Otherwise it is not known how much of the piece is the newest message's; it is counted from here on.
        if self._outside > MAX_HEAD_BYTES + _FRAMING_PER_BYTE * self._inside:
            self._refuse_connection(error_responses.head_too_large(MAX_HEAD_BYTES))

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        if self._paused and len(self._requests) <= 1:
            self._paused = False
            self.transport.resume_reading()

    # Clients that do nothing

    def _look(self) -> None:
        """End the connection if its client has done nothing for too long; no request waits for this."""
        now, transport, state = time.perf_counter(), self.transport, self._state
        unread = transport.get_write_buffer_size()
        ends = unread > 0 or transport.is_closing()
        unwanted = state is _IDLE and self._in_message  # the body of a request that is answered
        waits = (unread, ends, self._count, state is _BODY, state is _ANSWERING, unwanted)  # a head counts as nothing
        if waits != self._waits:
            self._waits, self._since = waits, now
        seconds = now - self._since
        if ends:
            if seconds >= limits.HEAD_SECONDS:
                transport.abort()
        elif state is _HEAD and seconds >= limits.HEAD_SECONDS:
            self._refuse_connection(error_responses.slow_head(limits.HEAD_SECONDS))
        elif state is _BODY and now - self._requests[0].arrived >= limits.BODY_SECONDS:
            self._refuse(self._requests[0], error_responses.slow_body(limits.BODY_SECONDS))
        elif unwanted:
            if seconds >= limits.BODY_SECONDS or self._inside > _DISCARD_BYTES:
                self._end()
        elif state is _IDLE and seconds >= (self._keep_alive_seconds if self._count else limits.HEAD_SECONDS):
            transport.close()
        self._look_again = self._loop.call_later(_LOOK_SECONDS, self._look)

    def _close_if_idle(self) -> None:
        if not self._requests:
            self.transport.close()
