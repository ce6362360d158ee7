"""Mistakes that a table shows by itself: units, rounding, constant columns, calls that took no time.

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
    found = []
    for name, column in zip(FEATURE_NAMES, features.T, strict=True):
        values = column[~np.isnan(column)]
        if len(values) >= MIN_ROWS:
            found += _of_feature(name, values, known.get(name, np.empty(0)))
        elif len(column) >= MIN_ROWS and not len(values):
            found.append(f"{name} is empty in every row: the column was lost")
    return [*found, *_of_calls(features)]


def refuse_mistakes(path: Path, features: FeatureMatrix, usual: ReferenceProfile) -> None:
    """Refuse to answer for the first rows of a file in which `find_mistakes` finds any.

    Raises:
        TableError: it does.
    """
    mistakes = find_mistakes(features, usual)
    if mistakes:
        raise TableError(
            f"{path}: expected usage like that of the model's training table, found: {'; '.join(mistakes)}. Put it "
            "right, or pass --accept-drift if these subscribers are so unlike"
        )


def _of_feature(name: str, values: _Values, usual: _Values) -> list[str]:
    if np.all(values == values[0]) and not (len(usual) and np.all(usual == usual[0])):
        value = _shown(values[0])
        return [f"{name} is {value} in every row: the column was filled in or lost, or these are not all months"]
    found = []
    median = float(np.median(values))
    if len(usual):
        expected = float(np.median(usual))
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
        if not low <= median <= high:
            middle = float(np.sqrt(max(low, 1.0) * high))
            usual_are = f"usual are {_shown(low)} to {_shown(high)}"
            found.append(f"{_guess(name, median, middle)}: median {_shown(median)}, {usual_are}")
    if len(usual) and np.mean(usual % 1 != 0) > _USUALLY_DECIMAL and np.all(values % 1 == 0):
        found.append(f"{name} holds whole numbers only, in training most have decimals: it was rounded or cut off")
    return found


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
