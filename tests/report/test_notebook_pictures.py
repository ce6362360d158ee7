"""The pictures and tables of the notebooks: both languages, the numbers that were found, and tables that have gaps."""

import io
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from string import Formatter
from typing import Any, get_args

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from plan_recommender.billing.advice import AdvicePolicy, Adviser
from plan_recommender.billing.forecast import Month
from plan_recommender.billing.tariffs import Tariffs, load_tariffs
from plan_recommender.campaign.design import Arms, sample_size, visible_change
from plan_recommender.campaign.selection import Campaign
from plan_recommender.campaign.simulation import Case, Participants, Simulated, World, enrol, hold_out, simulate
from plan_recommender.config.load import load_settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.month_intake import read_histories
from plan_recommender.data.month_panel import SHIPPED_MONTHS
from plan_recommender.errors import ConfigError
from plan_recommender.evaluation.backtest import ADVICE, Backtest, backtest
from plan_recommender.evaluation.slices import measure_slices, tercile_bounds
from plan_recommender.model.features import EXAMPLE, PLANS, CustomerUsage, FeatureMatrix
from plan_recommender.model.languages import LANGUAGES, Language
from plan_recommender.model.reasons import Reasons
from plan_recommender.model.store import RegisteredModel
from plan_recommender.model.tables import ModelDocument
from plan_recommender.report.advice_plots import (
    draw_advised,
    draw_bills,
    draw_expectations,
    draw_forecast,
    draw_kinds,
    draw_overpaid,
)
from plan_recommender.report.campaign_plots import draw_sizes, draw_worlds
from plan_recommender.report.canvas import SCALES, canvas, png
from plan_recommender.report.model_plots import (
    draw_probabilities,
    draw_reasons,
    draw_recognition,
    draw_segments,
    draw_what_if,
)
from plan_recommender.report.picture_words import WORDS, figure, percent
from plan_recommender.report.plots import plot_curves, plot_maps
from plan_recommender.report.presentation_tables import account_table, groups_table, prices_table
from plan_recommender.report.usage_plots import draw_pairs, draw_ultra_shares, draw_usage
from plan_recommender.training.habits import learn_habits
from plan_recommender.training.selection import cross_validate
from tools.server import ROOT

USAGE = CustomerUsage.model_validate(EXAMPLE)
WORLDS = [World(follow=0.4, churn=0.06, churn_of_contacts=churn) for churn in (0.06, 0.1)]


@pytest.fixture(autouse=True)
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of each picture that is drawn; none of them may be cut off."""
    found: list[str] = []
    save = Figure.savefig

    def watch(self: Figure, *arguments: Any, **options: Any) -> None:
        save(self, *arguments, **options)
        found.extend(text.get_text() for text in self.findobj(match=Text) if isinstance(text, Text))
        assert cut_off(self) == []

    monkeypatch.setattr(Figure, "savefig", watch)
    return found


def cut_off(drawn: Figure) -> list[str]:
    """The texts of a picture that do not fit into it; those of ticks are matplotlib's own concern."""
    labels = [label for axes in drawn.axes for label in (axes.xaxis.label, axes.yaxis.label, *axes.texts)]
    pixel = 1.0
    return [
        text.get_text()
        for text in (*drawn.texts, *labels)
        if text.get_text() and not all(drawn.bbox.padded(pixel).contains(*end) for end in ends(text))
    ]


def ends(text: Text) -> tuple[tuple[float, float], tuple[float, float]]:
    box = text.get_window_extent()
    return (box.x0, box.y0), (box.x1, box.y1)


def test_a_text_that_is_cut_off_would_be_noticed() -> None:
    """The control of all tests of pictures in this file."""
    picture = canvas(2, "more than fits into the width of a notebook, " * 4)
    with pytest.raises(AssertionError, match="more than fits"):
        png(picture)


@pytest.fixture(scope="module")
def tariffs() -> Tariffs:
    return load_tariffs(ROOT / "tariffs.yaml")


@pytest.fixture(scope="module")
def adviser(tariffs: Tariffs) -> Adviser:
    return Adviser(tariffs, learn_habits(SHIPPED_MONTHS, tariffs).profile, AdvicePolicy())


@pytest.fixture(scope="module")
def told(tariffs: Tariffs, adviser: Adviser, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Case], Backtest]:
    """Advice on the shipped months, and its backtest."""
    copy = tmp_path_factory.mktemp("months") / "months.csv"
    copy.write_bytes(SHIPPED_MONTHS.read_bytes())
    histories = read_histories(copy, tariffs.names, rounds_calls=True)
    return hold_out(histories, adviser), backtest(histories[:100], adviser, 1)


