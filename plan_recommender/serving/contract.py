"""The HTTP contract: what becomes of a request, and how it is answered.

`HttpContract` is an ASGI application in front of BentoML's. It decides by the head of a request, reads and validates
the body, calls the method of the service that the route table names, and writes what it returns as JSON. BentoML's
built-in routes are passed on; any other path is refused here.

BentoML's own handling answers refusals in three different shapes, blames the client for faults of the server, takes
forms for JSON and reads bodies of any size; and what it does around every request (a span, an access log record, a
timer, metrics labelled with the client's path) takes longer than the answer.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from itertools import chain
from time import perf_counter
from typing import Any, Final

from bentoml import get_current_service
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from plan_recommender.serving import error_responses
from plan_recommender.serving.access_log import AccessLog
from plan_recommender.serving.auth import Authentication
from plan_recommender.serving.bentoml_routes import BentoRoutes, Turns
from plan_recommender.serving.bodies import Bodies, announced_length
from plan_recommender.serving.error_responses import CLOSE, OVERLOAD, STOPPING, Header, Refusal
from plan_recommender.serving.exchange import Exchange, send_answer, take_exchange
from plan_recommender.serving.inference_metadata import Ready, split_version, version_of
from plan_recommender.serving.inference_protocol import InferenceRequest
from plan_recommender.serving.kept import JSON_TYPE, Kept
from plan_recommender.serving.language import LANGUAGE, choose_language
from plan_recommender.serving.limits import MAX_HEAD_BYTES, REFUSAL_PAUSE_SECONDS
from plan_recommender.serving.metrics import NO_ROUTE, telemetry
from plan_recommender.serving.overload import Admission
from plan_recommender.serving.page_files import METHODS, PAGE
from plan_recommender.serving.patches import bentoml_internals
from plan_recommender.serving.prediction_log import ID_HEADER, PredictionLog
from plan_recommender.serving.request_ids import RequestIds, fields_of, ids_of
from plan_recommender.serving.routes import ROUTES, Command, Query, Verdict
from plan_recommender.serving.schemas import Health, UsageBatch

_OK, _UNAVAILABLE = int(HTTPStatus.OK), int(HTTPStatus.SERVICE_UNAVAILABLE)  # an enumeration is slow to compare
_CONTENT_TYPE: Final[Header] = (b"content-type", JSON_TYPE)
_VARIES: Final[Header] = (b"vary", b"accept-language")

Method = Callable[..., Any]
"""A method of the service, bound to it."""

_Written = tuple[int, bytes, str, int | None]
"""Status and body of an answer, the id under which the prediction log has it, empty where it has not, and the number of
subscribers that it is about, None where it is about none."""

logger = logging.getLogger("bentoml.plan_recommender")


class HttpContract:
    """ASGI application that answers the routes of the contract and passes BentoML's own on."""

    def __init__(
        self,
        app: ASGIApp,
        bento_routes: BentoRoutes,
        authentication: Authentication,
        admission: Admission,
        bodies: Bodies,
        page: Mapping[str, Kept],
        log: PredictionLog | None,
        access_log: AccessLog,
    ):
        """Stand in front of BentoML's `app`, whose built-in routes `bento_routes` answers.

        `page` holds the files of the page by their paths; it is empty where the page is turned off. `log` takes the
        predictions down; None: nothing does. `access_log` is told of every request that is answered here.
        """
        self._app = app
        self._bento_routes = bento_routes
        self._authentication = authentication
        self._admission = admission
        self._bodies = bodies
        self._page = page
        self._log = log
        self._access_log = access_log
        self._kept_turns = Turns()
        self._methods: dict[str, Method] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await self._bento_routes(scope, receive, send)
        else:
            exchange = take_exchange(scope)
            verdict = self.decide(scope) if exchange is None else exchange.verdict
            if verdict is None:
                await self._bento_routes(scope, receive, send, exchange)
            else:
                await self._respond(verdict, scope, receive, send, exchange)

    def decide(self, scope: Scope) -> Verdict:
        """Decide by the head of a request what becomes of it; this is called once for each request.

        Unauthenticated requests are refused before the load is looked at, and are not queued.
        """
        path: str = scope["path"]
        allowed = self._authentication.allows(path, scope["headers"])
        if allowed and BentoRoutes.has(path):
            return None
        if _head_bytes(scope) > MAX_HEAD_BYTES:
            return error_responses.head_too_large(MAX_HEAD_BYTES)
        if not allowed:
            return error_responses.unknown_key()
        route = ROUTES.get(path)
        if route is None:
            path, version = split_version(path)
            if version is None or path not in ROUTES:
                return self._file(path, scope["method"])
            served = version_of(get_current_service().recommender.tag)
            if version != served:
                return error_responses.other_version(served)
            route = ROUTES[path]
        if scope["method"] not in route.methods:
            return error_responses.other_method(path, route.methods)
        if isinstance(route, Command) and not self._admission.admits(route):
            return error_responses.overloaded()
        return route

    def _file(self, path: str, method: str) -> Kept | Refusal:
        file = self._page.get(path)
        if file is None:
            return error_responses.no_such_path(ROUTES)
        return file if method in METHODS else error_responses.other_method(path, METHODS)

    async def _respond(
        self,
        verdict: Query | Command | Refusal | Kept,
        scope: Scope,
        receive: Receive,
        send: Send,
        exchange: Exchange | None,
    ) -> None:
        start = perf_counter() if exchange is None else exchange.arrived
        drain = self._admission.drain
        headers: list[Header] = [_CONTENT_TYPE]
        reason, rows = "", None
        ids = ids_of(scope["headers"])
        answer = await self._answer(verdict, scope, receive, exchange, ids)
        if exchange is not None and exchange.over:
            return  # counted and logged where it was answered
        if isinstance(answer, tuple):
            status, body, prediction, rows = answer
            if status != _OK and drain.stopping:
                reason = STOPPING  # so that the alert on a model that cannot answer tells the two apart
            if prediction:
                headers.append((ID_HEADER, prediction.encode()))
            if isinstance(verdict, Command) and verdict.in_languages:
                headers += ((b"content-language", LANGUAGE.get().encode()), _VARIES)
            headers.append((b"content-length", b"%d" % len(body)))
        elif isinstance(answer, Kept):
            status, headers, body = answer.answer(scope["headers"])
        else:
            status, body, reason = int(answer.status), answer.body, answer.reason
            headers += (*answer.headers, (b"content-length", b"%d" % len(body)))
            del answer, verdict  # a refusal refers to the frame that raised it
        if drain.started and CLOSE not in headers:
            headers.append(CLOSE)
        headers += ids
        if scope["method"] == "HEAD":
            body = b""
        await send_answer(exchange, send, status, headers, body)
        path = scope["path"]
        if path not in ROUTES:
            path = split_version(path)[0]
        label = path if path in ROUTES else PAGE if path in self._page else NO_ROUTE
        self._access_log.note(label, status, start, len(body), rows, ids)
        telemetry().request(label, status, reason, perf_counter() - start)

    async def _answer(
        self,
        verdict: Query | Command | Refusal | Kept,
        scope: Scope,
        receive: Receive,
        exchange: Exchange | None,
        ids: RequestIds,
    ) -> _Written | Refusal | Kept:
        try:
            if not isinstance(verdict, Command):
                return await self._answer_without_body(verdict)
            method = self._methods.get(verdict.call) or self._method(verdict.call)
            if self._admission.drain.refusing:
                return error_responses.stopping()
            if announced_length(scope["headers"]) > verdict.max_bytes:
                return error_responses.too_large(verdict.max_bytes)
            body = None if exchange is None else exchange.body()
            if body is None:
                body = await self._bodies.read(receive, verdict.max_bytes)
            elif len(body) > verdict.max_bytes:
                return error_responses.too_large(verdict.max_bytes)
            if verdict.in_languages:
                LANGUAGE.set(choose_language(scope["headers"]))
            if not verdict.in_thread:
                return _carry_out(verdict, method, body, self._log, scope["headers"])
            batches = self._admission.batches
            if not batches.admits():  # others came while the body did
                del body  # it would be kept until the refusal
                await asyncio.sleep(REFUSAL_PAUSE_SECONDS)
                return error_responses.overloaded()
            return await batches.carry_out(_carry_out, verdict, method, body, self._log, scope["headers"])
        except Refusal as refusal:
            return refusal
        except Exception:
            fields = fields_of(ids)
            logger.exception("%s failed, request %s", scope["path"], fields["request_id"], extra={"fields": fields})
            return error_responses.fault()

    async def _answer_without_body(self, verdict: Query | Refusal | Kept) -> _Written | Refusal | Kept:
        answer: _Written | Refusal | Kept
        if isinstance(verdict, Query):
            answer = _ask(self._methods.get(verdict.call) or self._method(verdict.call))
        else:
            answer = verdict
        if isinstance(answer, Kept):
            await self._kept_turns.take()  # predictions are made between the turns
        elif isinstance(answer, Refusal) and answer.reason == OVERLOAD:
            await asyncio.sleep(REFUSAL_PAUSE_SECONDS)
        return answer

    def _method(self, call: str) -> Method:
        """Find the method of a route at its first request: BentoML makes the service after this application."""
        method = bentoml_internals.method_of(get_current_service(), call)
        self._methods[call] = method
        return method


