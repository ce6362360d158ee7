"""Feed the connection with bytes and events that a fuzzer makes, and see that it keeps its word whatever comes.

    python -m tests.serving.fuzz_connection --seconds 600

atheris, which is guided by the coverage of plan_recommender/serving, makes the inputs where it is installed; otherwise,
or with --random, they are made at random out of valid requests. The connection has a transport in memory, a real event
loop and the real service behind it. What has to hold after every input:

- no method of the connection, and nothing that it has begun, raises an error;
- everything it writes can be read as answers, of which there are no more than requests that have begun;
- behind an answer that says `connection: close` it writes nothing, and closes within `CLOSE_SECONDS`;
- when the client has said that it sends no more, it closes, and leaves neither a connection nor a body behind;
- while no request is under way it holds no more than a head may have.

Exit code 0: that held. Otherwise the input is kept, and `fuzz_connection FILE` tries it again.
"""

import argparse
import asyncio
import gc
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from plan_recommender import cli

PACKET, REPEAT, BLOCK, UNBLOCK, WAIT = range(5)
"""Events between packets: none, the packet before comes many times, the client does not read, it does again, a second
passes."""

CLOSE_SECONDS: Final = 2.0
MAX_REPEATS: Final = 64
MAX_INPUT: Final = 16_384
MAX_HELD: Final = 3 * 32 * 1024
"""Most bytes that a connection may hold while no request is under way, beside the piece of data that came last: a head,
as it is and split into its fields."""

_MARK: Final = b"\xff\xfe"
"""Stands in an input before the number of an event; it is in no valid request."""


class BrokenPromiseError(AssertionError):
    """Something that has to hold did not."""


class Loop(asyncio.SelectorEventLoop):
    """A real event loop, whose clock can be put forward."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


class Transport(asyncio.Transport):
    """The server's end of a connection to a client in memory, with the habits of a real one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.lost = self.paused = self.blocked = False
        self._loop, self._protocol, self._closing = loop, protocol, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing and not self.lost:
            raise BrokenPromiseError(f"wrote {bytes(data)[:80]!r} behind its close")
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 1 if self.blocked else 0

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._lose)

    def abort(self) -> None:
        self.close()

    def _lose(self) -> None:
        self.lost = True
        self._protocol.connection_lost(None)


class Trial:
    """The service in this process, and connections to it one after the other."""

    def __init__(self) -> None:
        from uvicorn import Config
        from uvicorn.lifespan.on import LifespanOn
        from uvicorn.protocols.http.auto import AutoHTTPProtocol
        from uvicorn.server import ServerState

        from tests.serving.differential import application

        application = application()
        self._protocol = cast(Any, AutoHTTPProtocol)  # ours, once the application is made
        self._config = Config(application, lifespan="on", log_config=None)
        self._config.load()
        self._loop = Loop()
        self._errors: list[str] = []
        self._loop.set_exception_handler(lambda _, context: self._errors.append(f"{context}"))
        self._state = ServerState()
        asyncio.set_event_loop(self._loop)
        self._lifespan = LifespanOn(self._config)
        self._loop.run_until_complete(self._lifespan.startup())

    def one(self, data: bytes) -> None:
        """Try one input.

        Raises:
            BrokenPromiseError: something that has to hold did not.
        """
        self._errors.clear()
        protocol = self._protocol(self._config, self._state, {}, _loop=self._loop)
        transport = Transport(self._loop, protocol)
        protocol.connection_made(transport)
        fed, last = bytearray(), b""
        for event, packet in _events(data):
            if event == BLOCK and not transport.blocked and not transport.lost:
                transport.blocked = True
                protocol.pause_writing()
            elif event == UNBLOCK and transport.blocked and not transport.lost:
                transport.blocked = False
                protocol.resume_writing()
            elif event == WAIT:
                self._pass(1.0)
            last = packet or last
            for piece in [last] * MAX_REPEATS if event == REPEAT else [packet] if packet else []:
                self._turns(2)
                if transport.is_closing() or transport.paused:
                    break
                protocol.data_received(piece)
                fed += piece
                self._look(protocol, transport, len(piece))
        self._finish(protocol, transport, bytes(fed))

    def _finish(self, protocol: Any, transport: Transport, fed: bytes) -> None:
        if transport.blocked and not transport.lost:
            transport.blocked = False
            protocol.resume_writing()
        self._settle()
        self._check_answers(bytes(transport.written), fed, transport)
        if not transport.is_closing() and not transport.paused and not protocol.eof_received():
            transport.close()
        self._pass(CLOSE_SECONDS)
        self._settle()
        if not transport.lost:
            raise BrokenPromiseError("it did not close when the client had said that it sends no more")
        if protocol in self._state.connections:
            raise BrokenPromiseError("it is still among the server's connections")
        self._no_errors()

    def _check_answers(self, written: bytes, fed: bytes, transport: Transport) -> None:
        from tests.serving.ways import answers_of

        answers, rest = answers_of(written)
        if rest:
            raise BrokenPromiseError(f"wrote what is no answer: {rest[:200]!r}")
        final = [answer for answer in answers if answer.status != 100]
        if any(answer.status == 500 for answer in final):
            raise BrokenPromiseError("answered 500")
        begun = _begun(fed)
        if len(final) > begun:
            raise BrokenPromiseError(f"{len(final)} answers to {begun} requests")
        if any(answer.closes for answer in answers[:-1]):
            raise BrokenPromiseError("an answer behind one that said `connection: close`")
        if answers and answers[-1].closes:
            self._pass(CLOSE_SECONDS)
            if not transport.lost:
                raise BrokenPromiseError("said `connection: close`, and did not close")

    def _look(self, protocol: Any, transport: Transport, piece: int) -> None:
        self._no_errors()
        if not _under_way(protocol) and (held := _held(protocol)) > MAX_HELD + 3 * piece:
            raise BrokenPromiseError(f"holds {held:,} bytes without a request")

    def _no_errors(self) -> None:
        if self._errors:
            raise BrokenPromiseError(f"raised out of the event loop: {self._errors[0]}")

    def _turns(self, number: int) -> None:
        for _ in range(number):
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def _pass(self, seconds: float) -> None:
        """Let time pass."""
        self._loop.skipped += seconds
        self._turns(3)

    def _settle(self) -> None:
        """Let what was begun come to its end."""
        for _ in range(2_000):
            self._turns(4)
            if not self._state.tasks and not self._busy():
                return
            self._loop.skipped += 0.005
            if self._state.tasks:
                time.sleep(0.0005)  # for the threads of BentoML's own routes
        raise BrokenPromiseError("what was begun does not end")

    def _busy(self) -> bool:
        return any(_under_way(protocol) for protocol in self._state.connections)
