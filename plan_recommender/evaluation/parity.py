"""Whether groups of subscribers are recommended Ultra at the same rates; a group is a value of one column.

Demographic parity asks for equal selection rates; equal opportunity for equal true positive rates; equalised odds for
equal true and false positive rates (Hardt, Price & Srebro 2016, "Equality of opportunity in supervised learning").
Every two groups are compared on all three rates, with intervals that hold together (`group_rates` has them).
"""

import math
from itertools import combinations
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import norm

from plan_recommender.config.settings import ParitySettings
from plan_recommender.errors import TableError
from plan_recommender.evaluation.group_rates import Codes, GroupedRates, Intervals, measure_rates
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

_GROUPS_NAMED = 10  # groups that an error lists
_POWER = 0.8  # probability with which the rows that would tell do tell

Group = Annotated[str, Field(description="a value of the column")]
Verdict = Literal["parity", "no parity", "cannot tell"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Model):
    """The share of some rows of a group that is recommended Ultra, and its interval, which holds for it alone."""

    rate: float
    low: float
    high: float
    rows: Annotated[int, Field(description="rows that it is a share of: all, the Ultra ones, or the Smart ones")]
    effective_rows: Annotated[float, Field(description="rows of different subscribers that would tell as much")]


class GroupRates(_Model):
    """The rates of one group; a rate is None where the group has no rows with the label that it is about."""

    group: Group
    rows: int
    subscribers: Annotated[int | None, Field(description="None where every row is a subscriber of its own")]
    judged: Annotated[bool, Field(description="whether it has enough rows to be compared with other groups")]
    rows_to_tell: Annotated[
        int | None, Field(description="rows that would tell; None where these are enough, or no number would tell")
    ]
    subscribers_to_tell: Annotated[int | None, Field(description="as many subscribers as have these rows")]
    selection_rate: Annotated[Rate, Field(description="of all rows")]
    true_positive_rate: Annotated[Rate | None, Field(description="of the rows on Ultra")]
    false_positive_rate: Annotated[Rate | None, Field(description="of the rows on Smart")]


class Comparison(_Model):
    """The difference of a rate between two judged groups, and its interval, which holds together with all others."""

    rate: RateName
    first: Group
    second: Group
    difference: Annotated[
        float | None, Field(description="first less second; None where one has no rows to take the rate of")
    ]
    low: float
    high: float
    verdict: Annotated[
        Literal["within", "beyond", "cannot tell"],
        Field(description="whether the whole interval lies within the tolerance, or beyond it"),
    ]


class ParityReport(_Model):
    """The verdict on the groups of one column, and the figures that it is based on."""

    column: str
    verdict: Verdict
    tolerance: float
    confidence: float
    min_rows: int
    subscribers: Annotated[int | None, Field(description="None where every row is a subscriber of its own")]
    correlations: Annotated[
        dict[RateName, float] | None, Field(description="of the decisions about two rows of a subscriber")
    ]
    groups: Annotated[list[GroupRates], Field(description="in the order of their names")]
    comparisons: Annotated[list[Comparison], Field(description="of every two judged groups, for each rate")]


def measure_parity(
    column: str,
    groups: npt.NDArray[np.object_],
    subscribers: Codes | None,
    target: Labels,
    decisions: Labels,
    settings: ParitySettings,
) -> ParityReport:
    """Compare the rates of groups with each other.

    The verdict is "no parity" if the interval of a difference lies wholly beyond the tolerance, "parity" if all lie
    within it, and otherwise "cannot tell" with the number of rows that would (`_times_to_tell`). Groups of fewer than
    `min_rows` rows are listed and have no part in the verdict.

    Args:
        column: name of the column that holds the groups, for the report.
        groups: its cells as text, shape (rows,); an empty cell is a group of its own, `EMPTY`.
        subscribers: a number for each row that tells its subscriber, who may have rows in several groups, shape
            (rows,); None when every row is a subscriber of its own.
        target: labels, shape (rows,).
        decisions: 1 where Ultra is recommended, shape (rows,).
        settings: tolerance, confidence, minimum of rows and maximum of groups.

    Raises:
        TableError: the column holds more than `max_groups` values, or fewer than two groups have `min_rows` rows.
    """
    values, group_of = np.unique(np.where(groups == "", EMPTY, groups), return_inverse=True)
    names: list[str] = values.tolist()
    if len(names) > settings.max_groups:
        raise TableError(
            f"column {column!r}: expected at most {settings.max_groups:,} groups (parity.max_groups), found "
            f"{len(names):,} different values; name a column of few values"
        )
    rates = measure_rates(group_of, np.arange(len(target)) if subscribers is None else subscribers, target, decisions)
    judged = rates.rows[0] >= settings.min_rows
    pairs = np.array(list(combinations(np.flatnonzero(judged), 2)))
    if not len(pairs):
        raise _too_few(column, names, rates.rows, settings)
    alpha = (1 - settings.confidence) / (len(RATES) * len(pairs))
    found = rates.differences(pairs, alpha)
    verdict = _verdict(found, settings.tolerance)
    times = np.ones(len(names))
    if verdict == "cannot tell":
        times = _times_to_tell(rates, pairs, found, alpha, settings.tolerance)
    known = None if subscribers is None else [len(np.unique(subscribers[group_of == i])) for i in range(len(names))]
    alone = rates.intervals(1 - settings.confidence)
    return ParityReport(
        column=column,
        verdict=verdict,
        tolerance=settings.tolerance,
        confidence=settings.confidence,
        min_rows=settings.min_rows,
        subscribers=None if subscribers is None else len(np.unique(subscribers)),
        correlations=None if subscribers is None else dict(zip(RATES, rates.correlations.tolist(), strict=True)),
        groups=[
            GroupRates(
                group=name,
                rows=rates.rows[0, i],
                subscribers=known and known[i],
                judged=judged[i],
                rows_to_tell=_more(rates.rows[0, i], times[i]),
                subscribers_to_tell=known and _more(known[i], times[i]),
                selection_rate=_rate(0, i, rates, alone),
                true_positive_rate=_rate(1, i, rates, alone) if rates.rows[1, i] else None,
                false_positive_rate=_rate(2, i, rates, alone) if rates.rows[2, i] else None,
            )
            for i, name in enumerate(names)
        ],
        comparisons=_comparisons(names, rates, pairs, found, settings.tolerance),
    )


