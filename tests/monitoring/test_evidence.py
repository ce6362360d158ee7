"""The always-on evidence: likelihoods by hand, how it grows with a shift and without; looking changes nothing."""

import math

import numpy as np
import pytest
from scipy.special import gammaln

from plan_recommender.config.settings import DriftSettings
from plan_recommender.data.synthesis import generate
from plan_recommender.drift.reference import profile
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import ReferenceProfile, Values
from plan_recommender.monitoring.evidence import ALARM_DAYS, Bets, State, log_gamma
from plan_recommender.monitoring.layout import Counts

MB_USED = 3


def month(rows: int, seed: int) -> Values:
    return np.concatenate([chunk.features for chunk in generate(rows, seed)])


@pytest.fixture(scope="module")
def reference() -> ReferenceProfile:
    return profile(month(3214, 1), list(FEATURE_NAMES), DriftSettings())


@pytest.fixture
def bets(reference: ReferenceProfile) -> Bets:
    return Bets(reference)


def counts(bets: Bets, features: Values) -> Counts:
    return bets.layout.count(bets.layout.codes(features), None)


def lived(bets: Bets, features: Values, rows_an_hour: int = 20) -> tuple[State, list[float]]:
    """Send rows hour by hour; returns the state at the end, and the evidence after each hour."""
    state, days = bets.begin(0), []
    for hour, start in enumerate(range(0, len(features), rows_an_hour)):
        totals = state.totals + counts(bets, features[start : start + rows_an_hour])
        days.append(float(bets.evidence(state, totals).days))
        bets.advance(state, totals, hour + 1)
    return state, days


def test_the_logarithm_of_gamma_is_scipys() -> None:
    x = np.concatenate([np.geomspace(1e-3, 1e9, 5000), np.linspace(0.5, 3, 500)])
    assert log_gamma(x) == pytest.approx(gammaln(x), rel=1e-12, abs=1e-12)


def test_evidence_of_one_quantity_is_what_a_hand_computes() -> None:
    reference = profile(np.arange(1, 101, dtype=float)[:, None], ["calls"], DriftSettings())
    bets = Bets(reference)
    features = np.array([[1.0], [50.0], [99.5], [99.5]])
    found = bets.evidence(bets.begin(5), counts(bets, features))
    own = np.array(reference.features[0].counts) + 0.5
    seen = counts(bets, features)[1:]

    def probability(prior: Values) -> float:
        """Rows one after the other, by Polya's urn."""
        urn, p = prior.copy(), 1.0
        for bin_, times in enumerate(seen):
            for _ in range(times):
                p *= urn[bin_] / urn.sum()
                urn[bin_] += 1
        return p

    looser = [min(rows, 0.9 * own.sum()) for rows in (30.0, 150.0, 750.0)]
    ratio = np.mean([probability(own * rows / own.sum()) for rows in looser]) / probability(own)
    assert float(found.days) == pytest.approx(ratio, rel=1e-10)
    assert found.parts.tolist() == [pytest.approx(ratio, rel=1e-10)]


def test_what_a_row_is_expected_to_do_to_a_bet_is_nothing(bets: Bets, reference: ReferenceProfile) -> None:
    """Of a quantity, over all rows that may come next by the reference's own prediction: a fair bet."""
    counted = counts(bets, month(500, 2))
    state = bets.begin(0)
    before = bets.evidence(state, counted).parts
    for quantity, cells in enumerate(bets.layout.margins):
        own = np.array(reference.features[quantity].counts) + 0.5
        expected = 0.0
        seen = counted[cells]
        for bin_, cell in enumerate(range(cells.start, cells.stop)):
            after = counted.copy()
            after[cell] += 1
            chance = (own[bin_] + seen[bin_]) / (own.sum() + seen.sum())
            expected += chance * float(bets.evidence(state, after).parts[quantity])
        assert expected == pytest.approx(float(before[quantity]), rel=1e-9)


def test_without_a_shift_there_is_no_alarm_and_with_one_there_is(bets: Bets) -> None:
    rows = month(20 * 24 * 10, 3)
    _, days = lived(bets, rows)
    assert max(days) < ALARM_DAYS
    rows[:, MB_USED] *= 1.2
    state, days = lived(bets, rows)
    alarm = next(hour for hour, evidence in enumerate(days) if evidence >= ALARM_DAYS)
    assert alarm < 24
    parts = bets.evidence(state, state.totals).parts
    assert int(parts.argmax()) == MB_USED


def test_minutes_that_are_cut_loose_are_the_pair_that_speaks(bets: Bets) -> None:
    rows = month(20 * 24, 3)
    loose = np.random.default_rng(0).permutation(len(rows))[: len(rows) // 3]
    rows[loose, 1] = rows[loose[::-1], 1]
    state, days = lived(bets, rows)
    assert days[-1] >= ALARM_DAYS
    assert int(bets.evidence(state, state.totals).parts.argmax()) == len(FEATURE_NAMES)  # calls and minutes


def test_looking_changes_nothing_and_hours_and_workers_add_up(bets: Bets) -> None:
    rows = month(4000, 4)
    often, days = lived(bets, rows)
    seldom = bets.begin(0)
    totals = seldom.totals
    for hour, start in enumerate(range(0, len(rows), 20)):
        halves = [counts(bets, rows[start : start + 20][worker::2]) for worker in (0, 1)]
        totals = totals + halves[0] + halves[1]
        bets.advance(seldom, totals, hour + 1)
    assert np.array_equal(often.totals, seldom.totals)
    assert float(bets.evidence(seldom, totals).days) == float(bets.evidence(often, often.totals).days)
    assert days[-1] == pytest.approx(float(bets.evidence(often, often.totals).days), rel=0.2)


def test_hours_without_rows_lay_no_stakes(bets: Bets) -> None:
    state = bets.begin(0)
    for hour in range(24 * 400):
        bets.advance(state, state.totals, hour + 1)
    assert state.starts == {}
    assert float(bets.evidence(state, state.totals).days) < 1


def test_streams_side_by_side_are_those_one_by_one(bets: Bets) -> None:
    rows = [month(480, seed) for seed in (5, 6, 7)]
    together = bets.begin(0, (3,))
    for hour in range(24):
        new = np.stack([counts(bets, r[20 * hour : 20 * hour + 20]) for r in rows])
        bets.advance(together, together.totals + new, hour + 1)
    found = bets.evidence(together, together.totals)
    for i, r in enumerate(rows):
        state, _ = lived(bets, r)
        assert float(found.days[i]) == pytest.approx(float(bets.evidence(state, state.totals).days), rel=1e-12)


def test_rows_of_few_subscribers_in_the_reference_make_the_evidence_weaker() -> None:
    rows, whose = np.repeat(month(800, 1), 4, axis=0), np.repeat(np.arange(800), 4)
    current = month(960, 3)
    current[:, MB_USED] *= 1.1
    found = [
        lived(Bets(profile(rows, list(FEATURE_NAMES), DriftSettings(), subscribers=known)), current)[1][-1]
        for known in (None, whose)
    ]
    assert found[1] < found[0]


def test_evidence_stays_finite_however_strong_it_is(bets: Bets) -> None:
    rows = month(200_000, 5)
    rows[:, MB_USED] /= 1024
    _, days = lived(bets, rows, 20_000)
    assert all(map(math.isfinite, days))
    assert days[-1] >= ALARM_DAYS
