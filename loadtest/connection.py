"""The connections of the load generator: each carries one request at a time and writes down what became of it."""

import asyncio
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import cast
from urllib.parse import urlsplit

import httptools
import numpy as np

from loadtest.record import LOST, UNANSWERED, WRONG, Record


@dataclass
class Log:
    """Collects what became of the requests of all connections of one load."""

    expected: bytes | None
    """The body that every answer 200 must have; None: any."""
    outstanding: set["Connection"] = field(default_factory=set)
    """Connections whose request is not answered yet."""
    due: "array[float]" = field(default_factory=lambda: array("d"))
    sent: "array[float]" = field(default_factory=lambda: array("d"))
    ended: "array[float]" = field(default_factory=lambda: array("d"))
    status: "array[int]" = field(default_factory=lambda: array("h"))
    without_retry_after: int = 0

    def note(self, due: float, sent: float, status: int, *, no_retry_after: bool = False) -> None:
        """Note a request that has ended just now."""
        self.due.append(due)
        self.sent.append(sent)
        self.ended.append(monotonic())
        self.status.append(status)
        self.without_retry_after += no_retry_after

    def give_up(self) -> None:
        """Note every outstanding request as unanswered, and close its connection."""
        for connection in list(self.outstanding):
            self.outstanding.discard(connection)
            self.note(connection.due, connection.sent, UNANSWERED)
            connection.close()

    def record(self) -> Record:
        """Give the record of all requests noted so far."""
        return Record(
            np.array(self.due), np.array(self.sent), np.array(self.ended), np.array(self.status, dtype=np.int16),
            self.without_retry_after,
        )  # fmt: skip


class Connection(asyncio.Protocol):
    """A client's connection, with at most one request on the way.

    It calls `answered` when it can take the next request, and `lost` when it ended and was not closed by `close`.
    """

    def __init__(
        self, log: Log, answered: "Callable[[Connection], None]", lost: "Callable[[Connection], None]"
    ) -> None:
        self._log = log
        self._answered = answered
        self._lost = lost
        self._parser = httptools.HttpResponseParser(self)
        self._retry_after = False
        self._last = False
        self._body = b""
        self.closing = False
        self.due = self.sent = self.idle_since = 0.0

    def ask(self, request: bytes, due: float) -> None:
        """Send a request that was due at a moment of `time.monotonic()`."""
        self.due = due
        self.sent = monotonic()
        self._log.outstanding.add(self)
        self._transport.write(request)

    def close(self) -> None:
        """Close the connection; `lost` is not called any more."""
        self.closing = True
        self._lost = _nothing
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to be idle; asyncio calls this."""
        self.idle_since = monotonic()
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it

    def data_received(self, data: bytes) -> None:
        """Parse a part of an answer; asyncio calls this."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look for Retry-After and Connection: close; the parser calls this."""
        name = name.lower()
        if name == b"retry-after":
            self._retry_after = True
        elif name == b"connection" and value == b"close":
            self._last = True

    def on_body(self, body: bytes) -> None:
        """Keep the body if it is to be compared; the parser calls this."""
        if self._log.expected is not None:
            self._body += body

    def on_message_complete(self) -> None:
        """Note the answer, and make the connection free for the next request; the parser calls this."""
        status = self._parser.get_status_code()
        unasked = self not in self._log.outstanding
        if unasked or (status == 200 and self._log.expected not in (None, self._body)):
            status = WRONG
        self._body = b""
        self._log.outstanding.discard(self)
        self._log.note(self.due, self.sent, status, no_retry_after=status in (429, 503) and not self._retry_after)
        self._retry_after = False
        if self._last:
            self.closing = True
            self._transport.close()
        else:
            self.idle_since = monotonic()
            self._answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note a request that got no answer; asyncio calls this."""
        self.closing = True
        if self in self._log.outstanding:
            self._log.outstanding.discard(self)
            self._log.note(self.due, self.sent, LOST)
        self._lost(self)


async def open_connection(
    url: str, log: Log, answered: Callable[[Connection], None], lost: Callable[[Connection], None]
) -> Connection:
    """Connect to a service; raises OSError when that fails."""
    address = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(log, answered, lost), address.hostname or "localhost", address.port or 80
    )
    return connection


def _nothing(_: Connection) -> None:
    pass
