"""The HTTP contract, asked of the service in this process.

The file is long because the contract is one: each route's answers, refusals and OpenAPI description are compared with
each other, by the helpers at the top.
"""

import copy
import itertools
import json
import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import anyio
import bentoml
import numpy as np
import pandas as pd
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from starlette.testclient import TestClient
from starlette.types import Message

from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES, CustomerUsage
from plan_recommender.model.languages import Language
from plan_recommender.model.logistic import logistic
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.sentences import Sentences, change_sentence
from plan_recommender.model.threshold import Threshold
from plan_recommender.serving import limits
from plan_recommender.serving.auth import Authentication
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.routes import ROUTES
from tests.serving import corpus, protocol_corpus
from tests.serving.corpus import GOOD, JSON, LIGHT, MIB, Case, encode, rows, twice
from tests.serving.protocol_corpus import CORPUS, INFER, infer, one_tensor

VALID, REFUSED = corpus.VALID + protocol_corpus.VALID, corpus.REFUSED + protocol_corpus.REFUSED
AMOUNT = st.floats(min_value=0, allow_nan=False, allow_infinity=False) | st.integers(min_value=0, max_value=10**6)
USAGE = st.fixed_dictionaries(dict.fromkeys(FEATURE_NAMES, AMOUNT))


Document = dict[str, Any]

INVALID = {"calls": 85, "minutes": -3, "messages": 56}
EXAMPLES = [
    *[Case(f"400 {path}", encode(INVALID), 400, path=path) for path in ("/predict", "/explain")],
    Case("400 /predict_batch", rows(INVALID), 400, path="/predict_batch"),
    Case("400 /advise", encode({"plan": "Smart", "months": [{"month": "2026-13", **INVALID}]}), 400, path="/advise"),
    Case("400 /invocations", rows(INVALID), 400, path="/invocations"),
    infer("an example", 400, one_tensor(85, -3, 56, 22696.96)),
    Case("binary", b"", 415, path=INFER, headers={"inference-header-content-length": "10"}),
    *[
        Case(f"{name} {path}", body, status, path=path, headers=headers)
        for path, limit in (
            *[(path, MIB) for path in ("/predict", "/explain", "/advise")],
            *[(path, 10 * MIB) for path in ("/predict_batch", "/invocations", INFER)],
        )
        for name, body, status, headers in (
            ("truncated", b"{", 400, JSON),
            ("large", b" " * (limit + 1), 413, JSON),
            ("text", b"", 415, {"content-type": "text/plain"}),
            ("compressed", b"", 415, JSON | {"content-encoding": "gzip"}),
        )
    ],
    *[Case(f"405 {path}", b"", 405, path=path, method="PUT") for path in ROUTES],
    *[Case(f"431 {path}", b"", 431, path=path, headers={"x-padding": "a" * 65_536}) for path in ROUTES],
]
"""What gets, on every route, the answers that the OpenAPI document has for examples."""


@pytest.fixture(scope="module")
def document(client: TestClient) -> Document:
    """The OpenAPI document."""
    fetched: Document = client.get("/docs.json").json()
    return fetched


def examples(document: Document, path: str, status: int) -> list[object]:
    """What the document says that a route answers with a status."""
    (operation,) = document["paths"][path].values()
    announced = operation["responses"][str(status)]["content"]["application/json"]["examples"]
    return [each["value"] for each in announced.values()]


def assert_announced(document: Document, path: str, response: Any) -> None:
    """Hold an answer against the OpenAPI document: status, content type, headers, schema."""
    (method,) = document["paths"][path]
    operation = schemathesis.openapi.from_dict(document)[path][method]
    operation.Case().validate_response(response, excluded_checks=[not_a_server_error])


def served(client: TestClient) -> Recommender:
    """What answers the client, which is not what another service of this process answers by."""
    recommender: Recommender = cast(Any, client.app)._core._methods["predict"].__self__.recommender
    return recommender


