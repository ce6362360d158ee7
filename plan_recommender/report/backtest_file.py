"""A table of months backtested into a page: what the advice, and other rules, would have cost."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from plan_recommender.billing.advice import Adviser
from plan_recommender.data.month_intake import Intake, take_in
from plan_recommender.data.month_spill import History, spilled_months
from plan_recommender.data.outputs import replacing
from plan_recommender.data.table_output import REJECT_COLUMNS, replacing_text
from plan_recommender.data.table_reader import TableReader
from plan_recommender.errors import TableError
from plan_recommender.evaluation.backtest import backtest
from plan_recommender.model.digests import sha256
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.model.store import RegisteredModel
from plan_recommender.report.backtest_page import backtest_table, render_backtest


class Backtested(NamedTuple):
    """What became of the rows, and what was found."""

    intake: Intake
    said: str
    """For the terminal."""
    in_sample: bool
    """Whether the model has learned from these months how usage varies."""


def backtest_file(
    table: TableReader,
    report_path: Path,
    rejects_path: Path,
    adviser: Adviser,
    model: RegisteredModel,
    usual: ReferenceProfile | None,
) -> Backtested:
    """Backtest on an open table, into a page and a table of rejects, which appear when both are complete.

    Raises:
        TableError: the table cannot be read or has no month to bill, or its first rows look mistaken beside `usual`.
        OutputError: a file cannot be written.
    """
    tariffs = adviser.tariffs
    with (
        replacing(report_path) as report,
        replacing_text(rejects_path, table, [*REJECT_COLUMNS, *table.header]) as rejects,
        spilled_months(report_path) as spill,
    ):
        intake = take_in(table, tariffs.names, spill, rejects, usual, rounds_calls=tariffs.rounds_calls)
        try:
            found = backtest(_shown(spill.histories()), adviser, model.record.seed)
        except TableError as error:
            rejected = (
                f"; {intake.rejected:,} of {intake.rows:,} rows were rejected, the first: {intake.first_reject}"
                if intake.rejected
                else ""
            )
            raise TableError(f"{table.path}: {error}{rejected}") from error
        in_sample = table.path.is_file() and sha256(table.path) == model.record.months.sha256
        report.write(render_backtest(found, tariffs, model.tag, model.record, table.path.name, in_sample))
    left_out = f", {found.without_plan:,} left out because no plan was known before them" if found.without_plan else ""
    said = (
        f"{found.cases:,} whole months of {found.subscribers:,} subscribers billed after advice from the months before"
        f"{left_out}\n{backtest_table(found, tariffs)}\n{report_path}: the same, with pictures"
    )
    return Backtested(intake, said, in_sample)


def _shown(histories: Iterator[History]) -> Iterator[History]:
    """Show the progress on a terminal."""
    yield from tqdm(histories, unit=" subscribers", unit_scale=True, disable=None, leave=False)
