"""The synthetic table: reproducible, shaped as calibrated, shifted as named, streamed."""

import csv
import hashlib
import json
import tracemalloc
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from plan_recommender.data import synthesis
from plan_recommender.data.cells import parse_usage
from plan_recommender.data.csv_table import LabelledTable, check_trainable, read_labelled
from plan_recommender.data.synthesis import (
    CALIBRATION_FILE,
    KNOTS,
    SHIFTS,
    Subscribers,
    calibrate,
    generate,
    load_calibration,
    write_csv,
)
from plan_recommender.errors import ConfigError
from tests.conftest import HEADER, run
from tools.server import ROOT
from tools.synthesise import main

CALLS, MINUTES, MESSAGES, MB_USED = range(4)
CHUNK = 50_000
ROUNDING = 0.005 + 1e-9

Matrix = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def big() -> Subscribers:
    return draw(200_000, seed=7)


def draw(rows: int, seed: int = 7, shift: str = "none") -> Subscribers:
    chunks = list(generate(rows, seed, shift))
    return Subscribers(np.concatenate([c.features for c in chunks]), np.concatenate([c.target for c in chunks]))


@pytest.mark.slow
def test_the_shipped_table_is_reproduced_byte_for_byte(tmp_path: Path) -> None:
    out = tmp_path / "users_behavior.csv"
    result = run("-m", "tools.synthesise", "--out", out)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{out}: 3,214 synthetic subscribers, seed 42, shift none\n"
    assert out.read_bytes() == (ROOT / "users_behavior.csv").read_bytes()


def test_another_seed_gives_another_table(tmp_path: Path) -> None:
    for seed in ("42", "43"):
        assert main(["--rows", "50", "--seed", seed, "--out", str(tmp_path / seed)]) == 0
    assert (tmp_path / "42").read_bytes() != (tmp_path / "43").read_bytes()


def test_the_shipped_table_has_the_size_and_share_it_says() -> None:
    table = read_labelled(ROOT / "users_behavior.csv")
    check_trainable(table, max_missing_share=0)
    assert len(table.target) == 3214
    assert table.target.sum() == round(0.3064 * 3214) == 985
    assert float(np.mean(table.features[:, MESSAGES] == 0)) == pytest.approx(0.15, abs=0.02)
    calls_minutes = np.corrcoef(table.features[:, CALLS], table.features[:, MINUTES])[0, 1]
    assert calls_minutes == pytest.approx(0.98, abs=0.02)


def test_ultra_subscribers_are_lighter_and_heavier_than_smart_ones() -> None:
    table = read_labelled(ROOT / "users_behavior.csv")
    smart, ultra = (table.features[table.target == label, MB_USED] for label in (0, 1))
    assert np.quantile(ultra, 0.1) < np.quantile(smart, 0.1)
    assert np.quantile(ultra, 0.9) > np.quantile(smart, 0.9)


def test_zeros_and_quantiles_are_those_of_the_calibration(big: Subscribers) -> None:
    calibration = load_calibration()
    for label, of_class in enumerate((calibration.smart, calibration.ultra)):
        rows = big.features[big.target == label]
        for column, name in ((CALLS, "calls"), (MESSAGES, "messages"), (MB_USED, "mb_used")):
            marginal, values = of_class.marginals[name], rows[:, column]
            assert float(np.mean(values == 0)) == pytest.approx(marginal.zero_share, abs=0.004)
            inner = slice(4, -4)  # the tails of a sample vary; 5 % to 95 % do not
            np.testing.assert_allclose(
                np.quantile(values[values > 0], KNOTS[inner]), marginal.quantiles[inner], rtol=0.04, atol=1
            )
            assert values.max() <= marginal.quantiles[-1]


def test_rank_correlations_are_those_of_the_calibration(big: Subscribers) -> None:
    calibration = load_calibration()
    for label, of_class in enumerate((calibration.smart, calibration.ultra)):
        rho = np.asarray(spearmanr(big.features[big.target == label][:, [CALLS, MESSAGES, MB_USED]]).statistic)
        np.testing.assert_allclose(rho[[0, 0, 1], [1, 2, 2]], np.array(of_class.rank_correlations), atol=0.02)


def test_calibrating_a_generated_table_gives_the_calibration_back(big: Subscribers) -> None:
    shipped = load_calibration()
    again = calibrate(LabelledTable(Path("generated"), "", big.features, big.target), "generated")
    assert (again.source, again.rows, again.ultra_share) == ("generated", 200_000, shipped.ultra_share)
    assert again.minutes_per_call_mean == pytest.approx(shipped.minutes_per_call_mean, rel=0.005)
    assert again.minutes_per_call_sd == pytest.approx(shipped.minutes_per_call_sd, rel=0.02)
    for new, old in ((again.smart, shipped.smart), (again.ultra, shipped.ultra)):
        np.testing.assert_allclose(new.rank_correlations, old.rank_correlations, atol=0.02)
        for name, marginal in old.marginals.items():
            assert new.marginals[name].zero_share == pytest.approx(marginal.zero_share, abs=0.004)
            np.testing.assert_allclose(new.marginals[name].quantiles[4:-4], marginal.quantiles[4:-4], rtol=0.04, atol=1)