def _told(found: Intervals, tolerance: float) -> npt.NDArray[np.bool_]:
    told: npt.NDArray[np.bool_] = (found.nearest > tolerance) | (found.farthest <= tolerance)
    return told


def _verdict(found: Intervals, tolerance: float) -> Verdict:
    if (found.nearest > tolerance).any():
        return "no parity"
    return "parity" if _told(found, tolerance).all() else "cannot tell"


def _times_to_tell(
    measured: GroupedRates, pairs: Codes, found: Intervals, alpha: float, tolerance: float
) -> npt.NDArray[np.float64]:
    """Give how many times its rows each group needs for all comparisons to be told; at most 1 where they are enough.

    A comparison is told if the interval of its difference has a half width of at most the distance from the difference
    to the tolerance, and it has if the rates of both groups have one of at most this margin / √2. The half width falls
    with the root of the rows.

    The margin is such that groups that are alike, and groups that differ by twice the tolerance, are told with the
    probability `_POWER`: tolerance z / (z + z'), where z belongs to the interval and z' to the power (the usual size of
    a sample, for example Chow, Shao & Wang 2008). Where the rows are enough for that and yet do not tell, or the
    tolerance is 0, it is the distance from the measured difference to the tolerance.
    """
    one, other = pairs.T
    needed, granted = norm.isf(alpha / 2), norm.isf((1 - _POWER) / found.low.size)
    planned = tolerance * needed / (needed + granted)
    widths = np.where(measured.rows > 0, measured.intervals(alpha).half_width, np.inf)
    enough = math.sqrt(2) * np.maximum(widths[:, one], widths[:, other]) <= planned
    left = np.abs(np.abs(measured.rates[:, one] - measured.rates[:, other]) - tolerance)
    margin = np.where(enough | (tolerance == 0), left, planned)
    times = np.zeros(measured.rates.shape[1])
    with np.errstate(divide="ignore"):
        for rate, pair in np.argwhere(~_told(found, tolerance)):
            both = pairs[pair]
            times[both] = np.maximum(times[both], 2 * (widths[rate, both] / margin[rate, pair]) ** 2)
    return times


def _more(count: int, times: float) -> int | None:
    return math.ceil(count * times) if 1 < times < math.inf else None


def _comparisons(
    names: list[str], measured: GroupedRates, pairs: Codes, found: Intervals, tolerance: float
) -> list[Comparison]:
    told, beyond = _told(found, tolerance), found.nearest > tolerance
    return [
        Comparison(
            rate=name,
            first=names[one],
            second=names[other],
            difference=float(rates[one] - rates[other]) if rows[one] and rows[other] else None,
            low=found.low[k, i],
            high=found.high[k, i],
            verdict="beyond" if beyond[k, i] else "within" if told[k, i] else "cannot tell",
        )
        for k, (name, rates, rows) in enumerate(zip(RATES, measured.rates, measured.rows, strict=True))
        for i, (one, other) in enumerate(pairs.tolist())
    ]


def _rate(k: int, i: int, measured: GroupedRates, alone: Intervals) -> Rate:
    return Rate(
        rate=measured.rates[k, i],
        low=alone.low[k, i],
        high=alone.high[k, i],
        rows=measured.rows[k, i],
        effective_rows=measured.effective[k, i],
    )


def _too_few(column: str, names: list[str], rows: Codes, settings: ParitySettings) -> TableError:
    found = [
        f"{name!r} {in_all:,} ({ultra:,} Ultra, {smart:,} Smart)"
        for name, (in_all, ultra, smart) in zip(names[:_GROUPS_NAMED], rows.T.tolist(), strict=False)
    ]
    more = f" and {len(names) - _GROUPS_NAMED:,} more groups" if len(names) > _GROUPS_NAMED else ""
    return TableError(
        f"column {column!r}: expected two groups of at least {settings.min_rows:,} rows (parity.min_rows), found rows: "
        f"{', '.join(found)}{more}; measure on more rows, or name a column of fewer and larger groups"
    )
