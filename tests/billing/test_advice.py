"""The advice: keep, switch or choose, by the policy, and the sentence that says so."""

import re
from decimal import Decimal
from typing import Any

import pytest

from plan_recommender.billing.advice import Advice, AdvicePolicy, Adviser
from plan_recommender.billing.forecast import Month, Range, Saving
from plan_recommender.billing.habits import HabitProfile
from plan_recommender.billing.tariffs import Tariffs, load_tariffs, shipped_tariffs
from plan_recommender.billing.wording import sentence
from plan_recommender.data.month_panel import SHIPPED_MONTHS
from plan_recommender.model.languages import LANGUAGES, Language
from plan_recommender.training.habits import learn_habits
from tools.server import ROOT

SMART, ULTRA = 0, 1
HEAVY = Month(150, 1200, 120, 32_000, 1230)
LIGHT = Month(20, 100, 5, 6_000, 110)
NEAR = Month(60, 400, 30, 22_400, 420)
"""Costs about the same on both plans."""


@pytest.fixture(scope="module")
def tariffs() -> Tariffs:
    return load_tariffs(shipped_tariffs())


@pytest.fixture(scope="module")
def profile(tariffs: Tariffs) -> HabitProfile:
    return learn_habits(SHIPPED_MONTHS, tariffs).profile


def adviser(tariffs: Tariffs, profile: HabitProfile, **policy: Any) -> Adviser:
    return Adviser(tariffs, profile, AdvicePolicy(**policy))


@pytest.mark.parametrize(
    ("held", "month", "kind", "advised", "reason"),
    [
        (SMART, HEAVY, "switch", ULTRA, "saves enough"),
        (ULTRA, LIGHT, "switch", SMART, "saves enough"),
        (SMART, LIGHT, "keep", SMART, "cheapest"),
        (ULTRA, HEAVY, "keep", ULTRA, "cheapest"),
        (None, HEAVY, "choose", ULTRA, "cheapest"),
        (None, LIGHT, "choose", SMART, "cheapest"),
    ],
)
def test_who_should_do_what(
    tariffs: Tariffs, profile: HabitProfile, held: int | None, month: Month, kind: str, advised: int, reason: str
) -> None:
    advice = adviser(tariffs, profile).advise(held, [month] * 4)
    assert (advice.kind, advice.held, advice.advised, advice.reason) == (kind, held, advised, reason)
    expected = [plan.expected for plan in advice.plans]
    assert expected[advised] == min(expected)
    if kind == "keep":
        assert advice.saving == (0, 0, 0, 0.0)
        assert advice.forgone.expected == expected[advised] - expected[1 - advised] < 0
    else:
        assert advice.saving.expected == expected[1 - advised] - expected[advised]
        assert advice.forgone == (0, 0, 0, 0.0)
    assert advice.months == 4


def test_a_switch_has_to_be_worth_it_sure_enough_and_known_for_long_enough(
    tariffs: Tariffs, profile: HabitProfile
) -> None:
    months = [NEAR] * 4
    free = adviser(tariffs, profile, min_saving_share=0.0, min_p_saves=0.0)
    held = next(plan for plan in (SMART, ULTRA) if free.advise(plan, months).kind == "switch")
    saving, plans = free.advise(held, months).saving, free.advise(held, months).plans
    share = saving.expected / plans[held].expected
    assert 0 < share < 0.1, "a month near break-even"

    def with_policy(**policy: Any) -> Advice:
        return adviser(tariffs, profile, **({"min_saving_share": 0.0, "min_p_saves": 0.0} | policy)).advise(
            held, months
        )

    assert with_policy(min_saving_share=share * 0.999).kind == "switch"
    assert with_policy(min_saving_share=share * 1.001).reason == "saves too little"
    assert with_policy(min_p_saves=saving.p_saves).kind == "switch"
    assert with_policy(min_p_saves=min(1.0, saving.p_saves + 1 / 64)).reason == "not sure enough"
    assert with_policy(min_months=4).kind == "switch"
    kept = with_policy(min_months=5)
    assert (kept.kind, kept.reason, kept.advised, kept.rival) == ("keep", "too few months", held, 1 - held)
    assert kept.saving == (0, 0, 0, 0.0)
    assert kept.forgone == saving


