"""Measure what the access log costs: the throughput of this checkout, beside another one that has no such log.

usage: python -m benchmark.access_log OTHER [--seconds S] [--rounds N]

Each round asks every service in turn for `/predict` over 16 connections that never pause, with the services on one core
and the clients on another. Throughput is counted in requests a second of the worker's own processor time, which is what
a worker answers on a core of its own. What else the machine does only makes rounds slower, so the upper quartile of the
rounds is compared. It needs Linux, which tells that time. Exit code 1: with the default share less than 95 % of the
other's throughput is left.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.access_log")

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import quantiles
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


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a line for each share; returns 0, or 1 if the goal is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.access_log", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("other", type=Path, help="a checkout without access log, whose environment is this one's")
    parser.add_argument("--seconds", type=float, default=0.4, help="of every load (default: %(default)g)")
    parser.add_argument("--rounds", type=cli.positive_int, default=40, help="how often each (default: %(default)s)")
    options = parser.parse_args(arguments)
    kept = measure(options.other.resolve(), options.seconds, options.rounds)
    for share, part in kept.items():
        cli.say(f"share {share}: {part:.1%} of the throughput is kept")
    return cli.DONE if kept[DEFAULT_SHARE] >= GOAL else cli.ANSWER_IS_NO


def measure(other: Path, seconds: float, rounds: int) -> dict[str, float]:
    """Give for each share the throughput, as a part of the other's."""
    with _services(other) as servers:
        for server in servers.values():
            _throughput(server, _WARM_SECONDS)
        found: dict[str, list[float]] = {name: [] for name in servers}
        names = list(servers)
        for _ in range(rounds):
            for name in names:
                found[name].append(_throughput(servers[name], seconds))
            names.reverse()  # so that none is always the first
    upper = {name: quantiles(each, n=4)[-1] for name, each in found.items()}
    return {share: upper[share] / upper[_OTHER] for share in SHARES}


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
