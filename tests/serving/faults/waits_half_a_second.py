"""Every request that takes work waits for half a second."""

import asyncio
from collections.abc import Callable, Generator

from plan_recommender.serving import overload
from plan_recommender.serving.limits import MAX_WAITING
from service import PlanRecommender
from tests.serving.faults import WAIT_SECONDS

__all__ = ["PlanRecommender"]


def enter(self: overload.Queue, begin: Callable[[overload.T], object], request: overload.T) -> None:
    asyncio.get_running_loop().call_later(WAIT_SECONDS, begin, request)


def enter_lane(
    self: overload.Lane, steps: Generator[None, None, overload.T], done: Callable[[overload.T], object]
) -> None:
    if self._max_pieces == MAX_WAITING:  # what is answered by its head alone
        enter_at_once(self, steps, done)
    else:
        asyncio.get_running_loop().call_later(WAIT_SECONDS, enter_at_once, self, steps, done)


enter_at_once = overload.Lane.enter
overload.Queue.enter = enter
overload.Lane.enter = enter_lane
