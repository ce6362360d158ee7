"""Answers to scripts of other origins, as BentoML's CORS settings ask for: on all routes, and not on BentoML's only."""

from collections.abc import Coroutine
from typing import Any, Self

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send

from plan_recommender.serving.messages import Request, Response, lines
from plan_recommender.serving.patches import bentoml_internals


class Cors:
    """Applies starlette's middleware to responses that are complete."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Take the options of starlette's CORSMiddleware."""
        self._middleware = CORSMiddleware(_respond, **options)

    @classmethod
    def configured(cls) -> Self | None:
        """Follow BentoML's settings; None: they are off, as by default."""
        options = bentoml_internals.cors()
        return None if options is None else cls(options)

    def preflight(self, request: Request) -> Response | None:
        """Answer a browser's question whether it may ask, which carries no key; None: the request is none."""
        headers = Headers(raw=request.headers)
        if request.method != "OPTIONS" or "origin" not in headers or "access-control-request-method" not in headers:
            return None
        answer = self._middleware.preflight_response(headers)
        return Response(answer.status_code, lines(answer.raw_headers), bytes(answer.body))

    def applied(self, request: Request, response: Response) -> Response:
        """Add the headers that a script of another origin needs."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": request.method, "headers": request.headers, "response": response}
        _run_at_once(self._middleware(scope, _receive_nothing, send))
        return response.with_head(lines(sent[0]["headers"]))


async def _respond(scope: Scope, receive: Receive, send: Send) -> None:
    response: Response = scope["response"]
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})


async def _receive_nothing() -> Message:
    raise AssertionError("a response that is complete receives nothing")


def _run_at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("expected a coroutine that does not wait, found one that does")
