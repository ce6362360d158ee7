"""Spark scores and advises with the bits of the commands for files, on local[2].

The file is long because each file of tests on Spark would start a Spark of its own.
"""

import csv
import gzip
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pyspark
import pytest
from pyspark.sql import SparkSession

import advise
import predict
from plan_recommender.billing.tariffs import load_tariffs
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.record import DOCUMENT_FILE, HABITS_FILE
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.sql.statement import Query, write_query
from plan_recommender.model.store import RegisteredModel
from plan_recommender.scoring.spark.__main__ import main
from plan_recommender.scoring.spark.frames import score
from plan_recommender.scoring.spark.jobs import FACTS, METADATA_KEY, REJECTS
from tests.conftest import Answer, Command
from tests.scoring.spark_session import QUICK_JAVA, local_spark
from tools.server import ROOT

pytestmark = pytest.mark.slow

SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with local_spark(tmp_path_factory.mktemp("spark")) as session:
        yield session


def test_the_models_query_has_the_bits_of_the_scorer(
    spark: SparkSession, model: RegisteredModel, subscribers: FeatureMatrix, tmp_path: Path
) -> None:
    document = model.document()
    rows = subscribers[:5_000].copy()
    for place, (feature, value) in enumerate((i, value) for i in range(4) for value in (math.nan, math.inf, -1.0)):
        rows[place, feature] = value
    usage = pa.table({name: pa.array(rows[:, i]) for i, name in enumerate(FEATURE_NAMES)})
    usage = usage.append_column("input", pa.array([{"calls": 1.0}] * len(rows)))
    pq.write_table(usage.append_column("position", pa.array(range(len(rows)))), tmp_path / "subscribers")
    spark.read.parquet(str(tmp_path / "subscribers")).createOrReplaceTempView("subscribers")
    found = spark.sql(write_query(document, Query("spark", "subscribers"))).toArrow().sort_by("position")
    assert found.column_names == [*FEATURE_NAMES, "input", "position", "pred_is_ultra", "proba_is_ultra"]
    no_usage = np.isnan(rows).any(axis=1) | np.isinf(rows).any(axis=1) | (rows < 0).any(axis=1)
    scorer = Scorer(document)
    expected = scorer.probabilities(rows)
    assert found["proba_is_ultra"].is_null().to_pylist() == no_usage.tolist()
    assert found["proba_is_ultra"].drop_null().to_numpy().tobytes() == expected[~no_usage].tobytes()
    assert found["pred_is_ultra"].drop_null().to_pylist() == scorer.decide(rows, expected)[~no_usage].tolist()


@dataclass(frozen=True)
class Job:
    """What a run of the command left."""

    answer: Answer
    output: Path

    def rows(self, folder: str = "") -> pa.Table:
        return pq.read_table(self.output / folder)

    def facts(self) -> dict[str, Any]:
        (line,) = (self.output / FACTS).glob("part-*")
        facts: dict[str, Any] = json.loads(line.read_text())
        return facts


@pytest.fixture
def submit(spark: SparkSession, command: Command, model: RegisteredModel, tmp_path: Path) -> Callable[..., Job]:
    """Run the command in this process, on the session of this file."""

    def run(*arguments: object, output: Path = tmp_path / "out") -> Job:
        return Job(command(main, "--output", output, "--model", model.tag, *arguments), output)

    return run


