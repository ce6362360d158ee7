"""Compare bills with those of an operator, month by month, to the last unit.

usage: python -m tools.check_bills --months CSV --tariffs YAML --bills COLUMN [COLUMN ...]

The table has the four features, `billed_minutes` and `billed_gb` as the operator counted them, and a column with the
operator's bill on each plan, in the order of the tariffs.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.check_bills")

import argparse
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from plan_recommender import cli
from plan_recommender.billing.bill import Billed, Biller
from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.data.table_file import open_table
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES

_COUNTED = ("billed_minutes", "billed_gb")

_Usage = tuple[float, float, float, float]
"""In the order of the features."""


def main(arguments: list[str] | None = None) -> int:
    """Compare every month; returns 0 if all bills are the operator's, 1 if one is not."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.check_bills",
        description="Compare bills with those of an operator, month by month, to the last unit. Exit code 0: all are "
        "the same; 1: some are not.",
    )
    parser.add_argument("--months", type=Path, required=True, metavar="CSV", help="usage and bills of months")
    parser.add_argument("--tariffs", type=Path, required=True, metavar="YAML", help="what each plan costs")
    parser.add_argument(
        "--bills", nargs="+", required=True, metavar="COLUMN", help="the operator's bill on each plan of the tariffs"
    )
    options = parser.parse_args(arguments)
    tariffs = load_tariffs(options.tariffs)
    biller = Biller(tariffs)
    if len(options.bills) != len(tariffs.plans):
        parser.error(f"--bills: expected a column for each of {', '.join(tariffs.names)}, found {options.bills}")
    different, errors, mistaken = [], [], 0
    for number, usage, counted, expected in _months(options.months, options.bills):
        minutes, steps = counted
        exact = biller.billed(*usage, minutes)
        found = [bill.total for bill in biller.bills(Billed(exact.minutes, exact.messages, steps))]
        if [tariffs.units(amount) for amount in expected] != found:
            different.append(
                f"row {number}: expected {', '.join(map(str, expected))}, found "
                f"{', '.join(str(tariffs.amount(total)) for total in found)}"
            )
        estimated = [bill.total for bill in biller.bills(biller.billed(*usage))]
        errors.append(np.mean(np.abs(np.subtract(estimated, found))))
        mistaken += found[int(np.argmin(estimated))] != min(found)
    cli.say(f"{options.months}: {len(errors):,} months, {len(errors) - len(different):,} billed as the operator did")
    mean = float(np.mean(errors)) / 10**tariffs.decimals
    cli.say(f"from the sums alone: mean error {mean:.3f} {tariffs.currency}, a dearer plan taken for the cheapest in "
            f"{mistaken / len(errors):.2%}")  # fmt: skip
    for line in different[:10]:
        cli.warn(line)
    return cli.ANSWER_IS_NO if different else cli.DONE


def _months(path: Path, bills: list[str]) -> Iterator[tuple[int, _Usage, tuple[float, int], list[Decimal]]]:
    """Yield each month: its row, usage, what the operator counted, and the operator's bills (currency)."""
    number = 0
    with open_table(path) as table:
        positions = table.positions([*FEATURE_NAMES, *_COUNTED, *bills])
        for chunk in table.chunks():
            for row in chunk.rows:
                number += 1
                try:
                    cells = [Decimal(row[position]) for position in positions]
                except (InvalidOperation, IndexError) as error:
                    raise TableError(f"{path}: expected numbers in every column that is used, found in row {number}: "
                                     f"{row}") from error  # fmt: skip
                calls, minutes, messages, mb_used, billed_minutes, steps = map(float, cells[:6])
                yield number, (calls, minutes, messages, mb_used), (billed_minutes, int(steps)), cells[6:]
    if not number:
        raise TableError(f"{path}: expected at least one row after the header, found none")
