"""The drift page: what it shows of whom, with and without predictions, bills and mix, and the maps of the pair."""

import html
import math
import re
from typing import Any

import numpy as np
import pytest

from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.config.settings import DriftSettings
from plan_recommender.data.csv_table import TextColumn
from plan_recommender.data.synthesis import generate
from plan_recommender.drift.bills import Months, compare_bills
from plan_recommender.drift.mix import Mix
from plan_recommender.drift.reference import profile
from plan_recommender.drift.report import DriftReport
from plan_recommender.drift.verdict import Sample, compare
from plan_recommender.drift.words import verdict_words
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import ReferenceProfile, Values
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import find
from plan_recommender.report.drift_page import drift_html, most_moved
from plan_recommender.report.drift_plots import PairShares, expected_alone, pair_shares
from tests.conftest import TrainedModel
from tools.server import ROOT

ROWS = 800
SETTINGS = DriftSettings()
NAMES = list(FEATURE_NAMES)


def sample(seed: int, shift: str = "none") -> Values:
    return np.concatenate([chunk.features for chunk in generate(ROWS, seed, shift)])


def page(
    before: Values, now: Values, names: list[str] = NAMES, scorer: Scorer | None = None, **changes: Any
) -> tuple[str, DriftReport]:
    reference = profile(before, names, SETTINGS, scorer=scorer)
    report = compare(reference, Sample(now, **changes), SETTINGS, scorer)
    if names == NAMES:
        bills = compare_bills(load_tariffs(ROOT / "tariffs.yaml"), Months(before), Months(now))
        report = report.model_copy(update={"bills": bills})
    return drift_html(report, reference, now, scorer), report


def headings(text: str) -> list[str]:
    return re.findall("<h2[^>]*>(.*?)</h2>", text)


def alts(text: str) -> list[str]:
    return [html.unescape(alt) for alt in re.findall('<img alt="([^"]*)"', text)]


@pytest.fixture(scope="module")
def before() -> Values:
    return sample(1)


def test_the_first_screen_is_the_verdict_in_the_words_of_the_console(before: Values) -> None:
    text, report = page(before, sample(2, "data_growth"))
    assert report.drifted == ["mb_used"]
    first = text[text.index("<h1>") : text.index("<h2")]
    assert "<h1>Verdict: drift</h1>" in first
    said = re.findall("<li>(.*?)</li>", first)
    assert [html.unescape(sentence) for sentence in said] == verdict_words(report)
    assert said[0].startswith("mb_used up by ")
    assert said[-1].startswith("Under the same tariffs a month like these costs, on average, ")


def test_the_page_without_a_model_or_a_mix_says_so_and_has_every_picture(before: Values) -> None:
    text, report = page(before, sample(2))
    moved = most_moved(report)
    assert moved is not None
    names = " and ".join(moved.features)
    assert headings(text) == [
        "Each feature, in both samples", f"The pair that moved most: {names}", "What it means for recommendations",
        "What it means for the bills", "All figures", "Thresholds",
    ]  # fmt: skip
    assert "No model was asked" in text
    assert [alt.split(":")[0] for alt in alts(text)] == [
        *(f"Histograms of {name} over each other" for name in FEATURE_NAMES), *[f"Map of {names} in coarse bins"] * 4,
    ]  # fmt: skip
    assert re.findall(r"(?i)<script|<link|@import|url\(|https?://", text) == []
    assert set(re.findall(r"""src="([^"]{0,22})""", text)) == {"data:image/png;base64,"}


def test_the_pair_that_is_shown_has_the_largest_phi_though_none_drifted(before: Values) -> None:
    text, report = page(before, sample(2))
    assert [pair.finding for pair in report.pairs] == ["no drift"] * 6
    largest = max(report.pairs, key=lambda pair: pair.phi)
    assert len({pair.phi for pair in report.pairs}) == 6
    assert f'<h2 id="pair">The pair that moved most: {" and ".join(largest.features)}</h2>' in text
    assert f"phi {largest.phi:.3f}: no drift" in text


def test_a_pair_that_no_longer_goes_together_is_shown() -> None:
    before, now = sample(1), sample(2)
    now[:, 1] = now[np.random.default_rng(0).permutation(ROWS), 1]
    moved = most_moved(page(before, now)[1])
    assert moved is not None
    assert (moved.features, moved.finding) == (["calls", "minutes"], "drift")


def test_one_feature_has_no_pair_and_no_bills(before: Values) -> None:
    text, report = page(before[:, 3:], sample(2)[:, 3:], ["mb_used"])
    assert (report.pairs, most_moved(report), report.bills) == ([], None, None)
    assert 'id="pair"' not in text
    assert "Bills are compared where all four features are" in text
    assert len(alts(text)) == 1


