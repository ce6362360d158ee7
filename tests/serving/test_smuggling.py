"""The table of requests that could be smuggled: each gets its answers and no other, however its bytes are cut."""

from collections.abc import Iterator

import pytest

from tests.conftest import TrainedModel
from tests.serving.smuggling import CASES, SMUGGLED, Case
from tests.serving.ways import CLOSED, KEPT, Outcome, Ways, application, both_ways, exchange
from tools.server import ROOT

pytestmark = pytest.mark.slow

MAX_BYTE_BY_BYTE = 4_000
PIECE = 997
"""Bytes in a piece of what is too long to be sent byte by byte."""


@pytest.fixture(scope="module")
def ways(trained: TrainedModel) -> Iterator[Ways]:
    with both_ways(application()) as served:
        yield served


def packets_of(request: bytes, size: int) -> list[bytes]:
    return [request[start : start + size] for start in range(0, len(request), size)]


def told(outcome: Outcome) -> tuple[tuple[int, ...], str, bytes]:
    return outcome.statuses, outcome.fate, outcome.rest


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
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


def test_what_is_lenient_is_documented() -> None:
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    reasons: dict[str, list[str]] = {}
    for case in CASES:
        if case.lenient:
            reasons.setdefault(case.lenient, []).append(case.name)
    assert [why for why, names in reasons.items() if f"| {', '.join(names)} | {why} |" not in page] == []
    assert len(reasons) > 10


def test_every_name_stands_once() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
