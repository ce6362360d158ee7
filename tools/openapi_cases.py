"""`python -m tools.openapi_cases --cases N`: send a real server the requests that schemathesis makes from /docs.json.

The requests have valid and invalid bodies, other methods and other content types. Every answer must be one that the
OpenAPI document announces, with its status, content type, headers and schema; valid bodies must be answered, invalid
ones refused, and no answer may be a 5xx.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.openapi_cases")

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plan_recommender.serving.routes import ROUTES, Command
from tools.server import ServerDidNotStartError, serving

_BODIES = sum(isinstance(route, Command) for route in ROUTES.values())  # routes without a body have only a few cases
_MIN_CASES_PER_SECOND = 10  # for the time limit; far fewer than were ever measured
_START_SECONDS = 240


_CONFIGURATION = """
# OpenAPI cannot say that months ascend, which plans the tariffs in force have, and which billed minutes can be.
[[operations]]
include-path = "/advise"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400"]

# Nor that the shapes of tensors fit their data and each other, and what the elements may be.
[[operations]]
include-path = "/v2/models/plan_recommender/infer"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400"]
"""

_RARELY_VALID = {"validation_mismatch": ["POST /v2/models/plan_recommender/infer"]}
"""A warning that is no failure: few requests made from the schema have tensors whose shapes fit."""


@dataclass(frozen=True)
class Outcome:
    """The result of one run of schemathesis."""

    cases: int
    """Number of requests."""
    failures: dict[str, list[str]]
    """The operations at which each kind of failure was seen; empty if there was none."""
    output: str
    """What schemathesis printed."""


def ask(document: str, url: str, cases: int, seed: int) -> Outcome:
    """Generate requests, and check every answer of a running server against the OpenAPI document.

    Args:
        document: the OpenAPI document, a file or a URL.
        url: of the server.
        cases: minimum number of requests if nothing fails.
        seed: the same seed, document and server give the same requests.

    Raises:
        RuntimeError: schemathesis wrote no report.
        TimeoutExpired: it took much longer than usual.
    """
    with tempfile.TemporaryDirectory(prefix="plan-recommender-cases-") as folder:
        report, configuration = Path(folder) / "report.json", Path(folder) / "schemathesis.toml"
        configuration.write_text(_CONFIGURATION, encoding="utf-8")
        command = [
            *(
                str(Path(sys.executable).with_name("schemathesis")),
                "--config-file",
                str(configuration),
                "run",
                document,
                "--url",
                url,
                "--no-color",
            ),
            *(part for path in ROUTES for part in ("--include-path", path)),
            *("--max-examples", str(math.ceil(cases / _BODIES)), "--seed", str(seed), "--continue-on-failure"),
            *("--generation-database", "none", "--report", "json", "--report-json-path", str(report)),
        ]
        run = subprocess.run(
            command,
            cwd=folder,  # where it leaves a cache
            capture_output=True,
            text=True,
            timeout=_START_SECONDS + cases / _MIN_CASES_PER_SECOND,
            check=False,
        )
        if not report.exists():
            raise RuntimeError(f"expected a report of schemathesis, found none:\n{run.stdout}{run.stderr}")
        return _outcome(json.loads(report.read_text(encoding="utf-8")), run.stdout)


def main(arguments: list[str] | None = None) -> int:
    """Serve the registered model and ask it; returns 0, or 1 after a failure; exits with 2 if it could not be asked."""
    parser = argparse.ArgumentParser(prog="python -m tools.openapi_cases", description=__doc__)
    parser.add_argument(
        "--cases", type=int, default=10_000, metavar="N", help="at least so many (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        with serving() as server:
            started = time.monotonic()
            outcome = ask(f"{server.url}/docs.json", server.url, options.cases, options.seed)
            seconds = time.monotonic() - started
    except (ServerDidNotStartError, RuntimeError, subprocess.TimeoutExpired) as error:
        parser.exit(2, f"error: {error}\n")
    if outcome.failures:
        print(outcome.output)
    print(
        f"{outcome.cases:,} cases from the OpenAPI document, seed {options.seed}, in {seconds:.0f} s:"
        f" {len(outcome.failures)} kinds of failure"
    )
    return 1 if outcome.failures else 0


def _outcome(report: dict[str, Any], output: str) -> Outcome:
    failures = {failure["type"]: failure["operations"] for failure in report["failures"]}
    failures |= {
        f"warning {kind}": [str(found)]
        for kind, found in report["warnings"].items()
        if found and found != _RARELY_VALID.get(kind)
    }
    if report["errors"]:
        failures["errors"] = [str(error) for error in report["errors"]]
    if report["operations"]["tested"] != len(ROUTES) or not report["complete"]:
        failures["incomplete"] = [f"{report['operations']}, {report['stop_reason']}"]
    return Outcome(report["test_cases"]["generated"], failures, output)
