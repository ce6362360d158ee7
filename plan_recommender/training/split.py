"""Which rows of a table train a model and which test it, and by what a row is recognised later."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable, RowNumbers
from plan_recommender.errors import TableError

RowKeys = npt.NDArray[np.uint64]
"""A 64-bit hash of each row's usage and label, shape (rows,)."""


@dataclass(frozen=True)
class Split:
    """The rows of a table in two parts: every row is in one of them."""

    training: RowNumbers
    test: RowNumbers


def split_table(table: LabelledTable, test_share: float, seed: int) -> Split:
    """Divide a table at random, stratified by the label; the same arguments give the same parts.

    Args:
        table: the labelled table.
        test_share: share of the rows (0 to 1) that go to the test part.
        seed: of the division.

    Raises:
        TableError: the table has too few rows of a label for both parts to hold both labels.
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
    """Give the rows of the training part on which candidates are compared: at most `selection.max_rows`.

    Of a larger part it is a random sample, stratified by the label: the time of a cross-validation grows with the rows,
    while its intervals are narrow enough long before that.
    """
    max_rows = settings.selection.max_rows
    if len(training.target) <= max_rows:
        return training
    sample, _ = train_test_split(
        np.arange(len(training.target)), train_size=max_rows, random_state=settings.seed, stratify=training.target
    )
    return training.take(sample)


def row_keys(table: LabelledTable) -> RowKeys:
    """Hash the usage and the label of every row; a model keeps the keys of the rows that it was trained on.

    Rows with the same usage and label have the same key, so that a repeated row counts as seen in training.
    """
    rows = pd.DataFrame(np.column_stack([table.features, table.target]) + 0.0)  # makes 0.0 of -0.0, whose bits differ
    return np.asarray(pd.util.hash_pandas_object(rows, index=False), dtype=np.uint64)
