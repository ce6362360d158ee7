"""What a contribution and a change of plan say, in one sentence for a person who knows odds and not log-odds.

The sentence of a contribution has three parts: the usage and the plan that it speaks for; how common such usage is
among the subscribers of each plan in the training table; and how much it moves the prediction. The second part depends
on the bin only, so it is written once for every bin, and a request joins the three.
"""

import math
from functools import lru_cache
from typing import Final, NamedTuple

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.regions import FEW_ROWS, Region, regions
from plan_recommender.model.tables import FeatureTable, ModelDocument

HARDLY: Final = 1.05
"""A factor of the odds up to which a feature hardly matters."""

_LOG_HARDLY: Final = math.log(HARDLY)
_BILLION: Final = 1e9
_LARGEST_EDGE: Final = 1e15
_SMALLEST_EDGE: Final = 1e-6
_MAX_FACTOR: Final = 1e6
_MUCH_LESS: Final = 0.5
"""A share up to this part of another is called "only"."""

_PLURAL, _SINGULAR = range(2)
_NOUNS: Final = {
    "calls": ("calls", "call"),
    "minutes": ("minutes of calls", "minute of calls"),
    "messages": ("text messages", "text message"),
    "mb_used": ("MB of data", "MB of data"),
}
_MASS_NOUNS: Final = {"mb_used"}
_USED: Final = {"calls": "made", "minutes": "had", "messages": "sent", "mb_used": "used"}
_ANY: Final = {
    "calls": "number of calls",
    "minutes": "number of minutes",
    "messages": "number of text messages",
    "mb_used": "amount of data",
}
_UNITS: Final = {"calls": "", "minutes": "", "messages": "", "mb_used": " MB"}
_SPEAK: Final = ("speak", "speaks")
_MATTER: Final = ("hardly matter", "hardly matters")


class Words(NamedTuple):
    """What the sentence of one contribution says."""

    sentence: str
    few_training_rows: bool
    """Whether the training table has fewer than `FEW_ROWS` rows with such usage, so that the sentence warns."""


class Sentences:
    """Writes the sentences of one model."""

    def __init__(self, document: ModelDocument) -> None:
        """Write, for every bin of every feature, what does not depend on the request."""
        self._features = [_FeatureSentences(feature) for feature in document.features]

    def words(self, feature: int, value: float, b: int, contribution: float, points: float) -> Words:
        """Say which plan a feature speaks for, how common such usage is, and how strongly it speaks.

        Args:
            feature: its position in `FEATURE_NAMES`.
            value: this subscriber's, in the feature's unit; NaN is a missing value.
            b: the bin of the value.
            contribution: to the log-odds of Ultra; its exponential is the factor that it multiplies the odds by.
            points: what it adds to the probability of Ultra, in percentage points.
        """
        return self._features[feature].words(value, b, contribution, points)


class _Evidence(NamedTuple):
    """What follows the verb of a sentence and precedes the effect, by what the feature speaks for."""

    ultra: str
    smart: str
    neither: str
    few: bool


class _FeatureSentences:
    """The sentences on one feature."""

    def __init__(self, feature: FeatureTable) -> None:
        name = feature.name
        self._noun, self._mass = _NOUNS[name], name in _MASS_NOUNS
        self._typical = f" this month (typical: {_amount(feature.median)}) "
        shown, what = _amount(feature.median), "amount" if self._mass else "number"
        number = self._number(shown)
        self._assumed = f"The typical {shown} {self._noun[number]}, assumed because the {what} is missing, ", number
        self._smallest, self._largest = feature.smallest, feature.largest
        self._evidence = [_evidence(feature, region) for region in regions(feature)]
        self._below = _beyond(f"less than {_counted(name, feature.smallest)}")
        self._above = _beyond(f"more than {_counted(name, feature.largest)}")

    def words(self, value: float, b: int, contribution: float, points: float) -> Words:
        evidence = self._evidence[b]
        if value != value:
            subject, number = self._assumed
        else:
            shown = _amount(value)
            number = self._number(shown)
            subject = f"{shown[0].upper()}{shown[1:]} {self._noun[number]}{self._typical}"
            if value > self._largest:
                evidence = self._above
            elif value < self._smallest:
                evidence = self._below
        if contribution > _LOG_HARDLY:
            sentence = f"{subject}{_SPEAK[number]}{evidence.ultra}{_effect('Ultra', contribution, points)}"
        elif contribution < -_LOG_HARDLY:
            sentence = f"{subject}{_SPEAK[number]}{evidence.smart}{_effect('Smart', -contribution, -points)}"
        else:
            sentence = f"{subject}{_MATTER[number]}{evidence.neither}{_small_effect(contribution, points)}"
        return Words(sentence, evidence.few)

    def _number(self, shown: str) -> int:
        return _SINGULAR if self._mass or shown == "1" else _PLURAL


