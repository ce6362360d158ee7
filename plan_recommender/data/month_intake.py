"""Take a whole table of months in: every row goes to the spill or, with its reason, to the rejects."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from plan_recommender.config.table_format import MonthsFormat, TableFormat
from plan_recommender.data.cells import Row, fitted
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.month_rows import MonthReader
from plan_recommender.data.month_spill import History, MonthSpill, spilled_months
from plan_recommender.data.plausibility import refuse_mistakes
from plan_recommender.data.table_file import open_table
from plan_recommender.data.table_reader import TableReader
from plan_recommender.errors import TableError
from plan_recommender.model.profile import ReferenceProfile


@dataclass
class Intake:
    """How many rows a table had, and what became of them."""

    rows: int = 0
    rejected: int = 0
    first_reject: str | None = None


def take_in(
    table: TableReader,
    plans: Sequence[str],
    spill: MonthSpill,
    rejects: TextIO,
    usual: ReferenceProfile | None,
    *,
    rounds_calls: bool = False,
) -> Intake:
    """Read an open table to its end.

    Rejects are written in the order of the table: the number of the row, the reason, and the row's own cells. Of two
    rows for the same month of a subscriber, the later one is rejected.

    Args:
        table: just opened.
        plans: names of the plans, in the order of the tariffs.
        spill: takes the months.
        rejects: takes the other rows; it has its header.
        usual: what the first rows are compared with; None: nothing.
        rounds_calls: whether the tariffs round each call up, so that billed minutes have to fit the calls.

    Raises:
        TableError: the table lacks a column or seems to have it under another name, has no row, cannot be read to its
            end, or its first rows look mistaken beside what is usual.
    """
    reader = MonthReader(table, plans, rounds_calls=rounds_calls)
    intake = Intake()
    with tqdm(unit=" rows", unit_scale=True, disable=None, leave=False) as progress:
        for chunk in table.chunks():
            if not intake.rows:
                reader.require_plans_read(chunk.rows)
            divided = reader.divide(chunk.rows)
            if usual is not None and not intake.rows:
                refuse_mistakes(table.path, divided.features(), usual)
            reasons = dict(divided.reasons)
            for i, month in divided.months.items():
                earlier = spill.add(intake.rows + 1 + i, month)
                if earlier is not None:
                    found = f"{month.month // 12:04}-{month.month % 12 + 1:02} again, which is in row {earlier}"
                    reasons[i] = f"month: expected each month of a subscriber once, found {found}"
            rejected: list[Row] = [
                [str(intake.rows + 1 + i), reasons[i], *fitted(chunk.rows[i], len(table.header))]
                for i in sorted(reasons)
            ]
            write_rows(rejects, rejected, table.format.sep)
            if rejected and intake.first_reject is None:
                intake.first_reject = f"row {rejected[0][0]}, {rejected[0][1]}"
            intake.rows += len(chunk)
            intake.rejected += len(rejected)
            progress.update(len(chunk))
    if not intake.rows:
        raise TableError(f"{table.path}: expected at least one row after the header, found none")
    return intake


def read_histories(
    path: Path, plans: Sequence[str], *, rounds_calls: bool = False, format: TableFormat | None = None
) -> list[History]:
    """Read all months of all subscribers into memory, sorted by the bytes of the subscriber's name.

    Args:
        path: of the table; a temporary folder is made beside it, and removed.
        plans: names of the plans, in the order of the tariffs.
        rounds_calls: whether the tariffs round each call up, so that billed minutes have to fit the calls.
        format: how the table is written; None: as usual.

    Raises:
        TableError: the table cannot be read, or a row is no month.
        OutputError: there is no room for the temporary folder.
    """
    with open_table(path, format or MonthsFormat()) as table, spilled_months(path) as spill:
        intake = take_in(table, plans, spill, StringIO(), None, rounds_calls=rounds_calls)
        if intake.first_reject is not None:
            raise TableError(
                f"{path}: expected months only, found {intake.rejected:,} other rows: {intake.first_reject}"
            )
        return list(spill.histories())
