"""What a contribution and a change of plan say, in one sentence for a person who knows odds and not log-odds.

The sentence of a contribution has three parts: the usage and the plan that it speaks for; how common such usage is
among the subscribers of each plan in the training table; and how much it moves the prediction. The second part depends
on the bin only, so evidence.py writes it once for every bin, and a request joins the three. All words are in
reason_words.py.
"""

import math
from functools import lru_cache
from typing import Final

from plan_recommender.model.evidence import Bins
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.languages import Language, localized
from plan_recommender.model.reason_words import HARDLY, REASON_WORDS, ReasonWords
from plan_recommender.model.regions import regions
from plan_recommender.model.tables import FeatureTable, ModelDocument

_LOG_HARDLY: Final = math.log(HARDLY)
_BILLION: Final = 1e9
_LEAST_SHOWN: Final = 0.01
_LOG_MAX_FACTOR: Final = math.log(1e6)

_UNITS: Final = {"calls": "", "minutes": "", "messages": "", "mb_used": " MB"}
_PLURAL, _SINGULAR = range(2)  # the places of a noun and of a verb in a pair of reason_words.py


Words = tuple[str, bool]
"""The sentence of one contribution, and whether it warns: whether the training table has fewer than `FEW_ROWS` rows
with such usage."""


class Sentences:
    """Writes the sentences of one model in one language."""

    def __init__(self, document: ModelDocument, language: Language = "en") -> None:
        """Write, for every bin of every feature, what does not depend on the request."""
        self.features = [FeatureSentences(feature, language) for feature in document.features]
        """Those on each feature, in the order of `FEATURE_NAMES`."""

    def words(self, feature: int, value: float, b: int, contribution: float, points: float) -> Words:
        """Say which plan a feature speaks for, how common such usage is, and how strongly it speaks.

        Args:
            feature: its position in `FEATURE_NAMES`.
            value: this subscriber's, in the feature's unit; NaN is a missing value.
            b: the bin of the value.
            contribution: to the log-odds of Ultra; its exponential is the factor that it multiplies the odds by.
            points: what it adds to the probability of Ultra, in percentage points.
        """
        return self.features[feature].words(value, b, contribution, points)


_Begun = tuple[str, str]
"""The beginning of a sentence up to its verb: where the feature speaks for a plan, and where it hardly matters."""


class FeatureSentences:
    """The sentences on one feature in one language; all but the amount and the factor is written beforehand."""

    def __init__(self, feature: FeatureTable, language: Language) -> None:
        """Write what does not depend on the request."""
        words, name = REASON_WORDS[language], feature.name
        self._language = language
        numbers = (_SINGULAR, _SINGULAR) if name in words.singular_nouns else (_PLURAL, _SINGULAR)
        median, nouns = _amount(feature.median, language), words.nouns[name]
        number = numbers[median == "1"]
        self._assumed = _begun(words, words.missing[name][number].format(median=f"{median} {nouns[number]}"), number)
        # These stand behind an amount: the first behind several, the second behind one.
        self._used = [_begun(words, words.usage.format(noun=nouns[n], median=median), n) for n in numbers]
        self._many, self._tiny = (
            [f"{amount[0].upper()}{amount[1:]}{used}" for used in self._used[_PLURAL]]
            for amount in (words.many_of, words.tiny)
        )
        self._smallest, self._largest = feature.smallest, feature.largest
        bins = Bins(feature, language)
        self._evidence = [bins.evidence(region) for region in regions(feature)]
        self._below, self._above = bins.beyond()
        # The factor, if there is one, stands before the end.
        raises, self._end = words.effect.partition("{points}")[2].split("{factor}")
        changes = words.small_effect.partition("{points}")[2]
        self._raises = [f"{points}{raises}" for points in _all_points(words)]
        self._changes = [f"{points}{changes}" for points in _all_points(words)]

    def words(self, value: float, b: int, contribution: float, points: float) -> Words:
        """Say what `Sentences.words` says of this feature."""
        language, evidence = self._language, self._evidence[b]
        if value != value:
            shown, (speak, matter) = "", self._assumed
        else:
            if value > self._largest:
                evidence = self._above
            elif value < self._smallest:
                evidence = self._below
            if value > _BILLION:
                shown, (speak, matter) = "", self._many
            elif 0 < value < _LEAST_SHOWN:
                shown, (speak, matter) = "", self._tiny
            else:
                shown = _amount(value, language)
                speak, matter = self._used[shown == "1"]
        if contribution > _LOG_HARDLY:
            raises, factor = self._raises[_whole(points)], _factor(contribution, language)
            sentence = f"{shown}{speak}{evidence.ultra}{raises}{factor}{self._end}"
        elif contribution < -_LOG_HARDLY:
            raises, factor = self._raises[_whole(-points)], _factor(-contribution, language)
            sentence = f"{shown}{speak}{evidence.smart}{raises}{factor}{self._end}"
        elif contribution:
            sentence = f"{shown}{matter}{evidence.neither}{self._changes[_whole(abs(points))]}"
        else:
            sentence = f"{shown}{matter}{evidence.nothing}"
        return sentence, evidence.few


