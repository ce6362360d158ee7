"""The access log: what a request leaves, how much of it, and that nothing in it is a client's."""

import asyncio
import json
import logging
import random
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from plan_recommender import __version__
from plan_recommender.serving.access_log import FLUSH_SECONDS, MAX_ERRORS_A_SECOND, AccessLog
from plan_recommender.serving.logs import write_json
from plan_recommender.serving.request_ids import MAX_REQUEST_ID, IdLines, fields_of, id_lines, new_request_id
from tools.server import ROOT

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00f067aa0ba902b7"
TRACEPARENT = b"00-%b-%b-01" % (TRACE, PARENT)
IDS: IdLines = b"x-request-id: abc\r\n"


class Records(logging.Handler):
    """Keeps the lines of JSON that would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def objects(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def records() -> Iterator[Records]:
    handler, access = Records(), logging.getLogger("bentoml.plan_recommender.access")
    before = access.level
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    write_json(access)
    yield handler
    access.removeHandler(handler)
    access.setLevel(before)


def ids_of(*headers: tuple[bytes, bytes]) -> list[bytes]:
    return id_lines(list(headers), dict(headers)).splitlines()


@pytest.mark.parametrize("sent", [b"a", b"01HZX-9_.:+/=", b"f" * MAX_REQUEST_ID])
def test_a_request_id_is_taken_over(sent: bytes) -> None:
    assert ids_of((b"host", b"x"), (b"x-request-id", sent)) == [b"x-request-id: " + sent]


@pytest.mark.parametrize(
    "sent",
    [b"", b"a b", b"a\tb", b'a"b', b"a,b", b"\xff", b"a\x1b[31m", b"a\n", b"{}", b"<a>", b"f" * (MAX_REQUEST_ID + 1)],
)
def test_an_odd_request_id_is_replaced(sent: bytes) -> None:
    first, second = (ids_of((b"x-request-id", sent))[0].partition(b": ")[2] for _ in range(2))
    assert sent not in (first, second)
    assert first != second
    made = "a made one is of the form that is taken over"
    assert ids_of((b"x-request-id", first)) == [b"x-request-id: " + first], made


def test_no_two_requests_get_the_same_id() -> None:
    assert len({new_request_id() for _ in range(1000)}) == 1000


def test_of_two_request_ids_the_last_counts_and_two_traces_are_none() -> None:
    ids = ids_of((b"x-request-id", b"a"), (b"traceparent", TRACEPARENT), (b"x-request-id", b"b"))
    assert ids == [b"x-request-id: b", b"traceparent: " + TRACEPARENT]
    (only,) = ids_of(*[(b"traceparent", TRACEPARENT)] * 2)
    assert only.startswith(b"x-request-id: ")


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (TRACEPARENT, TRACEPARENT),
        (TRACEPARENT[:-2] + b"00", TRACEPARENT[:-2] + b"00"),
        (b"cc" + TRACEPARENT[2:], b"cc" + TRACEPARENT[2:]),
        (b"01" + TRACEPARENT[2:] + b"-what-nobody-knows-yet", b"01" + TRACEPARENT[2:]),
    ],
)
def test_a_trace_is_taken_over(sent: bytes, answered: bytes) -> None:
    headers = [(b"traceparent", sent)]
    ids = id_lines(headers, dict(headers))
    assert b"traceparent: " + answered in ids.splitlines()
    assert fields_of(ids)["trace_id"] == TRACE.decode()


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"00", TRACEPARENT[:-1], TRACEPARENT + b"0", TRACEPARENT + b"-", TRACEPARENT + b"-x",
        b"ff" + TRACEPARENT[2:], TRACEPARENT.upper(), b"00-%b-%b-01" % (b"0" * 32, PARENT),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b" " + TRACEPARENT, TRACEPARENT + b"\n", b"01" + TRACEPARENT[2:] + b".x", b"01" + TRACEPARENT[2:] + b"-\x1b",
        TRACEPARENT.replace(b"4", b"g"),
    ],
)  # fmt: skip
def test_a_trace_that_is_not_valid_counts_as_absent(sent: bytes) -> None:
    headers = [(b"traceparent", sent)]
    ids = id_lines(headers, dict(headers))
    assert ids.count(b"\r\n") == 1
    assert fields_of(ids)["trace_id"] is None


def noted(share: float, *statuses: int) -> None:
    """Let a log with this share note answers of these statuses, and end."""

    async def note() -> None:
        log = AccessLog(share)
        log.begin("plan_recommender:x")
        for status in statuses:
            if log.wants(status):
                log.note("/predict", status, 0.002, 131, 1, IDS)
        log.end()

    asyncio.run(note())


def test_a_record_is_made_of_numbers_and_names(records: Records) -> None:
    noted(1, 200)
    (record,) = records.objects
    assert record["milliseconds"] == 2
    fixed = {name: record[name] for name in ("route", "status", "bytes", "rows", "model", "request_id", "trace_id")}
    assert fixed == {
        "route": "/predict", "status": 200, "bytes": 131, "rows": 1, "model": "plan_recommender:x",
        "request_id": "abc", "trace_id": None,
    }  # fmt: skip
    assert str(record["message"]).startswith("/predict answered 200 after ")


@pytest.mark.parametrize(("share", "low", "high"), [(0, 0, 0), (0.1, 60, 140), (1, 1000, 1000)])
def test_of_successes_a_share_is_recorded(records: Records, share: float, low: int, high: int) -> None:
    random.seed(1)
    noted(share, *[200] * 1000)
    assert low <= len(records.lines) <= high


def test_errors_are_recorded_whatever_the_share(records: Records) -> None:
    noted(0, 200, 304, 400, 401, 503)
    assert [(record["status"], record["level"]) for record in records.objects] == [
        (status, "WARNING") for status in (400, 401, 503)
    ]


def test_a_flood_of_errors_leaves_few_records_and_their_number(records: Records) -> None:
    noted(0, *[401] * 1000, *[503] * (MAX_ERRORS_A_SECOND + 1), 404)
    own = Counter(record["status"] for record in records.objects if "left_out" not in record)
    assert own == {401: MAX_ERRORS_A_SECOND, 503: MAX_ERRORS_A_SECOND, 404: 1}
    left_out = {record["status"]: record["left_out"] for record in records.objects if "left_out" in record}
    assert left_out == {401: 1000 - MAX_ERRORS_A_SECOND, 503: 1}


def test_the_next_second_has_room_again_and_the_number_is_told_by_then(records: Records) -> None:
    async def flood_and_wait() -> None:
        log = AccessLog(0)
        for _ in range(MAX_ERRORS_A_SECOND + 5):
            log.note("none", 401, 0.0, 0, None, IDS)
        await asyncio.sleep(1.1)
        assert records.objects[-1]["left_out"] == 5
        log.note("none", 401, 0.0, 0, None, IDS)
        log.end()

    asyncio.run(flood_and_wait())
    assert len(records.lines) == MAX_ERRORS_A_SECOND + 2
    assert "left_out" not in records.objects[-1]


def test_successes_are_written_together_soon_and_say_when_they_were_answered(records: Records) -> None:
    async def answer_and_wait() -> None:
        log = AccessLog(1)
        log.note("/predict", 200, 0.0, 0, 1, IDS)
        answered = datetime.now(UTC)
        assert not records.lines
        await asyncio.sleep(FLUSH_SECONDS + 0.2)
        (record,) = records.objects
        assert abs((datetime.fromisoformat(str(record["time"])) - answered).total_seconds()) < 0.1
        for _ in range(100):
            log.note("/predict", 200, 0.0, 0, 1, IDS)
        assert len(records.lines) >= 90, "a burst does not wait"
        log.end()

    asyncio.run(answer_and_wait())
    assert len(records.lines) == 101


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
