"""Write a CSV file of synthetic subscribers.

usage: python -m tools.synthesise --out CSV [--rows N] [--seed N] [--shift NAME] [--calibration JSON]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.synthesise")

import argparse
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.data.outputs import replacing
from plan_recommender.data.synthesis import CALIBRATION_FILE, SHIFTS, Subscribers, generate, load_calibration, write_csv


def main(arguments: list[str] | None = None) -> int:
    """Write a table of synthetic subscribers; returns 0. The same arguments give the same file."""
    options = _parser().parse_args(arguments)
    subscribers = generate(options.rows, options.seed, options.shift, load_calibration(options.calibration))
    with (
        replacing(options.out) as file,
        tqdm(total=options.rows, unit=" rows", unit_scale=True, disable=None, leave=False) as progress,
    ):

        def counted() -> Iterator[Subscribers]:
            for chunk in subscribers:
                yield chunk
                progress.update(len(chunk.target))

        write_csv(file, counted())
    cli.say(f"{options.out}: {options.rows:,} synthetic subscribers, seed {options.seed}, shift {options.shift}")
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.synthesise", description="Write a table of synthetic subscribers."
    )
    parser.add_argument("--rows", type=cli.positive_int, default=3214, help="rows to write (default: %(default)s)")
    parser.add_argument("--seed", type=cli.seed, default=42, help="seed of the random numbers (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="file to write")
    shifts = "; ".join(f"{name}: {shift.sentence}" for name, shift in SHIFTS.items()).replace("%", "%%")
    parser.add_argument("--shift", choices=SHIFTS, default="none", help=f"{shifts} (default: %(default)s)")
    parser.add_argument(
        "--calibration", type=Path, default=CALIBRATION_FILE, metavar="JSON",
        help="summary statistics from tools.calibrate (default: the shipped ones)",
    )  # fmt: skip
    return parser
