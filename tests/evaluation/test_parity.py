"""Parity of groups: rates and intervals by hand, the verdict, the rows that would tell, --group of evaluate.py.

The file is long because the verdicts by hand and those of the command use the same groups.
"""

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
from scipy.stats import binomtest, norm

import evaluate
import train
from plan_recommender.config.settings import ParitySettings
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.data.synthesis import generate
from plan_recommender.errors import TableError
from plan_recommender.evaluation.metrics import Labels
from plan_recommender.evaluation.parity import RATES, ParityReport, measure_parity
from plan_recommender.model.scorer import Scorer
from plan_recommender.report.terminal import parity_table
from tests.conftest import HEADER, Command, TrainedModel
from tools.server import ROOT

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
SMALL = ParitySettings(min_rows=1)
FILES = {
    "evaluation.json", "evaluation_roc_curve.png", "evaluation_calibration.png", "evaluation_confusion_matrix.png",
    "parity.json",
}  # fmt: skip
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


def parity(counts: Counts, config: ParitySettings = SMALL, months: int = 1) -> ParityReport:
    """Measure the rows of these counts, each of which is there for as many months of one subscriber."""
    groups, target, decisions = rows(counts)
    groups, target, decisions = groups.repeat(months), target.repeat(months), decisions.repeat(months)
    subscribers = None if months == 1 else np.arange(len(target)) // months
    return measure_parity("region", groups, subscribers, target, decisions, config)


def exact(recommended: int, rows: int, alpha: float) -> tuple[float, float, float]:
    """Lower end of the Clopper-Pearson interval, the share, and the upper end."""
    low, high = binomtest(recommended, rows).proportion_ci(1 - alpha, method="exact")
    return low, recommended / rows, high


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
    assert [(c.rate, c.first, c.second, c.difference) for c in found.comparisons] == [
        (rate, *pair, difference)
        for rate, differences in zip(RATES, [(0.2, -0.125, -0.325), (0, -0.5, -0.5), (0.25, 0.25, 0)], strict=True)
        for pair, difference in zip(
            [("east", "north"), ("east", "south"), ("north", "south")], differences, strict=True
        )
    ]  # fmt: skip


def test_intervals_are_those_of_the_literature() -> None:
    found = parity({"a": (40, 10, 5, 25), "b": (20, 0, 0, 9), "c": (1, 1, 1, 1)}, ParitySettings(min_rows=10))
    a, b, c = found.groups
    for rate, counts in (
        (a.selection_rate, (35, 80)), (b.true_positive_rate, (9, 9)), (b.false_positive_rate, (0, 20)),
        (c.selection_rate, (2, 4)),
    ):  # fmt: skip
        assert rate is not None
        assert (rate.low, rate.rate, rate.high) == pytest.approx(exact(*counts, 0.05))
        assert rate.effective_rows == rate.rows
    # Two judged groups are three differences; the limits of each rate leave out a third of 5%.
    for difference, one, other in zip(
        found.comparisons, [(35, 80), (25, 30), (10, 50)], [(9, 29), (9, 9), (0, 20)], strict=True
    ):
        (l1, p1, u1), (l2, p2, u2) = exact(*one, 0.05 / 3), exact(*other, 0.05 / 3)
        assert difference.low == pytest.approx(p1 - p2 - math.hypot(p1 - l1, u2 - p2))
        assert difference.high == pytest.approx(p1 - p2 + math.hypot(u1 - p1, p2 - l2))


def test_no_interval_is_of_width_0() -> None:
    found = parity({"a": (40, 0, 0, 40), "b": (40, 0, 0, 40)})
    assert [(c.difference, c.low < -0.05, c.high > 0.05) for c in found.comparisons] == [(0, True, True)] * 3
    assert found.verdict == "cannot tell"


