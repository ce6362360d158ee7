"""Write a CSV file of synthetic subscribers: a labelled table of one month each, or, with --subscribers, their months.

usage: python -m tools.synthesise --out CSV [--rows N] [--seed N] [--shift NAME] [--calibration JSON]
       python -m tools.synthesise --subscribers N [--months M] [--seed N] [--out CSV] [--calibration JSON]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.synthesise")

import argparse
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.data.month_calibration import MONTHS_CALIBRATION_FILE, load_months_calibration
from plan_recommender.data.month_synthesis import HEADER, MAX_MONTHS, Months, csv_lines, generate_months
from plan_recommender.data.outputs import replacing
from plan_recommender.data.synthesis import CALIBRATION_FILE, SHIFTS, Subscribers, generate, load_calibration, write_csv

_ROWS = 3214
_MONTHS = 12


def main(arguments: list[str] | None = None) -> int:
    """Write a table of synthetic subscribers; returns 0. The same arguments give the same file."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.subscribers is None:
        if options.months is not None:
            parser.error("argument --months: expected with --subscribers only")
        if options.out is None:
            parser.error("the following arguments are required: --out")
        return _write_table(options)
    if options.rows is not None or options.shift != "none":
        parser.error("argument --subscribers: expected without --rows and --shift")
    return _write_months(options)


def _write_table(options: argparse.Namespace) -> int:
    rows = options.rows or _ROWS
    subscribers = generate(rows, options.seed, options.shift, load_calibration(options.calibration or CALIBRATION_FILE))
    with (
        replacing(options.out) as file,
        tqdm(total=rows, unit=" rows", unit_scale=True, disable=None, leave=False) as progress,
    ):

        def counted() -> Iterator[Subscribers]:
            for chunk in subscribers:
                yield chunk
                progress.update(len(chunk.target))

        write_csv(file, counted())
    cli.say(f"{options.out}: {rows:,} synthetic subscribers, seed {options.seed}, shift {options.shift}")
    return cli.DONE


def _write_months(options: argparse.Namespace) -> int:
    calibration = load_months_calibration(options.calibration or MONTHS_CALIBRATION_FILE)
    blocks = generate_months(options.subscribers, options.months or _MONTHS, options.seed, calibration)
    if options.out is None:
        _print_months(blocks)
        return cli.DONE
    written = 0
    with (
        replacing(options.out) as file,
        tqdm(unit=" months", unit_scale=True, disable=None, leave=False) as progress,
    ):
        file.write(HEADER)
        for block in blocks:
            file.write(csv_lines(block))
            written += len(block.month)
            progress.update(len(block.month))
    cli.say(f"{options.out}: {written:,} months of {options.subscribers:,} synthetic subscribers, seed {options.seed}")
    return cli.DONE


def _print_months(blocks: Iterator[Months]) -> None:
    cli.say(HEADER.removesuffix("\n"))
    for block in blocks:
        cli.say(csv_lines(block).removesuffix("\n"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.synthesise", description="Write a table of synthetic subscribers."
    )
    parser.add_argument("--rows", type=cli.positive_int, help=f"rows to write (default: {_ROWS})")
    parser.add_argument(
        "--subscribers", type=cli.positive_int, metavar="N",
        help="write the months of so many subscribers instead, with the plan held and billed minutes",
    )  # fmt: skip
    parser.add_argument(
        "--months", type=_months, metavar="M",
        help=f"calendar months in which they register, stay and leave, at most {MAX_MONTHS} (default: {_MONTHS})",
    )  # fmt: skip
    parser.add_argument("--seed", type=cli.seed, default=42, help="seed of the random numbers (default: %(default)s)")
    parser.add_argument(
        "--out", "--output", type=Path, metavar="CSV", help="file to write (months are printed without it)"
    )
    shifts = "; ".join(f"{name}: {shift.sentence}" for name, shift in SHIFTS.items()).replace("%", "%%")
    parser.add_argument("--shift", choices=SHIFTS, default="none", help=f"{shifts} (default: %(default)s)")
    parser.add_argument(
        "--calibration", type=Path, metavar="JSON",
        help="summary statistics from tools.calibrate or tools.calibrate_months (default: the shipped ones)",
    )  # fmt: skip
    return parser


def _months(text: str) -> int:
    months = cli.positive_int(text)
    if months > MAX_MONTHS:
        raise argparse.ArgumentTypeError(f"expected at most {MAX_MONTHS} months, found {text!r}")
    return months
