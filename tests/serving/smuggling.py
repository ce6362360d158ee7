"""Requests that a proxy in front and the service behind it could read differently, and what becomes of each.

One table: the bytes, the section of RFC 9112 (HTTP/1.1) or RFC 9110 (HTTP semantics) that they are about, the statuses
that are answered, in order, and whether the connection is kept. Every body that could hide a request hides `SMUGGLED`,
whose path nobody else asks for; its 404 stands in no row but those of requests that are allowed to follow.

Rows with a reason in `lenient` are accepted though the RFC lets or wants a server refuse them, or are refused in
another way than it recommends; docs/serving.md lists them. The file is long because it is one table.
"""

from dataclasses import dataclass
from typing import Final

from plan_recommender.serving.limits import MAX_HEAD_BYTES
from tests.serving.corpus import usage

SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"

_JSON: Final = usage()
_HOST: Final = b"host: x"
_CHUNKED: Final = b"transfer-encoding: chunked"
_POST: Final = b"POST /predict HTTP/1.1"
_POST_1_0: Final = b"POST /predict HTTP/1.0"
_GET: Final = b"GET /health HTTP/1.1"
_LONG: Final = 8 * MAX_HEAD_BYTES + 8 * len(_JSON) + 1_000
"""Longer than what an event loop reads at once, and more than may come beside a body."""


@dataclass(frozen=True)
class Case:
    """Some bytes, and what becomes of them."""

    name: str
    section: str
    """Of which RFC they are about."""
    request: bytes
    statuses: tuple[int, ...]
    """Of all answers that are made to them, in order."""
    kept: bool
    """Whether the connection takes another request afterwards."""
    lenient: str = ""
    """Why more is accepted, or something else is answered, than the RFC recommends."""


def get(*headers: bytes, line: bytes = _GET, host: bytes | None = _HOST, body: bytes = b"") -> bytes:
    """A request by its lines."""
    lines = [line, *([] if host is None else [host]), *headers]
    return b"".join(each + b"\r\n" for each in lines) + b"\r\n" + body


def post(*headers: bytes, line: bytes = _POST, host: bytes | None = _HOST, body: bytes = _JSON) -> bytes:
    """A prediction by its lines; its length is among them or it has none."""
    return get(*headers, line=line, host=host, body=body)


def with_length(*headers: bytes, line: bytes = _POST, host: bytes | None = _HOST) -> bytes:
    """A valid prediction, with further header lines."""
    return post(*headers, b"content-length: %d" % len(_JSON), line=line, host=host)


def chunks(
    size: bytes = b"%x" % len(_JSON), end: bytes = b"\r\n", data: bytes = _JSON + b"\r\n", last: bytes = b"0\r\n\r\n"
) -> bytes:
    """The body of a prediction as one chunk, part by part."""
    return size + end + data + last


def chunked(*headers: bytes, body: bytes = chunks(), line: bytes = _POST) -> bytes:
    """A prediction in chunks."""
    return post(_CHUNKED, *headers, line=line, body=body)


def _refused(section: str, cases: dict[str, bytes], status: int = 400) -> list[Case]:
    """The bytes are refused with one answer, and the connection is closed whatever comes behind them."""
    return [Case(name, section, request + SMUGGLED, (status,), kept=False) for name, request in cases.items()]


def _accepted(section: str, cases: dict[str, bytes], lenient: str = "", status: int = 200) -> list[Case]:
    """The bytes are one request, and what comes behind them is the next."""
    return [
        Case(name, section, request + SMUGGLED, (status, 404), kept=True, lenient=lenient)
        for name, request in cases.items()
    ]


def _last(section: str, cases: dict[str, bytes], lenient: str = "", status: int = 200) -> list[Case]:
    """The bytes are one request, behind which nothing is read."""
    return [
        Case(name, section, request + SMUGGLED, (status,), kept=False, lenient=lenient)
        for name, request in cases.items()
    ]


_N: Final = b"%d" % len(_JSON)

