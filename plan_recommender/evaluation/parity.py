"""Whether groups of subscribers are recommended Ultra at the same rates; a group is a value of one column.

Demographic parity asks for equal selection rates; equal opportunity for equal true positive rates; equalised odds for
equal true and false positive rates (Hardt, Price & Srebro 2016, "Equality of opportunity in supervised learning").
"""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.config.settings import ParitySettings
from plan_recommender.errors import TableError
from plan_recommender.evaluation.metrics import Labels

RateName = Literal["selection rate", "true positive rate", "false positive rate"]
RATES: tuple[RateName, ...] = ("selection rate", "true positive rate", "false positive rate")
DEFINITIONS: dict[RateName, str] = {
    "selection rate": "demographic parity",
    "true positive rate": "equal opportunity, equalised odds",
    "false positive rate": "equalised odds",
}
"""The definitions of parity that ask for equality of each rate."""

EMPTY = "(empty)"
"""Name of the group of rows whose cell is empty."""

_ROUNDING = 1e-12
"""A difference may be this much larger than the tolerance: in binary, 0.4 - 0.3 is larger than 0.1."""

_GROUPS_NAMED = 10  # groups that an error lists

Group = Annotated[str, Field(description="a value of the column")]
_Counts = npt.NDArray[np.int64]
_Samples = npt.NDArray[np.float64]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Model):
    """The share of some rows of a group that is recommended Ultra, and its percentile bootstrap interval."""

    rate: float
    low: float
    high: float
    rows: Annotated[int, Field(description="rows that it is a share of: all, the Ultra ones, or the Smart ones")]
    judged: Annotated[bool, Field(description="whether these are enough rows to compare the group with others")]


class GroupRates(_Model):
    """The rates of one group; a rate is None where the group has no rows with the label that it is about."""

    group: Group
    rows: int
    selection_rate: Annotated[Rate, Field(description="of all rows")]
    true_positive_rate: Annotated[Rate | None, Field(description="of the rows on Ultra")]
    false_positive_rate: Annotated[Rate | None, Field(description="of the rows on Smart")]


class RateDifference(_Model):
    """The largest difference of a rate between two judged groups.

    The interval is that of the difference between these two groups. It ignores that they were chosen because their
    difference is the largest.
    """

    rate: RateName
    highest: Group
    lowest: Group
    difference: float
    low: float
    high: float
    beyond_tolerance: bool


class ParityReport(_Model):
    """The verdict on the groups of one column, and the figures that it is based on."""

    column: str
    verdict: Literal["parity", "no parity"]
    tolerance: float
    confidence: float
    min_rows: int
    groups: Annotated[list[GroupRates], Field(description="in the order of their names")]
    differences: Annotated[list[RateDifference], Field(description="of the rates that two groups can be judged on")]
    not_judged: Annotated[list[RateName], Field(description="rates that fewer than two groups can be judged on")]


def measure_parity(
    column: str,
    groups: npt.NDArray[np.object_],
    target: Labels,
    decisions: Labels,
    settings: ParitySettings,
    seed: int,
) -> ParityReport:
    """Compare the rates of groups; intervals are percentile bootstrap intervals (Efron & Tibshirani 1993, chapter 13).

    Rows are resampled within their group. The verdict is "no parity" if the largest difference of a rate exceeds the
    tolerance, whatever its interval: a large difference is not excused by few rows. A group is not judged on a rate
    that is a share of fewer than `min_rows` rows.

    Args:
        column: name of the column that holds the groups, for the report.
        groups: its cells as text, shape (rows,); an empty cell is a group of its own, `EMPTY`.
        target: labels, shape (rows,).
        decisions: 1 where Ultra is recommended, shape (rows,).
        settings: tolerance, minimum of rows, resamples and confidence.
        seed: draws the resamples.

    Raises:
        TableError: the column holds more than `max_groups` values, or no rate can be judged in two groups.
    """
    values, group_of = np.unique(np.where(groups == "", EMPTY, groups), return_inverse=True)
    names: list[str] = values.tolist()
    if len(names) > settings.max_groups:
        raise TableError(
            f"column {column!r}: expected at most {settings.max_groups:,} groups (parity.max_groups), found "
            f"{len(names):,} different values; name a column of few values"
        )
    cells = np.bincount(4 * group_of + 2 * target + decisions, minlength=4 * len(names)).reshape(-1, 4)
    rng = np.random.default_rng(seed)
    samples = np.empty((len(names), settings.bootstrap_samples, len(RATES)))
    for i, counts in enumerate(cells):
        # The rates depend only on each row's label and decision, so a resample is a draw from these four kinds of row.
        rows = counts.sum()
        samples[i] = _rates(rng.multinomial(rows, counts / rows, size=settings.bootstrap_samples))
    rates, bases = _rates(cells), _bases(cells)
    judged = (bases >= settings.min_rows) & (bases > 0)
    _require_two_groups(column, names, bases, judged, settings)
    differences = [
        _difference(name, names, rates[:, k], samples[:, :, k], judged[:, k], settings)
        for k, name in enumerate(RATES)
        if judged[:, k].sum() >= 2
    ]
    return ParityReport(
        column=column,
        verdict="no parity" if any(d.beyond_tolerance for d in differences) else "parity",
        tolerance=settings.tolerance,
        confidence=settings.confidence,
        min_rows=settings.min_rows,
        groups=[_group(name, rates[i], samples[i], bases[i], judged[i], settings) for i, name in enumerate(names)],
        differences=differences,
        not_judged=[name for k, name in enumerate(RATES) if judged[:, k].sum() < 2],
    )


