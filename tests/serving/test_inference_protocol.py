"""The Open Inference Protocol: its schema, its errors, a real client of it, and the bits of the other routes."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import jsonschema_rs
import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tritonclient.utils import InferenceServerException

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.serving.inference_metadata import MODEL_PATH
from plan_recommender.serving.inference_protocol import DECISION, EXPLANATION, OUTPUTS, InferenceRequest
from plan_recommender.serving.settings import KEY_VARIABLE
from tests.serving.corpus import GOOD, LIGHT, rows
from tests.serving.protocol_corpus import INFER, one_tensor, tensors
from tests.serving.test_contract import assert_error_shape
from tests.serving.test_metrics import grown, series
from tests.serving.test_prediction_log import logging_to, wait_for_lines
from tools.server import Server, serving

# What specification/protocol/open_inference_rest.yaml of github.com/kserve/open-inference-protocol says of answers, at
# commit 18d5991e9e45d291f53103cc79e13ecc6212ffae: which fields there are, of which types, and which are required.
_TEXT: dict[str, Any] = {"type": "string"}
_SHAPE: dict[str, Any] = {"type": "array", "items": {"type": "integer"}}
_SCALARS: list[dict[str, Any]] = [{"type": kind} for kind in ("number", "string", "boolean")]
_DATA: dict[str, Any] = {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/data"}, *_SCALARS]}}


def published(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "$defs": {"data": _DATA}}


TENSOR = published(["name", "datatype", "shape"], name=_TEXT, datatype=_TEXT, shape=_SHAPE)
TENSORS = {"type": "array", "items": TENSOR}
OUTPUT = published(
    ["name", "shape", "datatype", "data"],
    name=_TEXT, shape=_SHAPE, datatype=_TEXT, data={"$ref": "#/$defs/data"}, parameters={"type": "object"},
)  # fmt: skip
PUBLISHED = {
    "/v2/": published(
        ["name", "version", "extensions"], name=_TEXT, version=_TEXT, extensions={"type": "array", "items": _TEXT}
    ),
    MODEL_PATH: published(
        ["name", "platform"],
        name=_TEXT, platform=_TEXT, versions={"type": "array", "items": _TEXT}, inputs=TENSORS, outputs=TENSORS,
    ),
    INFER: published(
        ["model_name", "outputs"],
        model_name=_TEXT, model_version=_TEXT, id=_TEXT, parameters={"type": "object"},
        outputs={"type": "array", "items": OUTPUT},
    ),
    "error": published(["error"], error=_TEXT),
}  # fmt: skip

Client = httpx.Client | TestClient

AMOUNT = st.floats(min_value=0, allow_nan=False, allow_infinity=False) | st.floats(0, 50_000) | st.integers(0, 10**6)
ROWS = st.lists(st.tuples(*[AMOUNT] * 4), min_size=1, max_size=8)
SINGLE = st.floats(min_value=0, allow_nan=False, allow_infinity=False, width=32)


def infer(client: Client, inputs: Any, path: str = INFER, **fields: Any) -> dict[str, Any]:
    answer = client.post(path, json={"inputs": inputs} | fields)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def outputs(answer: dict[str, Any]) -> dict[str, Any]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def batch(client: Client, months: list[Any]) -> list[dict[str, Any]]:
    """What /predict_batch answers for rows of four numbers."""
    sent = [dict(zip(FEATURE_NAMES, month, strict=True)) for month in months]
    decisions: list[dict[str, Any]] = client.post("/predict_batch", json={"rows": sent}).json()["predictions"]
    return decisions


def assert_same(answer: dict[str, Any], decisions: list[dict[str, Any]]) -> None:
    for name in DECISION:
        assert outputs(answer)[name] == [decision[name] for decision in decisions]


def test_answers_are_as_the_published_schema_says(client: TestClient, trained_tag: str) -> None:
    version = trained_tag.partition(":")[2]
    for path, schema in PUBLISHED.items():
        answers = [client.get(path).json()] if path not in (INFER, "error") else []
        if path == MODEL_PATH:
            answers.append(client.get(f"{MODEL_PATH}/versions/{version}").json())
        if path == INFER:
            answers.append(infer(client, tensors()))
            versioned = f"{MODEL_PATH}/versions/{version}/infer"
            answers.append(infer(client, one_tensor(), path=versioned, id="42", parameters={"explain": True}))
        if path == "error":
            answers.append(client.post(INFER, content=b"{").json())
            answers.append(client.get("/v2/models/other").json())
            answers.append(client.get(f"{MODEL_PATH}/versions/x").json())
        for answer in answers:
            jsonschema_rs.validate(schema, answer)
            for name in schema["required"]:  # the control: the schema looks at what it says it looks at
                assert not jsonschema_rs.is_valid(schema, {k: v for k, v in answer.items() if k != name})
    assert client.get("/v2").content == client.get("/v2/").content
    assert client.get(MODEL_PATH).json()["versions"] == [version]


def test_the_metadata_are_those_of_what_is_taken_and_given(client: TestClient) -> None:
    metadata = client.get(MODEL_PATH).json()
    assert [tensor["name"] for tensor in metadata["inputs"]] == list(FEATURE_NAMES)
    inputs = [{"name": t["name"], "shape": [2], "datatype": t["datatype"], "data": [1, 2]} for t in metadata["inputs"]]
    answer = infer(client, inputs, parameters={"explain": True})
    given = [
        {name: output[name] for name in ("name", "datatype", "shape")} | {"shape": [-1, *output["shape"][1:]]}
        for output in answer["outputs"]
    ]
    assert given == metadata["outputs"]
    for output in answer["outputs"]:
        assert len(output["data"]) == np.prod(output["shape"])


@pytest.mark.slow
@given(ROWS)
@settings(max_examples=150, deadline=None)
def test_every_way_to_send_the_rows_gets_the_bits_of_predict_batch(client: TestClient, months: list[Any]) -> None:
    decisions = batch(client, months)
    flat = [amount for month in months for amount in month]
    columns = dict(zip(FEATURE_NAMES, map(list, zip(*months, strict=True)), strict=True))
    for inputs in (
        one_tensor(shape=[len(months), 4], data=flat),
        one_tensor(shape=[len(months), 4], data=[list(month) for month in months]),
        tensors(**columns),
        [tensor | {"shape": [len(months), 1]} for tensor in tensors(**columns)][::-1],
    ):
        assert_same(infer(client, inputs), decisions)


@pytest.mark.slow
@given(st.lists(st.tuples(*[SINGLE] * 4), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_single_precision_is_what_four_bytes_hold(client: TestClient, months: list[Any]) -> None:
    """Clients write the number 516.7 of four bytes as 516.7 or as 516.7000122070312; the answer is the same."""
    decisions = batch(client, months)
    shortest = [[float(str(np.float32(amount))) for amount in month] for month in months]
    for data in ([list(month) for month in months], shortest):
        assert_same(infer(client, one_tensor(shape=[len(months), 4], datatype="FP32", data=data)), decisions)


def test_double_precision_is_not_rounded(client: TestClient) -> None:
    """The control of the test above: between two bins, four bytes and eight make a difference."""
    cuts = np.array(client.get("/model/document").json()["features"][3]["cuts"])
    cut = next(c for c in cuts if struct.unpack("f", struct.pack("f", c))[0] > c)
    month = [*GOOD.values()][:3]
    exact = outputs(infer(client, one_tensor(*month, cut)))
    rounded = outputs(infer(client, one_tensor(*month, cut, datatype="FP32")))
    assert exact["probability_is_ultra"] != rounded["probability_is_ultra"]


def test_an_explanation_has_the_bits_of_explain(client: TestClient) -> None:
    months: list[dict[str, float]] = [GOOD, LIGHT, dict.fromkeys(GOOD, 0.0), dict.fromkeys(GOOD, 1.7e308)]
    data = [amount for month in months for amount in month.values()]
    found = outputs(infer(client, one_tensor(shape=[4, 4], data=data), parameters={"explain": True}))
    assert tuple(found) == OUTPUTS
    for row, month in enumerate(months):
        explained = client.post("/explain", json=month).json()
        parts = {part["feature"]: part["contribution"] for part in explained["contributions"]}
        assert found["contributions"][4 * row : 4 * row + 4] == [parts[name] for name in FEATURE_NAMES]
        for name in (*DECISION, "log_odds", "base_value"):
            assert found[name][row] == explained[name]
        assert sum(parts.values(), found["base_value"][row]) == found["log_odds"][row]


def test_a_request_gets_what_it_asks_for(client: TestClient, trained_tag: str) -> None:
    answer = infer(client, one_tensor())
    assert tuple(outputs(answer)) == DECISION
    assert list(answer) == ["model_name", "model_version", "outputs"]
    assert answer["model_version"] == trained_tag.partition(":")[2]
    for identity in ("", "42", "é\n\u0000𝄞", "a" * 256):
        assert infer(client, one_tensor(), id=identity)["id"] == identity
    asked = [{"name": name} for name in ("log_odds", "prediction", "log_odds")]
    for parameters in ({}, {"explain": False}, {"explain": True, "priority": 3, "x": {"y": [None]}}):
        assert list(outputs(infer(client, one_tensor(), outputs=asked, parameters=parameters))) == [
            "log_odds",
            "prediction",
        ]
    assert tuple(outputs(infer(client, one_tensor(), outputs=[], parameters={"explain": True}))) == (
        *DECISION,
        *EXPLANATION,
    )


def test_the_typed_api_answers_in_process_as_over_http(client: TestClient, trained_tag: str) -> None:
    from service import PlanRecommender

    service = cast(Any, PlanRecommender).inner()  # the decorated class is a bentoml.Service, which its types do not say
    body = json.dumps({"inputs": one_tensor(), "id": "1", "outputs": [{"name": "prediction"}]}).encode()
    typed = service.infer(InferenceRequest.model_validate_json(body))
    assert client.post(INFER, content=body).content == TypeAdapter(type(typed)).dump_json(typed)
    assert client.post("/invocations", content=rows(GOOD, LIGHT)).content == (
        client.post("/predict_batch", content=rows(GOOD, LIGHT)).content
    )


@pytest.mark.parametrize(
    ("method", "path", "loc"),
    [
        ("GET", f"{MODEL_PATH}/versions/x", "version"),
        ("GET", f"{MODEL_PATH}/versions/", "version"),
        ("GET", f"{MODEL_PATH}/versions//", "path"),
        ("GET", f"{MODEL_PATH}/versions", "path"),
        ("GET", f"{MODEL_PATH}/versions/x/y", "path"),
        ("GET", f"{MODEL_PATH}/versions/%00%ff/ready", "version"),
        ("POST", f"{MODEL_PATH}/versions/{'9' * 5_000}/infer", "version"),
        ("POST", f"{MODEL_PATH}/infer/", "path"),
        ("GET", "/v2/models", "path"),
        ("GET", "/v2/models/other/ready", "path"),
        ("POST", "/v2/models/other/infer", "path"),
        ("POST", "/v2/models/PLAN_RECOMMENDER/infer", "path"),
    ],
)
def test_what_is_not_served_is_a_404(client: TestClient, method: str, path: str, loc: str) -> None:
    answer = client.request(method, path, content=b"{}" if method == "POST" else None)
    assert answer.status_code == 404
    assert_error_shape(answer.json())
    assert answer.json()["detail"][0]["loc"] == [loc]
    assert "9999" not in answer.text


def test_the_version_that_is_served_is_the_only_one(client: TestClient, trained_tag: str) -> None:
    version = f"{MODEL_PATH}/versions/{trained_tag.partition(':')[2]}"
    for below in ("", "/ready"):
        assert client.get(version + below).content == client.get(MODEL_PATH + below).content
    assert client.get(f"{version}/ready").json() == {"ready": True, "name": "plan_recommender"}
    refused = client.get(f"{version}/infer")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert client.get(f"{version}0/ready").status_code == 404


@pytest.fixture
def http_client(server: Server) -> Iterator[Any]:
    """NVIDIA's client, asking a real server."""
    connected = triton.InferenceServerClient(server.url.removeprefix("http://"))
    yield connected
    connected.close()


