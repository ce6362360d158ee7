"""Parity of groups: rates and differences by hand, the verdict, and --group of evaluate.py."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluate
import train
from plan_recommender.config.settings import ParitySettings
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.data.synthesis import generate
from plan_recommender.errors import TableError
from plan_recommender.evaluation.metrics import Labels
from plan_recommender.evaluation.parity import ParityReport, measure_parity
from plan_recommender.model.scorer import Scorer
from tests.conftest import HEADER, Command, TrainedModel
from tools.server import ROOT

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
SMALL = ParitySettings(min_rows=1, bootstrap_samples=200)
FILES = {"evaluation.json", "evaluation_roc_curve.png", "evaluation_confusion_matrix.png", "parity.json"}
GROUPED = f"{HEADER},region"
Table = Callable[..., Path]
Counts = dict[str, tuple[int, int, int, int]]
"""For each group: Smart not recommended, Smart recommended, Ultra not recommended, Ultra recommended."""


def rows(counts: Counts) -> tuple[npt.NDArray[np.object_], Labels, Labels]:
    """Groups, labels and decisions of the rows that the counts are of."""
    kinds = [(0, 0), (0, 1), (1, 0), (1, 1)]
    flat = [
        (group, *kind) for group, of_kind in counts.items() for kind, n in zip(kinds, of_kind, strict=True)
        for _ in range(n)
    ]  # fmt: skip
    groups, target, decisions = zip(*flat, strict=True)
    return np.array(groups, dtype=np.object_), np.array(target), np.array(decisions)


def parity(counts: Counts, config: ParitySettings = SMALL, seed: int = 0) -> ParityReport:
    return measure_parity("region", *rows(counts), config, seed)


def test_rates_and_differences_are_what_a_hand_computes() -> None:
    found = parity({"north": (6, 2, 1, 1), "south": (3, 1, 0, 4), "east": (1, 1, 5, 5)})
    rates = {
        g.group: [r.rate for r in (g.selection_rate, g.true_positive_rate, g.false_positive_rate) if r]
        for g in found.groups
    }
    assert rates == {"east": [0.5, 0.5, 0.5], "north": [0.3, 0.5, 0.25], "south": [0.625, 1, 0.25]}
    assert [(g.group, g.rows) for g in found.groups] == [("east", 12), ("north", 10), ("south", 8)]
    (_, north, _) = found.groups
    assert north.true_positive_rate is not None
    assert north.false_positive_rate is not None
    assert (north.selection_rate.rows, north.true_positive_rate.rows, north.false_positive_rate.rows) == (10, 2, 8)
    assert [(d.rate, d.highest, d.lowest, d.difference) for d in found.differences] == [
        ("selection rate", "south", "north", 0.325),
        ("true positive rate", "south", "east", 0.5),
        ("false positive rate", "east", "north", 0.25),
    ]
    assert found.not_judged == []
    assert found.verdict == "no parity"


def test_intervals_are_those_of_a_share() -> None:
    found = parity({"a": (400, 100, 100, 400), "b": (450, 50, 100, 400)}, ParitySettings(bootstrap_samples=4000))
    first = found.groups[0]
    assert first.true_positive_rate is not None
    for rate, share, n in ((first.selection_rate, 0.5, 1000), (first.true_positive_rate, 0.8, 500)):
        assert rate.low < rate.rate < rate.high
        assert rate.high - rate.low == pytest.approx(2 * 1.96 * math.sqrt(share * (1 - share) / n), rel=0.1)
    selection = found.differences[0]
    error = math.sqrt(0.5 * 0.5 / 1000 + 0.45 * 0.55 / 1000)
    assert selection.low < selection.difference < selection.high
    assert selection.high - selection.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_difference_is_judged_by_itself_and_the_tolerance_is_still_within() -> None:
    def verdict(tolerance: float) -> str:
        config = ParitySettings(tolerance=tolerance, min_rows=5, bootstrap_samples=100)
        return parity({"a": (6, 4, 6, 4), "b": (7, 3, 7, 3)}, config).verdict

    # 0.4 - 0.3 is 0.10000000000000003 in binary. The interval of ten rows holds 0 whatever the tolerance.
    assert verdict(0.1) == "parity"
    assert verdict(0.0999) == "no parity"


def test_one_rate_beyond_the_tolerance_is_enough() -> None:
    found = parity({"a": (20, 20, 10, 30), "b": (30, 10, 0, 40)}, ParitySettings(tolerance=0.24, bootstrap_samples=100))
    assert [(d.rate, d.difference, d.beyond_tolerance) for d in found.differences] == [
        ("selection rate", 0, False),
        ("true positive rate", 0.25, True),
        ("false positive rate", 0.25, True),
    ]
    assert found.verdict == "no parity"
    assert parity({"a": (20, 20, 10, 30), "b": (30, 10, 0, 40)}, ParitySettings(tolerance=0.25)).verdict == "parity"


def test_a_group_with_too_few_rows_is_listed_and_left_out() -> None:
    counts = {"a": (25, 5, 25, 5), "b": (25, 5, 25, 5), "tiny": (0, 14, 0, 15)}
    found = parity(counts, ParitySettings(min_rows=30))
    assert [(g.group, g.selection_rate.judged) for g in found.groups] == [("a", True), ("b", True), ("tiny", False)]
    assert [(d.difference, d.highest, d.lowest) for d in found.differences] == [(0, "a", "b")] * 3
    assert found.verdict == "parity"
    assert parity(counts, ParitySettings(min_rows=14)).verdict == "no parity"  # the control


def test_each_rate_asks_for_rows_of_its_label() -> None:
    found = parity({"a": (40, 10, 2, 3), "b": (30, 10, 3, 0), "c": (20, 20, 0, 0)}, ParitySettings(min_rows=30))
    assert found.not_judged == ["true positive rate"]
    assert [d.rate for d in found.differences] == ["selection rate", "false positive rate"]
    assert [g.true_positive_rate and g.true_positive_rate.judged for g in found.groups] == [False, False, None]


@pytest.mark.parametrize("counts", [{"a": (20, 0, 9, 0), "b": (100, 100, 50, 50)}, {"only": (50, 50, 50, 50)}])
def test_too_few_rows_for_any_verdict_is_an_error_that_counts_them(counts: Counts) -> None:
    with pytest.raises(TableError) as caught:
        parity(counts, ParitySettings(min_rows=30))
    found = {
        "a": "'a' 29 (9 Ultra, 20 Smart), 'b' 300 (100 Ultra, 200 Smart)",
        "only": "'only' 200 (100 Ultra, 100 Smart)",
    }
    assert str(caught.value) == (
        f"column 'region': expected two groups of at least 30 rows (parity.min_rows), found rows: "
        f"{found[next(iter(counts))]}; measure on more rows, or name a column of fewer and larger groups"
    )


def test_an_error_names_no_more_than_ten_groups() -> None:
    with pytest.raises(TableError, match=r"'g09' 4 \(2 Ultra, 2 Smart\) and 3 more groups; measure on more rows"):
        parity({f"g{i:02}": (1, 1, 1, 1) for i in range(13)}, ParitySettings(min_rows=30))


def test_too_many_groups_are_refused() -> None:
    counts = {f"g{i}": (1, 1, 1, 1) for i in range(5)}
    assert len(parity(counts, ParitySettings(min_rows=1, max_groups=5)).groups) == 5  # the control
    with pytest.raises(TableError, match=r"expected at most 4 groups \(parity.max_groups\), found 5 different values"):
        parity(counts, ParitySettings(min_rows=1, max_groups=4))


COUNTS = st.dictionaries(
    st.sampled_from(["", "a", "b", "c", "ü"]),
    st.tuples(*[st.integers(0, 12)] * 4).filter(any),
    min_size=2,
)


@PROPERTY
@given(COUNTS)
def test_the_report_agrees_with_the_rows(counts: Counts) -> None:
    groups, target, decisions = rows(counts)
    found = parity(counts)
    assert sum(g.rows for g in found.groups) == len(target)
    largest: dict[str, list[float]] = {"selection rate": [], "true positive rate": [], "false positive rate": []}
    for group in found.groups:
        members = groups == group.group.replace("(empty)", "")
        for rate, mask, name in (
            (group.selection_rate, members, "selection rate"),
            (group.true_positive_rate, members & (target == 1), "true positive rate"),
            (group.false_positive_rate, members & (target == 0), "false positive rate"),
        ):
            assert (rate is None) == (not mask.any())
            if rate is not None:
                assert rate.rate == decisions[mask].mean()
                assert rate.rows == mask.sum()
                assert 0 <= rate.low <= rate.high <= 1
                largest[name].append(rate.rate)
    for difference in found.differences:
        assert difference.difference == max(largest[difference.rate]) - min(largest[difference.rate])
        assert difference.highest != difference.lowest
        assert difference.beyond_tolerance == (difference.difference > 0.1 + 1e-12)
    assert found.not_judged == [name for name, values in largest.items() if len(values) < 2]
    assert ParityReport.model_validate_json(found.model_dump_json()) == found


def test_the_order_of_the_rows_changes_nothing_and_the_seed_only_the_intervals() -> None:
    groups, target, decisions = rows({"a": (30, 10, 5, 20), "b": (20, 20, 9, 30), "c": (9, 9, 9, 9)})
    order = np.random.default_rng(0).permutation(len(target))
    one = measure_parity("x", groups, target, decisions, SMALL, seed=1)
    assert measure_parity("x", groups[order], target[order], decisions[order], SMALL, seed=1) == one
    other = measure_parity("x", groups, target, decisions, SMALL, seed=2)
    assert [d.difference for d in other.differences] == [d.difference for d in one.differences]
    assert [d.low for d in other.differences] != [d.low for d in one.differences]


def lines(scorer: Scorer, apart: bool, empty: str = "south") -> list[str]:
    """Rows of two regions, which take turns, or have what the model recommends Ultra on one side."""
    features = np.concatenate([chunk.features for chunk in generate(400, seed=8)])
    ultra = scorer.decide(features, scorer.probabilities(features))
    north = ultra == 1 if apart else np.arange(len(features)) % 2 == 0
    return [
        f"{','.join(map(str, row))},{i // 2 % 2},{' north ' if is_north else empty}"
        for i, (row, is_north) in enumerate(zip(features.tolist(), north.tolist(), strict=True))
    ]


def stored(artifacts: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((artifacts / "parity.json").read_text())
    return document


def test_groups_that_are_not_treated_alike_are_exit_code_1(
    command: Command, trained: TrainedModel, scorer: Scorer, table: Table, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("parity: {tolerance: 0.2}\n")
    options = ("--model", trained.tag, "--artifacts", tmp_path / "artifacts", "--config", config)
    alike = table(*lines(scorer, apart=False), header=GROUPED, name="alike.csv")
    answer = command(evaluate.main, "--data", alike, "--group", "region", *options)
    assert (answer.code, answer.err) == (0, "")  # the control
    assert "verdict: parity\n" in answer.out
    assert stored(tmp_path / "artifacts")["verdict"] == "parity"

    unlike = table(*lines(scorer, apart=True), header=GROUPED, name="unlike.csv")
    answer = command(evaluate.main, "--data", unlike, "--group", "region", *options)
    assert (answer.code, answer.err) == (1, "")
    assert "verdict: no parity\n" in answer.out
    assert (
        "selection rate (demographic parity): 1.000 (+1.000 to +1.000) between north and south, "
        "beyond the tolerance of 0.2"
    ) in answer.out
    assert {path.name for path in (tmp_path / "artifacts").iterdir()} == FILES
    found = stored(tmp_path / "artifacts")
    assert (found["column"], found["tolerance"], [g["group"] for g in found["groups"]]) == (
        "region", 0.2, ["north", "south"]
    )  # fmt: skip
    # Without --group the same file is only measured.
    answer = command(evaluate.main, "--data", unlike, *options)
    assert answer.code == 0
    assert "north" not in answer.out


def test_what_is_stored_is_measured_from_the_files_rows(
    command: Command, trained: TrainedModel, scorer: Scorer, table: Table, tmp_path: Path
) -> None:
    path = table(*lines(scorer, apart=False, empty=" "), header=GROUPED)
    command(evaluate.main, "--data", path, "--group", "region", "--model", trained.tag, "--artifacts", tmp_path / "a")
    read = read_labelled(path, ["region"])
    regions = read.texts["region"].cells
    decisions = scorer.decide(read.features, scorer.probabilities(read.features))
    assert [(g["group"], g["selection_rate"]["rate"]) for g in stored(tmp_path / "a")["groups"]] == [
        ("(empty)", decisions[regions == ""].mean()),
        ("north", decisions[regions == "north"].mean()),
    ]


def test_the_default_test_part_is_grouped_by_a_column_of_its_table(
    command: Command, store: Path, quick: Path, tmp_path: Path
) -> None:
    data = tmp_path / "grouped.csv"
    shipped = (ROOT / "users_behavior.csv").read_text().splitlines()
    half = [f"{line},{'even' if i % 2 else 'odd'}" for i, line in enumerate(shipped[1:])]
    data.write_text("\n".join([f"{shipped[0]},region", *half]) + "\n")
    assert command(train.main, "--config", quick, "--data", data).code == 0
    with quick.open("a") as file:
        file.write("parity: {tolerance: 1.0}\n")
    options = ("--group", "region", "--config", quick, "--artifacts", tmp_path / "evaluation")
    answer = command(evaluate.main, *options)
    assert (answer.code, answer.err) == (0, "")
    found = stored(tmp_path / "evaluation")
    assert [g["group"] for g in found["groups"]] == ["even", "odd"]
    assert sum(g["rows"] for g in found["groups"]) == 643


@pytest.mark.parametrize(
    ("group", "sentence"),
    [
        (
            "place",
            "expected the columns calls, minutes, messages, mb_used, is_ultra, place; missing place; found",
        ),
        ("region", "column 'region': expected two groups of at least 30 rows (parity.min_rows), found rows: 'n' 20 ("),
        ("calls", "column 'calls': expected at most 50 groups (parity.max_groups), found 60 different values; name a"),
    ],
)
def test_what_cannot_be_judged_is_exit_code_2_and_changes_nothing(
    command: Command, trained: TrainedModel, table: Table, tmp_path: Path, group: str, sentence: str
) -> None:
    path = table(*[f"{i},2,3,4,{i % 2},{'n' if i < 20 else 's'}" for i in range(60)], header=GROUPED)
    artifacts = tmp_path / "artifacts"
    options = ("--data", path, "--model", trained.tag, "--artifacts", artifacts)
    answer = command(evaluate.main, *options, "--group", group)
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err
    assert answer.err.count("\n") == 1
    assert not artifacts.exists()
    assert command(evaluate.main, *options).code == 0  # the control


def test_a_group_that_breaks_lines_does_not_break_the_table(
    command: Command, trained: TrainedModel, scorer: Scorer, table: Table, tmp_path: Path
) -> None:
    path = table(*lines(scorer, apart=False, empty='"so\nuth"'), header=GROUPED)
    answer = command(
        evaluate.main, "--data", path, "--group", "region", "--model", trained.tag, "--artifacts", tmp_path / "a"
    )
    assert r"'so\nuth'" in answer.out
    assert "so\nuth" not in answer.out
    assert [g["group"] for g in stored(tmp_path / "a")["groups"]] == ["north", "so\nuth"]


def test_groups_that_are_not_judged_are_marked(
    command: Command, trained: TrainedModel, scorer: Scorer, table: Table, tmp_path: Path
) -> None:
    path = table(*lines(scorer, apart=False), "1,2,3,4,1,island", header=GROUPED)
    options = ("--data", path, "--group", "region", "--model", trained.tag, "--artifacts", tmp_path / "a")
    answer = command(evaluate.main, *options)
    (row,) = [line for line in answer.out.splitlines() if line.startswith("island")]
    assert row.split()[:2] == ["island", "1"]
    assert row.count("*") == 3
    assert row.endswith("-*")
    assert "* not judged: fewer than 30 rows to take the rate of (parity.min_rows)\n" in answer.out
    table(*lines(scorer, apart=False), header=GROUPED)  # the control
    assert "*" not in command(evaluate.main, *options).out
