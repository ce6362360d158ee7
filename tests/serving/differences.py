"""The differences between our own connection and uvicorn's that are meant: one table, which docs/serving.md repeats.

`expected` tells what our own connection has to make of some bytes, from what uvicorn's makes of their parts. It reads
the bytes with a parser of its own, and where a rule of the table applies it changes what uvicorn is asked, or what is
expected after its answers; everything else has to be the same.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import httptools

from plan_recommender.serving import error_responses
from plan_recommender.serving.limits import MAX_HEAD_BYTES
from tests.serving.ways import CLOSED, Answer, Outcome

RULES: Final = {
    "one shape": "What is not HTTP gets the error in JSON that all errors are; uvicorn answers in plain text.",
    "no overtaking": "Complete requests before what is not HTTP are answered; uvicorn's error overtakes their answers.",
    "framing": "A request whose framing or host RFC 9112 wants refused is refused with 400; uvicorn does not look.",
    "size": "A head, and what is beside a body in chunks, has a limit, beyond which 431 is answered and the connection "
    "is closed; uvicorn takes any size.",
    "upgrade": "An offer of another protocol is ignored; uvicorn loses the body of such a request and all behind it.",
    "tunnel": "After CONNECT the connection is closed; uvicorn keeps it, and what follows is never answered.",
    "trailers": "Trailers are left out; uvicorn makes headers of them when they come in time.",
    "close in a trailer": "After a trailer `connection: close` the connection is closed; uvicorn's is deaf.",
}
"""Each difference and why it is meant."""

_PLAIN: Final = b"Invalid HTTP request received."
_MADE_ID: Final = re.compile(rb"[0-9a-f]{12}-[0-9a-f]+")
_NOT_COMPARED: Final = frozenset({b"date", b"server", b"x-prediction-id"})
_REG_NAME: Final = rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|" + _REG_NAME + rb")(?::[0-9]*)?")
_UPGRADE: Final = re.compile(rb"(?i)(\r\nupgrad)e(?=:)")


Ask = Callable[[Sequence[bytes]], Awaitable[Outcome]]


@dataclass(frozen=True)
class Comparable:
    """What has to be the same in both ways."""

    answers: tuple[tuple[int, tuple[tuple[bytes, bytes], ...], bytes], ...]
    fate: str
    rest: bytes


def comparable(outcome: Outcome) -> Comparable:
    """Leave out of an outcome what differs from request to request, and write refusals of what is not HTTP alike."""
    return Comparable(tuple(map(_comparable, outcome.answers)), outcome.fate, outcome.rest)


class Reading:
    """The requests in a stream of bytes, as llhttp reads them."""

    def __init__(self, stream: bytes) -> None:
        self.messages: list[Message] = []
        self.error: int | None = None
        """Where the bytes stop being HTTP."""
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._place = self._skip = 0
        while self._place < len(stream) and self.error is None:
            size, self._skip = self._skip or 1, 0  # most of a body of known length is no news
            end = min(self._place + size, len(stream))
            piece, self._place = stream[self._place : end], end - 1
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade:
                break
            except httptools.HttpParserError:
                self.error = self._place
            self._place += 1

    def on_message_begin(self) -> None:
        self.messages.append(Message(self._place))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.messages[-1].head_end is None:
            self.messages[-1].headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        message = self.messages[-1]
        message.head_end = message.framed_to = self._place + 1
        message.method, message.version = self._parser.get_method(), self._parser.get_http_version()
        message.upgrade, message.keeps = self._parser.should_upgrade(), self._parser.should_keep_alive()
        length = dict(message.headers).get(b"content-length", b"").strip()
        self._skip = int(length) - 1 if length.isdigit() else 0

    def on_chunk_header(self) -> None:
        self.messages[-1].framed_to = self._place + 1

    def on_body(self, body: bytes) -> None:
        self.messages[-1].body += len(body)

    def on_message_complete(self) -> None:
        message = self.messages[-1]
        message.end = self._place + 1
        message.closes_late = message.keeps and not self._parser.should_keep_alive()


@dataclass
class Message:
    """One request in a stream; places are bytes from the start of the stream."""

    start: int
    method: bytes = b""
    version: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    upgrade: bool = False
    keeps: bool = True
    """Whether its head keeps the connection."""
    head_end: int | None = None
    """None: the head does not end."""
    framed_to: int = 0
    """Behind the size of its newest chunk, or behind its head: of a message in chunks that is complete, where the
    trailers begin."""
    body: int = 0
    """Bytes of its body."""
    end: int | None = None
    """None: it does not end."""
    closes_late: bool = False
    """Whether its head keeps the connection and its trailers do not."""

    @property
    def in_chunks(self) -> bool:
        """Whether its body is framed by chunks."""
        return any(name == b"transfer-encoding" for name, _ in self.headers)


async def expected(stream: bytes, ask: Ask) -> tuple[Outcome, list[str]]:
    """Tell what our own connection has to make of a stream, and by which rules.

    Args:
        stream: what a client sends, the request afterwards included.
        ask: gives uvicorn's outcome of parts, each of which is sent when those before it are answered.
    """
    stream, rules = _without_offers(stream)
    reading = Reading(stream)
    parts, read, refusal, closes = list[bytes](), 0, None, False
    for message in reading.messages:
        refusal, rule = _refusal(message, len(stream))
        closes = message.method == b"CONNECT" or message.closes_late
        if refusal is not None or message.end is None:
            rules += [rule] if refusal else []
            break
        parts.append(_without_trailers(stream[read : message.end], message, read, rules))
        read = message.end
        if closes:
            rules.append("tunnel" if message.method == b"CONNECT" else "close in a trailer")
            break
    if refusal is None and not closes:
        parts.append(stream[read:])
    outcome = await ask([part for part in parts if part])
    if outcome.fate == CLOSED and outcome.answers and outcome.answers[-1].body == _PLAIN:
        rules += ["one shape"] + (["no overtaking"] if len(outcome.answers) > 1 else [])
    if outcome.fate != CLOSED and refusal is not None:
        outcome = replace(outcome, answers=(*outcome.answers, _answer(refusal)), fate=CLOSED)
    elif outcome.fate != CLOSED and closes:
        *before, last = outcome.answers
        closed = replace(last, headers=(*last.headers, (b"connection", b"close")))
        outcome = replace(outcome, answers=(*before, closed), fate=CLOSED)
    return outcome, rules


def must_differ(stream: bytes) -> bool:
    """Tell whether a rule wants our own connection to do something else than uvicorn's, whatever that does."""
    messages = Reading(stream).messages
    return any(_refusal(message, len(stream))[0] or message.closes_late for message in messages)


