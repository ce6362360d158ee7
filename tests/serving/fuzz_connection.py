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
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

import httptools
from uvicorn import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.server import ServerState

from plan_recommender import cli
from tests.serving.differences import without_offers
from tests.serving.in_memory import BrokenPromiseError, Loop, Transport
from tests.serving.mutations import packets_of
from tests.serving.ways import answers_of, application

PACKET, REPEAT, BLOCK, UNBLOCK, WAIT, LOSE = range(6)
"""Events between packets: none; the packet before comes many times; the client does not read on, or does again; half a
second passes; the connection breaks."""

CLOSE_SECONDS: Final = 2.0
MAX_REPEATS: Final = 64
MAX_TURNS: Final = 2_000
SEED: Final = 1
SEEDS: Final = 400
"""Inputs that atheris begins with."""

MAX_INPUT: Final = 16_384
MAX_HELD: Final = 3 * 32 * 1024
"""Most bytes that a connection may hold while no request is under way, beside the piece of data that came last: a head,
as it is and split into its fields."""

_MARK: Final = b"\xff\xfe"
"""Stands in an input before the number of an event; it is in no valid request."""


class Trial:
    """The service in this process, and connections to it one after the other."""

    def __init__(self, spoil: Callable[[Any], Any] = lambda connection: connection) -> None:
        """Start the service; its connections are of the class that `spoil` makes of the installed one."""
        self._config = Config(application(), lifespan="on", log_config=None)
        self._config.load()
        self._protocol = spoil(self._config.http_protocol_class)  # ours, because the application is made
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
        self._call(protocol.connection_made, transport)
        fed, last = bytearray(), b""
        for event, packet in _events(data):
            if event == LOSE and not transport.is_closing():
                transport.abort()
            elif event in (BLOCK, UNBLOCK) and transport.blocked is (event == UNBLOCK) and not transport.lost:
                transport.blocked = event == BLOCK
                self._call(protocol.pause_writing if event == BLOCK else protocol.resume_writing)
            elif event == WAIT:
                self._pass(0.5)
            last = packet or last
            for piece in [last] * MAX_REPEATS if event == REPEAT else [packet]:
                if not piece or not self._takes(transport):
                    break
                fed += piece
                self._call(protocol.data_received, piece)
                self._look(protocol, len(piece))
        self._finish(protocol, transport, bytes(fed))

    def close(self) -> None:
        """Stop the service."""
        self._loop.run_until_complete(self._lifespan.shutdown())
        self._loop.close()

    def _finish(self, protocol: Any, transport: Transport, fed: bytes) -> None:
        if transport.blocked and not transport.lost:
            transport.blocked = False
            self._call(protocol.resume_writing)
        self._settle()
        self._check_answers(bytes(transport.written), fed, transport)
        if not transport.is_closing():
            if transport.paused:
                raise BrokenPromiseError("reads no more, though nothing is under way")
            if not self._call(protocol.eof_received):
                transport.close()
        self._pass(CLOSE_SECONDS)
        self._settle()
        self._no_errors()
        if not transport.lost:
            raise BrokenPromiseError("it did not close when the client had said that it sends no more")
        if protocol in self._state.connections:
            raise BrokenPromiseError("it is still among the server's connections")

    def _check_answers(self, written: bytes, fed: bytes, transport: Transport) -> None:
        answers, rest = answers_of(written)
        if rest:
            raise BrokenPromiseError(f"wrote what is no answer: {rest[:200]!r}")
        if any(answer.status == HTTPStatus.INTERNAL_SERVER_ERROR for answer in answers):
            raise BrokenPromiseError("answered 500")
        final, begun = sum(answer.status != HTTPStatus.CONTINUE for answer in answers), _begun(fed)
        if final > begun:
            raise BrokenPromiseError(f"{final} answers to {begun} requests")
        if any(answer.closes for answer in answers[:-1]):
            raise BrokenPromiseError("answered behind `connection: close`")
        if answers and answers[-1].closes:
            self._pass(CLOSE_SECONDS)
            if not transport.lost:
                raise BrokenPromiseError("said `connection: close`, and did not close")

    def _takes(self, transport: Transport) -> bool:
        """Tell whether the connection reads on, when it has had the time to."""
        self._turns(2)
        if transport.paused and not transport.blocked and not transport.is_closing():
            self._settle()
        return not transport.is_closing() and not transport.paused

    def _look(self, protocol: Any, piece: int) -> None:
        self._no_errors()
        if not protocol._requests and (held := _held(protocol)) > MAX_HELD + 3 * piece:
            raise BrokenPromiseError(f"holds {held:,} bytes without a request")

    def _no_errors(self) -> None:
        if self._errors:
            raise BrokenPromiseError(f"raised {self._errors[0]}")

    def _call(self, method: Callable[..., Any], *arguments: object) -> Any:
        """Call a method of the connection as the loop does; what it raises is an error of the loop."""
        answer: list[Any] = [None]

        def call() -> None:
            answer[0] = method(*arguments)

        self._loop.call_soon(call)
        self._turns(1)
        return answer[0]

    def _turns(self, number: int) -> None:
        for _ in range(number):
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def _pass(self, seconds: float) -> None:
        """Let time pass."""
        self._loop.skipped += seconds
        self._turns(3)

    def _settle(self) -> None:
        """Let what was begun come to its end, as far as a client that does not read on lets it."""
        for _ in range(MAX_TURNS):
            self._turns(2)
            connections = cast(set[Any], self._state.connections)
            if not self._state.tasks and not any(each._requests and not each._blocked for each in connections):
                return
            self._loop.skipped += 0.005
            if self._state.tasks:
                time.sleep(0.0005)  # for the threads of BentoML's own routes
        waiting = [each._requests for each in connections]
        if any(request.complete for requests in waiting for request in list(requests)[:1]):
            raise BrokenPromiseError("a request is complete, and is not answered")


