"""Fits the profile of habits, which a forecast of bills needs, from a panel: months of many subscribers.

Every month that somebody used in whole, after at least one known month, is estimated from the months before it, by the
functions of the forecast itself. What the estimates got wrong, as a share of the spread, are the errors of the profile.
"""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.billing.forecast import MAX_MONTHS, Summary, level, spread, summarise
from plan_recommender.billing.habits import ERROR_UNITS, SCENARIOS, Habit, HabitErrors, HabitProfile
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.data.month_panel import read_panel
from plan_recommender.errors import TableError
from plan_recommender.model.digests import sha256

_MIN_TARGETS: Final = 2 * SCENARIOS
"""Targets for each set of errors: every error has to be a mean of at least two."""

_NEARLY_WHOLE: Final = 0.9
"""Share of a month's days (0 to 1) from which a month says how far months are from each other."""

_MIN_NEARLY_WHOLE: Final = 3
"""Nearly whole months of a subscriber, from which they say so."""

_PRIORS: Final = np.array(
    [0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.25, 1.5, 2, 4]
)  # fmt: skip
"""Values of `Habit.prior_months` that are tried; between neighbours the estimates hardly differ."""

_QUANTITIES: Final = ("billed minutes", "messages", "MB")
_DIGITS: Final = 6

Floats = npt.NDArray[np.float64]


class LearnedHabits(NamedTuple):
    """A profile of habits, and the table of months that it was fitted from."""

    profile: HabitProfile
    path: Path
    sha256: str
    months: int
    usage: Floats
    """Of its months, shape (months, 4), columns in the order of `FEATURE_NAMES`."""


def learn_habits(path: Path, tariffs: Tariffs) -> LearnedHabits:
    """Fit the profile of habits from a table of months.

    Args:
        path: of the table.
        tariffs: say how many minutes rounding adds for each call, where billed minutes are not given.

    Raises:
        TableError: the table cannot be read, or has too few months.
    """
    by_call = tariffs.rounds_calls
    try:
        panel = read_panel(path, rounds_calls=by_call)
    except TableError as error:
        raise TableError(
            f"{error} (advice.months, --months; such a table is read with commas between columns, decimal points and "
            "the names that docs/advice.md lists, whatever the options say of the table to train on)"
        ) from error
    try:
        profile = fit_habits(
            panel.subscribers,
            panel.months,
            panel.usage,
            panel.billed_minutes if by_call else None,
            panel.share,
            float(tariffs.minutes.call_share) if by_call else 0.0,
        )
    except TableError as error:
        raise TableError(f"{path}: {error} (advice.months, --months)") from error
    return LearnedHabits(profile, path, sha256(path), len(panel.months), panel.usage)


class _Target(NamedTuple):
    """A month to be estimated."""

    row: int
    summary: Summary
    known: int
    """Months before it."""


def fit_habits(
    subscribers: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    usage: Floats,
    billed_minutes: Floats | None,
    active_share: Floats,
    call_share: float = 0.0,
) -> HabitProfile:
    """Fit the profile; the order of the rows and the numbers that stand for subscribers do not matter.

    Args:
        subscribers: any number for each subscriber, shape (rows,).
        order: of the months of a subscriber, ascending, for example 12 * year + month, shape (rows,).
        usage: shape (rows, 4), columns in the order of `FEATURE_NAMES`, without missing values.
        billed_minutes: shape (rows,), NaN where they are not known; None: nowhere.
        active_share: share of the month's days on which the subscriber was one, above 0 and at most 1, shape (rows,).
        call_share: minutes that rounding adds for each call, where billed minutes are not known.

    Raises:
        TableError: the panel has too few months, or nobody uses minutes or data.
    """
    rows = np.lexsort((order, subscribers))
    codes = np.unique(subscribers[rows], return_inverse=True)[1]
    shares = active_share[rows]
    used = _quantities(usage[rows], None if billed_minutes is None else billed_minutes[rows], call_share)
    usual = [_rounded(float(total)) for total in used.sum(axis=0) / shares.sum()]
    for i in (0, 2):
        if usual[i] == 0:
            raise TableError(f"expected a table of months with {_QUANTITIES[i]}, found none used in {len(rows)} rows")
    targets = _targets(codes, used, shares, (usual[0], usual[1], usual[2]))
    actual = used[[target.row for target in targets]].reshape(-1, 3)
    more = np.array([target.known > 1 for target in targets], dtype=bool)
    if more.sum() < _MIN_TARGETS:
        raise TableError(
            f"expected at least {_MIN_TARGETS} whole months with two or more months of the same subscriber before "
            f"them, found {more.sum()}"
        )
    habits = [_fit_habit(i, usual[i], codes, used[:, i], shares, targets, actual[:, i]) for i in range(3)]
    errors = np.column_stack([_errors(i, habits[i], targets, actual[:, i]) for i in range(3)])
    after_more = _typical(errors[more])
    return HabitProfile(
        subscribers=int(codes[-1]) + 1,
        targets=len(targets),
        minutes=habits[0],
        messages=habits[1],
        mb_used=habits[2],
        # With few such months the errors after more months serve: the formula of the spread knows that one is known.
        errors_after_one=_typical(errors[~more]) if (~more).sum() >= _MIN_TARGETS else after_more,
        errors_after_more=after_more,
    )


