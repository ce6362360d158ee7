"""Scoring files of other formats: the output is written as the input was, and the answers are the same bit for bit."""

import csv
import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

import predict
from plan_recommender.data.csv_table import read_features
from plan_recommender.model.scorer import Scorer
from tests.conftest import Answer, Command, TrainedModel
from tools.server import ROOT

DATA = ROOT / "users_behavior.csv"
HEADER = ["calls", "minutes", "messages", "mb_used"]
NEW = ["pred_is_ultra", "proba_is_ultra"]
SPANISH = {"calls": "Llamadas", "minutes": "Minutos", "messages": "Mensajes", "mb_used": "Datos MB"}
OPTIONS = ["--sep", ";", "--decimal", ",", *(f"--map={name}={column}" for name, column in SPANISH.items())]
Score = Callable[..., Answer]


@pytest.fixture
def score(trained: TrainedModel, command: Command) -> Score:
    def execute(source: Path, out: Path, *options: str) -> Answer:
        return command(predict.main, "--input", source, "--output", out, "--model", trained.tag, *options)

    return execute


@pytest.fixture(scope="module")
def expected(scorer: Scorer) -> list[float]:
    """Probabilities of the first 300 rows of the shipped table."""
    probabilities: list[float] = scorer.probabilities(read_features(DATA))[:300].tolist()
    return probabilities


def first_rows() -> pd.DataFrame:
    return pd.read_csv(DATA).head(300)


def spanish(path: Path) -> Path:
    """Write the first rows as Excel writes them in Spain."""
    first_rows().rename(columns=SPANISH).to_csv(path, sep=";", decimal=",", index=False, encoding="utf-8-sig")
    return path


def test_text_comes_back_with_its_own_separator_decimal_sign_and_byte_order_mark(
    score: Score, tmp_path: Path, expected: list[float]
) -> None:
    source, out = spanish(tmp_path / "in.csv"), tmp_path / "out.csv"
    answer = score(source, out, *OPTIONS)
    assert (answer.code, answer.err) == (0, "")
    lines = out.read_bytes().splitlines()
    originals = source.read_bytes().splitlines()
    assert lines[0] == "\ufeffLlamadas;Minutos;Mensajes;Datos MB;is_ultra;pred_is_ultra;proba_is_ultra".encode()
    assert [line.rsplit(b";", 2)[0] for line in lines] == originals
    numbers = [line.rsplit(b";", 1)[1].decode() for line in lines[1:]]
    assert all("." not in number for number in numbers)
    assert [float(number.replace(",", ".")) for number in numbers] == expected
    assert pd.read_csv(out, sep=";", decimal=",", float_precision="round_trip")[NEW[1]].tolist() == expected
    rejects = (tmp_path / "out.rejects.csv").read_bytes()
    assert rejects == "\ufeffrow;reason;Llamadas;Minutos;Mensajes;Datos MB;is_ultra\n".encode()


def test_separated_thousands_are_named_and_not_taken_for_drift(score: Score, tmp_path: Path) -> None:
    """Read are only the months below 1,000 MB, which look as if they were in another unit."""
    table = pd.read_csv(DATA).rename(columns=SPANISH)
    megabytes = table["Datos MB"].map("{:,.2f}".format).str.translate(str.maketrans(",.", ".,"))
    source = tmp_path / "in.csv"
    table.assign(**{"Datos MB": megabytes}).to_csv(source, sep=";", decimal=",", index=False)
    answer = score(source, tmp_path / "out.csv", *OPTIONS)
    assert answer.code == 2
    assert re.search(
        r"98% of the rows cannot be read, which may be why \(Datos MB: expected .*, found '14\.094,06'; the point "
        r"separates thousands: write the numbers without it \(in a spreadsheet, cell format 0\.00\)\)",
        answer.err,
    )
    assert not list(tmp_path.glob("out*"))


