"""Subscribers stay together: in every split, fold, sample and interval, and in what the gate compares on."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import evaluate
import train
from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable, TextColumn, read_labelled
from plan_recommender.data.subscribers import Subscribers, find_doubt, find_id_column, groups_option
from plan_recommender.errors import TableError
from plan_recommender.evaluation.calibration import measure_calibration
from plan_recommender.evaluation.comparison import mean_interval, metric_intervals
from plan_recommender.evaluation.slices import measure_slices
from plan_recommender.model import store as model_store
from plan_recommender.model.record import TRAINING_SUBSCRIBERS_FILE
from plan_recommender.training.known_rows import count_seen, seen_by
from plan_recommender.training.selection import make_folds
from plan_recommender.training.split import compared_part, split_table, subscriber_keys
from tests.conftest import Command
from tests.training.candidates import shipped

MONTHS = 6


def near_copies(rows: int = 240, name: str = "subscriber") -> LabelledTable:
    """Months of subscribers whose usage hardly varies and whose plan is drawn at random: nothing can be learned.

    The months of one subscriber are not next to each other.
    """
    rng = np.random.default_rng(7)
    people = rows // MONTHS
    usage = shipped().features[:people]
    codes = np.tile(np.arange(people), MONTHS)
    features = usage[codes] * rng.uniform(0.99, 1.01, (rows, 4))
    target = rng.permutation(np.arange(people) % 3 == 0).astype(np.int64)[codes]
    column = TextColumn(codes, tuple(f"s{i}" for i in range(people)))
    return replace(shipped(), features=features, target=target, texts={name: column}, groups=name)


def write(path: Path, table: LabelledTable, **columns: list[str]) -> Path:
    """Write a table with its text columns and some more."""
    texts = {name: column.cells.tolist() for name, column in table.texts.items()} | columns
    lines = [",".join(["calls,minutes,messages,mb_used,is_ultra", *texts])]
    for i, (row, label) in enumerate(zip(table.features.tolist(), table.target.tolist(), strict=True)):
        lines.append(",".join([*map(repr, row), str(label), *(cells[i] for cells in texts.values())]))
    path.write_text("\n".join(lines) + "\n")
    return path


def people_of(table: LabelledTable, rows: npt.NDArray[np.int64]) -> set[int]:
    assert table.subscribers is not None
    return set(table.subscribers[rows].tolist())


# The parts


def test_no_subscriber_stands_on_both_sides_of_the_split_and_every_row_stands_on_one() -> None:
    table = near_copies()
    for seed in range(20):
        split = split_table(table, 0.25, seed)
        assert sorted([*split.training.tolist(), *split.test.tolist()]) == list(range(240))
        assert not people_of(table, split.training) & people_of(table, split.test)
        assert len(people_of(table, split.test)) == 10
        assert table.target[split.test].sum() in (3 * MONTHS, 4 * MONTHS)  # of 40 subscribers 14 are on Ultra
    # The control: split by rows, nearly everybody stands on both.
    rows = split_table(replace(table, groups=None), 0.25, 0)
    assert len(people_of(table, rows.training) & people_of(table, rows.test)) > 30


def test_no_fold_fits_on_whom_it_validates() -> None:
    table = near_copies()
    folds = make_folds(table.target, 5, 3, 42, table.subscribers)
    assert len(folds) == 15
    for repeat in range(3):
        validated = np.concatenate([validation for _, validation in folds[5 * repeat : 5 * repeat + 5]])
        assert sorted(validated.tolist()) == list(range(240))
    for training, validation in folds:
        assert not people_of(table, training) & people_of(table, validation)
        assert len(training) + len(validation) == 240
        assert 0 < table.target[validation].mean() < 1


def test_too_few_subscribers_of_a_plan_for_the_folds_are_counted() -> None:
    table = near_copies(60)  # 10 subscribers, of whom 4 are on Ultra
    with pytest.raises(
        TableError, match="at least 5 training subscribers of each plan for 5 folds, found 4 of the rar"
    ):
        make_folds(table.target, 5, 1, 42, table.subscribers)
    assert len(make_folds(table.target, 5, 1, 42)) == 5  # of the rows there are enough


def test_a_large_part_is_compared_on_a_sample_of_whole_subscribers() -> None:
    table = near_copies(3000)
    part = compared_part(table, Settings.model_validate({"selection": {"max_rows": 1000}}))
    assert part.subscribers is not None
    _, months = np.unique(part.subscribers, return_counts=True)
    assert (len(part.target), set(months.tolist())) == (167 * MONTHS, {MONTHS})


def test_a_subscriber_has_the_label_of_most_of_the_rows() -> None:
    everybody = Subscribers(np.array([7, 3, 7, 7, 3]), np.array([1, 0, 0, 1, 1]))
    assert (everybody.of_row.tolist(), everybody.labels.tolist()) == ([1, 0, 1, 1, 0], [1, 1])
    assert everybody.rows_of(np.array([1, 0])).tolist() == [0, 2, 3, 1, 4]
    alone = Subscribers(None, np.array([1, 0, 1]))
    assert (alone.of_row.tolist(), alone.labels.tolist()) == ([0, 1, 2], [1, 0, 1])
    assert alone.rows_of(np.array([2, 0])).tolist() == [2, 0]


# The intervals


def test_rows_that_are_copies_of_one_subscribers_make_no_interval_narrower() -> None:
    rng = np.random.default_rng(3)
    settings = Settings.model_validate({"comparison": {"bootstrap_samples": 2000}}).comparison
    probabilities = rng.beta(1, 2, 300)
    target = (rng.random(300) < probabilities).astype(np.int64)
    decisions = (probabilities >= 0.5).astype(np.int64)
    owners = np.tile(np.arange(300), 4)
    copies = (np.tile(target, 4), np.tile(probabilities, 4), np.tile(decisions, 4))
    alone = metric_intervals(target, probabilities, decisions, settings, 0)
    together = metric_intervals(*copies, settings, 0, owners)
    apart = metric_intervals(*copies, settings, 0)
    for name, interval in alone.items():
        width = interval.high - interval.low
        assert together[name].high - together[name].low == pytest.approx(width, rel=0.1)
        assert apart[name].high - apart[name].low == pytest.approx(width / 2, rel=0.1)  # the control
    low, high = mean_interval(probabilities, np.arange(300), settings, 0)
    wide = mean_interval(np.tile(probabilities, 4), owners, settings, 0)
    assert wide == pytest.approx((low, high), abs=1e-12)
    features = rng.uniform(0, 100, (300, 4))
    bounds = dict.fromkeys(("calls", "minutes", "messages", "mb_used"), (-1.0, 101.0))
    one = measure_slices(features, target, probabilities, decisions, bounds)
    four = measure_slices(np.tile(features, (4, 1)), *copies, bounds, owners)
    for few, many in zip(one, four, strict=True):
        assert (many.accuracy_low, many.accuracy_high) == pytest.approx((few.accuracy_low, few.accuracy_high), abs=1e-3)


def test_chance_makes_larger_calibration_errors_where_labels_go_by_subscriber() -> None:
    rng = np.random.default_rng(5)
    probabilities, owners = np.repeat(rng.beta(2, 4, 200), 8), np.repeat(np.arange(200), 8)
    by_subscriber = (np.repeat(rng.random(200), 8) < probabilities).astype(np.int64)
    by_row = (rng.random(1600) < probabilities).astype(np.int64)
    alike, unlike = (
        measure_calibration(target, probabilities, 10, 0, subscribers=owners) for target in (by_subscriber, by_row)
    )
    rows = measure_calibration(by_subscriber, probabilities, 10, 0)
    assert alike.ece_by_chance > 2 * rows.ece_by_chance
    assert unlike.ece_by_chance < 1.3 * rows.ece_by_chance  # labels that differ by month are as good as independent


# The column


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"subscriber": [f"s{i % 40}" for i in range(240)]}, "subscriber"),
        ({"Customer-ID": [f"{i % 40}" for i in range(240)]}, "Customer-ID"),
        ({"k": [f"x{i % 40}" for i in range(240)]}, "k"),  # behaves like one
        ({"region": [f"r{i % 4}" for i in range(240)]}, None),
        ({"row": [f"{i}" for i in range(240)]}, None),
        ({"subscriber": [f"{i}" for i in range(240)]}, None),  # nobody twice
        ({"note": [f"{i * 7919 % 61}" for i in range(240)]}, None),  # repeats, and means nothing
        ({"bill": [f"{i % 40}.25" for i in range(240)]}, None),  # amounts
    ],
)
def test_a_column_that_repeats_like_an_id_is_found(tmp_path: Path, columns: dict[str, list[str]], found: str) -> None:
    table = replace(near_copies(), texts={}, groups=None)
    assert find_id_column(read_labelled(write(tmp_path / "table.csv", table, **columns))) == found


def doubt(table: LabelledTable, groups: str | None, **columns: list[str]) -> tuple[str, str | None]:
    names = {name: tuple(dict.fromkeys(cells)) for name, cells in columns.items()}
    texts = {
        name: TextColumn(np.array([names[name].index(cell) for cell in cells]), names[name])
        for name, cells in columns.items()
    }
    found = find_doubt(replace(table, texts={**table.texts, **texts}, groups=groups))
    return ("", None) if found is None else (found.sentence, found.better)


@pytest.mark.parametrize(
    ("groups", "begins", "better"),
    [
        ("subscriber", "", None),
        ("both", "", None),  # two subscribers each: neither of them stands on both sides
        ("row", "column 'row' has another value in each of the 240 rows, as if no subscriber had two, but column "
         "'subscriber' seems to say that they are of 40 subscribers, who stand on both sides", "subscriber"),
        ("month", "column 'month', with 6 values, seems to say less well whose month a row is than column "
         "'subscriber', with 40, whose subscribers stand on both sides of the split", "subscriber"),
        (None, "240 rows of 40 subscribers, as column 'subscriber' seems to say, are split at random", "subscriber"),
    ],
)  # fmt: skip
def test_a_column_that_is_not_that_of_the_subscribers_is_doubted(
    groups: str | None, begins: str, better: str | None
) -> None:
    rows = range(240)
    columns = {
        "row": [f"{i}" for i in rows],
        "month": [f"2026-{i // 40 + 1:02d}" for i in rows],
        "both": [f"{i % 40 // 2}" for i in rows],
    }
    sentence, named = doubt(near_copies(), groups, **columns)
    assert (sentence.startswith(begins), bool(sentence), named) == (True, bool(begins), better)


def test_a_column_without_repeats_is_doubted_where_no_other_says_whose_month_a_row_is() -> None:
    table = replace(near_copies(), texts={})
    sentence, better = doubt(table, "row", row=[f"{i}" for i in range(240)])
    assert sentence.endswith("as if no subscriber had two; where some have, another column has to say so")
    assert better is None


def test_an_option_that_is_advised_can_be_copied() -> None:
    assert groups_option("subscriber") == "--groups subscriber"
    assert groups_option("Customer ID") == "--groups 'Customer ID'"
    assert groups_option("n" * 50) == f"--groups {'n' * 50}"


@pytest.mark.parametrize(("values", "found"), [(1, "1 value, of which 0 mostly"), (2, "2 values, of which 1 mostly")])
def test_a_column_of_few_values_is_refused_in_plain_words(values: int, found: str) -> None:
    table = near_copies()
    column = TextColumn(table.target % values, ("a", "b")[:values])
    with pytest.raises(TableError, match=f"many subscribers of both plans in column 'one' .*, found {found}") as error:
        split_table(replace(table, texts={"one": column}, groups="one"), 0.2, 42)
    assert str(error.value).endswith(": a column that says whose month a row is has many")


def test_empty_cells_of_the_column_are_refused(tmp_path: Path) -> None:
    table = replace(near_copies(), texts={}, groups=None)
    path = write(tmp_path / "table.csv", table, who=["", *(f"s{i % 40}" for i in range(239))])
    with pytest.raises(
        TableError, match=r"column 'who' \(--groups, data.groups\), found 1 empty cells, the first in row 1"
    ):
        read_labelled(path, groups="who")


# Whole runs


@pytest.mark.slow
def test_what_is_recognition_of_subscribers_looks_good_by_row_and_is_refused_by_subscriber(
    command: Command, store: Path, quick: Path, tmp_path: Path
) -> None:
    data = write(tmp_path / "copies.csv", near_copies(1200))
    trees = "boosted_trees: {trees: 150, learning_rate: 0.3, max_leaf_nodes: 64, min_samples_leaf: 1}"
    quick.write_text(quick.read_text().replace("max_ece: 0.2", "max_ece: 0.9") + f"estimators: {{{trees}}}\n")
    flattered = command(train.main, "--config", quick, "--data", data)
    assert (flattered.code, flattered.err) == (0, "")
    assert (
        "warning: 1,200 rows of 200 subscribers, as column 'subscriber' seems to say, are split at random"
        in flattered.out
    )
    assert "train with --groups subscriber" in flattered.out
    assert auc_of_the_test_part(flattered.out) > 0.9
    report = tmp_path / "artifacts" / "report.html"
    assert "<strong>Months of one subscriber stand on both sides of the split</strong>" in report.read_text()
    refused = command(train.main, "--config", quick, "--data", data, "--groups", "subscriber")
    assert (refused.code, refused.err) == (1, "")
    assert "200 subscribers by column 'subscriber'" in refused.out
    assert "warning" not in refused.out
    assert 0.4 < cross_validated(refused.out) < 0.6
    assert "refused: expected Brier score better than majority_rule's" in refused.out


@pytest.mark.slow
def test_the_report_of_a_refused_run_begins_with_the_column_to_name(
    command: Command, store: Path, quick: Path, tmp_path: Path
) -> None:
    table = near_copies(1200, "Customer ID")
    data = write(tmp_path / "copies.csv", table, row=[f"{i}" for i in range(1200)])
    quick.write_text(f"{quick.read_text()}split: {{test_share: 0.01}}\n")  # a test part of 12 rows
    for options in ([], ["--groups", "row"]):
        refused = command(train.main, "--config", quick, "--data", data, *options)
        assert (refused.code, refused.err) == (1, "")
        assert refused.out.count("train with --groups 'Customer ID'") == 2  # as a warning, and as what helps first
        report = (tmp_path / "refused" / "report.html").read_text()
        first = (
            "What to do next:</p>\n<ul><li>Train with <code>--groups &#39;Customer ID&#39;</code> first; these figures"
        )
        assert first in report
        assert "Months of one subscriber stand on both sides of the split" in report


def cross_validated(printed: str) -> float:
    """The champion's ROC AUC in the table of candidates."""
    (line,) = [line for line in printed.splitlines() if line.startswith("* ")]
    return float(line.split()[6])


