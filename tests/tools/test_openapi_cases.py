"""What schemathesis makes of our OpenAPI document, asked of a real server: the short form of `tools.openapi_cases`."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tools.openapi_cases import ask
from tools.server import Server

pytestmark = pytest.mark.slow

CASES = 200
SEED = 1


def test_every_case_gets_an_answer_that_the_document_announces(server: Server) -> None:
    outcome = ask(f"{server.url}/docs.json", server.url, CASES, SEED)
    assert outcome.failures == {}, outcome.output
    assert outcome.cases >= CASES


def test_what_is_untrue_in_the_document_is_noticed(server: Server, tmp_path: Path) -> None:
    """The control: one untruth for each thing that is held against the document."""
    document = httpx.get(f"{server.url}/docs.json").json()
    paths, schemas = document["paths"], document["components"]["schemas"]
    predict, batch, explain = (paths[path]["post"]["responses"] for path in ("/predict", "/predict_batch", "/explain"))
    del predict["400"]
    batch["400"]["headers"] = {"X-Promised": {"required": True, "schema": {"type": "string"}}}
    explain["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    schemas["Decision"]["properties"]["prediction"] = {"type": "string"}
    schemas["CustomerUsage"]["properties"]["calls"]["minimum"] = 1000
    del schemas["CustomerUsage"]["properties"]["minutes"]["minimum"]
    paths["/health"]["put"] = paths["/health"].pop("get")
    wrong = tmp_path / "docs.json"
    wrong.write_text(json.dumps(document))
    outcome = ask(str(wrong), server.url, 100, SEED)
    assert set(outcome.failures) == {
        "UndefinedStatusCode",
        "JsonSchemaError",
        "MissingHeaders",
        "UndefinedContentType",
        "AcceptedNegativeData",
        "RejectedPositiveData",
        "UnsupportedMethodResponse",
        "AllowHeaderMismatch",
    }, outcome.output


class AlwaysFails(BaseHTTPRequestHandler):
    """Answers everything with a documented 500."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self._answer()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self) -> None:
        body = b'{"error":"It failed.","detail":[]}'
        self.send_response(500)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def failing_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), AlwaysFails)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_error_is_noticed_though_the_document_announces_it(server: Server, failing_server: str) -> None:
    outcome = ask(f"{server.url}/docs.json", failing_server, 10, SEED)
    assert "POST /predict" in outcome.failures["ServerError"]
