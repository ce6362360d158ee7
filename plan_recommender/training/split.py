"""Which rows of a table train a model and which test it, and by what a row is recognised later."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from plan_recommender.config.settings import Settings
from plan_recommender.data.cells import readable
from plan_recommender.data.csv_table import LabelledTable, RowNumbers
from plan_recommender.data.subscribers import Subscribers
from plan_recommender.errors import TableError

KEYS_A_SUBSCRIBER = 32
"""How many keys there are for each subscriber of a table, so that one in 32 others shares a key with one of them."""

RowKeys = npt.NDArray[np.uint64]
"""A 64-bit hash of each row's usage and label, shape (rows,)."""


@dataclass(frozen=True)
class Split:
    """The rows of a table in two parts: every row is in one of them."""

    training: RowNumbers
    test: RowNumbers


def split_table(table: LabelledTable, test_share: float, seed: int) -> Split:
    """Divide the subscribers of a table at random, stratified by their label; the same arguments give the same parts.

    All rows of one subscriber are in the same part.

    Args:
        table: the labelled table.
        test_share: share of the subscribers (0 to 1) that go to the test part.
        seed: of the division.

    Raises:
        TableError: the table has too few subscribers of a label for both parts to hold both labels.
    """
    everybody = Subscribers(table.subscribers, table.target)
    try:
        training, test = map(
            everybody.rows_of,
            train_test_split(
                np.arange(len(everybody.labels)), test_size=test_share, random_state=seed, stratify=everybody.labels
            ),
        )
    except ValueError as error:
        raise _too_few(table, everybody) from error
    if any(len(np.unique(table.target[part])) < 2 for part in (training, test)):
        raise _too_few(table, everybody)
    return Split(training, test)


def _too_few(table: LabelledTable, everybody: Subscribers) -> TableError:
    ultra = int(everybody.labels.sum())
    if table.groups is None:
        return TableError(
            f"{table.path}: expected enough rows of both labels to split, found {ultra:,} Ultra of "
            f"{len(table.target):,} rows, which leaves a part with one label only"
        )
    values = "1 value" if len(everybody.labels) == 1 else f"{len(everybody.labels):,} values"
    return TableError(
        f"{table.path}: expected many subscribers of both plans in column {readable(table.groups)!r} (--groups, "
        f"data.groups), found {values}, of which {ultra:,} mostly Ultra: a column that says whose month a row is has "
        "many"
    )


def compared_part(training: LabelledTable, settings: Settings) -> LabelledTable:
    """Give the rows of the training part on which candidates are compared: at most `selection.max_rows`.

    Of a larger part it is a random sample of subscribers, stratified by the label: the time of a cross-validation grows
    with the rows, while its intervals are narrow enough long before that.
    """
    share = settings.selection.max_rows / len(training.target)
    if share >= 1:
        return training
    everybody = Subscribers(training.subscribers, training.target)
    sample, _ = train_test_split(
        np.arange(len(everybody.labels)),
        train_size=round(share * len(everybody.labels)),
        random_state=settings.seed,
        stratify=everybody.labels,
    )
    return training.take(everybody.rows_of(sample))


def row_keys(table: LabelledTable) -> RowKeys:
    """Hash the usage and the label of every row; a model keeps the keys of the rows that it was trained on.

    Rows with the same usage and label have the same key, so that a repeated row counts as seen in training.
    """
    rows = pd.DataFrame(np.column_stack([table.features, table.target]) + 0.0)  # makes 0.0 of -0.0, whose bits differ
    return np.asarray(pd.util.hash_pandas_object(rows, index=False), dtype=np.uint64)


def subscriber_keys(table: LabelledTable, trained_on: int) -> RowKeys:
    """Give every row a key of its subscriber; a model keeps the keys of the subscribers that it was trained on.

    The keys are few: about one in 32 other subscribers is taken for one that was trained on, and left out of a
    comparison for nothing. In return, whoever tries all telephone numbers finds, for every subscriber of the table,
    thousands with the same key, and does not learn who was in it.

    Args:
        table: with `groups`.
        trained_on: number of subscribers in the training part of the model that keeps the keys.
    """
    assert table.groups is not None
    column = table.texts[table.groups]
    digests = [hashlib.sha256(name.encode()).digest()[:8] for name in column.values]
    keys = np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)
    return np.asarray((keys % np.uint64(KEYS_A_SUBSCRIBER * trained_on))[column.codes], dtype=np.uint64)
