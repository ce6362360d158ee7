"""A made-up plan recommender with one fault, for the load test to notice: `python -m tests.loadtest.faulty FAULT`.

It prints its port and serves until it is ended.
"""

import itertools
import json
import os
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from typing import Any, ClassVar

MODEL = "plan_recommender:faulty"
DESCRIPTION = {"model": MODEL, "threshold": 0.5, "segment_thresholds": []}
ULTRA = {"prediction": 1, "probability_is_ultra": 0.9, "recommended_plan": "Ultra"}
SMART = {"prediction": 0, "probability_is_ultra": 0.9, "recommended_plan": "Smart"}
PLANS: list[dict[str, Any]] = [
    {
        "plan": plan,
        "last_bill": {
            "fee": fee, "minutes": 0.1, "messages": 0.2, "data": 0.0, "total": round(fee + 0.3, 2), "estimated": False
        },
        "expected": fee, "low": fee, "high": fee,
    }
    for plan, fee in (("Smart", 550.0), ("Ultra", 1950.0))
]  # fmt: skip
WRONG_BILL = PLANS[0] | {"last_bill": {**PLANS[1]["last_bill"], "total": 550.0}}
ADVICE = {
    "advice": "choose", "plan": None, "advised_plan": "Smart", "expected_saving": 1400.0, "saving_low": 1400.0,
    "saving_high": 1400.0, "p_saves": 1.0, "plans": PLANS, "sentence": "Smart.", "currency": "RUB", "model": MODEL,
    "tariffs": "0" * 64,
}  # fmt: skip
CROWD = 7  # clients
CROWD_SECONDS = 0.3  # for so long after a request its client is there
SLOW_SECONDS = 1.0
LEAKED_BYTES = 1024 * 1024


class Faulty(BaseHTTPRequestHandler):
    """Recommends Ultra to everybody, but for its fault."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fault = "none"

    there_until: ClassVar[dict[int, float]] = {}  # by client
    was_crowded = False
    requests_in_crowd = itertools.count()
    leaked: ClassVar[list[object]] = []

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK, {} if self.fault == "nameless" else DESCRIPTION)

    def do_POST(self) -> None:
        self.there_until[self.client_address[1]] = inf
        try:
            self._recommend()
        finally:
            self.there_until[self.client_address[1]] = time.monotonic() + CROWD_SECONDS

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _recommend(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["content-length"])))
        crowded = sum(until > time.monotonic() for until in list(self.there_until.values())) >= CROWD
        Faulty.was_crowded |= crowded
        if self.fault == "refuses_always" or (
            self.fault.startswith("refuses") and crowded and next(self.requests_in_crowd) % 2
        ):
            headers = {} if self.fault == "refuses_without_retry_after" else {"retry-after": "1"}
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "too much to do"}, headers)
            return
        if (self.fault == "slow_when_crowded" and crowded) or (self.fault == "slow_ever_after" and self.was_crowded):
            time.sleep(SLOW_SECONDS)
        if self.fault == "mute":
            time.sleep(60)
        if self.fault == "leaks_memory":
            self.leaked.append(b"x" * LEAKED_BYTES)
        if self.fault == "leaks_descriptors":
            self.leaked.append(os.open(os.devnull, os.O_RDONLY))
        decision = SMART if self.fault == "wrong" else ULTRA
        if "rows" in document:
            self._answer(HTTPStatus.OK, {"predictions": [decision] * len(document["rows"]), "model": MODEL})
        elif "months" in document:
            wrong: dict[str, dict[str, Any]] = {
                "dear_advice": {"advised_plan": "Ultra"},
                "wrong_bill": {"plans": [WRONG_BILL, PLANS[1]]},
            }
            self._answer(HTTPStatus.OK, ADVICE | wrong.get(self.fault, {}))
        elif document["minutes"] < 0:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "", "detail": [{"loc": ["minutes"]}]})
        else:
            self._answer(HTTPStatus.OK, decision | {"model": MODEL})

    def _answer(self, status: HTTPStatus, document: object, headers: dict[str, str] | None = None) -> None:
        body = b"{" if self.fault == "garbled" and self.command == "POST" else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # at the usual 5, a client that finds it full comes again after a second


if __name__ == "__main__":
    Faulty.fault = sys.argv[1]
    server = _Server(("127.0.0.1", 0), Faulty)
    print(server.server_port, flush=True)
    server.serve_forever()