def _bases(cells: _Counts) -> _Counts:
    """Number of rows that each rate is a share of, shape (..., 3), from counts of the four kinds of row, (..., 4)."""
    smart, ultra = cells[..., 0] + cells[..., 1], cells[..., 2] + cells[..., 3]
    return np.stack([smart + ultra, ultra, smart], axis=-1)


def _rates(cells: _Counts) -> _Samples:
    """Rates in the order of `RATES`, shape (..., 3), from the same counts; NaN where there are no rows."""
    recommended = np.stack([cells[..., 1] + cells[..., 3], cells[..., 3], cells[..., 1]], axis=-1)
    bases = _bases(cells)
    rates = np.full(bases.shape, np.nan)
    np.divide(recommended, bases, out=rates, where=bases > 0)
    return rates


def _require_two_groups(
    column: str, names: list[str], bases: _Counts, judged: npt.NDArray[np.bool_], settings: ParitySettings
) -> None:
    if (judged.sum(axis=0) >= 2).any():
        return
    found = [
        f"{name!r} {rows:,} ({ultra:,} Ultra, {smart:,} Smart)"
        for name, (rows, ultra, smart) in zip(names[:_GROUPS_NAMED], bases.tolist(), strict=False)
    ]
    more = f" and {len(names) - _GROUPS_NAMED:,} more groups" if len(names) > _GROUPS_NAMED else ""
    raise TableError(
        f"column {column!r}: expected two groups of at least {settings.min_rows:,} rows (parity.min_rows), found rows: "
        f"{', '.join(found)}{more}; measure on more rows, or name a column of fewer and larger groups"
    )


def _group(
    name: str,
    rates: _Samples,
    samples: _Samples,
    bases: _Counts,
    judged: npt.NDArray[np.bool_],
    settings: ParitySettings,
) -> GroupRates:
    def rate(k: int) -> Rate:
        low, high = _interval(samples[:, k], settings)
        return Rate(rate=float(rates[k]), low=low, high=high, rows=int(bases[k]), judged=bool(judged[k]))

    return GroupRates(
        group=name,
        rows=int(bases[0]),
        selection_rate=rate(0),
        true_positive_rate=rate(1) if bases[1] else None,
        false_positive_rate=rate(2) if bases[2] else None,
    )


def _difference(
    name: RateName,
    names: list[str],
    rates: _Samples,
    samples: _Samples,
    judged: npt.NDArray[np.bool_],
    settings: ParitySettings,
) -> RateDifference:
    candidates = np.flatnonzero(judged)
    highest, lowest = candidates[rates[candidates].argmax()], candidates[rates[candidates].argmin()]
    if highest == lowest:  # all rates are equal
        highest, lowest = candidates[:2]
    difference = float(rates[highest] - rates[lowest])
    low, high = _interval(samples[highest] - samples[lowest], settings)
    return RateDifference(
        rate=name,
        highest=names[highest],
        lowest=names[lowest],
        difference=difference,
        low=low,
        high=high,
        beyond_tolerance=difference > settings.tolerance + _ROUNDING,
    )


def _interval(samples: _Samples, settings: ParitySettings) -> tuple[float, float]:
    """Percentile interval; it leaves out resamples without a row of the label, whose rate is NaN."""
    tail = (1 - settings.confidence) / 2
    low, high = np.nanquantile(samples, [tail, 1 - tail]).tolist()
    return low, high
