"""Mistakes that a table shows by itself: units, rounding, constant or swapped columns, calls that took no time.

A table is compared with the reference profile of a registered model. Where there is none, as at the first training, it
is compared with the range in which the median of ordinary subscribers lies.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.profile import ReferenceProfile

MIN_ROWS: Final = 20
"""Of fewer values nothing is said: a few subscribers may well be unusual."""

PLAUSIBLE_MEDIANS: Final = {
    "calls": (5.0, 600.0),
    "minutes": (30.0, 4_000.0),
    "messages": (0.0, 600.0),
    "mb_used": (500.0, 200_000.0),
}
"""Range of the median month of an operator's ordinary subscribers: a tenth to ten times of what two operators' tables
show (docs/training.md), and wider for messages and data. A first table outside it gets a warning, and no more."""

_TENFOLD: Final = 10.0
_USUALLY_DECIMAL: Final = 0.5  # share of the reference's values that are not whole
_SILENT_SHARE: Final = 0.2  # of rows with calls and no minutes, or the other way round

_MIN_PART: Final = 0.03
"""Share of the rows that has to be in another unit, and at least `_MIN_PART_ROWS` of them."""
_MIN_PART_ROWS: Final = 3
_PART_WIDTH: Final = (0.1, 3.0)
"""Within these multiples of the median lie the rows that are looked for, once they are in the unit of the others."""
_GAP: Final = (4.0, 50.0)
"""Rows that are this much more than others in the larger unit, or less than the median, do not come from a unit."""
_GAP_SHARE: Final = 1 / 3  # of the rows looked for; light usage passes continuously into ordinary usage, units do not
_TIMES_AS_USUAL: Final = 10.0
_GO_TOGETHER: Final = 0.8
_GO_APART: Final = 0.7
"""Rank correlations: calls and minutes of two operators' tables have 0.98 (0.92 in 50 rows), other pairs 0.1 to 0.3."""

_UNREAD: Final = 0.05
"""Where more rows than this cannot be read, such as all from 1.000 on, those that are left may be unusual for that."""

_Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Unit:
    name: str
    factor: float
    """How many of the feature's own unit one of these is."""


_UNITS: Final = {
    "mb_used": (_Unit("gigabytes", 1024.0), _Unit("kilobytes", 1 / 1024), _Unit("bytes", 1 / 1024**2)),
    "minutes": (_Unit("seconds", 1 / 60), _Unit("hours", 60.0)),
}


def find_mistakes(features: FeatureMatrix, reference: ReferenceProfile | None) -> list[str]:
    """Describe what looks like a mistake, each in one sentence without its full stop; empty if nothing does.

    Args:
        features: of a table, shape (rows, 4), NaN where a value is missing.
        reference: of the registered model; None: the table is compared with `PLAUSIBLE_MEDIANS`.
    """
    known = {} if reference is None else {f.name: np.array(f.values) for f in reference.features}
    found, swapped = _swapped(features)
    for name, column in zip(FEATURE_NAMES, features.T, strict=True):
        values = column[~np.isnan(column)]
        if len(values) >= MIN_ROWS:
            if name not in swapped:
                found += _of_feature(name, values, known.get(name, np.empty(0)))
        elif len(column) >= MIN_ROWS and not len(values):
            found.append(f"{name} is empty in every row: the column was lost")
    return [*found, *_of_calls(features)]


def refuse_mistakes(
    path: Path | str, features: FeatureMatrix, usual: ReferenceProfile, unread: tuple[int, str] = (0, "")
) -> None:
    """Refuse to answer for the first rows of a file in which `find_mistakes` finds any.

    Args:
        path: of the file, or a name for it.
        features: of these rows, without those that cannot be read.
        usual: of the registered model.
        unread: how many of the rows cannot be read, and why the first one cannot.

    Raises:
        TableError: it does.
    """
    mistakes = find_mistakes(features, usual)
    if mistakes:
        rows, reason = unread
        share = rows / (rows + len(features))
        cause = f" {share:.0%} of the rows cannot be read, which may be why ({reason})." if share > _UNREAD else ""
        raise TableError(
            f"{path}: expected usage like that of the model's training table, found: {'; '.join(mistakes)}.{cause} "
            "Put it right, or pass --accept-drift if these subscribers are so unlike"
        )


def _of_feature(name: str, values: _Values, usual: _Values) -> list[str]:
    if np.all(values == values[0]) and not (len(usual) and np.all(usual == usual[0])):
        value = _shown(values[0])
        return [f"{name} is {value} in every row: the column was filled in or lost, or these are not all months"]
    found = []
    median = float(np.median(values))
    if len(usual):
        expected = float(np.median(usual))
        found += _of_a_part(name, values, usual)
        # Where most months had none of it, any use would be more than ten times the median.
        if expected > 0 and not expected / _TENFOLD < median < expected * _TENFOLD:
            low, high = PLAUSIBLE_MEDIANS[name]
            medians = f"median {_shown(median)}, in training {_shown(expected)}"
            if low <= median <= high and not low <= expected <= high:
                guess = _guess(name, expected, median).removeprefix(f"{name} ")
                found.append(f"{name}: {medians}, which {guess}: the registered model seems to be what is wrong")
            else:
                found.append(f"{_guess(name, median, expected)}: {medians}")
    else:
        low, high = PLAUSIBLE_MEDIANS[name]
        found += _of_a_part(name, values, usual)
        if not low <= median <= high:
            middle = float(np.sqrt(max(low, 1.0) * high))
            usual_are = f"usual are {_shown(low)} to {_shown(high)}"
            found.append(f"{_guess(name, median, middle)}: median {_shown(median)}, {usual_are}")
    if len(usual) and np.mean(usual % 1 != 0) > _USUALLY_DECIMAL and np.all(values % 1 == 0):
        found.append(f"{name} holds whole numbers only, in training most have decimals: it was rounded or cut off")
    return found


