"""Measure the always-on verdict of a service: how long it runs without a false alarm, and how soon it sees a shift.

usage: python -m tools.drift_runs [--streams N] [--delay-streams N] [--look-hours H] [--seed N]

A stream has 20 rows an hour. Every 50 streams (of a shift, every 10) are watched with a reference of their own, so that
the luck of one reference does not decide. Exit code 1: false alarms are beyond chance more frequent than they may be.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.drift_runs")

import argparse
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import binom
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.campaign.intervals import wilson
from plan_recommender.config.settings import DriftSettings
from plan_recommender.drift.reference import profile
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.monitoring.evidence import ALARM_DAYS, HOURS_A_DAY, Bets
from plan_recommender.monitoring.layout import ROWS
from tools.drift_worlds import SHIFTS, draw, places_in_a_row, pool, reference_rows, subscribers

_ROWS_AN_HOUR: Final = 20
_DAYS: Final = 30
_STREAMS_EACH: Final = 50
_DELAY_STREAMS_EACH: Final = 10
_QUIET_DAYS: Final = 2
_LONGEST_DAYS: Final = 42  # 20,000 rows
_SUBSCRIBERS: Final = 600
_MONTHS: Final = 24
_BEYOND_CHANCE: Final = 0.001

Rows = Callable[[int], FeatureMatrix]
"""Gives the rows of an hour of all streams, one stream after the other, shape (streams * 20, 4)."""


def main(arguments: list[str] | None = None) -> int:
    """Print two tables; returns 0, or 1 if there are too many false alarms."""
    options = _parser().parse_args(arguments)
    cli.say(f"looked at every {options.look_hours} h")
    cli.say(f"| without a shift | false alarms in {_DAYS} days (95 % interval) | mean run |")
    cli.say("| --- | --- | --- |")
    good = True
    for name, world in _WORLDS.items():
        ends = _ends(world, options.streams, _STREAMS_EACH, _DAYS, options)
        found = int((ends >= 0).sum())
        low, high = wilson(found, len(ends), 0.95)
        watched = np.where(ends >= 0, ends + 1, _DAYS * HOURS_A_DAY).sum() / HOURS_A_DAY
        run_days = f"{watched / found:,.0f} days" if found else f"> {watched:,.0f} days"
        cli.say(f"| {name} | {found / len(ends):.2%} ({low:.2%} to {high:.2%}) | {run_days} |")
        good &= not world.counts or bool(binom.sf(found - 1, len(ends), _DAYS / ALARM_DAYS) > _BEYOND_CHANCE)
    cli.say("\n| with a shift | rows until the alarm: median (90th percentile) | missed in 20,000 rows |")
    cli.say("| --- | --- | --- |")
    for shift in SHIFTS:
        if shift != "none":
            ends = _ends(_shifted(shift), options.delay_streams, _DELAY_STREAMS_EACH, _LONGEST_DAYS, options)
            rows = np.where(ends < 0, np.inf, (ends + 1 - _QUIET_DAYS * HOURS_A_DAY) * _ROWS_AN_HOUR)
            median, most = (_shown(float(np.quantile(rows, share, method="higher"))) for share in (0.5, 0.9))
            cli.say(f"| {shift} | {median} ({most}) | {float(np.isinf(rows).mean()):.0%} |")
    return cli.DONE if good else cli.ANSWER_IS_NO


class _World:
    """Streams of one kind, with the reference beside which they are watched."""

    traffic_effect = 1.0
    counts = True
    """Whether too many false alarms fail the measurement."""

    def __init__(self, streams: int, seed: int, trial: int) -> None:
        self.streams = streams
        self.rng = np.random.default_rng([seed, trial])
        self.pool = pool(seed)
        self.reference = reference_rows(seed + 1 + trial)
        self.whose: npt.NDArray[np.int64] | None = None

    def rows(self, hour: int) -> FeatureMatrix:
        return draw(self.pool, self.streams * _ROWS_AN_HOUR, self.rng)


class _Dependent(_World):
    """The rank of each row's data depends on that of the row before, with an autocorrelation of .5."""

    counts = False  # the promise is for rows that are independent, or whose dependence is known

    def __init__(self, streams: int, seed: int, trial: int) -> None:
        super().__init__(streams, seed, trial)
        self._order = np.argsort(self.pool.features[:, FEATURE_NAMES.index("mb_used")])
        self._before = self.rng.standard_normal(streams)

    def rows(self, hour: int) -> FeatureMatrix:
        places = places_in_a_row(self._order, self.streams, _ROWS_AN_HOUR, self._before, self.rng)
        rows: FeatureMatrix = self.pool.features[places.ravel()]
        return rows


