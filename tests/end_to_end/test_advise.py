"""Advice on a file of months: one line a subscriber, the same for any order of the rows, or nothing at all."""

import csv
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import advise
from plan_recommender.advising.files import Advising, advise_files
from plan_recommender.billing.forecast import Month
from plan_recommender.billing.registered import adviser_of
from plan_recommender.config.table_format import MonthsFormat, TableFormat
from plan_recommender.data.advice_table import AdviceTable
from plan_recommender.errors import TableError
from plan_recommender.model.store import RegisteredModel
from tests.conftest import Command, TrainedModel, run
from tests.made_up_months import COLUMNS, POLICY, adviser, lines_of_months, tariffs, write_months
from tools.server import ROOT

DATA = ROOT / "subscriber_months.csv"
LINES = lines_of_months(12)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def advise_on(path: Path, out: Path, format: TableFormat | None = None, **options: Any) -> list[dict[str, str]]:
    advising = Advising(adviser(), format or MonthsFormat(), **options)
    advise_files([path], out, out.with_name("rejects.csv"), advising)
    return read(out)


def test_every_subscriber_has_one_line_with_what_the_adviser_says(tmp_path: Path) -> None:
    out = advise_on(DATA, tmp_path / "out.csv")
    frame = pd.read_csv(DATA, dtype={"subscriber": str})
    assert [row["subscriber"] for row in out] == sorted(frame["subscriber"].unique())
    table = AdviceTable(tariffs(), POLICY)
    groups = frame.groupby("subscriber", sort=True)
    for row, (name, part) in zip(out, groups, strict=True):
        usage = part.sort_values("month")[["calls", "minutes", "messages", "mb_used", "billed_minutes", "active_share"]]
        months = [Month(*values) for values in usage.to_numpy().tolist()]
        held = tariffs().names.index(part["plan"].iloc[-1])
        assert list(row.values()) == table.row(str(name), adviser().advise(held, months))
    assert {row["advice"] for row in out} == {"keep", "switch"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("advised")


@settings(derandomize=True, deadline=None, max_examples=30)
@given(lines=st.permutations(LINES), block=st.integers(50, 5_000), rows=st.integers(1, 60))
def test_the_order_of_the_rows_makes_no_difference(folder: Path, lines: list[str], block: int, rows: int) -> None:
    expected = folder / "expected.csv"
    if not expected.exists():
        advise_on(write_months(folder / "in.csv", LINES), expected)
    source = write_months(folder / "in.csv", lines)
    advise_on(source, folder / "out.csv", block_bytes=block, range_rows=rows)
    assert (folder / "out.csv").read_bytes() == expected.read_bytes()


def test_whoever_holds_no_known_plan_is_told_which_one_to_choose(tmp_path: Path) -> None:
    header = COLUMNS.replace(",plan", "")
    lines = [",".join([*cells[:2], *cells[3:]]) for cells in (line.split(",") for line in LINES)]
    out = advise_on(write_months(tmp_path / "in.csv", lines, header), tmp_path / "out.csv")
    assert {(row["plan"], row["advice"]) for row in out} == {("", "choose")}
    assert len(out) == 12


def test_a_subscriber_is_advised_from_the_rows_that_are_months(tmp_path: Path) -> None:
    good = [line for line in LINES if line.startswith("100001,")]
    bad = ["100001,2017-01,Smart,x,2,3,4,5,1", "bad,2018-01,Smart,1,2,3,-4,5,1"]
    out = advise_on(write_months(tmp_path / "in.csv", [*bad, *good]), tmp_path / "out.csv")
    assert out == advise_on(write_months(tmp_path / "in.csv", good), tmp_path / "other.csv")
    assert len(out) == 1
    advise_on(write_months(tmp_path / "in.csv", [*bad, *good]), tmp_path / "out.csv")
    assert [row["row"] for row in read(tmp_path / "rejects.csv")] == ["1", "2"]


def test_the_output_is_written_as_the_input_was(tmp_path: Path) -> None:
    plain = advise_on(write_months(tmp_path / "in.csv", LINES), tmp_path / "out.csv")
    source = tmp_path / "in.csv.gz"
    text = "\n".join([COLUMNS, *LINES]).replace(",", ";").replace(".", ",")
    source.write_bytes(gzip.compress(("\ufeff" + text).encode()))
    format = MonthsFormat(sep=";", decimal=",")
    out = tmp_path / "out.csv.gz"
    advise_files([source], out, tmp_path / "rejects.csv", Advising(adviser(), format))
    written = gzip.decompress(out.read_bytes()).decode()
    assert written.startswith("\ufeffsubscriber;plan;advice;")
    rows = list(csv.DictReader(written.removeprefix("\ufeff").splitlines(), delimiter=";"))
    assert [row["reason"] for row in rows] == [row["reason"] for row in plain]
    assert [row["expected_smart"].replace(",", ".") for row in rows] == [row["expected_smart"] for row in plain]


def test_parquet_is_read_and_answered_in_csv(tmp_path: Path) -> None:
    plain = advise_on(write_months(tmp_path / "in.csv", LINES), tmp_path / "out.csv")
    frame = pd.read_csv(tmp_path / "in.csv")
    frame["month"] = pd.to_datetime(frame["month"])
    frame.to_parquet(tmp_path / "in.parquet")
    assert advise_on(tmp_path / "in.parquet", tmp_path / "out.csv") == plain


def test_a_run_that_fails_halfway_leaves_the_previous_files(tmp_path: Path) -> None:
    """The file stops being CSV behind more rows than are read at once."""
    out, source = tmp_path / "out.csv", tmp_path / "in.csv"
    for name in ("out.csv", "rejects.csv"):
        (tmp_path / name).write_text("previous")
    with pytest.raises(TableError, match="field larger than field limit"):
        advise_on(write_months(source, [*LINES, "x" * 200_000]), out, block_bytes=1_000)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "in.csv": source.read_text(), "out.csv": "previous", "rejects.csv": "previous"
    }  # fmt: skip
    assert len(advise_on(write_months(source, LINES), out)) == 12  # the control