@pytest.mark.slow
def test_tritons_client_gets_on_with_a_real_server(http_client: Any, server: Server, trained_tag: str) -> None:
    version = trained_tag.partition(":")[2]
    assert http_client.is_server_live()
    assert http_client.is_server_ready()
    assert http_client.is_model_ready("plan_recommender")
    assert http_client.is_model_ready("plan_recommender", version)
    assert not http_client.is_model_ready("plan_recommender", "1")
    assert not http_client.is_model_ready("other")
    assert http_client.get_server_metadata()["name"] == "plan_recommender"
    metadata = http_client.get_model_metadata("plan_recommender", version)
    assert metadata["versions"] == [version]
    months = np.array([[*GOOD.values()], [*LIGHT.values()]], dtype=np.float64)
    with httpx.Client(base_url=server.url, timeout=30) as plain:
        decisions = batch(plain, months.tolist())
        singles = batch(plain, months.astype(np.float32).tolist())
    for dtype, datatype, expected in ((np.float64, "FP64", decisions), (np.float32, "FP32", singles)):
        tensor = triton.InferInput("usage", [2, 4], datatype)
        tensor.set_data_from_numpy(months.astype(dtype), binary_data=False)
        # Without outputs this client asks for binary ones; it reads those in JSON as well.
        result = http_client.infer("plan_recommender", [tensor], version, request_id="42")
        assert result.get_response()["id"] == "42"
        for name in DECISION:
            assert result.as_numpy(name).tolist() == [decision[name] for decision in expected]
    named = [triton.InferInput(tensor["name"], [2, 1], tensor["datatype"]) for tensor in metadata["inputs"]]
    for place, tensor in enumerate(named):
        tensor.set_data_from_numpy(months[:, place : place + 1].copy(), binary_data=False)
    wanted = [triton.InferRequestedOutput(name, binary_data=False) for name in ("contributions", "prediction")]
    result = http_client.infer("plan_recommender", named, outputs=wanted, parameters={"explain": True})
    assert result.as_numpy("contributions").shape == (2, 4)
    assert result.as_numpy("prediction").tolist() == [decision["prediction"] for decision in decisions]
    assert result.as_numpy("probability_is_ultra") is None


