"""The rows of a table by subscriber: who trains, who tests, and who is drawn again by a bootstrap are subscribers.

Where a table does not say whose month a row is, every row counts as a subscriber of its own.
"""

import re
import shlex
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.data.cells import readable
from plan_recommender.data.csv_table import LabelledTable, RowNumbers, TextColumn

_ID_NAMES: Final = frozenset(
    {"id", "subscriber", "subscriberid", "subscribers", "customer", "customerid", "client", "clientid", "user",
     "userid", "account", "accountid", "contract", "contractid", "msisdn", "imsi", "phone", "phonenumber", "abonado",
     "idabonado", "cliente", "idcliente", "usuario", "idusuario", "suscriptor", "linea", "telefono", "numero"}
)  # fmt: skip
"""Names of columns that say whose month a row is, in lower case without other signs."""

_DECIMAL: Final = re.compile(r"[0-9]*[.,][0-9]+")
_MIN_IDS: Final = 20
_MIN_ROWS_EACH: Final = 1.5
_MAX_ROWS_EACH: Final = 60.0  # five years of months
_MIN_AGREEMENT: Final = 0.5
"""Of labels; where people hardly ever change their plan it is nearly 1 for an id."""

_Labels = npt.NDArray[np.int64]


class Subscribers:
    """Who the rows of a table belong to."""

    of_row: RowNumbers
    """The subscriber of each row, from 0 without gaps, shape (rows,)."""
    labels: _Labels
    """The label of each subscriber, shape (subscribers,): 1 if at least half of the rows are Ultra."""

    def __init__(self, codes: RowNumbers | None, target: _Labels) -> None:
        """Take the subscribers of rows.

        Args:
            codes: any number for each subscriber, shape (rows,); None: every row is a subscriber of its own.
            target: labels, shape (rows,).
        """
        self.of_row = np.arange(len(target)) if codes is None else np.unique(codes, return_inverse=True)[1]
        ultra, rows = np.bincount(self.of_row, weights=target), np.bincount(self.of_row)
        self.labels = (2 * ultra >= rows).astype(np.int64)

    def rows_of(self, subscribers: npt.NDArray[np.int64]) -> RowNumbers:
        """Give the rows of some subscribers, one subscriber after the other, each one's rows in their order."""
        place = np.full(len(self.labels), -1)
        place[subscribers] = np.arange(len(subscribers))
        rows = np.flatnonzero(place[self.of_row] >= 0)
        return rows[np.argsort(place[self.of_row[rows]], kind="stable")]


def find_id_column(table: LabelledTable) -> str | None:
    """Find a column that seems to say whose month each row is; None if there is none, or nobody has two rows.

    It is a column that is called like an id and has values in more than one row. Otherwise it is one whose values
    behave like ids: they are many, each occurs in a few rows, and the rows of one value mostly have the same label.
    """
    repeating = {name: column for name, column in table.texts.items() if 1 < len(column.values) < len(table.target)}
    for name in repeating:
        if re.sub(r"[\W_]+", "", name.lower()) in _ID_NAMES:
            return name
    alike = {name: _label_agreement(column, table.target) for name, column in repeating.items() if _may_be_id(column)}
    best = max(alike, key=lambda name: alike[name], default=None)
    return best if best is not None and alike[best] >= _MIN_AGREEMENT else None


class Doubt(NamedTuple):
    """Why months of one subscriber may stand on both sides of a split."""

    sentence: str
    """Without its full stop; a column that helps is named with its option."""
    better: str | None
    """The column to name in place of the present one, or of none."""


def find_doubt(table: LabelledTable) -> Doubt | None:
    """Say why months of one subscriber may stand on both sides of a split of a table; None: nothing speaks for it.

    Without `groups`, another column seems to say whose month a row is. With it, no value of the column is in two rows,
    or another column says the same better: the labels of its rows agree more, and its rows have several values there.
    """
    rows = len(table.target)
    if table.groups is None:
        better = find_id_column(table)
        if better is None:
            return None
        return Doubt(
            f"{rows:,} rows of {len(table.texts[better].values):,} subscribers, as column {readable(better)!r} seems "
            "to say, are split at random: a model recognises a subscriber whose other months it was trained on, so "
            f"that every figure flatters it, and the wrong candidate may win; train with {groups_option(better)}",
            better,
        )
    named = table.texts[table.groups]
    others = {name: column for name, column in table.texts.items() if name != table.groups}
    better = find_id_column(replace(table, texts=others, groups=None))
    other = None if better is None else others[better]
    if len(named.values) == rows:
        alone = f"column {readable(table.groups)!r} has another value in each of the {rows:,} rows, as if no subscriber"
        if better is None or other is None:
            return Doubt(f"{alone} had two; where some have, another column has to say so", None)
        return Doubt(
            f"{alone} had two, but column {readable(better)!r} seems to say that they are of {len(other.values):,} "
            f"subscribers, who stand on both sides of the split; train with {groups_option(better)}",
            better,
        )
    if better is None or other is None or not _says_it_better(other, named, table.target):
        return None
    return Doubt(
        f"column {readable(table.groups)!r}, with {len(named.values):,} values, seems to say less well whose month a "
        f"row is than column {readable(better)!r}, with {len(other.values):,}, whose subscribers stand on both sides "
        f"of the split; train with {groups_option(better)}",
        better,
    )


def groups_option(column: str) -> str:
    """Write the option that names a column, as a shell reads it."""
    return f"--groups {shlex.quote(column) if column.isprintable() else readable(column)}"


def _says_it_better(other: TextColumn, named: TextColumn, target: _Labels) -> bool:
    pairs = np.unique(np.column_stack([other.codes, named.codes]), axis=0)
    apart = len(pairs) > len(other.values)
    return apart and _label_agreement(other, target) > _label_agreement(named, target)


def _may_be_id(column: TextColumn) -> bool:
    rows_each = len(column.codes) / len(column.values)
    if "" in column.values or len(column.values) < _MIN_IDS or not _MIN_ROWS_EACH <= rows_each <= _MAX_ROWS_EACH:
        return False
    return not all(_DECIMAL.fullmatch(value) for value in column.values)  # amounts repeat too, and are no ids


def _label_agreement(column: TextColumn, target: _Labels) -> float:
    """The intraclass correlation of the label in rows of one value: 0 if values mean nothing, 1 if it never differs."""
    rows, ultra = np.bincount(column.codes), np.bincount(column.codes, weights=target)
    pairs = float(np.sum(rows * (rows - 1.0)))
    share = float(target.mean())
    if pairs == 0 or share in (0.0, 1.0):
        return 0.0
    deviations = ultra - rows * share
    within = float(np.sum(deviations**2)) - float(np.sum((target - share) ** 2))
    return within / pairs / (share * (1 - share))
