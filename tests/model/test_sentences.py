"""The sentences of an explanation: plain, with the right plan, factor, points, unit and number of the noun and verb."""

import math
import re
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_recommender.model.features import FEATURE_NAMES, FEATURES
from plan_recommender.model.languages import LANGUAGES, Language, trimmed
from plan_recommender.model.logistic import logistic
from plan_recommender.model.reason_words import HARDLY
from plan_recommender.model.reasons import effect_points
from plan_recommender.model.sentences import Sentences, Words, change_sentence
from plan_recommender.model.tables import PAIRS, SCHEMA_VERSION, FeatureTable, ModelDocument, PairMap
from plan_recommender.model.threshold import Threshold
from tests.model.reading import GRAMMARS

AMOUNT = st.floats(min_value=0, allow_infinity=False)


def document_of(features: list[FeatureTable]) -> ModelDocument:
    maps = [
        PairMap(
            features=[FEATURE_NAMES[i], FEATURE_NAMES[j]],
            values=[[0.0] * len(features[j].curve)] * len(features[i].curve),
        )
        for i, j in PAIRS
    ]
    return ModelDocument(
        format="plan_recommender.tables", schema_version=SCHEMA_VERSION, target="is_ultra",
        threshold=Threshold(value=0.5), features=features, constant=0.0, maps=maps,
    )  # fmt: skip


def check_wording(words: Words, contribution: float, points: float, language: Language) -> None:
    """Check that a sentence is one, that it is short, and that it says the effect that it is given."""
    said, warns = words
    assert said[0].isupper() or said[0].isdigit()
    assert said.endswith(".")
    assert said.count(". ") == 0  # one sentence
    assert len(said) < {"en": 430, "es": 500}[language]
    assert not re.search(r"\bnan\b|\binf\b|e[+-]\d|  | ,|\b0 p[eu][rn]|\b0 ?%|-\d|[{}]", said), said
    found = GRAMMARS[language].effect(said)
    assert found.warns == warns
    if abs(contribution) <= math.log(HARDLY):
        assert (found.hardly, found.plan) == (True, None)
        assert (found.points is None) == (contribution == 0)
    else:
        assert found.plan == found.speaks_for == ("Ultra" if contribution > 0 else "Smart")
        assert found.points is not None
        if not math.isnan(found.factor):
            assert found.factor == pytest.approx(math.exp(abs(contribution)), rel=0.06)
    if found.points is not None:
        fewest, most = found.points
        assert fewest <= abs(points) <= most
        assert (fewest, most) == (0, 1) or fewest >= 0.5


def hand_made() -> ModelDocument:
    """1,000 months on Smart and 400 on Ultra, of which one with a known number of messages."""

    def table(name: str, cuts: list[float], smart: list[int], ultra: list[int], **changes: object) -> FeatureTable:
        rows = [s + u for s, u in zip(smart, ultra, strict=True)]
        values = {
            "name": name, "unit": FEATURES[FEATURE_NAMES.index(name)].unit, "cuts": cuts, "missing_bin": 2,
            "median": (cuts[1] + cuts[2]) / 2, "training_rows": rows, "smart_rows": smart, "ultra_rows": ultra,
            "smallest": 0.0, "largest": cuts[-1] * 2, "whole": True, "curve": [0.0] * len(rows),
        }  # fmt: skip
        return FeatureTable.model_validate(values | changes)

    return document_of(
        [
            table("calls", [0.5, 9.5, 80.5, 120.5], [20, 80, 700, 189, 11], [36, 44, 200, 119, 1]),
            table("minutes", [25.04, 99.5, 800.0, 1200.0], [0, 300, 600, 100, 0], [100, 0, 200, 72, 28], whole=False),
            table("messages", [0.5, 9.5, 80.5, 120.5], [200, 200, 200, 200, 200], [0, 0, 0, 0, 1]),
            table(
                "mb_used",
                [1310.2, 9000.0, 25000.0, 30000.0],
                [100, 100, 700, 99, 1],
                [40, 40, 260, 60, 0],
                whole=False,
                smallest=3.5,
            ),
        ]
    )


