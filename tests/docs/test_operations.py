"""What the pages on serving, operations, the image and reliability say is what the code does."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic import ValidationError

from loadtest.trials.catalogue import TRIALS
from plan_recommender.billing.given_minutes import billed_bounds
from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving import auth, bentoml_routes, error_responses, limits
from plan_recommender.serving.routes import ROUTES, Command
from plan_recommender.serving.settings import Environment, known_variables, variable
from tools.container import HARDENED
from tools.server import ROOT

OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
IMAGE = (ROOT / "docs/image.md").read_text(encoding="utf-8")
SERVING = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
RELIABILITY = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
KIB = 1024


def test_the_limits_are_those_of_the_code() -> None:
    listed = SERVING.partition("## Limits")[2].partition("\n## ")[0]
    small, large = (ROUTES[path] for path in ("/predict", "/predict_batch"))
    defaults = Environment.read({})
    assert isinstance(small, Command)
    assert isinstance(large, Command)
    for row in (
        f"| head of a request, or what follows a body in chunks | {limits.MAX_HEAD_BYTES // KIB} KiB |",
        f"| {small.max_bytes // limits.MIB} MiB; {large.max_bytes // limits.MIB} MiB |",
        f"| all bodies that a worker is reading | {defaults.max_bodies_mib} MiB |",
        f"| time for a head; for a body | {limits.HEAD_SECONDS:g} s; {limits.BODY_SECONDS:g} s |",
        f"| time without reading on in an answer | {limits.HEAD_SECONDS:g} s |",
        f"| {small.max_names:,}; {large.max_names:,} |",
        f"| {limits.MAX_PIPELINED} | the connection is closed after them |",
        f"| {limits.MAX_WAITING}, once at least {limits.MAX_WAITING // 2} have waited for",
        f"| 503; then {limits.MAX_WAITING // 2}, until",
        f"| requests on one connection | {limits.MAX_REQUESTS:,} |",
        f"| {defaults.max_batches}, of which one is carried out |",
        f"one probe every {1000 * bentoml_routes.PROBE_PAUSE_SECONDS:g} ms",
        f"a part of the page or of its files every {1000 * bentoml_routes.PAGE_PAUSE_SECONDS:g} ms",
        f"| {bentoml_routes.RENDERING_SHARE:.0%} of a worker's time".replace("%", " %"),
        f"is sent {1000 * limits.REFUSAL_PAUSE_SECONDS:g} ms late",
    ):
        assert row in listed, row


def every_refusal() -> Iterator[error_responses.Refusal]:
    """One of each, from the public functions of the module that makes them."""
    with pytest.raises(ValidationError) as invalid:
        CustomerUsage.model_validate_json("{}")
    values = {"paths": ["/a"], "methods": ["GET"], "path": "/a", "error": invalid.value, "plans": ["A"]}
    values["version"] = "a"
    values["places"] = [(0, billed_bounds(1, 2))]
    for name, make in inspect.getmembers(error_responses, inspect.isfunction):
        if not name.startswith("_") and get_type_hints(make).get("return") is error_responses.Refusal:
            yield make(*(values.get(parameter, 1) for parameter in inspect.signature(make).parameters))


def test_the_errors_are_those_of_the_code() -> None:
    errors = SERVING.partition("## Errors")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| (\d+) \| `(\w+)` \| \S", errors, re.MULTILINE)
    assert sorted(listed) == sorted({(str(int(refusal.status)), refusal.reason) for refusal in every_refusal()})


def test_the_variables_are_those_of_the_code() -> None:
    for name in known_variables():
        assert f"| `{name}` |" in OPERATIONS
    for name, field in Environment.model_fields.items():
        first = f"| `{field.alias or variable(name)}` |"
        row = next(line for line in OPERATIONS.splitlines() if line.startswith(first))
        assert (f"| `{field.default}` |" if field.default is not None else "` | |") in row
    assert f"At least {auth.MIN_KEY_CHARACTERS} printable" in OPERATIONS


def test_the_line_that_runs_the_image_is_the_one_that_make_containerize_prints() -> None:
    line = f"docker run --rm --publish 127.0.0.1:3000:3000 {' '.join(HARDENED)} plan_recommender:latest"
    assert f"\n{line}\n" in IMAGE


def test_every_trial_has_its_promise_and_its_figures() -> None:
    for name in TRIALS:
        assert f"| `{name}` |" in RELIABILITY
        assert f"### `{name}`: " in RELIABILITY


def test_the_files_that_reliability_names_are_there() -> None:
    named = [word.strip("`(),:.") for word in RELIABILITY.split() if word.startswith(("`tests/", "`loadtest/"))]
    assert named
    for name in named:
        assert Path(ROOT / name).is_file(), name
