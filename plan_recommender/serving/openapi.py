"""The OpenAPI document, made true: BentoML's own knows neither the GET routes nor the errors that really come."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from plan_recommender.model.features import CustomerUsage
from plan_recommender.model.languages import LANGUAGES
from plan_recommender.serving import error_responses
from plan_recommender.serving.error_responses import ErrorAnswer, Refusal
from plan_recommender.serving.inference_metadata import MODEL_PATH, Ready, with_version
from plan_recommender.serving.inference_protocol import InferenceRequest
from plan_recommender.serving.limits import BODY_SECONDS, HEAD_SECONDS, MAX_HEAD_BYTES
from plan_recommender.serving.page_files import METHODS, PAGE
from plan_recommender.serving.routes import ROUTES, Command, Query
from plan_recommender.serving.schemas import AdviceRequest, Health, UsageBatch

_TAG = "Service APIs"
_REFERENCE = "#/components/schemas/{model}"
_DESCRIPTION = """\
Recommends a mobile plan, Ultra or Smart, from one month of a subscriber's usage.

**Bodies** are JSON in UTF-8, without a byte order mark, not compressed, with the content type `application/json`, one
that ends in `+json`, or none.

**Numbers** are read as the nearest double, which has to be finite and not negative; -0 is 0. A number in quotes, a
boolean and null are not numbers, nor are `NaN`, `Infinity` and what is too large for a double: 400. Null stands for a
number that is not given only where the schema says so.

**Names** are exact, and one that is not listed is refused: 400. Of a name that stands twice in one object the last
counts, whatever stood before it; so it is with headers.

