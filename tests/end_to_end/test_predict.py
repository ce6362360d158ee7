"""Scoring a file: every row comes out once, untouched, with the scorer's answer or the reason why not.

The file is long because whatever an option adds is held against the same output without it.
"""

import csv
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import predict
from plan_recommender.data.cells import parse_usage
from plan_recommender.data.csv_table import read_features
from plan_recommender.model.scorer import Scorer
from tests.conftest import Command, TrainedModel, run
from tools.server import ROOT

DATA = ROOT / "users_behavior.csv"
HEADER = ["calls", "minutes", "messages", "mb_used"]
NEW = ["pred_is_ultra", "proba_is_ultra"]
MADE_UP = ["--accept-drift"]
"""For files of rows that were made up, in which a column may well be constant."""

REASON = "expected a finite number that is not negative, or an empty cell"
Table = Callable[..., Path]
Score = Callable[..., tuple[list[list[str]], list[list[str]]]]


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def score(trained: TrainedModel, command: Command, tmp_path: Path) -> Score:
    """Score a file, of which rows may be rejected; returns the rows of the output and of the rejects, with headers."""

    def execute(path: Path) -> tuple[list[list[str]], list[list[str]]]:
        files = ["--input", path, "--output", tmp_path / "out.csv"]
        answer = command(predict.main, *files, "--model", trained.tag, "--max-rejects", "100%", *MADE_UP)
        assert (answer.code, answer.err) == (0, "")
        return read(tmp_path / "out.csv"), read(tmp_path / "out.rejects.csv")

    return execute


def test_the_shipped_table_gets_the_scorers_answers_and_keeps_its_columns(score: Score, scorer: Scorer) -> None:
    out, rejects = score(DATA)
    assert out[0] == [*HEADER, "is_ultra", *NEW]
    assert rejects == [["row", "reason", *HEADER, "is_ultra"]]
    assert [row[:5] for row in out[1:]] == read(DATA)[1:]
    probabilities = scorer.probabilities(read_features(DATA))
    assert [float(row[6]) for row in out[1:]] == probabilities.tolist()
    assert [int(row[5]) for row in out[1:]] == scorer.decide(read_features(DATA), probabilities).tolist()


@pytest.mark.parametrize(("options", "language"), [([], "en"), (["--language", "es"], "es")])
def test_reasons_are_the_sentences_of_the_two_largest_contributions_and_change_no_other_column(
    command: Command,
    trained: TrainedModel,
    client: TestClient,
    table: Table,
    tmp_path: Path,
    options: list[str],
    language: str,
) -> None:
    path = table("85,516.7,56,22696.96,a", "4,21.5,0,1200,b", "1e308,0,0,1e9,c", "x,0,0,0,d", header=",".join(
        [*HEADER, "id"]))  # fmt: skip
    usual = ["--max-rejects", "30%", "--input", path, "--model", trained.tag, "--output"]
    assert command(predict.main, *usual, tmp_path / "plain.csv").code == 0
    assert command(predict.main, *usual, tmp_path / "out.csv", "--explain", *options).code == 0
    out = read(tmp_path / "out.csv")
    assert [row[:-1] for row in out] == read(tmp_path / "plain.csv")
    assert out[0][-1] == "reasons"
    for row in out[1:]:
        usage = dict(zip(HEADER, map(float, row[:4]), strict=True))
        asked = client.post("/explain", json=usage, headers={"accept-language": language})
        parts = asked.json()["contributions"]
        assert row[-1] == f"{parts[0]['sentence']} {parts[1]['sentence']}"
    assert read(tmp_path / "out.rejects.csv") == read(tmp_path / "plain.rejects.csv")


Month = list[str]


