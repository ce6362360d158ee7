"""Our own connection and uvicorn's give the same answers: the short form of `python -m tests.serving.differential`."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from tests.conftest import TrainedModel
from tests.serving.corpus import GOOD
from tests.serving.differences import RULES
from tests.serving.differential import Comparison, Report, compare_all, corpora, forwarding, mutations
from tests.serving.mutations import packets_of
from tests.serving.ways import CLOSED, KEPT, Answer, Ways, answers_of, application, both_ways
from tests.serving.wire import head, post
from tools.server import ROOT

pytestmark = pytest.mark.slow

CASES = 2_000
SEED = 7


@pytest.fixture(scope="module")
def ways(trained: TrainedModel) -> Iterator[Ways]:
    with both_ways(application()) as served:
        yield served


def compared(ways: Ways, *cases: tuple[str, list[bytes]]) -> Report:
    report: Report = ways.run(compare_all(ways, cases))
    return report


def test_mutated_requests_get_the_same_both_ways(ways: Ways) -> None:
    report: Report = ways.run(compare_all(ways, mutations(CASES, SEED)))
    assert report.differences == []
    assert report.cases == CASES
    assert min(report.fates[KEPT], report.fates[CLOSED], report.statuses[200], report.statuses[400]) > CASES / 10


def test_the_corpora_get_the_same_both_ways(ways: Ways) -> None:
    report: Report = ways.run(compare_all(ways, corpora()))
    assert report.differences == []
    assert report.cases > 900
    assert set(report.statuses) >= {200, 400, 404, 405, 413, 415, 431}


def test_the_cases_of_a_client_are_sent_both_ways_and_answered(ways: Ways) -> None:
    """As schemathesis sends its cases, which the long form does."""
    comparison = Comparison(ways)
    front = forwarding(comparison)
    with httpx.Client(base_url=ways.run(front.__aenter__())) as client:
        assert client.post("/predict", json=GOOD).json()["recommended_plan"] == "Smart"
        assert client.post("/predict", content=iter([b"{", b"}"])).status_code == 400
        assert client.head("/model").headers["content-length"] > "0"
        assert client.get("/docs.json").json()["openapi"]
        assert client.put("/predict").status_code == 405
    ways.run(front.__aexit__(None, None, None))
    assert (comparison.report.cases, comparison.report.differences) == (5, [])


@pytest.mark.parametrize("spoil", ["a byte", "the close"])
def test_a_difference_is_noticed(trained: TrainedModel, spoil: str) -> None:
    """The control: one letter of one answer is another one, or what should be closed is kept."""
    app = application()  # which installs our own connection

    class Spoiled:
        """A transport, spoiled."""

        def __init__(self, transport: asyncio.Transport) -> None:
            self._transport = transport

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

        def write(self, data: bytes) -> None:
            self._transport.write(data.replace(b'"Smart"', b'"smart"') if spoil == "a byte" else data)

        def close(self) -> None:
            if spoil == "a byte":
                self._transport.close()

    class Own(cast(Any, AutoHTTPProtocol)):  # type: ignore[misc]  # the class that is installed
        """Our own connection, on a spoiled transport."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(Spoiled(cast(asyncio.Transport, transport)))

    with both_ways(app, Own) as ways:
        report = compared(ways, ("answered", [post()]), ("closed", [head("GET", "/health", "connection: close")]))
    assert [each.name for each in report.differences] == ["answered" if spoil == "a byte" else "closed"]


def test_a_case_can_be_made_again() -> None:
    assert packets_of(1, 17) == packets_of(1, 17) != packets_of(2, 17)


def test_answers_are_read_as_they_were_written() -> None:
    first, second = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\n",
    )
    assert (
        answers_of(first + b"ok" + second + b"x" + first + first[:9])
        == (
            [
                Answer(200, ((b"content-length", b"2"),), b"ok"),
                Answer(404, ((b"content-length", b"1"),), b"x"),
                Answer(200, ((b"content-length", b"2"),), b""),  # to HEAD
            ],
            first[:9],
        )
    )


def test_every_difference_that_is_meant_is_documented() -> None:
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    assert [rule for rule, reason in RULES.items() if f"| {rule} | {reason} |" not in page] == []
