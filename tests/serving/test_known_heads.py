"""A head that has come before is not parsed again, and no answer is another one for it."""

from contextlib import closing
from typing import Any

import pytest

from plan_recommender.serving import error_responses, exchange
from plan_recommender.serving.exchange import Exchange, KnownHeads
from plan_recommender.serving.routes import ROUTES, Verdict
from tests.serving.corpus import usage
from tests.serving.wire import CHUNKED, Connection, head, post
from tools.server import Server

BODY = usage()
REQUEST = post()
HEAD = REQUEST[: -len(BODY)]


def came(data: bytes, size: int, *fields: tuple[bytes, bytes]) -> Exchange:
    """A request of which the data was all, and which was admitted."""
    request = Exchange("POST", "/predict", list(fields), 0.0)
    request.verdict = ROUTES["/predict"]
    request.size, request.may_carry_another = size, True
    return request


def test_a_head_is_known_when_it_has_come_whole() -> None:
    heads = KnownHeads()
    assert heads.find(REQUEST)[0] is None
    heads.learn(REQUEST, came(REQUEST, len(BODY), (b"host", b"x")))
    known, end = heads.find(HEAD + b"another body")
    assert known is not None
    assert (known.method, known.path, known.fields, known.keep_alive) == ("POST", "/predict", {b"host": b"x"}, True)
    assert known.command is ROUTES["/predict"]
    assert (end, known.length) == (len(HEAD), len(BODY))
    for other in (HEAD[:-1], HEAD[:-4], HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"), b" " + HEAD, b"", BODY):
        assert heads.find(other)[0] is None


@pytest.mark.parametrize(
    ("data", "size", "fields"),
    [
        (REQUEST, len(BODY) - 1, {}),  # of which something else came too
        (b"\r\n\r\n" + REQUEST, len(BODY), {}),
        (REQUEST, len(BODY), {b"expect": b"100-continue"}),
        (REQUEST, len(BODY), {b"transfer-encoding": b"chunked"}),
        (REQUEST, len(BODY), {b"upgrade": b"h2c"}),
        (REQUEST, len(BODY), {b"x-request-id": b"1"}),
        (REQUEST, len(BODY), {b"x-reference": b"s-1"}),
        (head("GET", "/model", "x-padding: " + "a" * exchange._MAX_KNOWN_BYTES), 0, {}),
    ],
)
def test_what_is_framed_otherwise_large_or_sent_once_is_not_remembered(
    data: bytes, size: int, fields: dict[bytes, bytes]
) -> None:
    heads = KnownHeads()
    heads.learn(data, came(data, size, *fields.items()))
    assert not heads._heads


@pytest.mark.parametrize(
    "verdict", [None, ROUTES["/health"], error_responses.unknown_key(), error_responses.overloaded()]
)
def test_only_requests_with_a_body_that_were_admitted_are_remembered(verdict: Verdict) -> None:
    heads, request = KnownHeads(), came(REQUEST, len(BODY))
    request.verdict = verdict
    heads.learn(REQUEST, request)
    assert not heads._heads


def test_few_heads_are_remembered() -> None:
    heads = KnownHeads()
    for number in range(3 * exchange._MAX_KNOWN):
        heads.learn(request := head("GET", f"/{number}"), came(request, 0))
        assert len(heads._heads) <= exchange._MAX_KNOWN
    assert heads.find(request)[0] is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "request_",
    [
        REQUEST, post("/explain", "accept-language: es"), post("/nowhere"), post("/predict", body=b"{"),
        post("/predict", "x-request-id: again"), post("/predict", "content-type: text/plain"),
        post("/predict", CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
        post("/predict", "connection: close"),
        head("GET", "/health"), head("HEAD", "/tariffs"), head("GET", "/livez"),
        head("GET", "/health", "content-length: 3") + b"abc",
    ],
)  # fmt: skip
def test_whoever_sends_the_same_again_gets_the_same_again(server: Server, request_: bytes) -> None:
    """On one connection as long as it lasts, and on others: all connections of a worker know the same heads."""
    method, answers = request_.split(b" ", 1)[0].decode(), list[Any]()
    for _ in range(2):
        with closing(Connection(server.url)) as client:
            for _ in range(2):
                client.send(request_)
                status, headers, body = client.answer(method)
                named = {name: value for name, value in headers.items() if name not in ("date", "x-request-id")}
                again = headers.get("x-request-id") == "again"
                answers.append((status, named, body, again))
                if headers.get("connection") == "close":
                    break
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.slow
def test_a_body_of_another_length_and_one_in_pieces_are_read_as_they_are(server: Server) -> None:
    with closing(Connection(server.url)) as client:
        for _ in range(3):
            assert client.answer_to(REQUEST)[0] == 200
        client.send(REQUEST[:-5])
        client.send(REQUEST[-5:] + REQUEST)  # the rest, and another one behind it
        assert [client.answer()[0] for _ in range(2)] == [200, 200]
        assert client.answer_to(HEAD + BODY.replace(b"85", b"-5"))[0] == 400  # the body is looked at every time
        assert client.answer_to(REQUEST)[0] == 200
