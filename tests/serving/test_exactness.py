"""Over HTTP everybody gets, byte for byte, what the typed API answers in Python, its errors included."""

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.testclient import TestClient

from plan_recommender.model.features import FEATURE_NAMES, CustomerUsage
from plan_recommender.serving.error_responses import MAX_KEY, MAX_PROBLEMS
from plan_recommender.serving.routes import ROUTES, Command
from plan_recommender.serving.schemas import UsageBatch
from tests.serving.corpus import GOOD, JSON

AMOUNT = st.floats(min_value=0, allow_nan=False, allow_infinity=False) | st.integers(min_value=0, max_value=2**70)
MONTH = st.fixed_dictionaries(dict.fromkeys(FEATURE_NAMES, AMOUNT))

# JSON as text, for the spellings that no encoder writes.
NUMBER = AMOUNT.map(json.dumps) | st.builds(
    "{}.{:09}E{:+}".format, st.integers(0, 10**25), st.integers(0, 10**25), st.integers(-99, 99)
)
NO_NUMBER = st.sampled_from(
    [
        *("true", "false", "null", '"85"', "NaN", "Infinity", "-Infinity", "1e400", "-1", "-0", "-0.0", "[]", "{}"),
        *('""', r'"\ud800"', "01", "+1", ".5", "1.", "0x1", "", "1" * 400, "1" * 5_000),
    ]
)
KEY = st.sampled_from([*FEATURE_NAMES, "Calls", "plan", "rows", r"\u0063alls", "k" * 200]) | st.text(max_size=5)


def spelled(members: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in members) + "}"


def month_of(value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.permutations([*FEATURE_NAMES, "calls"]).flatmap(
        lambda names: st.tuples(*[st.tuples(st.just(name), value) for name in names]).map(spelled)
    )


def batch_of(month: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(month, max_size=5).map(lambda months: '{"rows":[' + ",".join(months) + "]}")


GOOD_MONTH = month_of(NUMBER)
BAD_MONTH = month_of(NUMBER | NO_NUMBER) | st.lists(st.tuples(KEY, NUMBER | NO_NUMBER), max_size=8).map(spelled)
MONTH_TEXT = GOOD_MONTH | BAD_MONTH | NO_NUMBER
BATCH_TEXT = batch_of(GOOD_MONTH) | batch_of(GOOD_MONTH | BAD_MONTH) | NO_NUMBER


def torn(text: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Bytes of a text, some of them with a few bytes lost and others put in their place."""
    whole = text.map(lambda characters: characters.encode("utf-8", "surrogatepass"))
    return whole | st.builds(
        lambda body, first, last, splice: body[: min(first, last)] + splice + body[max(first, last) :],
        whole, st.integers(0, 100), st.integers(0, 100), st.binary(max_size=3),
    )  # fmt: skip


REQUEST = st.tuples(st.sampled_from(["/predict", "/explain"]), torn(MONTH_TEXT)) | st.tuples(
    st.just("/predict_batch"), torn(BATCH_TEXT)
)

Apis = dict[str, tuple[type[BaseModel], Callable[[Any], BaseModel]]]


@pytest.fixture(scope="module")
def apis(trained_tag: str) -> Apis:
    """The request model and the typed API of each route."""
    from service import PlanRecommender

    service = cast(Any, PlanRecommender).inner()  # the decorated class is a bentoml.Service, which its types do not say
    return {
        "/predict": (CustomerUsage, service.predict),
        "/explain": (CustomerUsage, service.explain),
        "/predict_batch": (UsageBatch, service.predict_batch),
    }


@pytest.mark.slow
@given(st.lists(MONTH, min_size=1, max_size=10))
@settings(max_examples=200, deadline=None)
def test_the_answer_is_the_typed_apis(client: TestClient, apis: Apis, months: list[dict[str, float]]) -> None:
    for path, document in (("/predict", months[0]), ("/explain", months[0]), ("/predict_batch", {"rows": months})):
        request, api = apis[path]
        typed = api(request(**document))
        answer = client.post(path, content=json.dumps(document).encode(), headers=JSON)
        assert (answer.status_code, answer.content) == (200, written(path, typed))


@pytest.mark.slow
def test_whatever_the_body_the_answer_is_the_typed_apis_and_the_errors_are_pydantics(
    client: TestClient, apis: Apis
) -> None:
    seen: Counter[tuple[str, int]] = Counter()

    @given(REQUEST)
    @settings(max_examples=700, deadline=None)
    def ask(sent: tuple[str, bytes]) -> None:
        seen[sent[0], assert_exact(client, apis, *sent)] += 1

    ask()
    assert {key for key, count in seen.items() if count > 25} == {(path, code) for path in apis for code in (200, 400)}


def test_a_difference_in_the_last_digit_is_noticed(
    client: TestClient, apis: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    body = json.dumps(GOOD).encode()
    assert assert_exact(client, apis, "/predict", body) == 200
    served = cast(Any, client.app)._core._methods["predict"].__self__.recommender
    exact = served._scorer

    def nearly(*usage: float) -> tuple[int, float]:
        prediction, probability = exact.recommend(*usage)
        return prediction, math.nextafter(probability, 1)

    monkeypatch.setattr(served, "_scorer", SimpleNamespace(recommend=nearly))
    with pytest.raises(AssertionError):
        assert_exact(client, apis, "/predict", body)


def test_an_application_that_ended_in_the_same_process_took_no_service_away(
    client: TestClient, apis: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BentoML keeps one current service for the process, and forgets it when any application ends."""
    monkeypatch.setattr(sys.modules["_bentoml_sdk.service"], "_current_service", None)
    body = json.dumps(GOOD).encode()
    for path in ("/predict", "/explain"):
        assert assert_exact(client, apis, path, body) == 200
    assert client.get("/model").status_code == 200


def assert_exact(client: TestClient, apis: Apis, path: str, body: bytes) -> int:
    """Hold what comes over HTTP against the typed API; returns the status."""
    request, api = apis[path]
    answer = client.post(path, content=body, headers=JSON)
    try:
        typed = api(request.model_validate_json(body))
    except ValidationError as error:
        assert answer.status_code == 400
        assert_is(answer.content, error)
    else:
        assert (answer.status_code, answer.content) == (200, written(path, typed))
    return answer.status_code


def written(path: str, typed: Any) -> bytes:
    """Hold what the typed API gives against its declared type; returns what pydantic writes of it.

    pydantic writes 1e+300 for what comes over HTTP as 1e300.
    """
    plain = {**typed, "predictions": list(typed["predictions"])} if path == "/predict_batch" else typed
    declared = TypeAdapter(cast(Command, ROUTES[path]).response)
    assert declared.validate_python(plain, strict=True) == plain
    return declared.dump_json(plain).replace(b"e+", b"e")


def assert_is(content: bytes, error: ValidationError) -> None:
    """Hold an error over HTTP against the one that pydantic raised in Python."""
    answer = json.loads(content)
    problems = [
        {"loc": [shortened(part) for part in problem["loc"]], "msg": problem["msg"], "type": problem["type"]}
        for problem in error.errors()[:MAX_PROBLEMS]
    ]
    assert answer == {"error": answer["error"], "detail": problems}
    assert answer["error"].startswith("The request is not valid: ")
    assert str(problems[0]["msg"]) in answer["error"]
    assert content == json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def shortened(part: str | int) -> str | int:
    return part if isinstance(part, int) or len(part) <= MAX_KEY else part[:MAX_KEY] + "…"
