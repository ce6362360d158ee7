"""The modules of the page answer as the service's typed APIs do, bit for bit."""

import json
import math
import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.data.synthesis import generate
from plan_recommender.model.features import FEATURE_NAMES, CustomerUsage
from plan_recommender.model.store import find
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import AdviceRequest
from tests.conftest import TESTS, leave_out
from tools.server import ROOT

pytestmark = pytest.mark.slow

SUBSCRIBERS = 2_000
SEED = 20261128
PAGE = ROOT / "plan_recommender" / "serving" / "page"
PROGRAM = TESTS / "serving" / "page" / "answers.mjs"
EXPLAIN = {"explain", "explain in Spanish"}
ODD = (0, 5e-324, 0.5, 1, 123_456.789, 1e9)

Document = dict[str, Any]


@pytest.fixture(scope="module")
def service(trained_tag: str) -> Any:
    """The service as an object of Python."""
    from service import PlanRecommender

    return cast(Any, PlanRecommender).inner()  # the decorated class is a bentoml.Service, which its types do not say


@pytest.fixture(scope="module")
def asked(service: Any) -> Document:
    """What the page fetches, 2,000 months of usage, and 2,000 requests for advice.

    A quarter of the months stand at a cut of the model, another quarter just above one.
    """
    chance = random.Random(SEED)  # noqa: S311  # not for secrets
    model = json.loads(service.document().body)
    usages = []
    for i, row in enumerate(np.concatenate([chunk.features for chunk in generate(SUBSCRIBERS, seed=SEED)]).tolist()):
        usage = dict(zip(FEATURE_NAMES, row, strict=True))
        place = chance.randrange(len(FEATURE_NAMES))
        cut = chance.choice(model["features"][place]["cuts"])
        if i % 4 < 2:
            usage[FEATURE_NAMES[place]] = cut if i % 4 else math.nextafter(cut, math.inf)
        elif i % 10 == 2:
            usage[FEATURE_NAMES[place]] = chance.choice(ODD)
        usages.append(usage)
    requests = [history(chance, usages, i) for i in range(SUBSCRIBERS)]
    fetched = {"habits": json.loads(service.habits().body), "tariffs": json.loads(service.tariffs().body)}
    return fetched | {"document": model, "usages": usages, "requests": requests}


def history(chance: random.Random, usages: list[Document], i: int) -> Document:
    """A request for advice with a few months around one usage, some of them parts of a month, or with exact minutes."""
    months = []
    for n in range(chance.choice((1, 1, 2, 3, 6, 36))):
        month = {
            name: min(value * chance.uniform(0.3, 1.7), 1e9) if value > 1e-300 else value
            for name, value in usages[i].items()
        }
        month["month"] = f"{2023 + n // 12}-{n % 12 + 1:02d}"
        if chance.random() < 0.3:
            month["billed_minutes"] = chance.choice((None, min(1e9, month["minutes"] + month["calls"] / 3)))
        if chance.random() < 0.3:
            month["active_share"] = chance.choice((None, chance.uniform(0.01, 1)))
        months.append(month)
    return {"plan": chance.choice(("Smart", "Ultra", None)), "months": months}


@pytest.fixture(scope="module")
def typed(service: Any, asked: Document) -> Document:
    """What the typed APIs answer."""
    usages = [CustomerUsage.model_validate_json(json.dumps(usage)) for usage in asked["usages"]]
    requests = [AdviceRequest.model_validate_json(json.dumps(request)) for request in asked["requests"]]
    return {
        "predict": [service.predict(usage) for usage in usages],
        "explain": [service.explain(usage) for usage in usages],
        "explain in Spanish": [service.recommender.explain(usage, "es") for usage in usages],
        "advise": [service.advise(request) for request in requests],
        "advise in Spanish": [service.recommender.advise(request, "es") for request in requests],
    }


def page_answers(page: Path, asked: Document, folder: Path) -> Document:
    """What the modules in a folder answer."""
    if shutil.which("node") is None:
        leave_out("the page's modules are not compared with the service: there is no node")
    given, output = folder / "asked.json", folder / "answers.json"
    given.write_text(json.dumps(asked))
    subprocess.run(["node", PROGRAM, page, given, output], check=True, timeout=120)
    answers: Document = json.loads(output.read_text())
    return answers