HAND_MADE = {language: Sentences(hand_made(), language) for language in LANGUAGES}


@pytest.mark.parametrize(
    ("feature", "value", "b", "contribution", "points", "expected"),
    [
        ("calls", 0.0, 0, math.log(1.4), 7.6,
         "0 calls this month (typical: 45) speak for Ultra, as the model learned from the training table: there, "
         "Ultra subscribers made no calls in 9% of their months and Smart subscribers in only 2% of theirs; this "
         "raises the probability of Ultra by 8 percentage points and multiplies its odds by 1.4."),
        ("calls", 1.0, 1, -math.log(12.6), -0.4,
         "1 call this month (typical: 45) speaks for Smart together with the other values, although in the "
         "training table Ultra subscribers made at most 9 calls more often, in 20% of their months, and Smart "
         "subscribers in only 10% of theirs; this raises the probability of Smart by less than one percentage "
         "point and multiplies its odds by 13."),
        ("calls", 45.0, 2, -0.1, -1.2,
         "45 calls this month (typical: 45) speak for Smart: in the training table, Smart subscribers made between"
         " 10 and 80 calls in 70% of their months and Ultra subscribers in 50% of theirs; this raises the "
         "probability of Smart by one percentage point and multiplies its odds by 1.11."),
        ("calls", math.nan, 2, -0.1, -1.2,
         "The typical 45 calls, assumed because the number is missing, speak for Smart: in the training table, "
         "Smart subscribers made between 10 and 80 calls in 70% of their months and Ultra subscribers in 50% of "
         "theirs; this raises the probability of Smart by one percentage point and multiplies its odds by 1.11."),
        ("calls", 200.0, 4, 0.5, 99.7,
         "200 calls this month (typical: 45) speak for Ultra, but there is little to go on: only 12 of the 1,400 "
         "months in the training table had more than 120 calls, 11 on Smart and 1 on Ultra; this raises the "
         "probability of Ultra by more than 99 percentage points and multiplies its odds by 1.65."),
        ("calls", 1e+308, 4, 37.4, 50.0,
         "More than a billion calls this month (typical: 45) speak for Ultra, but this is a guess: no month in the"
         " training table had more than 241 calls; this raises the probability of Ultra by 50 percentage points "
         "and multiplies its odds by more than a million."),
        ("calls", -0.0, 0, 0.0, 0.0,
         "0 calls this month (typical: 45) hardly matter next to the other values: in the training table, Ultra "
         "subscribers made no calls in 9% of their months and Smart subscribers in only 2% of theirs; this changes"
         " neither the probability nor the odds."),
        ("minutes", 21.54, 0, 0.1, 2.4,
         "21.5 minutes of calls this month (typical: 450) speak for Ultra, as the model learned from the training "
         "table: there, Ultra subscribers had at most 25 minutes in 25% of their months and Smart subscribers in "
         "none of theirs; this raises the probability of Ultra by 2 percentage points and multiplies its odds by "
         "1.11."),
        ("minutes", 1.0, 0, 0.04, 0.9,
         "1 minute of calls this month (typical: 450) hardly matters next to the other values: in the training "
         "table, Ultra subscribers had at most 25 minutes in 25% of their months and Smart subscribers in none of "
         "theirs; this changes the probability of Ultra by less than one percentage point and its odds by 5% at "
         "most."),
        ("minutes", 1300.0, 4, 0.1, 2.4,
         "1,300 minutes of calls this month (typical: 450) speak for Ultra, but there is little to go on: only 28 "
         "of the 1,400 months in the training table had more than 1,200 minutes, all of them on Ultra; this raises"
         " the probability of Ultra by 2 percentage points and multiplies its odds by 1.11."),
        ("messages", 45.0, 2, -0.1, -2.4,
         "45 text messages this month (typical: 45) speak for Smart, but there is little to go on: the training "
         "table has only one month on Ultra; this raises the probability of Smart by 2 percentage points and "
         "multiplies its odds by 1.11."),
        ("mb_used", 1200.0, 0, 0.7, 11.0,
         "1,200 MB of data this month (typical: 17,000) speaks for Ultra together with the other values: in the "
         "training table, subscribers of both plans used at most 1,310 MB in 10% of their months; this raises the "
         "probability of Ultra by 11 percentage points and multiplies its odds by 2."),
        ("mb_used", 50000.0, 4, -0.7, -11.0,
         "50,000 MB of data this month (typical: 17,000) speaks for Smart, but there is little to go on: only one "
         "of the 1,400 months in the training table had more than 30,000 MB, which was on Smart; this raises the "
         "probability of Smart by 11 percentage points and multiplies its odds by 2."),
        ("mb_used", 0.0, 0, 0.7, 11.0,
         "0 MB of data this month (typical: 17,000) speaks for Ultra, but this is a guess: no month in the "
         "training table had less than 3.5 MB; this raises the probability of Ultra by 11 percentage points and "
         "multiplies its odds by 2."),
        ("mb_used", math.nan, 2, 0.04, -0.3,
         "The typical 17,000 MB of data, assumed because the amount is missing, hardly matters: in the training "
         "table, Smart subscribers used between 9,000 and 25,000 MB in 70% of their months and Ultra subscribers "
         "in 65% of theirs; this changes the probability of Ultra by less than one percentage point and its odds "
         "by 5% at most."),
    ],
)  # fmt: skip
def test_sentences(feature: str, value: float, b: int, contribution: float, points: float, expected: str) -> None:
    words = HAND_MADE["en"].words(FEATURE_NAMES.index(feature), value, b, contribution, points)
    assert words == (expected, ", but " in expected)


