"""The folder in which the workers of a service put their counts together: exactly, and whoever of them dies when.

| file | what it holds | who writes it |
| --- | --- | --- |
| `<process>-<random>.counts` | the counts of one worker since its start | that worker, which has it locked |
| `state.json` | the counts of workers that have died, and what the verdict needs | whoever holds the lock of `lock` |

A file that nobody has locked is that of a dead worker, whose counts are added to the state once: the state names the
files that it contains already, is replaced in one step, and only then are these files deleted.
"""

import fcntl
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from plan_recommender.monitoring.evidence import State
from plan_recommender.monitoring.layout import Counts
from plan_recommender.monitoring.watch import Watched

_HEAD: Final = struct.Struct("<IQ")  # CRC-32 of what follows it; number of the writing
_SLOT: Final = 4096
"""A file has two slots of this size (bytes), which are written in turns, so that one of them is whole at any time."""
_CELL: Final = np.dtype("<i8")


class CountsFile:
    """The file of one worker."""

    def __init__(self, folder: Path, cells: int) -> None:
        """Make the file, and the folder if it is not there.

        Raises:
            OSError: it cannot be written.
        """
        self._folder = folder
        self._given_up = np.zeros(cells, dtype=np.int64)
        self._written = self._given_up
        self._file = self._make()

    def write(self, counts: Counts) -> None:
        """Put the counts of the worker into its file; they can be read at any moment, even of a worker that is killed.

        If somebody emptied the folder, a new file is made, and what was in the old one is not counted again.

        Raises:
            OSError: they cannot be written.
        """
        if self.is_lost():
            os.close(self._file)
            self._given_up = self._written
            self._file = self._make()
        self._number += 1
        body = (counts - self._given_up).astype(_CELL).tobytes()
        numbered = struct.pack("<Q", self._number) + body
        record = struct.pack("<I", zlib.crc32(numbered)) + numbered
        if os.pwrite(self._file, record, self._number % 2 * _SLOT) != len(record):
            raise OSError("expected to write the counts, wrote a part of them")
        self._written = counts

    def is_lost(self) -> bool:
        """Tell whether somebody deleted the file."""
        return not os.fstat(self._file).st_nlink

    def close(self) -> None:
        """End like a worker that died: what was written is counted."""
        os.close(self._file)

    def _make(self) -> int:
        # Made under another name, because a file of counts that nobody has locked is that of a dead worker.
        self._number = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(8)}.counts"
        file = os.open(path.with_suffix(".new"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.with_suffix(".new").rename(path)
        except OSError:
            os.close(file)
            raise
        return file


class Shared(NamedTuple):
    """What the folder holds at one moment."""

    totals: Counts
    """Counts of all workers, dead or alive."""
    watched: Watched | None
    """None: nothing is stored yet, or nothing that can be read."""
    changed: bool
    """Whether workers have died, so that it has to be stored."""
    damaged: list[str]
    """Files that cannot be read, which are left out."""


class SharedFolder:
    """The folder, for one worker that looks at it; only inside `alone` are the other methods to be called."""

    def __init__(self, folder: Path, cells: int) -> None:
        """Look at a folder that exists."""
        self._folder = folder
        self._cells = cells
        self._dead = np.zeros(cells, dtype=np.int64)
        self._contained: list[str] = []

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the lock of the folder; gives False, and does not wait, if another worker holds it.

        Raises:
            OSError: the folder cannot be written.
        """
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def read(self) -> Shared:
        """Add up the counts of all workers.

        Raises:
            OSError: the folder cannot be read.
        """
        damaged, stored = [], None
        try:
            stored = _Stored.model_validate_json((self._folder / "state.json").read_bytes())
            stored.check(self._cells)
        except FileNotFoundError:
            pass
        except ValueError:  # pydantic's errors are ValueErrors
            damaged.append("state.json")
            stored = None
        dead = np.zeros(self._cells, dtype=np.int64) if stored is None else np.array(stored.dead, dtype=np.int64)
        known = set() if stored is None else set(stored.contained)
        alive = np.zeros(self._cells, dtype=np.int64)
        contained = []
        for path in sorted(self._folder.glob("*.counts")):
            if path.name in known:  # whoever added it died before deleting it
                path.unlink(missing_ok=True)
                continue
            try:
                counts, has_died = _read(path, self._cells)
            except ValueError:
                damaged.append(path.name)
                continue
            if has_died:
                dead += counts
                contained.append(path.name)
            else:
                alive += counts
        self._dead, self._contained = dead, contained
        return Shared(dead + alive, None if stored is None else stored.watched(), bool(contained), damaged)

    def store(self, watched: Watched) -> None:
        """Store what the verdict needs, with the counts of dead workers that were read; then delete their files.

        Raises:
            OSError: it cannot be written; then what was stored before is still there.
        """
        content = _Stored.of(watched, self._dead, self._contained).model_dump_json().encode()
        path = self._folder / f".state-{os.getpid()}.new"
        try:
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            path.replace(self._folder / "state.json")
        except OSError:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        for name in self._contained:
            (self._folder / name).unlink(missing_ok=True)


def _read(path: Path, cells: int) -> tuple[Counts, bool]:
    """Read the counts of a worker, and whether it has died, after which they do not change any more.

    Raises:
        ValueError: no slot is whole.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            has_died = True
        except BlockingIOError:
            has_died = False
        content = os.pread(file.fileno(), 2 * _SLOT, 0)
    if not content:
        return np.zeros(cells, dtype=np.int64), has_died
    whole = []
    for start in (0, _SLOT):
        slot = content[start : start + _HEAD.size + cells * _CELL.itemsize]
        if len(slot) == _HEAD.size + cells * _CELL.itemsize:
            checksum, number = _HEAD.unpack_from(slot)
            if checksum == zlib.crc32(slot[4:]):
                whole.append((number, slot[_HEAD.size :]))
    if not whole:
        raise ValueError(f"expected {cells} counts in {path.name}")
    return np.frombuffer(max(whole)[1], dtype=_CELL).astype(np.int64), has_died


class _Stored(BaseModel):
    """The form of `state.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dead: list[int]
    contained: list[str]
    begun: float
    since: float | None
    parts: list[str]
    totals: list[int]
    hour: int
    starts: dict[int, list[int]]
    bets: list[float | None]
    """None is minus infinity, which JSON does not have."""

    @classmethod
    def of(cls, watched: Watched, dead: Counts, contained: list[str]) -> "_Stored":
        state = watched.state
        return cls(
            dead=dead.tolist(),
            contained=contained,
            begun=watched.begun,
            since=watched.since,
            parts=watched.parts,
            totals=state.totals.tolist(),
            hour=state.hour,
            starts={day: counts.tolist() for day, counts in state.starts.items()},
            bets=[None if bet == -np.inf else bet for bet in state.bets.tolist()],
        )

    def check(self, cells: int) -> None:
        """Refuse counts of another layout.

        Raises:
            ValueError: they are.
        """
        if {len(counts) for counts in (self.dead, self.totals, *self.starts.values())} != {cells}:
            raise ValueError(f"expected {cells} counts")

    def watched(self) -> Watched:
        starts = {day: np.array(counts, dtype=np.int64) for day, counts in self.starts.items()}
        bets = np.array([-np.inf if bet is None else bet for bet in self.bets])
        state = State(np.array(self.totals, dtype=np.int64), self.hour, starts, bets)
        return Watched(state, self.begun, self.since, self.parts)
