"""The journal of a run that can be continued: how far the input was scored, and how long the outputs were by then.

Every line is a JSON object and its CRC-32, and is written only after what it says of the outputs is on the disk. A line
that a power cut has torn is not there for a reader, and neither is anything behind it.
"""

import fcntl
import json
import os
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from plan_recommender.errors import OutputError
from plan_recommender.scoring.counts import Counts


@dataclass(frozen=True)
class Checkpoint:
    """A place at which a run can go on."""

    end: int = 0
    """What was scored of the input (bytes)."""
    output: int = 0
    """Length of the output (bytes)."""
    rejects: int = 0
    """Length of the rejects (bytes)."""
    counts: Counts = field(default_factory=Counts)
    done: bool = False
    """Whether the outputs are complete, so that only their names are left to be changed."""


class Journal:
    """A journal beside an output, which one run at a time has open."""

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        """Open a journal, or make an empty one.

        Args:
            path: of the journal.
            run: what has to be equal for a run to go on where another one ended, as JSON has it.

        Raises:
            OutputError: another run has it open.
        """
        self._run = json.loads(json.dumps(run))
        self._file = only_one(path)
        entries, self._length = _entries(self._file.read())
        self.last: Checkpoint | None = None
        """The last place at which such a run can go on."""
        if len(entries) > 1 and entries[0] == self._run:
            found = entries[-1]
            self.last = Checkpoint(**{**found, "counts": Counts(**found["counts"])})

    def begin(self, *, anew: bool) -> None:
        """Begin to write: behind the last place, or an empty journal."""
        self._file.seek(0 if anew else self._length)
        self._file.truncate()
        if anew:
            self._write(self._run)

    def note(self, checkpoint: Checkpoint) -> None:
        """Note a place; what it says of the outputs has to be on the disk."""
        self._write(asdict(checkpoint))

    def close(self) -> None:
        """Close the file, so that another run can open it."""
        self._file.close()

    def _write(self, entry: dict[str, Any]) -> None:
        text = json.dumps(entry, separators=(",", ":")).encode()
        self._file.write(b"%s %08x\n" % (text, zlib.crc32(text)))
        self._file.flush()
        os.fsync(self._file.fileno())


def only_one(path: Path) -> BinaryIO:
    """Open a file, or make an empty one, that no other run with --resume has open; a symbolic link is not followed.

    Raises:
        OutputError: another run has it open.
        OSError: it cannot be opened.
    """
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise OutputError(f"{path}: expected to be the only run with --resume that writes it, found one") from error
        # A run that ended in between has removed the file that was opened.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()


def _entries(content: bytes) -> tuple[list[Any], int]:
    """Read the lines that are whole, and give their length."""
    entries, length = [], 0
    for line in content.split(b"\n")[:-1]:
        text, _, checksum = line.rpartition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            break
        entries.append(json.loads(text))
        length += len(line) + 1
    return entries, length
