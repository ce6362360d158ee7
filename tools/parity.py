"""Measure how often `evaluate.py --group` accuses a model that treats groups alike, and finds one that does not.

usage: python -m tools.parity [--trials 1000] [--seed 42]

Each trial draws labels and decisions at the rates of the shipped table's model: 31 % of the rows are on Ultra, which
is recommended to 54 % of these and to 8 % of the others. Then it deals groups at random. Where rows belong to
subscribers, a subscriber has 1 to 11 rows, and the decisions about two of them correlate by about 0.5.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.parity")

import argparse
from collections.abc import Iterable
from itertools import combinations, product
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.config.settings import ParitySettings
from plan_recommender.evaluation.group_rates import Codes, measure_rates
from plan_recommender.evaluation.metrics import Labels
from plan_recommender.evaluation.parity import ParityReport, Verdict, measure_parity

GROUPS = (2, 4, 8)
TOLERANCE = 0.1
_ULTRA_SHARE, _TRUE_POSITIVE_RATE, _FALSE_POSITIVE_RATE = 0.31, 0.54, 0.08
_MAX_ROWS_OF_SUBSCRIBER = 11
_CORRELATION = 0.5
_OLD_MIN_ROWS = 30

_Step = TypeVar("_Step")

Dealt = Literal["rows", "subscribers", "rows of subscribers"]
"""What is dealt into groups: rows of different subscribers, whole subscribers, or single rows of subscribers."""


class Drawn(NamedTuple):
    """Rows of one trial, each of shape (rows,); subscribers are None where every row is one of its own."""

    group: Codes
    subscribers: Codes | None
    target: Labels
    decisions: Labels

    def report(self, tolerance: float) -> ParityReport:
        """Ask what is measured; every group is judged."""
        names = np.array([f"g{i}" for i in range(self.group.max() + 1)], dtype=np.object_)[self.group]
        settings = ParitySettings(tolerance=tolerance, min_rows=1)
        return measure_parity("group", names, self.subscribers, self.target, self.decisions, settings)

    def alarms(self) -> list[bool]:
        """Tell what calls the groups unlike: the rule before, intervals one by one, and the verdict at two tolerances.

        The rule before was that a measured difference is beyond the tolerance, of groups with enough such rows.
        """
        owners = np.arange(len(self.group)) if self.subscribers is None else self.subscribers
        rates = measure_rates(self.group, owners, self.target, self.decisions)
        known = [of_rate[rows >= _OLD_MIN_ROWS] for of_rate, rows in zip(rates.rates, rates.rows, strict=True)]
        pairs = np.array(list(combinations(range(self.group.max() + 1), 2)))
        return [
            any(len(of_rate) > 1 and np.ptp(of_rate) > TOLERANCE for of_rate in known),
            bool((rates.differences(pairs, 0.05).nearest > 0).any()),
            self.report(0).verdict == "no parity",
            self.report(TOLERANCE).verdict == "no parity",
        ]


def draw(
    rng: np.random.Generator,
    groups: int,
    rows: int,
    dealt: Dealt = "rows",
    on_ultra: float = 0.0,
    on_smart: float = 0.0,
) -> Drawn:
    """Draw one trial.

    Args:
        rng: of the trial.
        groups: number of them.
        rows: of each group; on average where whole subscribers are dealt.
        dealt: what is dealt into groups.
        on_ultra: how much higher the true positive rate of the first group is.
        on_smart: how much higher its false positive rate is.
    """
    total = groups * rows
    owner = np.arange(total)
    if dealt != "rows":
        owner = np.repeat(owner, rng.integers(1, _MAX_ROWS_OF_SUBSCRIBER + 1, size=total))[:total]
    group = rng.permutation(total) % groups
    if dealt == "subscribers":
        group = group[owner] if len(np.unique(group[owner])) == groups else owner % groups

    def uniform() -> npt.NDArray[np.float64]:
        """Draw from 0 to 1; two rows of a subscriber have the same number with the chance `_CORRELATION`."""
        repeats = rng.random(total) < _CORRELATION**0.5
        return np.where(repeats, rng.random(total)[owner], rng.random(total))

    target = (uniform() < _ULTRA_SHARE).astype(np.int64)
    first = group == 0
    rate = np.where(target == 1, _TRUE_POSITIVE_RATE + on_ultra * first, _FALSE_POSITIVE_RATE + on_smart * first)
    decisions = (uniform() < rate).astype(np.int64)
    return Drawn(group, None if dealt == "rows" else owner, target, decisions)


def false_alarms(groups: int, rows: int, dealt: Dealt, trials: int, seed: int) -> list[float]:
    """Give the share of trials with groups that are alike in which each of `Drawn.alarms` calls them unlike."""
    rng = np.random.default_rng([seed, groups, rows])
    found: list[float] = np.mean([draw(rng, groups, rows, dealt).alarms() for _ in range(trials)], axis=0).tolist()
    return found


class Scenario(NamedTuple):
    """What is true, and the verdict that should be found."""

    truth: str
    verdict: Verdict
    tolerance: float
    sizes: tuple[int, ...]
    """Rows of each group."""
    dealt: Dealt = "rows"
    on_ultra: float = 0.0
    on_smart: float = 0.0

    def found(self, groups: int, rows: int, trials: int, seed: int) -> float:
        """Give the share of trials with the verdict."""
        rng = np.random.default_rng([seed, groups, rows])
        drawn = (draw(rng, groups, rows, self.dealt, self.on_ultra, self.on_smart) for _ in range(trials))
        return float(np.mean([one.report(self.tolerance).verdict == self.verdict for one in drawn]))


SCENARIOS = (
    Scenario("one group's rates are 0.2 higher", "no parity", 0.1, (100, 200, 300, 400, 600), "rows", 0.2, 0.2),
    Scenario("the same", "no parity", 0.0, (50, 100, 150), "rows", 0.2, 0.2),
    Scenario("the same, by subscriber", "no parity", 0.1, (300, 600, 1000, 2000), "subscribers", 0.2, 0.2),
    Scenario("its true positive rate alone is 0.2 higher", "no parity", 0.1, (300, 600, 1000, 2000), "rows", 0.2),
    Scenario("no difference", "parity", 0.1, (1000, 2000, 3000, 5000)),
)


def rows_to_tell(groups: int, rows: int, trials: int, seed: int) -> int:
    """Give the median, over trials with groups that are alike, of the rows of a group that would tell."""
    rng = np.random.default_rng([seed, groups, rows])
    reports = [draw(rng, groups, rows).report(TOLERANCE) for _ in range(trials)]
    return int(np.median([group.rows_to_tell or group.rows for report in reports for group in report.groups]))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print three tables in Markdown; returns 0."""
    parser = argparse.ArgumentParser(description="Measure the false alarms and the power of evaluate.py --group.")
    parser.add_argument("--trials", type=cli.positive_int, default=1000, help="for each figure (default: %(default)s)")
    parser.add_argument("--seed", type=cli.seed, default=42, help="seed (default: %(default)s)")
    options = parser.parse_args(arguments)
    trials, seed = options.trials, options.seed
    kinds: tuple[Dealt, ...] = ("rows", "subscribers", "rows of subscribers")
    _header("dealt at random", "groups", "rows a group", "rule before", "95 % intervals, each alone",
            "now, tolerance 0", f"now, tolerance {TOLERANCE}")  # fmt: skip
    for dealt, groups, rows in _progress(product(kinds, GROUPS, (30, 100, 1000))):
        _row(dealt, groups, f"{rows:,}", *(f"{x:.1%}" for x in false_alarms(groups, rows, dealt, trials, seed)))
    cli.say("")
    _header("truth", "verdict", "tolerance", "rows a group", *(f"{groups} groups" for groups in GROUPS))
    for scenario in SCENARIOS:
        for rows in _progress(scenario.sizes):
            cells = [f"{scenario.found(groups, rows, trials, seed):.0%}" for groups in GROUPS]
            _row(scenario.truth, scenario.verdict, f"{scenario.tolerance:g}", f"{rows:,}", *cells)
    cli.say("")
    _header("groups", "rows a group", "rows to tell (median)", "parity found with these")
    for groups in _progress(GROUPS):
        enough = rows_to_tell(groups, 300, trials, seed)
        _row(groups, 300, f"{enough:,}", f"{SCENARIOS[-1].found(groups, enough, trials, seed):.0%}")
    return cli.DONE


def _progress(steps: Iterable[_Step]) -> Iterable[_Step]:
    return tqdm(list(steps), disable=None, leave=False)


def _header(*names: str) -> None:
    _row(*names)
    _row(*["---"] * len(names))


def _row(*cells: object) -> None:
    cli.say(f"| {' | '.join(map(str, cells))} |")
