"""What only a raw socket can send: odd request targets, methods, headers and framings, and what is not HTTP at all.

Each gets its documented answer in JSON, and the server lives afterwards. What HTTP clients can send is in `corpus`.
"""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from plan_recommender.serving.limits import MAX_PIPELINED
from plan_recommender.serving.routes import ROUTES, Command
from tests.serving.corpus import MIB, usage
from tests.serving.wire import CHUNKED, Connection, head, post
from tools.server import Server

pytestmark = pytest.mark.slow

JSON_TYPE = "content-type: application/json"
SECONDS = 10


@dataclass(frozen=True)
class Raw:
    """A request as bytes, the status it gets, and for a refusal where the first problem is."""

    name: str
    request: bytes
    status: int
    loc: list[str] | None = None


def chunks(*parts: bytes, trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailer + b"\r\n"


TARGETS = [
    *[Raw(target, post(target), 200) for target in ("/predict?", "/predict?plan=Ultra", "/%70redict")],
    *[Raw(target, post(target), 200) for target in ("http://x/predict", "http://elsewhere:1/predict?plan=Ultra")],
    *[
        Raw(target, post(target), 404, ["path"])
        for target in (
            *("//predict", "/predict/", "/predict//", "/predict%2F", "/predict%2f", "/./predict", "/x/../predict"),
            *("/%2e/predict", "/predict;x", "/predict;x=1", "/predict%00", "/predict%20", "/predict%0d%0aX:%20y"),
            *("/PREDICT", "/%2570redict", "/predict%zz", "/%ff", "/predict%C3%A9", "/predict\\", "/predict.json"),
            *("http://x/predict/", "http://x//predict", "//livez", "/livez/", "/static_content/../predict"),
        )
    ],
    Raw("OPTIONS *", head("OPTIONS", "*"), 404, ["path"]),
    Raw("30,000 characters", post("/" + "a" * 30_000), 404, ["path"]),
]

METHODS = [
    Raw(f"{method} {path}", head(method, path), 405, ["method"])
    for method in ("OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PURGE", "QUERY", "M-SEARCH")
    for path in ROUTES
]

HEADERS = [
    Raw("30 KB header", post("/predict", JSON_TYPE, "x-padding: " + "a" * 30_000), 200),
    Raw("64 KB header", post("/predict", JSON_TYPE, "x-padding: " + "a" * 65_536), 431, ["head"]),
    Raw("64 KB of headers", post("/predict", JSON_TYPE, *["x-padding: " + "a" * 54] * 1024), 431, ["head"]),
    Raw("target that does not end", b"GET /" + b"a" * 40_000, 431, ["head"]),
    Raw("header that does not end", b"GET / HTTP/1.1\r\nx-padding: " + b"a" * 40_000, 431, ["head"]),
    Raw("a thousand headers", post("/predict", JSON_TYPE, *[f"x-{number}: value" for number in range(1_000)]), 200),
    Raw("header in latin-1", post("/predict", JSON_TYPE, "x-name: caf\xe9"), 200),
    Raw("HTTP/1.0", post("/predict", JSON_TYPE, version="HTTP/1.0"), 200),
    Raw("type empty", post("/predict", "content-type:"), 415, ["content-type"]),
    Raw("type in latin-1", post("/predict", "content-type: \xff"), 415, ["content-type"]),
    Raw("type of 30 KB", post("/predict", "content-type: " + "a" * 30_000), 415, ["content-type"]),
    # Of a header that stands twice the last counts.
    Raw("type twice", post("/predict", JSON_TYPE, JSON_TYPE), 200),
    Raw("type JSON, then text", post("/predict", JSON_TYPE, "content-type: text/plain"), 415, ["content-type"]),
    Raw("type text, then JSON", post("/predict", "content-type: text/plain", JSON_TYPE), 200),
    Raw("encoding twice", post("/predict", "content-encoding: identity", "content-encoding: gzip"), 415),
    # As Java's client offers HTTP/2 with every request, and a browser a WebSocket.
    Raw("HTTP/2 offered", post("/predict", "connection: Upgrade, HTTP2-Settings", "upgrade: h2c", JSON_TYPE), 200),
    Raw("WebSocket", head("GET", "/predict", "connection: upgrade", "Upgrade: websocket"), 405, ["method"]),
    Raw("expects something else", post("/predict", JSON_TYPE, "expect: 200-ok"), 200),
]

FRAMINGS = [
    Raw("chunked", post("/predict", JSON_TYPE, CHUNKED, body=chunks(usage())), 200),
    Raw("a byte a chunk", post("/predict", JSON_TYPE, CHUNKED, body=chunks(*[bytes([b]) for b in usage()])), 200),
    Raw("trailer", post("/predict", JSON_TYPE, CHUNKED, body=chunks(usage(), trailer=b"x-sum: 1\r\n")), 200),
    Raw("chunk extension", post("/predict", CHUNKED, body=chunks(usage()).replace(b"\r\n", b";a=b\r\n", 1)), 200),
    Raw("no chunks", post("/predict", JSON_TYPE, CHUNKED, body=chunks()), 400, []),
    Raw("no length", head("POST", "/predict", JSON_TYPE), 400, []),
    Raw("length of nothing", post("/predict", JSON_TYPE, body=b""), 400, []),
    Raw("chunks too large", post("/predict", JSON_TYPE, CHUNKED, body=chunks(*[b" " * MIB] * 2)), 413, ["body"]),
    Raw("length too large", head("POST", "/predict", JSON_TYPE, "content-length: 1048577"), 413, ["body"]),
    Raw("length of 10^18", head("POST", "/predict", JSON_TYPE, f"content-length: {10**18}"), 413, ["body"]),
]

NOT_HTTP = [
    Raw(name, request, 400, ["head"])
    for name, request in {
        "no host": b"POST /predict HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(usage()) + usage(),
        "method in lower case": head("get", "/health"),
        "unknown method": head("BREW", "/predict"),
        "CONNECT to a host": head("CONNECT", "x:80"),
        "target without a slash": post("predict"),
        "target with a space": post("/pre dict"),
        "target in UTF-8": post("/pr\xe9dict"),
        "absolute target without a path": post("http://x"),
        "HTTP/1.2": post(version="HTTP/1.2"),
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "bytes": b"\x00\xff\x00\r\n\r\n",
        "NUL in a header": post("/predict", "x-name: a\x00b"),
        "folded header": post("/predict", "x-name: a\r\n b"),
        "space before the colon": post("/predict", "x-name : a"),
        "line feed alone": post("/predict", "x-name: a\nx-other: b"),
        "length twice": post("/predict", f"content-length: {len(usage())}"),
        "two lengths": post("/predict", "content-length: 3"),
        "length and chunks": post("/predict", CHUNKED, "content-length: 3", body=chunks(usage())),
        "negative length": head("POST", "/predict", "content-length: -1"),
        "length in words": head("POST", "/predict", "content-length: many"),
        "chunk size in words": post("/predict", CHUNKED, body=b"many\r\n"),
        "negative chunk size": post("/predict", CHUNKED, body=b"-1\r\n\r\n"),
    }.items()
]


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with closing(Connection(server.url)) as opened:
        yield opened


@pytest.mark.parametrize("raw", TARGETS + METHODS + HEADERS + FRAMINGS + NOT_HTTP, ids=lambda raw: raw.name)
def test_each_has_its_answer_in_json(connection: Connection, raw: Raw) -> None:
    connection.send(raw.request)
    status, headers, body = connection.answer()
    assert (status, headers["content-type"]) == (raw.status, "application/json")
    document = json.loads(body)
    if raw.loc is not None:
        assert list(document) == ["error", "detail"]
        assert document["detail"][0]["loc"] == raw.loc


@pytest.mark.parametrize("raw", NOT_HTTP, ids=lambda raw: raw.name)
def test_after_what_is_not_http_the_connection_is_closed(connection: Connection, raw: Raw) -> None:
    connection.send(raw.request + head("GET", "/health"))
    _, headers, _ = connection.answer()
    assert headers["connection"] == "close"
    with pytest.raises((IndexError, ConnectionResetError)):  # nothing comes, or the rest of what was sent is refused
        connection.answer()


@pytest.mark.parametrize("path", [*ROUTES, "/app", "/app/page.js", "/nowhere"])
def test_head_has_the_headers_of_the_answer_and_no_body(connection: Connection, path: str) -> None:
    connection.send(head("HEAD", path) + head("GET", path))
    status, headers, body = connection.answer("HEAD")
    get_status, get_headers, get_body = connection.answer()
    if not isinstance(ROUTES.get(path), Command):
        assert (status, headers["content-length"]) == (get_status, get_headers["content-length"])
        assert int(headers["content-length"]) == len(get_body)
    else:
        assert status == get_status == 405
    assert body == b""


def test_a_client_that_asks_first_is_told_to_go_on(connection: Connection) -> None:
    connection.send(head("POST", "/predict", JSON_TYPE, f"content-length: {len(usage())}", "expect: 100-continue"))
    assert connection.answer()[0] == 100
    connection.send(usage())
    assert connection.answer()[0] == 200


def test_http_1_0_knows_no_100_continue(connection: Connection) -> None:
    asked = head("POST", "/predict", JSON_TYPE, f"content-length: {len(usage())}", "expect: 100-continue")
    connection.send(asked.replace(b"HTTP/1.1", b"HTTP/1.0"))
    time.sleep(0.2)
    connection.send(usage())
    assert connection.answer()[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [(["content-type: text/plain", "content-length: 60"], 415), ([JSON_TYPE, f"content-length: {MIB + 1}"], 413)],
)
def test_a_client_that_asks_first_is_refused_before_it_sends_the_body(
    connection: Connection, headers: list[str], status: int
) -> None:
    connection.send(head("POST", "/predict", *headers, "expect: 100-continue"))
    assert connection.answer()[0] == status


def test_a_refused_body_is_not_read_as_the_next_request(connection: Connection) -> None:
    connection.send(post("/predict", "content-type: text/plain", body=head("GET", "/model")) + head("GET", "/health"))
    assert connection.answer()[0] == 415
    status, _, body = connection.answer()
    assert (status, json.loads(body)["status"]) == (200, "ok")


def test_what_is_not_http_does_not_overtake_the_answer_before_it(connection: Connection) -> None:
    connection.send(post("/explain") + b"\x00\xff\r\n\r\n")
    status, headers, _ = connection.answer()
    assert (status, headers.get("connection")) == (200, None)
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (400, "close")


def test_bytes_of_a_body_are_never_taken_for_an_offer(connection: Connection) -> None:
    body = b"zz\r\nupgrade: " + b"a" * 200 + b"\r\n\r\n"
    connection.send(post("/nowhere", body=body)[: -len(body)])
    assert connection.answer()[0] == 404
    connection.send(body + post() + head("GET", "/health"))
    assert connection.answer()[0] == 200
    assert json.loads(connection.answer()[2])["status"] == "ok"


def test_every_answer_has_the_date_and_nothing_names_the_server(connection: Connection) -> None:
    for request in (post(), head("GET", "/livez"), head("GET", "/nowhere")):
        _, headers, _ = connection.answer_to(request)
        assert abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time()) < 5
        assert "server" not in headers


