"""The months of a table of any size and order, subscriber by subscriber, with little memory.

The months are written to a temporary file: a table of SQLite, which keeps them sorted by subscriber and month while
they come. Only a fixed number of its pages is in memory.
"""

import itertools
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

from plan_recommender.billing.forecast import MAX_MONTHS, Month
from plan_recommender.data.month_rows import MonthRow
from plan_recommender.errors import OutputError

_CACHE_KB: Final = 32 * 1024

_SET_UP: Final = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -{_CACHE_KB};
CREATE TABLE months (
  subscriber BLOB, month INTEGER, row INTEGER, plan INTEGER,
  calls REAL, minutes REAL, messages REAL, mb_used REAL, billed_minutes REAL, active_share REAL,
  PRIMARY KEY (subscriber, month)
) WITHOUT ROWID;
BEGIN;
"""
_INSERT: Final = "INSERT INTO months VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_FIND: Final = "SELECT row FROM months WHERE subscriber = ? AND month = ?"
_IN_ORDER: Final = """
SELECT subscriber, month, plan, calls, minutes, messages, mb_used, billed_minutes, active_share
FROM months ORDER BY subscriber, month
"""


class History(NamedTuple):
    """All months of one subscriber, the earliest first, each calendar month at most once."""

    subscriber: str
    months: list[int]
    """Calendar months since the year 0."""
    plans: list[int | None]
    """The plan held in each, as its place in the tariffs; None: not known."""
    used: list[Month]

    def before(self, place: int) -> tuple[int | None, list[Month]]:
        """Give what is known before a month: the plan that was named last, and at most `MAX_MONTHS` months.

        Args:
            place: of the month in the lists; their length for the month that is to come.
        """
        held = next((plan for plan in reversed(self.plans[:place]) if plan is not None), None)
        return held, self.used[max(0, place - MAX_MONTHS) : place]


class MonthSpill:
    """Months in a temporary file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()

    def add(self, row: int, month: MonthRow) -> int | None:
        """Add a month, and return None; if the subscriber already has that month, return the row that holds it."""
        subscriber = month.subscriber.encode(errors="surrogateescape")
        self._cursor.execute(_INSERT, (subscriber, month.month, row, month.plan, *month.used))
        if self._cursor.rowcount:
            return None
        (earlier,) = self._cursor.execute(_FIND, (subscriber, month.month)).fetchone()
        return int(earlier)

    def histories(self) -> Iterator[History]:
        """Yield the months of every subscriber, sorted by the bytes of the subscriber's name."""
        rows = self._connection.execute(_IN_ORDER)
        for subscriber, months in itertools.groupby(rows, key=itemgetter(0)):
            listed = list(months)
            yield History(
                subscriber.decode(errors="surrogateescape"),
                [month for _, month, *_ in listed],
                [plan for _, _, plan, *_ in listed],
                [Month(*used) for _, _, _, *used in listed],
            )


@contextmanager
def spilled_months(beside: Path) -> Iterator[MonthSpill]:
    """Open an empty spill in a temporary folder beside a file; the folder is removed when the block ends.

    Raises:
        OutputError: the folder cannot be written, or there is too little room in it.
    """
    resolved = beside.resolve()
    try:
        resolved.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=resolved.parent, prefix=f".{resolved.name}.months.")
    except OSError as error:
        raise OutputError(f"{beside}: expected a folder that can be written, found: {error.strerror}") from error
    try:
        with folder as name, closing(sqlite3.connect(Path(name) / "months", isolation_level=None)) as connection:
            connection.executescript(_SET_UP)
            yield MonthSpill(connection)
    except sqlite3.Error as error:
        raise OutputError(f"{beside}: expected room beside it for a temporary file, found: {error}") from error
