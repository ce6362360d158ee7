"""Requests, good and bad, with the status that the contract gives each: asked of every way the service can run."""

import gzip
import json
import sys
import zlib
from dataclasses import dataclass, field
from typing import Any

JSON = {"content-type": "application/json"}
GOOD = {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}
LIGHT = {"calls": 4, "minutes": 21.5, "messages": 0, "mb_used": 1200.0}
MIB = 1024 * 1024


@dataclass(frozen=True)
class Case:
    """One request and the status it gets; `loc` is where the first problem is, for a refusal."""

    name: str
    body: bytes
    status: int
    loc: list[str | int] = field(default_factory=list)
    path: str = "/predict"
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


def encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def usage(**changes: Any) -> bytes:
    return encode(GOOD | changes)


def raw(calls: str) -> bytes:
    """The good request with an arbitrary token where the number of calls stands."""
    return usage(calls="@").replace(b'"@"', calls.encode())


def rows(*documents: Any) -> bytes:
    return encode({"rows": list(documents)})


def months(*usages: dict[str, Any], plan: Any = "Smart", first: int = 1) -> bytes:
    """A request for advice on consecutive months of 2026."""
    listed = [{"month": f"2026-{month:02d}", **usage} for month, usage in enumerate(usages, start=first)]
    return encode({"plan": plan, "months": listed})


def advice(name: str, body: bytes, status: int, loc: list[str | int] | None = None, **changes: Any) -> "Case":
    return Case(f"advise {name}", body, status, loc or [], path="/advise", **changes)


def twice(first: str, second: str) -> bytes:
    """The good request with two values for the number of calls."""
    return usage()[:1] + f'"calls":{first},'.encode() + raw(second)[1:]


PICKLE = b"cos\nsystem\n(S'exit 1'\ntR."
"""What runs a command when it is unpickled."""

PICKLE_TYPES = (
    "application/vnd.bentoml+pickle",
    "Application/VND.BentoML+Pickle",
    "application/vnd.bentoml+pickle; charset=utf-8",
    "application/vnd.bentoml+pickle;",
    "application/vnd.bentoml+pickle, application/json",
    "application/json, application/vnd.bentoml+pickle",
    "application/json+pickle",
    "application/pickle",
    "application/x-pickle",
    "application/python-pickle",
    "application/octet-stream",
)
NOT_JSON_TYPES = (
    *("text/plain", "text/json", "application/jsonp", "application/x-ndjson", "application/*", "*/*", "json", ";;;"),
    *("application/json; charset=utf-16", "application/json; charset=utf-8; charset=latin-1"),
)
FORM_PARTS = b'--x\r\ncontent-disposition: form-data; name="calls"\r\n\r\n85\r\n--x--\r\n'

