"""Answers take half a second, and a worker that is told to stop does not wait for them."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from plan_recommender.serving import overload
from plan_recommender.serving.connection import Connection
from plan_recommender.serving.exchange import Exchange
from plan_recommender.serving.messages import Response
from service import PlanRecommender

__all__ = ["PlanRecommender"]

answer = Connection._answer


def leave(self: overload.Drain, stop: Callable[[int, Any], object]) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)


def answer_late(self: Connection, exchange: Exchange, response: Response) -> None:
    asyncio.get_running_loop().call_later(0.5, answer, self, exchange, response)


overload.Drain.before = leave
Connection._answer = answer_late