def test_an_interval_decides_and_a_measured_difference_does_not() -> None:
    def verdict(times: int, tolerance: float) -> str:
        counts = {
            "a": (12 * times, 8 * times, 4 * times, 16 * times),
            "b": (14 * times, 6 * times, 4 * times, 16 * times),
        }
        return parity(counts, ParitySettings(tolerance=tolerance)).verdict

    # The false positive rates are 0.4 and 0.3.
    assert [verdict(times, 0.05) for times in (1, 100)] == ["cannot tell", "no parity"]
    assert [verdict(times, 0.15) for times in (1, 100)] == ["cannot tell", "parity"]
    assert [verdict(times, 0.1) for times in (1, 100, 1000)] == ["cannot tell"] * 3
    assert [verdict(times, 0) for times in (1, 100)] == ["cannot tell", "no parity"]
    assert (
        parity({"a": (900, 90, 90, 900), "b": (900, 90, 90, 900)}, ParitySettings(tolerance=0)).verdict == "cannot tell"
    )


def test_one_difference_beyond_the_tolerance_is_enough() -> None:
    found = parity({"a": (900, 100, 100, 100), "b": (900, 100, 20, 180), "c": (900, 100, 100, 100)})
    beyond = [(c.rate, c.first, c.second) for c in found.comparisons if c.verdict == "beyond"]
    assert beyond == [("true positive rate", "a", "b"), ("true positive rate", "b", "c")]
    assert {c.verdict for c in found.comparisons if c.rate == "false positive rate"} == {"within"}
    assert found.verdict == "no parity"
    assert [g.rows_to_tell for g in found.groups] == [None] * 3


def test_a_small_group_is_listed_and_left_out() -> None:
    counts = {"a": (2500, 500, 2500, 500), "b": (2500, 500, 2500, 500), "tiny": (0, 14, 0, 15)}
    found = parity(counts, ParitySettings(min_rows=30))
    assert [(g.group, g.judged) for g in found.groups] == [("a", True), ("b", True), ("tiny", False)]
    assert [(c.difference, c.first, c.second) for c in found.comparisons] == [(0, "a", "b")] * 3
    assert found.verdict == "parity"
    assert parity(counts, ParitySettings(min_rows=29)).verdict == "no parity"  # the control


def test_a_group_without_a_label_cannot_be_told_to_be_treated_alike() -> None:
    found = parity({"a": (9000, 1000, 4000, 4000), "b": (9000, 1000, 0, 0)}, ParitySettings(tolerance=0.5))
    assert found.verdict == "cannot tell"
    assert [g.true_positive_rate is None for g in found.groups] == [False, True]
    (_, true_positive_rate, _) = found.comparisons
    assert true_positive_rate.difference is None
    assert (true_positive_rate.low, true_positive_rate.high) == pytest.approx((-0.5, 0.5), abs=0.001)
    assert parity_table(found).splitlines()[-1] == (
        "verdict: cannot tell; no number of such rows would, because a or b has none to take the true positive rate of"
    )


def test_rows_that_would_tell_are_what_a_hand_computes() -> None:
    # 100 rows of either label at a rate of 1/2, so that the rates on Ultra and on Smart are known equally well.
    found = parity({"a": (50, 50, 50, 50), "b": (1000, 1000, 1000, 1000)}, ParitySettings(tolerance=0.1))
    needed, granted = norm.isf(0.05 / 6), norm.isf(0.2 / 3)
    low, _, high = exact(50, 100, 0.05 / 3)
    expected = 200 * 2 * ((high - low) / 2 / (0.1 * needed / (needed + granted))) ** 2
    assert [g.rows_to_tell for g in found.groups] == [math.ceil(expected), None]
    # With so many rows of both groups at the same rates there is a verdict.
    many = math.ceil(expected / 4)
    assert parity({"a": (many,) * 4, "b": (many,) * 4}, ParitySettings(tolerance=0.1)).verdict == "parity"


