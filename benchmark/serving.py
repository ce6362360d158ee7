"""`make benchmark`: measure this service beside FastAPI, LitServe and MLServer on this machine, and check its goals.

usage: python -m benchmark.serving [--seconds S] [--rounds N] [--only NAME]... [--out FILE]

It writes docs/benchmark.md, and the key figures into README.md and README.es.md. Exit code 1: the service missed a
goal.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.serving")

import argparse
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmark.contenders import BASE, SERVICE, TITLES, contenders, serve_with_two_workers, versions
from benchmark.measure import (
    Cores,
    Details,
    OpenLoop,
    Round,
    Scaling,
    Workload,
    generator_processes,
    measure,
    measure_details,
    measure_open_loop,
    measure_scaling,
)
from benchmark.page import (
    SECTIONS,
    Conditions,
    Results,
    findings,
    key_figures,
    section_of,
    with_key_figures,
    write_page,
)
from benchmark.peers.model import Assignment
from plan_recommender import cli
from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.data.outputs import replacing
from plan_recommender.errors import PlanRecommenderError
from plan_recommender.model import store
from plan_recommender.model.record import PIPELINE_FILE
from plan_recommender.serving.recommender import Recommender
from tools.readme_es import TRANSLATION, spanish_figures
from tools.server import ROOT, ServerDidNotStartError

PAGE: Final = ROOT / "docs" / "benchmark.md"
README: Final = ROOT / "README.md"
SEED: Final = 1
OPTIONAL: Final = [name for name in TITLES if name not in (BASE, SERVICE)]


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the page; returns 0, or 1 if the service missed a goal."""
    options = _parse(arguments)
    try:
        results = _run(options)
    except ServerDidNotStartError as error:
        raise PlanRecommenderError(str(error)) from error
    page = write_page(results)
    old = options.out.read_text(encoding="utf-8") if options.out.exists() else ""
    for section in filter(None, (section_of(old, name) for name in SECTIONS)):  # others have measured them
        page = f"{page.rstrip()}\n\n{section}"
    with replacing(options.out) as file:
        file.write(page)
    cli.say(f"\n{page}\n{options.out}: written")
    if options.out.resolve() == PAGE:
        readme = with_key_figures(README.read_text(encoding="utf-8"), key_figures(page))
        spanish = with_key_figures(TRANSLATION.read_text(encoding="utf-8"), spanish_figures(key_figures(page)))
        for path, text in ((README, readme), (TRANSLATION, spanish)):
            with replacing(path) as file:
                file.write(text)
            cli.say(f"{path}: key figures written")
    return cli.DONE if all(finding.kept is not False for finding in findings(results)) else cli.ANSWER_IS_NO


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.serving",
        description="Measure the service beside FastAPI and others on this machine. Exit code 1: it missed a goal.",
    )
    parser.add_argument("--seconds", type=_positive, default=5.0, help="of every load (default: %(default)g)")
    parser.add_argument("--rounds", type=cli.positive_int, default=5, help="how often each (default: %(default)s)")
    parser.add_argument(
        "--only", action="append", choices=OPTIONAL, metavar="NAME",
        help=f"beside FastAPI with a constant answer, compare with this one only, may be repeated: "
        f"{', '.join(OPTIONAL)} (default: all that are installed)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=_positive, default=5000.0, help="requests/s of the open loop (default: %(default)g)"
    )
    parser.add_argument(
        "--open-seconds", type=_positive, default=60.0, help="how long the open loop runs (default: %(default)g)"
    )
    parser.add_argument(
        "--mlserver-python", type=Path, metavar="PATH", help="an interpreter that has MLServer (default: this one)"
    )
    parser.add_argument(
        "--out", type=Path, default=PAGE, metavar="FILE",
        help="page to write (default: docs/benchmark.md, whose key figures then go into README.md and README.es.md)",
    )  # fmt: skip
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> Results:
    model = store.find()
    workload = Workload(Recommender(model, load_tariffs(shipped_tariffs())), SEED)
    assignment = Assignment(
        tag=model.tag,
        pipeline=model.path / PIPELINE_FILE,
        threshold=model.document().threshold,
        constant=workload.recommendation,
    )
    chosen = {
        name: serve
        for name, serve in contenders(assignment, options.mlserver_python).items()
        if options.only is None or name in (*options.only, BASE, SERVICE)
    }
    cores = Cores.available()
    conditions = _conditions(options, model, cores)
    installed = {name: serve for name, serve in chosen.items() if serve}
    rounds: dict[str, list[Round]] = {name: [] for name in installed}
    details: list[Details] = []
    scaling: list[Scaling] = []
    open_loop: OpenLoop | None = None
    with generator_processes() as generators:
        for number in range(1, options.rounds + 1):
            for name, serve in installed.items():
                with serve(cores.server) as server:
                    rounds[name].append(measure(server, workload, cores, options.seconds))
                    if name == SERVICE:
                        details.append(measure_details(server, workload, cores, options.seconds, generators))
                        if number == options.rounds:
                            open_loop = measure_open_loop(server, workload, cores, options.rate, options.open_seconds)
                load = rounds[name][-1].load
                cli.say(f"round {number}, {TITLES[name]}: {load.rate:,.0f} requests/s, p99 {load.p99_ms:.2f} ms")
            if cores.both:
                one, two = installed[SERVICE], serve_with_two_workers
                scaling.append(measure_scaling(one, two, workload, cores, options.seconds, generators))
                cli.say(f"round {number}, two workers: {scaling[-1].two:,.0f} requests/s to {scaling[-1].one:,.0f}")
    assert open_loop is not None, "there is a last round"
    return Results(conditions, {name: rounds.get(name) for name in chosen}, details, scaling, open_loop)


def _conditions(options: argparse.Namespace, model: store.RegisteredModel, cores: Cores) -> Conditions:
    return Conditions(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        commit=_commit(),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        kernel=f"{platform.system()} {platform.release()}",
        pinned=bool(cores.both),
        model=model.tag,
        estimator=model.record.estimator,
        versions={"python": platform.python_version(), **versions(options.mlserver_python)},
        rounds=options.rounds,
        seconds=options.seconds,
    )


def _commit() -> str:
    def git(*arguments: str) -> str:
        ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return ran.stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value
