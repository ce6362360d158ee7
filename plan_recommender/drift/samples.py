"""Read a sample to compare: a table, or a folder of the service's prediction log."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.csv_table import TextColumn, read_usage
from plan_recommender.data.prediction_log import LoggedPredictions, read_log
from plan_recommender.data.table_options import AS_USUAL
from plan_recommender.drift.design_effect import Subscribers
from plan_recommender.errors import ConfigError, TableError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

_REFERENCE: Final = "reference"


class SampleFile(NamedTuple):
    """A sample, as it was read."""

    path: Path
    features: FeatureMatrix
    """Shape (rows, features that were asked for), NaN where a value is missing."""
    subscribers: Subscribers | None
    """Whose each row is, shape (rows,)."""
    texts: Mapping[str, TextColumn]
    """Every other column of a table; empty for a log."""
    log: LoggedPredictions | None
    """The predictions that it was taken from; None: it is a table."""


def read_sample(
    path: Path,
    names: Sequence[str] = FEATURE_NAMES,
    groups: str | None = None,
    format: TableFormat = AS_USUAL,
    since: datetime | None = None,
    until: datetime | None = None,
) -> SampleFile:
    """Read a sample.

    Args:
        path: of a table, or of a folder with files of the prediction log.
        names: of the features.
        groups: column that says whose month a row is; of a log it can be `reference` only. None: it is not known.
        format: how a table is written.
        since: time from which predictions of a log count; None: from the first on.
        until: time before which they count; None: to the last.

    Raises:
        ConfigError: a time is given for a table, whose rows have none, or a log has no column of that name.
        TableError: the table cannot be read, or the log has no prediction in this time.
    """
    if path.is_dir():
        log = read_log(path, since, until)
        features = log.features[:, [FEATURE_NAMES.index(name) for name in names]]
        return SampleFile(path, features, None if groups is None else _by_reference(groups, log, path), {}, log)
    if since is not None or until is not None:
        raise ConfigError(
            f"--since and --until: expected a folder of the prediction log with them, found {path}, whose rows have no "
            "time; leave them out"
        )
    features, texts = read_usage(path, names, [] if groups is None else [groups], format)
    return SampleFile(
        path, features, None if groups is None else _subscribers(groups, texts[groups], path), texts, None
    )


def _subscribers(groups: str, column: TextColumn, path: Path) -> Subscribers:
    if "" in column.values:
        empty = np.flatnonzero(column.cells == "")
        raise TableError(
            f"{path}: expected the subscriber of every row in column {groups!r} (--groups), found {len(empty):,} empty "
            f"cells, the first in row {empty[0] + 1} (rows are counted from 1 after the header)"
        )
    return column.codes


def _by_reference(groups: str, log: LoggedPredictions, path: Path) -> Subscribers:
    """Number the callers' references; a prediction without one is of a subscriber of its own."""
    if groups != _REFERENCE:
        raise ConfigError(f"--groups: expected {_REFERENCE!r} for the prediction log {path}, found {groups!r}")
    numbers: dict[str, int] = {}
    return np.array(
        [
            len(log.references) + row if reference is None else numbers.setdefault(reference, len(numbers))
            for row, reference in enumerate(log.references)
        ],
        dtype=np.int64,
    )