def test_calibration_keeps_no_value_to_more_than_three_digits() -> None:
    features = np.abs(np.random.default_rng(0).normal(12345.678, 1000, (400, 4)))
    found = calibrate(LabelledTable(Path("x"), "", features, np.arange(400) % 2), "x")
    for of_class in (found.smart, found.ultra):
        for marginal in of_class.marginals.values():
            assert marginal.quantiles == [float(f"{quantile:.3g}") for quantile in marginal.quantiles]
            assert len(marginal.quantiles) == len(KNOTS)


@pytest.mark.parametrize("shift", SHIFTS)
def test_minutes_are_zero_exactly_where_calls_are(shift: str) -> None:
    features, _ = draw(60_000, shift=shift)
    np.testing.assert_array_equal(features[:, MINUTES] == 0, features[:, CALLS] == 0)
    assert (features[:, CALLS] == 0).sum() > 100


@pytest.mark.parametrize("shift", SHIFTS)
def test_generated_rows_pass_the_validation_of_tables(tmp_path: Path, shift: str) -> None:
    path = tmp_path / "generated.csv"
    assert main(["--rows", "5000", "--seed", "3", "--shift", shift, "--out", str(path)]) == 0
    table = read_labelled(path)
    check_trainable(table, max_missing_share=0)
    drawn = draw(5000, seed=3, shift=shift)
    np.testing.assert_array_equal(table.features, drawn.features)
    np.testing.assert_array_equal(table.target, drawn.target)
    counts = table.features[:, [CALLS, MESSAGES]]
    np.testing.assert_array_equal(counts, np.floor(counts))


def changed(shift: str) -> tuple[Matrix, Matrix, set[int]]:
    before, after = draw(20_000), draw(20_000, shift=shift)
    np.testing.assert_array_equal(before.target, after.target)
    columns = {i for i in range(4) if not np.array_equal(before.features[:, i], after.features[:, i])}
    return before.features, after.features, columns


def test_no_shift_changes_nothing() -> None:
    assert changed("none")[2] == set()


def test_data_growth_changes_megabytes_by_thirty_percent_and_nothing_else() -> None:
    before, after, columns = changed("data_growth")
    assert columns == {MB_USED}
    np.testing.assert_allclose(after[:, MB_USED], 1.3 * before[:, MB_USED], atol=2.3 * ROUNDING, rtol=0)