def _evidence(feature: FeatureTable, region: Region) -> _Evidence:
    """Say how common usage in a region is on each plan."""
    plans = {"Ultra": sum(feature.ultra_rows), "Smart": sum(feature.smart_rows)}
    total = sum(plans.values())
    span = _span(feature, region)
    if region.few:
        scarce = [f"{_months(rows)} on {plan}" for plan, rows in plans.items() if rows < FEW_ROWS]
        if scarce or span is None:
            table = " and ".join(scarce) if total >= FEW_ROWS else _months(total)
            return _warned(f"the training table has {table}")
        who = _split(region)
        only = "only one" if region.rows == 1 else f"only {region.rows}"
        return _warned(f"{only} of the {total:,} months in the training table had {span}, {who}")
    if span is None:
        alike = ": all of the training table falls into one range"
        return _Evidence(f" for Ultra{alike}", f" for Smart{alike}", alike, few=False)
    shares = {"Ultra": region.ultra / plans["Ultra"], "Smart": region.smart / plans["Smart"]}
    used = f"{_USED[feature.name]} {span}"
    # Little use that speaks for the large plan, or heavy use for the small one, is what a reader would not expect.
    return _Evidence(
        ultra=f" for Ultra{_for('Ultra', 'Smart', shares, used, unexpected=region.low)}",
        smart=f" for Smart{_for('Smart', 'Ultra', shares, used, unexpected=region.high)}",
        neither=_for_neither(shares, used),
        few=False,
    )


def _for(plan: str, other: str, shares: dict[str, float], used: str, unexpected: bool) -> str:
    """Say how common usage is that speaks for `plan`: as a reason where it is more common there."""
    here, there = _share(shares[plan]), _share(shares[other])
    if here == there:
        return f" together with the other values: in the training table, subscribers of both plans {used} in {here}"
    if shares[plan] < shares[other]:
        rarer = _only(shares[plan], shares[other])
        return (
            f" together with the other values, although in the training table {other} subscribers {used} more often, "
            f"in {there}, and {plan} subscribers in {rarer}"
        )
    start = ", as the model learned from the training table: there," if unexpected else ": in the training table,"
    rarer = _only(shares[other], shares[plan])
    return f"{start} {plan} subscribers {used} in {here} and {other} subscribers in {rarer}"


def _for_neither(shares: dict[str, float], used: str) -> str:
    smart, ultra = _share(shares["Smart"]), _share(shares["Ultra"])
    if smart == ultra:
        return f": in the training table, subscribers of both plans {used} in {smart}"
    low, high = sorted(shares, key=lambda plan: shares[plan])
    beside = " next to the other values" if shares[low] <= shares[high] * _MUCH_LESS else ""
    rarer = _only(shares[low], shares[high])
    often = _share(shares[high])
    return f"{beside}: in the training table, {high} subscribers {used} in {often} and {low} subscribers in {rarer}"


def _warned(reason: str) -> _Evidence:
    little = f", but there is little to go on: {reason}"
    return _Evidence(f" for Ultra{little}", f" for Smart{little}", little, few=True)


def _beyond(usage: str) -> _Evidence:
    guess = f", but this is a guess: no month in the training table had {usage}"
    return _Evidence(f" for Ultra{guess}", f" for Smart{guess}", guess, few=True)


