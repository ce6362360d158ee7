"""Libraries that only some options need: the modules that use them are imported when the option is given."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from plan_recommender.errors import MissingLibraryError


@contextmanager
def needing(library: str, what: str) -> Iterator[None]:
    """Say what to install when importing a module of this project finds that an optional library is not there.

    Args:
        library: its name, as it is imported.
        what: the option or setting that asks for it.

    Raises:
        MissingLibraryError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise MissingLibraryError(
            f"{what}: expected the optional library {library}, found none in {sys.prefix}; "
            "install it with `make optional`, or `pip install --require-hashes --no-deps -r requirements/optional.txt`"
        ) from error
