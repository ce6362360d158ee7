"""Valid requests of every route, and what becomes of them when bytes change: the cases of the differential test.

A case is made from a seed and its number alone, so that any one of a long run can be made again.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from plan_recommender.serving.routes import ROUTES
from tests.serving import corpus, protocol_corpus

MAX_SEED_BODY: Final = 1_500
"""Larger bodies are no seeds (bytes): a mutation would hardly ever hit a head."""

MAX_PIPELINED: Final = 4
MAX_MUTATIONS: Final = 4
_TOKENS: Final = (
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b",", b";", b'"', b"\0", b"\x7f", b"\xff", b"\r\n\r\n", b"\r\n "),
    *(b"0", b"1", b"a", b"-", b"+", b"0x", b"_", b"18446744073709551616", b"0\r\n\r\n", b"5\r\n", b"ffffffff\r\n"),
    *(b";a=b", b';a="b"', b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"chunked", b"identity", b"gzip, ", b"close", b"%00"),
    *(
        b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /health HTTP/1.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ),
)
_LINES: Final = (
    *(b"connection: close", b"connection: keep-alive", b"content-length: 5", b"content-length: 0", b"host: y"),
    b"host:",
    *(b"transfer-encoding: chunked", b"transfer-encoding: identity", b"transfer-encoding: gzip, chunked"),
    *(b"expect: 100-continue", b"expect: 200-ok", b"connection: upgrade\r\nupgrade: h2c", b"upgrade: websocket"),
    *(b"content-type: application/json", b"content-type: text/plain", b"content-encoding: gzip", b"x-request-id: one"),
    *(b"x-request-id: \xff", b"accept-language: es", b"if-none-match: *", b"x-reference: me", b"content_length: 5"),
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"proxy-connection: close",
    b"x: " + b"a" * 3_000,
)  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """A valid request."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def _seeds() -> list[Seed]:
    cases = [case for case in (*corpus.VALID, *protocol_corpus.VALID) if len(case.body) <= MAX_SEED_BODY]
    seeds = [
        Seed(case.method, case.path, tuple(case.headers.items()), case.body)
        for case in cases
        if sum(map(len, case.headers.values())) <= MAX_SEED_BODY
    ]
    for path, route in ROUTES.items():
        seeds += [Seed(method, path, (), b"") for method in route.methods if method != "POST"]
    seeds += [Seed(method, path, (), b"") for method in ("GET", "HEAD") for path in ("/app", "/livez", "/nowhere")]
    return [*seeds, Seed("CONNECT", "/predict", (), b""), Seed("OPTIONS", "*", (), b"")]


SEEDS: Final = tuple(_seeds())


def packets_of(seed: int, number: int) -> list[bytes]:
    """Make the packets of the case of this number: up to four requests, of which some are mutated, cut at random."""
    chance = random.Random(f"{seed}-{number}")  # noqa: S311  # nothing secret
    requests = [mutated(_written(chance), chance) for _ in range(chance.choice((1, 1, 1, 2, 3, MAX_PIPELINED)))]
    return _cut(b"".join(requests), chance)


def mutated(request: bytes, chance: random.Random) -> bytes:
    """Change a request in one to four places, or, of three in ten, in none."""
    if chance.random() < 0.3:
        return request
    for _ in range(chance.choice((1, 1, 1, 2, 3, MAX_MUTATIONS))):
        request = chance.choice(_MUTATIONS)(request, chance)
    return request


def _written(chance: random.Random) -> bytes:
    seed = chance.choice(SEEDS)
    version = chance.choices(("HTTP/1.1", "HTTP/1.0"), (12, 1))[0]
    lines = [b"host: x", *(f"{name}: {value}".encode("latin-1") for name, value in seed.headers)]
    body = seed.body
    if body or seed.method == "POST":
        if chance.random() < 0.4 and version == "HTTP/1.1":
            lines.append(b"transfer-encoding: chunked")
            body = _in_chunks(body, chance)
        else:
            lines.append(b"content-length: %d" % len(body))
    if chance.random() < 0.08:
        lines.append(b"expect: 100-continue")
    if chance.random() < 0.08:
        lines.append(b"connection: upgrade\r\nupgrade: " + chance.choice((b"h2c", b"websocket", b"x")))
    if chance.random() < 0.05:
        lines.append(b"connection: close")
    chance.shuffle(lines)
    first = f"{seed.method} {seed.path} {version}".encode()
    return b"\r\n".join((first, *lines, b"", b"")) + body


