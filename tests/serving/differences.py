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
    "one answer": "A request that is answered by its head gets no second answer when its body turns out broken; "
    "if it was not yet answered, it is refused.",
    "expectation": "A request that waits to be asked for its body, and is answered without it, ends the connection, "
    "because the client may leave the body out; uvicorn would take the next request for it.",
    "close in a trailer": "After a trailer `connection: close` the connection is closed; uvicorn's is deaf.",
}
"""Each difference and why it is meant."""

_PLAIN: Final = b"Invalid HTTP request received."
_MADE_ID: Final = re.compile(rb"[0-9a-f]{12}-[0-9a-f]+")
_NOT_COMPARED: Final = frozenset({b"date", b"server", b"x-prediction-id"})
_IDS: Final = frozenset({b"x-request-id", b"traceparent"})
_REFUSED: Final = frozenset({error_responses.not_http().body, error_responses.head_too_large(MAX_HEAD_BYTES).body})
_REG_NAME: Final = rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|" + _REG_NAME + rb")(?::[0-9]*)?")
_UPGRADE: Final = re.compile(rb"(?i)(\r\nupgrad)e(?=:)")


Ask = Callable[[Sequence[bytes], int], Awaitable[Outcome]]


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
        before = self.messages[-1].end if self.messages else 0
        self.messages.append(Message(before or 0))  # empty lines before a request belong to it

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
        return bool(self.values(b"transfer-encoding"))

    @property
    def has_body(self) -> bool:
        """Whether its head announces a body."""
        return self.in_chunks or any(length.strip(b"0") for length in self.values(b"content-length"))

    def values(self, name: bytes) -> list[bytes]:
        """Give the values of a header, without the blanks around them."""
        return [value.strip(b" \t") for each, value in self.headers if each == name]


async def expected(stream: bytes, ask: Ask) -> tuple[list[Outcome], list[str]]:
    """Tell what our own connection has to make of a stream, and by which rules.

    There is more than one such outcome for a request that is answered by its head, though not at once, because others
    are before it: then it counts whether its body has come until then, or has turned out to be broken.

    Args:
        stream: what a client sends, the request afterwards included.
        ask: gives uvicorn's outcome of parts, each of which is sent when those before it are answered, and of which
            so many are complete requests.
    """
    stream, rules = without_offers(stream)
    reading = Reading(stream)
    parts, read, end = list[bytes](), 0, None
    for message in reading.messages:
        end = _end_of(message, len(stream))
        if (end and end.refusal) or message.end is None:
            break
        parts.append(_without_trailers(stream[read : message.end], message, read, rules))
        read = message.end
        if end:
            break
    complete = len(parts)
    if end is None:
        head_end = (reading.messages[-1].head_end or 0) if reading.messages and reading.error else 0
        parts += [stream[read:head_end], stream[max(read, head_end) :]]  # what is answered by its head is, before
    outcome = await ask([part for part in parts if part], complete)
    if outcome.answers and outcome.answers[-1].body == _PLAIN:
        rules += ["one shape"] + (["no overtaking"] if len(outcome.answers) > 1 else [])
    outcome, instead = _without_second_answer(outcome, reading, rules)
    unasked = _closed_by_expectation(outcome, reading, rules)
    if outcome.fate != CLOSED and end is not None and (end.refusal or outcome.answers):
        rules.append(end.rule)
        if end.refusal is None:
            outcome = _closed_behind(outcome, len(outcome.answers))
        else:
            outcome = replace(outcome, answers=(*outcome.answers, _answer(end.refusal)), fate=CLOSED)
    return [each for each in (outcome, instead, unasked) if each is not None], rules


def must_differ(stream: bytes) -> bool:
    """Tell whether a rule wants our own connection to do something else than uvicorn's, whatever that does."""
    ends = (_end_of(message, len(stream)) for message in Reading(stream).messages)
    return any(end is not None and end.rule != "tunnel" for end in ends)


def without_offers(stream: bytes) -> tuple[bytes, list[str]]:
    """Spoil the names of headers that offer another protocol; gives the stream and the rule, if there are any."""
    rules: list[str] = []
    while True:
        offers = [m for m in Reading(stream).messages if m.upgrade and m.method != b"CONNECT"]
        if not offers:
            return stream, rules
        rules = ["upgrade"]
        start, end = offers[0].start, offers[0].head_end
        stream = stream[:start] + _UPGRADE.sub(rb"\1-", stream[start:end]) + stream[end:]


