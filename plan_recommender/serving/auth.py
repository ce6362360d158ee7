"""Authentication by optional API keys from a file or the environment."""

import hmac
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from plan_recommender.errors import ConfigError
from plan_recommender.serving.inference_metadata import MODEL_PATH
from plan_recommender.serving.page_files import page_paths
from plan_recommender.serving.settings import KEY_FILE_VARIABLE, KEY_VARIABLE, PUBLIC_VARIABLE

MIN_KEY_CHARACTERS: Final = 16

MAX_KEYS: Final = 2
"""Keys that a file may hold: the one that clients use, and during a rotation the one before or after it."""

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

_EXPECTED: Final = f"at least {MIN_KEY_CHARACTERS} printable ASCII characters without spaces"

logger = logging.getLogger("bentoml.plan_recommender")


@dataclass(frozen=True)
class Authentication:
    """The `Authorization` headers of which a request must carry one, and the paths that need none."""

    authorizations: tuple[bytes, ...]
    """`Bearer <key>` for each key; empty: no key is needed."""
    public: frozenset[str]
    """Paths that need no key."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the keys that the environment holds or names the file of, and the public paths from `PUBLIC_VARIABLE`.

        Without `PUBLIC_VARIABLE` all names of `_PUBLIC` are public; if it is empty, no path is. Messages never repeat a
        key or a line of the file.

        Raises:
            ConfigError: a key is shorter than `MIN_KEY_CHARACTERS` or holds anything but printable ASCII characters
                other than a space; the file cannot be read, or has no key or more than `MAX_KEYS`; both `KEY_VARIABLE`
                and `KEY_FILE_VARIABLE` are set; or the list has a name that `_PUBLIC` has not.
        """
        names = [name.strip() for name in environment.get(PUBLIC_VARIABLE, ",".join(_PUBLIC)).split(",")]
        unknown = [name for name in names if name and name not in _PUBLIC]
        if unknown:
            raise ConfigError(
                f"environment variable {PUBLIC_VARIABLE}: expected names out of {', '.join(_PUBLIC)}, separated by "
                f"commas, found {unknown[0]!r}"
            )
        return cls(
            authorizations=tuple(f"Bearer {key}".encode() for key in _keys(environment)),
            public=frozenset().union(*(_PUBLIC[name] for name in names if name)),
        )

    def warn_if_open(self) -> None:
        """Log a warning when no key is set."""
        if not self.authorizations:
            logger.warning(
                "no API key is set, so the service is open to everybody who can reach it; set the environment variable "
                "%s to a file with a key that requests must carry, or %s to the key",
                KEY_FILE_VARIABLE,
                KEY_VARIABLE,
            )

    def allows(self, path: str, headers: list[tuple[bytes, bytes]]) -> bool:
        """Tell whether a request carries one of the keys or needs none.

        Names of headers must be in lower case, as ASGI servers send them. Two `Authorization` headers are as good as
        none. How long the comparison takes tells nothing about the characters of a key, nor which key it was.
        """
        if not self.authorizations or path in self.public:
            return True
        sent = [value for name, value in headers if name == b"authorization"]
        if len(sent) != 1:
            return False
        bearer = _bearer(sent[0])
        found = False
        for each in self.authorizations:  # all of them, because where it stops would tell which it was
            found |= hmac.compare_digest(bearer, each)
        return found


def _keys(environment: Mapping[str, str]) -> list[str]:
    key, file = environment.get(KEY_VARIABLE), environment.get(KEY_FILE_VARIABLE)
    if key is not None and file is not None:
        raise ConfigError(
            f"environment variables {KEY_VARIABLE} and {KEY_FILE_VARIABLE}: expected one of them, found both; unset one"
        )
    if file is not None:
        return _keys_of_file(Path(file))
    if key is None:
        return []
    if not _is_key(key):
        raise ConfigError(
            f"environment variable {KEY_VARIABLE}: expected {_EXPECTED}, found {len(key)} that are not; correct it, or "
            "unset it to let everybody ask"
        )
    return [key]


def _keys_of_file(file: Path) -> list[str]:
    where = f"environment variable {KEY_FILE_VARIABLE}: file {str(file)!r}"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{where}: expected a file with one or two keys, found: {error.strerror}") from error
    # Characters that are not ASCII are refused below, whatever this makes of them.
    lines = [line.strip() for line in content.decode("latin-1").splitlines()]
    keys = [line for line in lines if line]
    if not 1 <= len(keys) <= MAX_KEYS:
        raise ConfigError(f"{where}: expected one or two keys, each on a line of its own, found {len(keys)}")
    for number, line in enumerate(lines, start=1):
        if line and not _is_key(line):
            raise ConfigError(f"{where}, line {number}: expected {_EXPECTED}, found {len(line)} that are not")
    return keys


def _is_key(text: str) -> bool:
    return len(text) >= MIN_KEY_CHARACTERS and text.isascii() and text.isprintable() and " " not in text


def _bearer(value: bytes) -> bytes:
    """Write the scheme of an `Authorization` header with one capital, and drop the blanks around the credentials.

    A client may write `bearer` in any case (RFC 9110, section 11.1).
    """
    scheme, _, credentials = value.partition(b" ")
    return scheme.lower().capitalize() + b" " + credentials.strip()