LENGTHS: Final = [
    *_refused(
        "9112 §6.1, §6.3",
        {
            "length, then chunks": post(b"content-length: " + _N, _CHUNKED, body=chunks()),
            "chunks, then length": post(_CHUNKED, b"content-length: " + _N, body=chunks()),
            "short length and chunks": post(b"content-length: 5", _CHUNKED, body=chunks()),
            "length and an empty encoding": post(b"content-length: " + _N, b"transfer-encoding:"),
            "length and an unknown encoding": post(b"content-length: " + _N, b"transfer-encoding: xchunked"),
        },
    ),
    *_refused(
        "9112 §6.3 (5); 9110 §8.6",
        {
            "two different lengths": post(b"content-length: 3", b"content-length: " + _N),
            "two different lengths, the long one first": post(b"content-length: " + _N, b"content-length: 3"),
            "the same length twice": post(b"content-length: " + _N, b"content-length: " + _N),
            "a list of the same length": post(b"content-length: " + _N + b", " + _N),
            "a list of two lengths": post(b"content-length: 3, " + _N),
            "length with a plus": post(b"content-length: +" + _N),
            "negative length": post(b"content-length: -1"),
            "length in hexadecimal": post(b"content-length: 0x10"),
            "length with an underscore": post(b"content-length: 1_0"),
            "length with a fraction": post(b"content-length: 10.0"),
            "length with a blank inside": post(b"content-length: 1 0"),
            "length in words": post(b"content-length: many"),
            "length in full-width digits": post("content-length: \uff11\uff10".encode()),
            "empty length": post(b"content-length:"),
            "length of 2^64": post(b"content-length: %d" % 2**64),
            "length of 2^64 and the real one": post(b"content-length: %d" % (2**64 + len(_JSON))),
            "vertical tab before a length": post(b"content-length: \x0b" + _N),
        },
    ),
    *_accepted(
        "9110 §5.5, §8.6",
        {
            "length with zeros in front": post(b"content-length: 000" + _N),
            "length between blanks": post(b"content-length: \t " + _N + b" "),
            "length without a blank": post(b"content-length:" + _N),
            "name in capitals": post(b"CONTENT-LENGTH: " + _N),
        },
    ),
    *_last("9112 §6.3", {"length of 2^64 - 1": post(b"content-length: %d" % (2**64 - 1))}, status=413),
    Case(
        "length under a name with an underscore", "9110 §5.1", post(b"content_length: " + _N) + SMUGGLED, (400, 400),
        kept=False,
    ),
    Case("post without a length", "9112 §6.3 (7)", post(body=b"") + SMUGGLED, (400, 404), kept=True),
    Case("body longer than its length", "9112 §6.3", post(b"content-length: 2") + SMUGGLED, (400, 400), kept=False),
]  # fmt: skip

ENCODINGS: Final = [
    *_accepted(
        "9112 §7",
        {
            "chunked": chunked(),
            "Chunked in capitals": post(b"Transfer-Encoding: CHUNKED", body=chunks()),
            "two blanks before chunked": post(b"transfer-encoding:  chunked", body=chunks()),
            "tab before chunked": post(b"transfer-encoding:\tchunked", body=chunks()),
            "blank behind chunked": post(b"transfer-encoding: chunked ", body=chunks()),
        },
    ),
    *_refused(
        "9112 §6.1, §6.3 (4), §7",
        {
            "chunked twice in a line": post(b"transfer-encoding: chunked, chunked", body=chunks()),
            "chunked in two lines": post(_CHUNKED, _CHUNKED, body=chunks()),
            "chunked, then gzip": post(b"transfer-encoding: chunked, gzip", body=chunks()),
            "chunked, then identity in another line": post(_CHUNKED, b"transfer-encoding: identity", body=chunks()),
            "identity": post(b"transfer-encoding: identity", body=chunks()),
            "xchunked": post(b"transfer-encoding: xchunked", body=chunks()),
            "chunkedx": post(b"transfer-encoding: chunkedx", body=chunks()),
            "x chunked": post(b"transfer-encoding: x chunked", body=chunks()),
            "chunked with a parameter": post(b"transfer-encoding: chunked;q=1", body=chunks()),
            "chunked in quotes": post(b'transfer-encoding: "chunked"', body=chunks()),
            "chunked, and a comma": post(b"transfer-encoding: chunked,", body=chunks()),
            "vertical tab before chunked": post(b"transfer-encoding: \x0bchunked", body=chunks()),
            "vertical tab behind chunked": post(b"transfer-encoding: chunked\x0b", body=chunks()),
            "empty encoding": post(b"transfer-encoding:", body=chunks()),
            "blank before the colon of an encoding": post(b"transfer-encoding : chunked", body=chunks()),
            "folded encoding": post(b"transfer-encoding:\r\n chunked", body=chunks()),
            "GET with identity": get(b"transfer-encoding: identity"),
            "chunks in HTTP/1.0": chunked(line=_POST_1_0),
            "chunks and a length in HTTP/1.0": post(
                b"content-length: " + _N, _CHUNKED, line=_POST_1_0, body=chunks()
            ),
        },
    ),
    *_last(
        "9112 §6.1",
        {
            "gzip, chunked": post(b"transfer-encoding: gzip, chunked", body=chunks()),
            "identity, chunked": post(b"transfer-encoding: identity, chunked", body=chunks()),
            "comma, and chunked": post(b"transfer-encoding: ,chunked", body=chunks()),
            "gzip and chunked in two lines": post(b"transfer-encoding: gzip", _CHUNKED, body=chunks()),
            "identity and chunked in two lines": post(b"transfer-encoding: identity", _CHUNKED, body=chunks()),
        },
        status=400,
        lenient="A server should say 501; any encoding but `chunked` by itself is taken for a fault of the framing.",
    ),
    Case(
        "chunks under a name with an underscore", "9110 §5.1",
        post(b"transfer_encoding: chunked", body=chunks()) + SMUGGLED, (400, 400), kept=False,
    ),
    *_last("9112 §6.3", {"tab behind chunked": post(b"transfer-encoding: chunked\t", body=chunks())},
           lenient="The tab is allowed white space, but the parser knows blanks only.", status=400),
]  # fmt: skip

