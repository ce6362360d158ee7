"""Outputs that appear only when they are complete: written aside, then put in place in one step."""

import ctypes
import os
import shutil
import signal
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
        OutputError: there can be no such file.
    """
    try:
        target = path.resolve()  # through a link, to what it names
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(None, "Is a directory")
        if target.exists() and not target.is_file():
            raise OSError(None, "Not a regular file")
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise OutputError(f"{path}: expected a file that can be written, found: {error.strerror}") from error
    try:
        with writing(path):
            with open(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, target.stat().st_mode if target.exists() else 0o666 & ~_umask())
            os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


class StagedDirectory:
    """A folder being filled at `path`, beside the one whose place it will take."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._target = target
        self._identity = path.stat().st_ino

    def keep_the_rest(self) -> None:
        """Take over what the target holds and was not staged anew; `publish` does so too, but then it is slower."""
        for kept in self._target.iterdir() if self._target.exists() else ():
            link = self.path / kept.name
            if link.exists() or link.is_symlink():
                continue
            if kept.is_dir() and not kept.is_symlink():
                shutil.copytree(kept, link, symlinks=True, copy_function=os.link)
            else:
                os.link(kept, link, follow_symlinks=False)

    def publish(self) -> None:
        """Take the target's place, at once; what the target holds and was not staged anew stays."""
        if self._target.exists():
            self.keep_the_rest()
            _exchange(self.path, self._target)
        else:
            _move(self.path, self._target)

    def withdraw(self) -> None:
        """Undo `publish`, if it was done."""
        if not self._target.exists() or self._target.stat().st_ino != self._identity:
            return
        if self.path.exists():
            _exchange(self.path, self._target)
        else:
            _move(self._target, self.path)


@contextmanager
def staged_directory(target: Path) -> Iterator[StagedDirectory]:
    """Offer an empty folder beside `target`, to be published; what is not published when the block ends is gone.

    Raises:
        OutputError: the folder cannot be written, or is no folder of its own.
    """
    resolved = target.resolve()  # through a link, to the folder it names
    if Path.cwd().is_relative_to(resolved):
        raise OutputError(f"{target}: expected a folder of its own, found the working directory or one above it")
    try:
        if resolved.exists() and not resolved.is_dir():
            raise NotADirectoryError(None, "Not a directory")
        if resolved.is_mount():
            raise OSError(None, "A mount point, which cannot be exchanged; name a folder inside it")
        resolved.parent.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(dir=resolved.parent, prefix=f".{resolved.name}."))
    except OSError as error:
        raise OutputError(f"{target}: expected a folder that can be written, found: {error.strerror}") from error
    try:
        path.chmod(0o777 & ~_umask())
        yield StagedDirectory(path, resolved)
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name what was being written when the disk was full, or whatever else went wrong with it.

    Raises:
        OutputError: the block met an error of the system.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: expected to write it to its end, found: {error.strerror or error}") from error


def require_distinct(*paths: Path | None) -> None:
    """Refuse a command that would write over its own input, or one result over another.

    Raises:
        OutputError: two of the paths are the same file.
    """
    seen: set[Path] = set()
    for path in filter(None, paths):
        if path.resolve() in seen:
            raise OutputError(f"{path}: expected a file of its own for each input and output, found it named twice")
        seen.add(path.resolve())


def _move(one: Path, other: Path) -> None:
    one.rename(other)


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


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until a block of a few steps that belong together has ended."""
    caught: list[int] = []
    # By handlers and not by a signal mask: a mask holds for one thread, and the libraries have started others.
    before = {
        number: signal.signal(number, lambda n, _: caught.append(n)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt
