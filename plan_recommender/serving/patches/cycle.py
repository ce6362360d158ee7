"""One request of a connection, which uvicorn calls a cycle: the ways of its body and of its answer.

Answers of one turn of the event loop are collected in an outbox and written at its end, one after the other. Where each
is written when it comes, a prediction takes a tenth more of the worker's time (with 32 and with 128 clients).
"""

import asyncio
from collections.abc import Callable, Sized
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.routes import Verdict

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

Answer = Callable[[RequestResponseCycle, int, list[Header], bytes], bool]
"""Answers a request in one piece; False: that cannot be done now."""

_outbox: list[tuple[asyncio.Transport, bytes]] = []


class CycleExchange:
    """The `Exchange` of one request with the application."""

    __slots__ = ("_answer", "_cycle", "_in_parts", "arrived", "verdict")

    def __init__(self, answer: Answer, cycle: RequestResponseCycle, arrived: float, verdict: Verdict) -> None:
        self.arrived = arrived
        self.verdict = verdict
        self._answer = answer
        self._cycle = cycle
        self._in_parts = False

    @property
    def over(self) -> bool:
        """Whether it is answered already."""
        return self._cycle.response_complete

    def body(self) -> bytes | None:
        """Give the body without the timer that waiting for it takes: an eighth of a prediction's time."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        body = bytes(cycle.body)
        cycle.body = bytearray()
        cycle.flow.resume_reading()
        return body

    def answer(self, status: int, headers: list[Header], body: bytes) -> bool:
        """Answer in one piece, unless that cannot be done now or `answer_in_parts` was called."""
        if self._in_parts:
            return False
        return self._answer(self._cycle, status, headers, body)

    def answer_in_parts(self) -> None:
        """Have the answer go the way of ASGI."""
        self._in_parts = True


class Flow(FlowControl):
    """Reads on only when no request waits for its answer; otherwise one connection could make any number wait."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Read on, unless a request waits."""
        if not self._pipeline:
            super().resume_reading()


def closing_unless_it_reads(cycle: RequestResponseCycle, app: "ASGI3Application") -> "ASGI3Application":
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


def put_into_outbox(transport: asyncio.Transport, answer: bytes) -> bool:
    """Put an answer into the outbox; tells whether it is the first, so that the outbox has to be written later."""
    _outbox.append((transport, answer))
    return len(_outbox) == 1


def write_outbox() -> None:
    """Write what the outbox holds, but not to connections that are being closed."""
    answers = _outbox[:]
    _outbox.clear()
    for transport, answer in answers:
        if not transport.is_closing():
            transport.write(answer)
