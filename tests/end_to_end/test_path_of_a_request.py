"""What a reader of service.py sees is what runs over HTTP: a breakpoint in a method of the service is reached."""

import ast
from pathlib import Path
from typing import Any, cast, get_type_hints

import httpx
import pytest

from plan_recommender.serving.routes import ROUTES, Command
from tests.conftest import GOOD, TrainedModel
from tools.server import ROOT, serving

BODIES = {
    "/predict": GOOD,
    "/explain": GOOD,
    "/predict_batch": {"rows": [GOOD]},
    "/invocations": {"rows": [GOOD]},
    "/v2/models/plan_recommender/infer": {
        "inputs": [{"name": "usage", "shape": [1, 4], "datatype": "FP64", "data": [*GOOD.values()]}]
    },
    "/advise": {"months": [{"month": "2026-10", **GOOD}]},
}


@pytest.mark.slow
def test_every_route_calls_the_method_that_the_table_names(trained: TrainedModel, tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    served = tmp_path / "served"
    served.mkdir()
    for name in ("plan_recommender", "tariffs.yaml"):
        (served / name).symlink_to(ROOT / name)
    (served / "service.py").write_text(with_breakpoints((ROOT / "service.py").read_text(), reached))
    with serving(cwd=served) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        for path, route in ROUTES.items():
            reached.write_text("")
            answer = client.post(path, json=BODIES[path]) if isinstance(route, Command) else client.get(path)
            assert answer.status_code == 200
            assert reached.read_text() == f"{route.call}\n", path


def with_breakpoints(source: str, reached: Path) -> str:
    """Have every method that a route calls write its name into a file."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in {route.call for route in ROUTES.values()}:
            line = f"open({str(reached)!r}, 'a').write({node.name + chr(10)!r})"
            node.body.insert(0, ast.parse(line).body[0])
    return ast.unparse(tree)


@pytest.mark.parametrize("path", [path for path, route in ROUTES.items() if isinstance(route, Command)])
def test_the_table_and_the_service_agree(path: str) -> None:
    from service import PlanRecommender

    route = cast(Command, ROUTES[path])
    service = cast(Any, PlanRecommender)  # the decorated class is a bentoml.Service, which its types do not say
    api = service.apis[route.call]
    assert api.route == path
    hints = get_type_hints(api.func)
    assert hints.pop("return") is route.response
    assert list(hints.values()) == [route.request]


def test_the_service_has_no_other_api() -> None:
    from service import PlanRecommender

    apis = cast(Any, PlanRecommender).apis
    assert {api.route for api in apis.values()} == {path for path, r in ROUTES.items() if isinstance(r, Command)}