def test_rows_that_would_tell_a_difference_near_the_tolerance_suppose_that_it_stays() -> None:
    def found(rows_of_group: float) -> ParityReport:
        half = round(rows_of_group / 4)
        false_positives = round(0.42 * 2 * half)
        counts = {"a": (2 * half - false_positives, false_positives, half, half), "b": (half,) * 4}
        return parity(counts, ParitySettings(tolerance=0.12))

    near = found(2000)  # enough rows for groups that are alike
    assert near.verdict == "cannot tell"
    more = max(group.rows_to_tell or 0 for group in near.groups)
    assert [found(share * more).verdict for share in (0.95, 1.02)] == ["cannot tell", "parity"]


def test_months_of_a_subscriber_count_as_what_they_tell() -> None:
    counts: Counts = {"a": (40, 10, 10, 20), "b": (30, 20, 20, 30)}
    alone, copied = parity(counts), parity(counts, months=6)
    assert copied.correlations == pytest.approx(dict.fromkeys(RATES, 1))
    assert copied.subscribers == 180
    assert [(g.rows, g.subscribers) for g in copied.groups] == [(480, 80), (600, 100)]
    # Copies tell nothing more than one row of each, up to the quantiles of t for an estimated correlation.
    for one, other in zip(alone.groups, copied.groups, strict=True):
        assert other.selection_rate.effective_rows == pytest.approx(one.rows)
    for first, second in zip(alone.comparisons, copied.comparisons, strict=True):
        assert (second.low, second.high) == pytest.approx((first.low, first.high), abs=0.01)
        assert second.high - second.low >= first.high - first.low
    of_different_people = parity({"a": (240, 60, 60, 120), "b": (180, 120, 120, 180)})
    assert of_different_people.verdict == "no parity"  # the control
    assert copied.verdict == "cannot tell"
    by_group = [(g.rows_to_tell, g.subscribers_to_tell) for g in copied.groups]
    assert all(more and subscribers and more / 6 == pytest.approx(subscribers, abs=1) for more, subscribers in by_group)


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
@given(COUNTS, st.sampled_from([1, 3]), st.sampled_from([0, 0.1, 0.6, 1]))
def test_the_report_agrees_with_the_rows(counts: Counts, months: int, tolerance: float) -> None:
    groups, target, decisions = rows(counts)
    found = parity(counts, ParitySettings(min_rows=1, tolerance=tolerance), months)
    assert sum(g.rows for g in found.groups) == months * len(target)
    for group in found.groups:
        members = groups == group.group.replace("(empty)", "")
        for rate, mask in (
            (group.selection_rate, members),
            (group.true_positive_rate, members & (target == 1)),
            (group.false_positive_rate, members & (target == 0)),
        ):
            assert (rate is None) == (not mask.any())
            if rate is not None:
                assert rate.rate == decisions[mask].mean()
                assert rate.rows == months * mask.sum()
                assert 0 <= rate.low <= rate.rate <= rate.high <= 1
    places = {comparison.verdict for comparison in found.comparisons}
    for c in found.comparisons:
        assert -1 <= c.low <= (c.difference or 0) <= c.high <= 1
        assert (c.verdict == "beyond") == (c.low > tolerance or c.high < -tolerance)
        assert (c.verdict == "within") == (-tolerance <= c.low and c.high <= tolerance)
    assert len(found.comparisons) == 3 * math.comb(len(found.groups), 2)
    assert found.verdict == ("no parity" if "beyond" in places else "parity" if places == {"within"} else "cannot tell")
    assert ParityReport.model_validate_json(found.model_dump_json()) == found
    assert parity_table(found).splitlines()[-1].startswith(f"verdict: {found.verdict}")


def test_the_order_of_the_rows_and_the_numbers_of_subscribers_change_nothing() -> None:
    groups, target, decisions = rows({"a": (30, 10, 5, 20), "b": (20, 20, 9, 30), "c": (9, 9, 9, 9)})
    rng = np.random.default_rng(0)
    order, subscribers = rng.permutation(len(target)), rng.integers(50, size=len(target))
    one = measure_parity("x", groups, subscribers, target, decisions, SMALL)
    renamed = rng.permutation(10**12 - np.arange(50))[subscribers[order]]
    assert measure_parity("x", groups[order], renamed, target[order], decisions[order], SMALL) == one


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


