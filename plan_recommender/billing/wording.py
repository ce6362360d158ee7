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
    return Sentences(tariffs, policy, language).one(advice)


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
        self._needed = str(policy.min_months)
        self._language = language
        self._words = ADVICE_WORDS[language]
        self._whole_from = _DECIMALS_BELOW * 10**tariffs.decimals
        self._templates = _templates(language)

    def one(self, advice: Advice) -> str:
        """Say the sentence of one subscriber."""
        compared = advice.forgone if advice.kind == "keep" else advice.saving
        plan, rival = advice.plans[advice.advised], advice.plans[advice.rival]
        names = self._tariffs.names
        decimals = self._decimals(max(plan.expected, rival.expected))
        step = 10 ** (self._tariffs.decimals - decimals)
        return self.say(
            _Told(
                _key(advice.kind, advice.reason, compared.expected, only=advice.rival == advice.advised),
                names[advice.advised],
                names[advice.rival],
                decimals,
                round(plan.expected / step),
                round(plan.low / step),
                round(plan.high / step),
                round(rival.expected / step),
                round(compared.low / step),
                round(compared.high / step),
                compared.p_saves,
                advice.months,
            )
        )

    def many(self, advice: ManyAdvice) -> Iterator[str]:
        """Say the sentence of each of many subscribers."""
        tariffs, compared, plans = self._tariffs, advice.compared, advice.plans
        each = np.arange(len(advice.held))
        expected, other_expected = (plans.expected[plan, each] for plan in (advice.advised, advice.rival))
        decimals = [self._decimals(dearest) for dearest in np.maximum(expected, other_expected).tolist()]
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
        templates = self._templates
        template, slots = templates.sentences[key]
        saving = abs(expected - other_expected)
        said = []
        for slot in slots:
            if slot == "plan":
                said.append(plan)
            elif slot == "other":
                said.append(other)
            elif slot == "expected":
                said.append(self._amount(expected, decimals))
            elif slot == "range":
                said.append(self._interval(expected, low, high, decimals))
            elif slot == "other_expected":
                said.append(self._amount(other_expected, decimals))
            elif slot == "saving_range":
                said.append(self._saved(saving, saving_low, saving_high, decimals))
            elif slot == "often":
                name = "saves" if key == "saves enough" else "costs less"
                certain = p_saves == 1
                said.append(self._words.surely[name] if certain else templates.phrases[name] % _of_100(p_saves))
            elif slot == "of_100":
                said.append(_of_100(p_saves))
            elif slot == "months":
                said.append(str(months))
            elif slot == "needed":
                said.append(self._needed)
            elif saving:
                said.append(templates.phrases[slot] % self._amount(saving, decimals))
            else:
                said.append(self._words.hardly[slot])
        sentence = template % tuple(said)
        return sentence[:-1] + self._words.uncertain if months == 1 and key in _OF_A_CHANGE else sentence

    def _decimals(self, dearest: int) -> int:
        """Say with how many decimals the amounts of a sentence are told; `dearest` is the larger expected bill."""
        return self._tariffs.decimals if dearest < self._whole_from else 0

    def _amount(self, steps: int, decimals: int) -> str:
        return f"{_remembered(steps, decimals, self._language)} {self._tariffs.currency}"

    def _interval(self, told: int, low: int, high: int, decimals: int) -> str:
        templates = self._templates
        if low == high:
            return self._words.always
        if told <= low:
            return templates.to_high % self._amount(high, decimals)
        if told >= high:
            return templates.from_low % self._amount(low, decimals)
        return templates.interval % (_remembered(low, decimals, self._language), self._amount(high, decimals))

    def _saved(self, told: int, low: int, high: int, decimals: int) -> str:
        if low >= 0:
            return self._interval(told, low, high, decimals)
        return self._templates.savings % (self._amount(-low, decimals), self._amount(high, decimals))


_OF_A_CHANGE: Final = ("saves enough", "choose", "choose, only", "choose, the same")
"""Sentences that do not say to keep a plan."""


_Template = tuple[str, tuple[str, ...]]
"""A text with %s wherever something is filled in, and the names of that, in their order."""


class _Templates(NamedTuple):
    """The texts of `AdviceWords` of which some part is filled in, which takes less time so."""

    sentences: dict[str, _Template]
    phrases: dict[str, str]
    interval: str
    """With its lower end and its upper end."""
    to_high: str
    from_low: str
    savings: str


@cache
def _templates(language: Language) -> _Templates:
    words = ADVICE_WORDS[language]
    return _Templates(
        {key: _template(text) for key, text in words.sentences.items()},
        {key: _template(text)[0] for key, text in words.phrases.items()},
        *(_template(text)[0] for text in (words.interval, words.to_high, words.from_low, words.savings)),
    )


def _template(text: str) -> _Template:
    parts = [(literal.replace("%", "%%"), name) for literal, name, _, _ in Formatter().parse(text)]
    names = tuple(name for _, name in parts if name is not None)
    return "".join(literal if name is None else f"{literal}%s" for literal, name in parts), names


assert all(
    _template(text)[1] == ("low", "high") for words in ADVICE_WORDS.values() for text in (words.interval, words.savings)
)


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
    return localized(f"{steps / 10**decimals:,.{decimals}f}" if decimals else f"{steps:,}", language)


_remembered = lru_cache(_REMEMBERED)(number)


def _of_100(p_saves: float) -> str:
    return str(round(100 * p_saves))
