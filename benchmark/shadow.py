"""Measure what a shadow costs: the throughput of a service with one, as a share of that of a service without.

usage: python -m benchmark.shadow TAG [--seconds S] [--rounds N]

Both services run side by side with a worker each, and are asked by turns. The throughput is what the worker answers in
a second of processor time, which a busy neighbour changes less than a second of the clock; the shadow's thread is part
of the worker. Exit code 1: the shadow costs more than `MAX_COST` of the throughput of single predictions or of batches.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("benchmark.shadow")

import argparse
from typing import Final

import numpy as np

from loadtest.generator import closed_loop, post
from loadtest.trials.service import CONNECTIONS, PREDICT, USAGE, workers
from plan_recommender import cli
from plan_recommender.errors import PlanRecommenderError
from plan_recommender.serving.settings import variable
from tools.server import Server, ServerDidNotStartError, serving

MAX_COST: Final = 0.05
"""The largest share of the throughput that a shadow may cost."""

BATCH_ROWS: Final = 1_000
SEED: Final = 1
RESAMPLES: Final = 1_000
"""Resamples of the rounds behind an interval (percentile bootstrap)."""

_LOADS: Final = {
    "/predict": (PREDICT, CONNECTIONS),
    f"/predict_batch, {BATCH_ROWS:,} rows": (post("/predict_batch", {"rows": [USAGE] * BATCH_ROWS}), 2),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns 0, or 1 if the shadow costs too much."""
    options = _parse(arguments)
    try:
        with serving() as without, serving(env={variable("shadow"): options.model}) as shadowed:
            costs = [_cost(name, (without, shadowed), options.seconds, options.rounds) for name in _LOADS]
    except ServerDidNotStartError as error:
        raise PlanRecommenderError(str(error)) from error
    return cli.DONE if max(costs) <= MAX_COST else cli.ANSWER_IS_NO


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.shadow",
        description="Measure what a shadow costs of the throughput. Exit code 1: more than 5 percent.",
    )
    parser.add_argument("model", metavar="TAG", help="the model that is the shadow")
    parser.add_argument("--seconds", type=float, default=0.25, help="of every load (default: %(default)g)")
    parser.add_argument("--rounds", type=cli.positive_int, default=60, help="of every load (default: %(default)s)")
    return parser.parse_args(arguments)


def _cost(name: str, servers: tuple[Server, Server], seconds: float, rounds: int) -> float:
    """Measure one load by turns; returns the share of the throughput that the shadow costs."""
    request, connections = _LOADS[name]
    rates = np.empty((rounds + 1, 2))
    for number in range(rounds + 1):
        for i in (0, 1) if number % 2 else (1, 0):
            before = _processor_seconds(servers[i])
            answered = closed_loop(servers[i].url, [request], connections, seconds).counts()[200]
            rates[number, i] = answered / (_processor_seconds(servers[i]) - before)
    alone, shadowed = rates[1:].T  # the first round is to warm
    ratio = float(np.median(shadowed) / np.median(alone))
    resampled = np.random.default_rng(SEED).integers(0, rounds, (RESAMPLES, rounds))
    low, high = np.percentile(np.median(shadowed[resampled], 1) / np.median(alone[resampled], 1), (2.5, 97.5))
    cli.say(
        f"{name}: {np.median(alone):,.0f} answers a second of the worker's processor without a shadow, "
        f"{np.median(shadowed):,.0f} with one; ratio {ratio:.3f} (95 % interval {low:.3f} to {high:.3f}, "
        f"{rounds} rounds)"
    )
    return 1 - ratio


def _processor_seconds(server: Server) -> float:
    (worker,) = workers(server)
    times = worker.cpu_times()
    return float(times.user + times.system)
