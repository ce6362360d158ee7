"""What a connection keeps of each of its requests, and what it shares with the other connections of its worker."""

from http import HTTPStatus
from typing import Final, NamedTuple

from plan_recommender.serving import framing
from plan_recommender.serving.bentoml_routes import BentoRoutes
from plan_recommender.serving.core import Core
from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.messages import Request
from plan_recommender.serving.prediction_log import REFERENCE_HEADER
from plan_recommender.serving.request_ids import REQUEST_ID, TRACEPARENT
from plan_recommender.serving.routes import Command, Verdict

_STATUS_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}

_END_OF_HEAD: Final = b"\r\n\r\n"
_NEVER_KNOWN: Final = frozenset(
    {b"expect", b"transfer-encoding", b"upgrade", REQUEST_ID, TRACEPARENT, REFERENCE_HEADER}
)  # fmt: skip
"""Fields of heads that are not remembered: of those that frame the body otherwise, and of those that are sent once."""

_MAX_KNOWN: Final = 256
_MAX_KNOWN_BYTES: Final = 1024
"""How many heads a worker remembers, before it begins anew, and of which size."""


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

    may_carry_another = False
    """Whether its head lets the connection carry another request after it."""
    keep_alive = False
    """Whether the connection will do so."""
    parts: list[bytes] | None
    """Of its body; None: it is not wanted, or was taken."""

    @property
    def waits_to_be_asked(self) -> bool:
        """Whether the client may keep the body back until it is asked for it."""
        asks = self.fields.get(b"expect", b"").strip().lower() == b"100-continue"
        return asks and not self.asked and framing.has_body(self.fields)


class KnownHead(NamedTuple):
    """A head that has come before, and what it says; it is followed by a body of a known length."""

    command: Command
    method: str
    path: str
    headers: list[Header]
    fields: dict[bytes, bytes]
    keep_alive: bool
    length: int


class KnownHeads:
    """Heads that have come before: clients send the same one again and again, and parsing is a fifth of the work.

    The same bytes at the start of a message say the same, and want the same. Only what came whole and by itself is
    remembered, and only if it was admitted and its body is framed by a length; everything else is parsed every time.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}

    def find(self, data: bytes) -> tuple[KnownHead | None, int]:
        """Find the head that the data begins with; gives it, if it is known, and where its body begins."""
        end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        return self._heads.get(data[:end]), end

    def learn(self, data: bytes, request: "Exchange") -> None:
        """Remember the head of a request, of which the data was all, and nothing else."""
        end, command = len(data) - request.size, request.verdict
        if (
            not isinstance(command, Command)
            or end > _MAX_KNOWN_BYTES
            or data.find(_END_OF_HEAD) + len(_END_OF_HEAD) != end
        ):
            return
        fields = request.fields
        if not _NEVER_KNOWN.isdisjoint(fields):
            return
        if len(self._heads) >= _MAX_KNOWN:
            self._heads.clear()
        self._heads[data[:end]] = KnownHead(
            command, request.method, request.path, request.headers, fields, request.may_carry_another, request.size
        )


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
        self.known_heads = KnownHeads()
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