def test_plans_that_cost_the_same_are_kept(tariffs: Tariffs, profile: HabitProfile) -> None:
    smart = tariffs.plans[0]
    twins = tariffs.model_copy(update={"plans": [smart, smart.model_copy(update={"name": "Twin"})]})
    for held in (0, 1):
        advice = adviser(twins, profile, min_saving_share=0.0, min_p_saves=0.0).advise(held, [NEAR])
        assert (advice.kind, advice.advised, advice.reason) == ("keep", held, "cheapest")
    assert "as much as Twin" in sentence(adviser(twins, profile).advise(None, [NEAR]), twins, AdvicePolicy())


def test_one_plan_is_always_kept(tariffs: Tariffs, profile: HabitProfile) -> None:
    alone = tariffs.model_copy(update={"plans": tariffs.plans[:1]})
    for held in (0, None):
        advice = adviser(alone, profile).advise(held, [HEAVY])
        assert (advice.advised, advice.rival, advice.saving.expected) == (0, 0, 0)
        begin = "Keep Smart: next month it" if held == 0 else "Choose Smart, the only plan: next month it"
        assert sentence(advice, alone, AdvicePolicy()).startswith(f"{begin} is expected to cost about ")
        begin = "Mantenga Smart: se" if held == 0 else "Elija Smart, el único plan: se"
        assert sentence(advice, alone, AdvicePolicy(), "es").startswith(f"{begin} espera que el próximo mes ")


def test_of_three_plans_the_cheapest_is_advised(tariffs: Tariffs, profile: HabitProfile) -> None:
    smart, ultra = tariffs.plans
    middle = smart.model_copy(
        update={
            "name": "Middle",
            "fee": Decimal(900),
            "included": ultra.included.model_copy(update={"mb_used": 25_600}),
        }
    )
    three = tariffs.model_copy(update={"plans": [smart, ultra, middle]})
    advice = adviser(three, profile).advise(SMART, [NEAR] * 6)
    assert (advice.kind, three.names[advice.advised]) == ("switch", "Middle")
    kept = adviser(three, profile).advise(2, [NEAR] * 6)
    assert (kept.kind, kept.advised) == ("keep", 2)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("held", "months", "policy", "words"),
    [
        (SMART, [HEAVY] * 4, {}, ("Switch from Smart to Ultra: ", "Cambie de Smart a Ultra: ")),
        (SMART, [LIGHT] * 4, {}, ("Keep Smart: ", "Mantenga Smart: ")),
        (None, [LIGHT] * 4, {}, ("Choose Smart: ", "Elija Smart: ")),
        (SMART, [HEAVY], {"min_months": 3}, ("Keep Smart for now: ", "Mantenga Smart por ahora: ")),
        (SMART, [HEAVY], {"min_saving_share": 1.0}, ("too little to be worth a switch.", "demasiado poco para que")),
        (
            ULTRA,
            [NEAR],
            {"min_saving_share": 0.0, "min_p_saves": 1.0},
            ("of 100 months like this", "de cada 100 meses"),
        ),
    ],
)
def test_sentences_say_what_is_advised(
    tariffs: Tariffs,
    profile: HabitProfile,
    held: int | None,
    months: list[Month],
    policy: dict[str, Any],
    words: tuple[str, str],
    language: Language,
) -> None:
    of = AdvicePolicy(**policy)
    advice = Adviser(tariffs, profile, of).advise(held, months)
    said = sentence(advice, tariffs, of, language)
    assert words[LANGUAGES.index(language)] in said, said
    assert said.endswith(".")
    assert "RUB" in said
    assert "{" not in said


