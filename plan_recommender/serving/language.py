"""The language of an answer's sentences, which the header Accept-Language of the request asks for."""

import re
from contextvars import ContextVar
from typing import Final

from plan_recommender.model.languages import LANGUAGES, Language

DEFAULT: Final[Language] = "en"

LANGUAGE: Final[ContextVar[Language]] = ContextVar("language", default=DEFAULT)
"""The language of the request that is answered now; the HTTP layer sets it before it calls the service's method."""

_RANGE: Final = re.compile(r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")
_MAX_RANGES: Final = 20


def choose_language(headers: list[tuple[bytes, bytes]]) -> Language:
    """Choose the language with the highest weight (RFC 9110, 12.5.4); of equal ones the first, otherwise English."""
    header = b",".join(value for name, value in headers if name == b"accept-language")
    if not header:
        return DEFAULT
    best, most = DEFAULT, 0.0
    for part in header.decode("latin-1").split(",")[:_MAX_RANGES]:
        found = _RANGE.fullmatch(part)
        if found is None:
            continue
        name, weight = found[1].lower(), float(found[2] or 1)
        language = next((each for each in LANGUAGES if each == name), DEFAULT if name == "*" else None)
        if language is not None and weight > most:
            best, most = language, weight
    return best
