"""Measure what the access log costs: the throughput of this checkout, beside another one that has no such log.

usage: python -m benchmark.access_log OTHER [--seconds S] [--rounds N]

Each round asks every service in turn for `/predict` over 16 connections that never pause, with the services on one core
and the clients on another. Throughput is counted in requests a second of the worker's own processor time, which is what
a worker answers on a core of its own. The ratios within a round are compared, because what else the machine does
changes from round to round; the median and its standard error are told. It needs Linux, which tells that time. Exit
code 1: with the default share less than 95 % of the other's throughput is left.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.access_log")

import argparse
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, stdev
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

_OTHER: Final = "other"
_WARM_SECONDS: Final = 1.0
_MEDIANS_ERROR: Final = 1.25
"""The standard error of a median, as a part of the mean's, of many values that are about normal."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a line for each share; returns 0, or 1 if the goal is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.access_log", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("other", type=Path, help="a checkout without access log, whose environment is this one's")
    parser.add_argument("--seconds", type=float, default=0.15, help="of every load (default: %(default)g)")
    parser.add_argument("--rounds", type=cli.positive_int, default=120, help="how often each (default: %(default)s)")
    options = parser.parse_args(arguments)
    kept = measure(options.other.resolve(), options.seconds, options.rounds)
    for share, ratios in kept.items():
        error = _MEDIANS_ERROR * stdev(ratios) / len(ratios) ** 0.5
        cli.say(f"share {share}: {median(ratios):.1%} of the throughput is kept (standard error {error:.1%})")
    return cli.DONE if median(kept[DEFAULT_SHARE]) >= GOAL else cli.ANSWER_IS_NO


def measure(other: Path, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Give for each share the throughput in each round, as a part of the other's in that round."""
    with _services(other) as servers:
        for server in servers.values():
            _throughput(server, _WARM_SECONDS)
        kept: dict[str, list[float]] = {share: [] for share in SHARES}
        for _ in range(rounds):
            names = random.sample(list(servers), len(servers))
            found = {name: _throughput(servers[name], seconds) for name in names}
            for share, ratios in kept.items():
                ratios.append(found[share] / found[_OTHER])
    return kept


def _throughput(server: Server, seconds: float) -> float:
    """Give the requests that the one worker answers in a second of its processor time."""
    (worker,) = workers(server)
    spent = Path(f"/proc/{worker.pid}/schedstat")  # of its main thread, in nanoseconds; psutil counts in hundredths
    before = int(spent.read_text().split()[0])
    answered = closed_loop(server.url, [PREDICT], CONNECTIONS, seconds).counts()[200]
    return answered / (int(spent.read_text().split()[0]) - before) * 1e9


@contextmanager
def _services(other: Path) -> Iterator[dict[str, Server]]:
    cores = Cores.available()
    json = {variable("log_format"): "json"}
    with ExitStack() as stack:
        servers = {_OTHER: stack.enter_context(serving(cwd=other, env=json, cores=cores.server))}
        environments = {share: json | {variable("access_log_share"): share} for share in SHARES}
        servers |= {
            share: stack.enter_context(serving(cwd=ROOT, env=environment, cores=cores.server))
            for share, environment in environments.items()
        }
        stack.enter_context(pinned(cores.generator))
        yield servers
