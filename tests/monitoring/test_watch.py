"""The watch of a service: counts by the model's bins are those of the rows; a drift has to be sure and to matter."""

import numpy as np
import pytest

from plan_recommender.data.synthesis import generate
from plan_recommender.errors import ModelError
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.monitoring.layout import ROWS, Counts
from plan_recommender.monitoring.model_bins import ModelBins
from plan_recommender.monitoring.watch import MIN_ROWS, Watch, Watched, WatchSettings

HOUR = 3600
DAY = 24 * HOUR
NOON = 20_000 * DAY + 12 * HOUR


@pytest.fixture(scope="module")
def bins(model: RegisteredModel) -> ModelBins:
    return ModelBins(model.profile(), [feature.cuts for feature in model.document().features])


def watch(model: RegisteredModel, **floors: float) -> Watch:
    return Watch(model.profile(), WatchSettings.of(model.record.settings).model_copy(update=floors))


def by_hand(bins: ModelBins, scorer: Scorer, features: FeatureMatrix) -> Counts:
    return bins.layout.count(bins.layout.codes(features), scorer.probabilities(features))


def shifted(rows: int, shift: str, seed: int = 5) -> FeatureMatrix:
    return np.concatenate([chunk.features for chunk in generate(rows, seed=seed, shift=shift)])


def test_counting_by_the_models_bins_is_counting_the_rows(
    bins: ModelBins, scorer: Scorer, subscribers: FeatureMatrix
) -> None:
    found = np.zeros(bins.layout.cells, dtype=np.int64)
    probabilities = scorer.probabilities(subscribers, lambda *block: np.add(found, bins.count(*block), out=found))
    assert probabilities.tobytes() == scorer.probabilities(subscribers).tobytes()
    np.testing.assert_array_equal(found, by_hand(bins, scorer, subscribers))
    on_the_edges = np.array([[edges[i % len(edges)] for edges in bins.layout.edges] for i in range(50)])
    codes = np.array([scorer.bins(*row) for row in on_the_edges.tolist()])
    counted = bins.count(list(codes.T), scorer.probabilities(on_the_edges))
    np.testing.assert_array_equal(counted, by_hand(bins, scorer, on_the_edges))


def test_a_profile_whose_bins_end_elsewhere_is_refused(model: RegisteredModel) -> None:
    cuts = [[cut + 0.5 for cut in feature.cuts] for feature in model.document().features]
    with pytest.raises(ModelError, match="end where bins of the model do"):
        ModelBins(model.profile(), cuts)
    with pytest.raises(ModelError, match="and its predictions"):
        ModelBins(model.profile().model_copy(update={"predictions": None}), cuts)
    with pytest.raises(ModelError, match="settings of drift"):
        WatchSettings.of({})


def run(watch: Watch, bins: ModelBins, scorer: Scorer, features: FeatureMatrix, hourly: int) -> Watched:
    """Look at every hour of a stream of so many rows an hour."""
    watched = watch.begin(NOON)
    for hour, end in enumerate(range(hourly, len(features) + 1, hourly)):
        watch.look(watched, by_hand(bins, scorer, features[:end]), NOON + hour * HOUR + HOUR / 2)
    return watched


def test_a_shift_is_found_and_named_and_none_is_not(model: RegisteredModel, bins: ModelBins, scorer: Scorer) -> None:
    still = run(watch(model), bins, scorer, shifted(2_000, "none"), 100)
    assert (still.since, still.parts) == (None, [])
    found = run(watch(model), bins, scorer, shifted(2_000, "data_growth"), 100)
    assert found.since is not None
    assert found.since <= NOON + 4 * HOUR
    assert "mb_used" in found.parts
    assert not set(found.parts) & {"calls", "minutes", "messages"}


def test_a_verdict_stays_when_the_shift_is_over(model: RegisteredModel, bins: ModelBins, scorer: Scorer) -> None:
    looks = watch(model)
    watched = looks.begin(NOON)
    totals = by_hand(bins, scorer, shifted(500, "data_growth"))
    looks.look(watched, totals, NOON)
    assert watched.since == NOON
    totals = totals + by_hand(bins, scorer, shifted(5_000, "none"))
    looks.look(watched, totals, NOON + 40 * DAY)
    assert watched.since == NOON


def test_a_shift_that_is_sure_but_small_is_no_drift(model: RegisteredModel, bins: ModelBins, scorer: Scorer) -> None:
    """The evidence is enough for both; what differs is from which distance a difference matters."""
    totals = by_hand(bins, scorer, shifted(3_000, "data_growth"))
    strict = watch(model, smallest_gap=0.9, smallest_phi=0.9)
    watched = strict.begin(NOON)
    assert strict.look(watched, totals, NOON).evidence_days > 1000
    assert watched.since is None
    usual = watch(model)
    watched = usual.begin(NOON)
    assert usual.look(watched, totals, NOON).evidence_days > 1000
    assert watched.since == NOON


def test_distances_are_of_the_last_seven_days_and_near_0_without_a_shift(
    model: RegisteredModel, bins: ModelBins, scorer: Scorer
) -> None:
    looks = watch(model)
    watched = looks.begin(NOON)
    assert np.isnan(
        [*(empty := looks.look(watched, np.zeros(bins.layout.cells, np.int64), NOON)).distances.values()]
    ).all()
    assert (empty.rows, empty.window_rows) == (0, 0)
    first = by_hand(bins, scorer, shifted(3_000, "data_growth"))
    far = looks.look(watched, first, NOON).distances["mb_used"]
    assert far == pytest.approx(0.44, abs=0.05)
    looks.look(watched, first, NOON + 3 * DAY)
    totals = first + by_hand(bins, scorer, shifted(3_000, "none"))
    both = looks.look(watched, totals, NOON + 3 * DAY + HOUR)
    assert both.window_rows == totals[ROWS] == 6_000
    assert 0.1 < both.distances["mb_used"] < far
    looks.look(watched, totals, NOON + 7 * DAY)
    later = looks.look(watched, totals, NOON + 7 * DAY + HOUR)
    assert (later.rows, later.window_rows) == (6_000, 3_000)
    assert later.distances["mb_used"] < 0.05
    assert later.psi["mb_used"] < both.psi["mb_used"]


def test_few_rows_are_not_far_off_for_being_few(model: RegisteredModel, bins: ModelBins, scorer: Scorer) -> None:
    """Half of the distances are 0 and their mean is small: what chance makes is taken off."""
    looks = watch(model)
    found = [looks.distances(by_hand(bins, scorer, shifted(200, "none", seed)))["mb_used"] ** 2 for seed in range(60)]
    assert np.mean(found) < 1 / 200


def test_a_few_requests_of_somebody_who_tries_the_service_out_are_no_verdict(
    model: RegisteredModel, bins: ModelBins, scorer: Scorer
) -> None:
    watching = watch(model)
    for rows, verdict in ((MIN_ROWS - 1, False), (MIN_ROWS, True)):
        watched = watching.begin(NOON)
        look = watching.look(watched, by_hand(bins, scorer, np.array([[85, 516.7, 56, 22696.96]] * rows)), NOON)
        assert look.evidence_days > 1000
        assert (watched.since is not None) is verdict
