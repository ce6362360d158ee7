"""Which rows train a model and which test it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import TableError
from plan_recommender.evaluation.metrics import Labels

RowKeys = npt.NDArray[np.uint64]
"""One number a row, shape (rows,), the same for the same usage and label."""


@dataclass(frozen=True)
class Split:
    """Row numbers of the two parts of a table."""

    training: Labels
    test: Labels


def split_table(table: LabelledTable, test_share: float, seed: int) -> Split:
    """Divide a table at random, stratified by the label; the same arguments give the same parts.

    Raises:
        TableError: it is too small to leave both labels in both parts.
    """
    try:
        training, test = train_test_split(
            np.arange(len(table.target)), test_size=test_share, random_state=seed, stratify=table.target
        )
    except ValueError as error:
        raise TableError(f"{table.path}: expected enough rows of both labels to split, found: {error}") from error
    if any(len(np.unique(table.target[part])) < 2 for part in (training, test)):
        raise TableError(
            f"{table.path}: expected enough rows of both labels to split, found {int(table.target.sum()):,} Ultra of "
            f"{len(table.target):,} rows, which leaves a part with one label only"
        )
    return Split(training, test)


def compared_part(training: LabelledTable, settings: Settings) -> LabelledTable:
    """Give the rows of the training part that candidates are compared on: all, or a stratified sample of a large one.

    Cross-validation takes time in proportion to the rows; its intervals are narrow long before a table is large.
    """
    most = settings.selection.max_rows
    if len(training.target) <= most:
        return training
    sample, _ = train_test_split(
        np.arange(len(training.target)), train_size=most, random_state=settings.seed, stratify=training.target
    )
    return training.take(sample)


def row_keys(table: LabelledTable) -> RowKeys:
    """Give every row of a table its key, by which a row that a model was trained on is known again."""
    rows = pd.DataFrame(np.column_stack([table.features, table.target]) + 0.0)  # -0.0 is 0.0, and has other bits
    return np.asarray(pd.util.hash_pandas_object(rows, index=False), dtype=np.uint64)
