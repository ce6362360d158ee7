"""Batches as arrays: what they read, what they write and how they look are what lists of objects would be."""

import json
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json

from plan_recommender.model.features import FEATURE_NAMES, PLANS, CustomerUsage
from plan_recommender.serving import batches
from plan_recommender.serving.batches import Decisions, Rows, features_of, read_batch, write_batch
from plan_recommender.serving.schemas import MAX_BATCH_ROWS, BatchRecommendation, UsageBatch
from tests.serving.corpus import GOOD, rows

AMOUNTS = st.floats(min_value=0, allow_nan=False, allow_infinity=False) | st.integers(min_value=0, max_value=10**40)
ODD = st.one_of(
    st.floats(), st.integers(-(10**30), 10**30), st.booleans(), st.none(), st.text(max_size=3), st.just([]), st.just({})
)
NAMES = st.sampled_from([*FEATURE_NAMES, "call", "Calls", "calls "])
ROWS = st.fixed_dictionaries(dict.fromkeys(FEATURE_NAMES, AMOUNTS))
ODD_ROWS = st.dictionaries(NAMES, AMOUNTS | ODD, min_size=2, max_size=5)
NUMBERS = st.from_regex(
    r"-?[0-9]{1,20}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?|[+.][0-9]{1,3}|0[xb][0-9]", fullmatch=True
)


def both(body: bytes) -> tuple[Any, Any]:
    """What pydantic makes of a body, and what is made of it here: values with all their bits, or errors."""
    found: list[Any] = []
    for read in (UsageBatch.model_validate_json, read_batch):
        try:
            found.append(features_of(read(body)).tobytes())
        except ValidationError as error:
            found.append(error.errors(include_url=False))
    return found[0], found[1]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(ROWS | ODD_ROWS, max_size=4))
def test_a_body_is_read_as_pydantic_reads_it(sent: list[dict[str, Any]]) -> None:
    expected, found = both(json.dumps({"rows": sent}).encode())
    assert repr(found) == repr(expected)  # an error may hold NaN


@settings(derandomize=True, deadline=None, max_examples=500)
@given(NUMBERS)
@example("1.")
@example("01")
@example("-0")
@example("-0.0")
@example("1e400")
@example("1e-400")
@example("9007199254740993")
@example("18446744073709551617")
@example("179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207")
@example("0.1000000000000000055511151231257827021181583404541015625")
@example("2.2250738585072011e-308")
def test_every_spelling_of_a_number_has_the_bits_that_pydantic_gives_it(number: str) -> None:
    expected, found = both(b'{"rows":[{"calls":%b,"minutes":1,"messages":2,"mb_used":3}]}' % number.encode())
    assert repr(found) == repr(expected)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(data=st.data())
def test_a_body_with_a_few_other_bytes_is_read_as_pydantic_reads_it(data: st.DataObject) -> None:
    body = bytearray(json.dumps({"rows": [GOOD, GOOD | {"calls": 0.5}]}).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2) | st.sampled_from(SCRAPS))
    expected, found = both(bytes(body))
    assert repr(found) == repr(expected)


SCRAPS = [
    b'"',
    b"{",
    b"}",
    b",",
    b":",
    b"NaN",
    b"1e9",
    b"\\u0063alls",
    b'"calls":1,',
    b'"rows":[],',
    b"-",
    b"\xff",
    b"//",
    b" ",
]


@pytest.mark.parametrize("number", [0, 1, MAX_BATCH_ROWS, MAX_BATCH_ROWS + 1])
def test_as_many_rows_are_taken_as_pydantic_takes(number: int) -> None:
    expected, found = both(rows(*[GOOD] * number))
    assert (found, isinstance(found, bytes)) == (expected, 0 < number <= MAX_BATCH_ROWS)


def test_a_valid_body_is_read_without_pydantic_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the tests above would compare pydantic with itself."""
    asked: list[bytes] = []
    monkeypatch.setattr(UsageBatch, "model_validate_json", asked.append)
    read_batch(rows(GOOD))
    assert not asked
    read_batch(rows(GOOD | {"calls": -1}))
    assert len(asked) == 1


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.floats(0, 1)), min_size=1, max_size=20))
def test_an_answer_is_written_as_its_objects_would_be(decided: list[tuple[int, float]]) -> None:
    predictions, probabilities = (np.array(column) for column in zip(*decided, strict=True))
    decisions = Decisions(predictions, probabilities)
    objects = [
        {"prediction": prediction, "probability_is_ultra": probability, "recommended_plan": PLANS[prediction]}
        for prediction, probability in decided
    ]
    assert list(decisions) == objects
    assert decisions == objects
    answer = cast(BatchRecommendation, {"predictions": decisions, "model": 'plan_recommender:"a"'})
    assert write_batch(answer) == to_json(cast(Any, answer) | {"predictions": objects})


def test_rows_and_decisions_look_like_lists() -> None:
    features = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    subscribers = Rows(features)
    assert list(subscribers) == [
        CustomerUsage(calls=1, minutes=2, messages=3, mb_used=4),
        CustomerUsage(calls=5, minutes=6, messages=7, mb_used=8),
    ]
    assert list(subscribers[1:]) == list(subscribers)[1:]
    decisions = Decisions(np.array([0, 1]), np.array([0.25, 0.75]))
    assert decisions[1:] == list(decisions)[1:]
    assert decisions != list(decisions)[1:]
    assert batches.decisions_of({"predictions": cast(Any, decisions), "model": "m"}) is decisions
