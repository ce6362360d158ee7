"""Requests as bytes, and a client that sends them as they are."""

import socket
import struct
from urllib.parse import urlsplit

from tests.serving.corpus import usage

CHUNKED = "transfer-encoding: chunked"
SECONDS = 10


def head(method: str, target: str, *headers: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{method} {target} {version}", "host: x", *headers, "\r\n"]).encode("latin-1")


def post(target: str = "/predict", *headers: str, version: str = "HTTP/1.1", body: bytes = usage()) -> bytes:
    """The good request with these headers and, unless it is sent in chunks, its length."""
    length = [] if CHUNKED in headers else [f"content-length: {len(body)}"]
    return head("POST", target, *headers, *length, version=version) + body


class Connection:
    """A client that sends bytes as they are, and reads answers one by one."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((str(address.hostname), address.port or 80), timeout=SECONDS)
        self._answers = self._socket.makefile("rb")

    def send(self, request: bytes) -> None:
        self._socket.sendall(request)

    def send_no_more(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
        """Read one answer: status, headers, body."""
        status = int(self._answers.readline().split()[1])
        headers = {}
        while line := self._answers.readline().decode("ascii").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        return status, headers, self._answers.read(length)

    def answer_to(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request, and read the answer."""
        self.send(request)
        return self.answer(request.partition(b" ")[0].decode())

    def patience(self, seconds: float) -> None:
        """Wait so long for what comes."""
        self._socket.settimeout(seconds)

    def reset(self) -> None:
        """End the connection at once, without a farewell."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def rest(self) -> bytes:
        """Read what else comes until the connection ends."""
        return self._answers.read()

    def close(self) -> None:
        self._answers.close()
        self._socket.close()
