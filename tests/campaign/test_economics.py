"""The economics of a file: exact sums, by plan and segment, and what subscribers save is what the operator loses."""

from pathlib import Path

import numpy as np
import pytest

from plan_recommender.billing.advice import Advice
from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.campaign.economics import Economics, Figures, Ledger
from tests.campaign.advices import advice, advised_file, keep, switch
from tools.server import ROOT

ROUBLES, DOLLARS = ROOT / "tariffs.yaml", ROOT / "examples" / "tariffs_usd.yaml"
TARIFFS = load_tariffs(ROUBLES)


def test_figures_are_what_a_hand_computes() -> None:
    found = economics([
        ("a", switch(300), 10.0),
        ("b", switch(50), 10.0),
        ("c", keep(), 10.0),
        ("d", advice(1, [1000, 1040], "keep", 1), 10.0),  # saves too little: stays on the dearer plan
        ("e", advice(0, [900, 900], "keep", 0), 10.0),  # both cost the same
        ("f", advice(None, [900, 950], "choose", 0), 10.0),
    ])  # fmt: skip
    smart = Figures(2, 0, 0, 1000 + 900, 1000 + 900, 2, 2)
    ultra = Figures(3, 2, 350, 1300 + 1050 + 1040, 1000 + 1000 + 1040, 0, 2)
    assert found.by_plan == [("Smart", smart), ("Ultra", ultra)]
    assert found.everybody == smart.plus(ultra) == Figures(5, 2, 350, 5290, 4940, 2, 4)
    assert found.everybody.revenue_change == -350
    assert found.without_plan == 1


@pytest.mark.parametrize("path", [ROUBLES, DOLLARS], ids=["roubles", "dollars"])
def test_figures_of_advised_subscribers_are_the_sums_one_by_one(path: Path) -> None:
    tariffs = load_tariffs(path)
    rows = advised_file(tariffs, 400, seed=3)
    found = economics(rows, path)
    held = [(of, mb_used) for _, of, mb_used in rows if of.held is not None]
    assert found.everybody == by_hand([of for of, _ in held])
    assert found.without_plan == 400 - len(held) > 20
    for name, figures in found.by_plan:
        assert figures == by_hand([of for of, _ in held if of.held == tariffs.names.index(name)])
    ends = [*(segment.least for segment in found.by_segment[1:]), np.inf]
    start = 0.0
    for segment, end in zip(found.by_segment, ends, strict=True):
        assert segment.figures == by_hand([of for of, mb_used in held if start <= int(mb_used) < end])
        start = end
    assert found.everybody.switches > 20
    assert found.everybody.saving > 0


def test_what_subscribers_save_is_what_the_operator_loses() -> None:
    found = economics(advised_file(TARIFFS, 300, seed=4))
    parts = [*(figures for _, figures in found.by_plan), *(segment.figures for segment in found.by_segment)]
    for figures in (found.everybody, *parts):
        assert figures.revenue_change == -figures.saving
        assert figures.cheapest_after == figures.cheapest_before + figures.switches


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = advised_file(TARIFFS, 200, seed=5)
    assert economics(rows) == economics(rows[::-1])


@pytest.mark.parametrize("scale", [3, 1000, 20_000, 1e8])
def test_segments_are_thirds_by_data_use(scale: float) -> None:
    use = np.random.default_rng(7).gamma(2, scale, 6000)
    found = economics([(str(i), keep(), mb_used) for i, mb_used in enumerate(use.tolist())])
    assert [segment.name for segment in found.by_segment] == ["light", "medium", "heavy"]
    shares = [segment.figures.subscribers / 6000 for segment in found.by_segment]
    of_a_range = np.unique(np.floor(use), return_counts=True)[1].max() / 6000 if scale < 100 else 0.02
    assert shares == pytest.approx([1 / 3] * 3, abs=of_a_range)
    assert [segment.least for segment in found.by_segment][1:] == pytest.approx(
        np.quantile(use, [1 / 3, 2 / 3]), rel=0.03, abs=1
    )


def test_a_segment_that_nobody_is_in_is_left_out() -> None:
    found = economics([(str(i), keep(), 0.0) for i in range(10)])
    assert [(segment.name, segment.figures.subscribers) for segment in found.by_segment] == [("medium", 10)]
    nobody = economics([])
    assert nobody == Economics(Figures(), [], [], 0)


def economics(rows: list[tuple[str, Advice, float]], path: Path = ROUBLES) -> Economics:
    ledger = Ledger(load_tariffs(path))
    for _, of, mb_used in rows:
        ledger.add(of, mb_used)
    return ledger.economics()


def by_hand(given: list[Advice]) -> Figures:
    bills = [[plan.expected for plan in of.plans] for of in given]
    before = [bill[of.held] for of, bill in zip(given, bills, strict=True) if of.held is not None]
    after = [bill[of.advised] for of, bill in zip(given, bills, strict=True)]
    return Figures(
        subscribers=len(given),
        switches=sum(of.kind == "switch" for of in given),
        saving=sum(before) - sum(after),
        before=sum(before),
        after=sum(after),
        cheapest_before=sum(paid == min(bill) for paid, bill in zip(before, bills, strict=True)),
        cheapest_after=sum(paid == min(bill) for paid, bill in zip(after, bills, strict=True)),
    )
