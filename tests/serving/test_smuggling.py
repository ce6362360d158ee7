"""The table of requests that could be smuggled: each gets its answers and no other, however its bytes are cut."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.conftest import TrainedModel
from tests.serving.smuggling import CASES, SMUGGLED, Case
from tests.serving.ways import CLOSED, KEPT, Outcome, Ways, both_ways, exchange

pytestmark = pytest.mark.slow

MAX_BYTE_BY_BYTE = 4_000
PIECE = 997
"""Bytes in a piece of what is too long to be sent byte by byte."""

NOT_YET = {
    "chunks in HTTP/1.0", "gzip, chunked", "identity, chunked", "comma, and chunked", "gzip and chunked in two lines",
    "identity and chunked in two lines", "connection: close in a trailer", "HTTP/0.9", "HTTP/0.9 with headers",
    "HTTP/0.9 by its name", "HTTP/2.0 by its name", "upgrade without a host",
    # What is too long is noticed if it comes in pieces, and what is not HTTP is answered if it comes apart.
    "very long extension", "very many empty lines before", "target that is too long",
    "length under a name with an underscore", "chunks under a name with an underscore", "body longer than its length",
    "no host", "no host, without a body", "the same host twice", "two hosts", "two hosts in HTTP/1.0",
    "host with a blank", "host with a comma and a blank", "host with a path", "host with a user", "host with a query",
    "host with a scheme", "host with a word for a port", "host with two ports", "host with half a bracket",
    "host in latin-1", "host with half an escape", "absolute target without a host",
    "absolute target with a host that is none",
}  # fmt: skip
"""Rows that the connection of today does not keep."""


@pytest.fixture(scope="module")
def ways(trained: TrainedModel) -> Iterator[Ways]:
    from service import PlanRecommender

    with both_ways(cast(Any, PlanRecommender).to_asgi()) as served:
        yield served


def packets_of(request: bytes, size: int) -> list[bytes]:
    return [request[start : start + size] for start in range(0, len(request), size)]


def marked(case: Case) -> Any:
    not_yet = pytest.mark.xfail(strict=True, reason="the connection that replaces today's does it")
    return pytest.param(case, id=case.name, marks=[not_yet] if case.name in NOT_YET else [])


def told(outcome: Outcome) -> tuple[tuple[int, ...], str, bytes]:
    return outcome.statuses, outcome.fate, outcome.rest


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_each_gets_its_answers_and_no_other_however_it_is_cut(ways: Ways, case: Case) -> None:
    piece = 1 if len(case.request) <= MAX_BYTE_BY_BYTE else PIECE
    for packets in ([case.request], packets_of(case.request, len(case.request) // 2), packets_of(case.request, piece)):
        outcome: Outcome = ways.run(exchange(ways.own, packets))
        assert told(outcome) == (case.statuses, KEPT if case.kept else CLOSED, b"")
        assert case.kept or not outcome.answers or outcome.answers[-1].closes


def test_a_smuggled_request_would_be_noticed(ways: Ways) -> None:
    """The control: the request that every row hides is answered where it is one, with a status that is known by it."""
    assert told(ways.run(exchange(ways.own, [SMUGGLED]))) == ((404,), KEPT, b"")
    assert [case.name for case in CASES if SMUGGLED not in case.request] == []


def test_every_name_stands_once() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert set(names) >= NOT_YET
