"""How many subscribers an experiment needs, to see a change of churn of some size between contacts and controls.

The formula is that of Fleiss, Levin & Paik (2003), "Statistical methods for rates and proportions", 3rd edition,
chapter 4, without the correction for continuity; for groups of unequal size it is that of Fleiss, Tytun & Ury (1980),
"A simple approximation for calculating sample sizes for comparing independent proportions", Biometrics 36. With the
rates p of controls and q of contacts, r contacts for each control, and P = (p + r q) / (1 + r), the controls are

    (z₁ √((r + 1) P (1 - P)) + z₂ √(r p (1 - p) + q (1 - q)))² / (r (q - p)²)

where z₁ is the normal quantile of a two-sided test at 5 %, and z₂ that of the power. It is for a fixed horizon: one
comparison, at the end. Who looks every week and stops at the first difference finds one too often.
"""

from math import ceil, sqrt
from typing import Final, NamedTuple

from scipy.special import ndtri

from plan_recommender.errors import ConfigError

CONFIDENCE: Final = 0.95
"""Of the two-sided comparison."""

POWER: Final = 0.8
"""Chance that a change of the stated size is seen."""

_STEPS: Final = 60
"""Of a bisection of rates; each halves the error."""

_Z: Final = float(ndtri((1 + CONFIDENCE) / 2))
_Z_POWER: Final = float(ndtri(POWER))


class Arms(NamedTuple):
    """Sizes of the two groups of an experiment (subscribers)."""

    contacts: int
    controls: int


class Visible(NamedTuple):
    """The changes of a rate that an experiment can just see, as rates of the contacts (0 to 1)."""

    fall: float | None
    """The lower rate; None: not even a fall to 0 would be seen."""
    rise: float | None
    """The higher rate; None: not even a rise to 1 would be seen."""


def sample_size(before: float, after: float, control: float = 0.5) -> Arms:
    """Compute how many subscribers show a change of a rate.

    Args:
        before: rate of the controls (between 0 and 1).
        after: rate of the contacts (0 to 1), another one.
        control: share of the control group (between 0 and 1); 0.5 needs the fewest subscribers, or nearly so.

    Raises:
        ConfigError: the rates or the share are not possible.
    """
    if not (0 < before < 1 and 0 <= after <= 1 and before != after):
        raise ConfigError(f"expected two different rates from 0 to 1, found {before} and {after}")
    if not 0 < control < 1:
        raise ConfigError(f"control: expected a share between 0 and 1, found {control}")
    each = (1 - control) / control
    controls = _controls(before, after, each)
    return Arms(contacts=ceil(each * controls), controls=ceil(controls))


def visible_change(before: float, arms: Arms) -> Visible:
    """Compute the smallest fall and the smallest rise of a rate that groups of these sizes show.

    Args:
        before: rate of the controls (between 0 and 1).
        arms: both groups, at least one subscriber each.

    Raises:
        ConfigError: the rate or the sizes are not possible.
    """
    if not 0 < before < 1 or min(arms) < 1:
        raise ConfigError(f"expected a rate between 0 and 1 and two groups, found {before} and {tuple(arms)}")
    return Visible(_nearest(before, 0.0, arms), _nearest(before, 1.0, arms))


def _nearest(before: float, extreme: float, arms: Arms) -> float | None:
    """Find the nearest rate to `before`, towards `extreme`, that is seen: the controls needed fall with the distance.

    They are (f(d) / d)² of the distance d, and f is concave with f(0) > 0, so that f(d) / d falls.
    """
    each = arms.contacts / arms.controls
    if _controls(before, extreme, each) > arms.controls:
        return None
    unseen, seen = before, extreme
    for _ in range(_STEPS):
        middle = (unseen + seen) / 2
        if middle in (unseen, seen):
            break
        if _controls(before, middle, each) > arms.controls:
            unseen = middle
        else:
            seen = middle
    return seen


def _controls(before: float, after: float, each: float) -> float:
    """Compute the controls that are needed beside `each` times as many contacts."""
    pooled = (before + each * after) / (1 + each)
    if_equal = sqrt((each + 1) * pooled * (1 - pooled))
    if_not = sqrt(each * before * (1 - before) + after * (1 - after))
    return (_Z * if_equal + _Z_POWER * if_not) ** 2 / (each * (after - before) ** 2)
