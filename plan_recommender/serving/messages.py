"""Requests and responses as values, without a connection."""

from collections.abc import Iterable

from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.request_ids import id_lines


class Request:
    """One request; its body is there once all of it has come."""

    body = b""

    def __init__(
        self,
        method: str,
        path: str,
        headers: list[Header],
        arrived: float,
        head_bytes: int = 0,
        fields: dict[bytes, bytes] | None = None,
    ) -> None:
        """Take the head of a request.

        Args:
            method: for example `POST`.
            path: decoded, without the query.
            headers: their names in lower case.
            arrived: when all of the head had come, by time.perf_counter().
            head_bytes: size of the target and the headers; 0 if that is within the limit in any case.
            fields: the headers by name, if they are at hand.
        """
        self.method = method
        self.path = path
        self.headers = headers
        self.fields = dict(headers) if fields is None else fields
        """The headers by name; of those that stand twice, the last."""
        self.arrived = arrived
        self.head_bytes = head_bytes
        self.ids = id_lines(headers, self.fields)


class Response:
    """A whole response."""

    def __init__(
        self, status: int, head: bytes, body: bytes, reason: str = "", rows: int | None = None, closes: bool = False
    ) -> None:
        """Put a response together.

        Args:
            status: of HTTP.
            head: the lines of the headers, each with its line end; those of the server and the connection are missing.
            body: all of it.
            reason: why the request was refused, as the metrics call it; empty if it was not.
            rows: the number of subscribers that it is about; None: it is about none.
            closes: whether the connection cannot carry another request.
        """
        self.status = status
        self.head = head
        self.body = body
        self.reason = reason
        self.rows = rows
        self.closes = closes

    def with_head(self, head: bytes) -> "Response":
        """Give the response with other lines of headers."""
        return Response(self.status, head, self.body, self.reason, self.rows, self.closes)

    def without_body(self) -> "Response":
        """Give what answers HEAD."""
        return Response(self.status, self.head, b"", self.reason, self.rows, self.closes)

    @property
    def headers(self) -> list[Header]:
        """The headers one by one."""
        lines = (line.partition(b": ") for line in self.head.split(b"\r\n") if line)
        return [(name, value) for name, _, value in lines]


def lines(headers: Iterable[Header]) -> bytes:
    """Write headers as lines."""
    return b"".join([name + b": " + value + b"\r\n" for name, value in headers])