def _ask(method: Method) -> _Written | Kept:
    answer = method()
    if isinstance(answer, Kept):
        return answer
    unavailable = (isinstance(answer, Health) and answer.status != "ok") or (
        isinstance(answer, Ready) and not answer.ready
    )
    return _UNAVAILABLE if unavailable else _OK, to_json(answer), "", None


def _carry_out(
    command: Command, method: Method, body: bytes, log: PredictionLog | None, headers: list[Header]
) -> _Written | Refusal:
    # A refusal is returned and not raised: raised in a thread it would hold on to the body, in a circle of frames and
    # futures that waits for the garbage collector.
    if body.count(b'"') > 2 * command.max_names:
        return error_responses.too_many_names(command.max_names)
    try:
        request: Any = command.request.model_validate_json(body)
    except ValidationError as error:
        return error_responses.not_valid(error)
    answer = method(request)
    written = to_json(answer)
    if command.request is InferenceRequest:  # whose answer has what was asked for; the decisions are counted
        request, answer = request.batch, answer.decided
    if command.counted == "predictions":
        telemetry().answer(answer)
    elif command.counted == "advice":
        telemetry().advice(answer)
    prediction = log.note(request, answer, headers) if log is not None and command.logged else ""
    return _OK, written, prediction, len(request.rows) if isinstance(request, UsageBatch) else 1


def _head_bytes(scope: Scope) -> int:
    return (
        len(scope.get("raw_path") or scope["path"])
        + len(scope["query_string"])
        + len(b"".join(chain(*scope["headers"])))
    )