class _KnownDependent(_Dependent):
    """The same, watched with its design effect."""

    traffic_effect = 3.0
    counts = True


class _Recurring(_World):
    """A few subscribers, whose other months are the reference, send months again and again."""

    def __init__(self, streams: int, seed: int, trial: int) -> None:
        super().__init__(streams, seed, trial)
        months, whose = subscribers(seed + trial, _SUBSCRIBERS, _MONTHS)
        earlier = np.arange(len(months)) % 2 == 0
        self.reference, self.whose = months[earlier], whose[earlier]
        self._months = months[~earlier]

    def rows(self, hour: int) -> FeatureMatrix:
        rows: FeatureMatrix = self._months[self.rng.integers(0, len(self._months), self.streams * _ROWS_AN_HOUR)]
        return rows


def _shifted(shift: str) -> type[_World]:
    class _Shifted(_World):
        def rows(self, hour: int) -> FeatureMatrix:
            now = shift if hour >= _QUIET_DAYS * HOURS_A_DAY else "none"
            return draw(self.pool, self.streams * _ROWS_AN_HOUR, self.rng, now)

    return _Shifted


_WORLDS: Final[dict[str, type[_World]]] = {
    "independent rows": _World,
    "rows that depend on the one before (AR(1) .5)": _Dependent,
    "the same with drift.traffic_effect: 3": _KnownDependent,
    "the same 600 subscribers again and again, as the reference says": _Recurring,
}


def _ends(
    world: type[_World], streams: int, each: int, days: int, options: argparse.Namespace
) -> npt.NDArray[np.int64]:
    """Watch streams; returns the hour in which each was called drifted, shape (streams,), -1 for none."""
    ends = [
        _watch(world(min(each, streams - trial * each), options.seed, trial), days, options.look_hours)
        for trial in tqdm(range(-(-streams // each)), disable=None, leave=False)
    ]
    return np.concatenate(ends)


def _watch(world: _World, days: int, look_hours: int) -> npt.NDArray[np.int64]:
    settings = DriftSettings(traffic_effect=world.traffic_effect)
    bets = Bets(profile(world.reference, list(FEATURE_NAMES), settings, subscribers=world.whose))
    layout = bets.layout
    state = bets.begin(0, (world.streams,))
    totals = np.zeros((world.streams, layout.cells), dtype=np.int64)
    ends = np.full(world.streams, -1)
    of_stream = np.repeat(np.arange(world.streams), _ROWS_AN_HOUR) * layout.cells
    for hour in range(days * HOURS_A_DAY):
        cells = layout.cells_of(layout.codes(world.rows(hour)))
        counted = np.bincount((of_stream[:, None] + cells).ravel(), minlength=totals.size).reshape(totals.shape)
        counted[:, ROWS] = _ROWS_AN_HOUR
        totals = totals + counted
        if (hour + 1) % look_hours == 0:
            ends[(ends < 0) & bets.evidence(state, totals).drift] = hour
            if (ends >= 0).all():
                break
        bets.advance(state, totals, hour + 1)
    return ends


def _shown(rows: float) -> str:
    return "never" if np.isinf(rows) else f"{rows:,.0f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.drift_runs",
        description="Measure how long the always-on verdict runs without a false alarm, and how soon it sees a shift. "
        "Exit code 1: false alarms are more frequent than they may be.",
    )
    parser.add_argument("--streams", type=cli.positive_int, default=10_000, help="without a shift (default: 10,000)")
    parser.add_argument("--delay-streams", type=cli.positive_int, default=400, help="of a shift (default: 400)")
    parser.add_argument("--look-hours", type=cli.positive_int, default=1, metavar="H", help="default: every hour")
    parser.add_argument("--seed", type=cli.seed, default=42, help="default: %(default)s")
    return parser