def ask(client: TestClient, case: Case) -> tuple[int, dict[str, Any]]:
    response = client.request(case.method, case.path, content=case.body, headers=case.headers)
    assert response.headers["content-type"] == "application/json"
    document: dict[str, Any] = response.json()
    return response.status_code, document


def assert_error_shape(document: dict[str, object]) -> None:
    """Hold an answer against the one shape that every error has."""
    assert list(document) == ["error", "detail"]
    assert isinstance(document["error"], str)
    assert document["error"].endswith(".")
    assert isinstance(document["detail"], list)
    assert document["detail"]
    for problem in document["detail"]:
        assert list(problem) == ["loc", "msg", "type"]
        assert isinstance(problem["loc"], list)
        assert problem["msg"]
        assert problem["type"]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_refused_requests_get_their_status_in_the_one_shape(client: TestClient, case: Case) -> None:
    status, document = ask(client, case)
    assert status == case.status
    assert_error_shape(document)
    assert document["detail"][0]["loc"] == case.loc


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.name)
def test_valid_requests_are_answered(client: TestClient, case: Case) -> None:
    assert ask(client, case)[0] == 200


def test_an_answer_has_the_documented_fields_and_the_models_tag(client: TestClient, trained_tag: str) -> None:
    answer = client.post("/predict", json=GOOD).json()
    assert list(answer) == ["prediction", "probability_is_ultra", "recommended_plan", "model"]
    assert answer["model"] == trained_tag
    assert answer["recommended_plan"] == ("Smart", "Ultra")[answer["prediction"]]


def test_the_answer_is_the_registered_pipelines(client: TestClient, trained_tag: str) -> None:
    pipeline = bentoml.sklearn.load_model(trained_tag)
    for month in (GOOD, LIGHT):
        expected = pipeline.predict_proba(pd.DataFrame([month]))[0, 1]
        assert client.post("/predict", json=month).json()["probability_is_ultra"] == pytest.approx(expected, abs=1e-12)


def test_an_explanation_has_the_documented_fields(client: TestClient, trained_tag: str) -> None:
    answer = client.post("/explain", json=GOOD).json()
    decision = ["prediction", "probability_is_ultra", "recommended_plan"]
    assert list(answer) == [*decision, "log_odds", "base_value", "contributions", "model"]
    assert answer["model"] == trained_tag
    document = store.find(trained_tag).document()
    bins, sentences = Scorer(document).bins(*GOOD.values()), Sentences(document)
    other_plan = ({"Smart", "Ultra"} - {answer["recommended_plan"]}).pop()
    for part in answer["contributions"]:
        assert list(part) == [
            "feature", "value", "contribution", "effect_points", "sentence", "few_training_rows", "plan_changes_at",
            "change",
        ]  # fmt: skip
        name = part["feature"]
        i = FEATURE_NAMES.index(name)
        assert part["value"] == GOOD[name]
        without = logistic(answer["log_odds"] - part["contribution"])
        assert part["effect_points"] == 100 * (answer["probability_is_ultra"] - without)
        assert (part["sentence"], part["few_training_rows"]) == sentences.words(
            i, GOOD[name], bins[i], part["contribution"], part["effect_points"]
        )
        assert part["change"] == change_sentence(name, part["plan_changes_at"], other_plan)


def test_an_explanation_is_in_the_language_that_is_asked_for(client: TestClient, trained_tag: str) -> None:
    english = client.post("/explain", json=GOOD)
    recommender = Recommender(store.find(trained_tag), load_tariffs(shipped_tariffs()))
    cases: list[tuple[str, Language]] = [
        ("es-MX,es;q=0.9,en;q=0.8", "es"), ("en-GB", "en"), ("de, fr;q=0.5", "en")
    ]  # fmt: skip
    for asked, language in cases:
        answer = client.post("/explain", json=GOOD, headers={"accept-language": asked})
        assert answer.json() == recommender.explain(CustomerUsage.model_validate(GOOD), language)
        assert (answer.content == english.content) == (language == "en")
        assert (answer.headers["content-language"], answer.headers["vary"]) == (language, "accept-language")
    assert (english.headers["content-language"], english.headers["vary"]) == ("en", "accept-language")
    texts = {"sentence", "change"}
    spanish = client.post("/explain", json=GOOD, headers={"accept-language": "es"}).json()
    for one, other in zip(english.json()["contributions"], spanish["contributions"], strict=True):
        assert {name for name in one if one[name] != other[name]} == texts
    assert english.json() | {"contributions": None} == spanish | {"contributions": None}


