"""Bodies may be of any size, are kept when they have been read, and are refused for what is in them."""

import os
from dataclasses import replace

from starlette.types import Receive

from plan_recommender.serving.bodies import Bodies
from plan_recommender.serving.routes import ROUTES, Command
from service import PlanRecommender

__all__ = ["PlanRecommender"]

kept: list[bytes] = []
read = Bodies.read


async def read_and_keep(self: Bodies, receive: Receive, max_bytes: int) -> bytes:
    kept.append(await read(self, receive, max_bytes))
    return kept[-1]


os.environ["PLAN_RECOMMENDER_MAX_BODIES_MIB"] = "10000"
Bodies.read = read_and_keep
for path, route in ROUTES.items():
    if isinstance(route, Command):
        ROUTES[path] = replace(route, max_bytes=10**9)