def _in_chunks(body: bytes, chance: random.Random) -> bytes:
    parts, rest = [], body
    while rest:
        size = chance.randint(1, len(rest))
        extension = chance.choices((b"", b";a=b", b';a="b;c"'), (8, 1, 1))[0]
        parts.append(b"%x%b\r\n%b\r\n" % (size, extension, rest[:size]))
        rest = rest[size:]
    trailer = chance.choices((b"", b"x-sum: 1\r\n", b"content-type: text/plain\r\n"), (8, 1, 1))[0]
    return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"


def _place(request: bytes, chance: random.Random) -> int:
    """Choose a place, in three of four cases one in the head."""
    end = request.find(b"\r\n\r\n") + 4 if chance.random() < 0.75 and b"\r\n\r\n" in request else len(request)
    return chance.randint(0, end)


def _flip(request: bytes, chance: random.Random) -> bytes:
    place = _place(request, chance)
    changed = bytes(byte ^ (1 << chance.randrange(8)) for byte in request[place : place + 1])
    return request[:place] + changed + request[place + 1 :]


def _set(request: bytes, chance: random.Random) -> bytes:
    place = _place(request, chance)
    return request[:place] + bytes([chance.randrange(256)]) + request[place + 1 :]


def _insert(request: bytes, chance: random.Random) -> bytes:
    place = _place(request, chance)
    return request[:place] + chance.choice(_TOKENS) + request[place:]


def _replace(request: bytes, chance: random.Random) -> bytes:
    place = _place(request, chance)
    token = chance.choice(_TOKENS)
    return request[:place] + token + request[place + len(token) :]


def _delete(request: bytes, chance: random.Random) -> bytes:
    place = _place(request, chance)
    return request[:place] + request[place + chance.choice((1, 1, 2, 4, 16)) :]


def _duplicate(request: bytes, chance: random.Random) -> bytes:
    place = _place(request, chance)
    return request[: place + chance.choice((1, 2, 8, 40))] + request[place:]


def _splice(request: bytes, chance: random.Random) -> bytes:
    other = _written(chance)
    return request[: _place(request, chance)] + other[_place(other, chance) :]


def _truncate(request: bytes, chance: random.Random) -> bytes:
    return request[: _place(request, chance)]


def _on_lines(change: Callable[[list[bytes], random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    """Make a mutation of one that changes the lines of a head in place."""

    def mutation(request: bytes, chance: random.Random) -> bytes:
        head, end, body = request.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        change(lines, chance)
        return b"\r\n".join((first, *lines)) + end + body

    return mutation


@_on_lines
def _shuffle(lines: list[bytes], chance: random.Random) -> None:
    chance.shuffle(lines)


@_on_lines
def _drop_line(lines: list[bytes], chance: random.Random) -> None:
    if lines:
        del lines[chance.randrange(len(lines))]


@_on_lines
def _repeat_line(lines: list[bytes], chance: random.Random) -> None:
    if lines:
        lines.insert(chance.randint(0, len(lines)), chance.choice(lines))


@_on_lines
def _add_line(lines: list[bytes], chance: random.Random) -> None:
    lines.insert(chance.randint(0, len(lines)), chance.choice(_LINES))


@_on_lines
def _change_case(lines: list[bytes], chance: random.Random) -> None:
    if lines:
        place = chance.randrange(len(lines))
        lines[place] = chance.choice((lines[place].upper(), lines[place].title()))


_MUTATIONS: Final[Sequence[Callable[[bytes, random.Random], bytes]]] = (
    *(_flip, _set, _insert, _insert, _replace, _delete, _duplicate, _splice, _truncate, _shuffle, _drop_line),
    *(_repeat_line, _add_line, _add_line, _change_case),
)


def _cut(stream: bytes, chance: random.Random) -> list[bytes]:
    """Cut bytes into packets: none, some, or many; between and within the parts of a request."""
    if not stream:
        return []
    cuts = chance.choice((0, 0, 1, 1, 2, 3, 8, 40))
    places = sorted({chance.randint(1, len(stream)) for _ in range(cuts)} | {len(stream)})
    starts = (0, *places[:-1])
    return [stream[start:end] for start, end in zip(starts, places, strict=True)]
