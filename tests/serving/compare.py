"""Serve this checkout and another one side by side, ask both the whole corpus, and compare the answers byte for byte.

    python -m tests.serving.compare ../other-checkout

Exit code 0: all are the same, but for the headers Date and X-Request-Id. 1: some differ; each is printed. A change that
keeps the behaviour is held against the commit before it like this:

    git worktree add ../before HEAD~1 && python -m tests.serving.compare ../before
"""

import argparse
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from plan_recommender import cli
from tests.serving import test_contract, test_wire
from tests.serving.corpus import LIGHT, encode, usage
from tests.serving.protocol_corpus import CORPUS
from tests.serving.wire import head, post
from tools.server import ROOT, serving

_SECONDS = 3.0
_ATTEMPTS = 3
"""An answer says `connection: close` when the client has stopped sending before it is made, which is a race."""

_DOCUMENTS = ("/docs.json", "/schema.json", "/health", "/model", "/livez", "/readyz", "/healthz", "/")


def main(arguments: list[str] | None = None) -> int:
    """Compare; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.serving.compare", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("other", type=Path, help="another checkout, whose environment is this one's")
    options = parser.parse_args(arguments)
    requests = dict(_requests())
    different = []
    with ExitStack() as stack:
        urls = [stack.enter_context(serving(cwd=cwd)).url for cwd in (options.other.resolve(), ROOT)]
        for name, request in requests.items():
            for _ in range(_ATTEMPTS):
                before, after = (_answer(url, request) for url in urls)
                if before == after:
                    break
            else:
                different.append(name)
                cli.say(f"{name}\n  there: {before[:2000]!r}\n  here:  {after[:2000]!r}")
    cli.say(f"{len(requests)} requests, {len(different)} answers differ")
    return cli.ANSWER_IS_NO if different else cli.DONE


def _requests() -> Iterator[tuple[str, bytes]]:
    for case in (*CORPUS, *test_contract.EXAMPLES):
        headers = [f"{name}: {value}" for name, value in case.headers.items()]
        length = [f"content-length: {len(case.body)}"]
        yield f"contract: {case.name}", head(case.method, case.path, *headers, *length) + case.body
    for raw in (*test_wire.TARGETS, *test_wire.METHODS, *test_wire.HEADERS, *test_wire.FRAMINGS, *test_wire.NOT_HTTP):
        yield f"wire: {raw.name}", raw.request
    for path in _DOCUMENTS:
        yield f"GET {path}", head("GET", path)
        yield f"HEAD {path}", head("HEAD", path)
    pipeline = b"".join(post(path) for path in ("/predict", "/explain", "/nowhere", "/predict")) + head(
        "GET", "/health"
    )
    yield "pipeline", pipeline
    yield "pipeline, then what is not HTTP", pipeline + b"\x00\xff\r\n\r\n"
    yield "half a request", post()[:-5]
    rows = encode({"rows": [LIGHT] * 10_000})
    yield "10,000 rows", post("/predict_batch", body=rows)
    yield "10,001 rows", post("/predict_batch", body=encode({"rows": [LIGHT] * 10_001}))
    yield "asks first, with the wrong type", head("POST", "/predict", "content-type: a/b", "expect: 100-continue")
    yield "asks first", head("POST", "/predict", f"content-length: {len(usage())}", "expect: 100-continue") + usage()


def _answer(url: str, request: bytes) -> bytes:
    """Send bytes, say that no more come, and give all that comes back, without Date and X-Request-Id."""
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), address.port or 80), timeout=_SECONDS) as connection:
        parts = []
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 16):
                parts.append(part)
        except OSError as error:  # it is closed while we send, or nothing comes for a while
            parts.append(f"\n{type(error).__name__}".encode())
    lines = b"".join(parts).split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith((b"date:", b"x-request-id:")))


if __name__ == "__main__":
    sys.exit(main())
