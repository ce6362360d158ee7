"""The sentence of an advice, in English or Spanish."""

from typing import Final, Literal

from plan_recommender.billing.advice import Advice, AdvicePolicy
from plan_recommender.billing.tariffs import Tariffs

Language = Literal["en", "es"]

LANGUAGES: Final[tuple[Language, ...]] = ("en", "es")

_DECIMALS_BELOW: Final = 100
"""Currency units from which an amount is told without decimals, which would say nothing that matters."""

_SENTENCES: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "only": "Keep {plan}: next month it is expected to cost about {expected} {range}.",
        "choose": "Choose {plan}: next month it is expected to cost about {expected} {range}, about {saving} less than "
        "{other}.",
        "choose, the same": "Choose {plan}: next month it is expected to cost about {expected} {range}, as much as "
        "{other}.",
        "saves enough": "Switch from {other} to {plan}: next month is expected to cost about {expected} instead of "
        "{other_expected}, which saves about {saving} {saving_range}; it saves in about {of_100} of 100 such months.",
        "cheapest": "Keep {plan}: next month it is expected to cost about {expected} {range}, and {other} about "
        "{other_expected}.",
        "saves too little": "Keep {plan}: next month {other} is expected to cost only about {saving} less, too little "
        "to be worth a switch.",
        "not sure enough": "Keep {plan}: next month {other} is expected to cost about {saving} less, but it would save "
        "in only about {of_100} of 100 such months.",
        "too few months": "Keep {plan} for now: next month {other} is expected to cost about {saving} less, but usage "
        "is known of {months} of the {needed} months that an advice to switch needs.",
    },
    "es": {
        "only": "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}.",
        "choose": "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, unos {saving} menos que "
        "{other}.",
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


def sentence(advice: Advice, tariffs: Tariffs, policy: AdvicePolicy, language: Language = "en") -> str:
    """Say in one sentence what is advised and why, with amounts that are rounded for reading."""
    plan, rival = advice.plans[advice.advised], advice.plans[advice.rival]
    compared = advice.forgone if advice.kind == "keep" else advice.saving

    def amount(units: int) -> str:
        return f"{_number(units, tariffs, language)} {tariffs.currency}"

    def interval(low: int, high: int) -> str:
        return _RANGES[language].format(low=_number(low, tariffs, language), high=amount(high))

    return _SENTENCES[language][_key(advice)].format(
        plan=tariffs.names[advice.advised],
        other=tariffs.names[advice.rival],
        expected=amount(plan.expected),
        range=interval(plan.low, plan.high),
        other_expected=amount(rival.expected),
        saving=amount(abs(compared.expected)),
        saving_range=interval(compared.low, compared.high),
        of_100=min(max(round(100 * compared.p_saves), 1), 99),  # 64 scenarios make nothing certain
        months=advice.months,
        needed=policy.min_months,
    )


def _key(advice: Advice) -> str:
    if advice.rival == advice.advised:
        return "only"
    if advice.kind == "choose":
        return "choose" if advice.saving.expected else "choose, the same"
    return advice.reason


def _number(units: int, tariffs: Tariffs, language: Language) -> str:
    value = tariffs.amount(units)
    decimals = tariffs.decimals if abs(value) < _DECIMALS_BELOW and value % 1 else 0
    text = f"{value:,.{decimals}f}"
    # In Spanish, groups of digits are set apart by spaces, and the decimal sign is mostly a comma.
    return text if language == "en" else text.replace(",", "\u202f").replace(".", ",")
