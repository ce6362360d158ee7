"""`make loadtest`: start the service, drive it with locust in one of four shapes, and check that shape's budget.

usage: python -m tools.loadtest [--shape SHAPE] [--seconds N]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.loadtest")

import argparse
import subprocess
import sys
from pathlib import Path

from plan_recommender import cli
from plan_recommender.config.load_shapes import LoadtestSettings
from tools.server import ROOT, ServerDidNotStartError, serving


def main(arguments: list[str] | None = None) -> int:
    """Run the load; returns locust's exit code: 0 if the budget was kept, otherwise 1; 2 if no service could start."""
    parser = argparse.ArgumentParser(
        description="Start the service and hold it to the budget of a load, in the section loadtest of "
        "model_config.yaml: steady (the same load all the time), step (rises until it is too much), spike (ten times "
        "the load for a quarter of the time) or soak (long, and memory and descriptors may hardly grow). Exits with 1 "
        "when the budget is broken."
    )
    parser.add_argument(
        "--shape", choices=tuple(LoadtestSettings.model_fields), default="steady",
        help="shape of the load (default: steady)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=cli.positive_int, metavar="N",
        help="length of the run instead of the configured one; each part of a shape lasts a second at least",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        with serving() as server:
            command = [
                *(str(Path(sys.executable).with_name("locust")), "--headless", "--only-summary"),
                *("--locustfile", "loadtest/locustfile.py", "--host", server.url),
                *("--shape", options.shape, "--server-pid", str(server.process.pid)),
                *(() if options.seconds is None else ("--seconds", str(options.seconds))),
            ]
            return subprocess.run(command, cwd=ROOT, check=False).returncode
    except ServerDidNotStartError as error:
        print(f"error: {error}", file=sys.stderr)
        return cli.COULD_NOT_DECIDE
