"""The sentence of an advice, in English or Spanish."""

from typing import Final

from plan_recommender.billing.advice import Advice, AdvicePolicy
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.model.languages import Language, localized

_DECIMALS_BELOW: Final = 300
"""Expected bill (currency) from which amounts are told without decimals, which would say nothing that matters."""

_SENTENCES: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "only": "Keep {plan}: next month it is expected to cost about {expected} {range}.",
        "choose, only": "Choose {plan}, the only plan: next month it is expected to cost about {expected} {range}.",
        "choose": "Choose {plan}: next month it is expected to cost about {expected} {range}, {less} than {other}; "
        "{often}.",
        "choose, the same": "Choose {plan}: next month it is expected to cost about {expected} {range}, as much as "
        "{other}.",
        "saves enough": "Switch from {other} to {plan}: next month is expected to cost about {expected} instead of "
        "{other_expected}, which saves {saving} {saving_range}; {often}.",
        "cheapest": "Keep {plan}: next month it is expected to cost about {expected} {range}, and {other} about "
        "{other_expected}.",
        "saves too little": "Keep {plan}: next month {other} is expected to cost {only_less}, too little to be worth a "
        "switch.",
        "not sure enough": "Keep {plan}: next month {other} is expected to cost {less}, but it would save in only "
        "about {of_100} of 100 months like this.",
        "too few months": "Keep {plan} for now: next month {other} is expected to cost {less}, but usage is known of "
        "{months} of the {needed} months that an advice to switch needs.",
    },
    "es": {
        "only": "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}.",
        "choose, only": "Elija {plan}, el único plan: se espera que el próximo mes cueste unos {expected} {range}.",
        "choose": "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, {less} que {other}; "
        "{often}.",
        "choose, the same": "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, lo mismo que "
        "{other}.",
        "saves enough": "Cambie de {other} a {plan}: se espera que el próximo mes cueste unos {expected} en lugar de "
        "{other_expected}, {saving} {saving_range}; {often}.",
        "cheapest": "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}, y con {other}, unos "
        "{other_expected}.",
        "saves too little": "Mantenga {plan}: se espera que {other} cueste el próximo mes {only_less}, demasiado poco "
        "para que valga la pena cambiar.",
        "not sure enough": "Mantenga {plan}: se espera que {other} cueste el próximo mes {less}, pero solo ahorraría "
        "en unos {of_100} de cada 100 meses como este.",
        "too few months": "Mantenga {plan} por ahora: se espera que {other} cueste el próximo mes {less}, pero solo se "
        "conoce el consumo de {months} de los {needed} meses necesarios para aconsejar un cambio.",
    },
}
_PHRASES: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "less": "about {saving} less",
        "only_less": "only about {saving} less",
        "saving": "about {saving}",
        "saves": "it saves in about {of_100} of 100 months like this",
        "costs less": "it costs less in about {of_100} of 100 months like this",
    },
    "es": {
        "less": "unos {saving} menos",
        "only_less": "solo unos {saving} menos",
        "saving": "un ahorro de unos {saving}",
        "saves": "ahorra en unos {of_100} de cada 100 meses como este",
        "costs less": "cuesta menos en unos {of_100} de cada 100 meses como este",
    },
}
_HARDLY: Final[dict[Language, dict[str, str]]] = {
    "en": {"less": "hardly less", "only_less": "hardly less", "saving": "hardly anything"},
    "es": {"less": "apenas menos", "only_less": "apenas menos", "saving": "un ahorro mínimo"},
}
"""Instead of the first phrases where the saving is rounded to 0."""

_SURELY: Final[dict[Language, dict[str, str]]] = {
    "en": {"saves": "in all likelihood it saves", "costs less": "in all likelihood it costs less"},
    "es": {"saves": "con toda probabilidad, ahorra", "costs less": "con toda probabilidad, cuesta menos"},
}
"""Instead of the last phrases where every scenario saves: 64 of them make nothing certain."""

_RANGES: Final[dict[Language, str]] = {
    "en": "(90 % interval {low} to {high})",
    "es": "(intervalo del 90 %: de {low} a {high})",
}
_TO_HIGH: Final[dict[Language, str]] = {
    "en": "(in 9 of 10 months between that and {high})",
    "es": "(en 9 de cada 10 meses, entre esa cifra y {high})",
}
"""Where what is expected is the lower end, because a few rare months are far from all others."""

_FROM_LOW: Final[dict[Language, str]] = {
    "en": "(in 9 of 10 months between {low} and that)",
    "es": "(en 9 de cada 10 meses, entre {low} y esa cifra)",
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
    "es": "(en 9 de cada 10 meses, exactamente esa cifra)",
}


def sentence(advice: Advice, tariffs: Tariffs, policy: AdvicePolicy, language: Language = "en") -> str:
    """Say in one sentence what is advised and why, with amounts that are rounded for reading."""
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
            return _ALWAYS[language]
        if told <= low:
            return _TO_HIGH[language].format(high=amount(high))
        if told >= high:
            return _FROM_LOW[language].format(low=amount(low))
        return _RANGES[language].format(low=amount(low, with_currency=False), high=amount(high))

    def saved(told: int, low: int, high: int) -> str:
        if low >= 0:
            return interval(told, low, high)
        return _SAVINGS[language].format(low=amount(-low), high=amount(high))

    expected, other_expected = shown(plan.expected), shown(rival.expected)
    saving = abs(expected - other_expected)
    phrases = (
        _PHRASES[language]
        | (_HARDLY[language] if saving == 0 else {})
        | (_SURELY[language] if compared.p_saves == 1 else {})
    )
    told = {"saving": amount(saving), "of_100": str(round(100 * compared.p_saves))}
    often = phrases["saves" if advice.kind == "switch" else "costs less"].format(**told)
    said = _SENTENCES[language][_key(advice)].format(
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
    return said[:-1] + _UNCERTAIN[language] if advice.months == 1 and advice.kind != "keep" else said


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
