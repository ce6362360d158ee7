"""Which rows train and which test."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from plan_recommender.errors import TableError
from plan_recommender.evaluation import Labels
from plan_recommender.table import LabelledTable


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
