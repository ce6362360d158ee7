"""The sentences of an explanation: plain, with the right plan, factor, unit and number of the noun and verb."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.serving.sentences import HARDLY, change_sentence, sentence

AMOUNT = st.floats(min_value=0, allow_infinity=False)


@pytest.mark.parametrize(
    ("feature", "value", "typical", "contribution", "expected"),
    [
        ("mb_used", 22696.96, 16913.1, math.log(2.3),
         "22,697 MB of data this month (typical: 16,913) speaks for Ultra: it multiplies the odds of Ultra by 2.3."),
        ("calls", 85.0, 60.0, -math.log(1.4),
         "85 calls this month (typical: 60) speak for Smart: they multiply the odds of Smart by 1.4."),
        ("calls", 1.0, 60.0, -math.log(12.6),
         "1 call this month (typical: 60) speaks for Smart: it multiplies the odds of Smart by 13."),
        ("minutes", 1.0, 420.4, 0.1,
         "1 minute of calls this month (typical: 420) speaks for Ultra: it multiplies the odds of Ultra by 1.11."),
        ("minutes", 21.54, 420.4, 0.1,
         "21.5 minutes of calls this month (typical: 420) speak for Ultra: they multiply the odds of Ultra by 1.11."),
        ("messages", 0.0, 28.0, 0.0,
         "0 text messages this month (typical: 28) hardly matter: they change the odds by 5% at most."),
        ("messages", 1.0, 28.0, -0.04,
         "1 text message this month (typical: 28) hardly matters: it changes the odds by 5% at most."),
        ("mb_used", 1.0, 0.5, 0.04,
         "1 MB of data this month (typical: 0.5) hardly matters: it changes the odds by 5% at most."),
        ("calls", -0.0, 60.0, 0.0,
         "0 calls this month (typical: 60) hardly matter: they change the odds by 5% at most."),
        ("calls", 5e-324, 60.0, 0.0,
         "Less than 0.01 calls this month (typical: 60) hardly matter: they change the odds by 5% at most."),
        ("calls", 1e308, 2e15, 37.4,
         "More than a billion calls this month (typical: more than a billion) speak for Ultra: "
         "they multiply the odds of Ultra by more than a million."),
        ("calls", 1e9, 99.96, math.log(1e6),
         "1,000,000,000 calls this month (typical: 100) speak for Ultra: "
         "they multiply the odds of Ultra by 1,000,000."),
    ],
)  # fmt: skip
def test_sentences(feature: str, value: float, typical: float, contribution: float, expected: str) -> None:
    assert sentence(feature, value, typical, contribution) == expected


@pytest.mark.parametrize(
    ("factor", "word"), [(HARDLY - 1e-9, "hardly"), (HARDLY + 1e-9, "for Ultra"), (1.996, "by 2."), (9.97, "by 10.")]
)
def test_edges_of_the_factor(factor: float, word: str) -> None:
    assert word in sentence("calls", 85, 60, math.log(factor))


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.sampled_from(FEATURE_NAMES), AMOUNT, AMOUNT, st.floats(-80, 80))
def test_every_contribution_gets_one_short_sentence_for_the_plan_it_speaks_for(
    feature: str, value: float, typical: float, contribution: float
) -> None:
    said = sentence(feature, value, typical, contribution)
    assert said[0].isupper() or said[0].isdigit()
    assert said.endswith(".")
    assert len(said) < 200
    assert not any(word in said for word in ("nan", "inf", "e+", "e-"))
    assert ("Ultra" in said, "Smart" in said) == (contribution > math.log(HARDLY), contribution < -math.log(HARDLY))


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


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.sampled_from(FEATURE_NAMES), st.none() | AMOUNT, st.sampled_from(["Smart", "Ultra"]))
def test_every_change_gets_one_short_sentence_that_names_the_plan(
    feature: str, change: float | None, other_plan: str
) -> None:
    said = change_sentence(feature, change, other_plan)
    assert said.startswith("Everything else equal, ")
    assert said.endswith(".")
    assert len(said) < 150
    assert not any(word in said for word in ("nan", "inf", "e+", "e-"))
    assert ([plan for plan in ("Smart", "Ultra") if plan in said]) == ([] if change is None else [other_plan])