def test_rejects_name_the_columns_of_the_file_and_the_option_that_helps(score: Score, tmp_path: Path) -> None:
    source, out = spanish(tmp_path / "in.csv"), tmp_path / "out.csv"
    answer = score(source, out, *OPTIONS[:2], *OPTIONS[4:])
    assert answer.code == 1  # every row is rejected
    assert "; the first: row 1, Llamadas: expected a finite number" in answer.err
    assert answer.err.endswith("; if the comma is the decimal sign, pass --decimal ','\n")
    with (tmp_path / "out.rejects.csv").open(encoding="utf-8-sig", newline="") as file:
        rejects = list(csv.reader(file, delimiter=";"))
    assert len(rejects) == 301
    assert rejects[1][2:] == ["75,0", "592,31", "72,0", "14094,06", "0"]


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.gz"])
def test_gzip_is_read_and_written_where_the_name_says_so(score: Score, tmp_path: Path, name: str) -> None:
    score(DATA, tmp_path / "plain" / "out.csv")
    plain = (tmp_path / "plain" / "out.csv").read_bytes()
    source, out = tmp_path / "in.csv.gz", tmp_path / name
    source.write_bytes(gzip.compress(DATA.read_bytes()))
    answer = score(source, out)
    assert (answer.code, answer.err) == (0, "")
    written = out.read_bytes()
    assert (gzip.decompress(written) if name.endswith(".gz") else written) == plain
    assert (tmp_path / "out.rejects.csv").read_text() == "row,reason,calls,minutes,messages,mb_used,is_ultra\n"
    assert score(source, out).code == 0
    assert out.read_bytes() == written  # the time is not in it


def test_parquet_comes_back_as_parquet_with_its_types_and_new_columns(
    score: Score, tmp_path: Path, expected: list[float]
) -> None:
    frame = first_rows().assign(
        id=[f"00{i}" for i in range(300)],
        day=pd.to_datetime("2026-11-01").date(),
        seen=pd.Timestamp("2026-11-01T10:00:00Z"),
        tags=pd.Series([["a", "b"]] * 300, dtype=object),
        is_ultra=lambda table: table["is_ultra"].astype("int8"),
    )
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    frame.to_parquet(source, row_group_size=100)
    assert score(source, out).code == 0
    before, after = pq.read_table(source), pq.read_table(out)
    assert after.column_names == [*before.column_names, *NEW]
    assert after.select(before.column_names).equals(before, check_metadata=True)
    assert after.schema.field(NEW[0]).type == pa.int64()
    assert after.column(NEW[1]).to_pylist() == expected
    read = pd.read_parquet(out)
    pd.testing.assert_frame_equal(read[list(frame.columns)], pd.read_parquet(source))
    assert read[NEW[0]].tolist() == [int(probability >= 0.5) for probability in expected]


def test_parquet_becomes_text_where_the_name_says_so(score: Score, tmp_path: Path, expected: list[float]) -> None:
    source, out = tmp_path / "in", tmp_path / "out.csv"
    first_rows().assign(region=pd.Series(["sür", None] * 150, dtype=object)).to_parquet(source)
    assert score(source, out).code == 0
    lines = out.read_text().splitlines()
    assert lines[0] == "calls,minutes,messages,mb_used,is_ultra,region,pred_is_ultra,proba_is_ultra"
    assert [line.rpartition(",")[0].rpartition(",")[0] for line in lines[1:3]] == [
        "75.0,592.31,72.0,14094.06,0,sür", "28.0,191.59,29.0,11011.33,0,"
    ]  # fmt: skip
    assert [float(line.rpartition(",")[2]) for line in lines[1:]] == expected
    assert score(source, tmp_path / "es.csv", "--sep", ";", "--decimal", ",").code == 0
    assert (
        (tmp_path / "es.csv")
        .read_text()
        .startswith(
            "calls;minutes;messages;mb_used;is_ultra;region;pred_is_ultra;proba_is_ultra\n75,0;592,31;72,0;14094,06;0;sür;0;0,"
        )
    )


