"""The cards tell the truth about the table at hand: three tables, and what each sentence about data says of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import train
from plan_recommender.config.load import load_settings
from plan_recommender.data.csv_table import LabelledTable, TextColumn
from tests.conftest import Command
from tests.training.candidates import shipped

pytestmark = pytest.mark.slow

ROWS = 1200
Cards = Callable[..., tuple[str, str]]


def column(values: list[str]) -> TextColumn:
    names = tuple(dict.fromkeys(values))
    return TextColumn(np.array([names.index(value) for value in values]), names)


def write(path: Path, table: LabelledTable) -> Path:
    columns = {name: text.cells.tolist() for name, text in table.texts.items()}
    lines = [",".join(["calls,minutes,messages,mb_used,is_ultra", *columns])]
    for i, (usage, label) in enumerate(zip(table.features.tolist(), table.target.tolist(), strict=True)):
        lines.append(",".join([*map(repr, usage), str(label), *(cells[i] for cells in columns.values())]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def cards(command: Command, store: Path, quick: Path, tmp_path: Path) -> Cards:
    """Train on a table; returns the model card and the data card, each as one line."""

    def train_on(table: LabelledTable, *options: str) -> tuple[str, str]:
        data = write(tmp_path / "table.csv", table)
        answer = command(train.main, "--config", quick, "--data", data, *options)
        assert answer.code == 0, answer.out
        folder = load_settings(quick).artifacts.directory
        model, of_data = (" ".join((folder / name).read_text().split()) for name in ("model_card.md", "data_card.md"))
        return model, of_data

    return train_on


def test_a_table_of_usage_alone(cards: Cards) -> None:
    model, data = cards(replace(shipped().take(np.arange(ROWS)), texts={}))
    assert "1,200 rows, each taken for one subscriber's month;" in data
    assert "There are no other columns: no id, no date, no region, no attribute of a person." in data
    assert "The medians are not unlike those of two operators' tables: between a tenth and ten times as much." in data
    assert "no column says whose month a row is. Months of one subscriber can be on both sides of any split" in data
    assert "no column says when a month was" in data
    assert "no column is recognised as an attribute of a person or a place, so nothing is said" in data
    assert "The table has no column that is recognised as an attribute of a person or a place." in model
    assert "No column says whose month a row is: months of one subscriber can stand in both parts" in model
    assert "subscribers (column" not in model + data


def test_a_table_with_subscribers_dates_and_regions_that_are_named(cards: Cards) -> None:
    texts = {
        "customer": column([f"c{i // 6}" for i in range(ROWS)]),
        "month": column([f"2026-{i % 6 + 1:02d}" for i in range(ROWS)]),
        "region": column([f"r{i // 6 % 3}" for i in range(ROWS)]),
        "plan": column([("Smart", "Ultra")[label] for label in shipped().target[:ROWS].tolist()]),
        "fecha": column([f"{i % 28 + 1:02d}/06/2026" for i in range(ROWS)]),
        "shop": column([f"{i % 7}" for i in range(ROWS)]),
    }
    model, data = cards(replace(shipped().take(np.arange(ROWS)), texts=texts), "--groups", "customer")
    assert "1,200 rows of 200 subscribers (column `customer`), each taken for one subscriber's month;" in data
    for line in (
        "| `customer` | whose month a row is | 200 |",
        "| `month` | a date, 2026-01 to 2026-06 | 6 |",
        "| `region` | an attribute of a person or a place | 3 |",
        "| `plan` | the label, or a plan that equals it in every row | 2 |",
        "| `fecha` | a date | 28 |",
        "| `shop` | unknown | 7 |",
    ):
        assert line in data
    assert "no month of one subscriber trains where another one tests" in data
    assert "`month` runs from 2026-01 to 2026-06; `fecha` holds dates. The split is not by time." in data
    assert "`region` is not learned from; `evaluate.py --group` compares its groups." in data
    assert "The table also has `region`, which the model does not see;" in model
    assert "`evaluate.py --group region` does." in model
    assert "1,200 rows of 200 subscribers, of which" in model
    assert " of 40 other subscribers (column `customer`), drawn at random" in model
    assert "No subscriber stands on both sides, so these figures are for new subscribers." in model
    for untrue in ("no id", "no other columns", "No column says whose", "no column says whose", "has no column"):
        assert untrue not in model + data


def test_a_table_whose_subscribers_are_said_by_a_column_that_never_repeats(cards: Cards) -> None:
    texts = {"row": column([f"{i}" for i in range(ROWS)]), "msisdn": column([f"{i // 4}" for i in range(ROWS)])}
    model, data = cards(replace(shipped().take(np.arange(ROWS)), texts=texts), "--groups", "row")
    doubt = "column 'row' has another value in each of the 1,200 rows, as if no subscriber had two, but column 'msisdn'"
    assert f"No value of the column stands on both sides, but {doubt}" in model.replace("&#39;", "'")
    assert f"no value of column `row` trains where it tests, but {doubt}" in data.replace("&#39;", "'")
    for untrue in ("No subscriber stands on both sides", "stay together", "so these figures are for new subscribers"):
        assert untrue not in model + data


def test_a_table_whose_id_is_not_used_and_whose_data_is_in_gigabytes(cards: Cards) -> None:
    table = shipped().take(np.arange(ROWS))
    features = table.features / [1, 1, 1, 1024]
    texts = {"msisdn": column([f"{600_000_000 + i // 4}" for i in range(ROWS)])}
    model, data = cards(replace(table, features=features, texts=texts))
    assert "1,200 rows, each taken for one subscriber's month;" in data
    assert "| `msisdn` | whose month a row is | 300 |" in data
    assert "They look wrong: mb_used looks like gigabytes: median 16." in data
    assert "column `msisdn` seems to say whose month a row is, and was not used (`train.py --groups`)" in data
    assert "Column `msisdn` seems to say whose month a row is, and the split ignores it" in model
    for untrue in ("no other columns", "The medians are not unlike", "stay together", "for new subscribers.)"):
        assert untrue not in model + data