VALID = [
    Case("good", usage(), 200),
    Case("zeros", usage(calls=0, minutes=0, messages=0, mb_used=0), 200),
    Case("huge", usage(calls=1.7e308, minutes=1.7e308, messages=1.7e308, mb_used=1.7e308), 200),
    Case("smallest", usage(calls=5e-324), 200),
    Case("minus zero", raw("-0.0"), 200),
    Case("minus zero, an integer", raw("-0"), 200),
    Case("less than the smallest", raw("1e-400"), 200),
    Case("two to the 63rd", raw(str(2**63)), 200),
    Case("largest, an integer", raw(str(int(sys.float_info.max))), 200),
    Case("a hundred thousand decimals", raw("0." + "3" * 100_000), 200),
    Case("exponent", raw("1E2"), 200),
    Case("other order and spaces", b' { "mb_used":1, "messages":2,\n"minutes":3, "calls":4 } ', 200),
    Case("key in escapes", usage().replace(b"calls", rb"\u0063alls"), 200),
    Case("same key twice", twice("-1", "85"), 200),
    Case("no content type", usage(), 200, headers={}),
    Case("charset", usage(), 200, headers={"content-type": "application/json; charset=UTF-8"}),
    Case("charset in quotes", usage(), 200, headers={"content-type": 'application/json ;charset="utf-8"'}),
    Case("type in capitals", usage(), 200, headers={"content-type": "APPLICATION/JSON"}),
    Case("json suffix", usage(), 200, headers={"content-type": "application/vnd.crm+json"}),
    Case("identity", usage(), 200, headers=JSON | {"content-encoding": "identity"}),
    Case("30 KB header", usage(), 200, headers=JSON | {"x-padding": "a" * 30_000}),
    Case("batch of one", rows(GOOD), 200, path="/predict_batch"),
    Case("batch of three", rows(GOOD, LIGHT, GOOD), 200, path="/predict_batch"),
    Case("explain good", usage(), 200, path="/explain"),
    Case("explain in Spanish", usage(), 200, path="/explain", headers=JSON | {"accept-language": "es-MX,es;q=0.9"}),
    Case("explain zeros", usage(calls=0, minutes=0, messages=0, mb_used=0), 200, path="/explain"),
    Case("explain huge", usage(calls=0, minutes=1.7e308, messages=1.7e308, mb_used=1.7e308), 200, path="/explain"),
    Case("explain smallest", usage(calls=5e-324), 200, path="/explain"),
    Case("explain minus zero", raw("-0.0"), 200, path="/explain"),
    advice("one month", months(GOOD), 200),
    advice("a year", months(*[GOOD, LIGHT] * 6), 200),
    advice("without a plan", months(GOOD, plan=None), 200),
    advice("in Spanish", months(GOOD), 200, headers=JSON | {"accept-language": "es-MX,es;q=0.9,en;q=0.1"}),
    advice("exact minutes of a part of a month", months(GOOD | {"billed_minutes": 540, "active_share": 0.5}), 200),
    advice("unknown minutes", months(GOOD | {"billed_minutes": None}), 200),
    advice("unknown share", months(GOOD | {"active_share": None}), 200),
    advice("fewest minutes", months(GOOD | {"billed_minutes": 516.7 - 85}), 200),
    advice("most minutes", months(GOOD | {"billed_minutes": 516.7 + 85}), 200),
    advice("no call and no minute", months(dict.fromkeys(GOOD, 0) | {"billed_minutes": 0}), 200),
    advice("nothing used", months(dict.fromkeys(GOOD, 0)), 200),
    advice("the most", months(dict.fromkeys(GOOD, 1e9)), 200),
    advice("smallest", months(dict.fromkeys(GOOD, 5e-324) | {"active_share": 0.01}), 200),
    Case("health", b"", 200, path="/health", method="GET", headers={}),
    Case("model", b"", 200, path="/model", method="GET", headers={}),
    Case("model document", b"", 200, path="/model/document", method="GET", headers={}),
    Case("model habits", b"", 200, path="/model/habits", method="GET", headers={}),
    Case("tariffs", b"", 200, path="/tariffs", method="GET", headers={}),
    Case("tariffs of another tag", b"", 200, path="/tariffs", method="GET", headers={"if-none-match": '"x"'}),
]

