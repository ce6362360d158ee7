"""The rules for the choice of a plan are measured as a hand would, and rank on synthetic months as on real ones."""

from pathlib import Path

import numpy as np
import pytest

from plan_recommender.billing.tariffs import Tariffs, load_tariffs
from plan_recommender.data.month_panel import Panel, read_panel
from plan_recommender.errors import ConfigError, TableError
from tools.months_fidelity import choose, main, measure_rules, month_bills
from tools.server import ROOT

SHIPPED = ROOT / "subscriber_months.csv"

REAL = {
    "mean bill of all past months, partial ones scaled and weighted by days": (107, 0.818),
    "the same, a partial first month scaled": (139, 0.783),
    "mean bill of the last 3 months": (157, 0.795),
    "cheaper on last month's bill": (173, 0.773),
    "keep the plan held": (220, 0.717),
    "everybody on Smart": (368, None),
    "everybody on Ultra": (604, None),
}
"""By rule, from the best: what it overpays (roubles a month) with 498 real subscribers, and how often it is right."""


@pytest.fixture(scope="module")
def tariffs() -> Tariffs:
    return load_tariffs(ROOT / "tariffs.yaml")


def panel(*rows: tuple[int, str, float, float]) -> Panel:
    """Months with nothing but data: subscriber, plan, gigabytes, share of days."""
    subscribers, plans, gigabytes, share = zip(*rows, strict=True)
    usage = np.zeros((len(rows), 4))
    usage[:, 3] = np.array(gigabytes) * 1024
    return Panel(
        np.array(subscribers), np.arange(len(rows)), np.array(plans), usage, np.zeros(len(rows)), np.array(share)
    )


# Smart costs 550 and 200 for each GB above 15, Ultra 1,950 up to 30 GB: they cost the same at 22 GB.
HAND = panel(
    (0, "smart", 12, 0.5), (0, "smart", 30, 1), (0, "smart", 12, 1), (0, "smart", 17, 1), (1, "ultra", 22, 1),
    (1, "ultra", 22, 1), (2, "ultra", 5, 1),
)  # fmt: skip


def test_bills_are_exact_and_partial_months_scaled(tariffs: Tariffs) -> None:
    bills = month_bills(HAND, tariffs) / 100
    np.testing.assert_array_equal(bills[:, :4], [[550, 3550, 550, 950], [1950] * 4])
    scaled = month_bills(HAND, tariffs, scaled=True) / 100
    np.testing.assert_array_equal(scaled[:, :4], [[2350, 3550, 550, 950], [1950] * 4])


def test_every_rule_chooses_what_a_hand_chooses(tariffs: Tariffs) -> None:
    chosen = choose(HAND, tariffs, month_bills(HAND, tariffs))
    # For months 2, 3 and 4 of subscriber 0, and month 2 of subscriber 1, who keeps Ultra where the plans cost the same.
    # The mean of (550, 3550) is 2,050, that of (550, 3550, 550) is 1,550; with 2,350 for half of the first month they
    # are 3,150 and 2,110.
    assert {name: positions.tolist() for name, positions in chosen.items()} == {
        "keep the plan held": [0, 0, 0, 1],
        "cheaper on last month's bill": [0, 1, 0, 1],
        "the same, a partial first month scaled": [1, 1, 0, 1],
        "mean bill of the last 3 months": [0, 1, 0, 1],
        "mean bill of all past months, partial ones scaled and weighted by days": [1, 1, 1, 1],
        "everybody on Smart": [0, 0, 0, 0],
        "everybody on Ultra": [1, 1, 1, 1],
    }


def test_what_a_rule_overpays_is_the_mean_of_exact_bills(tariffs: Tariffs) -> None:
    found = measure_rules(HAND, tariffs, resamples=200, seed=1)
    # Next months cost 3,550 or 1,950; 550 or 1,950; 950 or 1,950; 1,950 either way.
    assert found["keep the plan held"][::3] == (1600 / 4, 0.75)
    assert found["cheaper on last month's bill"][::3] == ((1600 + 1400) / 4, 0.5)
    assert found["everybody on Ultra"][::3] == ((1400 + 1000) / 4, 0.5)
    # A sample holds subscriber 0 twice, once or not at all.
    assert found["everybody on Ultra"][1:3] == (0, 800)


def test_the_rules_rank_on_the_shipped_months_as_on_real_ones(tariffs: Tariffs) -> None:
    shipped = read_panel(SHIPPED)
    found = measure_rules(shipped, tariffs, resamples=300, seed=1)
    assert sorted(found, key=lambda name: found[name].overpaid) == list(REAL)
    for name, (overpaid, right) in REAL.items():
        assert found[name].overpaid == pytest.approx(overpaid, rel=0.16)
        assert found[name].low < found[name].overpaid < found[name].high
        assert right is None or found[name].right == pytest.approx(right, abs=0.025)


def test_months_that_do_not_hang_together_rank_the_rules_otherwise(tariffs: Tariffs) -> None:
    """The control: the past of a stranger says nothing."""
    shipped = read_panel(SHIPPED)
    order = np.random.default_rng(1).permutation(len(shipped.share))
    strangers = shipped._replace(usage=shipped.usage[order], billed_minutes=shipped.billed_minutes[order])
    found = measure_rules(strangers, tariffs, resamples=10, seed=1)
    assert sorted(found, key=lambda name: found[name].overpaid) != list(REAL)


def test_the_command_prints_the_files_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    assert main([str(SHIPPED), str(SHIPPED), "--resamples", "50", "--out", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "| rule: overpaid (RUB) [interval] right | `subscriber_months.csv` | `subscriber_months.csv` |" in printed
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    cells = [row.strip("| ").split(" | ") for row in rows]
    assert all(len(row) == 3 and row[1] == row[2] for row in cells)
    assert {row[0] for row in cells} >= set(REAL)
    assert printed.strip() in page.read_text()
    assert "50 bootstrap samples" in page.read_text()


def test_other_plans_and_single_months_are_refused(tmp_path: Path, tariffs: Tariffs) -> None:
    with pytest.raises(TableError, match="expected the plans smart, ultra, found surf"):
        measure_rules(panel((0, "surf", 1, 1), (0, "surf", 1, 1)), tariffs, 10, 1)
    with pytest.raises(TableError, match="expected subscribers with two months or more, found none"):
        measure_rules(panel((0, "smart", 1, 1), (1, "smart", 1, 1)), tariffs, 10, 1)
    three = (ROOT / "tariffs.yaml").read_text()
    one_plan = tmp_path / "tariffs.yaml"
    one_plan.write_text(three.partition("  - name: Ultra")[0])
    with pytest.raises(ConfigError, match="expected two plans, found 1"):
        main([str(SHIPPED), "--tariffs", str(one_plan)])