@pytest.mark.parametrize(
    ("feature", "value", "b", "contribution", "points", "expected"),
    [
        ("calls", 0.0, 0, math.log(1.4), 7.6,
         "0 llamadas este mes (lo habitual: 45) apuntan a Ultra, según lo que el modelo aprendió de la tabla de "
         "entrenamiento: en ella, los clientes de Ultra no hicieron llamadas en el 9 % de sus meses y los de Smart, "
         "solo en el 2 % de los suyos; esto aumenta la probabilidad de Ultra en 8 puntos porcentuales y multiplica su "
         "razón de probabilidades (odds) por 1,4."),
        ("calls", 1.0, 1, -math.log(12.6), -0.4,
         "1 llamada este mes (lo habitual: 45) apunta a Smart junto con los demás valores, aunque en la tabla de "
         "entrenamiento eso es más habitual con Ultra: sus clientes hicieron como máximo 9 llamadas en el 20 % de sus "
         "meses y los de Smart, solo en el 10 % de los suyos; esto aumenta la probabilidad de Smart en menos de un "
         "punto porcentual y multiplica su razón de probabilidades (odds) por 13."),
        ("calls", math.nan, 2, -0.1, -1.2,
         "Las 45 llamadas habituales, supuestas porque falta el dato, apuntan a Smart: en la tabla de entrenamiento, "
         "los clientes de Smart hicieron entre 10 y 80 llamadas en el 70 % de sus meses y los de Ultra, en el 50 % de "
         "los suyos; esto aumenta la probabilidad de Smart en un punto porcentual y multiplica su razón de "
         "probabilidades (odds) por 1,11."),
        ("calls", 200.0, 4, 0.5, 99.7,
         "200 llamadas este mes (lo habitual: 45) apuntan a Ultra, pero hay poca base: solo 12 de los 1400 meses de "
         "la tabla de entrenamiento tienen más de 120 llamadas, 11 de Smart y 1 de Ultra; esto aumenta la "
         "probabilidad de Ultra en más de 99 puntos porcentuales y multiplica su razón de probabilidades (odds) por "
         "1,65."),
        ("calls", 1e+308, 4, 37.4, 50.0,
         "Más de mil millones de llamadas este mes (lo habitual: 45) apuntan a Ultra, pero es una conjetura: ningún "
         "mes de la tabla de entrenamiento tiene más de 241 llamadas; esto aumenta la probabilidad de Ultra en 50 "
         "puntos porcentuales y multiplica su razón de probabilidades (odds) por más de un millón."),
        ("minutes", 1.0, 0, 0.04, 0.9,
         "1 minuto de llamadas este mes (lo habitual: 450) apenas influye frente a los demás valores: en la tabla de "
         "entrenamiento, los clientes de Ultra hablaron como máximo 25 minutos en el 25 % de sus meses y los de "
         "Smart, en ninguno de los suyos; esto cambia la probabilidad de Ultra en menos de un punto porcentual y su "
         "razón de probabilidades (odds) en un 5 % como máximo."),
        ("messages", 45.0, 2, -0.1, -2.4,
         "45 mensajes de texto este mes (lo habitual: 45) apuntan a Smart, pero hay poca base: la tabla de "
         "entrenamiento tiene un solo mes de Ultra; esto aumenta la probabilidad de Smart en 2 puntos porcentuales y "
         "multiplica su razón de probabilidades (odds) por 1,11."),
        ("mb_used", 1200.0, 0, 0.7, 11.0,
         "1200 MB de datos este mes (lo habitual: 17\u202f000) apuntan a Ultra junto con los demás valores: en la "
         "tabla de entrenamiento, los clientes de ambos planes consumieron como máximo 1310 MB en el 10 % de sus "
         "meses; esto aumenta la probabilidad de Ultra en 11 puntos porcentuales y multiplica su razón de "
         "probabilidades (odds) por 2."),
        ("mb_used", 50000.0, 4, -0.7, -11.0,
         "50\u202f000 MB de datos este mes (lo habitual: 17\u202f000) apuntan a Smart, pero hay poca base: solo uno de "
         "los 1400 meses de la tabla de entrenamiento tiene más de 30\u202f000 MB, y es de Smart; esto aumenta la "
         "probabilidad de Smart en 11 puntos porcentuales y multiplica su razón de probabilidades (odds) por 2."),
        ("mb_used", 0.0, 0, 0.0, 0.0,
         "0 MB de datos este mes (lo habitual: 17\u202f000) apenas influyen, pero es una conjetura: ningún mes de la "
         "tabla de entrenamiento tiene menos de 3,5 MB; esto no cambia ni la probabilidad ni la razón de "
         "probabilidades (odds)."),
    ],
)  # fmt: skip
def test_sentences_in_spanish(
    feature: str, value: float, b: int, contribution: float, points: float, expected: str
) -> None:
    words = HAND_MADE["es"].words(FEATURE_NAMES.index(feature), value, b, contribution, points)
    assert words == (expected, ", pero " in expected)


