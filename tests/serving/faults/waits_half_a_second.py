"""Every request that waits for its turn waits for half a second."""

import asyncio
from typing import Final

from plan_recommender.serving import overload
from service import PlanRecommender

__all__ = ["PlanRecommender"]

WAIT_SECONDS: Final = 0.5


def enter(self: overload.Queue, begin: overload.Act) -> None:
    asyncio.get_running_loop().call_later(WAIT_SECONDS, begin)


overload.Queue.enter = enter
