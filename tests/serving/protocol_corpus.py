"""Requests of the Open Inference Protocol and of SageMaker, good and bad, and with them the whole corpus."""

from typing import Any

from tests.serving import corpus
from tests.serving.corpus import GOOD, LIGHT, MIB, Case, encode, rows

INFER = "/v2/models/plan_recommender/infer"


def tensors(**columns: Any) -> list[dict[str, Any]]:
    """The good request's four tensors, with other values in these columns."""
    rows = {name: [value] for name, value in GOOD.items()} | columns
    return [{"name": name, "shape": [len(d)], "datatype": "FP64", "data": d} for name, d in rows.items()]


def one_tensor(*data: Any, shape: Any = (1, 4), datatype: str = "FP64", **changes: Any) -> list[dict[str, Any]]:
    return [{"name": "usage", "shape": shape, "datatype": datatype, "data": data or list(GOOD.values())} | changes]


def infer(name: str, status: int, inputs: Any, loc: list[str | int] | None = None, **fields: Any) -> "Case":
    """A request by the Open Inference Protocol; a body in bytes is sent as it is."""
    body = inputs if isinstance(inputs, bytes) else encode({"inputs": inputs} | fields)
    return Case(f"infer {name}", body, status, loc or [], path=INFER)


VALID = [
    infer("four tensors", 200, tensors()),
    infer("four tensors in another order", 200, tensors()[::-1]),
    infer("columns", 200, [tensor | {"shape": [1, 1]} for tensor in tensors()]),
    infer("columns of rows", 200, [t | {"shape": [1, 1], "data": [t["data"]]} for t in tensors()]),
    infer("one tensor", 200, one_tensor()),
    infer("one tensor of rows", 200, one_tensor([85, 516.7, 56, 22696.96], [4, 21.5, 0, 1200], shape=[2, 4])),
    infer("single precision", 200, one_tensor(datatype="FP32")),
    infer("integers", 200, one_tensor(85, 516, 56, 2**31 - 1, datatype="INT32")),
    infer("long integers", 200, one_tensor(85, 516, 56, 2**63 - 1, datatype="INT64")),
    infer("the largest", 200, one_tensor(*[1.7e308] * 4)),
    infer("explained", 200, one_tensor(), id="", parameters={"explain": True, "binary_data_output": True}),
    infer("with outputs", 200, one_tensor(), id="é\n", outputs=[{"name": "contributions"}, {"name": "prediction"}]),
    infer("10,000 rows", 200, one_tensor(*[0] * 40_000, shape=[10_000, 4])),
    Case("infer of no content type", encode({"inputs": one_tensor()}), 200, path=INFER, headers={}),
    Case("invocations", rows(GOOD, LIGHT), 200, path="/invocations"),
    *[
        Case(f"protocol {path}", b"", 200, path=path, method="GET", headers={})
        for path in (
            *("/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/plan_recommender"),
            *("/v2/models/plan_recommender/ready", "/ping"),
        )
    ],
]

