"""How common usage is on each plan, in words: the middle of a sentence on a reason, for every bin of a feature."""

import math
from typing import Final, NamedTuple

from plan_recommender.model.languages import Language, localized, trimmed
from plan_recommender.model.reason_words import REASON_WORDS, Shares
from plan_recommender.model.regions import FEW_ROWS, Region
from plan_recommender.model.tables import FeatureTable

_BILLION: Final = 1e9
_LARGEST_EDGE: Final = 1e15
_SMALLEST_EDGE: Final = 1e-6
_MUCH_LESS: Final = 0.5
"""A share up to this part of another is called "only"."""


class Evidence(NamedTuple):
    """What stands between the verb of a sentence and its points, by what the feature speaks for."""

    ultra: str
    smart: str
    neither: str
    nothing: str
    """The same where the contribution is zero, so that the sentence has no points and ends here."""
    few: bool


class Bins:
    """Says how common usage in a region of one feature is on each plan."""

    def __init__(self, feature: FeatureTable, language: Language) -> None:
        """Take the feature, and the language of what is said."""
        self._feature, self._name, self._language = feature, feature.name, language
        self._words = REASON_WORDS[language]
        self._plans = {"Ultra": sum(feature.ultra_rows), "Smart": sum(feature.smart_rows)}

    def evidence(self, region: Region) -> Evidence:
        """Say how common usage in a region is."""
        words, plans = self._words, self._plans
        span = self._span(region)
        if region.few:
            return self._same(words.warned.format(reason=self._scarce(region, span)), few=True)
        if span is None:
            return self._same(words.alike, few=False)
        shares = {"Ultra": region.ultra / plans["Ultra"], "Smart": region.smart / plans["Smart"]}
        nothing = span == words.nothing[self._name]
        did = words.did_not[self._name] if nothing else words.did[self._name].format(span=span)
        # Little use that speaks for the large plan, or heavy use for the small one, is what a reader would not expect.
        return self._of(
            ultra=self._for("Ultra", "Smart", shares, did, unexpected=region.low),
            smart=self._for("Smart", "Ultra", shares, did, unexpected=region.high),
            neither=self._for_neither(shares, did),
            few=False,
        )

    def beyond(self) -> tuple[Evidence, Evidence]:
        """Say that usage is less than the smallest of the training table, and more than the largest."""
        words, feature = self._words, self._feature
        below = words.less_than.format(end=self._counted(feature.smallest))
        above = words.more_than.format(end=self._counted(feature.largest))
        return (
            self._same(words.guess.format(usage=below), few=True),
            self._same(words.guess.format(usage=above), few=True),
        )

    def _same(self, said: str, few: bool) -> Evidence:
        return self._of(said, said, said, few)

    def _of(self, ultra: str, smart: str, neither: str, few: bool) -> Evidence:
        """Put the plan before what is said, and the beginning of the effect behind it."""
        words = self._words
        for_plan, raises = words.for_plan, words.effect.partition("{points}")[0]
        return Evidence(
            ultra=for_plan.format(plan="Ultra") + ultra + raises.format(plan="Ultra"),
            smart=for_plan.format(plan="Smart") + smart + raises.format(plan="Smart"),
            neither=neither + words.small_effect.partition("{points}")[0],
            nothing=neither + words.no_effect,
            few=few,
        )

    def _scarce(self, region: Region, span: str | None) -> str:
        """Say how few the rows are: in all, of a plan, or with such usage."""
        words, plans = self._words, self._plans
        total = sum(plans.values())
        scarce = [
            words.of_plan.format(months=self._months(rows), plan=plan)
            for plan, rows in plans.items()
            if rows < FEW_ROWS
        ]
        if scarce or span is None:
            months = words.conjunction.join(scarce) if total >= FEW_ROWS else self._months(total)
            return words.scarce.format(months=months)
        few = words.one_of if region.rows == 1 else words.some_of
        return few.format(rows=region.rows, total=self._count(total), span=span, who=self._split(region))

    def _months(self, rows: int) -> str:
        words = self._words
        if rows == 0:
            return words.no_month
        return words.one_month if rows == 1 else words.months.format(rows=self._count(rows))

    def _count(self, rows: int) -> str:
        return localized(f"{rows:,}", self._language)

    def _split(self, region: Region) -> str:
        words, plan = self._words, "Ultra" if region.ultra else "Smart"
        if region.rows == 1:
            return words.one_on.format(plan=plan)
        if not region.smart or not region.ultra:
            return words.all_on.format(plan=plan)
        return words.on_both.format(smart=region.smart, ultra=region.ultra)

    def _for(self, plan: str, other: str, shares: dict[str, float], did: str, unexpected: bool) -> str:
        """Say how common usage is that speaks for `plan`: as a reason where it is more common there."""
        words = self._words
        here, there = _share(shares[plan], words.shares), _share(shares[other], words.shares)
        if here == there:
            return words.together.format(did=did, share=here)
        if shares[plan] < shares[other]:
            rarer = self._rarer(shares[plan], shares[other])
            return words.although.format(other=other, did=did, share=there, plan=plan, rarer=rarer)
        reason = words.unexpectedly if unexpected else words.because
        return reason.format(
            plan=plan, did=did, share=here, other=other, rarer=self._rarer(shares[other], shares[plan])
        )

    def _for_neither(self, shares: dict[str, float], did: str) -> str:
        words = self._words
        smart, ultra = _share(shares["Smart"], words.shares), _share(shares["Ultra"], words.shares)
        if smart == ultra:
            return words.both.format(did=did, share=smart)
        low, high = sorted(shares, key=lambda plan: shares[plan])
        beside = words.beside if shares[low] <= shares[high] * _MUCH_LESS else ""
        share, rarer = _share(shares[high], words.shares), self._rarer(shares[low], shares[high])
        return beside + words.neither.format(high=high, did=did, share=share, low=low, rarer=rarer)

    def _rarer(self, share: float, other: float) -> str:
        """Say the smaller of two shares after the larger one."""
        words = self._words
        much = 0 < share <= other * _MUCH_LESS and share >= 0.005
        return (words.much_rarer if much else words.rarer).format(share=_share(share, words.rarer_shares))

    def _span(self, region: Region) -> str | None:
        """Name the range of values that a region covers, with its noun; None if it covers all."""
        feature, words, ends = self._feature, self._words, len(self._feature.cuts)
        low = feature.cuts[region.first - 1] if region.first > 0 else None  # the range begins above it
        high = feature.cuts[region.last] if region.last < ends else None
        if feature.whole:
            low, high = (None if end is None else float(math.floor(end)) for end in (low, high))
        if low is None:
            if high is None:
                return None
            nothing = words.nothing[self._name]
            return nothing if high < _SMALLEST_EDGE else words.at_most.format(end=self._counted(high))
        if high is None:
            if feature.whole and low == 0:
                return words.at_least.format(end=self._counted(1))
            return words.more_than.format(end=self._counted(low))
        if feature.whole:
            low += 1
        low_edge = _edge(low, self._language)
        if low_edge == _edge(high, self._language):
            return (words.exactly if feature.whole else words.about).format(end=self._counted(high))
        return words.between.format(low=low_edge, high=self._counted(high))

    def _counted(self, value: float) -> str:
        """Name an end of a range, with its noun."""
        words, shown = self._words, _edge(value, self._language)
        several, one = words.short_nouns[self._name]
        return f"{shown}{words.of if _BILLION <= value < _LARGEST_EDGE else ' '}{one if shown == '1' else several}"


def _share(share: float, words: Shares) -> str:
    """Say in how many of their months the subscribers of a plan do something."""
    if share in (0, 1):
        return words.all if share else words.none
    percent = f"{share * 100:.0f}"
    if percent == "0":
        return words.least
    return words.most if percent == "100" else words.some.format(percent=percent)


def _edge(value: float, language: Language) -> str:
    """Name an end of a range; unlike an amount, it may follow "more than", and differs from that of other ranges."""
    words = REASON_WORDS[language]
    if value >= _LARGEST_EDGE:
        return words.power.format(exponent=math.floor(math.log10(value)))
    if value >= _BILLION:
        several, one = words.billions
        number = trimmed(value / _BILLION, 3, language)
        return one if number == "1" else several.format(number=number)
    if value < _SMALLEST_EDGE:
        return "0"
    if value < 1:
        return trimmed(value, 1 - math.floor(math.log10(value)), language)
    return trimmed(value, 0 if value >= 100 else 1, language)