def auc_of_the_test_part(printed: str) -> float:
    (line,) = [line for line in printed.splitlines() if line.startswith("roc_auc ")]
    return float(line.split()[1])


@pytest.mark.slow
def test_a_model_knows_its_subscribers_again_in_other_months(
    command: Command, store: Path, quick: Path, tmp_path: Path
) -> None:
    """A later table of the same people has none of the rows that the model was trained on, and all of its people."""
    table = shipped().take(np.arange(1500))
    column = TextColumn(np.arange(1500) // 5, tuple(f"s{i}" for i in range(300)))
    first = write(tmp_path / "first.csv", replace(table, texts={"who": column}))
    assert command(train.main, "--config", quick, "--data", first, "--groups", "who").code == 0
    model = model_store.find()
    data = model.record.data
    assert (data.groups, data.subscribers, data.training_subscribers) == ("who", 300, 240)
    assert TRAINING_SUBSCRIBERS_FILE in model.record.digests
    later = replace(table, features=table.features + 1, texts={"who": column}, groups="who")
    trained_on = people_of(later, split_table(later, 0.2, 42).training)
    seen = seen_by(model, later)
    assert len(trained_on) == 240
    assert set(column.codes[~seen].tolist()) <= set(range(300)) - trained_on
    assert 50 <= len(set(column.codes[~seen].tolist())) <= 60  # about one in 32 others shares a key
    assert seen_by(model, replace(later, groups=None)).sum() == 0  # the control
    assert count_seen(model, later) == (0, seen.sum())
    strangers = TextColumn(column.codes, tuple(f"t{i}" for i in range(300)))
    new = replace(later, texts={"who": strangers})
    assert 0 < seen_by(model, new).sum() < 150  # some share a key
    assert count_seen(model, new).total == 0  # as many as by chance
    assert len(np.unique(subscriber_keys(later, 240))) < 300
    # Whoever measures on the later table is told that the model knows numbers, not rows: they may be other people's.
    path = write(tmp_path / "later.csv", replace(later, groups=None))
    measured = command(evaluate.main, "--config", quick, "--data", path, "--artifacts", tmp_path / "later")
    told = f"(of which {seen.sum():,} have subscriber numbers that it was trained on; if they are the same people, that"
    assert f"all 1,500 rows of {path} {told} flatters it: leave --data out for an honest figure)" in measured.out
    more = write(tmp_path / "more.csv", replace(later.take(np.arange(1500)), features=np.where(
        np.arange(1500)[:, None] % 2, table.features, later.features), groups=None))  # fmt: skip
    measured = command(evaluate.main, "--config", quick, "--data", more, "--artifacts", tmp_path / "more")
    assert re.search(r"of which it was trained on \d{3}, and \d{3} more have subscriber numbers", measured.out)

    answer = command(evaluate.main, "--config", quick, "--artifacts", tmp_path / "a")
    assert (answer.code, answer.err) == (0, "")
    assert " rows of 60 subscribers of " in answer.out
