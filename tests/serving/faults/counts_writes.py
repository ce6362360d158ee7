"""When a connection ends, the log says how many pieces were written and how many timers set for its requests."""

import asyncio
from typing import Any

from plan_recommender.serving.connection import Connection
from service import PlanRecommender

__all__ = ["PlanRecommender"]

made, lost, timeout = Connection.connection_made, Connection.connection_lost, asyncio.timeout
writes: list[bytes] = []
timers: list[float | None] = []


class Counting:
    """A transport that counts what is written to it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        writes.append(data)
        self._transport.write(data)


def connection_made(self: Connection, transport: Any) -> None:
    made(self, Counting(transport))  # type: ignore[arg-type]  # it has what a transport has


def connection_lost(self: Connection, exc: Exception | None) -> None:
    print(f"{len(writes)} writes, {len(timers)} timers", flush=True)
    writes.clear()
    timers.clear()
    lost(self, exc)


def counting_timeout(delay: float | None) -> asyncio.Timeout:
    timers.append(delay)
    return timeout(delay)


Connection.connection_made = connection_made
Connection.connection_lost = connection_lost
asyncio.timeout = counting_timeout
