"""What BentoML's public API does not tell: its settings, the files of its page, and its type of an OpenAPI document.

The imports stand inside the functions, so that a start with another version of BentoML gets as far as the check in
expected.py, which says what is wrong.
"""

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import MethodType
from typing import Any, cast

_STATIC = "static_content"


def application(service: Any, is_main: bool) -> Any:
    """Make BentoML's ASGI application of a service, without what counts the requests.

    That would count those only which get as far as BentoML: not one prediction. BentoML's setting `metrics.enabled` is
    for both these counters and the route /metrics.
    """
    from _bentoml_impl.server.app import ServiceAppFactory  # type: ignore[import-untyped]  # it has no types

    service.inject_config()
    return ServiceAppFactory(service, is_main=is_main, enable_metrics=False)()


def workers(service: str) -> object:
    """Tell how many workers a service is configured to have: a number, `cpu_count`, or None for one."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    return BentoMLContainer.config.services.get()[service].get("workers")


def cors() -> dict[str, Any] | None:
    """Give BentoML's CORS settings as arguments of starlette's CORSMiddleware; None: they are off, as by default."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    if not BentoMLContainer.http.cors.enabled.get():
        return None
    return cast(dict[str, Any], BentoMLContainer.access_control_options.get())


def keep_series_in(folder: Path) -> None:
    """Have BentoML tell the workers that it will start to keep their series in this folder, not in BENTOML_HOME."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    BentoMLContainer.prometheus_multiproc_dir.set(str(folder))


def method_of(service: object, name: str) -> Callable[..., Any]:
    """Give a method of a service as it is written, bound to the service.

    Taken from the instance, an API is a wrapper, which in a server asks another worker to call the method.
    """
    attribute = inspect.getattr_static(type(service), name)
    return MethodType(getattr(attribute, "func", attribute), service)


@cache
def static_files() -> frozenset[str]:
    """Give the paths that BentoML's page at / is made of; one by one, because BentoML counts requests by their path."""
    from bentoml._internal import server

    folder = Path(server.__file__).parent / _STATIC
    return frozenset(f"/{_STATIC}/{file.name}" for file in folder.iterdir())


def specification(document: dict[str, Any]) -> Any:
    """Make BentoML's type of an OpenAPI document, as `Service.openapi_spec` has to give it."""
    from bentoml._internal.service.openapi.specification import OpenAPISpecification
    from bentoml._internal.utils.cattr import bentoml_cattr

    return bentoml_cattr.structure(document, OpenAPISpecification)
