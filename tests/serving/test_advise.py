"""`POST /advise`: bills, forecast and advice over HTTP, and the errors of a request for them."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from plan_recommender.billing.tariffs import MAX_USAGE, MinutesRounding, load_tariffs, shipped_tariffs
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.serving.error_responses import Refusal
from plan_recommender.serving.language import choose_language
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import AdviceAnswer, AdviceRequest
from tests.billing import oracle
from tests.serving.corpus import GOOD, JSON, LIGHT

AMOUNT = st.floats(0, MAX_USAGE) | st.integers(0, 100_000)
MONTH = st.fixed_dictionaries(
    dict.fromkeys(FEATURE_NAMES, AMOUNT),
    optional={"billed_minutes": st.floats(0, 1) | st.none(), "active_share": st.floats(0.01, 1) | st.none()},
).map(lambda month: with_minutes(month))
HEAVY = {"calls": 150, "minutes": 1200.5, "messages": 120, "mb_used": 32_000.25}

Document = dict[str, Any]


def with_minutes(month: Document) -> Document:
    """Replace a share from 0 to 1 by billed minutes so far between the fewest and the most that can be."""
    share, minutes, calls = month.get("billed_minutes"), month["minutes"], month["calls"]
    if share is None:
        return month
    low, high = max(minutes - calls, 0), min(minutes + calls, MAX_USAGE)
    return month | {"billed_minutes": min(max(low + share * (high - low), low), high)}


PRICES = oracle.read(shipped_tariffs())


@pytest.fixture(scope="module")
def service(trained_tag: str) -> Any:
    """The service as an object of Python."""
    from service import PlanRecommender

    return cast(Any, PlanRecommender).inner()  # the decorated class is a bentoml.Service, which its types do not say


def request(*usages: Document, plan: str | None = "Smart") -> Document:
    """A request on consecutive months."""
    numbered = [{"month": f"{2024 + i // 12}-{i % 12 + 1:02d}", **usage} for i, usage in enumerate(usages)]
    return {"plan": plan, "months": numbered}


def advise(client: TestClient, document: Document, language: str = "en") -> Document:
    answer = client.post("/advise", json=document, headers={"accept-language": language})
    assert answer.status_code == 200, answer.text
    fetched: Document = answer.json()
    return fetched


def test_the_last_bill_is_itemised_to_the_last_unit(client: TestClient) -> None:
    answer = advise(client, request(LIGHT, GOOD | {"billed_minutes": 540}))
    smart, ultra = (plan["last_bill"] for plan in answer["plans"])
    # 40 minutes at 3, 6 messages at 3, and 8 of 23 begun gigabytes at 200, beyond the fee of 550.
    assert smart == {
        "fee": 550, "minutes": 120, "messages": 18, "data": 1600, "total": 2288, "estimated": False
    }  # fmt: skip
    assert ultra == {"fee": 1950, "minutes": 0, "messages": 0, "data": 0, "total": 1950, "estimated": False}


def test_without_billed_minutes_the_bill_is_an_estimate_and_says_so(client: TestClient) -> None:
    answer = advise(client, request(GOOD))
    bill = answer["plans"][0]["last_bill"]
    assert (bill["minutes"], bill["estimated"]) == (3 * (517 + 17 - 500), True)


def test_billed_minutes_that_contradict_the_calls_are_refused_with_every_such_month(client: TestClient) -> None:
    wrong = [GOOD | {"billed_minutes": minutes} for minutes in (0, 540, 1e9)]
    answer = client.post("/advise", json=request(*wrong))
    assert answer.status_code == 400
    said = "Input should be from 431.7 to 601.7, because each call is rounded by a minute at most, or null"
    assert answer.json() == {
        "error": f"The request is not valid: months[0].billed_minutes: {said} (1 more).",
        "detail": [
            {"loc": ["months", place, "billed_minutes"], "msg": said, "type": "contradiction"} for place in (0, 2)
        ],
    }


def test_where_the_tariffs_round_the_sum_no_billed_minutes_contradict_anything(trained_tag: str) -> None:
    by_call = load_tariffs(shipped_tariffs())
    by_month = by_call.model_copy(update={"minutes": MinutesRounding(rounding="month")})
    body = AdviceRequest.model_validate(request(GOOD | {"billed_minutes": 0}))
    answer = Recommender(store.find(trained_tag), by_month).advise(body)
    assert answer["plans"][0]["last_bill"]["minutes"] == 3 * (517 - 500)
    with pytest.raises(Refusal):
        Recommender(store.find(trained_tag), by_call).advise(body)


def test_null_is_a_share_and_minutes_that_are_not_given(client: TestClient) -> None:
    assert advise(client, request(GOOD | {"billed_minutes": None, "active_share": None})) == advise(
        client, request(GOOD)
    )


@pytest.mark.parametrize(
    ("plan", "usage", "advice", "advised"),
    [
        ("Smart", HEAVY, "switch", "Ultra"),
        ("Ultra", LIGHT, "switch", "Smart"),
        ("Smart", LIGHT, "keep", "Smart"),
        ("Ultra", HEAVY, "keep", "Ultra"),
        (None, HEAVY, "choose", "Ultra"),
        (None, LIGHT, "choose", "Smart"),
    ],
)
def test_whoever_uses_little_belongs_on_the_cheap_plan_and_whoever_uses_much_on_the_dear_one(
    client: TestClient, plan: str | None, usage: Document, advice: str, advised: str
) -> None:
    answer = advise(client, request(*[usage] * 6, plan=plan))
    assert (answer["advice"], answer["plan"], answer["advised_plan"]) == (advice, plan, advised)
    expected = {each["plan"]: each["expected"] for each in answer["plans"]}
    if advice == "keep":
        assert answer["expected_saving"] == answer["saving_low"] == answer["saving_high"] == answer["p_saves"] == 0
    else:
        (other,) = expected.keys() - {advised}
        assert answer["expected_saving"] == round(expected[other] - expected[advised], 2) > 0
        assert answer["saving_low"] <= answer["expected_saving"] <= answer["saving_high"]
        assert answer["p_saves"] > 0.5
    assert answer["sentence"].startswith({"keep": "Keep", "switch": "Switch from", "choose": "Choose"}[advice])


def test_the_answer_names_the_model_the_tariffs_and_the_currency(client: TestClient, trained_tag: str) -> None:
    answer = advise(client, request(GOOD))
    model = client.get("/model").json()
    assert answer["model"] == model["model"] == trained_tag
    assert answer["tariffs"] == model["tariffs"]["sha256"] == load_tariffs(shipped_tariffs()).digest
    assert answer["currency"] == model["tariffs"]["currency"] == "RUB"
    assert [plan["name"] for plan in model["tariffs"]["plans"]] == ["Smart", "Ultra"]
    assert model["tariffs"]["plans"][0]["beyond"] == {"minute": 3, "message": 3, "data_step": 200}
    assert model["advice"]["min_saving_share"] == 0.1
    assert model["advice"]["months"]["file"] == "subscriber_months.csv"


def test_the_sentence_is_in_the_language_that_is_asked_for(client: TestClient) -> None:
    body = request(*[HEAVY] * 3)
    for language, found, begin in (
        ("es-MX,es;q=0.9,en;q=0.8", "es", "Cambie de Smart a Ultra: "),
        ("en-GB", "en", "Switch from Smart to Ultra: "),
        ("de, fr;q=0.5", "en", "Switch from Smart to Ultra: "),
        ("de, es;q=0.1", "es", "Cambie de Smart a Ultra: "),
    ):
        answer = client.post("/advise", json=body, headers={"accept-language": language})
        assert answer.json()["sentence"].startswith(begin)
        assert answer.headers["content-language"] == found
        assert answer.headers["vary"] == "accept-language"
    assert client.post("/advise", json=body).headers["content-language"] == "en"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (b"", "en"), (b"es", "es"), (b"ES-419", "es"), (b"en;q=0, es;q=0.001", "es"), (b"es;q=0", "en"), (b"*", "en"),
        (b"es;q=0.5, *;q=0.6", "en"), (b"es;q=2", "en"), (b"es;q=x", "en"), (b"\xff, es", "es"), (b"estonian", "en"),
        (b"en,es", "en"), (b"es , en", "es"), (b"de," * 50 + b"es", "en"),
    ],
)  # fmt: skip
def test_the_language_with_the_highest_weight_is_chosen(header: bytes, language: str) -> None:
    assert choose_language([(b"host", b"x"), (b"accept-language", header)]) == language


def test_several_headers_are_one(client: TestClient) -> None:
    assert choose_language([(b"accept-language", b"en;q=0.2"), (b"accept-language", b"es;q=0.3")]) == "es"


@pytest.mark.slow
@given(st.sampled_from(["Smart", "Ultra", None]), st.lists(MONTH, min_size=1, max_size=36))
@settings(max_examples=200, deadline=None)
def test_every_answer_is_the_typed_apis_and_its_bills_are_the_oracles(
    client: TestClient, service: Any, plan: str | None, usages: list[Document]
) -> None:
    body = request(*usages, plan=plan)
    typed = service.advise(AdviceRequest.model_validate(body))
    declared = TypeAdapter(AdviceAnswer)
    assert declared.validate_python(typed, strict=True) == typed
    answer = client.post("/advise", content=json.dumps(body).encode(), headers=JSON)
    assert (answer.status_code, answer.content) == (200, declared.dump_json(typed))

    last = usages[-1]
    bills = oracle.bill(
        PRICES, last["calls"], last["minutes"], last["messages"], last["mb_used"], last.get("billed_minutes")
    )
    for outlook, items in zip(json.loads(answer.content, parse_float=Decimal)["plans"], bills, strict=True):
        assert tuple(outlook["last_bill"][item] for item in ("fee", "minutes", "messages", "data")) == items
        assert outlook["last_bill"]["total"] == sum(items)
        assert outlook["low"] <= outlook["high"]


def test_a_month_more_of_the_same_usage_makes_the_forecast_surer(client: TestClient) -> None:
    widths = []
    for months in (1, 3, 12):
        smart = advise(client, request(*[GOOD] * months))["plans"][0]
        widths.append(smart["high"] - smart["low"])
    assert all(after < before for before, after in pairwise(widths)), widths


def test_half_a_month_counts_as_half(client: TestClient) -> None:
    # Half the usage in half the days is the same level of usage; without the share it looks like a light user.
    half = {name: value / 2 for name, value in HEAVY.items()}
    partial = advise(client, request(half | {"active_share": 0.5}))["plans"][0]["expected"]
    whole = advise(client, request(HEAVY))["plans"][0]["expected"]
    light = advise(client, request(half))["plans"][0]["expected"]
    assert abs(partial - whole) < abs(light - whole) / 2


def test_advice_is_counted_by_kind(client: TestClient) -> None:
    def count() -> float:
        series = 'plan_recommender_advice_total{advice="switch",plan="Ultra"} '
        (line,) = (line for line in client.get("/metrics").text.splitlines() if line.startswith(series))
        return float(line.removeprefix(series))

    before = count()
    advise(client, request(*[HEAVY] * 2))
    advise(client, request(*[LIGHT] * 2))
    client.get("/health")  # the series are written at most 10 ms after an answer
    for _ in range(100):
        if count() == before + 1:
            break
    assert count() == before + 1
    assert "plan_recommender_tariffs_valid_from_seconds 1.5147648e+09" in client.get("/metrics").text