def test_an_emptied_column_is_drawn_as_it_was_and_billed_by_nobody(before: Values) -> None:
    now = sample(2)
    now[:, 2] = math.nan
    text, report = page(before, now)
    assert "<li>messages empty in 100% of the rows (before: 0%).</li>" in text
    assert report.bills is None
    assert any(alt.startswith("Histograms of messages") and alt.endswith("no values now") for alt in alts(text))
    assert "messages" not in (most_moved(report) or report.pairs[0]).features


def test_a_mix_is_shown_with_its_shares(before: Values) -> None:
    old, new = (np.repeat([0, 1], [ROWS - few, few]) for few in (80, 400))
    values = ("1", "0.5")
    mix = Mix.of("active_share", TextColumn(old, values), TextColumn(new, values))
    text, report = page(before, sample(2), mix=mix, reference=before)
    assert report.mix is not None
    assert "What the samples are composed of" in headings(text)
    assert re.search(r"<td>partial months</td><td>10\.0%</td><td[^>]*>50\.0%</td>", text)
    assert alts(text)[-1] == "Bars: shares of the rows by active_share in both samples"
    with_nothing, report = page(before, sample(2))
    assert report.mix is None
    assert 'id="mix"' not in with_nothing


def test_bills_are_a_table_with_the_change(before: Values) -> None:
    text, report = page(before, before)
    assert report.bills is not None
    smart = report.bills.plans[0]
    mean = f"{smart.current_mean:,.2f}"
    assert f'<tr><td>Smart</td><td>{mean}</td><td>{mean}</td>\n<td class="number">+0.00</td>' in text
    assert "99% interval" in text
    stored = report.bills.model_copy(
        update={"rows_known": False, "plans": [smart.model_copy(update={"change": (1.5, 2.0), "interval": None})]}
    )
    reference = profile(before, NAMES, SETTINGS)
    text = drift_html(report.model_copy(update={"bills": stored}), reference, before, None)
    assert '<td class="number">+1.50 to +2.00</td></tr>' in text
    assert "its mean lies between two bounds" in text


@pytest.mark.slow
def test_predictions_are_drawn_before_and_now(before: Values, trained: TrainedModel) -> None:
    scorer = find(trained.tag).scorer()
    text, report = page(before, sample(2, "data_growth"), scorer=scorer)
    assert report.predictions is not None
    shares = report.predictions.reference_ultra_share, report.predictions.current_ultra_share
    assert alts(text)[-1] == "Bars: {:.1%} recommended Ultra before, {:.1%} now".format(*shares)
    assert alts(text)[-2].startswith("Distribution of the probability of Ultra: mean ")
    assert "No model was asked" not in text


def small_reference() -> ReferenceProfile:
    """Values 0 to 99 of two features, which always rise together."""
    values = np.arange(100, dtype=np.float64)
    return profile(np.column_stack([values, 10 * values]), ["calls", "mb_used"], SETTINGS)


def test_the_maps_hold_the_shares_of_the_rows_in_fifths_of_the_reference() -> None:
    shares = pair_shares(
        small_reference(), np.array([[0, 999], [50, 500], [50, 510], [math.nan, 1]]), ["calls", "mb_used"]
    )
    assert shares.reference == pytest.approx(np.diag([0.2] * 5), abs=0.011)
    expected = np.zeros((5, 5))
    expected[0, 4], expected[2, 2] = 1 / 3, 2 / 3
    assert shares.current == pytest.approx(expected)
    assert shares.ends[0] == pytest.approx([19.8, 39.6, 59.4, 79.2])
    assert shares.ends[1] == pytest.approx([198, 396, 594, 792])


def test_a_change_that_each_feature_makes_alone_is_left_out_of_the_last_map() -> None:
    reference = np.array([[0.3, 0.2], [0.1, 0.4]])
    scaled = reference * [[2], [1]] * [[1, 3]]  # the odds ratio stays 6
    ends = np.array([1.0]), np.array([1.0])
    alone = PairShares(("calls", "minutes"), ends, reference, scaled / scaled.sum())
    assert expected_alone(alone) == pytest.approx(alone.current, abs=1e-12)
    other = PairShares(("calls", "minutes"), ends, reference, np.array([[0.25, 0.25], [0.15, 0.35]]))
    found = expected_alone(other)
    assert found.sum(axis=0) == pytest.approx([0.4, 0.6])
    assert found[0, 0] * found[1, 1] / (found[0, 1] * found[1, 0]) == pytest.approx(6)
