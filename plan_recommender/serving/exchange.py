"""What a connection keeps of each of its requests, and what it shares with the other connections of its worker."""

from http import HTTPStatus
from typing import Final

from plan_recommender.serving import framing
from plan_recommender.serving.bentoml_routes import BentoRoutes
from plan_recommender.serving.core import Core
from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.messages import Request
from plan_recommender.serving.routes import Command, Verdict

_STATUS_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Exchange(Request):
    """A request of a connection, and what is known of how it came."""

    verdict: Verdict = None
    command: Command
    """The verdict, if it is one; only then is the body wanted."""
    size = 0
    """Of its body until now, in bytes."""
    held = 0
    """How much of that is counted with the bodies that are being read."""
    asked = False
    """Whether the client was asked for the body."""
    complete = False
    """Whether all of it has come."""
    answered = False

    keep_alive = False
    """Whether the connection may carry another request after it."""
    parts: list[bytes] | None
    """Of its body; None: it is not wanted, or was taken."""

    @property
    def waits_to_be_asked(self) -> bool:
        """Whether the client may keep the body back until it is asked for it."""
        asks = self.fields.get(b"expect", b"").strip().lower() == b"100-continue"
        return asks and not self.asked and framing.has_body(self.fields)


class Worker:
    """What the connections of one worker share."""

    def __init__(self, core: Core, bentoml_routes: BentoRoutes, *, shared_socket: bool) -> None:
        """Set up a worker.

        Args:
            core: decides and answers.
            bentoml_routes: answer what the core leaves to BentoML.
            shared_socket: whether other workers accept connections from the same socket.
        """
        self.core = core
        self.bentoml_routes = bentoml_routes
        self.shared_socket = shared_socket
        self._server_headers: list[Header] | None = None
        self._first_lines: dict[int, bytes] = {}

    def first_lines(self, status: int, server_headers: list[Header]) -> bytes:
        """Give the status line and the server's own headers, which it makes anew every second."""
        if server_headers is not self._server_headers:
            self._server_headers, self._first_lines = server_headers, {}
        lines = self._first_lines.get(status)
        if lines is None:
            own = (name + b": " + value + b"\r\n" for name, value in server_headers)
            lines = self._first_lines[status] = b"".join((_STATUS_LINES[status], *own))
        return lines
