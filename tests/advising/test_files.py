"""Tables of every format, several at once, folders and pipes: the advice is that of one plain table."""

import csv
import gzip
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import advise
from plan_recommender.advising.files import Advised, Advising, advise_files
from plan_recommender.campaign.selection import Campaign
from plan_recommender.config.table_format import MonthsFormat
from plan_recommender.data.compression import packer
from plan_recommender.errors import OutputError, PlanRecommenderError, TableError
from tests.advising import by_row
from tests.conftest import Command, TrainedModel
from tests.made_up_months import COLUMNS, adviser, lines_of_months, tariffs, write_months
from tools.server import ROOT

LINES = lines_of_months(40)


def advised(sources: list[Path], output: Path, **options: Any) -> Advised:
    return advise_files(sources, output, output.with_name("rejects.csv"), Advising(adviser(), **options))


@pytest.fixture
def plain(tmp_path: Path) -> bytes:
    advised([write_months(tmp_path / "plain.csv", LINES)], tmp_path / "plain.out.csv")
    return (tmp_path / "plain.out.csv").read_bytes()


def by_month(folder: Path) -> list[Path]:
    """Write a file a month, as operators have them."""
    folder.mkdir()
    months = sorted({line.split(",")[1] for line in LINES})
    return [write_months(folder / f"{m}.csv", [line for line in LINES if f",{m}," in line]) for m in months]


@pytest.mark.slow
def test_a_file_a_month_is_advised_on_as_one_table(tmp_path: Path, plain: bytes) -> None:
    sources = by_month(tmp_path / "months")
    assert len(sources) > 5
    sources[1].with_suffix(".csv.gz").write_bytes(gzip.compress(sources[1].read_bytes()))
    pack = packer(Path("x.zst"))
    assert pack is not None
    sources[2].with_suffix(".csv.zst").write_bytes(pack(sources[2].read_bytes()))
    pq.write_table(pa.csv.read_csv(sources[3]), sources[3].with_suffix(".parquet"))
    sources[1:4] = [
        sources[1].with_suffix(".csv.gz"),
        sources[2].with_suffix(".csv.zst"),
        sources[3].with_suffix(".parquet"),
    ]
    found = advised(sources, tmp_path / "out.csv", jobs=2, block_bytes=2_000, range_rows=30)
    assert (found.rows, found.rejected, found.first_reject) == (len(LINES), 0, None)
    assert (tmp_path / "out.csv").read_bytes() == plain


