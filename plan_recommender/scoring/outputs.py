"""The two outputs of scoring a file: complete or absent, and if it is wanted continued by the next run after a kill."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from plan_recommender.data.cells import Row
from plan_recommender.data.compression import packer
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.outputs import mode_of, replacing_bytes, writing
from plan_recommender.errors import OutputError, PlanRecommenderError
from plan_recommender.scoring.counts import Counts
from plan_recommender.scoring.journal import Checkpoint, Journal, only_one

PIPE: Final = Path("-")
"""What stands for standard input or output."""

CHECKPOINT_BYTES = 1 << 26
"""So much of the input is scored between two places at which a run can go on: a tenth of a minute."""

_REJECTS_BYTES: Final = 1 << 20  # of text that is written, and compressed, at once


class Outputs:
    """Two open files that are being written."""

    def __init__(self, output: BinaryIO, rejects: "RejectsFile", resumed: Checkpoint | None = None) -> None:
        self.output = output
        self.rejects = rejects
        self.resumed = resumed
        """Where the run goes on."""
        self.counts = Counts()
        """Of the whole file, once it was scored."""

    def advance(self, end: int, counts: Counts) -> None:
        """Learn that the input was scored up to `end` (bytes), and that all of it is in the outputs."""


class RejectsFile:
    """Rows that were rejected, as text."""

    def __init__(self, file: BinaryIO, path: Path, sep: str) -> None:
        self.file = file
        self._pack = packer(path)
        self._sep = sep
        self._text = io.StringIO(newline="")

    def write(self, rows: list[Row], bom: bool = False) -> None:
        """Write rows, after a byte order mark if it is wanted."""
        self._text.write("\ufeff" if bom else "")
        write_rows(self._text, rows, self._sep)
        if self._text.tell() > _REJECTS_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the file."""
        content = self._text.getvalue().encode("utf-8", errors="surrogateescape")
        if content:
            self.file.write(content if self._pack is None else self._pack(content))
        self._text.seek(0)
        self._text.truncate()


@contextmanager
def replaced(output: Path, rejects: Path, sep: str) -> Iterator[Outputs]:
    """Open outputs that replace the files when the block ends; standard output is written at once.

    Raises:
        OutputError: a file cannot be written.
    """
    with ExitStack() as stack:
        file: BinaryIO = sys.stdout.buffer
        if output != PIPE:
            file = stack.enter_context(replacing_bytes(output))
        outputs = Outputs(file, RejectsFile(stack.enter_context(replacing_bytes(rejects)), rejects, sep))
        if output == PIPE:
            stack.enter_context(writing(output))
        yield outputs
        outputs.rejects.flush()
        file.flush()


@contextmanager
def resumable(output: Path, rejects: Path, sep: str, run: dict[str, Any]) -> Iterator[Outputs]:
    """Open outputs as `replaced` does; if the block is interrupted or killed, the next such run goes on where it was.

    Until then, there are beside the output `.NAME.part` of each file, and `.NAME.journal`. If the block refuses the
    file, there are none.

    Args:
        output: of the rows that are scored.
        rejects: of the others.
        sep: what separates the columns of the rejects.
        run: what has to be equal for a run to go on where another one ended, as JSON has it.

    Raises:
        OutputError: a file cannot be written, or another run is writing it.
    """
    targets = [output.resolve(), rejects.resolve()]
    parts = [_beside(target, "part") for target in targets]
    with writing(output), ExitStack() as stack:
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                raise IsADirectoryError(None, "Is a directory")
            if target.exists() and not target.is_file():
                raise OSError(None, "Not a regular file")
        journal = Journal(_beside(targets[0], "journal"), run)
        stack.callback(journal.close)
        found = journal.last
        if found is not None and found.done and _are_there(parts, targets, [found.output, found.rejects]):
            yield Outputs(io.BytesIO(), RejectsFile(io.BytesIO(), PIPE, sep), found)
        else:
            files = [stack.enter_context(only_one(part)) for part in parts]
            if found is not None and (found.done or not _cut(files, [found.output, found.rejects])):
                found = None
            if found is None:
                _cut(files, [0, 0])
            journal.begin(anew=found is None)
            outputs = _Resumed(files, RejectsFile(files[1], rejects, sep), journal, found)
            try:
                yield outputs
            except PlanRecommenderError:
                for part in parts:
                    part.unlink(missing_ok=True)
                forget(output)
                raise
            # Two renames are not one step: first it is written down that they are all that is left to do.
            outputs.note(outputs.noted, outputs.counts, done=True)
        _rename(parts, targets)


def forget(output: Path) -> None:
    """Remove the journal of an output that is complete, so that the next run begins anew."""
    _beside(output.resolve(), "journal").unlink(missing_ok=True)


def left_by_a_run(output: Path, rejects: Path) -> list[Path]:
    """Name the hidden files of a run with --resume that did not end."""
    names = [_beside(output.resolve(), "journal"), *(_beside(path.resolve(), "part") for path in (output, rejects))]
    return [path for path in names if path.exists()]


def discard(output: Path, rejects: Path) -> None:
    """Remove what a run with --resume left that did not end, because the output is complete without it.

    Where a run is at it, everything stays.
    """
    left = left_by_a_run(output, rejects)
    try:
        with ExitStack() as stack:
            for path in left:
                stack.enter_context(only_one(path))
            for path in left:
                path.unlink()
    except OutputError:
        return


class _Resumed(Outputs):
    def __init__(
        self, files: list[BinaryIO], rejects: RejectsFile, journal: Journal, resumed: Checkpoint | None
    ) -> None:
        super().__init__(files[0], rejects, resumed)
        self._journal = journal
        self.noted = resumed.end if resumed else 0

    def advance(self, end: int, counts: Counts) -> None:
        if end - self.noted >= CHECKPOINT_BYTES:
            self.note(end, counts)

    def note(self, end: int, counts: Counts, done: bool = False) -> None:
        self.rejects.flush()
        for file in (self.output, self.rejects.file):
            file.flush()
            os.fsync(file.fileno())
        self._journal.note(Checkpoint(end, self.output.tell(), self.rejects.file.tell(), counts, done))
        self.noted = end


def _cut(files: list[BinaryIO], lengths: list[int]) -> bool:
    """Go on behind so many bytes of each file; returns False, and does nothing, if one of them has not so many."""
    if any(os.fstat(file.fileno()).st_size < length for file, length in zip(files, lengths, strict=True)):
        return False  # to cut it there would fill it up with zeros
    for file, length in zip(files, lengths, strict=True):
        file.truncate(length)
        file.seek(length)
    return True


def _are_there(parts: list[Path], targets: list[Path], lengths: list[int]) -> bool:
    """Whether each complete output is there, under one of its two names."""
    places = [part if part.exists() else target for part, target in zip(parts, targets, strict=True)]
    return all(place.is_file() and place.stat().st_size == size for place, size in zip(places, lengths, strict=True))


def _rename(parts: list[Path], targets: list[Path]) -> None:
    for part, target in reversed(list(zip(parts, targets, strict=True))):
        if part.exists():  # otherwise a run that was killed has renamed it
            part.chmod(mode_of(target))
            part.replace(target)


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f".{target.name}.{what}")