CHUNKS: Final = [
    *_refused(
        "9112 §7.1",
        {
            "size of 17 digits": chunked(body=chunks(b"f" * 17)),
            "negative size": chunked(body=chunks(b"-1")),
            "size with a plus": chunked(body=chunks(b"+%x" % len(_JSON))),
            "size with 0x": chunked(body=chunks(b"0x%x" % len(_JSON))),
            "size with an underscore": chunked(body=chunks(b"4_0")),
            "size with a letter behind f": chunked(body=chunks(b"4g")),
            "blank before a size": chunked(body=chunks(b" %x" % len(_JSON))),
            "blank behind a size": chunked(body=chunks(b"%x " % len(_JSON))),
            "tab behind a size": chunked(body=chunks(b"%x\t" % len(_JSON))),
            "no size": chunked(body=chunks(b"")),
            "line feed alone behind a size": chunked(body=chunks(end=b"\n")),
            "carriage return alone behind a size": chunked(body=chunks(end=b"\r")),
            "no line end behind a chunk": chunked(body=chunks(data=_JSON)),
            "line feed alone behind a chunk": chunked(body=chunks(data=_JSON + b"\n")),
            "carriage return alone behind a chunk": chunked(body=chunks(data=_JSON + b"\r")),
            "chunk longer than its size": chunked(body=chunks(data=_JSON + b" \r\n")),
            "line feed alone behind the last size": chunked(body=chunks(last=b"0\n\r\n")),
            "line feed alone at the end": chunked(body=chunks(last=b"0\r\n\n")),
        },
    ),
    *_accepted(
        "9112 §7.1",
        {
            "size in capitals": chunked(body=chunks(b"%X" % len(_JSON))),
            "size with zeros in front": chunked(body=chunks(b"000%x" % len(_JSON), last=b"000\r\n\r\n")),
            "two chunks": chunked(body=b"1\r\n{\r\n" + chunks(b"%x" % (len(_JSON) - 1), data=_JSON[1:] + b"\r\n")),
        },
    ),
    *_accepted(
        "9112 §7.1.1",
        {
            "extension": chunked(body=chunks(b"%x;a=b" % len(_JSON))),
            "extension without a value": chunked(body=chunks(b"%x;a" % len(_JSON))),
            "extension in quotes": chunked(body=chunks(b'%x;a="b c;d"' % len(_JSON))),
            "extension with an escaped quote": chunked(body=chunks(b'%x;a="b\\"c"' % len(_JSON))),
            "extension of the last chunk": chunked(body=chunks(last=b"0;a=b\r\n\r\n")),
        },
    ),
    *_accepted(
        "9112 §7.1.1", {"extension with an empty value": chunked(body=chunks(b"%x;a=" % len(_JSON)))},
        lenient="The parser takes it; extensions are ignored.",
    ),
    *_refused(
        "9112 §7.1.1",
        {
            "extension without a name": chunked(body=chunks(b"%x;" % len(_JSON))),
            "extension with a line feed": chunked(body=chunks(b"%x;a\nb" % len(_JSON))),
            "extension that ends with a line feed": chunked(body=chunks(b"%x;a=b" % len(_JSON), end=b"\n")),
            "extension with a carriage return": chunked(body=chunks(b"%x;a\rb" % len(_JSON))),
            "extension with a NUL": chunked(body=chunks(b"%x;a=\0" % len(_JSON))),
            "line end in quotes": chunked(body=chunks(b'%x;a="' % len(_JSON))),
            "line feed in quotes": chunked(body=chunks(b'%x;a="\n"' % len(_JSON))),
            "blank before an extension": chunked(body=chunks(b"%x ;a=b" % len(_JSON))),
            "blank behind a semicolon": chunked(body=chunks(b"%x; a=b" % len(_JSON))),
        },
    ),
    *_refused("9112 §7.1.1", {"very long extension": chunked(body=chunks(b"%x;a=" % len(_JSON) + b"b" * _LONG))}, 431),
]  # fmt: skip

