"""Outputs that are complete or absent: they are written beside their place and moved there in one step."""

import ctypes
import io
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, TextIO, cast

from plan_recommender.data.compression import Pack, packer
from plan_recommender.errors import OutputError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_PART_BYTES = 1 << 20  # of text that is compressed at once


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file that replaces `path` when the block ends. If the block fails, `path` stays as it was.

    It is compressed if its name ends in `.gz` or `.zst`; the same text makes the same bytes then, too.

    Raises:
        OutputError: as `replacing_bytes`.
    """
    with replacing_bytes(path) as file:
        pack = packer(path)
        stream = file if pack is None else io.BufferedWriter(cast(io.RawIOBase, _Packing(file, pack)), _PART_BYTES)
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        yield text
        text.flush()
        text.detach()


class _Packing(io.RawIOBase):
    """Compresses each part that is written, and writes it to a file."""

    def __init__(self, file: BinaryIO, pack: Pack) -> None:
        self._file = file
        self._pack = pack

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._file.write(self._pack(bytes(part)))
        return len(part)


@contextmanager
def replacing_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file of bytes that replaces `path` when the block ends. If the block fails, `path` stays as it was.

    Folders that are missing are made, a symbolic link is followed, and a file that is replaced keeps its permissions.

    Raises:
        OutputError: there cannot be such a file, or the block fails with an error of the operating system.
    """
    try:
        target = path.resolve()  # a symbolic link stays, and the file that it points to is replaced
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
            with open(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, mode_of(target))
            os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def mode_of(target: Path) -> int:
    """Give the permissions of a file that is replaced, or those of a new one."""
    return target.stat().st_mode if target.exists() else 0o666 & ~_umask()


class StagedDirectory:
    """A folder that is being filled at `path`, until it takes the place of the target beside it."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._target = target
        self._identity = path.stat().st_ino

    def keep_the_rest(self) -> None:
        """Link the target's files that were not written anew into the staged folder.

        `publish` does this as well. Called before, it leaves `publish` less to do.
        """
        for kept in self._target.iterdir() if self._target.exists() else ():
            link = self.path / kept.name
            if link.exists() or link.is_symlink():
                continue
            if kept.is_dir() and not kept.is_symlink():
                shutil.copytree(kept, link, symlinks=True, copy_function=os.link)
            else:
                os.link(kept, link, follow_symlinks=False)

    def publish(self) -> None:
        """Take the target's place; files of the target that were not written anew stay.

        On Linux this is one step, elsewhere three renames.
        """
        if self._target.exists():
            self.keep_the_rest()
            _exchange(self.path, self._target)
        else:
            _move(self.path, self._target)

    def withdraw(self) -> None:
        """Put the former target back if this folder has taken its place; otherwise do nothing."""
        if not self._target.exists() or self._target.stat().st_ino != self._identity:
            return
        if self.path.exists():
            _exchange(self.path, self._target)
        else:
            _move(self._target, self.path)


@contextmanager
def staged_directory(target: Path) -> Iterator[StagedDirectory]:
    """Offer an empty folder beside `target`, to be filled and published; unless published, it is removed at the end.

    Raises:
        OutputError: the folder cannot be written, or the target is a file, a mount point, or holds the working
            directory.
    """
    resolved = target.resolve()  # a symbolic link stays, and the folder that it points to is replaced
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
    """Turn an error of the operating system within the block into one that names `path`.

    Raises:
        OutputError: the block raised an OSError, for example because the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: expected to write it to its end, found: {error.strerror or error}") from error


def require_distinct(*paths: Path | None) -> None:
    """Refuse paths of which two are the same file, because a command would overwrite its input or another result.

    Raises:
        OutputError: two of the paths, symbolic links resolved, are equal; None is left out.
    """
    seen: set[Path] = set()
    for path in filter(None, paths):
        if path.resolve() in seen:
            raise OutputError(f"{path}: expected a file of its own for each input and output, found it named twice")
        seen.add(path.resolve())


class HeldSignals:
    """Ctrl-C and SIGTERM of a block in which they wait, because what it does is done completely or not at all."""

    def __init__(self) -> None:
        self.came = False
        """Whether one of them came."""
        self._may_interrupt = False

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        """Remember a signal, and interrupt with it what may be interrupted, once."""
        self.came = True
        if self._may_interrupt:
            self._may_interrupt = False
            raise KeyboardInterrupt

    def interruptible(self, work: Callable[[], object]) -> bool:
        """Do work that a signal may leave undone; returns False if one did, or had come before."""
        try:
            try:
                self._may_interrupt = True
                if self.came:
                    return False
                work()
            finally:
                self._may_interrupt = False
        except KeyboardInterrupt:
            return False
        return True


@contextmanager
def holding_signals() -> Iterator[HeldSignals]:
    """Let Ctrl-C and SIGTERM wait during the block; whether one came is known, and nothing is raised at the end."""
    held = HeldSignals()
    # Handlers, because a signal mask would hold for one thread only, and the libraries have started others.
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN  # Ctrl-C is not for a script's commands in the background
    }
    try:
        for number in before:
            signal.signal(number, held.handle)
        yield held
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of the block.

    If one of them came, KeyboardInterrupt is raised then, unless the block itself fails.
    """
    with holding_signals() as held:
        yield
    if held.came:
        raise KeyboardInterrupt


def _move(one: Path, other: Path) -> None:
    one.rename(other)


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders: in one step where the kernel can (Linux), otherwise in three renames."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
            return
    between = one.with_name(f"{one.name}.swap")
    other.rename(between)
    one.rename(other)
    between.rename(one)


def _umask() -> int:
    """Give the process's umask, which mkstemp and mkdtemp ignore. It can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