def test_rows_of_parquet_that_are_not_usage_go_to_the_rejects_as_text(
    score: Score, scorer: Scorer, tmp_path: Path
) -> None:
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    columns = {"calls": [1.0, -1.0, None], "minutes": [2.0] * 3, "messages": [3, 3, 3], "mb_used": [4.5] * 3}
    pq.write_table(pa.table(columns | {"id": ["a", "b", "c"]}), source)
    answer = score(source, out, "--max-rejects", "50%")
    assert answer.code == 0
    assert "empty cells imputed: 1 in calls" in answer.out
    assert pq.read_table(out).column("id").to_pylist() == ["a", "c"]
    usage = np.array([[1, 2, 3, 4.5], [np.nan, 2, 3, 4.5]])
    assert pq.read_table(out).column(NEW[1]).to_pylist() == scorer.probabilities(usage).tolist()
    assert (tmp_path / "out.rejects.csv").read_text() == (
        "row,reason,calls,minutes,messages,mb_used,id\n"
        "2,\"calls: expected a finite number that is not negative, or an empty cell, found '-1.0'\",-1.0,2.0,3,4.5,b\n"
    )


@pytest.mark.slow
def test_every_format_gets_the_answer_of_the_service(score: Score, client: TestClient, tmp_path: Path) -> None:
    frame = first_rows().head(20)
    frame.to_parquet(tmp_path / "in.parquet")
    frame.to_csv(tmp_path / "in.tsv", sep="\t", index=False)
    rows = frame[HEADER].to_dict("records")
    served = client.post("/predict_batch", json={"rows": rows}).json()["predictions"]
    answers = [(answer["prediction"], answer["probability_is_ultra"]) for answer in served]
    assert score(tmp_path / "in.parquet", tmp_path / "out.parquet").code == 0
    assert score(tmp_path / "in.tsv", tmp_path / "out.tsv", "--sep", "tab").code == 0
    written = pq.read_table(tmp_path / "out.parquet").select(NEW).to_pydict()
    assert list(zip(written[NEW[0]], written[NEW[1]], strict=True)) == answers
    with (tmp_path / "out.tsv").open(newline="") as file:
        texts = [row[-2:] for row in csv.reader(file, delimiter="\t")][1:]
    assert [(int(decision), float(probability)) for decision, probability in texts] == answers


@pytest.mark.parametrize(
    ("out", "options", "sentence"),
    [
        ("out.parquet", [], "expected a name that ends in .csv, because the input is text, whose columns have no types "
         "that Parquet could keep"),
        ("out.xlsx", [], "expected a name that ends in .csv or .csv.gz, because CSV is written"),
        ("out.zip", [], "expected a name that ends in .csv or .csv.gz, because CSV is written"),
        ("out.csv", ["--rejects", "rejects.parquet"], "expected a name that ends in .csv, because rejects are written "
         "as CSV"),
    ],
)  # fmt: skip
def test_a_name_that_says_another_format_is_refused(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, options: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = score(DATA, Path(out), *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith(f": {sentence}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["in.csv.gz", "in.parquet"])
def test_a_file_that_is_damaged_halfway_leaves_the_previous_output(score: Score, tmp_path: Path, name: str) -> None:
    source, out = tmp_path / name, tmp_path / f"out{Path(name).suffix}"
    rows = pd.concat([first_rows()] * 250)  # more than are read at once
    if name.endswith(".gz"):
        rows.to_csv(source, index=False)
    else:
        rows.to_parquet(source, row_group_size=60_000, compression=None)
    whole = source.read_bytes()
    place = len(whole) * 9 // 10
    broken = whole[:place] + b"\xff" * 300 + whole[place + 300 :]
    out.write_text("previous")
    source.write_bytes(broken)
    answer = score(source, out)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {source}: expected ")
    assert answer.err.count("\n") == 1
    assert out.read_text() == "previous"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, out.name])
    source.write_bytes(whole)  # the control
    assert score(source, out).code == 0
