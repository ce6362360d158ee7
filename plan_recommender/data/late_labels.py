"""Read plans that became known later: a table with the reference of a prediction, and the plan that turned out."""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import shortened, wrong_width
from plan_recommender.data.csv_table import EXPECTED_LABEL, parse_labels
from plan_recommender.data.table_file import open_table
from plan_recommender.data.table_options import AS_USUAL
from plan_recommender.errors import TableError
from plan_recommender.model.features import TARGET

REFERENCE: Final = "reference"
SUBSCRIBER: Final = "subscriber"


class KnownPlan(NamedTuple):
    """The plan that turned out for a reference."""

    is_ultra: int
    subscriber: str
    """Whose plan it is; empty if the table does not say."""


class LateLabels(NamedTuple):
    """The labels of a table by their references, and what else its rows were."""

    path: Path
    rows: int
    plans: dict[str, KnownPlan]
    """Without the references that have conflicting labels."""
    conflicting: list[str]
    """References with both labels, in the order of the table."""
    repeated: int
    """Rows that say again what an earlier row says."""
    unlabelled: int
    """Rows without a label, whose plan is not known yet."""
    nameless: int
    """Rows with a label and without a reference."""


def read_late_labels(path: Path, subscriber: str | None = None, format: TableFormat = AS_USUAL) -> LateLabels:
    """Read a table of labels.

    Args:
        path: of the file.
        subscriber: column that says whose plan it is; None: the column `subscriber`, if the table has it.
        format: how the file is written, and in which of its columns the label is.

    Raises:
        TableError: the file cannot be read, lacks a column, or has a label that is none.
    """
    plans: dict[str, KnownPlan] = {}
    conflicting: dict[str, None] = {}
    rows = repeated = unlabelled = nameless = 0
    with open_table(path, format) as table:
        if subscriber is None and [name.strip() for name in table.header].count(SUBSCRIBER) == 1:
            subscriber = SUBSCRIBER
        columns = [REFERENCE, format.column(TARGET), *([] if subscriber is None else [subscriber])]
        places = table.positions(columns)
        for chunk in table.chunks():
            for number, row in enumerate(chunk.rows, rows + 1):
                if len(row) != len(table.header):
                    raise TableError(f"{path}: row {number}: {wrong_width(row, len(table.header))}")
            labels, wrong = parse_labels([row[places[1]] for row in chunk.rows], format.decimal)
            empty = np.array([not row[places[1]].strip() for row in chunk.rows])
            if (wrong & ~empty).any():
                first = int(np.flatnonzero(wrong & ~empty)[0])
                raise TableError(
                    f"{path}: column {columns[1]!r}, row {rows + first + 1}: {EXPECTED_LABEL}, or an empty cell where "
                    f"it is not known, found {shortened(chunk.rows[first][places[1]])} (rows are counted from 1 after "
                    "the header)"
                )
            rows += len(chunk.rows)
            for row, label, unknown in zip(chunk.rows, labels.tolist(), empty.tolist(), strict=True):
                reference = row[places[0]].strip()
                if unknown or not reference:
                    unlabelled += unknown
                    nameless += not unknown
                    continue
                found = KnownPlan(int(label), row[places[2]].strip() if subscriber is not None else "")
                before = plans.setdefault(reference, found)
                if before is found:
                    continue
                if before.is_ultra == found.is_ultra:
                    repeated += 1
                else:
                    conflicting[reference] = None
    for reference in conflicting:
        del plans[reference]
    return LateLabels(path, rows, plans, list(conflicting), repeated, unlabelled, nameless)