@pytest.mark.parametrize("pieces", [2, 60])
def test_an_offer_in_pieces_is_ignored_too(connection: Connection, pieces: int) -> None:
    request = post("/predict", "connection: Upgrade, HTTP2-Settings", "upgrade: h2c", JSON_TYPE)
    size = -(-len(request) // pieces)
    for start in range(0, len(request), size):
        connection.send(request[start : start + size])
        time.sleep(0.002)
    assert connection.answer()[0] == 200


@pytest.mark.parametrize("path", ["/health", "/v2/health/live", "/tariffs"])
def test_many_offers_sent_together_are_answered_up_to_the_limit(connection: Connection, path: str) -> None:
    connection.send(head("GET", path, "connection: upgrade", "upgrade: h2c") * 600)
    for _ in range(1 + MAX_PIPELINED):
        assert connection.answer("GET")[0] == 200
    assert connection.rest() == b""


@pytest.mark.parametrize("size", [20_000, 200_000, 800_000])
def test_the_rest_of_a_refused_body_is_not_a_head(connection: Connection, size: int) -> None:
    request = post("/predict_batch", "content-type: text/plain", body=b"a" * size)
    connection.send(request[:1000])
    assert connection.answer()[0] == 415
    connection.send(request[1000:] + post())
    assert connection.answer()[0] == 200


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_who_sends_no_more_is_answered_all_the_same(connection: Connection, path: str) -> None:
    connection.send(post(path))
    connection.send_no_more()
    assert connection.answer()[0] == 200


def test_what_follows_a_body_in_chunks_is_no_header_and_has_a_limit(connection: Connection) -> None:
    connection.send(post("/predict", CHUNKED, body=chunks(usage(), trailer=b"content-type: text/plain\r\n")))
    assert connection.answer()[0] == 200
    connection.send(post("/predict", CHUNKED, body=chunks(usage()))[:-2])

    def send_on() -> None:
        for _ in range(10_000):
            connection.send(b"x: 1\r\n" * 10_000)

    with pytest.raises(ConnectionError):
        send_on()


def test_a_connection_makes_no_more_requests_wait_than_is_said(connection: Connection) -> None:
    connection.send(post("/explain") + head("GET", "/health") * (2 * MAX_PIPELINED))
    for _ in range(1 + MAX_PIPELINED):
        assert connection.answer()[0] == 200
    with pytest.raises((IndexError, ConnectionResetError)):
        connection.answer()


@pytest.mark.parametrize(("path", "most"), [("/predict", 1_000), ("/predict_batch", 50_000)])
def test_very_many_names_are_refused_unread(connection: Connection, path: str, most: int) -> None:
    months = b'{"rows":[{' if path == "/predict_batch" else b"{"
    names = b",".join(b'"%d":1' % number for number in range(most + 1))
    connection.send(post(path, body=months + names + (b"}]}" if path == "/predict_batch" else b"}")))
    status, _, body = connection.answer()
    assert (status, json.loads(body)["detail"][0]["loc"]) == (400, ["body"])
    assert f"more than {most:,} names" in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("path", "body", "most"),
    [
        ("/predict", b'{"calls":[%b]}', 1_000),
        ("/advise", b'{"months":[%b]}', 1_000),
        ("/predict_batch", b'{"rows":[%b]}', 50_000),
        ("/v2/models/plan_recommender/infer", b'{"inputs":[{"shape":[%b]}]}', 50_000),
    ],
)
def test_very_many_values_are_refused_unread(connection: Connection, path: str, body: bytes, most: int) -> None:
    for value in (b"1", b"[]"):
        connection.send(post(path, body=body % b",".join([value] * (most + 2))))
        status, _, answer = connection.answer()
        assert (status, json.loads(answer)["detail"][0]["loc"]) == (400, ["body"])
        assert f"more than {most:,} values" in json.loads(answer)["error"]