def is_asleep(pid: int) -> bool:
    time.sleep(0.02)
    return psutil.Process(pid).status() == psutil.STATUS_SLEEPING


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_command_that_is_stopped_leaves_the_previous_files_and_no_temporary_one(
    trained: TrainedModel, tmp_path: Path
) -> None:
    """It reads from a pipe that stays open, so that it is stopped while months are put aside."""
    source, out = tmp_path / "in", tmp_path / "out.csv"
    out.write_text("previous")
    os.mkfifo(source)
    command = [sys.executable, "advise.py", "--input", str(source), "--output", str(out), "--model", trained.tag]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running, source.open("w") as pipe:
        pipe.write("\n".join([COLUMNS, *LINES]))
        pipe.flush()
        wait_until(lambda: bool(list(tmp_path.glob(".out.csv.months.*/input-0"))))
        # A signal that comes just before a read begins is seen by Python only when the read ends.
        wait_until(lambda: all(is_asleep(running.pid) for _ in range(10)))
        running.terminate()
        printed = running.communicate(timeout=60)
    assert (running.returncode, printed) == (2, ("", "interrupted\n"))
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out.csv"}
    assert out.read_text() == "previous"


def measured(source: Path, mode: str) -> int:
    program = [sys.executable, "-m", "tests.programs.advise_and_measure"]
    arguments = [str(source), str(source.with_name("out.csv")), mode]
    ran = subprocess.run([*program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(ran.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """60,000 rows in a random order, and a quarter of them, which is six blocks; the control holds them all."""
    lines = lines_of_months(9_700)
    rng = np.random.default_rng(0)
    large = write_months(tmp_path / "large.csv", [lines[i] for i in rng.permutation(len(lines))])
    small = write_months(tmp_path / "small.csv", lines[: len(lines) // 4])
    assert len(lines) >= 60_000
    peaks = {"small": measured(small, "spill"), "large": measured(large, "spill"), "kept": measured(large, "keep")}
    record_property("peaks (MB)", peaks)
    assert peaks["large"] < peaks["small"] + 20
    assert peaks["kept"] > peaks["small"] + 20


@pytest.mark.slow
def test_a_real_command_line_advises_and_says_what_it_did(model: RegisteredModel, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.csv"
    ran = run("advise.py", "--input", DATA, "--output", out, "--model", model.tag)
    assert (ran.returncode, ran.stderr) == (0, "")
    expected = tmp_path / "expected.csv"
    advising = Advising(adviser_of(model, tariffs()), MonthsFormat(), model.profile())
    advise_files([DATA], expected, tmp_path / "rejects.csv", advising)
    assert out.read_bytes() == expected.read_bytes()
    rows = read(out)
    saving = sum(round(100 * float(row["expected_saving"])) for row in rows)
    kinds = [row["advice"] for row in rows]
    assert ran.stdout.splitlines() == [
        f"{DATA}: 1,841 rows",
        f"{out}: 300 subscribers advised: {kinds.count('keep')} keep, {kinds.count('switch')} switch, 0 choose; the "
        f"switches are expected to save {saving // 100:,}.{saving % 100:02} RUB a month",
        f"{out.with_name('out.rejects.csv')}: 0 rejected",
        f"tariffs: tariffs.yaml, RUB, valid from 2018-01-01, digest {tariffs().digest[:12]}, Smart, Ultra",
        f"model: {model.tag}",
    ]


@pytest.mark.slow
def test_months_in_gigabytes_are_not_advised_on_unless_it_is_meant(
    command: Command, trained: TrainedModel, tmp_path: Path
) -> None:
    frame = pd.read_csv(DATA)
    frame["mb_used"] /= 1024
    frame.to_csv(tmp_path / "in.csv", index=False)
    arguments = ["--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv", "--model", trained.tag]
    refused = command(advise.main, *arguments)
    assert refused.code == 2
    assert ", found: mb_used looks like gigabytes: median 1" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
    assert command(advise.main, *arguments, "--accept-drift").code == 0
    assert len(read(tmp_path / "out.csv")) == 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bad", "options", "code"),
    [(10, [], 0), (11, [], 1), (11, ["--max-rejects", "11%"], 0), (100, ["--max-rejects", "1"], 1)],
)
def test_more_rejects_than_allowed_are_exit_code_1_and_the_files_are_there_all_the_same(
    command: Command, trained: TrainedModel, tmp_path: Path, bad: int, options: list[str], code: int
) -> None:
    lines = [f"{i},2018-01,{'x' if i < bad else 'Smart'},1,2,3,4,3,1" for i in range(100)]
    source, out = write_months(tmp_path / "in.csv", lines), tmp_path / "out.csv"
    usual = ["--input", source, "--output", out, "--model", trained.tag, "--accept-drift"]
    answer = command(advise.main, *usual, *options)
    assert answer.code == code
    limit = "which is all of them" if bad == 100 else "more than --max-rejects 0.1"
    first = "the first: row 1, plan: expected Smart, Ultra or an empty cell, found 'x'"
    assert answer.err == (f"warning: {bad} of 100 rows were rejected, {limit}; {first}\n" if code else "")
    assert (len(read(out)), len(read(tmp_path / "out.rejects.csv"))) == (100 - bad, bad)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--output", "{data}"], "expected a file of its own for each input and output, found it named twice"),
        (["--rejects", "{out}"], "expected a file of its own for each input and output, found it named twice"),
        (["--output", "{tariffs}"], "expected a file of its own for each input and output, found it named twice"),
        (["--tariffs", "no.yaml"], "no.yaml: expected a file of tariffs"),
        (["--model", "other:1"], "expected a model tag plan_recommender:<version>, found 'other:1'"),
        (["--map", "is_ultra=x"], "--map: expected FEATURE=COLUMN with FEATURE one of subscriber, month, calls"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_in_one_sentence(
    command: Command, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    out = tmp_path / "out.csv"
    given = [argument.format(data=DATA, out=out, tariffs=ROOT / "tariffs.yaml") for argument in arguments]
    answer = command(advise.main, "--input", DATA, "--output", out, "--tariffs", ROOT / "tariffs.yaml", *given)
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert sentence in answer.err
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_names_of_formats_that_are_not_written_are_refused(
    command: Command, trained: TrainedModel, tmp_path: Path
) -> None:
    for name, expected in (("out.xlsx", "because CSV is written"), ("out.zip", "because CSV is written")):
        answer = command(advise.main, "--input", DATA, "--output", tmp_path / name, "--model", trained.tag)
        assert answer.code == 2
        assert expected in answer.err
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("options", "language"), [([], "en"), (["--language", "es"], "es")])
def test_a_file_and_a_request_get_the_same_advice(
    client: TestClient, command: Command, trained: TrainedModel, tmp_path: Path, options: list[str], language: str
) -> None:
    out = tmp_path / "out.csv"
    assert command(advise.main, "--input", DATA, "--output", out, "--model", trained.tag, *options).code == 0
    frame = pd.read_csv(DATA, dtype={"subscriber": str}).groupby("subscriber")
    for row in read(out)[:40]:
        months = frame.get_group(row["subscriber"]).sort_values("month")
        used = months[["month", "calls", "minutes", "messages", "mb_used", "billed_minutes", "active_share"]]
        body = {"plan": row["plan"], "months": used.to_dict("records")}
        answer = client.post("/advise", json=body, headers={"accept-language": language}).json()
        for name, key in (("advice", "advice"), ("advised_plan", "advised_plan"), ("reason", "sentence")):
            assert row[name] == answer[key]
        for name in ("expected_saving", "saving_low", "saving_high", "p_saves"):
            assert float(row[name]) == answer[name]
        for plan in answer["plans"]:
            found = [float(row[f"{what}_{plan['plan'].lower()}"]) for what in ("last", "expected", "low", "high")]
            assert found == [plan["last_bill"]["total"], plan["expected"], plan["low"], plan["high"]]
