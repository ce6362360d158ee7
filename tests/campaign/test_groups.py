"""The groups of a campaign: the share that was asked for, the same everywhere, independent of other campaigns."""

from hashlib import blake2b
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binomtest, chi2_contingency

from plan_recommender.campaign.groups import Lottery, group_of
from plan_recommender.errors import ConfigError

SUBSCRIBERS = [str(number) for number in range(100_000, 120_000)]
CAMPAIGNS = [f"spring {year}" for year in range(2026, 2036)]
ALPHA = 0.001  # of each test as a whole; names are fixed, so that a test always says the same

STORED = {
    ("spring", "1001"): (722834427580621400, 1367280832069005442),
    ("spring", "1002"): (457076653261928844, 125479435995676821),
    ("spring", "1003"): (7812842065505615756, 5606805872889265167),
    ("spring", "ana"): (3426712753476843398, 8227232673700783898),
    ("spring", "ñandú"): (8675233234760929077, 11714889456278623770),
}
"""Draws of campaign and subscriber, computed once; on another machine they have to be the same."""


@pytest.mark.parametrize(("names", "expected"), STORED.items())
def test_draws_are_the_stored_ones(names: tuple[str, str], expected: tuple[int, int]) -> None:
    campaign, subscriber = names
    assert Lottery(campaign, 0.1).draw(subscriber) == expected
    assert group_of(campaign, subscriber, 0.1) == ("control" if expected[0] < 0.1 * 2**64 else "contact")


def test_the_hash_is_the_one_that_is_described() -> None:
    digest = blake2b(b"ana", digest_size=16, key=b"spring", person=b"plan-recommender").digest()
    share, order = Lottery("spring", 0.5).draw("ana")
    assert digest == share.to_bytes(8, "big") + order.to_bytes(8, "big")


@pytest.mark.parametrize("control", [0.01, 0.1, 0.5, 0.9])
def test_the_share_of_controls_is_the_one_asked_for(control: float) -> None:
    for campaign in CAMPAIGNS:
        found = binomtest(controls(campaign, control).sum(), len(SUBSCRIBERS), control)
        assert found.pvalue > ALPHA / len(CAMPAIGNS), campaign


def test_campaigns_draw_independently() -> None:
    drawn = {campaign: controls(campaign, 0.3) for campaign in CAMPAIGNS}
    pairs = list(combinations(CAMPAIGNS, 2))
    assert min(dependence(drawn[one], drawn[other]) for one, other in pairs) > ALPHA / len(pairs)


def test_groups_that_depend_on_each_other_would_be_noticed() -> None:
    """The control of the test above: a hash without a key draws the same people every time; so does half a key."""
    unkeyed = np.array([blake2b(name.encode()).digest()[0] < 77 for name in SUBSCRIBERS])
    assert dependence(unkeyed, unkeyed) < ALPHA
    mixed = np.where(np.arange(len(unkeyed)) % 20 == 0, unkeyed, controls(CAMPAIGNS[0], 0.3))
    assert dependence(mixed, unkeyed) < ALPHA


def test_the_order_of_equal_savings_says_nothing_of_the_group() -> None:
    lottery = Lottery("spring", 0.3)
    draws = [lottery.draw(name) for name in SUBSCRIBERS]
    late = np.array([draw.order >= 2**63 for draw in draws])
    assert dependence(late, controls("spring", 0.3)) > ALPHA


def test_a_larger_control_group_only_moves_contacts_to_the_controls() -> None:
    before = np.zeros(len(SUBSCRIBERS), dtype=bool)
    for control in (0.0, 0.05, 0.1, 0.100001, 0.5, 0.999):
        now = controls("spring", control)
        assert not (before & ~now).any()
        before = now
    assert not controls("spring", 0.0).any()


def test_a_group_does_not_depend_on_who_was_drawn_before() -> None:
    lottery = Lottery("spring", 0.3)
    forwards = {name: lottery.group(lottery.draw(name)) for name in SUBSCRIBERS[:500]}
    backwards = {name: lottery.group(lottery.draw(name)) for name in reversed(SUBSCRIBERS[:500])}
    assert forwards == backwards == {name: group_of("spring", name, 0.3) for name in SUBSCRIBERS[:500]}


def test_blanks_around_names_do_not_count() -> None:
    assert Lottery(" spring ", 0.1).draw(" 1001\t") == Lottery("spring", 0.1).draw("1001")


@pytest.mark.parametrize(
    ("campaign", "control", "complaint"),
    [
        ("", 0.1, "expected a name of 1 to 64 bytes in UTF-8, found 0 bytes"),
        ("  ", 0.1, "found 0 bytes"),
        ("ñ" * 33, 0.1, "found 66 bytes"),
        (
            "spring\nsummer",
            0.1,
            "expected a name without line breaks, tabs and other control characters, found 'spring",
        ),
        ("spring\n", 0.1, "expected a name without line breaks"),
        ("spring\u2028summer", 0.1, "expected a name without line breaks"),
        ("a\x00b", 0.1, "expected a name without line breaks"),
        ("spring", 1.0, "control: expected a share of at least 0 and less than 1, found 1.0"),
        ("spring", -0.1, "found -0.1"),
        ("spring", float("nan"), "found nan"),
    ],
)
def test_what_is_not_possible_is_refused(campaign: str, control: float, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        group_of(campaign, "1001", control)


def controls(campaign: str, control: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    lottery = Lottery(campaign, control)
    return np.array([lottery.group(lottery.draw(name)) == "control" for name in SUBSCRIBERS])


def dependence(
    one: np.ndarray[tuple[int], np.dtype[np.bool_]], other: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> float:
    """The p-value of the chi-square test that two halves of the subscribers have nothing to do with each other."""
    table = [[int((one & other).sum()), int((one & ~other).sum())]]
    table.append([int((~one & other).sum()), int((~one & ~other).sum())])
    return float(chi2_contingency(table, correction=False).pvalue)
