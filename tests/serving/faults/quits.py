"""Answers take half a second, and a worker that is told to stop does not wait for them."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from plan_recommender.serving import contract, overload
from service import PlanRecommender

__all__ = ["PlanRecommender"]

respond = contract.HttpContract.__call__


def leave(self: overload.Drain, stop: Callable[[int, Any], object]) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)


async def respond_slowly(self: contract.HttpContract, scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.5)
    await respond(self, scope, receive, send)


overload.Drain.before = leave
contract.HttpContract.__call__ = respond_slowly
