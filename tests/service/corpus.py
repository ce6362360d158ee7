"""Requests, good and bad, with the status that the contract gives each: asked of every way the service can run."""

import json
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


VALID = [
    Case("good", usage(), 200),
    Case("zeros", usage(calls=0, minutes=0, messages=0, mb_used=0), 200),
    Case("huge", usage(calls=1.7e308, minutes=1.7e308, messages=1.7e308, mb_used=1.7e308), 200),
    Case("smallest", usage(calls=5e-324), 200),
    Case("minus zero", raw("-0.0"), 200),
    Case("two to the 63rd", raw(str(2**63)), 200),
    Case("exponent", raw("1E2"), 200),
    Case("other order and spaces", b' { "mb_used":1, "messages":2,\n"minutes":3, "calls":4 } ', 200),
    Case("no content type", usage(), 200, headers={}),
    Case("charset", usage(), 200, headers={"content-type": "application/json; charset=UTF-8"}),
    Case("json suffix", usage(), 200, headers={"content-type": "application/vnd.crm+json"}),
    Case("batch of one", rows(GOOD), 200, path="/predict_batch"),
    Case("batch of three", rows(GOOD, LIGHT, GOOD), 200, path="/predict_batch"),
    Case("explain good", usage(), 200, path="/explain"),
    Case("explain zeros", usage(calls=0, minutes=0, messages=0, mb_used=0), 200, path="/explain"),
    Case("explain huge", usage(calls=0, minutes=1.7e308, messages=1.7e308, mb_used=1.7e308), 200, path="/explain"),
    Case("explain smallest", usage(calls=5e-324), 200, path="/explain"),
    Case("explain minus zero", raw("-0.0"), 200, path="/explain"),
    Case("health", b"", 200, path="/health", method="GET", headers={}),
    Case("model", b"", 200, path="/model", method="GET", headers={}),
]

REFUSED = [
    Case("empty body", b"", 400),
    Case("truncated", usage()[:-1], 400),
    Case("not json", b"calls=85", 400),
    Case("trailing garbage", usage() + b"x", 400),
    Case("list", b"[]", 400),
    Case("null", b"null", 400),
    Case("number", b"7", 400),
    Case("byte order mark", b"\xef\xbb\xbf" + usage(), 400),
    Case("utf-16", usage().decode().encode("utf-16"), 400),
    Case("invalid utf-8", b'{"calls":"\xff"}', 400),
    Case("lone surrogate", b'{"\\ud800":1}', 400),
    Case("nul", b"\x00", 400),
    Case("deep nesting", b"[" * 250_000, 400),
    Case("deep object", b'{"calls":' * 100_000, 400),
    Case("missing field", encode({k: v for k, v in GOOD.items() if k != "mb_used"}), 400, ["mb_used"]),
    Case("empty object", b"{}", 400, ["calls"]),
    Case("unknown field", usage(plan="Ultra"), 400, ["plan"]),
    Case("negative", usage(minutes=-1), 400, ["minutes"]),
    Case("slightly negative", usage(minutes=-5e-324), 400, ["minutes"]),
    Case("nan", raw("NaN"), 400, ["calls"]),
    Case("infinity", raw("Infinity"), 400, ["calls"]),
    Case("minus infinity", raw("-Infinity"), 400, ["calls"]),
    Case("overflow", raw("1e999"), 400, ["calls"]),
    Case("four hundred digits", raw("1" + "0" * 400), 400, ["calls"]),
    Case("numeric text", usage(calls="85"), 400, ["calls"]),
    Case("text", usage(calls="many"), 400, ["calls"]),
    Case("boolean", usage(calls=True), 400, ["calls"]),
    Case("null field", usage(calls=None), 400, ["calls"]),
    Case("list field", usage(calls=[85]), 400, ["calls"]),
    Case("object field", usage(calls={"value": 85}), 400, ["calls"]),
    Case("nested under the parameter", encode({"usage": GOOD}), 400, ["calls"]),
    Case("batch list root", encode([GOOD]), 400, path="/predict_batch"),
    Case("batch malformed", b'{"rows":[', 400, path="/predict_batch"),
    Case("batch without rows", b"{}", 400, ["rows"], path="/predict_batch"),
    Case("batch of none", rows(), 400, ["rows"], path="/predict_batch"),
    Case("batch of 10,001", rows(*[GOOD] * 10_001), 400, ["rows"], path="/predict_batch"),
    Case("batch rows is an object", encode({"rows": GOOD}), 400, ["rows"], path="/predict_batch"),
    Case("batch unknown field", encode({"rows": [GOOD], "x": 1}), 400, ["x"], path="/predict_batch"),
    Case("batch bad row", rows(GOOD, GOOD | {"calls": -1}), 400, ["rows", 1, "calls"], path="/predict_batch"),
    Case("batch null row", rows(GOOD, LIGHT, None), 400, ["rows", 2], path="/predict_batch"),
    Case("explain empty body", b"", 400, path="/explain"),
    Case("explain deep nesting", b"[" * 250_000, 400, path="/explain"),
    Case("explain list", encode([GOOD]), 400, path="/explain"),
    Case("explain missing field", encode({"calls": 1}), 400, ["minutes"], path="/explain"),
    Case("explain unknown field", usage(plan="Ultra"), 400, ["plan"], path="/explain"),
    Case("explain negative", usage(minutes=-1), 400, ["minutes"], path="/explain"),
    Case("explain nan", raw("NaN"), 400, ["calls"], path="/explain"),
    Case("explain overflow", raw("1e999"), 400, ["calls"], path="/explain"),
    Case("explain numeric text", usage(calls="85"), 400, ["calls"], path="/explain"),
    Case("too large", b" " * (MIB + 1), 413, ["body"]),
    Case("too large batch", b" " * (10 * MIB + 1), 413, ["body"], path="/predict_batch"),
    Case("explain too large", b" " * (MIB + 1), 413, ["body"], path="/explain"),
    Case("explain text type", usage(), 415, ["content-type"], path="/explain", headers={"content-type": "text/plain"}),
    Case("form", b"calls=85", 415, ["content-type"], headers={"content-type": "application/x-www-form-urlencoded"}),
    Case("multipart", b"--x--", 415, ["content-type"], headers={"content-type": "multipart/form-data; boundary=x"}),
    Case("broken multipart", b"--", 415, ["content-type"], headers={"content-type": "multipart/form-data"}),
    Case("text type", usage(), 415, ["content-type"], headers={"content-type": "text/plain"}),
    Case("pickle", b"\x80\x04.", 415, ["content-type"], headers={"content-type": "application/vnd.bentoml+pickle"}),
    Case("pickle in capitals", b"", 415, ["content-type"], headers={"content-type": "Application/VND.BentoML+Pickle"}),
    Case(
        "json in utf-16", usage(), 415, ["content-type"], headers={"content-type": "application/json; charset=utf-16"}
    ),
    Case("garbage type", usage(), 415, ["content-type"], headers={"content-type": ";;;"}),
    Case("gzip", b"\x1f\x8b", 415, ["content-encoding"], headers=JSON | {"content-encoding": "gzip"}),
    Case("get predict", b"", 405, ["method"], method="GET", headers={}),
    Case("put predict", usage(), 405, ["method"], method="PUT"),
    Case("delete batch", b"", 405, ["method"], path="/predict_batch", method="DELETE", headers={}),
    Case("get explain", b"", 405, ["method"], path="/explain", method="GET", headers={}),
    Case("post health", b"{}", 405, ["method"], path="/health"),
    Case("post model", b"{}", 405, ["method"], path="/model"),
]

CORPUS = VALID + REFUSED
