"""Mistakes that a table shows by itself are named with their likely cause, and ordinary tables are left alone."""

import re

import numpy as np
import pandas as pd
import pytest

from plan_recommender.config.settings import DriftSettings
from plan_recommender.data.plausibility import PLAUSIBLE_MEDIANS, find_mistakes
from plan_recommender.data.synthesis import generate
from plan_recommender.drift.reference import profile
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.profile import ReferenceProfile
from tools.mistake_rates import measure
from tools.server import ROOT

CALLS, MINUTES, MESSAGES, MB_USED = range(4)
TABLE = np.concatenate([chunk.features for chunk in generate(2000, seed=3)])
OTHER = np.concatenate([chunk.features for chunk in generate(500, seed=4)])
REFERENCE = profile(TABLE, list(FEATURE_NAMES), DriftSettings())


def changed(column: int, values: object) -> FeatureMatrix:
    table = OTHER.copy()
    table[:, column] = values
    return table


@pytest.mark.parametrize(
    ("column", "change", "sentence"),
    [
        (MB_USED, lambda v: v / 1024, "mb_used looks like gigabytes: median 1"),
        (MB_USED, lambda v: v / 1000, "mb_used looks like gigabytes: median 1"),
        (MB_USED, lambda v: v * 1024, "mb_used looks like kilobytes: median 1"),
        (MB_USED, lambda v: v * 1024**2, "mb_used looks like bytes: median 1"),
        (MINUTES, lambda v: v * 60, "minutes looks like seconds: median 2"),
        (MINUTES, lambda v: v / 60, "minutes looks like hours: median 6.9"),
        (CALLS, lambda v: v * 20, "calls is unlike what is usual: median 1"),
        (MB_USED, lambda v: v * 0, "mb_used is 0 in every row: the column was filled in or lost"),
        (MESSAGES, lambda v: v * 0 + 7, "messages is 7 in every row: the column was filled in or lost"),
        (MINUTES, np.floor, "minutes holds whole numbers only, in training most have decimals: it was rounded or cut"),
    ],
)
def test_a_mistake_is_named_with_its_likely_cause(column: int, change: object, sentence: str) -> None:
    assert callable(change)
    (found,) = find_mistakes(changed(column, change(OTHER[:, column])), REFERENCE)
    assert found.startswith(sentence)


def test_gigabytes_are_noticed_at_the_first_training_too() -> None:
    (found,) = find_mistakes(changed(MB_USED, OTHER[:, MB_USED] / 1024), None)
    assert found.startswith("mb_used looks like gigabytes: median 1")
    assert found.endswith(", usual are 500 to 200,000")


def test_a_column_that_is_empty_is_noticed() -> None:
    assert find_mistakes(changed(MB_USED, np.nan), REFERENCE) == ["mb_used is empty in every row: the column was lost"]


def test_a_right_table_beside_a_model_of_gigabytes_is_not_blamed() -> None:
    wrong = profile(TABLE / [1, 1, 1, 1024], list(FEATURE_NAMES), DriftSettings())
    (found,) = find_mistakes(OTHER, wrong)
    assert found.startswith("mb_used: median 1")
    assert found.endswith(", which looks like gigabytes: the registered model seems to be what is wrong")


def test_calls_without_minutes_are_noticed() -> None:
    minutes = np.where(np.arange(500) % 3 == 0, 0.0, OTHER[:, MINUTES])
    assert find_mistakes(changed(MINUTES, minutes), REFERENCE) == [
        "33% of the rows have calls and no minutes: one of the two columns is wrong"
    ]


@pytest.mark.parametrize("reference", [REFERENCE, None])
@pytest.mark.parametrize("every", [3, 20])
def test_a_part_in_gigabytes_is_noticed_and_none_where_its_rows_have_no_data(
    reference: ReferenceProfile | None, every: int
) -> None:
    part = np.arange(len(OTHER)) % every == 0
    (found,) = find_mistakes(changed(MB_USED, np.where(part, OTHER[:, MB_USED] / 1000, OTHER[:, MB_USED])), reference)
    assert re.match(r"mb_used looks like gigabytes in (5|3\d)% of the rows: \d+ of 500 are between 1\.", found)
    assert find_mistakes(changed(MB_USED, np.where(part, 0.0, OTHER[:, MB_USED])), reference) == []


