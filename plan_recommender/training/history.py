"""The history of retrainings: one line a run of retrain.py, whatever became of it.

The file is beside the folder of the artifacts, as JSON objects, one a line. Lines are only ever added, in one write.
The file is also the lock: while a run holds it, another one does not begin.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plan_recommender.data.outputs import writing
from plan_recommender.errors import OutputError

HISTORY_FILE = "retraining.jsonl"
"""Beside the folder of the artifacts; one JSON object a line."""

Outcome = Literal["registered", "refused", "no reason", "same data", "undecided"]


class Retraining(BaseModel):
    """A run of retrain.py; a figure is None where the run ended before it was measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str
    data: str = Field(description="name of the table's file")
    sha256: str | None = None
    rows: int | None = None
    subscribers: int | None = Field(default=None, description="None also if the table does not say who they are")
    run: str | None = Field(default=None, description="digest of all that decides the result, beside the champion")
    always: bool = False
    drift: str | None = None
    drifted: list[str] = []
    champion: str | None = Field(default=None, description="tag of the model that `:latest` named before")
    model: str | None = Field(default=None, description="tag of the model that was registered")
    fresh_rows: int | None = Field(default=None, description="on which both were measured")
    champion_brier: float | None = None
    model_brier: float | None = None
    difference_low: float | None = Field(default=None, description="of the interval of the difference, new less old")
    difference_high: float | None = None
    outcome: Outcome
    reason: str


def begin(data: Path, always: bool) -> Retraining:
    """Describe a run that begins now: undecided, as long as nothing is known about it."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Retraining(at=at, data=data.name, always=always, outcome="undecided", reason="")


def file_beside(artifacts: Path) -> Path:
    """Give the path of the history beside a folder of artifacts; a symbolic link to that folder is followed."""
    return artifacts.resolve().parent / HISTORY_FILE


def read(path: Path) -> list[Retraining]:
    """Read a history, the latest run last; none if there is no file.

    A damaged line, or one of another version, is left out.

    Raises:
        OutputError: the file cannot be read.
    """
    found = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    except OSError as error:
        raise OutputError(f"{path}: expected a history that can be read, found: {error.strerror}") from error
    for line in lines:
        try:
            found.append(Retraining.model_validate(json.loads(line)))
        except (ValueError, ValidationError):
            continue
    return found


def append(path: Path, run: Retraining) -> None:
    """Add a line to a history. What a killed run or a full disk left of a line before stays a line of its own.

    Raises:
        OutputError: it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 1))
            torn = size > 0 and file.read(1) != b"\n"
            file.write((b"\n" if torn else b"") + run.model_dump_json(exclude_none=True).encode() + b"\n")


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the history during the block, so that no other retraining begins.

    Raises:
        OutputError: another run holds it, or it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"{path}: expected no other retraining with this history, found one under way; wait until it has ended"
            ) from error
        yield


def finished_before(earlier: list[Retraining], new: Retraining) -> Retraining | None:
    """Find the run that decided about the same data with the same settings beside the same champion; None: none did.

    A run that found no reason to train decides nothing for one that trains always.
    """
    for run in reversed(earlier):
        same = run.run is not None and run.run == new.run and run.champion == new.champion
        if same and (run.outcome in ("registered", "refused") or (run.outcome == "no reason" and not new.always)):
            return run
    return None