def in_gigabytes(month: Month, number: int) -> Month:
    return [*month[:3], str(float(month[3]) / 1024)]


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (in_gigabytes, "mb_used looks like gigabytes: median 1"),
        (
            lambda month, number: in_gigabytes(month, number) if number % 10 == 0 else month,
            "mb_used looks like gigabytes in 1",
        ),
        (lambda month, _: [month[2], month[1], month[0], month[3]], "calls and messages look swapped: minutes go with"),
        (lambda month, _: [month[0], month[3], month[2], month[1]], "minutes and mb_used look swapped: calls go with"),
    ],
    ids=["gigabytes", "gigabytes in a tenth", "calls and messages swapped", "minutes and mb_used swapped"],
)
def test_a_file_with_a_mistake_is_not_scored_unless_it_is_meant(
    command: Command,
    trained: TrainedModel,
    table: Table,
    tmp_path: Path,
    mistake: Callable[[Month, int], Month],
    sentence: str,
) -> None:
    months = [line.split(",")[:4] for line in DATA.read_text().splitlines()[1:200]]
    path = table(*(",".join(mistake(month, i)) for i, month in enumerate(months)), header=",".join(HEADER))
    arguments = ["--input", path, "--output", tmp_path / "out.csv", "--model", trained.tag]
    refused = command(predict.main, *arguments)
    assert refused.code == 2
    assert f", found: {sentence}" in refused.err
    assert refused.err.endswith("or pass --accept-drift if these subscribers are so unlike\n")
    assert not list(tmp_path.glob("out*"))
    assert command(predict.main, *arguments, "--accept-drift").code == 0
    assert len(read(tmp_path / "out.csv")) == 200


@pytest.mark.parametrize(
    ("options", "said"),
    [([], " assumed because the "), (["--language", "es"], " porque falta el dato, ")],
)
def test_reasons_of_missing_values_say_so(
    command: Command, trained: TrainedModel, table: Table, tmp_path: Path, options: list[str], said: str
) -> None:
    path, out = table(",,,", header=",".join(HEADER)), tmp_path / "out.csv"
    answer = command(predict.main, "--input", path, "--output", out, "--model", trained.tag, "--explain", *options)
    assert answer.code == 0
    (row,) = read(out)[1:]
    assert row[-1].count(said) == 2