@pytest.fixture(scope="module")
def usage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every type of number in Parquet, a name to quote, missing values, and every kind of what is no usage."""
    rows = 400
    random = np.random.default_rng(3)
    minutes: list[float | None] = random.gamma(3, 180, rows).tolist()
    minutes[3:8] = [None, math.nan, math.inf, -1.5, 1e300]
    mb_used: list[Decimal | None] = [
        Decimal(value).scaleb(-3) for value in random.integers(0, 60_000_000, rows).tolist()
    ]
    mb_used[6:10] = [Decimal("-0.001"), None, Decimal("0.1"), Decimal("-7")]
    messages = random.gamma(2, 25, rows).astype(np.float32)
    table = pa.table(
        {
            "id": pa.array(range(rows)),
            "mb_used": pa.array(mb_used, pa.decimal128(38, 3)),
            "name": pa.array([None if i % 7 == 0 else f'név "{i}", \n' for i in range(rows)]),
            "call.minutes `m`": pa.array(minutes, pa.float64()),
            "calls": pa.array([None if i == 11 else i - 2 for i in range(rows)], pa.int32()),
            "messages": pa.array(messages),
            "tags": pa.array([[i, None] for i in range(rows)], pa.list_(pa.int64())),
        }
    )
    path = tmp_path_factory.mktemp("usage") / "usage.parquet"
    pq.write_table(table, path)
    return path


def test_a_row_of_parquet_has_the_bits_of_predict(
    submit: Callable[..., Job], command: Command, model: RegisteredModel, usage: Path, tmp_path: Path
) -> None:
    expected = tmp_path / "expected.parquet"
    options = ["--accept-drift", "--max-rejects", "20%", "--map", "minutes=call.minutes `m`"]
    files = ["--input", usage, "--output", expected]
    assert command(predict.main, *files, "--model", model.tag, *options).code == 0
    job = submit("--input", usage, *options)
    assert (job.answer.code, job.answer.err) == (0, "")
    assert job.rows().sort_by("id").equals(pq.read_table(expected))
    rejects = job.rows(REJECTS).sort_by("id")
    with expected.with_name("expected.rejects.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert rejects["id"].to_pylist() == [int(row["id"]) for row in found]
    assert rejects["reason"].to_pylist() == [row["reason"] for row in found]
    assert rejects.column_names == ["reason", *pq.read_schema(usage).names]
    assert f"{job.output}/_rejects: {len(found):,} rejected" in job.answer.out


def test_the_answers_say_what_they_were_made_with(
    submit: Callable[..., Job], model: RegisteredModel, usage: Path
) -> None:
    job = submit("--input", usage, "--accept-drift", "--threshold", "0.3", "--map", "minutes=call.minutes `m`")
    digest = model.record.digests[DOCUMENT_FILE]
    expected = {"model": model.tag, "document_sha256": digest, "threshold": 0.3, "segment_thresholds": []}
    schema = json.loads(pq.read_schema(next(job.output.glob("*.parquet"))).metadata[SPARK_SCHEMA])
    (column,) = (field for field in schema["fields"] if field["name"] == "proba_is_ultra")
    assert column["metadata"] == {METADATA_KEY: expected}
    assert job.facts() == expected | {"input": [str(usage)], "rows": 400, "rejected": 6}
    answers = job.rows()
    assert answers["pred_is_ultra"].to_pylist() == [int(p >= 0.3) for p in answers["proba_is_ultra"].to_pylist()]


def test_executors_take_the_package_from_the_job_and_import_no_bentoml(
    spark: SparkSession, submit: Callable[..., Job], model: RegisteredModel, usage: Path
) -> None:
    submit("--input", usage, "--accept-drift", "--map", "minutes=call.minutes `m`")

    def imported(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import sys

        for _ in batches:
            yield pa.record_batch(
                {"name": list(sys.modules), "file": [str(getattr(m, "__file__", "")) for m in sys.modules.values()]}
            )

    listed = score(spark.read.parquet(str(usage)).withColumnRenamed("call.minutes `m`", "minutes"), model.document())
    modules = listed.coalesce(1).mapInArrow(imported, "name string, file string").toArrow().to_pydict()
    files = dict(zip(modules["name"], modules["file"], strict=True))
    assert "plan_recommender.zip" in files["plan_recommender.model.scorer"]
    assert not [name for name in files if name.partition(".")[0] in {"bentoml", "starlette", "sklearn", "tests"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "nowhere"], "nowhere: expected files that Spark can read, found none"),
        (["--input", "{usage}"], "expected the columns calls, minutes, messages, mb_used; missing minutes"),
        (["--input", "{usage}", "--map", "minutes=messages", "--map", "messages=call.minutes `m`"],
         "expected usage like that of the model's training table, found: "),
        (["--input", "{usage}", "--map", "minutes=call.minutes `m`", "--accept-drift", "--output", "{there}"],
         "expected a folder that is not there yet, found one"),
        (["--input", "{scored}", "--accept-drift"], "expected no column named proba_is_ultra"),
        (["--input", "{usage}", "--advise"], "expected the columns subscriber, month"),
        (["--input", "{text}"], "text.csv, which is none; if it is CSV, pass --format csv"),
        (["--input", "{text}", "--advise"], "expected Parquet, found file:"),
        (["--input", "{usage}", "--format", "csv"], "expected CSV, found Parquet; leave out --format csv"),
        (["--input", "nowhere", "--format", "csv"], "nowhere: expected files that Spark can read, found none"),
        (["--input", "{empty}", "--accept-drift"], "expected at least one row, found none"),
        (["--input", "{empty}", "--advise"], "expected the columns subscriber, month"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_said_in_one_sentence(
    submit: Callable[..., Job], usage: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "there").mkdir()
    row = {"calls": [85], "minutes": [516.7], "messages": [56], "mb_used": [22696.96]}
    pq.write_table(pa.table(row | {"proba_is_ultra": [0.5]}), tmp_path / "scored")
    pq.write_table(pa.table(row).slice(1), tmp_path / "empty")
    (tmp_path / "text.csv").write_text("calls,minutes,messages,mb_used\n85,516.7,56,22696.96\n")
    places = {
        "usage": usage,
        "text": tmp_path / "text.csv",
        **{name: tmp_path / name for name in ("there", "scored", "empty")},
    }
    job = submit(*(argument.format(**places) for argument in arguments))
    assert job.answer.code == 2
    assert job.answer.err.startswith("error: ")
    assert said in job.answer.err
    assert len(job.answer.err.splitlines()) == 1
    assert not (job.output / FACTS).exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--language", "es"], "expected --advise beside --tariffs and --language, found it without"),
        (["--advise", "--threshold", "0.3"], "expected --threshold or --advise, found both"),
        (["--advise", "--format", "csv"], "expected --format parquet beside --advise"),
        (["--decimal", ","], "expected --format csv beside --sep and --decimal"),
    ],
)
def test_options_that_do_not_go_together_are_refused(command: Command, options: list[str], said: str) -> None:
    answer = command(main, "--input", "in", "--output", "out", *options)
    assert answer.code == 2
    assert said in answer.err


def test_too_many_rejects_end_with_exit_code_1_and_a_reason(submit: Callable[..., Job], tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(
        pa.table({"calls": [85, 85], "minutes": [-1.0, 516.7], "messages": [56, 1], "mb_used": [1, 2]}), path
    )
    job = submit("--input", path, "--accept-drift")
    assert job.answer.code == 1
    assert job.answer.err == (
        "warning: 1 of 2 rows were rejected, more than --max-rejects 0.1; one of them: minutes: expected a finite "
        "number that is not negative, or an empty cell, found '-1.0'\n"
    )
    assert len(job.rows()) == 1


ODD_LINES = [
    *rb""",2,3,4,missing calls
