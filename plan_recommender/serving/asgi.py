"""The service as an ASGI application, for servers and test clients that are not `Connection`.

It decides and answers by the same core. What belongs to a connection is the server's: limits of heads and of time, and
what becomes of the connection.
"""

import asyncio
from functools import partial
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from plan_recommender.serving import error_responses, limits
from plan_recommender.serving.bentoml_routes import BentoRoutes
from plan_recommender.serving.core import Core
from plan_recommender.serving.error_responses import CLOSE, OVERLOAD, Refusal
from plan_recommender.serving.messages import Request, Response
from plan_recommender.serving.routes import Command


class Application:
    """ASGI application that answers by a core, and leaves the rest to BentoML's application."""

    def __init__(self, app: ASGIApp, core: Core, bentoml_routes: BentoRoutes) -> None:
        """Stand in front of BentoML's `app`, which is told of the start and the end."""
        self._app = app
        self._core = core
        self._bentoml_routes = bentoml_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass a start or an end on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = list(scope["headers"])
        head_bytes = len(scope.get("raw_path") or scope["path"]) + sum(len(n) + len(v) for n, v in headers)
        request = Request(scope["method"], scope["path"], headers, perf_counter(), head_bytes)
        response = await self._respond(request, receive)
        sent = response.headers
        if response.closes or self._core.admission.drain.started:
            sent.append(CLOSE)
        await send({"type": "http.response.start", "status": response.status, "headers": sent})
        await send({"type": "http.response.body", "body": response.body})

    async def _respond(self, request: Request, receive: Receive) -> Response:
        core, verdict = self._core, self._core.decide(request)
        if verdict is None:
            return core.finished(None, request, await self._bentoml_routes.answer(request))
        if isinstance(verdict, Command):
            try:
                request.body = await self._body(receive, verdict.max_bytes)
            except Refusal as refusal:
                verdict = refusal
        if isinstance(verdict, Refusal):
            if verdict.reason == OVERLOAD:
                await asyncio.sleep(limits.REFUSAL_PAUSE_SECONDS)
            response = core.answer(verdict, request)
        else:
            answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
            heavy = isinstance(verdict, Command) and verdict.in_steps
            lane = core.admission.batches if heavy else core.admission.heads
            lane.enter(core.steps(verdict, request), partial(_set, answered))
            response = await answered
        return core.finished(verdict, request, response)

    async def _body(self, receive: Receive, max_bytes: int) -> bytes:
        """Read a body.

        Raises:
            Refusal: it is too large, too slow or incomplete, or all bodies together are too large.
        """
        bodies, parts, size = self._core.admission.bodies, list[bytes](), 0
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise error_responses.incomplete_body()
                    parts.append(message.get("body", b""))
                    bodies.hold(len(parts[-1]))
                    size += len(parts[-1])
                    if size > max_bytes:
                        raise error_responses.too_large(max_bytes)
                    if bodies.too_many:
                        raise error_responses.overloaded()
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError as error:
            raise error_responses.slow_body(limits.BODY_SECONDS) from error
        finally:
            bodies.release(size)


def _set(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():  # its client is not gone
        future.set_result(value)