TRAILERS: Final = [
    *_accepted(
        "9110 §6.5; 9112 §7.1.2",
        {
            "trailer": chunked(body=chunks(last=b"0\r\nx-sum: 1\r\n\r\n")),
            "content type in a trailer": chunked(body=chunks(last=b"0\r\ncontent-type: text/plain\r\n\r\n")),
            "host in a trailer": chunked(body=chunks(last=b"0\r\nhost: y\r\n\r\n")),
            "expectation in a trailer": chunked(body=chunks(last=b"0\r\nexpect: 100-continue\r\n\r\n")),
            "upgrade in a trailer": chunked(body=chunks(last=b"0\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")),
        },
    ),
    *_refused(
        "9110 §6.5.1",
        {
            "length in a trailer": chunked(body=chunks(last=b"0\r\ncontent-length: 5\r\n\r\n")),
            "encoding in a trailer": chunked(body=chunks(last=b"0\r\ntransfer-encoding: chunked\r\n\r\n")),
            "folded trailer": chunked(body=chunks(last=b"0\r\nx: y\r\n z\r\n\r\n")),
            "trailer without a colon": chunked(body=chunks(last=b"0\r\n")),
            "line feed alone behind a trailer": chunked(body=chunks(last=b"0\r\nx: y\n\r\n")),
            "blank before the colon of a trailer": chunked(body=chunks(last=b"0\r\nx : y\r\n\r\n")),
        },
    ),
    *_last(
        "9110 §6.5.1", {"connection: close in a trailer": chunked(body=chunks(last=b"0\r\nconnection: close\r\n\r\n"))},
        lenient="The parser reads nothing behind it, so the connection is closed, which is always allowed.",
    ),
    *_refused("9112 §7.1.2", {"very long trailers": chunked(body=chunks(last=b"0\r\n" + b"x: y\r\n" * _LONG))}, 431),
]  # fmt: skip

