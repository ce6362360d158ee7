"""Every request that waits for its turn waits for half a second."""

import asyncio

from plan_recommender.serving import overload
from service import PlanRecommender
from tests.serving.faults import WAIT_SECONDS

__all__ = ["PlanRecommender"]


def enter(self: overload.Queue, begin: overload.Act) -> None:
    asyncio.get_running_loop().call_later(WAIT_SECONDS, begin)


overload.Queue.enter = enter
