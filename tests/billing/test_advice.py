"""The advice: keep, switch or choose, by the policy, and the sentence that says so."""

import re
from decimal import Decimal
from typing import Any

import pytest

from plan_recommender.billing.advice import Advice, AdvicePolicy, Adviser
from plan_recommender.billing.forecast import Month
from plan_recommender.billing.habits import HabitProfile
from plan_recommender.billing.tariffs import Tariffs, load_tariffs, shipped_tariffs
from plan_recommender.billing.wording import LANGUAGES, Language, sentence
from plan_recommender.data.month_panel import SHIPPED_MONTHS
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
        assert sentence(advice, alone, AdvicePolicy()).startswith(
            "Keep Smart: next month it is expected to cost about "
        )


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
        f"about {saving:,.0f} RUB (in 9 of 10 months exactly that); it saves in about 99 of 100 months like this."
    )
    assert sentence(advice, tariffs, AdvicePolicy(), "es") == (
        "Cambie de Ultra a Smart: se espera que el próximo mes cueste unos 550 RUB en lugar de 1\u202f950 RUB, un "
        "ahorro de unos 1\u202f400 RUB (en 9 de cada 10 meses, exactamente eso); ahorra en unos 99 de cada 100 meses "
        "como este."
    )


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
