"""Measure what the access log and the request ids cost: the throughput with them, as a part of that without them.

usage: python -m benchmark.access_log [--seconds S] [--rounds N]

In each round one worker answers `/predict` over 16 connections that never pause, with them and without them, in turn.
The service is on one core and the clients on another. Throughput is counted in requests a second of the worker's own
processor time, which is what a worker answers on a core of its own. It needs Linux, which tells that time. Exit code 1:
with the default share less than 95 % of the throughput is left.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.access_log")

import argparse
import os
import random
import signal
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmark.measure import Cores, pinned
from loadtest.generator import closed_loop
from loadtest.trials.service import CONNECTIONS, PREDICT, workers
from plan_recommender import cli
from plan_recommender.serving.settings import variable
from tools.server import serving

GOAL: Final = 0.95
SHARES: Final = ("0.01", "1")
DEFAULT_SHARE: Final = "0.01"

_SERVICE: Final = "benchmark.peers.switched_log:PlanRecommender"
_WITH, _WITHOUT = signal.SIGUSR1, signal.SIGUSR2
_MEDIANS_ERROR: Final = 0.93
"""Standard error of the median of one value, in distances of the quartiles, where values are about normal. A standard
deviation would be that of the few rounds in which something else took the machine."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a line for each share; returns 0, or 1 if the goal is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.access_log", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=0.15, help="of every load (default: %(default)g)")
    parser.add_argument("--rounds", type=cli.positive_int, default=90, help="how often each (default: %(default)s)")
    options = parser.parse_args(arguments)
    kept = {share: measure(share, options.seconds, options.rounds) for share in SHARES}
    for share, ratios in kept.items():
        low, _, high = quantiles(ratios, n=4)
        error = _MEDIANS_ERROR * (high - low) / len(ratios) ** 0.5
        cli.say(f"share {share}: {median(ratios):.1%} of the throughput is kept (standard error {error:.1%})")
    return cli.DONE if median(kept[DEFAULT_SHARE]) >= GOAL else cli.ANSWER_IS_NO


def measure(share: str, seconds: float, rounds: int) -> list[float]:
    """Give for each round the throughput with the log at this share, as a part of that without it."""
    cores = Cores.available()
    environment = {variable("log_format"): "json", variable("access_log_share"): share}
    with serving(_SERVICE, env=environment, cores=cores.server) as server, pinned(cores.generator):
        (worker,) = workers(server)
        closed_loop(server.url, [PREDICT], CONNECTIONS, 1.0)  # warm
        kept = []
        for _ in range(rounds):
            found = {}
            for switched in random.sample((_WITH, _WITHOUT), 2):
                os.kill(worker.pid, switched)
                found[switched] = _throughput(worker.pid, server.url, seconds)
            kept.append(found[_WITH] / found[_WITHOUT])
        return kept


def _throughput(worker: int, url: str, seconds: float) -> float:
    """Give the requests that a worker answers in a second of its processor time."""
    spent = Path(f"/proc/{worker}/schedstat")  # of its main thread, in nanoseconds; psutil counts in hundredths
    before = int(spent.read_text().split()[0])
    answered = closed_loop(url, [PREDICT], CONNECTIONS, seconds).counts().get(200, 0)
    return max(answered, 1) / (int(spent.read_text().split()[0]) - before) * 1e9
