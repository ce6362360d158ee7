"""Reduce a file of subscribers' months to the summary statistics that the generator of synthetic months draws from.

usage: python -m tools.calibrate_months --data CSV --out JSON [--ultra NAME] [--source TEXT]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.calibrate_months")

import argparse
from pathlib import Path

from plan_recommender import cli
from plan_recommender.data.month_calibration import calibrate_months
from plan_recommender.data.month_panel import read_panel
from plan_recommender.data.outputs import replacing
from plan_recommender.errors import TableError


def main(arguments: list[str] | None = None) -> int:
    """Write the calibration of one panel; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.calibrate_months",
        description="Reduce a file of months to the summary statistics of the generator.",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="CSV", help="months of subscribers")
    parser.add_argument("--out", type=Path, required=True, metavar="JSON", help="file to write")
    parser.add_argument("--ultra", default="ultra", metavar="NAME", help="the dear plan (default: %(default)s)")
    parser.add_argument("--source", default="", help="where the months come from, for the record")
    options = parser.parse_args(arguments)
    panel = read_panel(options.data)
    try:
        calibration = calibrate_months(panel, options.ultra.casefold(), options.source or options.data.name)
    except TableError as error:
        raise TableError(f"{options.data}: {error}") from error
    with replacing(options.out) as file:
        file.write(calibration.model_dump_json(indent=1) + "\n")
    cli.say(f"{options.out}: summary of {len(panel.share):,} months of {panel.is_first.sum():,} subscribers")
    return cli.DONE
