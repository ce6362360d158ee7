"""What BentoML's public API does not tell: its settings, the files of its page, and its type of an OpenAPI document."""

from functools import cache
from pathlib import Path
from typing import Any, cast

from bentoml._internal import server
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.service.openapi.specification import OpenAPISpecification
from bentoml._internal.utils.cattr import bentoml_cattr

_STATIC = "static_content"


def workers(service: str) -> object:
    """Tell how many workers a service is configured to have: a number, `cpu_count`, or None for one."""
    return BentoMLContainer.config.services.get()[service].get("workers")


def cors() -> dict[str, Any] | None:
    """Give BentoML's CORS settings as arguments of starlette's CORSMiddleware; None: they are off, as by default."""
    if not BentoMLContainer.http.cors.enabled.get():
        return None
    return cast(dict[str, Any], BentoMLContainer.access_control_options.get())


@cache
def static_files() -> frozenset[str]:
    """Give the paths that BentoML's page at / is made of; one by one, because BentoML counts requests by their path."""
    folder = Path(server.__file__).parent / _STATIC
    return frozenset(f"/{_STATIC}/{file.name}" for file in folder.iterdir())


def specification(document: dict[str, Any]) -> OpenAPISpecification:
    """Make BentoML's type of an OpenAPI document, as `Service.openapi_spec` has to give it."""
    return bentoml_cattr.structure(document, OpenAPISpecification)
