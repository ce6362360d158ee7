"""What RFC 9112 wants refused though the parser takes it: heads whose framing or host is not certain."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from plan_recommender.serving.error_responses import Header

_MAX_HOST: Final = 261
"""Of a name of 255 characters and a port."""

_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?")
"""RFC 3986, section 3.2.2, without addresses of a future version."""

_ONCE: Final = (b"host", b"transfer-encoding")


def is_faulty(version: str, headers: Sequence[Header], fields: Mapping[bytes, bytes]) -> bool:
    """Tell whether a request has to be refused and its connection closed.

    Args:
        version: of HTTP; the parser takes 0.9 and 2.0 too.
        headers: their names in lower case.
        fields: the same by their names.
    """
    host, coding = fields.get(b"host"), fields.get(b"transfer-encoding")
    if len(fields) != len(headers):
        names = [name for name, _ in headers]
        if any(names.count(name) > 1 for name in _ONCE):
            return True
    if version != "1.1" and (version != "1.0" or coding is not None):  # section 6.1
        return True
    if coding is not None and coding.strip().lower() != b"chunked":  # sections 6.3 and 7
        return True
    return not _is_host(host) if host is not None else version == "1.1"  # section 3.2


def has_body(fields: Mapping[bytes, bytes]) -> bool:
    """Tell whether a head announces a body that is not empty."""
    return b"transfer-encoding" in fields or bool(fields.get(b"content-length", b"").strip(b" \t0"))


@lru_cache(maxsize=64)
def _is_host(host: bytes) -> bool:
    return len(host) <= _MAX_HOST and _HOST.fullmatch(host.strip(b" \t")) is not None
