"""Send mutated requests to our own connection and to uvicorn's, and compare statuses, headers, bodies and fates.

    python -m tests.serving.differential --cases 200000 --seed 1

The hostile corpora, the table of smuggled requests and, with --openapi N, the cases that schemathesis makes out of the
OpenAPI document go both ways too. Exit code 0: no difference but those that are meant, which are counted by their rule
(tests/serving/differences.py). 1: others; each is printed with the number that --only makes again.
"""

import argparse
import asyncio
import logging
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from plan_recommender import cli
from tests.serving import protocol_corpus, smuggling, test_contract, test_wire
from tests.serving.differences import comparable, expected, must_differ
from tests.serving.mutations import packets_of
from tests.serving.ways import AFTER, KEPT, Answer, Outcome, Ways, application, both_ways, exchange
from tests.serving.wire import head
from tools.openapi_cases import ask

AT_ONCE: Final = 24
"""Cases that are under way at the same time; so few that the service is not overloaded."""

ANSWER_SECONDS: Final = 10.0
"""How long uvicorn's connection may take to answer a complete request, before the next one is sent."""

PAUSE_SECONDS: Final = 0.1
"""The same of the head of one that is not complete, which may be answered by it."""

ATTEMPTS: Final = 3
"""A case that differs is asked again by itself, because a few things depend on when bytes arrive."""

MAX_SHOWN: Final = 20
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")


@dataclass(frozen=True)
class Difference:
    """A case that got two outcomes, and no rule that says why."""

    name: str
    packets: Sequence[bytes]
    own: Outcome
    uvicorns: Outcome
    expected: Outcome


@dataclass
class Report:
    """What a run found."""

    cases: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    """How many cases differed by each rule."""
    statuses: Counter[int] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


class Comparison:
    """Sends cases both ways."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._alone = asyncio.Lock()
        self._places = asyncio.Semaphore(AT_ONCE)
        self.report = Report()

    async def compare(self, name: str, packets: Sequence[bytes]) -> Outcome:
        """Send a case both ways, note what was found, and give the outcome of our own connection."""
        async with self._places:
            found = await self._ask(name, packets)
        for _ in range(ATTEMPTS - 1):
            if not isinstance(found, Difference):
                break
            async with self._alone:
                found = await self._ask(name, packets)
        report = self.report
        report.cases += 1
        if isinstance(found, Difference):
            report.differences.append(found)
            return found.own
        own, rules = found
        report.rules.update(set(rules))
        report.statuses.update(own.statuses)
        report.fates[own.fate] += 1
        return own

    async def _ask(self, name: str, packets: Sequence[bytes]) -> tuple[Outcome, list[str]] | Difference:
        own = await exchange(self._ways.own, packets)
        uvicorns = await exchange(self._ways.uvicorns, packets)
        stream = b"".join(packets) + AFTER
        if comparable(own) == comparable(uvicorns) and not must_differ(stream):
            return own, ["one shape"] if own.answers != uvicorns.answers and own.statuses[-1:] == (400,) else []

        async def ask(parts: Sequence[bytes], complete: int) -> Outcome:
            pauses = [ANSWER_SECONDS] * complete + [PAUSE_SECONDS] * (len(parts) - complete)
            return await exchange(self._ways.uvicorns, parts, pauses, after=b"")

        wanted, rules = await expected(stream, ask)
        if comparable(own) in map(comparable, wanted):
            return own, rules
        return Difference(name, packets, own, uvicorns, wanted[0])


def main(arguments: list[str] | None = None) -> int:
    """Compare; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.serving.differential", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--cases", type=cli.positive_int, default=200_000, metavar="N", help="mutations (default: %(default)s)"
    )
    parser.add_argument(
        "--openapi", type=int, default=10_000, metavar="N",
        help="at least so many cases of schemathesis; 0: none (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    parser.add_argument("--only", type=int, metavar="N", help="this mutation alone, and show its outcomes")
    options = parser.parse_args(arguments)
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="plan-recommender-differential-"))
    logging.disable(logging.CRITICAL)  # a record for every refusal
    with both_ways(application()) as ways:
        if options.only is not None:
            return _tell(
                "mutation", ways.run(compare_all(ways, [_mutation(options.only, options.seed)])), time.monotonic()
            )
        codes = []
        for name, cases in (("corpus", corpora()), ("mutation", mutations(options.cases, options.seed))):
            began = time.monotonic()
            codes.append(_tell(name, ways.run(compare_all(ways, cases)), began))
        if options.openapi:
            began = time.monotonic()
            codes.append(_tell("OpenAPI", openapi(ways, options.openapi, options.seed), began))
    return max(codes)


