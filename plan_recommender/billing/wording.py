"""The sentence of an advice, in English or Spanish."""

from typing import Final, Literal

from plan_recommender.billing.advice import Advice, AdvicePolicy
from plan_recommender.billing.tariffs import Tariffs

Language = Literal["en", "es"]

LANGUAGES: Final[tuple[Language, ...]] = ("en", "es")

_DECIMALS_BELOW: Final = 300
"""Expected bill (currency) from which amounts are told without decimals, which would say nothing that matters."""

_SENTENCES: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "only": "Keep {plan}: next month it is expected to cost about {expected} {range}.",
        "choose": "Choose {plan}: next month it is expected to cost about {expected} {range}, about {saving} less than "
        "{other}; it costs less in about {of_100} of 100 months like this.",
        "choose, the same": "Choose {plan}: next month it is expected to cost about {expected} {range}, as much as "
        "{other}.",
        "saves enough": "Switch from {other} to {plan}: next month is expected to cost about {expected} instead of "
        "{other_expected}, which saves about {saving} {saving_range}; it saves in about {of_100} of 100 months like "
        "this.",
        "cheapest": "Keep {plan}: next month it is expected to cost about {expected} {range}, and {other} about "
        "{other_expected}.",
        "saves too little": "Keep {plan}: next month {other} is expected to cost only about {saving} less, too little "
        "to be worth a switch.",
        "not sure enough": "Keep {plan}: next month {other} is expected to cost about {saving} less, but it would save "
        "in only about {of_100} of 100 months like this.",
        "too few months": "Keep {plan} for now: next month {other} is expected to cost about {saving} less, but usage "
        "is known of {months} of the {needed} months that an advice to switch needs.",
    },
    "es": {
        "only": "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}.",
        "choose": "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, unos {saving} menos que "
        "{other}; cuesta menos en unos {of_100} de cada 100 meses como este.",
        "choose, the same": "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, lo mismo que "
        "{other}.",
        "saves enough": "Cambie de {other} a {plan}: se espera que el próximo mes cueste unos {expected} en lugar de "
        "{other_expected}, un ahorro de unos {saving} {saving_range}; ahorra en unos {of_100} de cada 100 meses como "
        "este.",
        "cheapest": "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}, y con {other}, unos "
        "{other_expected}.",
        "saves too little": "Mantenga {plan}: se espera que el próximo mes {other} cueste solo unos {saving} menos, "
        "demasiado poco para que compense cambiar.",
        "not sure enough": "Mantenga {plan}: se espera que el próximo mes {other} cueste unos {saving} menos, pero "
        "solo ahorraría en unos {of_100} de cada 100 meses como este.",
        "too few months": "Mantenga {plan} por ahora: se espera que el próximo mes {other} cueste unos {saving} menos, "
        "pero solo se conoce el consumo de {months} de los {needed} meses necesarios para aconsejar un cambio.",
    },
}
_RANGES: Final[dict[Language, str]] = {
    "en": "(90 % interval {low} to {high})",
    "es": "(intervalo del 90 %: de {low} a {high})",
}
_SAVINGS: Final[dict[Language, str]] = {
    "en": "(90 % interval: from {low} more to {high} less)",
    "es": "(intervalo del 90 %: de {low} más a {high} menos)",
}
_UNCERTAIN: Final[dict[Language, str]] = {
    "en": "; only one month is known, so this is uncertain.",
    "es": "; solo se conoce un mes, así que es incierto.",
}
_ALWAYS: Final[dict[Language, str]] = {
    "en": "(in 9 of 10 months exactly that)",
    "es": "(en 9 de cada 10 meses, exactamente eso)",
}


def sentence(advice: Advice, tariffs: Tariffs, policy: AdvicePolicy, language: Language = "en") -> str:
    """Say in one sentence what is advised and why, with amounts that are rounded for reading."""
    plan, rival = advice.plans[advice.advised], advice.plans[advice.rival]
    compared = advice.forgone if advice.kind == "keep" else advice.saving

    # All amounts of a sentence have the same decimals, so that they add up.
    decimals = tariffs.decimals if max(plan.expected, rival.expected) < _DECIMALS_BELOW * 10**tariffs.decimals else 0

    def number(units: int) -> str:
        return _number(units, tariffs, decimals, language)

    def amount(units: int) -> str:
        return f"{number(units)} {tariffs.currency}"

    def interval(low: int, high: int) -> str:
        if number(low) == number(high):
            return _ALWAYS[language]
        return _RANGES[language].format(low=number(low), high=amount(high))

    def saved(low: int, high: int) -> str:
        if low >= 0:
            return interval(low, high)
        return _SAVINGS[language].format(low=amount(-low), high=amount(high))

    shown = [round(value / 10 ** (tariffs.decimals - decimals)) for value in (plan.expected, rival.expected)]
    said = _SENTENCES[language][_key(advice)].format(
        plan=tariffs.names[advice.advised],
        other=tariffs.names[advice.rival],
        expected=amount(plan.expected),
        range=interval(plan.low, plan.high),
        other_expected=amount(rival.expected),
        saving=amount(abs(shown[0] - shown[1]) * 10 ** (tariffs.decimals - decimals)),
        saving_range=saved(compared.low, compared.high),
        of_100=min(max(round(100 * compared.p_saves), 1), 99),  # 64 scenarios make nothing certain
        months=advice.months,
        needed=policy.min_months,
    )
    return said[:-1] + _UNCERTAIN[language] if advice.months == 1 and advice.kind != "keep" else said


def _key(advice: Advice) -> str:
    if advice.rival == advice.advised:
        return "only"
    if advice.kind == "choose":
        return "choose" if advice.saving.expected else "choose, the same"
    return advice.reason


def _number(units: int, tariffs: Tariffs, decimals: int, language: Language) -> str:
    text = f"{round(units / 10 ** (tariffs.decimals - decimals)) / 10**decimals:,.{decimals}f}"
    # In Spanish, groups of digits are set apart by spaces, and the decimal sign is mostly a comma.
    return text if language == "en" else text.replace(",", "\u202f").replace(".", ",")
