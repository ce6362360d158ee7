"""Outputs that appear only when they are complete: written aside, then put in place in one step."""

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from plan_recommender.errors import OutputError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes the place of `path` when the block ends, and leaves no trace when it fails.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(None, "Is a directory")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OutputError(f"{path}: expected a file that can be written, found: {error.strerror}") from error
    try:
        with open(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """Offer an empty folder beside `target`; what the block leaves there is for `publish`, the rest is removed.

    Raises:
        OutputError: the folder cannot be written, or is no folder of its own.
    """
    if Path.cwd().is_relative_to(target.resolve()):
        raise OutputError(f"{target}: expected a folder of its own, found the working directory or one above it")
    try:
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(None, "Not a directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise OutputError(f"{target}: expected a folder that can be written, found: {error.strerror}") from error
    try:
        staging.chmod(0o777 & ~_umask())
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def publish(staging: Path, target: Path) -> None:
    """Put a staged folder in the place of `target`, at once; files of `target` that were not staged anew stay.

    After it `staging` holds what `target` held before, so that calling it a second time takes the first back.
    """
    if not target.exists():
        target.mkdir()
    for kept in target.iterdir():
        if (staging / kept.name).exists():
            continue
        if kept.is_dir():
            shutil.copytree(kept, staging / kept.name, symlinks=True, copy_function=os.link)
        else:
            os.link(kept, staging / kept.name, follow_symlinks=False)
    _exchange(staging, target)


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders: in one step where the kernel can (Linux), else in three renames."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
            return
    between = one.with_name(f"{one.name}.swap")
    other.rename(between)
    one.rename(other)
    between.rename(one)


def _umask() -> int:
    """Tell the process's umask, which can only be read by setting it; mkstemp and mkdtemp do not honour it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