FIELDS: Final = [
    *_refused(
        "9112 §5.1",
        {
            "blank before a colon": with_length(b"x : y"),
            "tab before a colon": with_length(b"x\t: y"),
            "blank before the colon of a length": post(b"content-length : " + _N),
            "line without a colon": with_length(b"xyz"),
            "line without a name": with_length(b": x"),
            "name with an @": with_length(b"x@y: z"),
            "name with a blank": with_length(b"x y: z"),
            "name in latin-1": with_length(b"x\xe9: y"),
            "name in quotes": with_length(b'"x": y'),
            "blank before the first name": with_length(host=b" host: x"),
        },
    ),
    *_refused(
        "9112 §5.2",
        {
            "folded header": with_length(b"x: y\r\n z"),
            "header folded with a tab": with_length(b"x: y\r\n\tz"),
            "header folded before its value": with_length(b"x:\r\n y"),
            "folded length": post(b"content-length:\r\n " + _N),
            "folded host": with_length(host=b"host: x\r\n y"),
        },
    ),
    *_refused(
        "9112 §2.2; 9110 §5.5",
        {
            "carriage return in a value": with_length(b"x: a\rb"),
            "carriage return that hides a length": with_length(b"x: a\rcontent-length: 0"),
            "carriage return before a line end": with_length(b"x: a\r"),
            "carriage return in a name": with_length(b"x\ry: z"),
            "carriage returns as line ends": with_length().replace(b"\r\n", b"\r"),
            "line feeds as line ends": with_length().replace(b"\r\n", b"\n"),
            "line feed behind the request line": with_length(host=None).replace(b"\r\n", b"\nhost: x\r\n", 1),
            "line feed behind a header": with_length(b"x: a\ny: b"),
            "line feed that hides an encoding": with_length(b"x: a\ntransfer-encoding: chunked"),
            "line feed at the end of the head": get(host=b"host: x\r\n")[:-4] + b"\n",
            "NUL in a value": with_length(b"x: a\0b"),
            "NUL in a name": with_length(b"x\0: a"),
            "control in a value": with_length(b"x: a\x01b"),
            "delete in a value": with_length(b"x: a\x7fb"),
            "escape in a value": with_length(b"x: \x1b[0m"),
        },
    ),
    *_accepted(
        "9110 §5.5",
        {
            "latin-1 in a value": with_length(b"x: \xff"),
            "empty value": with_length(b"x:"),
            "value of blanks": with_length(b"x: \t "),
        },
    ),
]

HOSTS: Final = [
    *_refused(
        "9112 §3.2",
        {
            "no host": with_length(host=None),
            "no host, without a body": get(host=None),
            "the same host twice": with_length(b"host: x"),
            "two hosts": with_length(b"Host: y"),
            "two hosts in HTTP/1.0": get(b"host: y", line=b"GET /health HTTP/1.0"),
            "host with a blank": with_length(host=b"host: a b"),
            "host with a comma and a blank": with_length(host=b"host: a, b"),
            "host with a path": with_length(host=b"host: a/b"),
            "host with a user": with_length(host=b"host: u@a"),
            "host with a query": with_length(host=b"host: a?b"),
            "host with a scheme": with_length(host=b"host: http://a"),
            "host with a word for a port": with_length(host=b"host: a:port"),
            "host with two ports": with_length(host=b"host: a:1:2"),
            "host with half a bracket": with_length(host=b"host: [::1"),
            "host in latin-1": with_length(host=b"host: \xe9"),
            "host with half an escape": with_length(host=b"host: a%2"),
            "absolute target without a host": with_length(host=None, line=b"POST http://x/predict HTTP/1.1"),
            "absolute target with a host that is none": with_length(
                host=b"host: a b", line=b"POST http://x/predict HTTP/1.1"
            ),
        },
    ),
    *_accepted(
        "9112 §3.2; 3986 §3.2.2",
        {
            "host in capitals": with_length(host=b"HOST: X"),
            "empty host": with_length(host=b"host:"),
            "host and port": with_length(host=b"host: x:80"),
            "host and an empty port": with_length(host=b"host: x:"),
            "address": with_length(host=b"host: 127.0.0.1:3000"),
            "address of IPv6": with_length(host=b"host: [::1]:3000"),
            "host with an underscore": with_length(host=b"host: a_b.c-d"),
            "host with an escape": with_length(host=b"host: a%20b"),
            "another host than in the target": with_length(host=b"host: y", line=b"POST http://x/predict HTTP/1.1"),
        },
    ),
    *_last("9112 §3.2", {"no host in HTTP/1.0": with_length(host=None, line=_POST_1_0)}),
]

