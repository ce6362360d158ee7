"""The HTTP contract: what becomes of a request, and how it is answered.

`Core` knows no server: requests and responses are values, and nothing here waits. A request is decided by its head, so
that no body is read in vain; then the method of the service that the route table names is called with the validated
body, and what it returns is written as JSON. BentoML's built-in routes are left to BentoML.

BentoML's own handling answers refusals in three different shapes, blames the client for faults of the server, takes
forms for JSON and reads bodies of any size; and what it does around every request (a span, an access log record, a
timer, metrics labelled with the client's path) takes longer than the answer.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import to_json

from plan_recommender.serving import error_responses
from plan_recommender.serving.access_log import AccessLog
from plan_recommender.serving.auth import Authentication
from plan_recommender.serving.bentoml_routes import is_bentomls
from plan_recommender.serving.bodies import announced_length
from plan_recommender.serving.cors import Cors
from plan_recommender.serving.error_responses import STOPPING, Refusal
from plan_recommender.serving.inference_metadata import Ready, split_version, version_of
from plan_recommender.serving.inference_protocol import InferenceRequest
from plan_recommender.serving.kept import JSON_TYPE, Kept
from plan_recommender.serving.language import LANGUAGE, choose_language
from plan_recommender.serving.limits import MAX_HEAD_BYTES
from plan_recommender.serving.messages import Request, Response, lines
from plan_recommender.serving.metrics import NO_ROUTE, telemetry
from plan_recommender.serving.overload import Admission
from plan_recommender.serving.page_files import METHODS, PAGE
from plan_recommender.serving.patches import bentoml_internals
from plan_recommender.serving.prediction_log import ID_HEADER, PredictionLog
from plan_recommender.serving.request_ids import fields_of
from plan_recommender.serving.routes import ROUTES, Command, Query, Verdict
from plan_recommender.serving.schemas import Health

_OK, _UNAVAILABLE = int(HTTPStatus.OK), int(HTTPStatus.SERVICE_UNAVAILABLE)  # an enumeration is slow to compare
_TYPE: Final = b"content-type: " + JSON_TYPE + b"\r\n"
_JSON: Final = _TYPE + b"content-length: %d\r\n"
_VARIES: Final = b"vary: accept-language\r\n"

Steps = Generator[None, None, Response]
"""Work on one request, of which each step takes at most a few milliseconds; it ends with the response."""

Decided = Query | Command | Kept | Refusal | Response
"""A verdict by which the core answers."""

Method = Callable[..., Any]
"""A method of the service, bound to it."""

logger = logging.getLogger("bentoml.plan_recommender")


class Core:
    """Decides about requests and answers them, in one worker."""

    def __init__(
        self,
        authentication: Authentication,
        cors: Cors | None,
        admission: Admission,
        page: Mapping[str, Kept],
        log: PredictionLog | None,
        access_log: AccessLog,
    ):
        """Answer by these means.

        Args:
            authentication: who may ask.
            cors: what scripts of other origins may do; None: nothing.
            admission: whether there is room for a request.
            page: the files of the page by their paths; empty where the page is turned off.
            log: takes the predictions down; None: nothing does.
            access_log: is told of every request that is answered.
        """
        self.admission = admission
        self._authentication = authentication
        self._cors = cors
        self._page = page
        self._log = log
        self._access_log = access_log
        self._methods: Mapping[str, Method] = {}
        self._served = ""

    def begin(self, service: Any) -> None:
        """Answer by the methods of this service, which BentoML makes after the application."""
        calls = {route.call for route in ROUTES.values() if isinstance(route, Query | Command)}
        self._methods = {call: bentoml_internals.method_of(service, call) for call in calls}
        self._served = version_of(service.recommender.tag)

    def decide(self, request: Request) -> Verdict:
        """Decide by the head of a request what becomes of it; this is called once for each request.

        Unauthenticated requests are refused before the load is looked at, and are not queued.
        """
        try:
            wanted = self._wanted(request)
            return self.admitted(wanted) if isinstance(wanted, Command) else wanted
        except Exception:
            return self._fault(request)

    def admitted(self, command: Command) -> Command | Refusal:
        """Take on a request whose head is in order, if there is room for it now."""
        if not self.admission.admits(command):
            return error_responses.overloaded()
        if self.admission.drain.started and self.admission.drain.refusing:
            return error_responses.stopping()
        return command

    def answer(self, verdict: Decided, request: Request) -> Response:
        """Answer a request, all of which has come, in one go."""
        if isinstance(verdict, Response):
            return verdict
        try:
            if isinstance(verdict, Command):
                parsed = self._parsed(verdict, request)
                if isinstance(parsed, Refusal):
                    return self._refused(parsed, request)
                return self._written(verdict, request, parsed, self._methods[verdict.call](parsed))
            if isinstance(verdict, Refusal):
                return self._refused(verdict, request)
            return self._told(self._methods[verdict.call]() if isinstance(verdict, Query) else verdict, request)
        except Refusal as refusal:
            return self._refused(refusal, request)
        except Exception:
            return self._refused(self._fault(request), request)

    def steps(self, verdict: Decided, request: Request) -> Steps:
        """Answer a request, all of which has come, in steps, between which other requests may be answered."""
        if not isinstance(verdict, Command):
            return self.answer(verdict, request)
        command = verdict
        try:
            parsed = self._parsed(command, request)
            request.body = b""
            if isinstance(parsed, Refusal):
                return self._refused(parsed, request)
            yield
            answer = self._methods[command.call](parsed)
            yield
            return self._written(command, request, parsed, answer)
        except Refusal as refusal:
            return self._refused(refusal, request)
        except Exception:
            return self._refused(self._fault(request), request)

    def finished(self, verdict: Verdict, request: Request, response: Response) -> Response:
        """Count and log a response on its way out, unless it is BentoML's; returns it as it is sent."""
        try:
            if verdict is not None:
                label, status, arrived = self._label(request.path), response.status, request.arrived
                seconds = perf_counter() - arrived
                if self._access_log.wants(status):
                    self._access_log.note(label, status, seconds, len(response.body), response.rows, request.ids)
                telemetry().request(label, status, response.reason, seconds)
            if self._cors is None or isinstance(verdict, Response):  # a preflight has its headers
                return response
            return self._cors.applied(request, response)
        except Exception:
            return self._refused(self._fault(request), request)

    def _wanted(self, request: Request) -> Verdict:
        """Find out what a request wants; with the same head that is the same, whenever it comes."""
        path = request.path
        if request.head_bytes > MAX_HEAD_BYTES:
            return error_responses.head_too_large(MAX_HEAD_BYTES)
        if self._cors is not None and (preflight := self._cors.preflight(request)) is not None:
            return preflight.with_head(preflight.head + request.ids)
        if not self._authentication.allows(path, request.headers):
            return error_responses.unknown_key()
        route = ROUTES.get(path)
        if route is None:
            if is_bentomls(path):
                return None
            path, version = split_version(path)
            if version is None or path not in ROUTES:
                return self._file(path, request.method)
            if version != self._served:
                return error_responses.other_version(self._served)
            route = ROUTES[path]
        if request.method not in route.methods:
            return error_responses.other_method(path, route.methods)
        if not isinstance(route, Command):
            return route
        try:
            too_large = announced_length(request.fields) > route.max_bytes
        except Refusal as refusal:
            return refusal
        return error_responses.too_large(route.max_bytes) if too_large else route

    def _file(self, path: str, method: str) -> Kept | Refusal:
        file = self._page.get(path)
        if file is None:
            return error_responses.no_such_path(ROUTES)
        return file if method in METHODS else error_responses.other_method(path, METHODS)

    def _label(self, path: str) -> str:
        if path in ROUTES:
            return path
        path = split_version(path)[0]
        return path if path in ROUTES else PAGE if path in self._page else NO_ROUTE

    def _parsed(self, command: Command, request: Request) -> Any:
        """Validate a body; returns what the method of the service takes, or a refusal."""
        body = request.body
        if len(body) > command.max_names:  # in a shorter one there cannot be so many
            if body.count(b'"') > 2 * command.max_names:
                return error_responses.too_many_names(command.max_names)
            if body.count(b",") > command.max_values:
                return error_responses.too_many_values(command.max_values)
        if command.in_languages:
            LANGUAGE.set(choose_language(request.headers))
        try:
            return command.read(body)
        except ValidationError as error:
            return error_responses.not_valid(error)

    def _written(self, command: Command, request: Request, parsed: Any, answer: Any) -> Response:
        """Write the answer of a method as JSON, and note what it predicted."""
        body = command.write(answer)
        if command.request is InferenceRequest:  # whose answer has what was asked for; the decisions are counted
            parsed, answer = parsed.batch, answer.decided
        if command.counted == "predictions":
            telemetry().answer(answer)
        elif command.counted == "advice":
            telemetry().advice(answer)
        head = _JSON % len(body)
        if self._log is not None and command.logged:
            prediction = self._log.note(parsed, answer, request.headers)
            if prediction:
                head = b"%b%b: %b\r\n%b" % (_TYPE, ID_HEADER, prediction.encode(), head[len(_TYPE) :])
        if command.in_languages:
            head = b"%bcontent-language: %b\r\n%b%b" % (_TYPE, LANGUAGE.get().encode(), _VARIES, head[len(_TYPE) :])
        rows = len(parsed.rows) if command.in_steps else 1
        return Response(_OK, head + request.ids, body, "", rows)

    def _told(self, answer: Any, request: Request) -> Response:
        """Write what a route without a body answers."""
        if isinstance(answer, Kept):
            status, head, body = answer.answer(request.headers)
            reason = ""
        else:
            unavailable = (isinstance(answer, Health) and answer.status != "ok") or (
                isinstance(answer, Ready) and not answer.ready
            )
            status, body = _UNAVAILABLE if unavailable else _OK, to_json(answer)
            head = _JSON % len(body)
            # So that the alert on a model that cannot answer tells the two apart.
            reason = STOPPING if unavailable and self.admission.drain.stopping else ""
        return Response(status, head + request.ids, b"" if request.method == "HEAD" else body, reason)

    def _refused(self, refusal: Refusal, request: Request) -> Response:
        head = lines(refusal.whole_headers()) + request.ids
        body = b"" if request.method == "HEAD" else refusal.body
        return Response(int(refusal.status), head, body, refusal.reason, closes=refusal.closes)

    def _fault(self, request: Request) -> Refusal:
        fields = fields_of(request.ids)
        logger.exception("%s failed, request %s", request.path, fields["request_id"], extra={"fields": fields})
        return error_responses.fault()