def _span(feature: FeatureTable, region: Region) -> str | None:
    """Name the range of values that a region covers, with its noun; None if it covers all."""
    name, ends = feature.name, len(feature.cuts)
    low = feature.cuts[region.first - 1] if region.first > 0 else None  # the range begins above it
    high = feature.cuts[region.last] if region.last < ends else None
    if feature.whole:
        low, high = (None if end is None else float(math.floor(end)) for end in (low, high))
    if low is None:
        if high is None:
            return None
        return f"no {_NOUNS[name][_PLURAL]}" if high < _SMALLEST_EDGE else f"at most {_counted(name, high)}"
    if high is None:
        return f"at least {_counted(name, 1)}" if feature.whole and low == 0 else f"more than {_counted(name, low)}"
    if feature.whole:
        low += 1
    if _edge(low) == _edge(high):
        return f"{'exactly' if feature.whole else 'about'} {_counted(name, high)}"
    return f"between {_edge(low)} and {_counted(name, high)}"


def _split(region: Region) -> str:
    if region.rows == 1:
        return f"which was on {'Ultra' if region.ultra else 'Smart'}"
    if not region.smart or not region.ultra:
        return f"all of them on {'Ultra' if region.ultra else 'Smart'}"
    return f"{region.smart} on Smart and {region.ultra} on Ultra"


def _months(rows: int) -> str:
    return "no month" if rows == 0 else "only one month" if rows == 1 else f"only {rows:,} months"


def _share(share: float) -> str:
    """Say in how many of their months the subscribers of a plan do something."""
    if share in (0, 1):
        return f"{'all' if share else 'none'} of their months"
    percent = f"{share:.0%}"
    percent = {"0%": "less than 1%", "100%": "more than 99%"}.get(percent, percent)
    return f"{percent} of their months"


def _only(share: float, other: float) -> str:
    """Say the smaller of two shares after the larger one."""
    only = "only " if 0 < share <= other * _MUCH_LESS and share >= 0.005 else ""
    return f"{only}{_share(share).replace('their months', 'theirs')}"


def _effect(plan: str, log_factor: float, points: float) -> str:
    """Say what speaks for a plan: both arguments are at least 0."""
    factor = _factor(log_factor)
    return f"; this raises the probability of {plan} by {_points(points)} and multiplies its odds by {factor}."


def _small_effect(contribution: float, points: float) -> str:
    if contribution == 0:
        return "; this changes neither the probability nor the odds."
    most = f"{HARDLY - 1:.0%} at most"
    return f"; this changes the probability of Ultra by {_points(abs(points))} and its odds by {most}."


def _points(points: float) -> str:
    if points < 1:
        return "less than one percentage point"
    whole = int(points + 0.5)
    if whole == 1:
        return "one percentage point"
    return f"{whole} percentage points" if whole < 100 else "more than 99 percentage points"


@lru_cache(maxsize=8192)  # a change is at an end of a bin, so that the same sentences come again
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


def _counted(feature: str, value: float) -> str:
    """Name an end of a range, with its noun."""
    shown = _edge(value)
    noun = _NOUNS[feature][_SINGULAR if shown == "1" else _PLURAL]
    return f"{shown} {noun.removesuffix(' of calls').removesuffix(' of data')}"


def _edge(value: float) -> str:
    """Name an end of a range; unlike an amount, it may follow "more than", and differs from that of other ranges."""
    if value >= _LARGEST_EDGE:
        return f"10 to the power of {math.floor(math.log10(value))}"
    if value >= _BILLION:
        return f"{_trimmed(value / _BILLION, 3)} billion"
    if value < _SMALLEST_EDGE:
        return "0"
    if value < 1:
        return _trimmed(value, 1 - math.floor(math.log10(value)))
    return _trimmed(value, 0 if value >= 100 else 1)


def _factor(log_factor: float) -> str:
    if log_factor > math.log(_MAX_FACTOR):
        return "more than a million"
    factor = math.exp(log_factor)
    return _trimmed(factor, 2 if factor < 2 else 1 if factor < 10 else 0)


def _trimmed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


assert tuple(_NOUNS) == tuple(_USED) == tuple(_ANY) == FEATURE_NAMES