**Errors** have one shape, `ErrorAnswer`; `loc` says where, in a batch with the row's index. A path that is not listed
gets a 404 in that shape, and what is not HTTP a 400. Paths are exact too: `/predict/` is not `/predict`.
"""
_MEANINGS: Final = {
    HTTPStatus.BAD_REQUEST: "Not JSON, or a field is missing, unknown, negative, not finite or not a number.",
    HTTPStatus.UNAUTHORIZED: "The service was started with an API key, and the request does not carry it.",
    HTTPStatus.NOT_FOUND: "There is no such page, because it is turned off, or no such version of the model.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Another method than those in the header Allow.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not come in time.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The content type is not JSON, or the body is compressed.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "Path and headers are too large.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service is at fault, not the request.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The service cannot answer now; Retry-After says when to ask again, in seconds.",
}
_KEPT_HEADERS: Final[dict[str, Any]] = {
    "Etag": {"required": True, "schema": {"type": "string"}},
    "Cache-Control": {"required": True, "schema": {"type": "string", "enum": ["no-cache"]}},
}
_NOT_MODIFIED: Final[dict[str, Any]] = {
    "description": "The client has these bytes already.",
    "headers": _KEPT_HEADERS,
}
_LANGUAGE_HEADERS: Final[dict[str, Any]] = {
    "Content-Language": {"required": True, "schema": {"type": "string", "enum": list(LANGUAGES)}},
    "Vary": {"required": True, "schema": {"type": "string", "enum": ["accept-language"]}},
}
_REFERENCE_MEANS: Final = (
    "How the caller knows the prediction again, for the prediction log: up to 128 visible ASCII characters. Anything "
    "else counts as absent. Send a pseudonym, and nothing that tells who a subscriber is."
)
_LOGGED_HEADERS: Final[dict[str, Any]] = {
    "X-Prediction-Id": {
        "required": False,
        "description": "The id in the prediction log, if the log is on and took the prediction down; of a batch, the "
        "rows' ids without the slash and their index.",
        "schema": {"type": "string"},
    }
}
_REQUEST_ID_MEANS: Final = (
    "How the caller finds the request again in the log of the service: up to 128 of the characters A-Z, a-z, 0-9 and "
    "`._:+/=-`. Anything else counts as absent."
)
_TRACEPARENT_MEANS: Final = (
    "The trace that the request belongs to, as in W3C Trace Context; one that is not valid counts as absent."
)
_ID_HEADERS: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "required": True,
        "description": "That of the request, or one that the service made.",
        "schema": {"type": "string"},
    },
    "Traceparent": {
        "required": False,
        "description": "That of the request, as it came, if it was valid.",
        "schema": {"type": "string"},
    },
}
_INVALID: Final[dict[type[BaseModel], bytes]] = {
    CustomerUsage: b'{"calls":85,"minutes":-3,"messages":56}',
    UsageBatch: b'{"rows":[{"calls":85,"minutes":-3,"messages":56}]}',
    InferenceRequest: b'{"inputs":[{"name":"usage","shape":[1,4],"datatype":"FP64","data":[85,-3,56,22696.96]}]}',
    AdviceRequest: b'{"plan":"Smart","months":[{"month":"2026-13","calls":85,"minutes":-3,"messages":56}]}',
}


def describe(document: dict[str, Any], version: str | None = None) -> dict[str, Any]:
    """Complete BentoML's OpenAPI document: every route of the contract, with every error that it can answer.

    Args:
        document: as BentoML makes it; it is changed.
        version: of the service, in place of BentoML's; None keeps that.
    """
    del document["info"]["contact"]  # BentoML's authors, who do not run this service
    document["info"]["description"] = _DESCRIPTION
    if version is not None:
        document["info"]["version"] = version
    schemas: dict[str, Any] = {}
    for path, route in ROUTES.items():
        operation = _operation(path, route, schemas)
        method = "post" if isinstance(route, Command) else "get"
        document["paths"][path] = {method: _with_ids(operation)}
        if path.startswith(MODEL_PATH):
            of_version = _of_version(operation, schemas)
            document["paths"][with_version(path, "{version}")] = {method: _with_ids(of_version)}
    document["paths"][PAGE] = {"get": _with_ids(_page(schemas))}
    document["components"] = {"schemas": schemas}
    return document


def _operation(path: str, route: Query | Command, schemas: dict[str, Any]) -> dict[str, Any]:
    """Describe one route, and add the schemas it refers to."""
    responses: dict[int, Any] = {200: {"description": "The answer.", "content": _content(route.response, schemas)}}
    operation: dict[str, Any] = {
        "tags": [_TAG],
        "operationId": path.removeprefix("/").replace("/", "_"),
        "description": route.description,
    }
    if isinstance(route, Command):
        operation["requestBody"] = {"required": True, "content": _content(route.request, schemas)}
        parameters, headers = operation.setdefault("parameters", []), responses[200].setdefault("headers", {})
        if route.in_languages:
            parameters.append(
                _optional_header(
                    "Accept-Language",
                    "Languages of the sentences, as in `es-MX, en;q=0.5`; English, unless Spanish is preferred.",
                )
            )
            headers |= _LANGUAGE_HEADERS
        if route.logged:
            parameters.append(_optional_header("X-Reference", _REFERENCE_MEANS))
            headers |= _LOGGED_HEADERS
    if isinstance(route, Query) and route.kept:
        operation["parameters"] = [_optional_header("If-None-Match", "Entity tags of what the client has.")]
        responses[200]["headers"] = _KEPT_HEADERS
        responses[304] = _NOT_MODIFIED
    responses |= _refused_by_status(_refusals(path, route), schemas)
    if isinstance(route, Query) and issubclass(route.response, Health | Ready):
        responses[503] = {
            "description": "No model can answer, or the service stops.",
            "content": _content(route.response, schemas),
        }
    return operation | {"responses": responses}


def _of_version(operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Describe an operation at the path that names the version of the model."""
    version = {
        "name": "version",
        "in": "path",
        "required": True,
        "description": "The version that is served, as the model's metadata list it; there is no other.",
        "schema": {"type": "string"},
    }
    unknown = _refused_by_status([error_responses.other_version("sdyo2zhingzwqax4")], schemas)
    return operation | {
        "operationId": f"{operation['operationId']}_of_version",
        "parameters": [version, *operation.get("parameters", [])],
        "responses": operation["responses"] | unknown,
    }


