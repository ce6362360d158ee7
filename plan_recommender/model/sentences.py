"""What a contribution and a change of plan say, in one sentence for a person who knows odds and not log-odds.

The sentence of a contribution has three parts: the usage and the plan that it speaks for; how common such usage is
among the subscribers of each plan in the training table; and how much it moves the prediction. The second part depends
on the bin only, so evidence.py writes it once for every bin, and a request joins the three. All words are in
reason_words.py.
"""

import math
from functools import lru_cache
from typing import Final, NamedTuple

from plan_recommender.model.evidence import Bins
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.languages import Language, trimmed
from plan_recommender.model.reason_words import HARDLY, REASON_WORDS, ReasonWords
from plan_recommender.model.regions import regions
from plan_recommender.model.tables import FeatureTable, ModelDocument

_LOG_HARDLY: Final = math.log(HARDLY)
_BILLION: Final = 1e9
_LOG_MAX_FACTOR: Final = math.log(1e6)

_UNITS: Final = {"calls": "", "minutes": "", "messages": "", "mb_used": " MB"}
_PLURAL, _SINGULAR = range(2)  # the places of a noun and of a verb in a pair of reason_words.py


class Words(NamedTuple):
    """What the sentence of one contribution says."""

    sentence: str
    few_training_rows: bool
    """Whether the training table has fewer than `FEW_ROWS` rows with such usage, so that the sentence warns."""


class Sentences:
    """Writes the sentences of one model in one language."""

    def __init__(self, document: ModelDocument, language: Language = "en") -> None:
        """Write, for every bin of every feature, what does not depend on the request."""
        self._features = [_FeatureSentences(feature, language) for feature in document.features]

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


class _FeatureSentences:
    """The sentences on one feature in one language."""

    def __init__(self, feature: FeatureTable, language: Language) -> None:
        words, name = REASON_WORDS[language], feature.name
        median = _amount(feature.median, language)
        self._language = language
        self._always_singular = name in words.singular_nouns
        number = self._number(median)
        usual = f"{median} {words.nouns[name][number]}"
        self._assumed = words.missing[name][number].format(median=usual), number
        self._usage = [words.usage.format(noun=noun, median=median) for noun in words.nouns[name]]
        many = f"{words.many_of[0].upper()}{words.many_of[1:]}"
        self._many = f"{many}{self._usage[_PLURAL]}", self._number(many)
        self._speak, self._matter = words.speak, words.matter
        self._smallest, self._largest = feature.smallest, feature.largest
        bins = Bins(feature, language)
        self._evidence = [bins.evidence(region) for region in regions(feature)]
        self._below, self._above = bins.beyond()
        self._points = _all_points(words)
        # The factor, if there is one, stands between these.
        self._multiplies, self._end = words.effect.partition("{points}")[2].split("{factor}")
        self._at_most = words.small_effect.partition("{points}")[2]

    def words(self, value: float, b: int, contribution: float, points: float) -> Words:
        evidence = self._evidence[b]
        if value != value:
            subject, number = self._assumed
        else:
            if value > _BILLION:
                subject, number = self._many
            else:
                shown = _amount(value, self._language)
                number = self._number(shown)
                subject = f"{shown[0].upper()}{shown[1:]}{self._usage[number]}"
            if value > self._largest:
                evidence = self._above
            elif value < self._smallest:
                evidence = self._below
        if contribution > _LOG_HARDLY:
            said = self._points[_whole(points)]
            factor = _factor(contribution, self._language)
            sentence = f"{subject}{self._speak[number]}{evidence.ultra}{said}{self._multiplies}{factor}{self._end}"
        elif contribution < -_LOG_HARDLY:
            said = self._points[_whole(-points)]
            factor = _factor(-contribution, self._language)
            sentence = f"{subject}{self._speak[number]}{evidence.smart}{said}{self._multiplies}{factor}{self._end}"
        elif contribution:
            said = self._points[_whole(abs(points))]
            sentence = f"{subject}{self._matter[number]}{evidence.neither}{said}{self._at_most}"
        else:
            sentence = f"{subject}{self._matter[number]}{evidence.nothing}"
        return Words(sentence, evidence.few)

    def _number(self, shown: str) -> int:
        return _SINGULAR if self._always_singular or shown == "1" else _PLURAL


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
    if 0 < change < 0.01:
        where = words.just_above
    elif change:
        where = words.nearly.format(amount=f"{_amount(change, language)}{_UNITS[feature]}")
    else:
        where = "0"
    return words.change.format(quantity=quantity, plan=other_plan, where=where)


def _amount(value: float, language: Language) -> str:
    if value > _BILLION:
        return REASON_WORDS[language].many
    if 0 < value < 0.01:
        return REASON_WORDS[language].tiny
    # abs: a request may say -0.0, which is zero
    return trimmed(abs(value), 0 if value >= 100 else 1 if value >= 1 else 2, language)


def _factor(log_factor: float, language: Language) -> str:
    if log_factor > _LOG_MAX_FACTOR:
        return REASON_WORDS[language].million
    factor = math.exp(log_factor)
    return trimmed(factor, 2 if factor < 2 else 1 if factor < 10 else 0, language)


assert all(tuple(words.nouns) == FEATURE_NAMES for words in REASON_WORDS.values())