class Begun:
    """Counts the requests that begin in a stream, however few of them are complete."""

    def __init__(self) -> None:
        self.number = 0

    def on_message_begin(self) -> None:
        self.number += 1


def seeds(number: int) -> Iterator[bytes]:
    """Make inputs out of valid requests."""
    for each in range(number):
        chance = random.Random(each)  # noqa: S311  # nothing secret
        yield b"".join(
            packet + (_MARK + bytes([chance.randrange(6)]) if chance.random() < 0.4 else b"")
            for packet in packets_of(SEED, each)
        )[:MAX_INPUT]


def main(arguments: list[str] | None = None) -> int:
    """Fuzz, or try one input; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.serving.fuzz_connection", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("input", type=Path, nargs="?", help="try this file alone, which an earlier run has left")
    parser.add_argument("--seconds", type=cli.positive_int, default=600, metavar="N", help="default: %(default)s")
    parser.add_argument("--random", action="store_true", help="not guided by coverage, also where atheris is installed")
    parser.add_argument(
        "--keep", type=Path, default=Path("artifacts"), metavar="FOLDER",
        help="for an input that breaks something (default: %(default)s)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # a record for every refusal
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="plan-recommender-fuzz-"))
    options.keep.mkdir(parents=True, exist_ok=True)
    if options.input is not None:
        Trial().one(options.input.read_bytes())
        cli.say("it holds")
        return cli.DONE
    if options.random or find_spec("atheris") is None:
        return _at_random(options.seconds, options.keep)
    return _guided(options.seconds, options.keep)


def at_random(seconds: float) -> tuple[int, bytes | None, str]:
    """Try inputs for so long: how many were tried, and the first that breaks something, with what it breaks."""
    trial = Trial()
    end = time.monotonic() + seconds
    number = 0
    try:
        for number, data in enumerate(seeds(sys.maxsize), start=1):
            try:
                trial.one(data)
            except BrokenPromiseError as error:
                return number, data, str(error)
            if time.monotonic() > end:
                break
    finally:
        trial.close()
    return number, None, ""


def _at_random(seconds: int, keep: Path) -> int:
    number, data, broken = at_random(seconds)
    if data is None:
        cli.say(f"random: {number:,} inputs in {seconds} s, nothing found")
        return cli.DONE
    file = keep / "connection-broken"
    file.write_bytes(data)
    cli.say(f"random: input {number:,} is kept as {file}: {broken}")
    return cli.ANSWER_IS_NO


def _guided(seconds: int, keep: Path) -> int:
    """Run atheris, which ends its process itself, in another one."""
    with tempfile.TemporaryDirectory(prefix="plan-recommender-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, data in enumerate(seeds(SEEDS)):
            (corpus / f"{number}").write_bytes(data)
        command = [
            *(sys.executable, "-m", "tests.serving.fuzz_guided", str(corpus), f"-max_total_time={seconds}"),
            *(f"-max_len={MAX_INPUT}", f"-artifact_prefix={keep}/connection-", "-timeout=20", "-rss_limit_mb=2048"),
        ]
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        inputs = re.findall(r"^#(\d+)\s.*?cov: (\d+)", run.stderr, re.MULTILINE)
        tried, coverage = inputs[-1] if inputs else ("0", "0")
        cli.say(f"atheris: {int(tried):,} inputs in {seconds} s, {int(coverage):,} edges covered")
    if run.returncode or not inputs:
        cli.say(run.stdout[-2000:] + run.stderr[-4000:])
        return cli.ANSWER_IS_NO
    cli.say("nothing found")
    return cli.DONE


def _events(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut an input into packets, each with the event before it."""
    first, *rest = data.split(_MARK)
    yield PACKET, first
    for part in rest:
        yield (part[0] % 6 if part else PACKET), part[1:]


def _begun(fed: bytes) -> int:
    """Count the requests that begin in a stream; bytes that are no request count as one."""
    if b"upgrade" in fed.lower():  # an offer, which the connection ignores and the parser does not
        fed, _ = without_offers(fed)
    begun = Begun()
    parser = httptools.HttpRequestParser(begun)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        parser.feed_data(fed)
    return begun.number


def _held(protocol: object) -> int:
    """Count the bytes in the attributes of a connection, without those of its requests."""
    return sum(map(_size, vars(protocol).values()))


def _size(thing: object) -> int:
    if isinstance(thing, bytes | bytearray):
        return len(thing)
    return sum(map(_size, thing)) if isinstance(thing, list | tuple | deque) else 0


if __name__ == "__main__":
    sys.exit(main())
