"""Authentication by an optional API key from the environment, and CORS as BentoML's settings ask for it."""

import hmac
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from plan_recommender.errors import ConfigError
from plan_recommender.serving.exchange import EXCHANGE, Exchange
from plan_recommender.serving.inference_metadata import MODEL_PATH
from plan_recommender.serving.page_files import page_paths
from plan_recommender.serving.patches import bentoml_internals
from plan_recommender.serving.settings import KEY_VARIABLE, PUBLIC_VARIABLE

MIN_KEY_CHARACTERS: Final = 16

_PUBLIC: Final[dict[str, frozenset[str]]] = {
    "health": frozenset(
        {
            *("/health", "/livez", "/readyz", "/healthz", "/ping"),
            *("/v2/health/live", "/v2/health/ready", f"{MODEL_PATH}/ready"),
        }
    ),
    "metrics": frozenset({"/metrics"}),
    "page": page_paths(),
}
"""The names that the variable `PUBLIC_VARIABLE` may list, each with the paths that it stands for."""

logger = logging.getLogger("bentoml.plan_recommender")


@dataclass(frozen=True)
class Authentication:
    """The `Authorization` header that a request must carry, and the paths that need none."""

    authorization: bytes | None
    """`Bearer <key>`; None: no key is needed."""
    public: frozenset[str]
    """Paths that need no key."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the key from `KEY_VARIABLE` and the public paths from `PUBLIC_VARIABLE`.

        Without the second variable all names of `_PUBLIC` are public; if it is empty, no path is.

        Raises:
            ConfigError: the key is shorter than `MIN_KEY_CHARACTERS` or holds anything but printable ASCII characters
                other than a space, or the list has a name that `_PUBLIC` has not.
        """
        key = environment.get(KEY_VARIABLE)
        if key is not None and (
            len(key) < MIN_KEY_CHARACTERS or not key.isascii() or not key.isprintable() or " " in key
        ):
            raise ConfigError(
                f"environment variable {KEY_VARIABLE}: expected at least {MIN_KEY_CHARACTERS} printable ASCII "
                f"characters without spaces, found {len(key)} that are not; correct it, or unset it to let everybody "
                "ask"
            )
        names = [name.strip() for name in environment.get(PUBLIC_VARIABLE, ",".join(_PUBLIC)).split(",")]
        unknown = [name for name in names if name and name not in _PUBLIC]
        if unknown:
            raise ConfigError(
                f"environment variable {PUBLIC_VARIABLE}: expected names out of {', '.join(_PUBLIC)}, separated by "
                f"commas, found {unknown[0]!r}"
            )
        return cls(
            authorization=None if key is None else f"Bearer {key}".encode(),
            public=frozenset().union(*(_PUBLIC[name] for name in names if name)),
        )

    def warn_if_open(self) -> None:
        """Log a warning when no key is set."""
        if self.authorization is None:
            logger.warning(
                "no API key is set, so the service is open to everybody who can reach it; set the environment variable "
                "%s to a key that requests must carry",
                KEY_VARIABLE,
            )

    def allows(self, path: str, headers: list[tuple[bytes, bytes]]) -> bool:
        """Tell whether a request carries the key or needs none.

        Names of headers must be in lower case, as ASGI servers send them. Two `Authorization` headers are as good as
        none. How long the comparison takes tells nothing about the characters of the key.
        """
        if self.authorization is None or path in self.public:
            return True
        sent = [value for name, value in headers if name == b"authorization"]
        return len(sent) == 1 and hmac.compare_digest(_bearer(sent[0]), self.authorization)


def for_other_origins(app: ASGIApp) -> ASGIApp:
    """Apply BentoML's CORS settings to all routes, because BentoML applies them to its own routes only.

    They are off by default, and then `app` is returned unchanged. A browser's preflight request is answered before
    authentication, because it carries no key.
    """
    options = bentoml_internals.cors()
    return app if options is None else _Cors(app, **options)


class _Cors(CORSMiddleware):
    """starlette's middleware, which adds its headers to an ASGI answer and would not see one written in one piece."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get("extensions", {}).get(EXCHANGE)
        if exchange is not None:
            exchange.answer_in_parts()
        await super().__call__(scope, receive, send)


def _bearer(value: bytes) -> bytes:
    """Write the scheme of an `Authorization` header with one capital, and drop the blanks around the credentials.

    A client may write `bearer` in any case (RFC 9110, section 11.1).
    """
    scheme, _, credentials = value.partition(b" ")
    return scheme.lower().capitalize() + b" " + credentials.strip()