async def compare_all(ways: Ways, cases: Iterable[tuple[str, Sequence[bytes]]]) -> Report:
    """Send cases both ways, some at a time."""
    comparison = Comparison(ways)
    waiting = iter(cases)

    async def one_after_the_other() -> None:
        for name, packets in waiting:
            await comparison.compare(name, packets)

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    return comparison.report


def mutations(cases: int, seed: int) -> Iterator[tuple[str, Sequence[bytes]]]:
    """Make so many cases out of valid requests."""
    return (_mutation(number, seed) for number in range(cases))


def openapi(ways: Ways, cases: int, seed: int) -> Report:
    """Have schemathesis send at least so many cases both ways, and check the answers of our own connection.

    Raises:
        RuntimeError: an answer is not one that the OpenAPI document announces.
    """
    comparison = Comparison(ways)
    front = forwarding(comparison)
    url = ways.run(front.__aenter__())
    try:
        outcome = ask(f"{url}/docs.json", url, cases, seed)
    finally:
        ways.run(front.__aexit__(None, None, None))
    if outcome.failures:
        raise RuntimeError(f"expected answers that the OpenAPI document announces, found others:\n{outcome.output}")
    return comparison.report


def corpora() -> Iterator[tuple[str, Sequence[bytes]]]:
    """Give every request of the corpora and tables that there are, each in one packet."""
    for case in (*protocol_corpus.CORPUS, *test_contract.EXAMPLES):
        headers = [f"{name}: {value}" for name, value in case.headers.items()]
        length = [f"content-length: {len(case.body)}"]
        yield f"corpus {case.name}", [head(case.method, case.path, *headers, *length) + case.body]
    for raw in (*test_wire.TARGETS, *test_wire.METHODS, *test_wire.HEADERS, *test_wire.FRAMINGS, *test_wire.NOT_HTTP):
        yield f"wire {raw.name}", [raw.request]
    for row in smuggling.CASES:
        yield f"smuggling {row.name}", [row.request]


def _mutation(number: int, seed: int) -> tuple[str, Sequence[bytes]]:
    return f"mutation {number} of seed {seed}", packets_of(seed, number)


def _tell(name: str, report: Report, began: float) -> int:
    rules = ", ".join(f"{rule} {count:,}" for rule, count in report.rules.most_common())
    statuses = ", ".join(f"{status} {count:,}" for status, count in sorted(report.statuses.items()))
    fates = ", ".join(f"{fate} {count:,}" for fate, count in report.fates.most_common())
    cli.say(
        f"{name}: {report.cases:,} cases in {time.monotonic() - began:.0f} s, {len(report.differences):,} differences"
        f"\n  meant, by rule: {rules or 'none'}\n  answers: {statuses}\n  connections: {fates}"
    )
    for difference in report.differences[:MAX_SHOWN]:
        packets = b"|".join(difference.packets)
        cli.say(f"{difference.name}\n  packets:  {packets[:2000]!r}")
        for whose in ("own", "uvicorns", "expected"):
            cli.say(f"  {whose + ':':<9} {comparable(getattr(difference, whose))}"[:1000])
    return cli.ANSWER_IS_NO if report.differences else cli.DONE


@asynccontextmanager
async def forwarding(comparison: Comparison) -> AsyncIterator[str]:
    """Serve in front of both: each request that comes is sent both ways, and answered as our own connection did.

    It understands the requests of an HTTP client, which have a length or no body. Gives the URL.
    """

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError), closing(writer):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if length := _LENGTH.search(request):
                    request += await reader.readexactly(int(length[1]))
                if b"\r\nTransfer-Encoding: chunked" in request:
                    request += await reader.readuntil(b"\r\n0\r\n\r\n")
                outcome = await comparison.compare(f"openapi {request[:60]!r}", [request])
                for answer in outcome.answers:
                    writer.write(_written(answer))
                if outcome.fate != KEPT:
                    break

    async with await asyncio.start_server(forward, "127.0.0.1", 0, limit=1 << 24) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


def _written(answer: Answer) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (answer.status, HTTPStatus(answer.status).phrase.encode())]
    lines += [name + b": " + value for name, value in answer.headers if name != b"transfer-encoding"]
    if answer.header(b"transfer-encoding"):
        lines.append(b"content-length: %d" % len(answer.body))
    return b"\r\n".join([*lines, b"", answer.body])


if __name__ == "__main__":
    sys.exit(main())
