"""Advice to many subscribers at once is that to each of them: the same plans, numbers and sentences, bit for bit."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_recommender.billing.advice import AdvicePolicy, Adviser
from plan_recommender.billing.advice_many import NO_PLAN, ManyAdvice, ManyAdviser
from plan_recommender.billing.forecast import MAX_MONTHS, Month
from plan_recommender.billing.many_months import ManyMonths
from plan_recommender.billing.tariffs import MAX_USAGE, Tariffs, load_tariffs
from plan_recommender.billing.wording import Sentences, sentence
from plan_recommender.model.languages import LANGUAGES
from tests.made_up_months import habits
from tools.server import ROOT

AMOUNT = st.floats(0, MAX_USAGE) | st.floats(0, 50_000) | st.sampled_from([0.0, 5e-324, 1.0, 400.0, MAX_USAGE])
MONTH = st.builds(
    Month, AMOUNT, AMOUNT, AMOUNT, AMOUNT, st.none() | AMOUNT,
    st.floats(0.01, 1) | st.sampled_from([0.01, 0.49, 0.5, 0.98, 0.99, 1.0]),
)  # fmt: skip
SUBSCRIBER = st.tuples(st.none() | st.integers(0, 1), st.lists(MONTH, min_size=1, max_size=MAX_MONTHS))
TARIFFS = (ROOT / "tariffs.yaml", ROOT / "examples" / "tariffs_usd.yaml")

Subscriber = tuple[int | None, list[Month]]


def asked(subscribers: Sequence[Subscriber]) -> tuple[np.ndarray, ManyMonths]:
    held = np.array([NO_PLAN if plan is None else plan for plan, _ in subscribers], dtype=np.int64)
    flat = [[np.nan if value is None else value for value in month] for _, months in subscribers for month in months]
    columns = np.ascontiguousarray(np.array(flat, dtype=np.float64).T)
    return held, ManyMonths._make([*columns, np.cumsum([len(months) for _, months in subscribers])])


def expect_equal(adviser: Adviser, subscribers: Sequence[Subscriber]) -> ManyAdvice:
    """Check that everything about every subscriber is what `Adviser.advise` says."""
    many = ManyAdviser(adviser).advise(*asked(subscribers))
    told = [list(Sentences(adviser.tariffs, adviser.policy, language).many(many)) for language in LANGUAGES]
    for i, ((held, months), found) in enumerate(zip(subscribers, many.each(), strict=True)):
        expected = adviser.advise(held, months)
        assert found == expected._replace(last_bills=[]), f"subscriber {i}"
        assert many.last[:, i].tolist() == [bill.total for bill in expected.last_bills]
        for language, sentences in zip(LANGUAGES, told, strict=True):
            assert sentences[i] == sentence(expected, adviser.tariffs, adviser.policy, language)
    return many


def drawn(count: int, plans: int, seed: int) -> list[Subscriber]:
    """Draw subscribers like real ones, with first months that are begun, light and heavy, known in part."""
    rng = np.random.default_rng(seed)
    subscribers: list[Subscriber] = []
    for _ in range(count):
        usual = rng.lognormal(0, 1, 4) * [60, 400, 50, 17_000]
        months = []
        for _ in range(int(rng.choice([1, 1, 2, 3, 6, 12, 36]))):
            used = np.where(rng.random(4) < 0.05, 0.0, usual * rng.lognormal(0, 0.5, 4))
            calls, minutes, messages, mb_used = (round(float(value), 2) for value in used)
            billed = float(int(minutes + calls / 2)) if rng.random() < 0.6 else None
            share = 1.0 if rng.random() < 0.7 else round(float(rng.uniform(0.01, 1)), 4)
            months.append(Month(calls, minutes, messages, mb_used, billed, share))
        held = int(rng.integers(-1, plans))
        subscribers.append((None if held < 0 else held, months))
    return subscribers


@pytest.mark.parametrize("path", TARIFFS, ids=lambda path: path.name)
def test_thousands_of_subscribers_get_the_advice_that_each_gets_alone(path: Path) -> None:
    tariffs = load_tariffs(path)
    policy = AdvicePolicy(min_months=2, min_saving_share=0.05)
    many = expect_equal(Adviser(tariffs, habits(), policy), drawn(2_500, len(tariffs.plans), seed=1))
    assert set(many.kind.tolist()) == {0, 1, 2}, "every kind of advice occurs"
    assert set(many.reason.tolist()) == {0, 1, 2, 3, 4}, "and every reason"
    assert {1, 36} <= set(many.months.tolist())


@settings(derandomize=True, deadline=None, max_examples=80)
@given(subscribers=st.lists(SUBSCRIBER, min_size=1, max_size=6), dollars=st.booleans(), months=st.integers(1, 4))
def test_whatever_the_months_are_the_bits_are_the_same(
    subscribers: list[Subscriber], dollars: bool, months: int
) -> None:
    expect_equal(Adviser(load_tariffs(TARIFFS[dollars]), habits(), AdvicePolicy(min_months=months)), subscribers)


def test_one_plan_alone_is_kept_or_chosen() -> None:
    tariffs = load_tariffs(TARIFFS[0])
    alone = Tariffs.model_validate(tariffs.model_dump() | {"plans": [tariffs.plans[0].model_dump()]})
    subscribers: list[Subscriber] = [(plan and None, months) for plan, months in drawn(200, 1, seed=2)]
    subscribers += [(0, months) for _, months in subscribers]
    assert set(expect_equal(Adviser(alone, habits(), AdvicePolicy()), subscribers).kind.tolist()) == {0, 2}


def test_subscribers_do_not_depend_on_who_is_asked_about_beside_them() -> None:
    """The control: other months make another advice."""
    adviser = ManyAdviser(Adviser(load_tariffs(TARIFFS[0]), habits(), AdvicePolicy()))
    subscribers = drawn(700, 2, seed=3)
    together = list(adviser.advise(*asked(subscribers)).each())
    assert together[::-1] == list(adviser.advise(*asked(subscribers[::-1])).each())
    assert together[:1] == list(adviser.advise(*asked(subscribers[:1])).each())
    assert together[:1] != list(adviser.advise(*asked(subscribers[1:2])).each())
