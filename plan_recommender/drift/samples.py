"""Read a sample to compare: a table, or a folder of the service's prediction log."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.csv_table import read_features
from plan_recommender.data.prediction_log import LoggedPredictions, read_log
from plan_recommender.data.table_options import AS_USUAL
from plan_recommender.errors import ConfigError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix


class Sample(NamedTuple):
    """A sample, and what else is known of it."""

    features: FeatureMatrix
    """Shape (rows, features that were asked for), NaN where a value is missing."""
    log: LoggedPredictions | None
    """The predictions that it was taken from; None: it is a table."""


def read_sample(
    path: Path,
    names: Sequence[str] = FEATURE_NAMES,
    format: TableFormat = AS_USUAL,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Sample:
    """Read features of a sample.

    Args:
        path: of a table, or of a folder with files of the prediction log.
        names: of the features.
        format: how a table is written.
        since: time from which predictions of a log count; None: from the first on.
        until: time before which they count; None: to the last.

    Raises:
        ConfigError: a time is given for a table, whose rows have none.
        TableError: the table cannot be read, or the log has no prediction in this time.
    """
    if path.is_dir():
        log = read_log(path, since, until)
        return Sample(log.features[:, [FEATURE_NAMES.index(name) for name in names]], log)
    if since is not None or until is not None:
        raise ConfigError(
            f"--since and --until: expected a folder of the prediction log with them, found {path}, whose rows have no "
            "time; leave them out"
        )
    return Sample(read_features(path, names, format), None)
