"""What advise.py did on 2026-11-29, subscriber by subscriber: the reference for every later version.

This is its code of commit 4806f16: months put aside in SQLite, one `Adviser.advise` for each subscriber, and a row of
cells from that. `python -m tests.advising.hostile --against FOLDER` compares with that commit itself.
"""

from pathlib import Path

from plan_recommender.billing.advice import Adviser
from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.advice_table import AdviceTable
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.month_intake import Intake, take_in
from plan_recommender.data.month_spill import spilled_months
from plan_recommender.data.table_file import open_table
from plan_recommender.data.table_output import REJECT_COLUMNS, replacing_text
from plan_recommender.model.languages import Language


def advise(
    source: Path, output: Path, rejects: Path, adviser: Adviser, format: TableFormat, language: Language = "en"
) -> Intake:
    """Advise on a file; with SQLite, subscriber by subscriber."""
    tariffs = adviser.tariffs
    cells = AdviceTable(tariffs, adviser.policy, format.decimal, language=language)
    with (
        open_table(source, format) as table,
        replacing_text(output, table, cells.columns) as lines,
        replacing_text(rejects, table, [*REJECT_COLUMNS, *table.header]) as rejected,
        spilled_months(output) as spill,
    ):
        intake = take_in(table, tariffs.names, spill, rejected, None, rounds_calls=tariffs.rounds_calls)
        for history in spill.histories():
            held, months = history.before(len(history.used))
            write_rows(lines, [cells.row(history.subscriber, adviser.advise(held, months))], format.sep)
    return intake