def test_a_length_is_a_number_however_it_is_written(connection: Connection) -> None:
    connection.send(head("POST", "/predict", JSON_TYPE, f"content-length: {len(usage()):061}") + usage())
    assert connection.answer()[0] == 200


@pytest.mark.parametrize("size", [40_000, 65_536, 70_000, 200_000])
def test_a_target_that_is_too_long_is_told_so(connection: Connection, size: int) -> None:
    connection.send(head("GET", "/" + "a" * size))
    assert connection.answer("GET")[0] == 431


def test_requests_sent_together_are_answered_in_order(connection: Connection) -> None:
    # An answer from a thread, one at once, one of BentoML's own, a refusal: each finds its way by another path.
    months = [usage(calls=calls) for calls in range(20)]
    others = post() + head("GET", "/livez") + head("GET", "/predict")
    connection.send(b"".join(post("/explain", body=month) + others for month in months))
    for calls in range(20):
        explained: dict[str, Any] = json.loads(connection.answer()[2])
        assert {c["feature"]: c["value"] for c in explained["contributions"]}["calls"] == calls
        assert json.loads(connection.answer()[2])["recommended_plan"]
        assert connection.answer()[0] == 200
        assert connection.answer()[0] == 405


@pytest.mark.parametrize(
    "part", [b"", b"P", post()[:30], post()[:-1], post("/predict", CHUNKED, body=b"40\r\n{")], ids=len
)
def test_a_client_that_goes_away_in_the_middle_hurts_nobody(server: Server, part: bytes) -> None:
    with closing(Connection(server.url)) as opened:
        opened.send(part)
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"


def test_a_client_that_resets_the_connection_behind_several_requests_leaves_no_trace(server: Server) -> None:
    for trial in range(48):
        opened = Connection(server.url)
        opened.send((head("GET", "/health") + head("GET", "/livez")) * 20)
        time.sleep(0.0004 * (trial % 8))  # before, while and after they are answered
        opened.reset()
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
    assert "Traceback" not in server.log.read_text()


def test_after_all_that_the_server_lives_and_nobody_was_answered_with_a_5xx(server: Server) -> None:
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
    counted = [line for line in httpx.get(f"{server.url}/metrics").text.splitlines() if "requests_total{" in line]
    assert any('status="404"' in line for line in counted), counted
    assert not [line for line in counted if 'status="5' in line]