@pytest.fixture(scope="module")
def table(subscribers: FeatureMatrix) -> LabelledTable:
    features = subscribers[:600].copy()
    features[::50, 2] = np.nan
    return LabelledTable(Path("table.csv"), "", features, (features[:, 3] > 20_000).astype(np.int64))


def size(png: bytes) -> tuple[int, int]:
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    return picture.size


def test_both_languages_say_the_same_things_with_the_same_numbers() -> None:
    assert set(WORDS) == set(get_args(Language))
    for key, english in WORDS["en"].items():
        assert WORDS["es"].keys() == WORDS["en"].keys()
        assert sorted(places(WORDS["es"][key])) == sorted(places(english)), key
        assert WORDS["es"][key].count("|") == english.count("|"), key


def places(text: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(text) if name]


def test_numbers_are_written_as_people_of_the_language_do() -> None:
    assert [figure(12_345.678, language, 1) for language in LANGUAGES] == ["12,345.7", "12\u202f345,7"]
    assert [percent(0.481, language) for language in LANGUAGES] == ["48 %", "48 %"]
    assert figure(-1234, "es") == "\N{MINUS SIGN}1234"


@pytest.mark.parametrize("draw", [draw_usage, draw_ultra_shares, draw_pairs])
def test_a_table_is_drawn_with_its_gaps(
    table: LabelledTable, texts: list[str], draw: Callable[[LabelledTable, str], bytes]
) -> None:
    assert size(draw(table, "what was found"))[0] == 900
    assert "what was found" in texts


def test_usage_is_drawn_with_its_medians(table: LabelledTable, texts: list[str]) -> None:
    medians = [np.nanmedian(table.features[table.target == label, 0]) for label in (0, 1)]
    draw_usage(table, "")
    assert {f"{plan}: median {median:,.0f}" for plan, median in zip(PLANS, medians, strict=True)} <= {*texts}


def test_a_model_is_drawn(model: RegisteredModel, table: LabelledTable, texts: list[str]) -> None:
    scorer = model.scorer()
    explanation = Reasons(model.document(), scorer).explain((USAGE.calls, USAGE.minutes, USAGE.messages, USAGE.mb_used))
    assert size(draw_reasons(USAGE, explanation, "why"))[0] == 900
    assert {f"{added:+.2f}" for added in explanation.contributions} <= {*texts}
    assert size(draw_what_if(scorer, USAGE, 3, 45_000, "what if"))[0] == 900
    probabilities = scorer.probabilities(table.features)
    decisions = scorer.decide(table.features, probabilities)
    texts.clear()
    assert size(draw_probabilities(table.target, probabilities, scorer.threshold.value, "errors"))[0] == 900
    wrong = int(np.sum((table.target == 1) & (decisions == 0)))
    assert f"{wrong} of {table.target.sum()} on Ultra\nwrongly taken for Smart" in texts
    slices = measure_slices(table.features, table.target, probabilities, decisions, tercile_bounds(table.features))
    assert size(draw_segments(slices, "segments"))[0] == 900
    assert "data, heavy (200)" in texts


@pytest.mark.parametrize("plot", [plot_curves, plot_maps])
def test_curves_and_maps_look_like_the_other_pictures(
    model: RegisteredModel, tmp_path: Path, texts: list[str], plot: Callable[[Path, ModelDocument, str], None]
) -> None:
    plot(tmp_path / "plot.png", model.document(), "what was learned")
    assert size((tmp_path / "plot.png").read_bytes())[0] == 1350
    assert {"what was learned", "1,000", *(scale.label for scale in SCALES)} <= {*texts}
    assert not [text for text in texts if "mb_used" in text or "MB" in text]


def test_no_bar_of_probabilities_lies_on_both_sides_of_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(Axes, "stairs", lambda _, counts, edges, **__: drawn.append((counts, edges)))
    probabilities = np.array([0.05, 0.295, 0.3, 0.31, 0.9, 1.0])
    for threshold in (0.3, 0.5, 0.617):
        draw_probabilities(np.array([0, 1, 0, 1, 0, 1]), probabilities, threshold, "errors")
        for counts, edges in drawn:
            assert threshold in edges
            assert (edges[0], edges[-1]) == (pytest.approx(0), 1)
            assert abs(counts.sum()) == 3
        drawn.clear()