def _quantities(usage: Floats, billed_minutes: Floats | None, call_share: float) -> Floats:
    """Arrange billed minutes, messages and MB, shape (rows, 3)."""
    minutes = usage[:, 1] + call_share * usage[:, 0]
    if billed_minutes is not None:
        minutes = np.where(np.isnan(billed_minutes), minutes, billed_minutes)
    return np.column_stack([minutes, usage[:, 2], usage[:, 3]])


def _targets(
    codes: npt.NDArray[np.int64], used: Floats, shares: Floats, usual: tuple[float, float, float]
) -> list[_Target]:
    columns = [column.tolist() for column in (*used.T, shares)]
    starts = np.searchsorted(codes, codes, side="left").tolist()
    targets = []
    for row, (start, share) in enumerate(zip(starts, columns[3], strict=True)):
        if row > start and share == 1:
            first = max(start, row - MAX_MONTHS)
            minutes, messages, mb_used, known = (column[first:row] for column in columns)
            summary = summarise(minutes, messages, mb_used, known, usual)
            targets.append(_Target(row, summary, row - first))
    return targets


def _fit_habit(
    i: int,
    usual: float,
    codes: npt.NDArray[np.int64],
    values: Floats,
    shares: Floats,
    targets: list[_Target],
    actual: Floats,
) -> Habit:
    """Fit how quantity `i` varies: first the prior with the least absolute error, then the spread by level."""
    totals = np.array([target.summary.totals[i] for target in targets])
    months = np.array([target.summary.months for target in targets])
    misses = [np.mean(np.abs((totals + prior * usual) / (months + prior) - actual)) for prior in _PRIORS]
    prior = float(_PRIORS[np.argmin(misses)])
    levels = (totals + prior * usual) / (months + prior)
    fixed, by_level = _line(codes, values, shares)
    # The line says how the spread grows with the level; how large it is, the errors of the estimates say.
    expected = (fixed + by_level * levels) * np.sqrt(1 + 1 / (months + prior))
    known = expected > 0
    size = float(np.mean(np.abs(actual - levels)[known] / expected[known])) if known.any() else 0.0
    return Habit(usual=usual, prior_months=prior, spread=_rounded(fixed * size), spread_share=_rounded(by_level * size))


def _line(codes: npt.NDArray[np.int64], values: Floats, shares: Floats) -> tuple[float, float]:
    """Fit the distance of a subscriber's months from their mean as a line of the mean, by least squares.

    Returns:
        Constant and slope, both at least 0.
    """
    whole = shares >= _NEARLY_WHOLE
    counts = np.bincount(codes[whole], minlength=codes[-1] + 1)
    means = np.bincount(codes[whole], values[whole], minlength=len(counts)) / np.maximum(counts, 1)
    of = codes[whole]
    enough = counts[of] >= _MIN_NEARLY_WHOLE
    of = of[enough]
    if not len(of):
        return 0.0, 1.0
    # A month is nearer to a mean that contains it, by this root.
    distances = np.abs(values[whole][enough] - means[of]) / np.sqrt(1 - 1 / counts[of])
    centred = means[of] - means[of].mean()
    slope = float(centred @ distances / max(centred @ centred, 1e-12))
    constant = float(distances.mean() - slope * means[of].mean())
    if constant < 0:
        return 0.0, float(distances.mean() / means[of].mean())
    return (constant, slope) if slope >= 0 else (float(distances.mean()), 0.0)


def _errors(i: int, habit: Habit, targets: list[_Target], actual: Floats) -> Floats:
    """Take what the estimates of quantity `i` got wrong, in spreads, shape (targets,)."""
    levels = np.array([level(target.summary, i, habit) for target in targets])
    spreads = np.array([spread(target.summary, i, habit, at) for target, at in zip(targets, levels, strict=True)])
    errors: Floats = np.divide(actual - levels, spreads, out=np.zeros(len(targets)), where=spreads > 0)
    return errors


def _typical(errors: Floats) -> HabitErrors:
    """Condense errors, shape (targets, 3), to `SCENARIOS` of them, from which no month can be put together.

    For each quantity by itself the errors are sorted and cut into as many equal parts, whose means are kept. Which
    means belong together is taken from targets that are spread evenly over the errors of data, by their ranks alone.
    """
    edges = np.arange(SCENARIOS + 1) * len(errors) // SCENARIOS
    drawn = errors[np.argsort(errors[:, 2], kind="stable")[(edges[:-1] + edges[1:]) // 2]]
    columns = []
    for values, ranked in zip(errors.T, drawn.T, strict=True):
        means = np.add.reduceat(np.sort(values), edges[:-1]) / np.diff(edges)
        ranks = np.argsort(np.argsort(ranked, kind="stable"), kind="stable")
        columns.append([round(float(value)) for value in means[ranks] * ERROR_UNITS])
    return HabitErrors(minutes=columns[0], messages=columns[1], mb_used=columns[2])


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