@pytest.mark.parametrize(
    ("factor", "word"), [(HARDLY - 1e-9, "hardly"), (HARDLY + 1e-9, "for Ultra"), (1.996, "by 2."), (9.97, "by 10.")]
)
def test_edges_of_the_factor(factor: float, word: str) -> None:
    assert word in HAND_MADE["en"].words(0, 85, 3, math.log(factor), 1.0)[0]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.integers(0, 3), AMOUNT | st.just(math.nan), st.integers(0, 4), st.floats(-80, 80), st.floats(-20, 20))
def test_every_contribution_gets_one_sentence_for_the_plan_it_speaks_for(
    feature: int, value: float, b: int, contribution: float, log_odds: float
) -> None:
    points = effect_points(logistic(log_odds), log_odds, contribution)
    for language in LANGUAGES:
        words = HAND_MADE[language].words(feature, value, b, contribution, points)
        check_wording(words, contribution, points, language)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(AMOUNT | st.floats(0, 1200) | st.integers(0, 2500).map(lambda steps: steps / 200))
def test_amounts_and_factors_are_rounded_as_python_rounds_them(value: float) -> None:
    decimals = 0 if value >= 100 else 1 if value >= 1 else 2
    for feature, name in enumerate(FEATURE_NAMES):
        for language in LANGUAGES:
            said, _ = HAND_MADE[language].words(feature, value, 2, 0.0, 0.0)
            if 0.01 <= value <= 1e9 or value == 0:
                assert said.startswith(f"{trimmed(value, decimals, language)} "), (name, said)
    if HARDLY < value < 1e6:
        said, _ = HAND_MADE["en"].words(0, 45.0, 2, math.log(value), 1.0)
        factor = math.exp(math.log(value))
        shown = trimmed(factor, 2 if factor < 2 else 1 if factor < 10 else 0, "en")
        assert said.endswith(f" multiplies its odds by {shown}."), said


