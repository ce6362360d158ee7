"""`python -m loadtest.trials`: run all trials or those that are named, and write down what they measured.

usage: python -m loadtest.trials [--quick] [--times N] [--out FILE] [TRIAL ...]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("loadtest.trials.__main__")

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

from loadtest.trials.catalogue import QUICK, TRIALS
from loadtest.trials.report import TrialReport, verdict
from plan_recommender import cli
from plan_recommender.data.outputs import replacing
from tools.server import ROOT, ServerDidNotStartError

_HEADING: Final = "## What the last trials measured\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials; returns 0 when every promise was kept, 1 when one was broken, 2 when no service could be started."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.trials",
        description="Trials: what the service does when it is stopped, killed, overloaded, starved or fed rubbish "
        "under load. Exits with 1 when a promise was broken.",
    )
    parser.add_argument(
        "trial",
        nargs="*",
        choices=[[], *TRIALS],
        metavar="TRIAL",
        help=f"which: {', '.join(TRIALS)}; all when left out",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="the short form that `make test` runs")
    parser.add_argument(
        "--times", type=cli.positive_int, default=1, metavar="N", help="run each this often (default: 1)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures into this document too")
    options = parser.parse_args(arguments)
    if options.out is not None and _HEADING not in options.out.read_text(encoding="utf-8"):
        parser.error(f"{options.out}: expected the heading {_HEADING.strip()!r}, found none")
    found: dict[str, list[TrialReport]] = {}
    for name in options.trial or TRIALS:
        for _ in range(options.times):
            try:
                report = TRIALS[name](**(QUICK[name] if options.quick else {}))
            except ServerDidNotStartError as error:
                print(f"error: {error}", file=sys.stderr)
                return 2
            found.setdefault(name, []).append(report)
            print(report, flush=True)
        if options.times > 1:
            print(f"{name}: {verdict(found[name])}", flush=True)
        if options.out is not None:  # after each, so that none is lost if a later one is broken off
            _write(options.out, name, found[name])
    return int(any(report.broken for reports in found.values() for report in reports))


def _write(document: Path, name: str, reports: Sequence[TrialReport]) -> None:
    """Replace the figures of a trial behind the document's heading for them; those of other trials stay.

    Of several reports the verdict is that of all, and the figures are the last one's.
    """
    before, heading, after = document.read_text(encoding="utf-8").partition(_HEADING)
    sections = {part.partition("`")[0]: f"### `{part.strip()}" for part in after.split("### `")[1:]}
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    about = f"{date.today()}, commit {git.stdout.strip() or 'unknown'}, {platform.machine()}, {os.cpu_count()} cores"
    about += ":" if len(reports) == 1 else "; the last trial measured:"
    rows = [f"| {figure} | {value} |" for figure, value in reports[-1].figures.items()]
    found = verdict(reports)
    head = [f"### `{name}`: {f'**{found}**' if any(report.broken for report in reports) else found}"]
    sections[name] = "\n".join([*head, "", about, "", "| figure | measured |", "| --- | --- |", *rows])
    ordered = [sections[trial] for trial in TRIALS if trial in sections]
    with replacing(document) as file:
        file.write(before + heading + "\n" + "\n\n".join(ordered) + "\n")
