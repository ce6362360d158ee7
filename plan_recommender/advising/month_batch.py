"""Months as record batches of Arrow: sorted by subscriber and month, with what is there twice taken out."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from plan_recommender.advising.arrays import arrow, numbers

USED: Final = ("calls", "minutes", "messages", "mb_used", "billed_minutes", "active_share")
"""What was used in a month, as columns of doubles; billed minutes that are not known are NaN."""

NO_PLAN: Final = -1

SCHEMA: Final = pa.schema(
    [
        ("subscriber", pa.binary()),  # without blanks around it
        ("month", pa.int32()),  # calendar months since the year 0
        ("place", pa.int64()),  # of the row: the number of its block times `BLOCK`, and its number in the block
        ("plan", pa.int16()),  # the plan held, as its place in the tariffs; or `NO_PLAN`
        *((name, pa.float64()) for name in USED),
    ]
)
"""Of a batch of months."""

BLOCK: Final = 1 << 32

_MONTHS: Final = 1 << 17
"""More than the months from the year 0 to 9999."""

Positions = npt.NDArray[np.int64]


class Sorted(NamedTuple):
    """Months sorted by the bytes of the subscriber, and by month; each month of a subscriber is there once."""

    batch: Any
    starts: Positions
    """Where the months of each subscriber begin, shape (subscribers,)."""
    again: Positions
    """Places of the rows whose month was there before, shape (rows left out, 2): each with the place of that row."""


def month_batch(
    subscribers: Any,
    months: npt.NDArray[np.int32],
    places: Positions,
    plans: npt.NDArray[np.int16],
    used: npt.NDArray[np.float64],
) -> Any:
    """Put columns together.

    Args:
        subscribers: an Arrow array of bytes.
        months: shape (rows,), as the next two.
        places: where each row stands in the table.
        plans: the plan held.
        used: shape (6, rows), in the order of `USED`.
    """
    columns = [arrow(months, pa.int32()), arrow(places, pa.int64()), arrow(plans, pa.int16())]
    columns += [arrow(values, pa.float64()) for values in used]
    return pa.RecordBatch.from_arrays([subscribers, *columns], schema=SCHEMA)


def with_places(batch: Any, places: Positions) -> Any:
    """Give a batch of months other places, shape (rows,)."""
    return batch.set_column(2, SCHEMA.field(2), arrow(places, pa.int64()))


def sorted_months(batch: Any) -> Sorted:
    """Sort months; of several rows for the same month of a subscriber the first one stays."""
    named = batch.column(0).dictionary_encode()
    by_name = numbers(pc.sort_indices(named.dictionary), np.uint64).astype(np.int64)
    rank = np.empty(len(by_name), np.int64)
    rank[by_name] = np.arange(len(by_name))
    keys = rank[numbers(named.indices, np.int32)] * _MONTHS + numbers(batch.column(1), np.int32)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    again = np.empty((0, 2), np.int64)
    if not first.all():
        places = numbers(batch.column(2), np.int64)[order]
        before = places[np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))]
        again = np.column_stack([places[~first], before[~first]])
        order, keys = order[first], keys[first]
    whose = keys // _MONTHS
    starts = np.flatnonzero(np.diff(whose, prepend=-1))
    return Sorted(batch.take(arrow(order, pa.int64())), starts, again)