def bits(value: Any) -> Any:
    """Replace every number by its bits as a double, so that equal means equal to the last one."""
    if isinstance(value, dict):
        return {key: bits(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [bits(inner) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return struct.pack("<d", value).hex()
    return value


def different(typed: Document, found: Document) -> dict[str, int]:
    """How many answers differ, by route."""
    assert set(typed) == set(found)
    counts = {path: sum(bits(a) != bits(b) for a, b in zip(typed[path], found[path], strict=True)) for path in typed}
    return {path: count for path, count in counts.items() if count}


def test_2000_subscribers_get_the_bits_and_the_sentences_of_the_service(
    typed: Document, asked: Document, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    assert different(typed, page_answers(PAGE, asked, tmp_path)) == {}
    record_property("answers of the page that are the service's, bit for bit", sum(map(len, typed.values())))
    kinds = {answer["advice"] for answer in typed["advise"]}
    assert kinds == {"keep", "switch", "choose"}
    assert {answer["prediction"] for answer in typed["predict"]} == {0, 1}
    changes = [part["plan_changes_at"] for answer in typed["explain"] for part in answer["contributions"]]
    assert None in changes
    assert len(set(changes)) > 100


THREE_PLANS = """
currency: USD
smallest_unit: 0.001
valid_from: 2026-01-01
minutes: {rounding: month}
data: {step_mb: 1}
plans:
  - name: Mini
    fee: 4.995
    included: {minutes: 0, messages: 0, mb_used: 0}
    beyond: {minute: 0.019, message: 0.05, data_step: 0.002}
  - name: Smart
    fee: 15
    included: {minutes: 300, messages: 50, mb_used: 9000}
    beyond: {minute: 0.05, message: 0.05, data_step: 0.001}
  - name: Ultra
    fee: 49.99
    included: {minutes: 5000, messages: 900, mb_used: 60000}
    beyond: {minute: 0, message: 0, data_step: 0}
"""
ONE_PLAN = """
currency: MXN
smallest_unit: 1
valid_from: 2026-01-01
minutes: {rounding: call, call_share: 0.99}
data: {step_mb: 100}
plans:
  - name: Smart
    fee: 199
    included: {minutes: 60, messages: 0, mb_used: 500}
    beyond: {minute: 3, message: 1, data_step: 7}
"""


@pytest.mark.parametrize("text", [THREE_PLANS, ONE_PLAN], ids=["three plans", "one plan"])
def test_other_tariffs_are_billed_and_worded_alike(
    asked: Document, tmp_path: Path, trained_tag: str, text: str
) -> None:
    (tmp_path / "tariffs.yaml").write_text(text)
    recommender = Recommender(find(trained_tag), load_tariffs(tmp_path / "tariffs.yaml"))
    names = recommender.tariffs.names
    requests = [
        request | {"plan": request["plan"] if request["plan"] in names else None} for request in asked["requests"][:500]
    ]
    valid = [AdviceRequest.model_validate_json(json.dumps(request)) for request in requests]
    expected = {
        "predict": [],
        "explain": [],
        "explain in Spanish": [],
        "advise": [recommender.advise(request) for request in valid],
        "advise in Spanish": [recommender.advise(request, "es") for request in valid],
    }
    other = {"tariffs": json.loads(recommender.tariffs_in_force.body), "usages": [], "requests": requests}
    assert different(expected, page_answers(PAGE, asked | other, tmp_path)) == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "noticed"),
    [
        ("model.js", "75600", "75600.00001", {"predict", *EXPLAIN}),  # the last bits of some probabilities
        ("model.js", "bits[0] += 1n", "bits[0] += 2n", EXPLAIN),  # values at which the plan changes
        ("billing.js", "SPREAD_PRIOR = 4;", "SPREAD_PRIOR = 4.0001;", {"advise", "advise in Spanish"}),
        ("regions.js", "SIMILAR_SHARE = 0.1;", "SIMILAR_SHARE = 0.11;", EXPLAIN),
        ("reason_words.js", "apuntan", "apunta", {"explain in Spanish"}),
        ("numbers.js", "whole.length > 4", "whole.length > 5", {"advise in Spanish", "explain in Spanish"}),
    ],
)
def test_a_module_that_computes_otherwise_is_noticed(
    typed: Document, asked: Document, tmp_path: Path, file: str, old: str, new: str, noticed: set[str]
) -> None:
    """The control of the test above."""
    copy = tmp_path / "page"
    shutil.copytree(PAGE, copy)
    source = (copy / file).read_text()
    assert source.count(old) == 1
    (copy / file).write_text(source.replace(old, new))
    assert set(different(typed, page_answers(copy, asked, tmp_path))) == noticed