def test_a_sentence_in_full(tariffs: Tariffs, profile: HabitProfile) -> None:
    advice = Adviser(tariffs, profile, AdvicePolicy()).advise(ULTRA, [LIGHT] * 6)
    saving = (195_000 - advice.plans[SMART].expected) / 100
    assert advice.plans[SMART].expected == 55_000
    assert sentence(advice, tariffs, AdvicePolicy()) == (
        "Switch from Ultra to Smart: next month is expected to cost about 550 RUB instead of 1,950 RUB, which saves "
        f"about {saving:,.0f} RUB (in 9 of 10 months exactly that); in all likelihood it saves."
    )
    assert sentence(advice, tariffs, AdvicePolicy(), "es") == (
        "Cambie de Ultra a Smart: se espera que el próximo mes cueste unos 550 RUB en lugar de 1950 RUB, un "
        "ahorro de unos 1400 RUB (en 9 de cada 10 meses, exactamente esa cifra); con toda probabilidad, ahorra."
    )


def told(tariffs: Tariffs, advice: Advice, smart: Range, ultra: Range, saving: Saving, **changes: Any) -> list[str]:
    """The sentences of an advice with other amounts (smallest units), in both languages."""
    changed = advice._replace(plans=[smart, ultra], saving=saving, **changes)
    return [sentence(changed, tariffs, AdvicePolicy(min_months=8), language) for language in LANGUAGES]


def test_a_saving_that_is_rounded_to_nothing_is_told_as_hardly_any(tariffs: Tariffs, profile: HabitProfile) -> None:
    advice = Adviser(tariffs, profile, AdvicePolicy()).advise(ULTRA, [LIGHT] * 6)
    nearly = Range(194_980, 55_000, 300_000), Range(195_000, 195_000, 195_000)
    little = Saving(20, -100_000, 140_000, 0.6)
    kept: dict[str, Any] = {"kind": "keep", "advised": ULTRA, "rival": SMART, "forgone": little}
    for reason, english, spanish in (
        ("saves too little", "Keep Ultra: next month Smart is expected to cost hardly less, too little to",
         "Mantenga Ultra: se espera que Smart cueste el próximo mes apenas menos, demasiado poco para"),
        ("not sure enough", "expected to cost hardly less, but it would save in only about 60 of 100 months",
         "Smart cueste el próximo mes apenas menos, pero solo ahorraría en unos 60 de cada 100 meses"),
        ("too few months", "cost hardly less, but usage is known of 6 of the 8",
         "cueste el próximo mes apenas menos, pero solo se conoce el consumo de 6 de los 8"),
    ):  # fmt: skip
        said = told(tariffs, advice, *nearly, Saving(0, 0, 0, 0), **kept, reason=reason)
        assert english in said[0]
        assert spanish in said[1]
    switch = told(tariffs, advice, *nearly, little)
    assert "which saves hardly anything (90 % interval: from 1,000 RUB more to 1,400 RUB less); it saves" in switch[0]
    assert "1950 RUB, un ahorro mínimo (intervalo del 90 %: de 1000 RUB más a 1400 RUB menos); ahorra" in switch[1]
    choose = told(tariffs, advice, *nearly, little, kind="choose", held=None)
    assert "3,000 RUB), hardly less than Ultra; it costs less in about 60 of 100 months" in choose[0]
    assert "3000 RUB), apenas menos que Ultra; cuesta menos en unos 60 de cada 100" in choose[1]


