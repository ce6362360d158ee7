"""The OpenAPI document, made true: BentoML's own knows neither the GET routes nor the errors that really come."""

from http import HTTPStatus
from typing import Any, cast, get_type_hints

from bentoml import Service
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.service.openapi.specification import OpenAPISpecification
from bentoml._internal.utils.cattr import bentoml_cattr
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from plan_recommender import protocol
from plan_recommender.access import Access
from plan_recommender.http import BODY_SECONDS, MIB, ROUTES, Command, HttpContract, Query
from plan_recommender.recommender import Health
from plan_recommender.refusals import ErrorAnswer

_TAG = "Service APIs"
_REFERENCE = "#/components/schemas/{model}"
_ERRORS = {
    HTTPStatus.BAD_REQUEST: (
        "Not JSON, or a field is missing, unknown, negative, not finite or not a number.",
        ("The request is not valid: minutes: Input should be greater than or equal to 0.", ["minutes"],
         "Input should be greater than or equal to 0", "greater_than_equal"),
    ),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "Another method than the documented one.",
        ("/predict answers POST only.", ["method"], "expected POST", "method_not_allowed"),
    ),
    HTTPStatus.REQUEST_TIMEOUT: (
        "The body did not come in time.",
        (f"The body did not come within {BODY_SECONDS:g} seconds.", ["body"], "expected all of it sooner",
         "request_timeout"),
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "The body is larger than the limit.",
        (f"The body is larger than the limit of {MIB:,} bytes.", ["body"], f"expected at most {MIB:,} bytes",
         "request_entity_too_large"),
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (
        "The content type is not JSON, or the body is compressed.",
        ("The body must be JSON in UTF-8, with the content type application/json.", ["content-type"],
         "expected application/json", "unsupported_media_type"),
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "No model can answer.",
        ("No model can answer at the moment; try again later.", [], "the fault is the server's", "service_unavailable"),
    ),
}  # fmt: skip


class DescribedService(Service[Any]):
    """A BentoML service behind the HTTP contract, whose OpenAPI document describes every route and error of it."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The application that a worker runs."""
        protocol.install()
        contract = HttpContract(super().to_asgi(is_main), Access.from_environment())
        if not BentoMLContainer.http.cors.enabled.get():
            return contract
        return _Cors(contract, **cast(Any, BentoMLContainer.access_control_options.get()))

    @property
    def openapi_spec(self) -> OpenAPISpecification:
        """The document that is served at /docs.json and stored in the Bento."""
        document = super().openapi_spec.asdict()
        del document["info"]["contact"]  # BentoML's authors, who do not run this service
        schemas: dict[str, Any] = {}
        for path, route in ROUTES.items():
            operation = _operation(route, schemas)
            operation["operationId"] = path.strip("/")
            document["paths"][path] = {"post" if isinstance(route, Command) else "get": operation}
        document["components"] = {"schemas": schemas}
        return bentoml_cattr.structure(document, OpenAPISpecification)


class _Cors(CORSMiddleware):
    """BentoML's settings for other origins, for our routes too: BentoML itself applies them behind the contract."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The headers are added to what is sent piece by piece.
        await super().__call__({name: scope[name] for name in scope if name != "extensions"}, receive, send)


def _operation(route: Query | Command, schemas: dict[str, Any]) -> dict[str, Any]:
    """Describe one route, and add the schemas it refers to."""
    answer = get_type_hints(route.answer)["return"]
    responses: dict[int, Any] = {200: {"description": "The answer.", "content": _content(answer, schemas)}}
    operation: dict[str, Any] = {"tags": [_TAG], "description": (route.answer.__doc__ or "").partition("\n")[0]}
    if isinstance(route, Command):
        operation["requestBody"] = {"required": True, "content": _content(route.request, schemas)}
        statuses = list(_ERRORS)
    else:
        statuses = [HTTPStatus.METHOD_NOT_ALLOWED]
    for status in statuses:
        meaning, (error, loc, msg, kind) = _ERRORS[status]
        example = {"error": error, "detail": [{"loc": loc, "msg": msg, "type": kind}]}
        responses[int(status)] = {"description": meaning, "content": _content(ErrorAnswer, schemas, example)}
    if answer is Health:
        responses[503] = {"description": "No model can answer.", "content": _content(Health, schemas)}
    return operation | {"responses": responses}


def _content(model: type[BaseModel], schemas: dict[str, Any], example: object = None) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=_REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    content: dict[str, Any] = {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}
    return {"application/json": content if example is None else content | {"example": example}}
