"""Measure what the access log costs: the throughput of this checkout, beside another one that has no such log.

usage: python -m benchmark.access_log OTHER [--seconds S] [--rounds N]

Each round asks every service in turn for `/predict` over 16 connections that never pause, with the services on one core
and the clients on another. Throughput is counted in requests a second of the worker's own processor time, which is what
a worker answers on a core of its own: other processes of the machine, which take turns on that core, do not change it.
Exit code 1: with the default share less than 95 % of the other's throughput is left.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.access_log")

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from benchmark.measure import Cores, pinned
from loadtest.generator import closed_loop
from loadtest.trials.service import CONNECTIONS, PREDICT, workers
from plan_recommender import cli
from plan_recommender.serving.settings import variable
from tools.server import ROOT, Server, serving

GOAL: Final = 0.95
SHARES: Final = ("0", "0.01", "1")
DEFAULT_SHARE: Final = "0.01"

_WARM_SECONDS: Final = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a line for each share; returns 0, or 1 if the goal is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.access_log", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("other", type=Path, help="a checkout without access log, whose environment is this one's")
    parser.add_argument("--seconds", type=float, default=1.0, help="of every load (default: %(default)g)")
    parser.add_argument("--rounds", type=cli.positive_int, default=10, help="how often each (default: %(default)s)")
    options = parser.parse_args(arguments)
    kept = measure(options.other.resolve(), options.seconds, options.rounds)
    for share, ratios in kept.items():
        low, high = min(ratios), max(ratios)
        cli.say(f"share {share}: {median(ratios):.1%} of the throughput is kept (rounds: {low:.1%} to {high:.1%})")
    return cli.DONE if median(kept[DEFAULT_SHARE]) >= GOAL else cli.ANSWER_IS_NO


def measure(other: Path, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Give for each share the throughput of each round, as a part of the other's in the same round."""
    kept: dict[str, list[float]] = {share: [] for share in SHARES}
    with _services(other) as (before, by_share):
        for server in (before, *by_share.values()):
            _throughput(server, _WARM_SECONDS)
        for _ in range(rounds):
            without = _throughput(before, seconds)
            for share, server in by_share.items():
                kept[share].append(_throughput(server, seconds) / without)
    return kept


def _throughput(server: Server, seconds: float) -> float:
    """Give the requests that the one worker answers in a second of its processor time."""
    (worker,) = workers(server)
    before = worker.cpu_times()
    answered = closed_loop(server.url, [PREDICT], CONNECTIONS, seconds).counts()[200]
    after = worker.cpu_times()
    return answered / (after.user + after.system - before.user - before.system)


@contextmanager
def _services(other: Path) -> Iterator[tuple[Server, dict[str, Server]]]:
    cores = Cores.available()
    json = {variable("log_format"): "json"}
    with ExitStack() as stack:
        before = stack.enter_context(serving(cwd=other, env=json, cores=cores.server))
        environments = {share: json | {variable("access_log_share"): share} for share in SHARES}
        by_share = {
            share: stack.enter_context(serving(cwd=ROOT, env=environment, cores=cores.server))
            for share, environment in environments.items()
        }
        stack.enter_context(pinned(cores.generator))
        yield before, by_share
