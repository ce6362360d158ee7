"""Starts the service in this process, asks it, and prints what it imported of training and how often it unpickled.

With --unpickle it then loads the registered pipeline, as the control.
"""

import sys

unpickled: list[object] = []


def watch(event: str, arguments: object) -> None:
    if event == "pickle.find_class":
        unpickled.append(arguments)


sys.addaudithook(watch)

from typing import Any, cast

from starlette.testclient import TestClient

from service import PlanRecommender
from tests.serving.corpus import GOOD, PICKLE, PICKLE_TYPES

service = cast(Any, PlanRecommender)  # the decorator makes it a bentoml.Service, which its types do not say
with TestClient(service.to_asgi()) as client:
    assert client.post("/predict", json=GOOD).status_code == 200
    assert client.post("/predict_batch", json={"rows": [GOOD]}).status_code == 200
    assert client.post("/explain", json=GOOD).status_code == 200
    pickles = [client.post("/predict", content=PICKLE, headers={"content-type": name}) for name in PICKLE_TYPES]
    assert {refused.status_code for refused in pickles} == {415}
    assert client.get("/model").status_code == client.get("/docs.json").status_code == 200
    if "--unpickle" in sys.argv:
        import bentoml

        bentoml.sklearn.load_model(client.get("/model").json()["model"])
training = {"sklearn", "joblib", "pandas", "scipy", "matplotlib"} & sys.modules.keys()
print(sorted(training), len(unpickled))
