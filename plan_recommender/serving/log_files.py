"""The files of the prediction log, and the bound of their folder.

The folder stays within its bound without any lock between the workers. Before each block a worker adds up the files of
all, and deletes the oldest until even a block of every worker would fit. After that, each worker can have written one
block at most before it looks itself.
"""

import errno
import os
import secrets
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from time import monotonic
from typing import Final

from plan_recommender.model.prediction_line import LOG_FILES
from plan_recommender.serving.limits import MIB

_BLOCK_BYTES: Final = 256 * 1024
_FILE_BYTES: Final = 8 * MIB
_FILE_SECONDS: Final = 24 * 3600.0


class LogFiles:
    """The files of one worker in the folder of all. None is held open, so a file that is deleted frees its space."""

    def __init__(self, folder: Path, max_bytes: int, workers: int) -> None:
        self.folder = folder
        self.block_bytes = min(_BLOCK_BYTES, max_bytes // (4 * workers))
        self._max_others = max_bytes - workers * self.block_bytes
        self._file_bytes = min(_FILE_BYTES, max_bytes // 8)
        self._path: Path | None = None
        self._begun = 0.0

    def append(self, block: bytearray) -> None:
        """Append a block of whole lines of `block_bytes` at most, by one write.

        Raises:
            OSError: it is not in the file.
        """
        self._make_room()
        if self._path is not None and monotonic() - self._begun < _FILE_SECONDS:
            try:
                if self._path.stat().st_size + len(block) <= self._file_bytes:
                    self._append(self._path, block, os.O_APPEND)
                    return
            except FileNotFoundError:
                pass  # it was the oldest, and its space was needed
        self._path, self._begun = None, monotonic()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        start = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path = self.folder / LOG_FILES.replace("*", f"{start}-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            self._append(path, block, os.O_CREAT | os.O_EXCL)
        except OSError:
            path.unlink(missing_ok=True)  # otherwise every attempt on a full disk would leave an empty file
            raise
        self._path = path

    def _append(self, path: Path, block: bytearray, flags: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | flags, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, block) != len(block):
                self._path = None  # if it cannot be cut off either, the next lines do not follow half a line
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)

    def _make_room(self) -> None:
        try:
            with os.scandir(self.folder) as entries:
                found = sorted((entry.name, _size(entry)) for entry in entries if fnmatch(entry.name, LOG_FILES))
        except FileNotFoundError:
            return
        total = sum(size for _, size in found)
        for name, size in found:
            if total <= self._max_others:
                break
            (self.folder / name).unlink(missing_ok=True)
            total -= size


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # another worker has just deleted it
        return 0
