"""Calibration: terms that a hand computes, terms that add up, and noise that is told apart from error."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from plan_recommender.evaluation.calibration import Calibration, measure_calibration
from plan_recommender.evaluation.metrics import Labels, Probabilities

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
ENTRIES = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]))),
    min_size=1,
    max_size=80,
)
Entries = list[tuple[int, float]]


def arrays(entries: Entries) -> tuple[Labels, Probabilities]:
    return np.array([y for y, _ in entries], dtype=np.int64), np.array([p for _, p in entries], dtype=np.float64)


def drawn(rows: int, seed: int) -> tuple[Labels, Probabilities]:
    """Probabilities, and labels that they are true of."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(1, 2, rows)
    return (rng.random(rows) < probabilities).astype(np.int64), probabilities


def numbers(found: Calibration) -> list[float]:
    """Everything but what chance draws."""
    document = found.model_dump(exclude={"bins", "ece_by_chance", "ece_limit"})
    return [*document.values(), *(value for b in found.bins for value in b.model_dump().values())]


def test_every_term_is_what_a_hand_computes() -> None:
    target, probabilities = arrays([(0, 0.1), (0, 0.3), (1, 0.6), (0, 0.8)])
    found = measure_calibration(target, probabilities, bins=2, seed=0)
    assert [(b.rows, b.ultra_share) for b in found.bins] == [(2, 0), (2, 0.5)]
    assert [b.mean_probability for b in found.bins] == pytest.approx([0.2, 0.7])
    assert found.ece == pytest.approx(0.5 * 0.2 + 0.5 * 0.2)
    assert found.brier == pytest.approx((0.01 + 0.09 + 0.16 + 0.64) / 4)
    assert found.reliability == pytest.approx(0.04)
    assert found.resolution == pytest.approx(0.0625)
    assert found.uncertainty == pytest.approx(0.25 * 0.75)
    # Each deviation of a probability is 0.1; the labels deviate in the second bin only, against the probability.
    assert found.within_bin == pytest.approx(0.01 - 2 * (-0.1 * 0.5 * 2) / 4)


def test_chance_is_what_a_hand_computes() -> None:
    # One row of probability 1/2: whatever is drawn is off by 1/2. Probabilities of 0 and 1 leave nothing to chance.
    assert measure_calibration(*arrays([(1, 0.5)]), bins=5, seed=0).ece_by_chance == 0.5
    assert measure_calibration(*arrays([(1, 0.0), (0, 1.0)]), bins=5, seed=0).ece_by_chance == 0
    # Two rows of 1/2 in one bin: off by 1/2 in half of all draws, by 0 in the others; 200 draws, 4 deviations.
    found = measure_calibration(*arrays([(1, 0.5), (0, 0.5)]), bins=5, seed=0).ece_by_chance
    assert found == pytest.approx(0.25, abs=4 * 0.25 / math.sqrt(200))


def test_entries_of_one_row_share_their_chance() -> None:
    entries = arrays([(1, 0.5), (1, 0.5)])
    assert measure_calibration(*entries, bins=1, seed=0, rows=np.array([7, 7])).ece_by_chance == 0.5
    assert measure_calibration(*entries, bins=1, seed=0, rows=np.array([7, 8])).ece_by_chance < 0.35


def test_a_table_pooled_several_times_is_judged_as_the_table() -> None:
    target, probabilities = drawn(300, seed=3)
    once = measure_calibration(target, probabilities, bins=10, seed=0)
    pooled = measure_calibration(np.tile(target, 4), np.tile(probabilities, 4), 10, 0, np.tile(np.arange(300), 4))
    assert pooled.ece == pytest.approx(once.ece)
    assert pooled.ece_by_chance == pytest.approx(once.ece_by_chance, rel=1e-9)
    assert numbers(pooled)[:8] == pytest.approx(numbers(once)[:8], abs=1e-5)
    apart = measure_calibration(np.tile(target, 4), np.tile(probabilities, 4), bins=10, seed=0)
    assert apart.ece_by_chance < 0.7 * once.ece_by_chance  # four times the labels, half the noise


@PROPERTY
@given(ENTRIES, st.integers(1, 12))
def test_the_terms_add_up_and_stay_in_their_bounds(entries: Entries, bins: int) -> None:
    target, probabilities = arrays(entries)
    found = measure_calibration(target, probabilities, bins, seed=1)
    total = found.reliability - found.resolution + found.uncertainty + found.within_bin
    assert total == pytest.approx(found.brier, abs=1e-12)
    assert found.brier == pytest.approx(brier_score_loss(target, probabilities), abs=1e-12)
    assert 0 <= found.ece <= 1
    assert 0 <= found.ece_by_chance <= 1
    assert 0 <= found.resolution <= found.uncertainty + 1e-12
    assert found.ece**2 <= found.reliability + 1e-12  # Jensen
    assert 1 <= len(found.bins) <= bins
    assert sum(b.rows for b in found.bins) == len(entries)
    assert Calibration.model_validate_json(found.model_dump_json()) == found