REFUSED = [
    Case("empty body", b"", 400),
    Case("white space", b" \r\n\t", 400),
    Case("truncated", usage()[:-1], 400),
    Case("not json", b"calls=85", 400),
    Case("trailing garbage", usage() + b"x", 400),
    Case("trailing comma", usage()[:-1] + b",}", 400),
    Case("two documents", usage() + usage(), 400),
    Case("single quotes", usage().replace(b'"', b"'"), 400),
    Case("comment", b"/* month */" + usage(), 400),
    Case("list", b"[]", 400),
    Case("null", b"null", 400),
    Case("number", b"7", 400),
    Case("byte order mark", b"\xef\xbb\xbf" + usage(), 400),
    Case("utf-16", usage().decode().encode("utf-16"), 400),
    Case("utf-32", usage().decode().encode("utf-32"), 400),
    Case("invalid utf-8", b'{"calls":"\xff"}', 400),
    Case("surrogate in utf-8", b'{"\xed\xa0\x80":1}', 400),
    Case("lone surrogate", b'{"\\ud800":1}', 400),
    Case("lone surrogate in text", raw(r'"\udfff"'), 400),
    Case("nul", b"\x00", 400),
    Case("nul at the end", usage() + b"\x00", 400),
    Case("nul in text", raw('"\x00"'), 400),
    Case("nul in a key", usage().replace(b"calls", rb"calls\u0000"), 400, ["calls"]),
    Case("deep nesting", b"[" * 250_000, 400),
    Case("deep nesting, closed", b"[" * 250_000 + b"]" * 250_000, 400),
    Case("deep nesting in a field", raw("[" * 250_000 + "]" * 250_000), 400),
    Case("deep object", b'{"calls":' * 100_000, 400, ["body"]),
    Case("missing field", encode({k: v for k, v in GOOD.items() if k != "mb_used"}), 400, ["mb_used"]),
    Case("empty object", b"{}", 400, ["calls"]),
    Case("unknown field", usage(plan="Ultra"), 400, ["plan"]),
    Case("key in capitals", usage().replace(b"calls", b"CALLS"), 400, ["calls"]),
    Case("same key twice, the last negative", twice("85", "-1"), 400, ["calls"]),
    Case("negative", usage(minutes=-1), 400, ["minutes"]),
    Case("slightly negative", usage(minutes=-5e-324), 400, ["minutes"]),
    Case("nan", raw("NaN"), 400, ["calls"]),
    Case("infinity", raw("Infinity"), 400, ["calls"]),
    Case("minus infinity", raw("-Infinity"), 400, ["calls"]),
    Case("overflow", raw("1e400"), 400, ["calls"]),
    Case("negative overflow", raw("-1e400"), 400, ["calls"]),
    Case("four hundred digits", raw("1" + "0" * 400), 400, ["calls"]),
    Case("five thousand digits", raw("1" + "0" * 5_000), 400),
    Case("leading zero", raw("085"), 400),
    Case("leading plus", raw("+85"), 400),
    Case("hexadecimal", raw("0x55"), 400),
    Case("numeric text", usage(calls="85"), 400, ["calls"]),
    Case("text", usage(calls="many"), 400, ["calls"]),
    Case("true", usage(calls=True), 400, ["calls"]),
    Case("false", usage(calls=False), 400, ["calls"]),
    Case("null field", usage(calls=None), 400, ["calls"]),
    Case("list field", usage(calls=[85]), 400, ["calls"]),
    Case("object field", usage(calls={"value": 85}), 400, ["calls"]),
    Case("nested under the parameter", encode({"usage": GOOD}), 400, ["calls"]),
    Case("batch list root", encode([GOOD]), 400, path="/predict_batch"),
    Case("batch malformed", b'{"rows":[', 400, path="/predict_batch"),
    Case("batch deep nesting", b'{"rows":' + b"[" * 250_000, 400, path="/predict_batch"),
    Case("batch without rows", b"{}", 400, ["rows"], path="/predict_batch"),
    Case("batch of none", rows(), 400, ["rows"], path="/predict_batch"),
    Case("batch of null", encode({"rows": None}), 400, ["rows"], path="/predict_batch"),
    Case("batch of 10,001", rows(*[GOOD] * 10_001), 400, ["rows"], path="/predict_batch"),
    Case("batch rows is an object", encode({"rows": GOOD}), 400, ["rows"], path="/predict_batch"),
    Case("batch unknown field", encode({"rows": [GOOD], "x": 1}), 400, ["x"], path="/predict_batch"),
    Case("batch rows twice", b'{"rows":[' + usage() + b'],"rows":[]}', 400, ["rows"], path="/predict_batch"),
    Case("batch bad row", rows(GOOD, GOOD | {"calls": -1}), 400, ["rows", 1, "calls"], path="/predict_batch"),
    Case("batch null row", rows(GOOD, LIGHT, None), 400, ["rows", 2], path="/predict_batch"),
    Case("batch unknown in a row", rows(GOOD | {"plan": 1}), 400, ["rows", 0, "plan"], path="/predict_batch"),
    Case("batch text in a row", rows(GOOD | {"calls": "85"}), 400, ["rows", 0, "calls"], path="/predict_batch"),
    Case("batch true in a row", rows(GOOD | {"calls": True}), 400, ["rows", 0, "calls"], path="/predict_batch"),
    Case("batch overflow", b'{"rows":[' + raw("1e400") + b"]}", 400, ["rows", 0, "calls"], path="/predict_batch"),
    Case("explain empty body", b"", 400, path="/explain"),
    Case("explain deep nesting", b"[" * 250_000, 400, path="/explain"),
    Case("explain list", encode([GOOD]), 400, path="/explain"),
    Case("explain missing field", encode({"calls": 1}), 400, ["minutes"], path="/explain"),
    Case("explain unknown field", usage(plan="Ultra"), 400, ["plan"], path="/explain"),
    Case("explain negative", usage(minutes=-1), 400, ["minutes"], path="/explain"),
    Case("explain nan", raw("NaN"), 400, ["calls"], path="/explain"),
    Case("explain overflow", raw("1e400"), 400, ["calls"], path="/explain"),
    Case("explain numeric text", usage(calls="85"), 400, ["calls"], path="/explain"),
    advice("empty body", b"", 400),
    advice("no months", encode({"plan": "Smart", "months": []}), 400, ["months"]),
    advice("37 months", encode({"months": [{"month": "2026-01", **GOOD}] * 37}), 400, ["months"]),
    advice("the same month twice", encode({"months": [{"month": "2026-01", **GOOD}] * 2}), 400, ["months"]),
    advice("a month that is none", encode({"months": [{"month": "2026-13", **GOOD}]}), 400, ["months", 0, "month"]),
    advice("a plan that nobody sells", months(GOOD, plan="Gold"), 400, ["plan"]),
    advice("a plan in other letters", months(GOOD, plan="smart"), 400, ["plan"]),
    advice("a plan that is no name", months(GOOD, plan=1), 400, ["plan"]),
    advice("more than anybody can use", months(GOOD, GOOD | {"mb_used": 1.1e9}), 400, ["months", 1, "mb_used"]),
    advice("negative", months(GOOD | {"minutes": -1}), 400, ["months", 0, "minutes"]),
    advice("no share", months(GOOD | {"active_share": 0}), 400, ["months", 0, "active_share"]),
    advice("more than whole", months(GOOD | {"active_share": 1.01}), 400, ["months", 0, "active_share"]),
    advice("no minutes of 85 calls", months(GOOD | {"billed_minutes": 0}), 400, ["months", 0, "billed_minutes"]),
    advice(
        "more minutes than calls let be",
        months(GOOD, GOOD | {"billed_minutes": 602}, GOOD | {"billed_minutes": 1e9}),
        400,
        ["months", 1, "billed_minutes"],
    ),
    advice(
        "minutes without a call",
        months(LIGHT | {"calls": 0, "billed_minutes": 22}),
        400,
        ["months", 0, "billed_minutes"],
    ),
    advice("a quantity that is null", months(GOOD | {"calls": None}), 400, ["months", 0, "calls"]),
    advice("missing field", months({"calls": 1}), 400, ["months", 0, "minutes"]),
    advice("unknown field", months(GOOD | {"plan": "Ultra"}), 400, ["months", 0, "plan"]),
    advice("overflow", months(GOOD | {"calls": "@"}).replace(b'"@"', b"1e400"), 400, ["months", 0, "calls"]),
    advice("deep nesting", b'{"months":' + b"[" * 250_000, 400),
    advice("too large", b" " * (MIB + 1), 413, ["body"]),
    advice("text type", months(GOOD), 415, ["content-type"], headers={"content-type": "text/plain"}),
    Case("too large", b" " * (MIB + 1), 413, ["body"]),
    Case("too large batch", b" " * (10 * MIB + 1), 413, ["body"], path="/predict_batch"),
    Case("explain too large", b" " * (MIB + 1), 413, ["body"], path="/explain"),
    Case("form", b"calls=85", 415, ["content-type"], headers={"content-type": "application/x-www-form-urlencoded"}),
    Case("multipart", FORM_PARTS, 415, ["content-type"], headers={"content-type": "multipart/form-data; boundary=x"}),
    Case("broken multipart", b"--", 415, ["content-type"], headers={"content-type": "multipart/form-data"}),
    Case("explain text type", usage(), 415, ["content-type"], path="/explain", headers={"content-type": "text/plain"}),
    Case("batch text type", rows(GOOD), 415, ["content-type"], "/predict_batch", headers={"content-type": "text/csv"}),
    *[Case(f"type {name}", usage(), 415, ["content-type"], headers={"content-type": name}) for name in NOT_JSON_TYPES],
    *[
        Case(f"pickle as {name}", PICKLE, 415, ["content-type"], headers={"content-type": name})
        for name in PICKLE_TYPES
    ],
    Case("64 KB header", usage(), 431, ["head"], headers=JSON | {"x-padding": "a" * 65_536}),
    Case("page with a 64 KB header", b"", 431, ["head"], "/app", "GET", headers={"x-padding": "a" * 65_536}),
    Case("health with a 64 KB header", b"", 431, ["head"], "/health", "GET", headers={"x-padding": "a" * 65_536}),
    Case("pickle as JSON", PICKLE, 400),
    Case("pickle with a JSON suffix", PICKLE, 400, headers={"content-type": "application/vnd.bentoml+pickle+json"}),
    *[
        Case(f"compressed as {name}", body, 415, ["content-encoding"], headers=JSON | {"content-encoding": name})
        for name, body in {
            "gzip": gzip.compress(usage()),
            "GZIP": gzip.compress(usage()),
            "x-gzip": gzip.compress(b" " * 10 * MIB),
            "deflate": zlib.compress(usage()),
            "br": usage(),
            "identity, gzip": gzip.compress(usage()),
            "aws-chunked": usage(),
        }.items()
    ],
    Case("batch gzip", b"", 415, ["content-encoding"], "/predict_batch", headers=JSON | {"content-encoding": "gzip"}),
    Case("compressed without a word", gzip.compress(usage()), 400),
    *[
        Case(f"{method} {path}", b"", 405, ["method"], path, method, headers={})
        for path in ("/predict", "/predict_batch", "/explain", "/advise")
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
    ],
    *[
        Case(f"{method} {path}", b"{}", 405, ["method"], path, method)
        for path in ("/health", "/model", "/model/document", "/model/habits", "/tariffs", "/app")
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
    ],
]

CORPUS = VALID + REFUSED


_OF_THE_BENTO: dict[str, tuple[str, ...]] = {
    "/model": ("bento", "source_commit"), "/v2": ("version",), "/v2/": ("version",)
}  # fmt: skip


def comparable(case: Case, content: bytes) -> bytes:
    """Leave out of an answer what says which Bento or commit answers; of every other route, nothing."""
    names = _OF_THE_BENTO.get(case.path, ())
    if not names or not content:
        return content
    about: dict[str, object] = json.loads(content)
    return json.dumps({name: value for name, value in about.items() if name not in names}).encode()