LINES: Final = [
    *_accepted(
        "9112 §2.2",
        {
            "empty line before": b"\r\n" + get(),
            "three empty lines before": b"\r\n" * 3 + get(),
            "empty line behind a body": with_length() + b"\r\n",
        },
    ),
    *_accepted(
        "9112 §2.2", {"line feed before": b"\n" + get(), "carriage return before": b"\r" + get()},
        lenient="An empty line before a request may be any CR and LF; nothing is framed by it.",
    ),
    *_refused(
        "9112 §2.2",
        {"very many empty lines before": b"\r\n" * _LONG + get()},
        431,
    ),
    *_refused(
        "9112 §3",
        {
            "blank before the method": b" " + get(),
            "tab before the method": b"\t" + get(),
            "blank behind the version": get(line=_GET + b" "),
            "tabs between the parts": get(line=_GET.replace(b" ", b"\t")),
            "method in lower case": get(line=b"get /health HTTP/1.1"),
            "method with a bracket": get(line=b"GE(T /health HTTP/1.1"),
            "no method": get(line=b"/health HTTP/1.1"),
            "no target": get(line=b"GET HTTP/1.1"),
            "empty target": get(line=b"GET  HTTP/1.1"),
            "blank in the target": get(line=b"GET /he alth HTTP/1.1"),
            "latin-1 in the target": get(line=b"GET /h\xe9 HTTP/1.1"),
            "NUL in the target": get(line=b"GET /h\0 HTTP/1.1"),
            "delete in the target": get(line=b"GET /h\x7f HTTP/1.1"),
            "carriage return in the target": get(line=b"GET /h\r HTTP/1.1"),
            "target without a slash": get(line=b"GET health HTTP/1.1"),
            "authority as the target": get(line=b"GET x:80 HTTP/1.1"),
            "HTTP/0.9": b"GET /health\r\n\r\n",
            "HTTP/0.9 with headers": get(line=b"GET /health"),
            "HTTP/0.9 by its name": get(line=b"GET /health HTTP/0.9"),
            "HTTP/1": get(line=b"GET /health HTTP/1"),
            "HTTP/1.10": get(line=b"GET /health HTTP/1.10"),
            "HTTP/01.1": get(line=b"GET /health HTTP/01.1"),
            "HTTP/1,1": get(line=b"GET /health HTTP/1,1"),
            "HTTP/-1.1": get(line=b"GET /health HTTP/-1.1"),
            "http/1.1 in lower case": get(line=b"GET /health http/1.1"),
            "HTTPS/1.1": get(line=b"GET /health HTTPS/1.1"),
            "something behind the version": get(line=b"GET /health HTTP/1.1 x"),
            "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
            "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        },
    ),
    *_last(
        "9112 §3; 9110 §9.1", {"unknown method": get(line=b"BREW /health HTTP/1.1")}, status=400,
        lenient="A server should say 501; the parser knows its methods, and takes others for a fault.",
    ),
    *_last(
        "9112 §2.3", {"HTTP/1.2": get(line=b"GET /health HTTP/1.2")}, status=400,
        lenient="A server may answer as HTTP/1.1; nobody has ever spoken HTTP/1.2.",
    ),
    *_last(
        "9112 §2.3",
        {"HTTP/2.0 by its name": get(line=b"GET /health HTTP/2.0"), "HTTP/3.0": get(line=b"GET /health HTTP/3.0")},
        status=400, lenient="505 would be as good.",
    ),
    *_accepted(
        "9112 §3", {"two blanks": get(line=b"GET  /health  HTTP/1.1")},
        lenient="A recipient may split the line at any white space; the parser takes more than one blank.",
    ),
    *_last(
        "9112 §2.3", {"RTSP/1.0": get(line=b"GET /health RTSP/1.0")},
        lenient="The parser takes it for HTTP/1.0 and does not tell; the framing is the same.",
    ),
    *_accepted(
        "9112 §2.3", {"RTSP/1.1": get(line=b"GET /health RTSP/1.1")},
        lenient="The parser takes it for HTTP/1.1 and does not tell; the framing is the same.",
    ),
    *_refused("9112 §3", {"target that is too long": get(line=b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1")}, 431),
]  # fmt: skip

TARGETS: Final = [
    *_accepted(
        "9112 §3.2.2",
        {
            "absolute target": get(line=b"GET http://x/health HTTP/1.1"),
            "absolute target of https": get(line=b"GET https://x/health HTTP/1.1"),
            "absolute target with a port": get(line=b"GET http://x:80/health?a HTTP/1.1"),
        },
    ),
    *_refused("9112 §3.2.2", {"absolute target without a path": get(line=b"GET http://x HTTP/1.1")}),
    *_accepted("9112 §3.2.4", {"OPTIONS *": get(line=b"OPTIONS * HTTP/1.1")}, status=404),
    *_accepted(
        "9112 §3.2.4", {"GET *": get(line=b"GET * HTTP/1.1")}, status=404,
        lenient="`*` is no path of the service; nothing is framed by it.",
    ),
    *_accepted(
        "9112 §3.2", {"fragment": get(line=b"GET /health#x HTTP/1.1")},
        lenient="A server should refuse it; here it is cut off.",
    ),
    *_accepted(
        "9112 §3.2", {"characters that are none of a target": get(line=b'GET /<>"{}|\\^` HTTP/1.1')}, status=404,
        lenient="A server should refuse them; no path of the service has any.",
    ),
    *_refused("9112 §3.2.3", {"CONNECT to a host": get(line=b"CONNECT x:80 HTTP/1.1")}),
    *_last("9110 §9.3.6", {"CONNECT to a path": get(line=b"CONNECT /predict HTTP/1.1")}, status=405),
    *_accepted(
        "9110 §9.3.8",
        {
            "TRACE": get(line=b"TRACE /predict HTTP/1.1"),
            "TRACE with a body": with_length(line=b"TRACE /predict HTTP/1.1"),
        },
        status=405,
    ),
]  # fmt: skip

CONNECTIONS: Final = [
    *_accepted(
        "9110 §9.3.1; 9112 §6",
        {
            "GET with a body": with_length(line=_GET),
            "GET with a body in chunks": chunked(line=_GET),
            "GET whose body is a request": get(b"content-length: %d" % len(SMUGGLED), body=SMUGGLED),
            "HEAD with a body": with_length(line=b"HEAD /health HTTP/1.1"),
        },
    ),
    *_last(
        "9112 §9.3, §9.6",
        {
            "something behind a connection that closes": with_length(b"connection: close"),
            "close among others": with_length(b"connection: keep-alive, close"),
            "close in another line": with_length(b"connection: keep-alive", b"connection: close"),
            "close in capitals": with_length(b"Connection: CLOSE"),
            "close in chunks": chunked(b"connection: close"),
            "HTTP/1.0": with_length(line=_POST_1_0),
        },
    ),
    *_last(
        "9112 §9.3", {"HTTP/1.0 that would be kept": with_length(b"connection: keep-alive", line=_POST_1_0)},
        lenient="A server may close it; keep-alive of HTTP/1.0 is not offered.",
    ),
    *_last(
        "9112 §9.3", {"proxy-connection": with_length(b"proxy-connection: close")},
        lenient="The parser takes it for `connection`; a connection may always be closed.",
    ),
    *_accepted(
        "9110 §7.6.1",
        {
            "length named as a field of the connection": with_length(b"connection: content-length"),
            "unknown word for the connection": with_length(b"connection: xclose"),
        },
    ),
    *_accepted(
        "9110 §10.1.1",
        {
            "body that comes before it is asked for": with_length(b"expect: 100-continue"),
            "chunks that come before they are asked for": chunked(b"expect: 100-continue"),
        },
    ),
    *_accepted(
        "9110 §10.1.1", {"expectation that nobody knows": with_length(b"expect: 200-ok")},
        lenient="A server may say 417; an unknown expectation is ignored.",
    ),
    *_last("9110 §10.1.1", {"expectation in HTTP/1.0": with_length(b"expect: 100-continue", line=_POST_1_0)}),
    *_accepted(
        "9110 §7.8",
        {
            "HTTP/2 offered": with_length(b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings:"),
            "HTTP/2 offered with chunks": chunked(b"connection: upgrade", b"upgrade: h2c"),
            "upgrade that the connection does not name": with_length(b"upgrade: h2c"),
            "connection that names no upgrade": with_length(b"connection: upgrade"),
        },
    ),
    *_refused(
        "9110 §7.8; 9112 §6.3",
        {
            "upgrade with length and chunks": post(
                b"connection: upgrade", b"upgrade: h2c", b"content-length: " + _N, _CHUNKED, body=chunks()
            ),
            "upgrade with identity": post(
                b"connection: upgrade", b"upgrade: h2c", b"transfer-encoding: identity", body=chunks()
            ),
            "upgrade without a host": with_length(b"connection: upgrade", b"upgrade: h2c", host=None),
        },
    ),
    *_accepted(
        "9110 §7.8",
        {"WebSocket": get(b"connection: upgrade", b"upgrade: websocket", line=b"GET /predict HTTP/1.1")},
        status=405,
    ),
]  # fmt: skip

CASES: Final = [*LENGTHS, *ENCODINGS, *CHUNKS, *TRAILERS, *FIELDS, *HOSTS, *LINES, *TARGETS, *CONNECTIONS]