@pytest.mark.slow
def test_tritons_client_reads_our_errors(http_client: Any) -> None:
    tensor = triton.InferInput("usage", [2, 4], "FP64")
    tensor.set_data_from_numpy(np.array([[1, 2, 3, 4], [1, 2, -3, 4]], dtype=np.float64), binary_data=False)
    with pytest.raises(InferenceServerException, match=r"rows\[1\]\.messages: Input should be greater than or equal"):
        http_client.infer("plan_recommender", [tensor])
    with pytest.raises(InferenceServerException, match="There is no such version of the model"):
        http_client.infer("plan_recommender", [tensor], "1")
    tensor.set_data_from_numpy(np.ones((2, 4)))  # in binary, as it does unless it is told otherwise
    with pytest.raises(InferenceServerException, match="with tritonclient set binary_data=False") as refused:
        http_client.infer("plan_recommender", [tensor])
    assert refused.value.status() == "415"


@pytest.mark.slow
def test_its_rows_are_counted_and_logged_like_others(trained_tag: str, tmp_path: Path) -> None:
    with logging_to(tmp_path) as (_, http):
        before = series(http)
        months = one_tensor([*GOOD.values()], [*LIGHT.values()], shape=[2, 4])
        version = trained_tag.partition(":")[2]
        sent = {"inputs": months, "outputs": [{"name": "contributions"}]}
        answer = http.post(f"{MODEL_PATH}/versions/{version}/infer", json=sent, headers={"x-reference": "crm"})
        http.post(f"{MODEL_PATH}/versions/x/infer", json=sent)
        changes = grown(before, series(http))
        lines = wait_for_lines(tmp_path, 2)
    assert list(outputs(answer.json())) == ["contributions"]
    assert changes[f'plan_recommender_probability_is_ultra_count{{model="{trained_tag}"}}'] == 2
    assert changes[f'plan_recommender_requests_total{{route="{INFER}",status="200"}}'] == 1
    assert changes[f'plan_recommender_requests_total{{route="{INFER}",status="404"}}'] == 1
    assert not [name for name in changes if version in name and "model=" not in name]
    assert [line.reference for line in lines] == ["crm/0", "crm/1"]
    assert [line.id for line in lines] == [f"{answer.headers['x-prediction-id']}/{row}" for row in range(2)]
    assert [line.minutes for line in lines] == [GOOD["minutes"], LIGHT["minutes"]]


@pytest.mark.slow
def test_with_a_key_only_the_probes_are_public(trained_tag: str) -> None:
    key = "correct-horse-battery"
    version = f"{MODEL_PATH}/versions/{trained_tag.partition(':')[2]}"
    with serving(env={KEY_VARIABLE: key}) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        for path in ("/v2/health/live", "/v2/health/ready", f"{MODEL_PATH}/ready", "/ping"):
            assert http.get(path).status_code == 200
        for path in ("/v2", "/v2/", MODEL_PATH, version, f"{version}/ready"):
            assert http.get(path).status_code == 401
            assert http.get(path, headers={"authorization": f"Bearer {key}"}).status_code == 200
        for path in (INFER, f"{version}/infer"):
            assert http.post(path, json={"inputs": one_tensor()}).status_code == 401
            answer = http.post(path, json={"inputs": one_tensor()}, headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 200
