"""A disk that is full from some moment on: Python tells of what it makes and moves, and is refused."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_watches: list[Callable[[str], None]] = []


@contextmanager
def failing(folder: Path, write: int | None) -> Iterator[list[str]]:
    """Refuse one of the files and folders that are made or moved below a folder, counted from 1; None: refuse none.

    Gives the list of them, to which each is added when it is asked for.
    """
    _install()
    written: list[str] = []

    def watch(path: str) -> None:
        if path.startswith(f"{folder}{os.sep}"):
            written.append(path)
            if len(written) == write:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    _watches.append(watch)
    try:
        yield written
    finally:
        _watches.remove(watch)


@cache
def _install() -> None:
    """Hear of what Python does with files; what is installed for that stays, and does nothing without a watch."""

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if not _watches:
            return
        if event == "open":
            path, _, flags = arguments
            if not isinstance(path, str | os.PathLike) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event == "os.mkdir":
            path = arguments[0]
            if os.path.isdir(path):
                return  # nothing is made
        elif event == "os.rename":
            path = arguments[1]
        else:
            return
        for watch in _watches:
            watch(os.path.abspath(os.fspath(path)))

    sys.addaudithook(hear)