@dataclass(frozen=True)
class _End:
    """That a connection ends with a request, by which rule, and with which refusal in place of its answer."""

    rule: str
    refusal: error_responses.Refusal | None = None


def _end_of(message: Message, length: int) -> _End | None:
    end = length if message.end is None else message.end
    if end - message.start - message.body > MAX_HEAD_BYTES + 8 * message.body:
        return _End("size", error_responses.head_too_large(MAX_HEAD_BYTES))
    if message.head_end is None:
        return None
    if _is_faulty(message):
        return _End("framing", error_responses.not_http())
    if message.method == b"CONNECT":
        return _End("tunnel")
    return _End("close in a trailer") if message.closes_late else None


def _is_faulty(message: Message) -> bool:
    hosts, codings = message.values(b"host"), [coding.lower() for coding in message.values(b"transfer-encoding")]
    return (
        message.version not in ("1.0", "1.1")
        or len(hosts) > 1
        or (not hosts and message.version == "1.1")
        or not all(map(_HOST.fullmatch, hosts))
        or (bool(codings) and (message.version == "1.0" or codings != [b"chunked"]))
    )


def _without_second_answer(outcome: Outcome, reading: Reading, rules: list[str]) -> tuple[Outcome, Outcome | None]:
    """Leave out the second of two answers to a request whose body is broken, or, instead, the first."""
    number = len(reading.messages)
    broken = reading.error is not None and number and reading.messages[-1].head_end is not None
    if not broken or reading.messages[-1].end is not None or len(outcome.answers) < number:
        return outcome, None
    *before, last = outcome.answers[:number]
    if last.body == _PLAIN:
        return outcome, None  # the only answer
    rules.append("one answer")
    refusal = _answer(error_responses.not_http())
    if reading.messages[-1].method == b"HEAD":
        refusal = replace(refusal, body=b"")
    return replace(outcome, answers=(*before, last)), replace(outcome, answers=(*before, refusal))


def _closed_by_expectation(outcome: Outcome, reading: Reading, rules: list[str]) -> Outcome | None:
    """Give the outcome that ends behind the first answer to a request that waits to be asked for its body, if any."""
    for place, (message, answer) in enumerate(zip(reading.messages, outcome.answers, strict=False), start=1):
        by_its_head = answer.status not in (200, 400) or message.method != b"POST"
        if by_its_head and message.has_body and b"100-continue" in map(bytes.lower, message.values(b"expect")):
            rules.append("expectation")
            return _closed_behind(outcome, place)
    return None


def _closed_behind(outcome: Outcome, number: int) -> Outcome:
    """Let the connection end behind so many answers, of which the last says so."""
    *before, last = outcome.answers[:number]
    if not last.closes:
        last = replace(last, headers=(*last.headers, (b"connection", b"close")))
    return replace(outcome, answers=(*before, last), fate=CLOSED)


def _without_trailers(part: bytes, message: Message, start: int, rules: list[str]) -> bytes:
    """Leave the trailers out of a complete request, whose bytes begin at this place."""
    if not message.in_chunks or message.end == message.framed_to + 2:
        return part
    rules.append("trailers")
    return part[: message.framed_to - start] + b"\r\n"


def _answer(refusal: error_responses.Refusal) -> Answer:
    """Give what our own connection writes of this refusal, without the ids of its request."""
    length = b"%d" % len(refusal.body)
    headers = ((b"content-type", b"application/json"), (b"content-length", length), (b"connection", b"close"))
    return Answer(int(refusal.status), headers, refusal.body)


def _comparable(answer: Answer) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
    if answer.body == _PLAIN:
        answer = _answer(error_responses.not_http())
    refused = answer.body in _REFUSED or (answer.status == 400 and not answer.body)  # the latter to HEAD
    ids = _IDS if refused else frozenset[bytes]()
    headers = sorted(
        (name, b"(made)" if name == b"x-request-id" and _MADE_ID.fullmatch(value) else value)
        for name, value in answer.headers
        if name not in _NOT_COMPARED | ids
    )
    return answer.status, tuple(headers), answer.body