def test_a_language_without_reasons_is_refused(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    answer = command(predict.main, "--input", DATA, "--output", out, "--language", "es")
    assert answer.code == 2
    assert "expected --explain beside --language, found it without" in answer.err
    assert not out.exists()


@pytest.mark.parametrize("threshold", ["0", "0.3", "1"])
def test_a_threshold_overrides_the_model_s_and_the_summary_says_so(
    command: Command, trained: TrainedModel, scorer: Scorer, tmp_path: Path, threshold: str
) -> None:
    out = tmp_path / "out.csv"
    arguments = ["--input", DATA, "--output", out, "--model", trained.tag, "--threshold", threshold]
    answer = command(predict.main, *arguments)
    assert (answer.code, answer.err) == (0, "")
    probabilities = scorer.probabilities(read_features(DATA))
    assert [float(row[6]) for row in read(out)[1:]] == probabilities.tolist()
    assert [int(row[5]) for row in read(out)[1:]] == (probabilities >= float(threshold)).astype(int).tolist()
    assert answer.out.splitlines()[-1] == (
        f"model: {trained.tag}, threshold {threshold}, given with --threshold instead of the model's 0.5"
    )


@pytest.mark.parametrize("threshold", ["-0.1", "1.1", "nan", "half", ""])
def test_a_threshold_that_is_no_probability_is_refused(command: Command, tmp_path: Path, threshold: str) -> None:
    answer = command(predict.main, "--input", DATA, "--output", tmp_path / "out.csv", f"--threshold={threshold}")
    assert answer.code == 2
    assert f"argument --threshold: expected a probability from 0 to 1, found {threshold!r}" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_real_command_line_scores_and_says_what_it_did(trained: TrainedModel, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.csv"
    result = run("predict.py", "--input", DATA, "--output", out, "--model", trained.tag)
    assert (result.returncode, result.stderr) == (0, "")
    ultra = sum(row[5] == "1" for row in read(out)[1:])
    assert result.stdout.splitlines() == [
        f"{DATA}: 3,214 rows",
        f"{out}: 3,214 scored, {ultra:,} Ultra and {3214 - ultra:,} Smart; empty cells imputed: none",
        f"{out.with_name('out.rejects.csv')}: 0 rejected",
        f"model: {trained.tag}, threshold 0.5",
    ]


def test_extra_columns_are_carried_along_in_their_order(score: Score, table: Table, scorer: Scorer) -> None:
    path = table(
        '"Zoë, ""Z""",4000.50, 30 ,007,500,80',
        "'=1+1,0,0,,0,0",
        header="name,mb_used,messages,id,minutes,calls",
    )
    out, rejects = score(path)
    assert out[0] == ["name", "mb_used", "messages", "id", "minutes", "calls", *NEW]
    assert [row[:6] for row in out[1:]] == [
        ['Zoë, "Z"', "4000.50", " 30 ", "007", "500", "80"], ["'=1+1", "0", "0", "", "0", "0"]
    ]  # fmt: skip
    expected = scorer.probabilities(np.array([[80, 500, 30, 4000.5], [0, 0, 0, 0]], dtype=np.float64))
    assert [float(row[7]) for row in out[1:]] == expected.tolist()
    assert len(rejects) == 1


def test_what_is_not_usage_goes_to_the_rejects_with_row_and_reason(score: Score, table: Table) -> None:
    path = table("1,2,3,4,a", "x,2,-3,4,b", "1,2,3,4,c", "1,inf,3,4,d", "1,2", "1,2,3,1_000,e,f", header=",".join(
        [*HEADER, "id"]))  # fmt: skip
    out, rejects = score(path)
    assert [row[4] for row in out[1:]] == ["a", "c"]
    assert rejects == [
        ["row", "reason", *HEADER, "id"],
        ["2", f"calls: {REASON}, found 'x'; messages: {REASON}, found '-3'", "x", "2", "-3", "4", "b"],
        ["4", f"minutes: {REASON}, found 'inf'", "1", "inf", "3", "4", "d"],
        ["5", "expected 5 cells, found 2", "1", "2", "", "", ""],
        ["6", "expected 5 cells, found 6; beyond them: 'f'", "1", "2", "3", "1_000", "e"],
    ]


def test_empty_cells_are_imputed_and_counted(
    command: Command, trained: TrainedModel, table: Table, tmp_path: Path, scorer: Scorer
) -> None:
    path = table("1,2,,4", ",,3,4", "1,2,3, ", "x,,,", header=",".join(HEADER))
    answer = command(predict.main, "--input", path, "--output", tmp_path / "out.csv", "--model", trained.tag)
    assert "empty cells imputed: 1 in calls, 1 in minutes, 1 in messages, 1 in mb_used\n" in answer.out
    assert "3 scored" in answer.out
    assert "1 rejected" in answer.out
    nan = np.nan
    expected = scorer.probabilities(np.array([[1, 2, nan, 4], [nan, nan, 3, 4], [1, 2, 3, nan]]))
    assert [float(row[5]) for row in read(tmp_path / "out.csv")[1:]] == expected.tolist()


@pytest.mark.parametrize("rows", [1, 3])
def test_a_file_of_nothing_but_bad_rows_is_rejected_row_by_row(
    command: Command, trained: TrainedModel, table: Table, tmp_path: Path, rows: int
) -> None:
    source, out = table(*["x,1,1,1"] * rows, header=",".join(HEADER)), tmp_path / "out.csv"
    for options in ([], ["--max-rejects", "1"]):  # no share makes it a success
        answer = command(predict.main, "--input", source, "--output", out, "--model", trained.tag, *MADE_UP, *options)
        assert (answer.code, answer.err) == (
            1, f"warning: {rows} of {rows} rows were rejected, which is all of them; the first: row 1, calls: "
            f"{REASON}, found 'x'\n"
        )  # fmt: skip
        assert read(out) == [[*HEADER, *NEW]]
        assert [row[0] for row in read(tmp_path / "out.rejects.csv")[1:]] == [str(i + 1) for i in range(rows)]


@pytest.mark.parametrize(
    ("bad", "options", "code"),
    [(10, [], 0), (11, [], 1), (11, ["--max-rejects", "11%"], 0), (11, ["--max-rejects", "0.109"], 1),
     (0, ["--max-rejects", "0"], 0), (1, ["--max-rejects", "0"], 1)],
)  # fmt: skip
def test_more_rejects_than_allowed_are_exit_code_1_and_the_files_are_there_all_the_same(
    command: Command, trained: TrainedModel, table: Table, tmp_path: Path, bad: int, options: list[str], code: int
) -> None:
    source = table(*["1,2,3,4"] * (100 - bad), *["1,x,3,4"] * bad, header=",".join(HEADER))
    out = tmp_path / "out.csv"
    answer = command(predict.main, "--input", source, "--output", out, "--model", trained.tag, *MADE_UP, *options)
    limit = f"more than --max-rejects {options[1] if options else '0.1'}"
    first = f"the first: row {101 - bad}, minutes: {REASON}, found 'x'"
    expected = f"warning: {bad} of 100 rows were rejected, {limit}; {first}\n" if code else ""
    assert (answer.code, answer.err) == (code, expected)
    assert (len(read(out)), len(read(tmp_path / "out.rejects.csv"))) == (101 - bad, 1 + bad)


@pytest.mark.parametrize("share", ["10", "-1", "nan", "x", "101%", ""])
def test_a_share_of_rejects_that_is_none_is_refused(command: Command, tmp_path: Path, share: str) -> None:
    answer = command(predict.main, "--input", DATA, "--output", tmp_path / "out.csv", f"--max-rejects={share}")
    assert answer.code == 2
    assert answer.err.splitlines()[-1] == (
        "predict.py: error: argument --max-rejects: expected a share from 0 to 1 or a percentage such as 10%, "
        f"found {share!r}"
    )


@pytest.mark.parametrize("rows", [100_000, 100_001])
def test_a_long_file_is_scored_as_its_rows_are_in_a_short_one(score: Score, table: Table, rows: int) -> None:
    """A long file is read in parts: neither the answers nor the row numbers depend on where a part ends."""
    lines = ["1,2,3,4", "x,2,3,4", "y,2,3,4", ",2,3,4", "9,80,7,6000", "1,2,3", "0,0,0,0"]
    header = ",".join(HEADER)
    out, rejects = score(table(*lines, header=header))
    assert [row[0] for row in rejects[1:]] == ["2", "3", "6"]
    repeats, rest = divmod(rows, len(lines))
    long_out, long_rejects = score(table(*lines * repeats, *lines[:rest], header=header, name="long.csv"))
    assert rest == 5 + rows % 100_000  # the good and the bad ones among the first lines
    last_good, last_bad = (3, 2) if rest == 5 else (3, 3)
    assert long_out == [out[0], *out[1:] * repeats, *out[1 : 1 + last_good]]
    assert [row[1:] for row in long_rejects] == [
        row[1:] for row in [rejects[0], *rejects[1:] * repeats, *rejects[1 : 1 + last_bad]]
    ]
    numbers = [int(row[0]) for row in long_rejects[1:]]
    assert numbers == [number for number in range(1, rows + 1) if (number - 1) % len(lines) in (1, 2, 5)]


def test_bytes_that_are_not_utf8_are_carried_untouched(score: Score, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"city,calls,minutes,messages,mb_used\r\nM\xfcnchen,1,2,3,4\r\n\xff,x,2,3,4\r\n")
    score(path)
    assert re.search(rb"\nM\xfcnchen,1,2,3,4,[01],0\.", (tmp_path / "out.csv").read_bytes())
    assert b",\xff,x,2,3,4\n" in (tmp_path / "out.rejects.csv").read_bytes()


CELL = st.one_of(
    st.floats(0, 1e6).map(repr),
    st.sampled_from(["", " ", "0", "-1", "nan", "inf", "1e999", "1_0", "abc", "12,5", 'a"b', "two\nlines", "a\rb"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
)
ROW = st.lists(CELL, min_size=2, max_size=6) | st.lists(CELL, min_size=5, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scored")


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=80)
@given(rows=st.lists(ROW, min_size=1, max_size=8))
@example(rows=[["1", "2", "3", "4", "a\rb"]])
@example(rows=[["x", "2", "3", "4", ""]])
def test_rows_in_are_rows_out_plus_rejects(
    trained: TrainedModel, scorer: Scorer, folder: Path, rows: list[list[str]]
) -> None:
    source, out = folder / "in.csv", folder / "out.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([[*HEADER, "note"], *rows])
    code = predict.main(["--input", str(source), "--output", str(out), "--model", trained.tag, *MADE_UP])
    scored, rejected = read(out), read(folder / "out.rejects.csv")
    good, bad = [], []
    for number, row in enumerate(rows, start=1):
        values, refused = parse_usage(row[:4])
        if len(row) == 5 and not refused.any():
            probability = scorer.probabilities(values[None, :])[0]
            good.append([*row, str(int(probability >= 0.5)), repr(float(probability))])
        else:
            bad.append([str(number), *[*row, *[""] * 5][:5]])
    assert scored == [[*HEADER, "note", *NEW], *good]
    assert code == int(len(bad) > 0.1 * len(rows))
    assert [[row[0], *row[2:]] for row in rejected[1:]] == bad
    assert all(row[1].startswith(("expected", *(f"{name}: {REASON}" for name in HEADER))) for row in rejected[1:])


@pytest.mark.parametrize(
    ("header", "lines", "sentence"),
    [
        (None, [], "expected a header and at least one row, found an empty file"),
        ("calls,minutes,messages,mb_used", [], "expected at least one row after the header, found none"),
        ("calls,minutes", ["1,2"], "expected the columns calls, minutes, messages, mb_used; missing messages, mb_used; "
         "found calls, minutes"),
        ("calls,calls,minutes,messages,mb_used", ["1,1,2,3,4"],
         "expected each column once, found calls more than once"),
        ("calls,minutes,messages,mb_used,pred_is_ultra", ["1,2,3,4,0"],
         "expected no column named pred_is_ultra, which this command adds"),
        ("calls,minutes,messages,mb_used, proba_is_ultra,pred_is_ultra", ["1,2,3,4,0,0"],
         "expected no column named pred_is_ultra, proba_is_ultra, which this command adds"),
    ],
    ids=["empty", "header only", "columns missing", "column twice", "scored before", "scored before, padded"],
)  # fmt: skip
def test_a_bad_file_is_refused_in_one_sentence_and_writes_nothing(
    command: Command, trained: TrainedModel, tmp_path: Path, header: str | None, lines: list[str], sentence: str
) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("" if header is None else "\n".join([header, *lines]) + "\n")
    out.write_text("previous")
    answer = command(predict.main, "--input", source, "--output", out, "--model", trained.tag)
    assert (answer.code, answer.out, answer.err) == (2, "", f"error: {source}: {sentence}\n")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "in.csv": source.read_text(), "out.csv": "previous"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--input", "no.csv"], "no.csv: expected a readable CSV file, found: No such file or directory"),
        (["--input", "."], ".: expected a readable CSV file, found: Is a directory"),
        (["--output", "{data}"], "expected a file of its own for each input and output, found it named twice"),
        (["--rejects", "{data}"], "expected a file of its own for each input and output, found it named twice"),
        (["--rejects", "{out}"], "expected a file of its own for each input and output, found it named twice"),
        (["--rejects", "."], ".: expected a file that can be written, found: Is a directory"),
        (["--model", "plan_recommender:none"], "expected the model plan_recommender:none in the BentoML model store "),
        (["--model", "other:1"], "expected a model tag plan_recommender:<version>, found 'other:1'"),
        (["--model", ""], "expected a model tag plan_recommender:<version>, found ''"),
        (["--model", "plan_recommender:../x"], "expected the model plan_recommender:../x in the BentoML model store "),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_in_one_sentence(
    command: Command, trained: TrainedModel, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    before = hashlib.sha256(DATA.read_bytes()).hexdigest()
    out = tmp_path / "out.csv"
    usual = ["--input", str(DATA), "--output", str(out)]
    given = [argument.format(data=DATA, out=out) for argument in arguments]
    answer = command(predict.main, *usual, *given)
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert sentence in answer.err
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert hashlib.sha256(DATA.read_bytes()).hexdigest() == before


@pytest.mark.slow
def test_without_a_model_the_real_command_says_what_to_do(tmp_path: Path) -> None:
    result = run(
        "predict.py", "--input", DATA, "--output", tmp_path / "out.csv", env={"BENTOML_HOME": str(tmp_path / "home")}
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: expected the model plan_recommender:latest in the BentoML model store {tmp_path / 'home' / 'models'}, "
        "found none; train one with `python train.py`, or set BENTOML_HOME to the store that holds it\n"
    )
    assert not (tmp_path / "out.csv").exists()


def test_a_run_that_fails_halfway_leaves_the_previous_output(
    command: Command, trained: TrainedModel, table: Table, tmp_path: Path
) -> None:
    """The file stops being CSV behind more rows than are read at once."""
    out, rejects = tmp_path / "out.csv", tmp_path / "rejects.csv"
    out.write_text("previous")
    rows = ["1,2,3,4"] * 60_000
    for last, code in (("1,2,3," + "4" * 200_000, 2), ("1,2,3,4", 0)):  # the second is the control
        source = table(*rows, last, header=",".join(HEADER))
        answer = command(
            predict.main, "--input", source, "--output", out, "--rejects", rejects, "--model", trained.tag, *MADE_UP
        )
        assert answer.code == code
        if code:
            assert answer.err == f"error: {source}: expected CSV, found: field larger than field limit (131072)\n"
            assert out.read_text() == "previous"
            assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "table.csv"]
    assert len(read(out)) == 60_002
    assert len(read(rejects)) == 1


@pytest.mark.slow
def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(trained: TrainedModel, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    arguments = ["predict.py", "--input", str(DATA), "--output", str(out), "--model", trained.tag]
    limited = ["bash", "-c", 'ulimit -f 8; exec "$@"', "limited", sys.executable, *arguments]  # no file above 8 KiB
    result = subprocess.run(limited, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