def _with_ids(operation: dict[str, Any]) -> dict[str, Any]:
    """Give an operation with the headers that every request may have, and every answer has."""
    parameters = [
        *operation.get("parameters", ()),
        _optional_header("X-Request-Id", _REQUEST_ID_MEANS),
        _optional_header("Traceparent", _TRACEPARENT_MEANS),
    ]
    responses = {
        status: response | {"headers": response.get("headers", {}) | _ID_HEADERS}
        for status, response in operation["responses"].items()
    }
    return operation | {"parameters": parameters, "responses": responses}


def _page(schemas: dict[str, Any]) -> dict[str, Any]:
    """Describe the page for people; the files that it consists of are no part of the contract."""
    found = {
        "description": "The page.",
        "content": {"text/html": {"schema": {"type": "string"}}},
        "headers": _KEPT_HEADERS,
    }
    turned_off = error_responses.no_such_path(ROUTES)
    refused = _refused_by_status([*_always_possible(PAGE, METHODS), turned_off], schemas)
    return {
        "tags": [_TAG],
        "operationId": PAGE.strip("/"),
        "description": "The what-if page: what the model and the tariffs say of usage that is set with sliders.",
        "parameters": [_optional_header("If-None-Match", "Entity tags of what the client has.")],
        "responses": {200: found, 304: _NOT_MODIFIED} | refused,
    }


def _always_possible(path: str, methods: Sequence[str]) -> list[Refusal]:
    """Give what any path may answer."""
    return [
        error_responses.unknown_key(),
        error_responses.other_method(path, methods),
        error_responses.slow_head(HEAD_SECONDS),
        error_responses.head_too_large(MAX_HEAD_BYTES),
        error_responses.fault(),
    ]


def _refusals(path: str, route: Query | Command) -> list[Refusal]:
    """Give what a route answers when it does not answer."""
    common = _always_possible(path, route.methods)
    if isinstance(route, Query):
        return common
    binary = [error_responses.binary_tensors()] if route.request is InferenceRequest else []
    return [
        *common,
        *binary,
        *_invalid(route),
        error_responses.slow_body(BODY_SECONDS),
        error_responses.too_large(route.max_bytes),
        error_responses.not_json(),
        error_responses.compressed_body(),
        error_responses.overloaded(),
        error_responses.stopping(),
    ]


def _invalid(route: Command) -> list[Refusal]:
    found = []
    for body in (_INVALID[route.request], b"{"):
        try:
            route.request.model_validate_json(body)
        except ValidationError as error:
            found.append(error_responses.not_valid(error))
    return found


def _refused_by_status(refusals: list[Refusal], schemas: dict[str, Any]) -> dict[int, Any]:
    """Describe refusals by their statuses."""
    groups = groupby(sorted(refusals, key=lambda refusal: refusal.status), key=lambda refusal: refusal.status)
    return {int(status): _refused(status, list(group), schemas) for status, group in groups}


def _refused(status: HTTPStatus, group: list[Refusal], schemas: dict[str, Any]) -> dict[str, Any]:
    """Describe the refusals of one status, each by an example."""
    content = _content(ErrorAnswer, schemas)
    content["application/json"]["examples"] = {refusal.error: {"value": json.loads(refusal.body)} for refusal in group}
    sent = [{name.decode().title(): value.decode() for name, value in refusal.headers} for refusal in group]
    headers = {
        name: {
            "required": all(name in headers for headers in sent),
            "schema": {"type": "string", "enum": sorted({headers[name] for headers in sent if name in headers})},
        }
        for name in sorted(set().union(*sent))
    }
    return {"description": _MEANINGS[status], "headers": headers, "content": content}


def _content(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(kind).json_schema(ref_template=_REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    schemas[kind.__name__] = schema
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(model=kind.__name__)}}}


def _optional_header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }
