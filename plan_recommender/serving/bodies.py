"""What the headers of a request say about its body."""

from collections.abc import Mapping
from typing import Final

from plan_recommender.serving import error_responses

_USUAL_TYPE: Final = b"application/json"
_MAX_LENGTH_DIGITS: Final = 18  # of a content length; Python refuses to read thousands of them
_UTF8: Final = {"utf-8", "utf8", "us-ascii"}


def announced_length(fields: Mapping[bytes, bytes]) -> int:
    """Give the size of a body by its Content-Length; 0 without one, or if it is not a number.

    Args:
        fields: the headers of the request by their names in lower case.

    Raises:
        Refusal: the headers say that the body is not JSON, or not all of it, or that it is compressed.
    """
    if b"inference-header-content-length" in fields:
        raise error_responses.binary_tensors()
    if b"content-encoding" in fields and fields[b"content-encoding"].strip().lower() not in (b"", b"identity"):
        raise error_responses.compressed_body()
    media_type = fields.get(b"content-type", _USUAL_TYPE)
    if media_type != _USUAL_TYPE and not _is_json(media_type.decode("latin-1")):
        raise error_responses.not_json()
    length = fields.get(b"content-length", b"")
    if not length.isdigit():
        return 0  # the bytes that come are counted in any case
    length = length.lstrip(b"0") or b"0"
    return int(length) if len(length) <= _MAX_LENGTH_DIGITS else 10**_MAX_LENGTH_DIGITS


def _is_json(content_type: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [p.partition("=")[2].strip("\"' ") for p in parameters if p.partition("=")[0].strip() == "charset"]
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    return is_json and all(charset in _UTF8 for charset in charsets)