def _refusal(message: Message, length: int) -> tuple[error_responses.Refusal | None, str]:
    """Give the refusal of a request that our own connection does not take, and the rule by which it does not."""
    end = length if message.end is None else message.end
    if end - message.start - message.body > MAX_HEAD_BYTES + 8 * message.body:
        return error_responses.head_too_large(MAX_HEAD_BYTES), "size"
    if message.head_end is None:
        return None, ""
    values = {
        wanted: [value.strip(b" \t") for name, value in message.headers if name == wanted]
        for wanted in (b"host", b"transfer-encoding")
    }
    hosts, codings = values[b"host"], values[b"transfer-encoding"]
    wrong = (
        message.version not in ("1.0", "1.1")
        or len(hosts) > 1
        or (not hosts and message.version == "1.1")
        or not all(map(_HOST.fullmatch, hosts))
        or (codings and (message.version == "1.0" or [coding.lower() for coding in codings] != [b"chunked"]))
    )
    return (error_responses.not_http(), "framing") if wrong else (None, "")


def _without_offers(stream: bytes) -> tuple[bytes, list[str]]:
    """Spoil the names of headers that offer another protocol; gives the stream and the rule, if there are any."""
    rules: list[str] = []
    while True:
        offers = [m for m in Reading(stream).messages if m.upgrade and m.method != b"CONNECT"]
        if not offers:
            return stream, rules
        rules = ["upgrade"]
        start, end = offers[0].start, offers[0].head_end
        stream = stream[:start] + _UPGRADE.sub(rb"\1-", stream[start:end]) + stream[end:]


def _without_trailers(part: bytes, message: Message, start: int, rules: list[str]) -> bytes:
    """Leave the trailers out of a complete request, whose bytes begin at this place."""
    if not message.in_chunks or message.end == message.framed_to + 2:
        return part
    rules.append("trailers")
    return part[: message.framed_to - start] + b"\r\n"


def _answer(refusal: error_responses.Refusal) -> Answer:
    return Answer(int(refusal.status), (*refusal.whole_headers(), (b"x-request-id", b"0" * 12 + b"-0")), refusal.body)


def _comparable(answer: Answer) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
    if answer.body == _PLAIN:
        answer = _answer(error_responses.not_http())
    headers = sorted(
        (name, b"(made)" if name == b"x-request-id" and _MADE_ID.fullmatch(value) else value)
        for name, value in answer.headers
        if name not in _NOT_COMPARED
    )
    return answer.status, tuple(headers), answer.body
