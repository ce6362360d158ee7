"""What the tests of the bill of materials share."""

from collections.abc import Iterator
from functools import cache

import pytest


@pytest.fixture(scope="session")
def addresses_parsed_once() -> Iterator[None]:
    """Let jsonschema parse each address once: one takes it 20 ms, and every bill has the same two hundred."""
    import rfc3987_syntax  # it reads a grammar for a second, for which no process waits that only collects the tests

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("jsonschema._format._rfc3987_is_valid_syntax", cache(rfc3987_syntax.is_valid_syntax))
        yield
