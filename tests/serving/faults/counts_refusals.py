"""The worker always finds that too many requests wait, and the log says what each refusal takes."""

from plan_recommender.serving import overload
from plan_recommender.serving.connection import Connection
from plan_recommender.serving.core import Core, Decided
from plan_recommender.serving.error_responses import Refusal
from plan_recommender.serving.exchange import Exchange
from plan_recommender.serving.messages import Request, Response
from service import PlanRecommender

__all__ = ["PlanRecommender"]

answer, refuse = Core.answer, Connection._refuse


def answering(self: Core, verdict: Decided, request: Request) -> Response:
    if request.body:
        print("a body is looked at of", request.path, flush=True)
    return answer(self, verdict, request)


def refusing(self: Connection, exchange: Exchange, refusal: Refusal) -> None:
    print("refused, holding", len(exchange.body) + sum(map(len, exchange.parts or ())), "bytes", flush=True)
    refuse(self, exchange, refusal)


overload.Queue.admits = lambda self: False
Core.answer = answering
Connection._refuse = refusing
