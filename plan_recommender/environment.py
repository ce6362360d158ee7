"""The environment variables that configure a service, beside those of access.py."""

import os
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from plan_recommender.errors import ConfigError

_IN_ANY_CASE: Final = BeforeValidator(str.lower)
_PORT: Final = 3000
_EMPTY_IS_UNSET: Final = BeforeValidator(lambda value: value or _PORT)  # as BentoML reads it


def variable(name: str) -> str:
    """Name the variable of a field of `Environment`."""
    return f"PLAN_RECOMMENDER_{name.upper()}"


class Environment(BaseModel):
    """What the variables say; the defaults hold where they are not set."""

    model_config = ConfigDict(frozen=True, alias_generator=variable)

    port: Annotated[int, _EMPTY_IS_UNSET] = Field(_PORT, ge=1, le=65535, alias="BENTOML_PORT")
    """BentoML's own variable, and read by BentoML, which would listen on 34463 when it says 99999."""
    workers: int = Field(1, ge=1, le=256)
    """Processes that answer."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _IN_ANY_CASE] = "info"
    log_format: Annotated[Literal["text", "json"], _IN_ANY_CASE] = "text"
    max_batches: int = Field(16, ge=1, le=10_000)
    """Batches that may wait in a worker or be carried out."""
    max_explanations: int = Field(64, ge=1, le=10_000)
    """Explanations that may wait in a worker or be carried out."""
    max_bodies_mib: int = Field(64, ge=10, le=1024 * 1024)
    """What all bodies together which a worker is reading may hold, in MiB; at least one of the largest kind."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the variables.

        Raises:
            ConfigError: one of them is not what it may be.
        """
        try:
            return cls.model_validate(environment)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ConfigError(
                f"environment variable {first['loc'][0]}: {first['msg']}, found {first['input']!r}; correct it, "
                "or unset it for the default"
            ) from error
