"""The environment variables that configure a service: their names, types and defaults; auth.py reads the keys."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from plan_recommender.errors import ConfigError
from plan_recommender.model.record import MODEL_NAME

PREFIX: Final = "PLAN_RECOMMENDER_"
"""Every variable of this service begins with it."""

KEY_VARIABLE: Final = f"{PREFIX}API_KEY"
KEY_FILE_VARIABLE: Final = f"{PREFIX}API_KEY_FILE"
PUBLIC_VARIABLE: Final = f"{PREFIX}PUBLIC"

_FOR_COMPOSE: Final = f"{PREFIX}IMAGE"
"""Read by deploy/compose.yaml and not by the service, which ignores it."""

_BY_KUBERNETES: Final = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""Kubernetes sets these in every container of a namespace that has a Service whose name begins with plan-recommender,
unless the pod says `enableServiceLinks: false`. It sets ..._PORT too, to a URL."""

_TAG: Final = re.compile(rf"{MODEL_NAME}:[a-z0-9]([-._a-z0-9]{{0,61}}[a-z0-9])?")  # what BentoML takes for a version
_IN_ANY_CASE: Final = BeforeValidator(str.lower)
_PORT: Final = 3000
_EMPTY_IS_UNSET: Final = BeforeValidator(lambda value: value or _PORT)  # as BentoML reads it


def _require_tag(tag: str | None) -> str | None:
    if tag is not None and not _TAG.fullmatch(tag):
        raise ValueError(f"expected a model tag {MODEL_NAME}:<version>, {MODEL_NAME}:latest or {MODEL_NAME}:champion")
    return tag


def variable(name: str) -> str:
    """Name the variable of a field of `Environment`."""
    return f"{PREFIX}{name.upper()}"


class Environment(BaseModel):
    """The settings of a service; a variable that is not set has its default."""

    model_config = ConfigDict(frozen=True, alias_generator=variable)

    port: Annotated[int, _EMPTY_IS_UNSET] = Field(_PORT, ge=1, le=65535, alias="BENTOML_PORT")
    """The TCP port; BentoML's own variable, checked here because BentoML takes 99999 for 34463."""
    workers: int = Field(1, ge=1, le=256)
    """Worker processes."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _IN_ANY_CASE] = "info"
    log_format: Annotated[Literal["text", "json"], _IN_ANY_CASE] = "text"
    access_log_share: float = Field(0.01, ge=0, le=1)
    """Share of the requests answered without an error that leave a record in the log, chosen at random."""
    tariffs: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = None
    """File of the tariffs in force; None: tariffs.yaml beside the service."""
    model: Annotated[str | None, BeforeValidator(lambda value: value or None), AfterValidator(_require_tag)] = None
    """Tag of the model that is served; None: the one that the Bento carries, from source the one of `:latest`."""
    verify_key: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = None
    """File of the public key that must have signed the model; None: signatures are not looked at."""
    max_batches: int = Field(16, ge=1, le=10_000)
    """Batches that may wait or be answered in one worker."""
    drain_seconds: float = Field(0.5, ge=0, le=300)
    """Seconds after SIGTERM in which everything is answered, while health and readiness say that the service stops."""
    page: Annotated[Literal["on", "off"], _IN_ANY_CASE] = "on"
    """Whether the what-if page is served at /app."""
    drift_state: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = None
    """Folder in which the counts of all workers are put together, and last; None: a temporary one of each start."""
    shadow: Annotated[str | None, BeforeValidator(lambda value: value or None), AfterValidator(_require_tag)] = None
    """Tag of a second model that scores what is answered, for /metrics only; None: there is none."""
    max_bodies_mib: int = Field(64, ge=10, le=1024 * 1024)
    """MiB that all bodies which one worker is reading may hold together; at least one of the largest kind."""
    prediction_log: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = None
    """Folder of the prediction log; None: predictions are not logged."""
    prediction_log_share: float = Field(1.0, ge=0, le=1)
    """Share of the predictions that are logged, chosen at random."""
    prediction_log_mib: int = Field(1024, ge=16, le=1024 * 1024)
    """MiB that the files of the prediction log may have together, those of all workers and of earlier starts."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read and validate the variables.

        Raises:
            ConfigError: one of them is not what it may be, or has a name that means nothing to this service.
        """
        _refuse_unknown(environment)
        try:
            return cls.model_validate(environment)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ConfigError(
                f"environment variable {first['loc'][0]}: {first['msg']}, found {first['input']!r}; correct it, "
                "or unset it for the default"
            ) from error


def known_variables() -> list[str]:
    """List the variables of this service whose names begin with `PREFIX`, the three that auth.py reads included."""
    own = [field.alias or variable(name) for name, field in Environment.model_fields.items()]
    return [*(name for name in own if name.startswith(PREFIX)), KEY_VARIABLE, KEY_FILE_VARIABLE, PUBLIC_VARIABLE]


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """Refuse a misspelt name: with a misspelt key the service would start without one.

    The value is not repeated, because it may be that key.
    """
    known = known_variables()
    for name, value in sorted(environment.items()):
        if not name.upper().startswith(PREFIX) or name in (*known, _FOR_COMPOSE) or _is_by_kubernetes(name, value):
            continue
        close = get_close_matches(name.upper().removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], n=1)
        hint = f" (did you mean {PREFIX}{close[0]}?)" if close else ""
        raise ConfigError(
            f"environment variable {name}: expected one of {', '.join(known)}, found a name that this service does "
            f"not know{hint}; correct it, or unset it"
        )


def _is_by_kubernetes(name: str, value: str) -> bool:
    return bool(_BY_KUBERNETES.fullmatch(name)) or (name.endswith("_PORT") and "://" in value)