@given(USAGE)
@settings(max_examples=100, deadline=None)
def test_an_explanation_is_of_the_prediction_and_sums_to_its_log_odds_largest_first(
    client: TestClient, month: dict[str, float]
) -> None:
    answer = client.post("/explain", json=month).json()
    predicted = client.post("/predict", json=month).json()
    assert {name: answer[name] for name in predicted} == predicted
    parts = [contribution["contribution"] for contribution in answer["contributions"]]
    assert sorted(c["feature"] for c in answer["contributions"]) == sorted(FEATURE_NAMES)
    assert parts == sorted(parts, key=abs, reverse=True)
    assert answer["base_value"] + sum(parts) == answer["log_odds"]
    for order in itertools.permutations(parts):
        assert sum(order, answer["base_value"]) == answer["log_odds"]


@pytest.mark.slow
@given(USAGE)
@settings(max_examples=100, deadline=None)
def test_the_plan_is_another_from_where_an_explanation_says_so_and_the_same_before(
    client: TestClient, month: dict[str, float]
) -> None:
    def plan(**changed: float) -> str:
        return str(client.post("/predict", json=month | changed).json()["recommended_plan"])

    answer = client.post("/explain", json=month).json()
    for part in answer["contributions"]:
        name, value, change = part["feature"], float(part["value"]), part["plan_changes_at"]
        if change is None:
            same = [0.0, 10.0, 1e3, 1e4, 1e5, 1e300]
        else:
            assert change >= 0
            assert plan(**{name: change}) != answer["recommended_plan"]
            same = [math.nextafter(change, value), value + (change - value) / 2]
        assert {plan(**{name: other}) for other in same if other != change} == {answer["recommended_plan"]}


