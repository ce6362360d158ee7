"""The logistic function has the bits that its definition fixes, and those are right."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plan_recommender.model.logistic import RELATIVE_ERROR, logistic, logistic_array

PROPERTY = settings(derandomize=True, deadline=None, max_examples=2000)
LOG_ODDS = st.one_of(st.floats(-128, 128), st.floats(-1, 1), st.floats(-1e-300, 1e-300))
MAX_UNITS = 4


def exact(log_odds: float) -> Decimal:
    with localcontext(prec=60):
        return 1 / (1 + (-Decimal(log_odds)).exp())


@pytest.mark.slow
@PROPERTY
@given(log_odds=LOG_ODDS)
@example(log_odds=128.0)
@example(log_odds=-128.0)
@example(log_odds=0.5 * math.log(2))  # where the nearest multiple of ln 2 changes
@example(log_odds=-36.7368005696771)
def test_it_is_within_four_units_in_the_last_place_of_the_exact_value(log_odds: float) -> None:
    found, expected = logistic(log_odds), exact(log_odds)
    assert abs(Decimal(found) - expected) <= MAX_UNITS * Decimal(math.ulp(float(expected)))
    assert abs(Decimal(found) - expected) <= Decimal(RELATIVE_ERROR) * expected


@pytest.mark.slow
@PROPERTY
@given(log_odds=st.lists(LOG_ODDS, min_size=1, max_size=50))
def test_an_array_gets_the_bits_of_its_numbers(log_odds: list[float]) -> None:
    assert logistic_array(np.array(log_odds)).tobytes() == np.array([logistic(z) for z in log_odds]).tobytes()


def test_it_is_exact_where_it_can_be() -> None:
    assert logistic(0.0) == logistic(-0.0) == 0.5
    assert logistic(128.0) == 1.0
    assert 0 < logistic(-128.0) < 1e-55
    assert logistic_array(np.empty(0)).shape == (0,)


def test_an_array_is_left_as_it_was() -> None:
    log_odds = np.array([-3.0, 0.0, 2.5])
    logistic_array(log_odds)
    assert log_odds.tolist() == [-3.0, 0.0, 2.5]