@PROPERTY
@given(ENTRIES, st.integers(1, 12))
def test_equal_probabilities_share_a_bin(entries: Entries, bins: int) -> None:
    target, probabilities = arrays(entries)
    found = measure_calibration(target, probabilities, bins, seed=1)
    ends = np.cumsum([b.rows for b in found.bins])[:-1]
    ordered = np.sort(probabilities)
    assert (ordered[ends - 1] < ordered[ends]).all()


@pytest.mark.parametrize(("rows", "bins", "sizes"), [(12, 4, [3] * 4), (10, 3, [4, 3, 3]), (643, 10, [65, 64])])
def test_bins_without_ties_hold_about_the_same_number_of_rows(rows: int, bins: int, sizes: list[int]) -> None:
    target, probabilities = drawn(rows, seed=5)
    found = [b.rows for b in measure_calibration(target, probabilities, bins, seed=0).bins]
    assert len(found) == bins
    assert set(found) == set(sizes)


def test_a_constant_probability_is_one_bin_without_a_slope() -> None:
    found = measure_calibration(*arrays([(1, 0.3), (0, 0.3), (0, 0.3)]), bins=10, seed=0)
    assert [b.rows for b in found.bins] == [3]
    assert found.bins[0].ultra_share == pytest.approx(1 / 3)
    assert (found.slope, found.intercept) == (None, None)
    assert found.ece == pytest.approx(1 / 3 - 0.3)
    assert (found.resolution, found.within_bin) == pytest.approx((0, 0))


@pytest.mark.parametrize(
    "entries",
    [
        [(1, 0.2), (1, 0.7)],  # one label
        [(0, 0.2), (0, 0.4), (1, 0.6)],  # parted
        [(1, 0.2), (0, 0.4), (0, 0.6)],  # parted the wrong way
        [(0, 0.2), (0, 0.5), (1, 0.5), (1, 0.6)],  # parted but for a tie
        [(0, 0.0), (1, 1.0)],  # parted at the ends
    ],
)
def test_no_slope_is_given_where_none_can_be_estimated(entries: Entries) -> None:
    found = measure_calibration(*arrays(entries), bins=2, seed=0)
    assert (found.slope, found.intercept) == (None, None)


def test_slope_and_intercept_are_what_a_hand_computes() -> None:
    # Two probabilities, so that the line goes through both shares: logit 1/4 = -ln 3 at logit 1/10 = -ln 9, and
    # logit 1/2 = 0 at logit 1/2 = 0. The slope is ln 3 / ln 9 = 1/2.
    found = measure_calibration(*arrays([(1, 0.1), *[(0, 0.1)] * 3, (1, 0.5), (0, 0.5)]), bins=2, seed=0)
    assert (found.slope, found.intercept) == pytest.approx((0.5, 0), abs=1e-6)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, 0), (2, 0), (1, -0.7), (1.5, 0.4)])
def test_a_distortion_of_the_log_odds_is_found_again(slope: float, intercept: float) -> None:
    target, truth = drawn(40_000, seed=11)
    distorted = 1 / (1 + np.exp(-(np.log(truth / (1 - truth)) - intercept) / slope))
    found = measure_calibration(target, distorted, bins=10, seed=0)
    assert found.slope == pytest.approx(slope, rel=0.05)
    assert found.intercept == pytest.approx(intercept, abs=0.05)


def test_probabilities_of_exactly_0_and_1_are_accepted() -> None:
    found = measure_calibration(*arrays([(0, 0.0), (1, 0.0), (1, 1.0), (0, 1.0), (1, 0.5)]), bins=3, seed=0)
    assert found.slope is not None
    assert math.isfinite(found.slope)
    assert found.brier == pytest.approx((0 + 1 + 0 + 1 + 0.25) / 5)


def test_a_calibrated_model_shows_the_ece_of_chance_and_a_miscalibrated_one_more() -> None:
    found = [measure_calibration(*drawn(643, seed), bins=10, seed=seed) for seed in range(40)]
    assert np.mean([f.ece for f in found]) == pytest.approx(np.mean([f.ece_by_chance for f in found]), rel=0.1)
    target, probabilities = drawn(643, seed=1)
    worse = measure_calibration(target, np.sqrt(probabilities), bins=10, seed=1)
    assert worse.ece > 3 * worse.ece_by_chance


def test_the_order_of_the_rows_changes_nothing_but_noise() -> None:
    target, probabilities = drawn(500, seed=2)
    order = np.random.default_rng(0).permutation(500)
    one = measure_calibration(target, probabilities, bins=10, seed=4)
    other = measure_calibration(target[order], probabilities[order], bins=10, seed=4)
    assert numbers(other) == pytest.approx(numbers(one), abs=1e-5)
    assert other.ece_by_chance == pytest.approx(one.ece_by_chance, rel=0.1)


def test_the_same_seed_gives_the_same_answer() -> None:
    target, probabilities = drawn(200, seed=2)
    one, again, other = (measure_calibration(target, probabilities, bins=10, seed=seed) for seed in (4, 4, 5))
    assert one == again
    assert one.ece_by_chance != other.ece_by_chance