" 7 ",2,3,4,"a, ""quoted"" cell"
7,2,3,4,5" x
7,2,3,4,"x" y"
7,2,3
7,2,3,4,x,y
-1,2,3,4,x
x,inf,3,4,x
7,2,1_0,4,x
1e1,0x1,3,4,x

007,.5,3.,4e0,
7,2,3,4,'
""".splitlines(),
    *(b"7,2,3,4,caf\xe9", b"7,2,\xff,4,x", b"7,2,3,4,\xc3\xb1", b"\t7, 2,3 ,4,\x00x"),
]


def csv_files(folder: Path, lines: list[bytes], end: bytes, files: int = 3) -> Path:
    """Spread lines over files, each with the header; the last is compressed, and the first has a byte order mark."""
    folder.mkdir()
    for number in range(files):
        text = end.join([CSV_HEADER, *lines[number::files], b""])
        content = {0: b"\xef\xbb\xbf" + text, files - 1: gzip.compress(text)}.get(number, text)
        (folder / f"{number}.csv{'.gz' if number == files - 1 else ''}").write_bytes(content)
    return folder


CSV_HEADER = b"calls,minutes,messages,mb_used,note"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_are_those_of_predict_byte_for_byte(
    spark: SparkSession,
    submit: Callable[..., Job],
    command: Command,
    model: RegisteredModel,
    tmp_path: Path,
    end: bytes,
) -> None:
    random = np.random.default_rng(8)
    lines = [b"%d,%.2f,%d,%.2f,note %d" % (*random.gamma(2, 300, 4).tolist(), i) for i in range(3_000)]
    for line in ODD_LINES:
        lines.insert(random.integers(len(lines)), line)
    whole = tmp_path / "whole.csv"
    whole.write_bytes(end.join([CSV_HEADER, *lines, b""]))
    options = ["--accept-drift", "--max-rejects", "20%"]
    out = tmp_path / "whole.out.csv"
    assert command(predict.main, "--input", whole, "--output", out, "--model", model.tag, *options).code == 0
    spark.conf.set("spark.sql.files.maxPartitionBytes", "9000")  # bytes, so that each file is cut into several parts
    spark.conf.set("spark.sql.files.openCostInBytes", "0")  # and parts of several files are read together
    try:
        job = submit("--format", "csv", "--input", csv_files(tmp_path / "in", lines, end), *options)
    finally:
        spark.conf.unset("spark.sql.files.maxPartitionBytes")
        spark.conf.unset("spark.sql.files.openCostInBytes")
    assert (job.answer.code, job.answer.err) == (0, "")
    parts = [part.read_bytes().split(b"\n") for part in job.output.glob("part-*")]
    header, *expected = out.read_bytes().split(b"\n")[:-1]
    assert len(parts) > 5
    assert all(part[0] == header and part[-1] == b"" for part in parts)
    assert sorted(line for part in parts for line in part[1:-1]) == sorted(expected)
    rejects = [part.read_text(errors="surrogateescape") for part in (job.output / REJECTS).glob("part-*")]
    found = [row for part in rejects for row in csv.reader(io.StringIO(part, newline=""))]
    with out.with_name("whole.out.rejects.csv").open(errors="surrogateescape", newline="") as file:
        expected_rejects = [row[1:] for row in csv.reader(file)]
    assert sorted(row for row in found if row != expected_rejects[0]) == sorted(expected_rejects[1:])
    assert job.facts()["rows"] == len(lines) - 1  # one line is empty


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([b"calls,minutes,messages,mb_used\n1,2,3,4\n", b"minutes,calls,messages,mb_used\n1,2,3,4\n"],
         "expected the header 'calls,minutes,messages,mb_used' as the first line of each file, found 'minutes,calls"),
        ([b'calls,minutes,messages,mb_used,x\n1,2,3,4,"two\nlines"\n'], "a cell in quotes that goes on in the next"),
        ([b'calls,minutes,messages,mb_used,x\n1,2,3,4,"open'], "a cell in quotes that goes on in the next"),
        ([b"calls;minutes;messages;mb_used\n1;2;3;4\n"], "found a header with ';': pass --sep ';'"),
        ([b"calls,minutes,messages,mb_used\r1,2,3,4\r"], "expected lines that end with LF or CR LF on Spark, found CR"),
        ([b'calls,minutes,messages,mb_used,x\n1,2,3,4,"%b"x\n' % (b"y" * 140_000)], "expected CSV, found: field"),
        ([b"\n1,2,3,4\n"], "expected a header as the first line of each file, found none"),
        ([b"calls,minutes,messages,mb_used,pred_is_ultra\n"], "expected no column named pred_is_ultra"),
        ([b"calls,minutes,messages,mb_used\n"] * 2, "expected at least one row, found none"),
    ],
)  # fmt: skip
def test_text_that_spark_could_not_read_right_is_refused(
    submit: Callable[..., Job], tmp_path: Path, files: list[bytes], said: str
) -> None:
    (tmp_path / "in").mkdir()
    for number, content in enumerate(files):
        (tmp_path / "in" / f"{number}.csv").write_bytes(content)
    job = submit("--format", "csv", "--input", tmp_path / "in", "--accept-drift")
    assert job.answer.code == 2
    assert job.answer.err.startswith(f"error: {tmp_path / 'in'}: ")
    assert said in job.answer.err
    assert len(job.answer.err.splitlines()) == 1
    assert not (job.output / FACTS).exists()


def test_text_with_decimal_commas_is_looked_at_for_mistakes(submit: Callable[..., Job], tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    text = (ROOT / "users_behavior.csv").read_text().replace(",", ";").replace(".", ",")
    path.write_text(text)
    options = ["--format", "csv", "--sep", ";", "--decimal", ","]
    job = submit("--input", path, *options)
    assert (job.answer.code, job.answer.err) == (0, "")
    (part,) = job.output.glob("part-*")
    first = part.read_text().splitlines()[1].split(";")
    assert first[:-1] == ["75,0", "592,31", "72,0", "14094,06", "0", "0"]
    swapped = ["--map", "calls=minutes", "--map", "minutes=calls"]
    assert "expected usage like that of the model's" in submit("--input", path, *options, *swapped).answer.err


def advice_of(job: Job) -> list[dict[str, str]]:
    """The rows of the answers as advise.py writes them, sorted by subscriber."""
    rows = []
    for row in job.rows().to_pylist():
        p_saves = f"{row['p_saves']:.6g}"
        rows.append({name: "" if value is None else str(value) for name, value in row.items()} | {"p_saves": p_saves})
    return sorted(rows, key=lambda row: row["subscriber"].encode())


def advised(command: Command, model: RegisteredModel, months: Path, *options: object) -> list[dict[str, str]]:
    """What advise.py says of the same months."""
    out = months.with_name("advice.csv")
    assert command(advise.main, "--input", months, "--output", out, "--model", model.tag, *options).code == 0
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_subscriber_is_advised_as_by_advise(
    submit: Callable[..., Job], command: Command, model: RegisteredModel, tmp_path: Path
) -> None:
    months = tmp_path / "months.parquet"
    shipped = pa.csv.read_csv(ROOT / "subscriber_months.csv")
    pq.write_table(shipped.take(np.random.default_rng(5).permutation(len(shipped))), months, row_group_size=500)
    job = submit("--advise", "--input", months, "--language", "es")
    assert (job.answer.code, job.answer.err) == (0, "")
    expected = advised(command, model, months, "--language", "es")
    assert advice_of(job) == expected
    assert len({row["advice"] for row in expected}) > 1
    tariffs = load_tariffs(ROOT / "tariffs.yaml")
    facts = job.facts()
    assert facts["tariffs_digest"] == tariffs.digest
    assert facts["habits_sha256"] == model.record.digests[HABITS_FILE]
    assert (facts["rows"], facts["rejected"]) == (len(shipped), 0)


def test_rows_that_are_no_months_are_rejected_with_their_cells(
    submit: Callable[..., Job], command: Command, model: RegisteredModel, tmp_path: Path
) -> None:
    """Months are moments here, in UTC: a session in another time zone would see some of them in the month before."""
    rows = [month(name, number) for name in ("a", " a", "b ", "c") for number in range(1, 10)]
    for row, again in zip(rows[9:18], range(1, 10), strict=True):  # "a" and " a" are one subscriber
        row["month"] = datetime(2025, again, 1, tzinfo=UTC)
    broken = [month("b", 11) | {"calls": -1.0}, month("", 1), month("c", 10) | {"plan": "Gold"}]
    same, other = month("c", 3), month("c", 4) | {"minutes": 1.0}
    clean = tmp_path / "clean.parquet"
    pq.write_table(
        pa.Table.from_pylist(
            [row for row in rows if (row["subscriber"], row["month"].month, row["month"].year) != ("c", 4, 2026)]
        ),
        clean,
    )
    dirty = tmp_path / "dirty.parquet"
    pq.write_table(pa.Table.from_pylist([*rows, *broken, same, other]), dirty)
    job = submit("--advise", "--input", dirty, "--accept-drift", "--max-rejects", "50%")
    assert (job.answer.code, job.answer.err) == (0, "")
    assert advice_of(job) == advised(command, model, clean, "--accept-drift")
    rejects = sorted(
        (row.pop("reason"), row["subscriber"], row["month"].month) for row in job.rows(REJECTS).to_pylist()
    )
    assert [(reason.partition(",")[0], name, number) for reason, name, number in rejects] == [
        ("calls: expected a number from 0 to 1", "b", 11),
        ("month: expected each month of a subscriber once", "c", 3),
        ("month: expected each month of a subscriber once", "c", 4),
        ("month: expected each month of a subscriber once", "c", 4),
        ("plan: expected Smart", "c", 10),
        ("subscriber: expected whose month it is", "", 1),
    ]
    assert job.facts()["rejected"] == len(rejects)


def month(subscriber: str, number: int) -> dict[str, Any]:
    used = {"calls": 60.0 + number, "minutes": 400.0 + 10 * number, "messages": 20.0, "mb_used": 15e3 + 900 * number}
    used |= {"a.`b": 1.0}
    when = datetime(2026, number, 1, tzinfo=UTC)
    return {"subscriber": subscriber, "month": when, "plan": "Smart", **used, "billed_minutes": None}


def test_a_path_that_is_not_there_is_said_without_a_trace(
    spark: SparkSession, model: RegisteredModel, tmp_path: Path
) -> None:
    """In a process of its own, because Spark's log is that of Java."""
    ran = subprocess.run(
        [sys.executable, "-m", "plan_recommender.scoring.spark", "--input", "nowhere", "--output", tmp_path / "out",
         "--model", model.tag],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "error: nowhere: expected files that Spark can read, found none" in ran.stderr
    assert "FileNotFoundException" not in ran.stderr
    assert "WARN NativeCodeLoader" in ran.stderr or "log level" in ran.stderr  # the log is on before


def test_spark_submit_runs_the_job_from_anywhere(spark: SparkSession, model: RegisteredModel, tmp_path: Path) -> None:
    months = tmp_path / "in.parquet"
    pq.write_table(pa.table({"calls": [85], "minutes": [516.7], "messages": [56], "mb_used": [22696.96]}), months)
    program = ROOT / "plan_recommender" / "scoring" / "spark" / "__main__.py"
    settings = ["--master", "local[1]", "--conf", "spark.ui.enabled=false", "--driver-java-options", QUICK_JAVA]
    assert pyspark.__file__ is not None
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    ran = subprocess.run(
        [submit, *settings, program, "--input", months, "--output", tmp_path / "out", "--model", model.tag],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert f"{tmp_path / 'out'}: 1 scored, 0 Ultra and 1 Smart; missing values imputed: none" in ran.stdout
    assert pq.read_table(tmp_path / "out")["proba_is_ultra"].to_pylist() == [
        model.scorer().recommend(85, 516.7, 56, 22696.96)[1]
    ]
