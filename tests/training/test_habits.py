"""The profile of habits: fitted from months of many subscribers, about usage only, and holding nobody's month."""

from pathlib import Path

import numpy as np
import pytest

import train
from plan_recommender.billing.habits import HabitProfile
from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.data.month_panel import SHIPPED_MONTHS, read_panel
from plan_recommender.errors import TableError
from plan_recommender.training.habits import fit_habits, learn_habits
from tests.conftest import Command


def fitted(rows: np.ndarray | None = None, scale: float = 1.0, **changes: object) -> HabitProfile:
    """The profile of the shipped months, or of some of their rows; data is multiplied by `scale`."""
    panel = read_panel(SHIPPED_MONTHS)
    chosen = np.arange(len(panel.months)) if rows is None else rows
    usage = panel.usage[chosen] * np.array([1, 1, 1, scale])
    arguments: dict[str, object] = {
        "subscribers": panel.subscribers[chosen],
        "order": panel.months[chosen],
        "usage": usage,
        "billed_minutes": panel.billed_minutes[chosen],
        "active_share": panel.share[chosen],
    } | changes
    return fit_habits(**arguments)  # type: ignore[arg-type]  # as the names say


def test_what_is_usual_is_the_mean_by_days_of_activity() -> None:
    panel = read_panel(SHIPPED_MONTHS)
    profile = fitted()
    assert profile.subscribers == 300
    assert profile.mb_used.usual == pytest.approx(panel.usage[:, 3].sum() / panel.share.sum(), rel=1e-5)
    assert profile.minutes.usual == pytest.approx(panel.billed_minutes.sum() / panel.share.sum(), rel=1e-5)


def test_neither_the_order_of_the_rows_nor_the_numbers_of_subscribers_matter() -> None:
    panel = read_panel(SHIPPED_MONTHS)
    rows = np.random.default_rng(3).permutation(len(panel.months))
    assert fitted(rows) == fitted()
    assert fitted(subscribers=(panel.subscribers * 7919) % 100_003) == fitted()


def test_a_profile_of_twice_the_data_is_the_same_in_units_of_its_spread() -> None:
    once, twice = fitted(), fitted(scale=2.0)
    assert twice.mb_used.usual == pytest.approx(2 * once.mb_used.usual, rel=1e-5)
    assert twice.mb_used.spread == pytest.approx(2 * once.mb_used.spread, rel=1e-4, abs=0.1)
    assert twice.errors_after_more.mb_used == pytest.approx(once.errors_after_more.mb_used, abs=1)
    assert twice.minutes == once.minutes


def test_errors_are_means_of_several_and_centred() -> None:
    profile = fitted()
    for errors in (profile.errors_after_one, profile.errors_after_more):
        for column in (errors.minutes, errors.mb_used):
            assert abs(float(np.mean(column))) < 30  # hundredths of a spread
            assert min(column) < -50 < 50 < max(column)


def test_without_billed_minutes_calls_add_their_share() -> None:
    panel = read_panel(SHIPPED_MONTHS)
    guessed = fitted(billed_minutes=None, call_share=0.2)
    minutes = panel.usage[:, 1] + 0.2 * panel.usage[:, 0]
    assert guessed.minutes.usual == pytest.approx(minutes.sum() / panel.share.sum(), rel=1e-5)
    assert guessed.minutes.usual == pytest.approx(fitted().minutes.usual, rel=0.02), "an estimate that fits"


def test_too_few_months_are_refused_with_the_numbers() -> None:
    with pytest.raises(TableError, match=r"expected at least 128 whole months with two or more months .* found \d+"):
        fitted(np.arange(120))
    panel = read_panel(SHIPPED_MONTHS)
    with pytest.raises(TableError, match="expected a table of months with MB, found none used in 1841 rows"):
        fitted(usage=panel.usage * np.array([1, 1, 1, 0]))


def test_a_month_that_stands_twice_is_refused(tmp_path: Path) -> None:
    lines = SHIPPED_MONTHS.read_text().splitlines()
    path = tmp_path / "months.csv"
    path.write_text("\n".join([*lines, *lines[5:8]]) + "\n")
    with pytest.raises(TableError, match="expected each month of a subscriber once, found 3 rows with one again"):
        learn_habits(path, load_tariffs(shipped_tariffs()))


def test_billed_minutes_that_contradict_the_calls_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "months.csv"
    path.write_text("subscriber,month,calls,minutes,messages,mb_used,billed_minutes\na,2019-01,85,516.7,3,4,0\n")
    with pytest.raises(
        TableError, match=r"row 1 after the header: billed_minutes: expected a number from 431\.7 to 601\.7"
    ):
        learn_habits(path, load_tariffs(shipped_tariffs()))


@pytest.mark.slow
def test_months_in_gigabytes_are_refused_beside_a_table_in_megabytes(
    command: Command, store: Path, quick: Path, tmp_path: Path
) -> None:
    header, *lines = (line.split(",") for line in SHIPPED_MONTHS.read_text().splitlines())
    place = header.index("mb_used")
    for line in lines:
        line[place] = f"{float(line[place]) / 1024:.2f}"
    path = tmp_path / "months.csv"
    path.write_text("\n".join(",".join(line) for line in [header, *lines]) + "\n")
    asked = ("--config", quick, "--artifacts", tmp_path / "artifacts", "--months", path)
    refused = command(train.main, *asked)
    assert refused.code == 2
    assert f"{path}: expected months like the usage in" in refused.err
    assert "mb_used looks like gigabytes" in refused.err
    assert not (tmp_path / "artifacts").exists()
    accepted = command(train.main, *asked, "--accept-drift")
    assert (accepted.code, accepted.err) == (0, "")
    assert "warning: " in accepted.out


def test_the_profile_of_a_table_says_where_it_comes_from() -> None:
    habits = learn_habits(SHIPPED_MONTHS, load_tariffs(shipped_tariffs()))
    assert habits.profile == fitted()
    assert (habits.path, habits.months) == (SHIPPED_MONTHS, 1841)
    assert len(habits.profile.model_dump_json()) < 4000, "small"
