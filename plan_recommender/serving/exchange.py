"""What the server's connection and the application tell each other about one request, beside ASGI.

ASGI sends the head and the body of an answer apart, and waiting for a body takes a timer. A complete body and a
complete answer are therefore passed on in one piece: that is quicker, and a client that gets one piece is woken once.
"""

from typing import Final, Protocol

from starlette.types import Scope, Send

from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.routes import Verdict

EXCHANGE: Final = "plan_recommender.exchange"
"""The ASGI extension under which a connection puts its `Exchange` into the scope."""


class Exchange(Protocol):
    """One request, and the way back for its answer."""

    arrived: float
    """When the head of the request had come, by time.perf_counter()."""

    verdict: Verdict
    """What was decided by the head."""

    @property
    def over(self) -> bool:
        """Whether it is answered already: the connection has refused the rest of its body."""

    def body(self) -> bytes | None:
        """Give the body if all of it has come, otherwise None."""

    def answer(self, status: int, headers: list[Header], body: bytes) -> bool:
        """Answer in one piece; False: that cannot be done now, so the answer has to go the way of ASGI."""

    def answer_in_parts(self) -> None:
        """Have `answer` give False from now on, because something on the way has to see the answer."""


def take_exchange(scope: Scope) -> Exchange | None:
    """Take the exchange out of a scope; None if the server has put none there.

    It refers to the request, and the request to the scope: left there, the circle would wait for the garbage collector.
    """
    exchange: Exchange | None = scope.get("extensions", {}).pop(EXCHANGE, None)
    return exchange


async def send_answer(exchange: Exchange | None, send: Send, status: int, headers: list[Header], body: bytes) -> None:
    """Send an answer in one piece where that can be done, otherwise as ASGI does."""
    if exchange is None or not exchange.answer(status, headers, body):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