def test_messaging_decline_halves_the_messages_and_nothing_else() -> None:
    before, after, columns = changed("messaging_decline")
    assert columns == {MESSAGES}
    np.testing.assert_array_equal(after[:, MESSAGES], before[:, MESSAGES] // 2)


def test_longer_calls_change_minutes_by_a_quarter_and_nothing_else() -> None:
    before, after, columns = changed("longer_calls")
    assert columns == {MINUTES}
    np.testing.assert_allclose(after[:, MINUTES], 1.25 * before[:, MINUTES], atol=2.25 * ROUNDING, rtol=0)


def test_new_subscribers_lower_every_column_of_two_rows_in_five() -> None:
    before, after, columns = changed("new_subscribers")
    assert columns == {CALLS, MINUTES, MESSAGES, MB_USED}
    assert (after <= before).all()
    assert float(np.mean((after != before).any(axis=1))) == pytest.approx(0.4, abs=0.01)


def test_every_named_shift_is_covered_here() -> None:
    assert set(SHIFTS) == {"none", "data_growth", "messaging_decline", "longer_calls", "new_subscribers"}


@settings(derandomize=True, deadline=None, max_examples=25)
@given(rows=st.integers(1, 400), seed=st.integers(0, 2**32 - 1), shift=st.sampled_from(sorted(SHIFTS)))
def test_any_draw_has_its_rows_its_share_and_valid_cells(rows: int, seed: int, shift: str) -> None:
    features, target = draw(rows, seed, shift)
    assert features.shape == (rows, 4)
    assert target.sum() == round(0.3064 * rows)
    for column in features.T.tolist():
        values, bad = parse_usage([str(value) for value in column])
        assert values.tolist() == column
        assert not bad.any()


def test_whole_chunks_are_a_prefix_of_longer_tables() -> None:
    short, long = draw(CHUNK), draw(2 * CHUNK + 17)
    assert len(long.target) == 2 * CHUNK + 17
    np.testing.assert_array_equal(short.features, long.features[:CHUNK])
    np.testing.assert_array_equal(short.target, long.target[:CHUNK])
    assert [len(chunk.target) for chunk in generate(2 * CHUNK + 17, 7)] == [CHUNK, CHUNK, 17]
    for rows in (CHUNK, 2 * CHUNK, 2 * CHUNK + 17):
        assert long.target[:rows].sum() == round(0.3064 * rows)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows() -> None:
    class Counter(StringIO):
        """Counts what is written to it and keeps none of it."""

        written = 0

        def write(self, text: str, /) -> int:
            self.written += len(text)
            return len(text)

    def peak(rows: int) -> tuple[int, int]:
        sink = Counter()
        tracemalloc.start()
        try:
            write_csv(sink, generate(rows, 1))
            return tracemalloc.get_traced_memory()[1], sink.written
        finally:
            tracemalloc.stop()

    small, small_bytes = peak(2 * CHUNK)
    large, large_bytes = peak(5 * CHUNK)
    assert large_bytes > 2.4 * small_bytes
    assert large < 1.1 * small
    # The control: a table that is held whole does grow.
    tracemalloc.start()
    held = [chunk.features for chunk in generate(5 * CHUNK, 1)]
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown >= sum(part.nbytes for part in held) == 5 * CHUNK * 4 * 8


def test_csv_is_written_as_the_project_reads_it() -> None:
    text = StringIO()
    write_csv(text, iter([Subscribers(np.array([[1.0, 2.25, 0.0, 1e5]]), np.array([1]))]))
    assert list(csv.reader(StringIO(text.getvalue()))) == [HEADER.split(","), ["1.0", "2.25", "0.0", "100000.0", "1"]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rows", "0"], "argument --rows: expected a whole number above 0, found '0'"),
        (["--rows", "-5"], "argument --rows: expected a whole number above 0, found '-5'"),
        (["--rows", "1e3"], "argument --rows: expected a whole number above 0, found '1e3'"),
        (["--rows", "1_000"], "argument --rows: expected a whole number above 0, found '1_000'"),
        (["--seed", "-1"], "argument --seed: expected a whole number from 0 to 4294967295, found '-1'"),
        (["--seed", "4294967296"], "argument --seed: expected a whole number from 0 to 4294967295, found"),
        (["--shift", "growth"], "argument --shift: invalid choice: 'growth'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--subscribers", "0"], "argument --subscribers: expected a whole number above 0, found '0'"),
        (["--subscribers", "5", "--months", "0"], "argument --months: expected a whole number above 0, found '0'"),
        (["--subscribers", "5", "--months", "121"], "argument --months: expected at most 120 months, found '121'"),
        (["--months", "5"], "argument --months: expected with --subscribers only"),
        (["--subscribers", "5", "--rows", "5"], "argument --subscribers: expected without --rows and --shift"),
        (["--subscribers", "5", "--shift", "data_growth"], "argument --subscribers: expected without --rows and"),
    ],
)
def test_bad_arguments_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--out", str(tmp_path / "out.csv")])
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_to_write_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "the following arguments are required: --out" in capsys.readouterr().err


Edit = Callable[[dict[str, dict[str, dict[str, dict[str, object]]]]], object]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.pop("smart"),
        lambda c: c.update(extra=1),
        lambda c: c["smart"]["marginals"].pop("calls"),
        lambda c: c["smart"]["marginals"]["calls"].update(quantiles=[1, 2, 3]),
        lambda c: c["smart"]["marginals"]["calls"].update(zero_share=1.5),
        lambda c: c["smart"]["marginals"]["mb_used"].update(quantiles=[-1.0] * len(KNOTS)),
        lambda c: c.update(ultra_share=2.0),
        lambda c: c.update(minutes_per_call_sd=0.0),
        lambda c: c["ultra"].update(rank_correlations=[2.0, 0.0, 0.0]),
    ],
    ids=["class left out", "unknown key", "marginal left out", "too few quantiles", "share above 1",
         "negative usage", "Ultra share above 1", "no spread of call lengths", "correlation above 1"],
)  # fmt: skip
def test_a_calibration_that_cannot_be_is_refused(tmp_path: Path, spoil: Edit) -> None:
    document = json.loads(CALIBRATION_FILE.read_text())
    spoil(document)
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError) as caught:
        main(["--rows", "10", "--out", str(tmp_path / "out.csv"), "--calibration", str(path)])
    assert str(caught.value).startswith(f"{path}: expected ")
    assert not (tmp_path / "out.csv").exists()


def test_a_calibration_that_is_missing_or_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    with pytest.raises(ConfigError) as caught:
        load_calibration(path)
    assert str(caught.value) == f"{path}: expected a readable calibration, found: No such file or directory"
    path.write_text("{")
    with pytest.raises(ConfigError, match="expected a calibration written by"):
        load_calibration(path)


def test_an_interrupted_run_leaves_the_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.csv"
    arguments = ["--rows", "100", "--out", str(out)]
    assert main(arguments) == 0
    before = hashlib.sha256(out.read_bytes()).hexdigest()
    real = synthesis.write_csv

    def interrupted(file: TextIO, subscribers: Iterator[Subscribers]) -> None:
        real(file, subscribers)
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.synthesise.write_csv", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main([*arguments, "--seed", "1"])
    assert hashlib.sha256(out.read_bytes()).hexdigest() == before
    assert list(tmp_path.iterdir()) == [out]
    monkeypatch.undo()  # the control
    assert main([*arguments, "--seed", "1"]) == 0
    assert hashlib.sha256(out.read_bytes()).hexdigest() != before