def test_rejects_of_several_tables_name_the_file_and_the_row_in_it(tmp_path: Path) -> None:
    one = write_months(tmp_path / "one.csv", ["1,2018-01,Smart,1,2,3,4,3,1", "x,2018-01,Smart,-1,2,3,4,3,1"])
    two = write_months(tmp_path / "two.csv", ["2,2018-01,Surf,1,2,3,4,3,1", "1,2018-01,Ultra,1,2,3,4,3,1"])
    found = advised([one, two], tmp_path / "out.csv")
    with (tmp_path / "rejects.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    once = "expected each month of a subscriber once"
    assert header == ["file", "row", "reason", *COLUMNS.split(",")]
    assert [row[:3] for row in rows] == [
        [str(one), "2", "calls: expected a number from 0 to 1,000,000,000, found '-1'"],
        [str(two), "1", "plan: expected Smart, Ultra or an empty cell, found 'Surf'"],
        [str(two), "2", f"month: {once}, found 2018-01 again, which is in row 1 of {one}"],
    ]  # fmt: skip
    assert (found.rows, found.rejected) == (4, 3)
    assert found.first_reject == f"row 2 of {one}, {rows[0][2]}"


def test_tables_that_do_not_agree_on_their_columns_are_refused(tmp_path: Path) -> None:
    one = write_months(tmp_path / "one.csv", LINES[:3])
    two = write_months(tmp_path / "two.csv", LINES[3:4], COLUMNS.replace("calls,minutes", "minutes,calls"))
    with pytest.raises(TableError, match=r"two\.csv: expected the columns of .*one\.csv, in the same order"):
        advised([one, two], tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "two.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_compressed_output_holds_the_same_text(tmp_path: Path, plain: bytes, ending: str) -> None:
    out = tmp_path / f"out.csv{ending}"
    advised([tmp_path / "plain.csv"], out, jobs=2, block_bytes=2_000, range_rows=20)
    assert pa.CompressedInputStream(str(out), "gzip" if ending == ".gz" else "zstd").read() == plain


def test_parquet_has_the_values_of_the_text_with_their_types(tmp_path: Path, plain: bytes) -> None:
    advised([tmp_path / "plain.csv"], tmp_path / "out.parquet", origin={"model": "m:1", "tariffs": "ab"}, range_rows=60)
    table = pq.read_table(tmp_path / "out.parquet")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["subscriber"] == kinds["reason"] == kinds["plan"] == "string"
    assert kinds["expected_saving"] == kinds["low_smart"] == "decimal128(18, 2)"
    assert (kinds["p_saves"], kinds["estimated_minutes"], kinds["months"]) == ("double", "bool", "int64")
    assert {key: table.schema.metadata[key] for key in (b"model", b"tariffs")} == {b"model": b"m:1", b"tariffs": b"ab"}
    rows = list(csv.DictReader(plain.decode().splitlines()))
    assert len(rows) == table.num_rows
    for row, found in zip(rows, table.to_pylist(), strict=True):
        shown = {name: "" if value is None else str(value) for name, value in found.items()}
        shown |= {
            "p_saves": f"{found['p_saves']:.6g}",
            "estimated_minutes": "yes" if found["estimated_minutes"] else "no",
        }
        assert shown == row
        assert isinstance(found["expected_saving"], Decimal)


def test_parquet_has_no_room_for_names_that_are_not_utf_8(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(f"{COLUMNS}\n".encode() + b"\xff,2018-01,Smart,1,2,3,4,3,1\n")
    assert advised([source], tmp_path / "out.csv").rejected == 0
    with pytest.raises(PlanRecommenderError, match="expected subscribers in UTF-8 for an output in Parquet"):
        advised([source], tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def typed_tables() -> dict[str, pa.Table]:
    """Columns of many types, with nulls, what is no month, and a month that is there twice."""
    whole = pa.table({
        "subscriber": pa.array([10, 9, None, 9, 11], pa.int64()),
        "month": pa.array([*(datetime(2018, month, day) for month, day in ((1, 31), (2, 1), (1, 1), (2, 3))), None]),
        "calls": pa.array([1, 2, 3, 4, 5], pa.int8()),
        "minutes": pa.array([1.5, 2.25, 0.1, 4, 5], pa.float32()),
        "messages": pa.array([0, None, 1, 2, 3], pa.uint16()),
        "mb_used": pa.array([1.0, 20_000.5, float("nan"), 3.0, 4.0]),
        "billed_minutes": pa.array(["2", "", None, "8", "x"]),
    })  # fmt: skip
    text = pa.table({
        "subscriber": pa.array(["b", " a ", "a", "\u0416", "a"]).dictionary_encode(),
        "month": pa.array([date(2018, 1, 1), date(2018, 1, 1), date(2018, 2, 1), date(2018, 1, 9), date(2018, 1, 2)]),
        "calls": pa.array([1, 2, 3, 4, 5], pa.decimal128(8, 2)),
        "minutes": pa.array(["1", "2.5", "3", " 4 ", "5"]),
        "messages": pa.array([True, False, True, True, None]),
        "mb_used": pa.array([b"1", b"2", b"3", b"4", b"5"], pa.binary()),
        "plan": pa.array(["smart", None, "Ultra", "Surf", ""], pa.large_string()),
    })  # fmt: skip
    numbers = text.set_column(4, "messages", pa.array([1, 2, 3, 4, 5])).append_column(
        "registered_on", pa.array([date(2017, 1, 1), None, date(2018, 2, 15), date(2018, 2, 15), date(2018, 1, 11)])
    )  # fmt: skip
    dated = numbers.append_column("left_on", pa.array([None, None, date(2018, 2, 20), None, None], pa.date32()))
    return {"whole": whole, "text": text, "numbers": numbers, "dated": dated}


@pytest.mark.parametrize("name", typed_tables())
def test_parquet_of_any_types_is_read_as_row_by_row(tmp_path: Path, name: str) -> None:
    source = tmp_path / "in.parquet"
    pq.write_table(typed_tables()[name], source)
    by_row.advise(source, tmp_path / "expected.csv", tmp_path / "expected.rejects.csv", adviser(), MonthsFormat())
    found = advised([source], tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    assert (tmp_path / "rejects.csv").read_bytes() == (tmp_path / "expected.rejects.csv").read_bytes()
    assert found.rejected > 0
    assert found.rows == 5


def test_a_plan_in_another_column_is_told_of_any_table(tmp_path: Path) -> None:
    header = COLUMNS.replace(",plan,", ",tariff_now,")
    one = write_months(
        tmp_path / "one.csv", [",".join([*line.split(",")[:2], "", *line.split(",")[3:]]) for line in LINES], header
    )
    two = write_months(tmp_path / "two.csv", LINES, header)
    advised([one], tmp_path / "out.csv")
    with pytest.raises(
        TableError, match=r"two\.csv: expected the plan held in a column plan, found names of plans in tariff_now"
    ):
        advised([one, two], tmp_path / "out.csv")


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_campaign_gets_the_same_groups_from_any_blocks_and_formats(
    tmp_path: Path, limit: int | None, name: str
) -> None:
    source = write_months(tmp_path / "in.csv", lines_of_months(60, seed=5))
    groups = []
    for out, options in (
        (tmp_path / "one.csv", {}),
        (tmp_path / name, {"jobs": 2, "block_bytes": 3_000, "range_rows": 40}),
    ):
        campaign = Campaign("spring", 0.4, tariffs(), limit=limit)
        advised([source], out, campaign=campaign, contacts=out.with_suffix(".crm"), **options)
        parquet = out.suffix == ".parquet"
        rows = pq.read_table(out).to_pylist() if parquet else list(csv.DictReader(out.read_text().splitlines()))
        groups.append(([row["group"] or "" for row in rows], out.with_suffix(".crm").read_text(), campaign.summary()))
    assert groups[0] == groups[1]
    counts = Counter(groups[0][0])
    assert counts["control"] > 0
    assert counts["contact"] == (limit or counts["contact"]) > 0


@pytest.mark.slow
def test_standard_input_to_standard_output(trained: TrainedModel, tmp_path: Path, plain: bytes) -> None:
    command = [sys.executable, "advise.py", "--input", "-", "--output", "-", "--rejects", str(tmp_path / "r.csv")]
    content = (tmp_path / "plain.csv").read_bytes()
    options = ["--model", trained.tag, "--accept-drift"]
    ran = subprocess.run([*command, *options], cwd=ROOT, input=content, capture_output=True, check=True)
    out = tmp_path / "out.csv"
    file = [sys.executable, "advise.py", "--input", str(tmp_path / "plain.csv"), "--output", str(out)]
    subprocess.run([*file, *options], cwd=ROOT, capture_output=True, check=True)
    assert ran.stdout == out.read_bytes()
    assert ran.stdout.count(b"\n") == plain.count(b"\n")
    assert b"-: 40 subscribers advised" in ran.stderr


def test_standard_output_needs_a_place_for_the_rejects(command: Command, tmp_path: Path) -> None:
    answer = command(advise.main, "--input", write_months(tmp_path / "in.csv", LINES), "--output", "-")
    assert (answer.code, answer.out) == (2, "")
    assert "expected --rejects FILE with standard output" in answer.err


def killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_months(tmp_path / "in.csv", LINES)
    monkeypatch.setattr("plan_recommender.advising.answers.histories", killed)
    with pytest.raises(PlanRecommenderError, match="expected 2 processes to do their work, found one of them killed"):
        advised([source], tmp_path / "out.csv", jobs=2, block_bytes=1_000)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """The system refuses to let any file grow beyond 1,000 bytes."""
    source = write_months(tmp_path / "in.csv", LINES)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(OutputError, match="expected room in it for temporary files, found: File too large"):
            advised([source], tmp_path / "out.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


SLOW = """
import sys, time
from pathlib import Path
from plan_recommender import cli
from plan_recommender.advising import answers
from plan_recommender.advising.files import Advising, advise_files
from plan_recommender.start import _on_signals
from tests.made_up_months import adviser

answers.histories = lambda _found: (print("advising", flush=True), time.sleep(60))
_on_signals(cli.interrupt)
source, output = map(Path, sys.argv[1:])
cli.run(lambda: advise_files([source], output, output.with_name("r.csv"), Advising(adviser(), jobs=2, block_bytes=900)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_leaves_no_output_and_no_process(tmp_path: Path, number: int) -> None:
    source, output = write_months(tmp_path / "in.csv", LINES), tmp_path / "out.csv"
    output.write_text("previous")
    command = [sys.executable, "-c", SLOW, str(source), str(output)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "advising\n"
        workers = [child.pid for child in psutil.Process(running.pid).children()]
        assert len(workers) == 2  # the control
        running.send_signal(number)
        running.communicate(timeout=100)
    deadline = time.monotonic() + 10
    while any(map(psutil.pid_exists, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(psutil.pid_exists, workers))
    assert output.read_text() == "previous"
    if number == signal.SIGTERM:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]