@pytest.mark.parametrize("reference", [REFERENCE, None])
@pytest.mark.parametrize("share", [30, 45, 48, 49])
def test_nearly_half_in_gigabytes_is_noticed_with_its_share(reference: ReferenceProfile | None, share: int) -> None:
    """The median of all rows falls to the lightest usage of the others, and says nothing of where these lie."""
    part = np.arange(len(OTHER)) % 100 < share
    usage = np.where(part, OTHER[:, MB_USED] / 1024, OTHER[:, MB_USED])
    (found, *_) = find_mistakes(changed(MB_USED, usage), reference)
    stated = re.match(r"mb_used looks like gigabytes in (\d+)% of the rows: ", found)
    assert stated is not None
    assert share - 2 <= int(stated[1]) <= share  # months of hardly any data are not counted


@pytest.mark.parametrize("reference", [REFERENCE, None])
def test_subscribers_who_use_little_data_are_no_mistake(reference: ReferenceProfile | None) -> None:
    """Light usage passes into ordinary usage without a gap."""
    light = np.geomspace(1, 10_000, 200)
    assert find_mistakes(changed(MB_USED, np.concatenate([light, OTHER[200:, MB_USED]])), reference) == []
    without_between = np.where(light < 60, light, 20.0)  # the control
    (found,) = find_mistakes(changed(MB_USED, np.concatenate([without_between, OTHER[200:, MB_USED]])), REFERENCE)
    assert found.startswith("mb_used looks like gigabytes in 37% of the rows: ")


@pytest.mark.parametrize("reference", [REFERENCE, None])
@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        (CALLS, MESSAGES, "calls and messages look swapped: minutes go with messages (rank correlation 0.9"),
        (MINUTES, MB_USED, "minutes and mb_used look swapped: calls go with mb_used (rank correlation 0.9"),
        (MINUTES, MESSAGES, "minutes and messages look swapped: calls go with messages (rank correlation 0.9"),
        (CALLS, MB_USED, "calls and mb_used look swapped: minutes go with mb_used (rank correlation 0.9"),
        (CALLS, MINUTES, "calls and minutes look swapped: calls have decimals, and minutes have none"),
    ],
)
def test_swapped_columns_are_noticed(reference: ReferenceProfile | None, one: int, other: int, sentence: str) -> None:
    swapped = OTHER.copy()
    swapped[:, [one, other]] = OTHER[:, [other, one]]
    (found,) = find_mistakes(swapped, reference)
    assert found.startswith(sentence)


@pytest.mark.parametrize("table", ["users_behavior.csv", "subscriber_months.csv"])
@pytest.mark.parametrize("rows", [50, 200])
def test_nothing_is_said_of_any_rows_of_ordinary_tables(table: str, rows: int) -> None:
    features = pd.read_csv(ROOT / table)[list(FEATURE_NAMES)].to_numpy(float)
    rates = measure(features, rows, 20)
    assert rates["as it is"] == (0.0, 0.0)
    assert min(rates["10 % in gigabytes"] + rates["calls and messages"]) > 0.8  # the control


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_ordinary_tables_and_lighter_or_heavier_ones_are_left_alone(factor: float) -> None:
    assert find_mistakes(OTHER, None) == []
    assert find_mistakes(OTHER * factor, REFERENCE) == []


def test_where_most_months_have_no_messages_a_few_are_no_mistake() -> None:
    mostly_none = np.where(np.arange(2000) % 3 == 0, TABLE[:, MESSAGES], 0.0)
    rare = profile(np.column_stack([TABLE[:, :2], mostly_none, TABLE[:, 3]]), list(FEATURE_NAMES), DriftSettings())
    assert find_mistakes(OTHER, rare) == []


def test_of_a_few_rows_nothing_is_said() -> None:
    assert find_mistakes(np.zeros((19, 4)), REFERENCE) == []
    assert len(find_mistakes(np.zeros((20, 4)), REFERENCE)) == 4
    assert find_mistakes(np.full((19, 4), np.nan), REFERENCE) == []
    assert set(PLAUSIBLE_MEDIANS) == set(FEATURE_NAMES)
