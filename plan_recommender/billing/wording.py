"""The sentence of an advice, in English or Spanish."""

from collections.abc import Iterator
from functools import cache, lru_cache
from string import Formatter
from typing import Final, NamedTuple

import numpy as np

from plan_recommender.billing.advice import Advice, AdvicePolicy
from plan_recommender.billing.advice_many import KINDS, REASONS, ManyAdvice
from plan_recommender.billing.advice_words import ADVICE_WORDS
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.model.languages import Language, localized

_DECIMALS_BELOW: Final = 300
"""Expected bill (currency) from which amounts are told without decimals, which would say nothing that matters."""

_REMEMBERED: Final = 1 << 15
"""Amounts whose text is remembered: those of many subscribers are equal, and to write one takes longer than to find
it."""


def sentence(advice: Advice, tariffs: Tariffs, policy: AdvicePolicy, language: Language = "en") -> str:
    """Say in one sentence what is advised and why, with amounts that are rounded for reading."""
    compared = advice.forgone if advice.kind == "keep" else advice.saving
    plan, rival = advice.plans[advice.advised], advice.plans[advice.rival]
    decimals = _decimals_told(max(plan.expected, rival.expected), tariffs)
    step: int = 10 ** (tariffs.decimals - decimals)
    amounts = (plan.expected, plan.low, plan.high, rival.expected, compared.low, compared.high)
    told = _Told._make([
        _key(advice.kind, advice.reason, compared.expected, only=advice.rival == advice.advised),
        tariffs.names[advice.advised], tariffs.names[advice.rival], decimals,
        *(round(units / step) for units in amounts), compared.p_saves, advice.months,
    ])  # fmt: skip
    return Sentences(tariffs, policy, language).say(told)


class _Told(NamedTuple):
    """What a sentence tells; amounts are in units of their last decimal that is told."""

    key: str
    plan: str
    other: str
    decimals: int
    """Of all amounts of the sentence, so that they add up."""
    expected: int
    low: int
    high: int
    other_expected: int
    saving_low: int
    saving_high: int
    p_saves: float
    months: int


class Sentences:
    """Says sentences by some tariffs and a policy in one language."""

    def __init__(self, tariffs: Tariffs, policy: AdvicePolicy, language: Language = "en") -> None:
        self._tariffs = tariffs
        self._needed = policy.min_months
        self._language = language
        self._words = ADVICE_WORDS[language]
        self._slots = _slots(language)

    def many(self, advice: ManyAdvice) -> Iterator[str]:
        """Say the sentence of each of many subscribers."""
        tariffs, compared, plans = self._tariffs, advice.compared, advice.plans
        each = np.arange(len(advice.held))
        expected, other_expected = (plans.expected[plan, each] for plan in (advice.advised, advice.rival))
        decimals = [_decimals_told(dearest, tariffs) for dearest in np.maximum(expected, other_expected).tolist()]
        steps = np.array([10 ** (tariffs.decimals - told) for told in decimals])
        low, high = plans.low[advice.advised, each], plans.high[advice.advised, each]
        amounts = (expected, low, high, other_expected, compared.low, compared.high)
        keys = zip(
            advice.kind.tolist(), advice.reason.tolist(), compared.expected.tolist(),
            (advice.rival == advice.advised).tolist(), strict=True,
        )  # fmt: skip
        names = ([tariffs.names[plan] for plan in column.tolist()] for column in (advice.advised, advice.rival))
        rest = (compared.p_saves.tolist(), advice.months.tolist())
        told = ((np.rint(units / steps)).astype(np.int64).tolist() for units in amounts)
        for key, *fields in zip(keys, *names, decimals, *told, *rest, strict=True):
            kind, reason, saving, only = key
            yield self.say(_Told(_key(KINDS[kind], REASONS[reason], saving, only=only), *fields))

    def say(self, told: _Told) -> str:
        """Say one sentence."""
        key, plan, other, decimals, expected, low, high, other_expected, saving_low, saving_high, p_saves, months = told
        words, slots = self._words, self._slots[key]
        saving = abs(expected - other_expected)
        said = {"plan": plan, "other": other}
        for slot in slots:  # and no other, because to fill one takes time
            if slot == "expected":
                said[slot] = self._amount(expected, decimals)
            elif slot == "range":
                said[slot] = self._interval(expected, low, high, decimals)
            elif slot == "other_expected":
                said[slot] = self._amount(other_expected, decimals)
            elif slot in words.hardly:
                phrase = words.phrases[slot] if saving else words.hardly[slot]
                said[slot] = phrase.format(saving=self._amount(saving, decimals))
            elif slot == "saving_range":
                said[slot] = self._saved(saving, saving_low, saving_high, decimals)
            elif slot == "often":
                name = "saves" if key == "saves enough" else "costs less"
                certain = p_saves == 1
                said[slot] = words.surely[name] if certain else words.phrases[name].format(of_100=_of_100(p_saves))
            elif slot == "of_100":
                said[slot] = _of_100(p_saves)
            elif slot == "months":
                said[slot] = str(months)
            elif slot == "needed":
                said[slot] = str(self._needed)
        sentence = words.sentences[key].format(**said)
        return sentence[:-1] + words.uncertain if months == 1 and key in _OF_A_CHANGE else sentence

    def _amount(self, steps: int, decimals: int) -> str:
        return f"{_remembered(steps, decimals, self._language)} {self._tariffs.currency}"

    def _interval(self, told: int, low: int, high: int, decimals: int) -> str:
        words = self._words
        if low == high:
            return words.always
        if told <= low:
            return words.to_high.format(high=self._amount(high, decimals))
        if told >= high:
            return words.from_low.format(low=self._amount(low, decimals))
        return words.interval.format(low=_remembered(low, decimals, self._language), high=self._amount(high, decimals))

    def _saved(self, told: int, low: int, high: int, decimals: int) -> str:
        if low >= 0:
            return self._interval(told, low, high, decimals)
        return self._words.savings.format(low=self._amount(-low, decimals), high=self._amount(high, decimals))


_OF_A_CHANGE: Final = ("saves enough", "choose", "choose, only", "choose, the same")
"""Sentences that do not say to keep a plan."""


@cache
def _slots(language: Language) -> dict[str, tuple[str, ...]]:
    """Name what each sentence leaves to be filled in, but for the plans."""
    return {
        key: tuple({name for _, name, _, _ in Formatter().parse(text) if name and name not in ("plan", "other")})
        for key, text in ADVICE_WORDS[language].sentences.items()
    }


def _decimals_told(dearest: int, tariffs: Tariffs) -> int:
    return tariffs.decimals if dearest < _DECIMALS_BELOW * 10**tariffs.decimals else 0


def _key(kind: str, reason: str, saving: int, *, only: bool) -> str:
    if only:
        return "choose, only" if kind == "choose" else "only"
    if kind == "choose":
        return "choose" if saving else "choose, the same"
    return reason


def number(steps: int, decimals: int, language: Language) -> str:
    """Write a number as people of that language do, grouped and with its decimals.

    Args:
        steps: the number, in units of its last decimal.
        decimals: how many it has.
        language: of the reader.
    """
    return localized(f"{steps / 10**decimals:,.{decimals}f}", language)


_remembered = lru_cache(_REMEMBERED)(number)


def _of_100(p_saves: float) -> str:
    return str(round(100 * p_saves))