def _of_a_part(name: str, values: _Values, usual: _Values) -> list[str]:
    """Find rows of data usage in a larger unit than the others, such as those of one region.

    They lie a thousandfold below the others, and hardly any between the two. Without usual values, the median of the
    table's own larger values is what these others have, because that of all values falls with the part.
    """
    if name != "mb_used":
        return []  # hours and seconds are too near to minutes of a month that is light or heavy
    others = usual if len(usual) else values[values >= np.quantile(values, 0.75) / _GAP[1]]
    median = float(np.median(others))
    unit = _UNITS[name][0]
    low, high = _PART_WIDTH[0] * median / unit.factor, _PART_WIDTH[1] * median / unit.factor
    gap = _GAP[0] * median / unit.factor, median / _GAP[1]

    def share(of: _Values, least: float, most: float) -> float:
        return float(np.mean((of > 0) & (of >= least) & (of <= most))) if len(of) else 0.0

    part = share(values, low, high)
    if (
        part < max(_MIN_PART, _MIN_PART_ROWS / len(values), _TIMES_AS_USUAL * share(usual, low, high))
        or part > 0.5  # the median says so
        or share(values, *gap) > _GAP_SHARE * part
    ):
        return []
    return [
        f"{name} looks like {unit.name} in {part:.0%} of the rows: {round(part * len(values)):,} of {len(values):,} "
        f"are between {_shown(low)} and {_shown(high)}, and hardly any between there and {_shown(gap[1])}"
    ]


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _guess(name: str, median: float, expected: float) -> str:
    """Name the unit in which a median would be nearest to the expected one, if it is much nearer than as it stands."""
    if median > 0 and expected > 0:
        units = _UNITS.get(name, ())
        best = min(units, key=lambda unit: abs(np.log(median * unit.factor / expected)), default=None)
        if best is not None and abs(np.log(median * best.factor / expected)) < abs(np.log(median / expected)) / 2:
            return f"{name} looks like {best.name}"
    return f"{name} is unlike what is usual"


def _of_calls(features: FeatureMatrix) -> list[str]:
    calls, minutes = features[:, FEATURE_NAMES.index("calls")], features[:, FEATURE_NAMES.index("minutes")]
    both = ~np.isnan(calls) & ~np.isnan(minutes)
    found = []
    if both.sum() >= MIN_ROWS:
        for what, other, count in (
            ("calls", "minutes", np.sum((calls > 0) & (minutes == 0))),
            ("minutes", "calls", np.sum((minutes > 0) & (calls == 0))),
        ):
            share = count / both.sum()
            if share > _SILENT_SHARE:
                found.append(f"{share:.0%} of the rows have {what} and no {other}: one of the two columns is wrong")
    return found


def _swapped(features: FeatureMatrix) -> tuple[list[str], set[str]]:
    """Find two columns that stand under each other's names, as far as calls and minutes tell it.

    Calls and minutes go together more closely than any other two features. Where one of them goes with another feature
    instead, that feature stands in the place of the other one. And calls are counted, so that they have no decimals.

    Returns:
        What was found, and the names of the columns.
    """
    complete = features[~np.isnan(features).any(axis=1)]
    if len(complete) < MIN_ROWS or np.any(np.ptp(complete, axis=0) == 0):
        return [], set()
    columns = dict(zip(FEATURE_NAMES, complete.T, strict=True))
    calls, minutes = columns["calls"], columns["minutes"]
    if np.mean(calls % 1 != 0) > _USUALLY_DECIMAL and np.all(minutes % 1 == 0):
        return ["calls and minutes look swapped: calls have decimals, and minutes have none"], {"calls", "minutes"}
    ranks = dict(zip(FEATURE_NAMES, map(_ranks, complete.T), strict=True))
    if _correlation(ranks["calls"], ranks["minutes"]) < _GO_APART:
        for one, partner in (("calls", "minutes"), ("minutes", "calls")):
            for other in ("messages", "mb_used"):
                with_other, with_one = (_correlation(ranks[partner], ranks[name]) for name in (other, one))
                if with_other > _GO_TOGETHER:
                    return [
                        f"{one} and {other} look swapped: {partner} go with {other} (rank correlation "
                        f"{with_other:.2f}) and not with {one} ({with_one:.2f})"
                    ], {one, other}
    return [], set()


def _ranks(values: _Values) -> _Values:
    """Rank values, equal ones by the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray(ends - (counts - 1) / 2, dtype=np.float64)[inverse]


def _correlation(one: _Values, other: _Values) -> float:
    return float(np.corrcoef(one, other)[0, 1])
