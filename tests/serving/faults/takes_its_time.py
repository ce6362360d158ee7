"""A turn takes more than a second, every twentieth fails, and /metrics repeats for ever what it said first."""

import asyncio
import itertools

from plan_recommender.serving import bentoml_routes
from plan_recommender.serving.messages import Response
from service import PlanRecommender

__all__ = ["PlanRecommender"]

number = itertools.count(1)
first: list[Response] = []
get = bentoml_routes.Shared.get


async def take(self: bentoml_routes.Turns) -> None:
    await asyncio.sleep(1.2)
    assert next(number) % 20


async def get_once(self: bentoml_routes.Shared) -> Response:
    if not first:
        first.append(await get(self))
    return first[0]


bentoml_routes.Turns.take = take
bentoml_routes.Shared.get = get_once
