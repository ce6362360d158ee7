"""Send mutated requests to our own connection and to uvicorn's, and compare statuses, headers, bodies and fates.

    python -m tests.serving.differential --cases 200000 --seed 1

The hostile corpora, the table of smuggled requests and, with --openapi N, the cases that schemathesis makes out of the
OpenAPI document go both ways too. Exit code 0: no difference but those that are meant, which are counted by their rule
(tests/serving/differences.py). 1: others; each is printed with the number that --only makes again.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from plan_recommender import cli
from tests.serving import corpus, protocol_corpus, smuggling, test_contract, test_wire
from tests.serving.differences import comparable, expected, must_differ
from tests.serving.mutations import packets_of
from tests.serving.ways import AFTER, Outcome, Ways, both_ways, exchange
from tests.serving.wire import head

AT_ONCE: Final = 24
"""Cases that are under way at the same time; so few that the service is not overloaded."""

PAUSE_SECONDS: Final = 0.1
ATTEMPTS: Final = 3
"""A case that differs is asked again by itself, because a few things depend on when bytes arrive."""

MAX_SHOWN: Final = 10


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

        async def ask(parts: Sequence[bytes]) -> Outcome:
            return await exchange(self._ways.uvicorns, parts, PAUSE_SECONDS, after=b"")

        wanted, rules = await expected(stream, ask)
        if comparable(own) == comparable(wanted):
            return own, rules
        return Difference(name, packets, own, uvicorns, wanted)


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
    return ((f"mutation {number}", packets_of(seed, number)) for number in range(cases))


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


def application() -> Any:
    """Make the service's application, in this process; batches that wait are not refused."""
    os.environ.setdefault("PLAN_RECOMMENDER_MAX_BATCHES", "1000")
    from service import PlanRecommender

    return cast(Any, PlanRecommender).to_asgi()