def _begun(words: ReasonWords, usage: str, number: int) -> _Begun:
    return f"{usage}{words.speak[number]}", f"{usage}{words.matter[number]}"


def _all_points(words: ReasonWords) -> list[str]:
    """Give the wordings of percentage points, by their whole number from 0 to 100."""
    less, one, several, more = words.points
    return [less, one, *(several.format(whole=whole) for whole in range(2, 100)), more]


def _whole(points: float) -> int:
    """Round percentage points; less than one point is 0."""
    return 0 if points < 1 else int(points + 0.5)


@lru_cache(maxsize=8192)  # a change is at an end of a bin, so that the same sentences come again
def change_sentence(feature: str, change: float | None, other_plan: str, language: Language = "en") -> str:
    """Say where, everything else equal, the other plan would be recommended.

    It says nothing of the values beyond: further out the plan may be the first one again.

    Args:
        feature: its name.
        change: the nearest value at which the plan is the other one, in the feature's unit; None if no value is.
        other_plan: the name of that plan.
        language: of the sentence.
    """
    words = REASON_WORDS[language]
    quantity = words.quantity[feature]
    if change is None:
        return words.no_change.format(quantity=quantity)
    if 0 < change < _LEAST_SHOWN:
        where = words.just_above
    elif change:
        where = words.nearly.format(amount=f"{_amount(change, language)}{_UNITS[feature]}")
    else:
        where = "0"
    return words.change.format(quantity=quantity, plan=other_plan, where=where)


def _amount(value: float, language: Language) -> str:
    """Write an amount; the formats are spelled out, because one whose decimals vary takes twice the time."""
    if value >= 100:
        if value > _BILLION:
            return REASON_WORDS[language].many
        text = f"{value:,.0f}"
    elif value >= 1:
        text = f"{value:.1f}".removesuffix(".0")
    elif 0 < value < _LEAST_SHOWN:
        return REASON_WORDS[language].tiny
    else:
        text = f"{abs(value):.2f}".rstrip("0").rstrip(".")  # abs: a request may say -0.0, which is zero
    return text if language == "en" else localized(text, language)


def _factor(log_factor: float, language: Language) -> str:
    if log_factor > _LOG_MAX_FACTOR:
        return REASON_WORDS[language].million
    factor = math.exp(log_factor)
    if factor < 2:
        text = f"{factor:.2f}".rstrip("0").rstrip(".")
    elif factor < 10:
        text = f"{factor:.1f}".removesuffix(".0")
    else:
        text = f"{factor:,.0f}"
    return text if language == "en" else localized(text, language)


assert all(tuple(words.nouns) == FEATURE_NAMES for words in REASON_WORDS.values())
