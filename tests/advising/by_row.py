"""What advise.py did on 2026-11-29, subscriber by subscriber: the reference for every later version.

This is its code of commit 4806f16: months put aside in SQLite, one `Adviser.advise` for each subscriber, and a row of
cells from that. `python -m tests.advising.hostile --against FOLDER` compares with that commit itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from plan_recommender.billing.advice import Advice, Adviser
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.billing.wording import sentence
from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.month_intake import Intake, take_in
from plan_recommender.data.month_spill import spilled_months
from plan_recommender.data.table_file import open_table
from plan_recommender.data.table_output import REJECT_COLUMNS, replacing_text
from plan_recommender.model.languages import Language

_OF_PLAN: Final = ("last", "expected", "low", "high")


def advise(
    source: Path, output: Path, rejects: Path, adviser: Adviser, format: TableFormat, language: Language = "en"
) -> Intake:
    """Advise on a file; with SQLite, subscriber by subscriber."""
    tariffs = adviser.tariffs
    with (
        open_table(source, format) as table,
        replacing_text(output, table, columns(tariffs)) as lines,
        replacing_text(rejects, table, [*REJECT_COLUMNS, *table.header]) as rejected,
        spilled_months(output) as spill,
    ):
        intake = take_in(table, tariffs.names, spill, rejected, None, rounds_calls=tariffs.rounds_calls)
        for history in spill.histories():
            held, months = history.before(len(history.used))
            row = row_of(history.subscriber, adviser.advise(held, months), adviser, format.decimal, language)
            write_rows(lines, [row], format.sep)
    return intake


def columns(tariffs: Tariffs) -> list[str]:
    """Name the columns."""
    return [
        "subscriber", "plan", "advice", "advised_plan", "expected_saving", "saving_low", "saving_high", "p_saves",
        *(f"{what}_{name.lower()}" for name in tariffs.names for what in _OF_PLAN),
        "estimated_minutes", "months", "reason",
    ]  # fmt: skip


def row_of(
    subscriber: str, advice: Advice, adviser: Adviser, decimal: str = ".", language: Language = "en"
) -> list[str]:
    """Write the advice to one subscriber."""
    tariffs = adviser.tariffs
    names, saving = tariffs.names, advice.saving

    def amounts(units: Sequence[int]) -> list[str]:
        return [_amount(amount, tariffs.decimals, decimal) for amount in units]

    of_plans = [
        (last.total, plan.expected, plan.low, plan.high)
        for last, plan in zip(advice.last_bills, advice.plans, strict=True)
    ]
    return [
        subscriber,
        "" if advice.held is None else names[advice.held],
        advice.kind,
        names[advice.advised],
        *amounts([saving.expected, saving.low, saving.high]),
        f"{saving.p_saves:.6g}".replace(".", decimal),
        *(cell for units in of_plans for cell in amounts(units)),
        "yes" if advice.estimated else "no",
        str(advice.months),
        sentence(advice, tariffs, adviser.policy, language),
    ]


def _amount(units: int, decimals: int, decimal: str) -> str:
    whole, rest = divmod(abs(units), 10**decimals)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}{decimal}{rest:0{decimals}d}" if decimals else f"{sign}{whole}"