@pytest.mark.parametrize(
    ("feature", "change", "other_plan", "expected"),
    [
        ("mb_used", 30231.04, "Ultra", "the nearest amount of data at which Ultra {would} about 30,231 MB."),
        ("calls", 12.5, "Smart", "the nearest number of calls at which Smart {would} about 12.5."),
        ("messages", 0.0, "Ultra", "the nearest number of text messages at which Ultra {would} 0."),
        ("minutes", 2.8e-14, "Ultra", "the nearest number of minutes at which Ultra {would} just above 0."),
        ("calls", None, "Ultra", "no number of calls would change the plan."),
        ("minutes", None, "Ultra", "no number of minutes would change the plan."),
        ("messages", None, "Smart", "no number of text messages would change the plan."),
        ("mb_used", None, "Smart", "no amount of data would change the plan."),
    ],
)
def test_sentences_on_a_change_of_plan(feature: str, change: float | None, other_plan: str, expected: str) -> None:
    said = expected.format(would="would be recommended is")
    assert change_sentence(feature, change, other_plan) == f"Everything else equal, {said}"


@pytest.mark.parametrize(
    ("feature", "change", "expected"),
    [
        ("mb_used", 30231.04, "el volumen de datos más cercano {would} aproximadamente 30\u202f231 MB."),
        ("calls", 12.5, "el número de llamadas más cercano {would} aproximadamente 12,5."),
        ("messages", 0.0, "el número de mensajes de texto más cercano {would} 0."),
        ("minutes", 2.8e-14, "el número de minutos más cercano {would} apenas superior a 0."),
        ("mb_used", None, "ningún volumen de datos cambiaría el plan recomendado."),
    ],
)
def test_sentences_on_a_change_of_plan_in_spanish(feature: str, change: float | None, expected: str) -> None:
    said = expected.format(would="con el que se recomendaría Ultra es")
    assert change_sentence(feature, change, "Ultra", "es") == f"Si lo demás no cambia, {said}"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.sampled_from(FEATURE_NAMES), st.none() | AMOUNT, st.sampled_from(["Smart", "Ultra"]))
def test_every_change_gets_one_short_sentence_that_names_the_plan(
    feature: str, change: float | None, other_plan: str
) -> None:
    for language, begin in {"en": "Everything else equal, ", "es": "Si lo demás no cambia, "}.items():
        said = change_sentence(feature, change, other_plan, cast(Language, language))
        assert said.startswith(begin)
        assert said.endswith(".")
        assert len(said) < 150
        assert not any(word in said for word in ("nan", "inf", "e+", "e-", "{"))
        assert ([plan for plan in ("Smart", "Ultra") if plan in said]) == ([] if change is None else [other_plan])
