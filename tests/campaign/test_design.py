"""The size of an experiment: published figures, and the power that the comparison of outcomes really has."""

import numpy as np
import pytest

from plan_recommender.campaign.design import POWER, Arms, sample_size, visible_change
from plan_recommender.campaign.intervals import rate_difference
from plan_recommender.errors import ConfigError

SIMULATIONS = 1500


@pytest.mark.parametrize(
    ("before", "after", "each"),
    [
        (0.06, 0.10, 721),  # docs/campaign.md
        (0.06, 0.07, 9540),
        (0.5, 0.6, 388),  # R's power.prop.test(p1 = .5, p2 = .6, power = .8): 387.3
    ],
)
def test_the_size_of_each_arm(before: float, after: float, each: int) -> None:
    assert sample_size(before, after) == Arms(each, each)
    assert sample_size(after, before) == Arms(each, each)


@pytest.mark.parametrize("control", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize(("before", "after"), [(0.06, 0.10), (0.2, 0.15)])
def test_groups_of_that_size_see_the_change_as_often_as_they_should(
    before: float, after: float, control: float
) -> None:
    arms = sample_size(before, after, control)
    assert arms.controls / sum(arms) == pytest.approx(control, abs=0.01)
    # The formula is an approximation, and the interval is not the test that it is for.
    assert power(before, after, arms) == pytest.approx(POWER, abs=0.045)
    assert power(before, after, Arms(arms.contacts // 2, arms.controls // 2)) < 0.65  # the control
    assert power(before, before, arms) < 0.08  # nothing to see


def test_a_small_control_group_needs_more_subscribers_than_halves() -> None:
    sizes = [sum(sample_size(0.06, 0.10, control)) for control in (0.5, 0.3, 0.2, 0.1, 0.05)]
    assert sizes == sorted(sizes)
    assert sizes[3] > 2.5 * sizes[0]


@pytest.mark.parametrize("control", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("before", "after"), [(0.06, 0.10), (0.06, 0.07), (0.3, 0.2), (0.06, 0.02)])
def test_the_visible_change_is_the_one_whose_size_this_is(before: float, after: float, control: float) -> None:
    visible = visible_change(before, sample_size(before, after, control))
    assert (visible.rise if after > before else visible.fall) == pytest.approx(after, rel=0.01)


def test_more_subscribers_show_smaller_changes_and_few_show_none() -> None:
    rises = [visible_change(0.06, Arms(9 * n, n)).rise for n in (10, 100, 1000, 100_000)]
    assert all(rise is not None for rise in rises)
    assert rises == sorted(rises, key=lambda rise: -(rise or 0))
    assert visible_change(0.06, Arms(90, 10)).fall is None
    assert visible_change(0.5, Arms(1, 1)) == (None, None)


@pytest.mark.parametrize(
    ("before", "after", "control"),
    [(0.0, 0.1, 0.5), (0.1, 0.1, 0.5), (0.1, 1.1, 0.5), (0.1, 0.2, 0.0), (0.1, 0.2, 1.0), (float("nan"), 0.2, 0.5)],
)
def test_what_is_not_possible_is_refused(before: float, after: float, control: float) -> None:
    with pytest.raises(ConfigError, match=r"^(expected two different rates|control: expected a share)"):
        sample_size(before, after, control)
    with pytest.raises(ConfigError, match="expected a rate between 0 and 1 and two groups"):
        visible_change(0.06, Arms(0, 5))


def power(before: float, after: float, arms: Arms) -> float:
    """Share of simulated experiments whose interval leaves 0 out."""
    rng = np.random.default_rng(11)
    contacts = rng.binomial(arms.contacts, after, SIMULATIONS).tolist()
    controls = rng.binomial(arms.controls, before, SIMULATIONS).tolist()
    seen = [
        rate_difference((one, arms.contacts), (other, arms.controls), 0.95).verdict != "cannot tell"
        for one, other in zip(contacts, controls, strict=True)
    ]
    return sum(seen) / SIMULATIONS
