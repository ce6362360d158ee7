"""`make pictures`: write the README's pictures anew: a terminal session, the what-if page and a training report.

usage: python -m tools.pictures [--into FOLDER]

A model is trained on the shipped table in a store of its own, served, asked as `make demo` asks, and looked at with a
browser. The session is the demo's output, drawn as an SVG that needs no font and nothing else from elsewhere.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.pictures")

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.text import Text

from plan_recommender import cli
from plan_recommender.errors import PlanRecommenderError
from tools import demo
from tools.browser import BrowserError, photograph
from tools.server import ROOT, ServerDidNotStartError, serving

FOLDER: Final = ROOT / "docs" / "pictures"
SESSION, PAGE, REPORT = "session.svg", "page.png", "report.png"

WINDOW: Final = (1120, 800)
"""Of the browser, in pixels."""
COLUMNS: Final = 112
"""Of the terminal."""
SHOWN: Final = "#use=85,9.4,56,27&plan=Smart&past=91,10.1,61,25.5&lang=en"
"""The subscriber whom the page shows: what its sliders, plan and earlier months are."""

_SVG: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px }}
.{unique_id}-title {{ font: bold 18px system-ui, sans-serif }}
{styles}
</style>
<defs>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures; returns 0.

    Raises:
        PlanRecommenderError: there is no browser, or the service did not start.
        CalledProcessError: the training run failed; what it said is on stderr.
    """
    parser = argparse.ArgumentParser(description="Write the README's pictures anew, from a run on the shipped table.")
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER", help="default: docs/pictures")
    folder = parser.parse_args(arguments).into.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        home = {"BENTOML_HOME": place}
        subprocess.run(
            [sys.executable, "train.py", "--artifacts", f"{place}/shipped/artifacts"],
            cwd=ROOT, env=os.environ | home, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with serving(env=home) as server:
                write(folder, server.url, Path(place) / "shipped" / "artifacts" / "report.html")
        except (BrowserError, ServerDidNotStartError) as error:
            raise PlanRecommenderError(str(error)) from error
    for name in (SESSION, PAGE, REPORT):
        cli.say(f"{folder / name}: written")
    return cli.DONE


def write(folder: Path, url: str, report: Path) -> None:
    """Write the three pictures into a folder, of a running service and of a report.

    Raises:
        BrowserError: there is no browser, or it failed.
    """
    photograph(f"{url}/app{SHOWN}", folder / PAGE, *WINDOW)
    photograph(report.as_uri(), folder / REPORT, *WINDOW)
    (folder / SESSION).write_text(drawn(_session(url)), encoding="utf-8")


def drawn(session: str) -> str:
    """Draw the output of a terminal as an SVG; equal text gives equal bytes."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in session.splitlines():
        console.print(Text(line, style="bold" if line.startswith(("$", "==")) else ""))
    console.print()  # room below the last line
    return console.export_svg(code_format=_SVG, title="make demo", unique_id="session")


def _session(url: str) -> str:
    """Ask the service as `make demo` does; gives what is printed, without the address and the model's tag."""
    printed = io.StringIO()
    with httpx.Client(base_url=url, timeout=10) as client, contextlib.redirect_stdout(printed):
        demo.show_answers(client)
    return "\n".join(["$ make demo", "...", *printed.getvalue().strip().splitlines()[2:]])