def test_what_is_expected_at_the_end_of_its_interval_or_beyond_it_is_told_so(
    tariffs: Tariffs, profile: HabitProfile
) -> None:
    advice = Adviser(tariffs, profile, AdvicePolicy()).advise(ULTRA, [LIGHT] * 6)
    ultra = Range(195_000, 195_000, 195_000)
    for expected in (56_240, 56_260):  # the difference of rounded amounts is the lower end, or one below it
        saving = 195_000 - expected
        said = told(tariffs, advice, Range(expected, 55_000, expected), ultra, Saving(saving, saving, 140_000, 1.0))
        assert re.search(r"saves about 1,38\d RUB \(in 9 of 10 months between that and 1,400 RUB\); in all", said[0])
        assert re.search(r"unos 138\d RUB \(en 9 de cada 10 meses, entre esa cifra y 1400 RUB\); con toda", said[1])
    high = Range(56_240, 55_000, 56_240)
    chosen = told(tariffs, advice, high, ultra, Saving(138_760, 138_760, 140_000, 1.0), kind="choose", held=None)
    assert "about 562 RUB (in 9 of 10 months between 550 RUB and that), about 1,388 RUB less" in chosen[0]
    assert "unos 562 RUB (en 9 de cada 10 meses, entre 550 RUB y esa cifra), unos 1388 RUB menos" in chosen[1]
    assert chosen[0].endswith("; in all likelihood it costs less.")
    assert chosen[1].endswith("; con toda probabilidad, cuesta menos.")


def test_in_spanish_digits_are_set_apart_from_five_on(tariffs: Tariffs, profile: HabitProfile) -> None:
    advice = Adviser(tariffs, profile, AdvicePolicy()).advise(ULTRA, [LIGHT] * 6)
    dear = Range(1_000_000, 999_900, 1_000_100), Range(123_456_700, 123_456_600, 123_456_800)
    said = told(tariffs, advice, *dear, Saving(122_456_700, 122_456_500, 122_456_900, 0.5))
    assert "about 10,000 RUB instead of 1,234,567 RUB, which saves about 1,224,567 RUB" in said[0]
    assert "unos 10\u202f000 RUB en lugar de 1\u202f234\u202f567 RUB, un ahorro de unos 1\u202f224\u202f567" in said[1]


def test_what_may_cost_more_is_said_and_that_one_month_says_little(tariffs: Tariffs, profile: HabitProfile) -> None:
    policy = AdvicePolicy(min_saving_share=0.0, min_p_saves=0.0)
    advice = Adviser(tariffs, profile, policy).advise(ULTRA, [NEAR])
    assert advice.kind == "switch"
    assert advice.saving.low < 0 < advice.saving.high
    more, less = -advice.saving.low / 100, advice.saving.high / 100
    said = sentence(advice, tariffs, policy)
    assert f"(90 % interval: from {more:,.0f} RUB more to {less:,.0f} RUB less)" in said
    assert said.endswith("; only one month is known, so this is uncertain.")
    assert sentence(advice, tariffs, policy, "es").endswith("; solo se conoce un mes, así que es incierto.")


def test_the_amounts_of_a_sentence_add_up(profile: HabitProfile) -> None:
    for path in (shipped_tariffs(), ROOT / "examples" / "tariffs_usd.yaml"):
        tariffs = load_tariffs(path)
        for gigabytes in range(16, 60):
            month = Month(60, 400, 30, 1024 * gigabytes + 37, 421)
            said = sentence(Adviser(tariffs, profile, AdvicePolicy()).advise(0, [month] * 3), tariffs, AdvicePolicy())
            amounts = re.search(r"cost about (\S+) \w+ instead of (\S+) \w+, which saves about (\S+) ", said)
            if amounts is not None:
                cost, instead, saved = (Decimal(amount.replace(",", "")) for amount in amounts.groups())
                assert instead - cost == saved, said


def test_small_amounts_are_told_with_their_decimals(profile: HabitProfile) -> None:
    dollars = load_tariffs(ROOT / "examples" / "tariffs_usd.yaml")
    month = Month(20, 100, 5, 6_000, 510)  # ten minutes beyond those included
    advice = Adviser(dollars, profile, AdvicePolicy()).advise(0, [month] * 12)
    said = sentence(advice, dollars, AdvicePolicy())
    assert f"about {dollars.amount(advice.plans[0].expected):.2f} USD" in said
    assert f"unos {dollars.amount(advice.plans[0].expected):.2f} USD".replace(".", ",") in sentence(
        advice, dollars, AdvicePolicy(), "es"
    )
