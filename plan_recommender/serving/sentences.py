"""What a contribution and a change of plan say, in one sentence for a person who knows odds and not log-odds."""

import math
from typing import Final

HARDLY: Final = 1.05
"""A factor of the odds up to which a feature hardly matters."""

_BILLION: Final = 1e9
_MAX_FACTOR: Final = 1e6
_NOUNS: Final = {
    "calls": ("call", "calls"),
    "minutes": ("minute of calls", "minutes of calls"),
    "messages": ("text message", "text messages"),
    "mb_used": ("MB of data", "MB of data"),
}
_MASS_NOUNS: Final = {"mb_used"}
_ANY: Final = {
    "calls": "number of calls",
    "minutes": "number of minutes",
    "messages": "number of text messages",
    "mb_used": "amount of data",
}
_UNITS: Final = {"calls": "", "minutes": "", "messages": "", "mb_used": " MB"}


def sentence(feature: str, value: float, typical: float, contribution: float) -> str:
    """Say which plan a feature speaks for, and how strongly.

    Args:
        feature: its name.
        value: this subscriber's, in the feature's unit.
        typical: the median of all subscribers.
        contribution: to the log-odds of Ultra; its exponential is the factor that it multiplies the odds by.
    """
    shown = _amount(value)
    one = shown == "1"
    speak, matter, it, multiply, change = (
        ("speaks", "matters", "it", "multiplies", "changes")
        if one or feature in _MASS_NOUNS
        else ("speak", "matter", "they", "multiply", "change")
    )
    subject = f"{shown} {_NOUNS[feature][0 if one else 1]} this month (typical: {_amount(typical)})"
    subject = subject[0].upper() + subject[1:]
    if abs(contribution) <= math.log(HARDLY):
        return f"{subject} hardly {matter}: {it} {change} the odds by {HARDLY - 1:.0%} at most."
    plan = "Ultra" if contribution > 0 else "Smart"
    return f"{subject} {speak} for {plan}: {it} {multiply} the odds of {plan} by {_factor(abs(contribution))}."


def change_sentence(feature: str, change: float | None, other_plan: str) -> str:
    """Say where, everything else equal, the other plan would be recommended.

    It says nothing of the values beyond: further out the plan may be the first one again.

    Args:
        feature: its name.
        change: the nearest value at which the plan is the other one, in the feature's unit; None if no value is.
        other_plan: the name of that plan.
    """
    if change is None:
        return f"Everything else equal, no {_ANY[feature]} would change the plan."
    where = "just above 0" if 0 < change < 0.01 else f"about {_amount(change)}{_UNITS[feature]}" if change else "0"
    return f"Everything else equal, the nearest {_ANY[feature]} at which {other_plan} would be recommended is {where}."


def _amount(value: float) -> str:
    if value > _BILLION:
        return "more than a billion"
    if 0 < value < 0.01:
        return "less than 0.01"
    # abs: a request may say -0.0, which is zero
    return _trimmed(abs(value), 0 if value >= 100 else 1 if value >= 1 else 2)


def _factor(log_factor: float) -> str:
    if log_factor > math.log(_MAX_FACTOR):
        return "more than a million"
    factor = math.exp(log_factor)
    return _trimmed(factor, 2 if factor < 2 else 1 if factor < 10 else 0)


def _trimmed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
