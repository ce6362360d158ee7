"""BentoML answers for itself on its own routes, as it would without the contract."""

from starlette.types import Receive, Scope, Send

from plan_recommender.serving.bentoml_routes import BentoRoutes
from plan_recommender.serving.exchange import Exchange
from service import PlanRecommender

__all__ = ["PlanRecommender"]


async def pass_on(
    self: BentoRoutes, scope: Scope, receive: Receive, send: Send, exchange: Exchange | None = None
) -> None:
    await self._app({**scope, "headers": []}, receive, send)


BentoRoutes.__call__ = pass_on