REFUSED = [
    infer("empty body", 400, b""),
    infer("list", 400, b"[]"),
    infer("deep nesting", 400, b'{"inputs":' + b"[" * 250_000),
    infer("deep nesting in the data", 400, encode({"inputs": one_tensor()}).replace(b"[85", b"[" * 250_000 + b"[85")),
    infer("nothing", 400, b"{}", ["inputs"]),
    infer("no tensors", 400, [], ["inputs"]),
    infer("five tensors", 400, [*tensors(), *one_tensor()], ["inputs"]),
    infer("three tensors", 400, tensors()[1:], ["inputs"]),
    infer("a tensor twice", 400, [*tensors()[1:], tensors()[1]], ["inputs"]),
    infer("a tensor of another name", 400, [*tensors()[1:], tensors()[0] | {"name": "Calls"}], ["inputs"]),
    infer("tensors of two lengths", 400, tensors(calls=[1, 2]), ["inputs"]),
    infer("one tensor of three columns", 400, one_tensor(1, 2, 3, shape=[1, 3]), ["inputs"]),
    infer("one tensor without columns", 400, one_tensor(shape=[4]), ["inputs"]),
    infer("three dimensions", 400, one_tensor(shape=[1, 1, 4]), ["inputs", 0, "shape"]),
    infer("no dimension", 400, one_tensor(shape=[]), ["inputs", 0, "shape"]),
    infer("a negative dimension", 400, one_tensor(shape=[-1, 4]), ["inputs", 0, "shape", 0]),
    infer("a huge dimension", 400, one_tensor(shape=[2**63, 4]), ["inputs", 0, "shape", 0]),
    infer("a dimension in quotes", 400, one_tensor(shape=["1", 4]), ["inputs", 0, "shape", 0]),
    infer("a dimension with a point", 400, one_tensor(shape=[1.5, 4]), ["inputs", 0, "shape", 0]),
    infer("no rows", 400, one_tensor(shape=[0, 4], data=[]), ["rows"]),
    infer("10,001 rows", 400, one_tensor(*[0] * 40_004, shape=[10_001, 4]), ["inputs", 0, "shape", 0]),
    infer("too few elements", 400, one_tensor(shape=[2, 4]), ["inputs", 0, "data"]),
    infer("too many elements", 400, one_tensor(*[1] * 8), ["inputs", 0, "data"]),
    infer("a short row", 400, one_tensor([1, 2, 3, 4], [1, 2, 3], shape=[2, 4]), ["inputs", 0, "data", 1]),
    infer("rows and numbers", 400, one_tensor([1, 2, 3, 4], 1, 2, 3, 4, shape=[2, 4]), ["inputs", 0, "data", 1]),
    infer("data that is no list", 400, one_tensor(data=85), ["inputs", 0, "data"]),
    infer("no data", 400, [{"name": "x", "shape": [1, 4], "datatype": "FP64"}], ["inputs", 0, "data"]),
    infer("half precision", 400, one_tensor(datatype="FP16"), ["inputs", 0, "datatype"]),
    infer("text", 400, one_tensor(*["85"] * 4, datatype="BYTES"), ["inputs", 0, "datatype"]),
    infer("a negative", 400, one_tensor(1, 2, 3, 4, 5, -6, 7, 8, shape=[2, 4]), ["rows", 1, "minutes"]),
    infer("a number in quotes", 400, tensors(calls=["85"]), ["rows", 0, "calls"]),
    infer("a boolean", 400, tensors(calls=[True]), ["rows", 0, "calls"]),
    infer("null", 400, tensors(calls=[None]), ["rows", 0, "calls"]),
    infer("an object", 400, tensors(calls=[{}]), ["rows", 0, "calls"]),
    infer("a list in a list", 400, one_tensor([1, 2, 3, [4]]), ["rows", 0, "mb_used"]),
    infer("beyond single precision", 400, one_tensor(1, 2, 1e39, 4, datatype="FP32"), ["rows", 0, "messages"]),
    infer("a boolean in single precision", 400, one_tensor(1, 2, True, 4, datatype="FP32"), ["rows", 0, "messages"]),
    infer("four hundred digits", 400, one_tensor(1, 2, 10**400, 4, datatype="FP32"), ["rows", 0, "messages"]),
    infer("an integer with a point", 400, one_tensor(1, 2, 3.0, 4, datatype="INT64"), ["inputs", 0, "data", 2]),
    infer("a boolean integer", 400, one_tensor(1, 2, True, 4, datatype="INT64"), ["inputs", 0, "data", 2]),
    infer("33 bits", 400, one_tensor(1, 2, 3, 2**31, datatype="INT32"), ["inputs", 0, "data", 3]),
    infer("65 bits", 400, one_tensor(1, 2, 3, 2**63, datatype="INT64"), ["inputs", 0, "data", 3]),
    infer("a negative integer", 400, one_tensor(1, -2, 3, 4, datatype="INT64"), ["rows", 0, "minutes"]),
    *[
        infer(name, 400, encode({"inputs": one_tensor("@", 2, 3, 4)}).replace(b'"@"', token), ["rows", 0, "calls"])
        for name, token in (("nan", b"NaN"), ("infinity", b"Infinity"), ("overflow", b"1e400"))
    ],
    infer("an unknown output", 400, one_tensor(), ["outputs", 0, "name"], outputs=[{"name": "plan"}]),
    infer("an output that is a name", 400, one_tensor(), ["outputs", 0], outputs=["prediction"]),
    infer("too many outputs", 400, one_tensor(), ["outputs"], outputs=[{"name": "prediction"}] * 101),
    infer("explain in words", 400, one_tensor(), ["parameters", "explain"], parameters={"explain": "true"}),
    infer("parameters that are none", 400, one_tensor(), ["parameters"], parameters=[]),
    infer("an id that is no text", 400, one_tensor(), ["id"], id=42),
    infer("a long id", 400, one_tensor(), ["id"], id="a" * 257),
    infer("unknown field", 400, one_tensor(), ["output"], output=[]),
    infer("unknown field of a tensor", 400, one_tensor(dtype="FP64"), ["inputs", 0, "dtype"]),
    infer("too many names", 400, one_tensor(), ["body"], parameters={f"a{i}": i for i in range(1_000)}),
    infer("too large", 413, b" " * (10 * MIB + 1), ["body"]),
    Case(
        "infer with binary tensors",
        encode({"inputs": one_tensor()}),
        415,
        ["inference-header-content-length"],
        path=INFER,
        headers={"inference-header-content-length": "10"},
    ),
    Case("infer text type", b"", 415, ["content-type"], path=INFER, headers={"content-type": "text/plain"}),
    Case("invocations bad row", rows(GOOD | {"calls": -1}), 400, ["rows", 0, "calls"], path="/invocations"),
    Case("invocations text", b"1,2,3,4", 415, ["content-type"], "/invocations", headers={"content-type": "text/csv"}),
    *[
        Case(f"{method} {path}", b"", 405, ["method"], path, method, headers={})
        for path in (INFER, "/invocations")
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
    ],
    *[
        Case(f"{method} {path}", b"{}", 405, ["method"], path, method)
        for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/plan_recommender", "/ping")
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
    ],
]

CORPUS = corpus.CORPUS + VALID + REFUSED
"""Every request of both files."""

SAME_FROM_A_BENTO = [case for case in CORPUS if case.status != 200 or case.path not in ("/v2", "/v2/")]
"""Those that are answered alike from a Bento and from source; the server's metadata name the Bento."""
