"""The folder in which the workers of a service keep their series: one of its own for each start, deleted at the end.

BentoML by itself uses one in BENTOML_HOME, and empties it when a service starts, also of the series of another service
that runs. The folder is locked as long as the supervisor lives, so that a later start can tell the folder of one that
was killed, and deletes it.
"""

import atexit
import fcntl
import os
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Final

from plan_recommender.serving.patches import bentoml_internals

_PREFIX: Final = "plan-recommender-metrics-"
_NAMED_BY: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable in which BentoML tells the workers of the folder, as prometheus_client wants it."""


@cache
def prepare() -> None:
    """Make the folder and tell BentoML of it, in the process that starts the workers; a worker has been told of it.

    A second call in the same process changes nothing.

    Raises:
        OSError: the system has no folder for temporary files that can be written.
    """
    if Path(os.environ.get(_NAMED_BY, "")).name.startswith(_PREFIX):
        return
    _delete_those_of_the_dead()
    folder = Path(mkdtemp(prefix=_PREFIX))
    _lock(folder)  # until this process ends, however it does
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    bentoml_internals.keep_series_in(folder)


def _delete_those_of_the_dead() -> None:
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it is in use, or somebody else's, or another start deletes it
            descriptor = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def _lock(folder: Path) -> int:
    """Lock a folder; returns what holds the lock until it is closed.

    Raises:
        OSError: another process has it locked, or it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
