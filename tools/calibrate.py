"""Reduce a labelled table to the summary statistics that the synthetic generator draws from.

usage: python -m tools.calibrate --data CSV --out JSON [--source TEXT]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.calibrate")

import argparse
from pathlib import Path

from plan_recommender import cli
from plan_recommender.data.csv_table import check_trainable, read_labelled
from plan_recommender.data.outputs import replacing
from plan_recommender.data.synthesis import calibrate
from plan_recommender.data.table_options import add_table_options, format_of


def main(arguments: list[str] | None = None) -> int:
    """Write the calibration of one table; returns 0."""
    parser = argparse.ArgumentParser(description="Reduce a labelled table to the generator's summary statistics.")
    parser.add_argument("--data", type=Path, required=True, metavar="CSV", help="labelled table without empty cells")
    parser.add_argument("--out", type=Path, required=True, metavar="JSON", help="file to write")
    parser.add_argument("--source", default="", help="where the table comes from, for the record")
    add_table_options(parser)
    options = parser.parse_args(arguments)
    table = read_labelled(options.data, format=format_of(options))
    check_trainable(table, max_missing_share=0)
    with replacing(options.out) as file:
        file.write(calibrate(table, options.source or options.data.name).model_dump_json(indent=1) + "\n")
    cli.say(f"{options.out}: summary of {len(table.target):,} rows")
    return cli.DONE
