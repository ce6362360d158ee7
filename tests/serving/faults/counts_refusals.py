"""The worker always finds that too many requests wait, and the log says what each refusal takes."""

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from plan_recommender.serving import overload
from plan_recommender.serving.contract import HttpContract
from plan_recommender.serving.patches.connection import Connection
from service import PlanRecommender

__all__ = ["PlanRecommender"]

call, refuse = HttpContract.__call__, Connection._refuse_overloaded


async def calling(self: HttpContract, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        print("the application is called for", scope["path"], flush=True)
    await call(self, scope, receive, send)


def refusing(self: Connection, cycle: RequestResponseCycle, arrived: float) -> None:
    print("refused, holding", len(cycle.body), "bytes", flush=True)
    refuse(self, cycle, arrived)


overload.Queue.admits = lambda self: False
HttpContract.__call__ = calling
Connection._refuse_overloaded = refusing