@given(st.lists(USAGE, min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_batch_answers_as_single_requests_do_in_the_order_sent(client: TestClient, months: list[object]) -> None:
    batch = client.post("/predict_batch", json={"rows": months}).json()
    singles = [client.post("/predict", json=month).json() for month in months]
    assert [decision | {"model": batch["model"]} for decision in batch["predictions"]] == singles


def test_a_batch_of_ten_thousand_is_answered_in_order(client: TestClient, trained_tag: str) -> None:
    months = [GOOD | {"calls": calls} for calls in range(10_000)]
    decisions = client.post("/predict_batch", json={"rows": months}).json()["predictions"]
    scorer = store.find(trained_tag).scorer()
    features = np.array([[month[name] for name in FEATURE_NAMES] for month in months], dtype=np.float64)
    assert [d["probability_is_ultra"] for d in decisions] == scorer.probabilities(features).tolist()


@pytest.mark.slow
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | USAGE.map(encode))
@settings(max_examples=300, deadline=None)
def test_no_body_gets_a_5xx_or_an_answer_that_is_not_json(client: TestClient, body: bytes) -> None:
    for path in ("/predict", "/predict_batch", "/explain", "/advise"):
        status, document = ask(client, Case("fuzz", body, 0, path=path))
        assert status in (200, 400)
        if status == 400:
            assert_error_shape(document)


@given(st.dictionaries(st.sampled_from(FEATURE_NAMES), st.none() | st.booleans() | st.text() | st.floats() | AMOUNT))
@settings(max_examples=200, deadline=None)
def test_exactly_the_complete_finite_and_non_negative_months_are_answered(
    client: TestClient, month: dict[str, object]
) -> None:
    def is_usage(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")

    valid = set(month) == set(FEATURE_NAMES) and all(map(is_usage, month.values()))
    status, _ = ask(client, Case("fuzz", json.dumps(month).encode(), 0))
    assert status == (200 if valid else 400)


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_of_a_key_that_stands_twice_the_last_counts(client: TestClient, path: str) -> None:
    last = client.post(path, content=twice("-1", "85"), headers=JSON)
    assert (last.status_code, last.content) == (200, client.post(path, json=GOOD).content)
    assert client.post(path, content=twice("85", "-1"), headers=JSON).status_code == 400


def test_a_refusal_lists_at_most_a_hundred_problems_and_says_how_many_there_are(client: TestClient) -> None:
    refused = client.post("/predict_batch", content=rows(*[{}] * 1000), headers=JSON).json()
    assert len(refused["detail"]) == 100
    assert "3,999 more" in refused["error"]


def test_oversize_bodies_are_refused_by_their_real_bytes_not_their_announced_ones(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b" " * 1024] * 1025

    assert client.post("/predict", content=chunks(), headers=JSON).status_code == 413
    exactly = encode(GOOD) + b" " * (MIB - len(encode(GOOD)))
    assert client.post("/predict", content=exactly, headers=JSON).status_code == 200


@pytest.mark.parametrize("announced", ["9" * 5000, "\u00b2", "-1", "", "0x10"])
def test_a_content_length_that_lies_or_is_no_number_is_no_fault_of_the_server(
    client: TestClient, announced: str
) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", announced.encode("latin-1"))]
    refused = client.post("/predict", content=b"{}", headers=headers)
    assert refused.status_code == (413 if announced.startswith("9") else 400)
    assert_error_shape(refused.json())


def test_a_body_that_does_not_come_is_refused_in_time(
    client: TestClient, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked as an ASGI server asks, with a body whose second part never comes."""

    async def ask_slowly(parts: list[bytes]) -> list[Message]:
        sent: list[Message] = []
        waiting = list(parts)

        async def receive() -> Message:
            if not waiting:
                await anyio.sleep_forever()
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or len(parts) == 1}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "path": "/predict", "method": "POST", "query_string": b"", "headers": []}
        await client.app(scope, receive, send)
        return sent

    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
    body = json.dumps(GOOD).encode()
    start, whole = anyio.run(ask_slowly, [body[:10], body[10:]])  # the control: both parts come
    assert (start["status"], json.loads(whole["body"])) == (200, client.post("/predict", json=GOOD).json())
    start, refusal = anyio.run(ask_slowly, [body[:10]])
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert_error_shape(json.loads(refusal["body"]))
    documented = json.loads(refusal["body"].replace(b"within 0.2 seconds", b"within 20 seconds"))
    assert documented in examples(document, "/predict", 408)


def test_a_refused_method_names_the_allowed_ones(client: TestClient) -> None:
    assert client.get("/predict").headers["allow"] == "POST"
    assert client.post("/health").headers["allow"] == "GET, HEAD"


def test_head_of_health_has_the_headers_and_no_body(client: TestClient) -> None:
    head, get = client.head("/health"), client.get("/health")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))


def test_health_says_which_model_answers(client: TestClient, trained_tag: str) -> None:
    assert client.get("/health").json() == {"status": "ok", "model": trained_tag, "detail": "the model answers"}
    assert client.get("/readyz").status_code == 200


def test_model_tells_what_was_registered(client: TestClient, trained_tag: str) -> None:
    record = store.find(trained_tag).record
    about = client.get("/model").json()
    assert about["model"] == trained_tag
    assert about["trained_at"] == record.trained_at
    assert [feature["name"] for feature in about["features"]] == list(FEATURE_NAMES)
    assert [feature["minimum"] for feature in about["features"]] == [0.0] * 4
    assert (about["estimator"], about["threshold"], about["threshold_objective"]) == (record.estimator, 0.5, "none")
    assert about["segment_thresholds"] == []
    assert about["metrics"] == record.metrics
    assert about["versions"]["scikit-learn"] == record.versions["scikit-learn"]


def _raise_curve(recommender: Recommender) -> tuple[object, str, object]:
    scorer = recommender._scorer
    return scorer, "_rows", [[[value + 0.5 for value in row] for row in table] for table in scorer._rows]


def _move_cuts(recommender: Recommender) -> tuple[object, str, object]:
    scorer = recommender._scorer
    return scorer, "_cuts", [[cut / 2 for cut in cuts] for cuts in scorer._cuts]


def _move_threshold(recommender: Recommender) -> tuple[object, str, object]:
    return recommender._scorer, "threshold", Threshold(value=1.0 if recommender._probed[0]["prediction"] else 0.0)


def _exchange_reasons(recommender: Recommender) -> tuple[object, str, object]:
    reasons = recommender._reasons
    return reasons, "_curves", reasons._curves[::-1]


def _raise_curve_of_batches(recommender: Recommender) -> tuple[object, str, object]:
    scorer = recommender._scorer
    return scorer, "_flat", {pair: values + 0.5 for pair, values in scorer._flat.items()}


def _lose_maps(recommender: Recommender) -> tuple[object, str, object]:
    return recommender._scorer, "_rows", []


@pytest.mark.slow
@pytest.mark.parametrize(
    "alter", [_raise_curve, _move_cuts, _move_threshold, _exchange_reasons, _raise_curve_of_batches, _lose_maps]
)
def test_a_model_whose_tables_were_altered_in_memory_is_unavailable(
    client: TestClient,
    document: Document,
    monkeypatch: pytest.MonkeyPatch,
    alter: Callable[[Recommender], tuple[object, str, object]],
) -> None:
    well = client.get("/health")
    assert well.status_code == 200
    with monkeypatch.context() as altered:
        altered.setattr(*alter(served(client)))
        health = client.get("/health")
        assert health.status_code == 503
        assert health.json() == {
            "status": "unavailable",
            "model": well.json()["model"],
            "detail": "expected the answer that the model gave when it was loaded, found "
            f"{'ValueError' if alter is _lose_maps else 'another answer'}; restart the service",
        }
        assert_announced(document, "/health", health)
        assert client.get("/readyz").status_code == 503
        assert client.get("/ping").status_code == 503
        for path in ("/v2/health/ready", "/v2/models/plan_recommender/ready"):
            not_ready = client.get(path)
            assert (not_ready.status_code, not_ready.json()["ready"]) == (503, False)
            assert_announced(document, path, not_ready)
        assert client.get("/v2/health/live").status_code == 200
    assert client.get("/health").content == well.content  # the control: it is the alteration that was noticed
    assert client.get("/readyz").status_code == 200


def test_a_fault_of_ours_is_a_500_in_the_same_shape_and_not_the_clients(
    client: TestClient, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, needed in (("/predict", "_scorer"), ("/explain", "_reasons")):
        # An AttributeError in our own code.
        monkeypatch.setattr(served(client), needed, None)
        failed = client.post(path, json=GOOD)
        assert failed.status_code == 500
        assert failed.json() in examples(document, path, 500)
        assert_announced(document, path, failed)
        assert_error_shape(failed.json())


@pytest.mark.parametrize(
    ("part", "method"), [("_authentication", "allows"), ("_access_log", "wants")], ids=["before", "after"]
)
def test_a_fault_of_ours_beside_the_answer_is_a_500_too_and_logged(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str, method: str
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cast(Any, client.app)._core, part, SimpleNamespace(**{method: fail}))
    failed = client.post("/predict", json=GOOD)
    assert failed.status_code == 500
    assert_error_shape(failed.json())
    assert f"/predict failed, request {failed.headers['x-request-id']}" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_the_openapi_document_describes_the_requests(client: TestClient) -> None:
    document = client.get("/docs.json").json()
    assert document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/CustomerUsage"
    }
    body = document["components"]["schemas"]["CustomerUsage"]
    assert list(body["properties"]) == list(FEATURE_NAMES)
    assert body["required"] == list(FEATURE_NAMES)
    assert [body["properties"][name]["minimum"] for name in FEATURE_NAMES] == [0] * 4


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_every_answer_is_one_that_the_openapi_document_announces(
    client: TestClient, document: Document, case: Case
) -> None:
    response = client.request(case.method, case.path, content=case.body, headers=case.headers)
    assert_announced(document, case.path, response)
    (operation,) = document["paths"][case.path].values()
    answer = operation["responses"][str(case.status)]["content"]["application/json"]["schema"]["$ref"]
    schema, answered = document["components"]["schemas"][answer.rpartition("/")[2]], response.json()
    assert list(answered) == [name for name in schema["properties"] if name in answered or name in schema["required"]]


def test_an_answer_that_the_openapi_document_does_not_announce_is_noticed(
    client: TestClient, document: Document
) -> None:
    """The control of the test above."""
    wrong = copy.deepcopy(document)
    responses = wrong["paths"]["/predict"]["post"]["responses"]
    del responses["415"]
    responses["405"]["headers"]["Allow"]["schema"]["enum"] = ["GET"]
    responses["400"]["content"] = responses["200"]["content"]
    for response in (
        client.post("/predict", headers={"content-type": "text/plain"}),
        client.get("/predict"),
        client.post("/predict", content=b"{"),
    ):
        assert_announced(document, "/predict", response)
        with pytest.raises(FailureGroup):
            assert_announced(wrong, "/predict", response)


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: case.name)
def test_the_examples_of_the_openapi_document_are_real_answers(
    client: TestClient, document: Document, case: Case
) -> None:
    status, answer = ask(client, case)
    assert status == case.status
    assert answer in examples(document, case.path, case.status)


def test_who_does_not_carry_the_api_key_gets_the_documented_answer(
    client: TestClient, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        cast(Any, client.app)._core, "_authentication", Authentication((b"Bearer 0123456789abcdef",), frozenset())
    )
    assert client.post("/predict", json=GOOD, headers={"authorization": "Bearer 0123456789abcdef"}).status_code == 200
    for path in ROUTES:
        refused = client.request("GET", path)
        assert refused.status_code == 401
        assert refused.json() in examples(document, path, 401)
        assert_announced(document, path, refused)


def test_the_openapi_document_is_valid_and_complete(client: TestClient) -> None:
    text = client.get("/docs.json").text
    validate(json.loads(text))
    schemas = json.loads(text)["components"]["schemas"]
    referred = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= set(schemas)
    assert {"ErrorAnswer", "Health", "ModelDescription"} <= referred


def test_bentomls_own_routes_are_left_to_it(client: TestClient) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/metrics", "/docs.json", "/schema.json", "/"):
        assert client.get(path).status_code == 200
    assert client.get("/nowhere").status_code == 404


def test_the_typed_apis_answer_in_process_as_over_http(client: TestClient) -> None:
    from plan_recommender.model.features import CustomerUsage
    from plan_recommender.serving.schemas import UsageBatch
    from service import PlanRecommender

    service = cast(Any, PlanRecommender).inner()  # the decorated class is a bentoml.Service, which its types do not say
    month = CustomerUsage.model_validate(GOOD)
    assert service.predict(month) == client.post("/predict", json=GOOD).json()
    assert service.explain(month) == client.post("/explain", json=GOOD).json()
    batch = service.predict_batch(UsageBatch(rows=[month]))
    assert batch == client.post("/predict_batch", json={"rows": [GOOD]}).json()


def test_the_corpus_has_no_two_cases_of_one_name() -> None:
    assert len({case.name for case in CORPUS}) == len(CORPUS)