@pytest.mark.slow
def test_groups_that_are_not_treated_alike_are_exit_code_1(
    command: Command, trained: TrainedModel, scorer: Scorer, table: Table, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("parity: {tolerance: 0.4}\n")
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
    assert "selection rate (demographic parity): north less south +1.000 (+0.9" in answer.out
    assert "to +1.000), beyond the tolerance of 0.4\n" in answer.out
    assert {path.name for path in (tmp_path / "artifacts").iterdir()} == FILES
    found = stored(tmp_path / "artifacts")
    assert (found["column"], found["tolerance"], [g["group"] for g in found["groups"]]) == (
        "region", 0.4, ["north", "south"]
    )  # fmt: skip
    # Without --group the same file is only measured.
    answer = command(evaluate.main, "--data", unlike, *options)
    assert answer.code == 0
    assert "north" not in answer.out


def test_too_few_rows_to_tell_are_exit_code_2_with_the_rows_that_would(
    command: Command, trained: TrainedModel, scorer: Scorer, table: Table, tmp_path: Path
) -> None:
    path = table(*lines(scorer, apart=False), header=GROUPED)
    options = ("--data", path, "--model", trained.tag, "--artifacts", tmp_path / "artifacts")
    answer = command(evaluate.main, *options, "--group", "region")
    found = stored(tmp_path / "artifacts")
    assert (answer.code, found["verdict"]) == (2, "cannot tell")
    more = [group["rows_to_tell"] for group in found["groups"]]
    assert all(500 < rows < 10_000 for rows in more)
    most = max(found["groups"], key=lambda group: group["rows_to_tell"])
    told = (
        f"about {most['rows_to_tell']:,} rows of {most['group']} would (found 200), "
        "with more rows of 1 other group, too\n"
    )
    assert f"verdict: cannot tell; {told}" in answer.out
    assert answer.err == (
        "error: column 'region': expected enough rows to tell whether a rate of two groups differs by more than 0.1 "
        f"(parity.tolerance), found too few; {told}"
    )
    assert {path.name for path in (tmp_path / "artifacts").iterdir()} == FILES
    assert command(evaluate.main, *options).code == 0  # the control: without groups the same table is measured


@pytest.mark.slow
def test_rows_of_one_subscriber_do_not_count_as_those_of_many(
    command: Command, trained: TrainedModel, scorer: Scorer, table: Table, tmp_path: Path
) -> None:
    copies = [f"{line},{i}" for i, line in enumerate(lines(scorer, apart=False)) for _ in range(12)]
    path, config = table(*copies, header=f"{GROUPED},subscriber"), tmp_path / "config.yaml"
    config.write_text("parity: {tolerance: 0.15}\n")
    options = ("--data", path, "--model", trained.tag, "--artifacts", tmp_path / "a", "--config", config)
    answer = command(evaluate.main, *options, "--group", "region", "--groups", "subscriber")
    assert answer.code == 2
    assert "two rows of a subscriber correlate by 1.00, 1.00, 1.00; the intervals allow for it\n" in answer.out
    assert "subscribers of north would (found 2,400 of 200), with more rows of 1 other group, too\n" in answer.err
    assert command(evaluate.main, *options, "--group", "region").code == 0  # the control


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


@pytest.mark.slow
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
    errors = [line for line in answer.err.splitlines() if not line.startswith("warning: ")]  # so few, and so alike
    assert len(errors) == 1
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
    assert "* not judged: fewer than 30 rows (parity.min_rows)\n" in answer.out
    table(*lines(scorer, apart=False), header=GROUPED)  # the control
    assert "*" not in command(evaluate.main, *options).out
