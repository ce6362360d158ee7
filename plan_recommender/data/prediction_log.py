"""Read a folder of the service's prediction log: what was predicted, when, by which model, and for which reference."""

from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from plan_recommender.data.csv_table import TextColumn
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.prediction_line import LOG_FILES, PredictionLine


class LeftOut(NamedTuple):
    """Lines of the files that are no predictions to count."""

    torn: int
    """Last lines that break off, as a worker leaves them that was killed while it wrote."""
    damaged: int
    """Other lines that are not lines of the log."""
    first_damaged: str
    """Where the first of these stands; empty if there is none."""
    repeated: int
    """Lines whose prediction an earlier line has already, as in a file that was copied into the folder."""


class LoggedPredictions(NamedTuple):
    """The predictions of a folder, in the order of its files; arrays without a shape here are (predictions,)."""

    folder: Path
    times: npt.NDArray[np.float64]
    """In Unix time."""
    models: TextColumn
    """Tags of the models that answered."""
    features: FeatureMatrix
    """Shape (predictions, 4)."""
    probabilities: npt.NDArray[np.float64]
    """Of Ultra."""
    predictions: npt.NDArray[np.int64]
    references: list[str | None]
    left_out: LeftOut

    @property
    def sentence(self) -> str:
        """Say what was read, and what was left out."""
        first, last = (datetime.fromtimestamp(t, UTC) for t in (self.times.min(), self.times.max()))
        models = len(self.models.values)
        parts = [
            f"{self.folder}: {_counted(len(self.times), 'prediction')} by {_counted(models, 'model')}, from "
            f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
        ]
        left = self.left_out
        if left.torn:
            parts.append(f"left out {_counted(left.torn, 'last line')} that break{'s' * (left.torn == 1)} off")
        if left.damaged:
            parts.append(f"left out {_counted(left.damaged, 'damaged line')}, the first in {left.first_damaged}")
        if left.repeated:
            parts.append(f"left out {_counted(left.repeated, 'line')} with an id that an earlier line has")
        return "; ".join(parts)


def read_log(folder: Path, since: datetime | None = None, until: datetime | None = None) -> LoggedPredictions:
    """Read all files of a prediction log, also while the service writes to them.

    Args:
        folder: that the service writes its log to.
        since: time from which predictions count; None: from the first on.
        until: time before which they count; None: to the last.

    Raises:
        TableError: the folder has no file of a log, or no prediction in this time.
    """
    files = sorted(folder.glob(LOG_FILES))
    if not files:
        raise TableError(f"{folder}: expected files {LOG_FILES} of the service's prediction log, found none")
    start, end = (None if moment is None else moment.timestamp() for moment in (since, until))
    columns = _Columns()
    for file in files:
        for line in columns.lines_of(file):
            at = line.time.timestamp()
            if (start is None or at >= start) and (end is None or at < end):
                columns.add(line, at)
    if not columns.times:
        limits = [f" {word} {moment.isoformat()}" for word, moment in (("since", since), ("until", until)) if moment]
        raise TableError(
            f"{folder}: expected at least one prediction{''.join(limits)}, found none in {_counted(len(files), 'file')}"
        )
    return columns.predictions(folder)


class _Columns:
    """Collects lines as columns: as objects they would take ten times the memory."""

    def __init__(self) -> None:
        self.times = array("d")
        self._numbers = array("d")  # features and probability
        self._predictions = array("b")
        self._keys = array("q")  # of the ids; that two of a billion different ids share one has a chance of 3 %
        self._codes = array("q")
        self._code_of: dict[str, int] = {}
        self._references: list[str | None] = []
        self._torn = self._damaged = 0
        self._first_damaged = ""

    def lines_of(self, path: Path) -> Iterator[PredictionLine]:
        """Yield the lines of a file that are whole, and count the others."""
        try:
            file = path.open("rb")
        except FileNotFoundError:  # the service has just deleted it, as the oldest
            return
        with file:
            for number, line in enumerate(file, 1):
                try:
                    yield PredictionLine.model_validate_json(line)
                except ValidationError:
                    if line.endswith(b"\n"):
                        self._damaged += 1
                        self._first_damaged = self._first_damaged or f"line {number:,} of {path.name}"
                    else:
                        self._torn += 1

    def add(self, line: PredictionLine, at: float) -> None:
        self.times.append(at)
        self._numbers.extend((line.calls, line.minutes, line.messages, line.mb_used, line.probability_is_ultra))
        self._predictions.append(line.prediction)
        self._keys.append(hash(line.id))
        self._codes.append(self._code_of.setdefault(line.model, len(self._code_of)))
        self._references.append(line.reference)

    def predictions(self, folder: Path) -> LoggedPredictions:
        """Give all of them, each once."""
        kept = np.sort(np.unique(np.frombuffer(self._keys, np.int64), return_index=True)[1])
        repeated = len(self.times) - len(kept)
        numbers = np.frombuffer(self._numbers, np.float64).reshape(-1, len(FEATURE_NAMES) + 1)[kept]
        return LoggedPredictions(
            folder=folder,
            times=np.frombuffer(self.times, np.float64)[kept],
            models=TextColumn(np.frombuffer(self._codes, np.int64)[kept], tuple(self._code_of)),
            features=numbers[:, :-1],
            probabilities=numbers[:, -1],
            predictions=np.frombuffer(self._predictions, np.int8)[kept].astype(np.int64),
            references=self._references if not repeated else [self._references[i] for i in kept],
            left_out=LeftOut(self._torn, self._damaged, self._first_damaged, repeated),
        )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
