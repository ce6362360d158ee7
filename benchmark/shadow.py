"""Measure what a shadow costs: the throughput of a service with one, as a share of that without.

usage: python -m benchmark.shadow TAG [--seconds S] [--rounds N]

One worker is asked by turns while its shadow is on and while it is off, because two processes of the same program
differ by more than what is measured. The throughput is what it answers in a second of its processor time, which a busy
neighbour changes less than a second of the clock; the shadow's thread is part of it. Exit code 1: the shadow costs more
than `MAX_COST` of the throughput of single predictions or of batches.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.shadow")

import argparse
import signal
import time
from typing import Final

import numpy as np
import psutil

from loadtest.generator import closed_loop, post
from loadtest.trials.service import CONNECTIONS, PREDICT, USAGE, workers
from plan_recommender import cli
from plan_recommender.errors import PlanRecommenderError
from plan_recommender.serving.settings import variable
from tools.server import Server, ServerDidNotStartError, serving

MAX_COST: Final = 0.05
"""The largest share of the throughput that a shadow may cost."""

SWITCHED: Final = "benchmark.switched_shadow:PlanRecommender"
BATCH_ROWS: Final = 1_000
SEED: Final = 1
RESAMPLES: Final = 1_000
"""Resamples of the rounds behind an interval (percentile bootstrap)."""

_TURNS: Final = (True, False, False, True)
"""Whether the shadow is on, in each load of a round."""

_LOADS: Final = {
    "/predict": (PREDICT, CONNECTIONS),
    f"/predict_batch, {BATCH_ROWS:,} rows": (post("/predict_batch", {"rows": [USAGE] * BATCH_ROWS}), 2),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns 0, or 1 if the shadow costs too much."""
    options = _parse(arguments)
    try:
        with serving(SWITCHED, env={variable("shadow"): options.model}) as server:
            costs = [_cost(name, server, options.seconds, options.rounds) for name in _LOADS]
    except ServerDidNotStartError as error:
        raise PlanRecommenderError(str(error)) from error
    return cli.DONE if max(costs) <= MAX_COST else cli.ANSWER_IS_NO


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.shadow",
        description="Measure what a shadow costs of the throughput. Exit code 1: more than 5 percent.",
    )
    parser.add_argument("model", metavar="TAG", help="the model that is the shadow")
    parser.add_argument("--seconds", type=float, default=3.0, help="of every load (default: %(default)g)")
    parser.add_argument("--rounds", type=cli.positive_int, default=10, help="of every load (default: %(default)s)")
    return parser.parse_args(arguments)


def _cost(name: str, server: Server, seconds: float, rounds: int) -> float:
    """Measure one load by turns; returns the share of the throughput that the shadow costs.

    The shadow is on, off, off and on in each round, and the round's ratio is that of its sums: a machine that becomes
    slower from load to load changes neither.
    """
    (worker,) = workers(server)
    request, connections = _LOADS[name]
    closed_loop(server.url, [request], connections, 1.0)  # warm
    rates = np.empty((rounds, len(_TURNS)))
    for number in range(rounds):
        for turn, shadowed in enumerate(_TURNS):
            before = _processor_seconds(worker)
            answered = closed_loop(server.url, [request], connections, seconds).counts()[200]
            if _TURNS[(turn + 1) % len(_TURNS)] != shadowed:
                worker.send_signal(signal.SIGUSR1)
                time.sleep(0.1)  # until it has switched
            rates[number, turn] = answered / (_processor_seconds(worker) - before)
    on = np.array(_TURNS)
    alone, shadowed_rates = rates[:, ~on].mean(axis=1), rates[:, on].mean(axis=1)
    ratios = shadowed_rates / alone
    resampled = np.random.default_rng(SEED).integers(0, rounds, (RESAMPLES, rounds))
    low, high = np.percentile(np.median(ratios[resampled], axis=1), (2.5, 97.5))
    ratio = float(np.median(ratios))
    cli.say(
        f"{name}: {np.median(alone):,.0f} answers a second of the worker's processor without a shadow, "
        f"{np.median(shadowed_rates):,.0f} with one; ratio {ratio:.3f} (95 % interval {low:.3f} to {high:.3f}, "
        f"{rounds} rounds)"
    )
    return 1 - ratio


def _processor_seconds(worker: psutil.Process) -> float:
    times = worker.cpu_times()
    return float(times.user + times.system)
