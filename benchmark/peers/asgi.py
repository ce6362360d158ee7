"""Peers that uvicorn runs: `uvicorn --factory benchmark.peers.asgi:<name>`.

The endpoints are coroutines, because FastAPI calls plain functions in a thread, which is slower.
"""

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmark.peers.model import Assignment, PipelineModel
from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving.schemas import Recommendation

PREDICT = "/predict"
HEALTH = "/health"


def constant() -> ASGIApp:
    """Make an application that reads the body of any request and always answers the same bytes."""
    body = to_json(Assignment.from_environment().constant)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        while (await receive()).get("more_body", False):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


def fastapi_constant() -> FastAPI:
    """Make an application that validates the request and answers a constant."""
    app = _with_health()
    answer = Assignment.from_environment().constant

    @app.post(PREDICT)
    async def predict(usage: CustomerUsage) -> Recommendation:
        return answer

    return app


def fastapi_loaded_once() -> FastAPI:
    """Make an application that answers with the pipeline, which it loads once."""
    app = _with_health()
    model = PipelineModel(Assignment.from_environment())

    @app.post(PREDICT)
    async def predict(usage: CustomerUsage) -> Recommendation:
        return model.recommend(usage)

    return app


def fastapi_loaded_per_request() -> FastAPI:
    """Make an application that answers with the pipeline, which it loads again for each request."""
    app = _with_health()
    assignment = Assignment.from_environment()

    @app.post(PREDICT)
    async def predict(usage: CustomerUsage) -> Recommendation:
        return PipelineModel(assignment).recommend(usage)

    return app


def _with_health() -> FastAPI:
    app = FastAPI()

    @app.get(HEALTH)
    async def health() -> str:
        return "ok"

    return app
