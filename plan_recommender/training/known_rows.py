"""Which rows of a table a model was trained on: by usage and label, and by the numbers of subscribers."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.model.store import RegisteredModel
from plan_recommender.training.split import KEYS_A_SUBSCRIBER, row_keys, subscriber_keys


class Seen(NamedTuple):
    """How many rows of a table a model was trained on."""

    rows: int
    """By usage and label, which tell a row for certain."""
    by_number: int
    """Others, whose subscriber has a number that it was trained on: of another table it may be another person's."""

    @property
    def total(self) -> int:
        """Rows of either kind."""
        return self.rows + self.by_number


def seen_by(model: RegisteredModel, table: LabelledTable) -> npt.NDArray[np.bool_]:
    """Tell which rows belong to the training part of a model, or to one of its subscribers, as far as is known.

    Shape (rows,). Of subscribers that it was not trained on, about one in 32 is taken for one that it was.

    Raises:
        ModelError: a file of the model is missing or was altered.
    """
    seen = _trained_on(model, table)
    if table.subscribers is None:
        return seen
    return np.isin(table.subscribers, table.subscribers[seen | _has_known_key(model, table)])


def count_seen(model: RegisteredModel, table: LabelledTable) -> Seen:
    """Count the rows that `seen_by` tells, but leave out subscribers whose keys are known as often as by chance.

    Raises:
        ModelError: a file of the model is missing or was altered.
    """
    seen = _trained_on(model, table)
    rows = int(seen.sum())
    if table.subscribers is None:
        return Seen(rows, 0)
    known = len(np.unique(table.subscribers[_has_known_key(model, table)]))
    by_chance = len(np.unique(table.subscribers)) / KEYS_A_SUBSCRIBER
    if known > by_chance + 3 * math.sqrt(by_chance):
        return Seen(rows, int(seen_by(model, table).sum()) - rows)
    return Seen(rows, int(np.isin(table.subscribers, table.subscribers[seen]).sum()) - rows)


def _trained_on(model: RegisteredModel, table: LabelledTable) -> npt.NDArray[np.bool_]:
    return np.isin(row_keys(table), model.training_rows())


def _has_known_key(model: RegisteredModel, table: LabelledTable) -> npt.NDArray[np.bool_]:
    trained_on = model.record.data.training_subscribers
    if not trained_on:
        return np.zeros(len(table.target), dtype=np.bool_)
    return np.isin(subscriber_keys(table, trained_on), model.training_subscribers())
