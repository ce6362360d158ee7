"""The sentence of an advice, in English or Spanish."""

from typing import Final

from plan_recommender.billing.advice import Advice, AdvicePolicy
from plan_recommender.billing.advice_words import ADVICE_WORDS
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.model.languages import Language, localized

_DECIMALS_BELOW: Final = 300
"""Expected bill (currency) from which amounts are told without decimals, which would say nothing that matters."""


def sentence(advice: Advice, tariffs: Tariffs, policy: AdvicePolicy, language: Language = "en") -> str:
    """Say in one sentence what is advised and why, with amounts that are rounded for reading."""
    words = ADVICE_WORDS[language]
    plan, rival = advice.plans[advice.advised], advice.plans[advice.rival]
    compared = advice.forgone if advice.kind == "keep" else advice.saving

    # All amounts of a sentence have the same decimals, so that they add up.
    decimals = tariffs.decimals if max(plan.expected, rival.expected) < _DECIMALS_BELOW * 10**tariffs.decimals else 0
    step: int = 10 ** (tariffs.decimals - decimals)

    def shown(units: int) -> int:
        return round(units / step)

    def amount(steps: int, *, with_currency: bool = True) -> str:
        text = number(steps, decimals, language)
        return f"{text} {tariffs.currency}" if with_currency else text

    def interval(told: int, low: int, high: int) -> str:
        if low == high:
            return words.always
        if told <= low:
            return words.to_high.format(high=amount(high))
        if told >= high:
            return words.from_low.format(low=amount(low))
        return words.interval.format(low=amount(low, with_currency=False), high=amount(high))

    def saved(told: int, low: int, high: int) -> str:
        if low >= 0:
            return interval(told, low, high)
        return words.savings.format(low=amount(-low), high=amount(high))

    expected, other_expected = shown(plan.expected), shown(rival.expected)
    saving = abs(expected - other_expected)
    phrases = words.phrases | (words.hardly if saving == 0 else {}) | (words.surely if compared.p_saves == 1 else {})
    told = {"saving": amount(saving), "of_100": str(round(100 * compared.p_saves))}
    often = phrases["saves" if advice.kind == "switch" else "costs less"].format(**told)
    said = words.sentences[_key(advice)].format(
        plan=tariffs.names[advice.advised],
        other=tariffs.names[advice.rival],
        expected=amount(expected),
        range=interval(expected, shown(plan.low), shown(plan.high)),
        other_expected=amount(other_expected),
        saving=phrases["saving"].format(**told),
        less=phrases["less"].format(**told),
        only_less=phrases["only_less"].format(**told),
        saving_range=saved(saving, shown(compared.low), shown(compared.high)),
        often=often,
        of_100=told["of_100"],
        months=advice.months,
        needed=policy.min_months,
    )
    return said[:-1] + words.uncertain if advice.months == 1 and advice.kind != "keep" else said


def _key(advice: Advice) -> str:
    if advice.rival == advice.advised:
        return "choose, only" if advice.kind == "choose" else "only"
    if advice.kind == "choose":
        return "choose" if advice.saving.expected else "choose, the same"
    return advice.reason


def number(steps: int, decimals: int, language: Language) -> str:
    """Write a number as people of that language do, grouped and with its decimals.

    Args:
        steps: the number, in units of its last decimal.
        decimals: how many it has.
        language: of the reader.
    """
    return localized(f"{steps / 10**decimals:,.{decimals}f}", language)