def test_recognition_is_drawn(table: LabelledTable, texts: list[str]) -> None:
    settings = load_settings(ROOT / "model_config.yaml")
    selection = settings.selection.model_copy(
        update={"candidates": ["majority_rule", "logistic_regression"], "folds": 2, "repeats": 1}
    )
    quick = settings.model_copy(update={"selection": selection})
    filled = table.take(np.flatnonzero(~np.isnan(table.features).any(axis=1)))
    found = cross_validate(filled.features, filled.target, quick)
    assert size(draw_recognition(found, found, 2, "recognition"))[0] == 900
    assert {"majority rule", "logistic regression", "new subscribers"} <= {*texts}


@pytest.mark.parametrize("language", LANGUAGES)
def test_bills_are_drawn_with_the_break_even(tariffs: Tariffs, language: Language, texts: list[str]) -> None:
    assert size(draw_bills(tariffs, language))[0] == 900
    assert WORDS[language]["break-even"].format(gb="22", dear="Ultra", cheap="Smart") in texts
    one = tariffs.model_copy(update={"plans": tariffs.plans[:1]})
    with pytest.raises(ConfigError, match="expected two plans"):
        draw_bills(one, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_advice_is_drawn_with_its_numbers(
    tariffs: Tariffs, told: tuple[list[Case], Backtest], language: Language, texts: list[str]
) -> None:
    cases, tested = told
    campaign = Campaign("spring", 0.5, tariffs)
    for case in cases:
        campaign.add(case.subscriber, case.advice, case.mb_used)
    assert size(draw_kinds(campaign.economics(), tariffs, language))[0] == 900
    switches = sum(case.advice.kind == "switch" for case in cases)
    assert WORDS[language]["advised headline"].format(share=percent(switches / len(cases), language)) in texts
    texts.clear()
    assert size(draw_advised(cases, tariffs, language))[0] == 900
    assert sum(int(found) for text in texts for found in re.findall(r"\((\d+)\)$", text)) == len(cases)
    assert size(draw_overpaid(tested, tariffs, language))[0] == 900
    ratio = tested.rule(ADVICE).ratio
    assert ratio is not None
    assert WORDS[language]["overpaid headline"].format(ratio=percent(ratio, language)) in texts
    assert size(draw_expectations(tested, tariffs, language))[0] == 900


def test_a_forecast_is_drawn(tariffs: Tariffs, adviser: Adviser, texts: list[str]) -> None:
    advice = adviser.advise(0, [Month(30, 200, 5, 25_000), Month(30, 200, 5, 27_000)])
    assert size(draw_forecast(advice, tariffs, "next month"))[0] == 900
    assert f"{tariffs.amount(advice.plans[1].expected):,.0f} RUB" in texts


@pytest.fixture(scope="module")
def played(tariffs: Tariffs, told: tuple[list[Case], Backtest]) -> tuple[Campaign, Participants, list[Simulated]]:
    campaign = Campaign("spring", 0.5, tariffs, contact_cost=Decimal("12.5"))
    participants = enrol(campaign, told[0], 100)
    return campaign, participants, [simulate(participants, world, 1) for world in WORLDS]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_campaign_is_drawn_with_its_numbers(
    played: tuple[Campaign, Participants, list[Simulated]], language: Language, texts: list[str]
) -> None:
    _, _, simulated = played
    assert size(draw_worlds(simulated, "RUB", language))[0] == 900
    (bill,) = {each.effect.bill for each in simulated[:1]}
    assert bill is not None
    assert any(text.startswith(f"{figure(bill.difference, language)}  [") for text in texts)
    assert size(draw_sizes(0.06, Arms(300, 200), language))[0] == 900
    near, rise = sample_size(0.06, 0.07).contacts, visible_change(0.06, Arms(300, 200)).rise
    assert rise is not None
    assert f"7 %: {figure(near, language)}" in texts
    assert any(percent(rise, language, 1) in text for text in texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_tables_hold_what_was_found(
    tariffs: Tariffs, played: tuple[Campaign, Participants, list[Simulated]], language: Language
) -> None:
    campaign, participants, simulated = played
    summary = campaign.summary()
    prices = cells(prices_table(tariffs, language))
    assert prices[2:] == [
        ["Smart", "550", "500", "50", "15", "3", "3", "200"],
        ["Ultra", figure(1950, language), figure(3000, language), figure(1000, language), "30", "1", "1", "150"],
    ]
    groups = cells(groups_table(summary, tariffs, language))
    assert [row[1] for row in groups[2:]] == [str(summary.contacts), str(summary.controls)]
    account = cells(account_table(simulated, participants, summary, "RUB", language))
    assert len({len(row) for row in account}) == 1
    for row, each in zip(account[2:], simulated, strict=True):
        assert each.effect.bill is not None
        assert row[1].startswith(f"{figure(summary.contacts * each.effect.bill.difference, language)} [")


def cells(table: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in table.splitlines()]
