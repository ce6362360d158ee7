"""To accept a connection takes ten milliseconds, and every hundredth one is closed."""

import asyncio
import itertools
import time

from plan_recommender.serving.connection import Connection
from service import PlanRecommender

__all__ = ["PlanRecommender"]

number = itertools.count(1)
connection_made = Connection.connection_made


def accept(self: Connection, transport: asyncio.BaseTransport) -> None:
    time.sleep(0.01)
    connection_made(self, transport)
    if next(number) % 100 == 0:
        transport.close()


Connection.connection_made = accept
