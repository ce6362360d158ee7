"""Tables: what is usage, what is missing, and one sentence for everything else."""

import csv
import io
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plan_recommender.data import csv_file as module
from plan_recommender.data.cells import parse_usage
from plan_recommender.data.csv_table import check_trainable, read_features, read_labelled
from plan_recommender.data.table_file import open_table
from plan_recommender.errors import TableError
from plan_recommender.model.digests import sha256

PROPERTY = settings(derandomize=True, deadline=None, max_examples=300)
FINITE = "expected a finite number that is not negative, or an empty cell"
LABEL = "expected 0 or 1, or Smart or Ultra"
NUMBER = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
GOOD_ROW = "85,516.7,56,22696.96,1"

Table = Callable[..., Path]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def refusal(path: Path) -> str:
    with pytest.raises(TableError) as caught:
        read_labelled(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ").removesuffix(" (rows are counted from 1 after the header)")


def test_a_good_table_is_read_whole(table: Table) -> None:
    path = table(GOOD_ROW, "0,0,0,0,0", "1,2.5,,4e3,1.0")
    read = read_labelled(path)
    np.testing.assert_array_equal(read.features, [[85, 516.7, 56, 22696.96], [0, 0, 0, 0], [1, 2.5, math.nan, 4000]])
    assert read.target.tolist() == [1, 0, 1]
    assert read.missing == {"calls": 0, "minutes": 0, "messages": 1, "mb_used": 0}
    assert (read.path, read.sha256) == (path, sha256(path))


@pytest.mark.parametrize(
    ("header", "missing", "found"),
    [
        ("calls,minutes,messages,mb_used", "is_ultra", "calls, minutes, messages, mb_used"),
        ("calls,is_ultra", "minutes, messages, mb_used", "calls, is_ultra"),
        ("a,minutes,messages,mb_used,b", "calls, is_ultra", "a, minutes, messages, mb_used, b"),
    ],
)
def test_missing_columns_are_named(table: Table, header: str, missing: str, found: str) -> None:
    assert refusal(table(GOOD_ROW, header=header)) == (
        f"expected the columns calls, minutes, messages, mb_used, is_ultra; missing {missing}; found {found}"
    )


def test_a_column_that_stands_twice_is_refused(table: Table) -> None:
    path = table("1,1,1,1,0,1,1", header="calls,minutes,messages,mb_used,is_ultra,calls, minutes")
    assert refusal(path) == "expected each column once, found calls, minutes more than once"


def test_a_column_that_nobody_needs_may_stand_twice(table: Table) -> None:
    path = table("a,1,2,3,4,0,b", header="note,calls,minutes,messages,mb_used,is_ultra,note")
    assert read_labelled(path).features.tolist() == [[1, 2, 3, 4]]


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_bytes(b"")
    assert refusal(path) == "expected a header and at least one row, found an empty file"


def test_a_header_alone_is_refused(table: Table) -> None:
    assert refusal(table()) == "expected at least one row after the header, found none"


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.csv") == "expected a readable CSV file, found: No such file or directory"
    assert refusal(tmp_path) == "expected a readable CSV file, found: Is a directory"


@pytest.mark.parametrize(
    "cell",
    ["abc", "-1", "-0.001", "inf", "-inf", "Infinity", "nan", "NaN", "NA", "1_000", "1e999", "0x1F", "1.2.3",
     "1,2,5", "\u0661\u0662", "\uff11\uff12", "1\0", "TRUE", "#DIV/0!", "--1", "1e"],
)  # fmt: skip
@pytest.mark.parametrize("column", ["calls", "mb_used"])
def test_a_cell_that_is_not_usage_is_refused_by_row_and_column(table: Table, column: str, cell: str) -> None:
    row = {"calls": "1", "minutes": "2", "messages": "3", "mb_used": "4", "is_ultra": "0"} | {column: f'"{cell}"'}
    path = table(GOOD_ROW, ",".join(row.values()), GOOD_ROW)
    assert refusal(path) == f"column '{column}', row 2: {FINITE}, found {cell!r}"


@pytest.mark.parametrize("cell", ["2", "-1", "0.5", "yes", "Ultr", "nan", "inf", "0_1", "", " "])
def test_a_label_that_is_neither_0_nor_1_is_refused(table: Table, cell: str) -> None:
    found = repr(cell) if cell else "no label"
    assert refusal(table(GOOD_ROW, f"1,2,3,4,{cell}")) == (f"column 'is_ultra', row 2: {LABEL}, found {found}")


@pytest.mark.parametrize(("row", "cells"), [("1,2,3,4", 4), ("1,2,3,4,0,6", 6), ("1", 1), ("   ", 1)])
def test_a_row_of_another_length_is_refused(table: Table, row: str, cells: int) -> None:
    assert refusal(table(GOOD_ROW, GOOD_ROW, row)) == f"row 3: expected 5 cells, found {cells} cells"


def test_all_problems_are_named_in_one_sentence_with_their_rows(table: Table) -> None:
    path = table("x,2,3,4,0", GOOD_ROW, "y,-2,3,4,0", "1,2,3,4,5", "1,2")
    assert refusal(path) == (
        f"row 5: expected 5 cells, found 2 cells; column 'calls', rows 1, 3: {FINITE}, found 'x' in row 1; "
        f"column 'minutes', row 3: {FINITE}, found '-2'; column 'is_ultra', row 4: {LABEL}, found '5'"
    )


def test_at_most_ten_rows_are_named(table: Table) -> None:
    path = table(*["-1,2,3,4,0"] * 1234)
    assert refusal(path) == (
        f"column 'calls', rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 1,224 more: {FINITE}, found '-1' in row 1"
    )


def test_rows_are_counted_across_chunks(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(*[GOOD_ROW] * 4, "1,2,x,4,0", GOOD_ROW, "1,2,3,4,7")
    whole = refusal(path)
    monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    assert refusal(path) == whole
    assert "row 5" in whole
    assert "row 7" in whole


def test_chunks_add_up_to_the_table(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(*[f"{i},{i}.5,,{i},{i % 2}" for i in range(7)])
    whole = read_labelled(path)
    monkeypatch.setattr(module, "CHUNK_ROWS", 3)
    chunked = read_labelled(path)
    np.testing.assert_array_equal(chunked.features, whole.features)
    np.testing.assert_array_equal(chunked.target, whole.target)
    with open_table(path) as reader:
        assert [len(chunk) for chunk in reader.chunks()] == [3, 3, 1]


USUAL = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]


@pytest.mark.parametrize(
    "content",
    [
        b"calls,minutes,messages,mb_used,is_ultra\n1,2,3,4,0\n5,6,7,8,1\n",
        b"calls,minutes,messages,mb_used,is_ultra\n1,2,3,4,0\n5,6,7,8,1",
        b"\xef\xbb\xbfcalls,minutes,messages,mb_used,is_ultra\r\n1,2,3,4,0\r\n5,6,7,8,1\r\n",
        b"calls,minutes,messages,mb_used,is_ultra\r1,2,3,4,0\r5,6,7,8,1\r",
        b'"calls","minutes","messages","mb_used","is_ultra"\n"1","2","3","4","0"\n"5","6","7","8","1"\n',
        b"calls, minutes ,messages,mb_used,is_ultra\n 1,2 ,\t3,4, 0\n5,6,7,8,1\n",
        b"calls,minutes,messages,mb_used,is_ultra\n\n1,2,3,4,0\n\n\n5,6,7,8,1\n\n",
        b"\ncalls,minutes,messages,mb_used,is_ultra\n1,2,3,4,0\n5,6,7,8,1\n",
        b"city,calls,minutes,messages,mb_used,is_ultra\nM\xfcnchen,1,2,3,4,0\n\xff\xfe,5,6,7,8,1\n",
        b'note,calls,minutes,messages,mb_used,is_ultra\n"two\nlines, one ""cell""",1,2,3,4,0\n,5,6,7,8,1\n',
    ],
    ids=["plain", "no last newline", "BOM and CRLF", "CR", "quoted", "padded", "blank lines", "blank line first",
         "not UTF-8", "line break in a cell"],
)  # fmt: skip
def test_the_ways_of_writing_a_csv_file_are_read_alike(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    read = read_labelled(path)
    assert (read.features.tolist(), read.target.tolist()) == (USUAL, [0, 1])


@pytest.mark.parametrize("cell", ["", " ", "\t", '""', '"  "'])
def test_an_empty_cell_is_a_missing_value(table: Table, cell: str) -> None:
    read = read_labelled(table(f"1,{cell},3,4,0", GOOD_ROW))
    assert np.isnan(read.features).tolist() == [[False, True, False, False], [False] * 4]
    assert read.missing == {"calls": 0, "minutes": 1, "messages": 0, "mb_used": 0}


def test_a_cell_beyond_what_csv_allows_is_refused(table: Table) -> None:
    path = table(f"1,2,3,4,0,{'x' * 140_000}", header="calls,minutes,messages,mb_used,is_ultra,note")
    assert refusal(path) == "expected CSV, found: field larger than field limit (131072)"


def test_a_quote_that_never_ends_is_refused(table: Table) -> None:
    path = table(GOOD_ROW, '1,"2,3,4,0', GOOD_ROW)
    assert refusal(path).startswith("row 2: expected 5 cells, found 2 cells")


def test_a_long_cell_does_not_make_a_long_sentence(table: Table) -> None:
    message = refusal(table(f"{'9' * 100_000}x,2,3,4,0"))
    assert message.startswith(f"column 'calls', row 1: {FINITE}, found '999")
    assert len(message) < 500


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_class_cannot_be_trained_on(table: Table, label: int) -> None:
    path = table(*[f"1,2,3,4,{label}"] * 3)
    with pytest.raises(TableError) as caught:
        check_trainable(read_labelled(path), 0.05)
    assert str(caught.value) == (
        f"{path}: expected both labels 0 and 1 in column 'is_ultra', found only {label} in all 3 rows"
    )


def test_missing_cells_up_to_the_share_pass_and_beyond_it_do_not(table: Table) -> None:
    read = read_labelled(table("1,2,,4,0", *["1,2,3,4,1"] * 3))
    check_trainable(read, 0.25)
    with pytest.raises(TableError) as caught:
        check_trainable(read, 0.2)
    assert str(caught.value) == (
        f"{read.path}: expected at most 20.0% empty cells in column 'messages' (data.max_missing_share), "
        "found 1 of 4 (25.0%)"
    )


def test_only_the_asked_columns_are_read_in_the_order_asked(table: Table) -> None:
    path = table("1,not read,3,4,not read")
    assert read_features(path, ["mb_used", "calls"]).tolist() == [[4, 1]]
    with pytest.raises(TableError, match="column 'minutes', row 1"):
        read_features(path, ["minutes"])


CELLS = st.lists(
    st.one_of(
        st.text(max_size=6),
        st.from_regex(r"\A ?[+-]?[0-9_]{0,4}\.?[0-9]{0,3}([eE][+-]?[0-9]{1,3})? ?\Z"),
        st.floats().map(repr),
        st.sampled_from(["", " ", "nan", "inf", "1_0", "-0", "1e400", "infinity"]),
    ),
    max_size=8,
)


def is_zero(text: str) -> bool:
    """Whether a text with a minus sign is zero all the same, as -0 and -1e-400 are."""
    unsigned = text.removeprefix("-")
    return bool(NUMBER.fullmatch(unsigned)) and float(unsigned) == 0


@pytest.mark.slow
@PROPERTY
@given(CELLS)
@example(["\u0663"])
def test_a_cell_is_empty_or_a_finite_number_from_zero_or_refused(texts: list[str]) -> None:
    values, bad = parse_usage(texts)
    assert values.shape == bad.shape == (len(texts),)
    for text, value, refused in zip(texts, values.tolist(), bad.tolist(), strict=True):
        core = text.strip()
        if not core:
            assert math.isnan(value)
            assert not refused
        elif (NUMBER.fullmatch(core) or is_zero(core)) and math.isfinite(float(core)):
            assert not refused
            assert value == float(core)
        else:
            assert refused, text


@PROPERTY
@given(st.lists(st.floats(min_value=0, allow_infinity=False), min_size=1))
def test_every_number_that_is_written_is_read_back(numbers: list[float]) -> None:
    values, bad = parse_usage([repr(number) for number in numbers])
    assert values.tolist() == numbers
    assert not bad.any()


@PROPERTY
@given(st.lists(st.tuples(*[st.floats(0, 1e9)] * 4, st.sampled_from([0, 1])), min_size=1, max_size=5))
def test_a_table_written_by_python_is_read_back(
    scratch: Path, rows: list[tuple[float, float, float, float, int]]
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["calls", "minutes", "messages", "mb_used", "is_ultra"], *rows])
    path = scratch / "written.csv"
    path.write_text(text.getvalue(), newline="")
    read = read_labelled(path)
    assert read.features.tolist() == [list(row[:4]) for row in rows]
    assert read.target.tolist() == [row[4] for row in rows]


def test_values_whose_squares_would_overflow_are_refused_by_row(table: Table) -> None:
    with pytest.raises(TableError, match=r"column 'calls', row 2: expected at most 1e\+15, found '1e200'"):
        read_labelled(table("1e15,2,3,4,0", "1e200,2,3,4,1"))


def test_a_table_too_small_to_train_on_is_refused(table: Table) -> None:
    read = read_labelled(table(*["1,2,3,4,0", "1,2,3,4,1"] * 5))
    check_trainable(read, 0, min_rows=10)
    with pytest.raises(TableError, match=r"expected at least 11 rows to train on \(data\.min_rows\), found 10"):
        check_trainable(read, 0, min_rows=11)


def test_every_other_column_is_read_as_text(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(
        "1,2,3,4,0, north ,5,6", "1,2,3,4,1,,5,7", '1,2,3,4,1,"a, b",5,8', "1,2,3,4,1,north,5,8",
        header="calls,minutes,messages,mb_used,is_ultra, region,twice,twice",
    )  # fmt: skip
    whole = read_labelled(path)
    assert list(whole.texts) == ["region"]  # not a column whose name another one has
    region = whole.texts["region"]
    assert (region.values, region.codes.tolist()) == (("north", "", "a, b"), [0, 1, 2, 0])
    assert region.cells.tolist() == ["north", "", "a, b", "north"]
    assert region.take(np.array([3, 1])).cells.tolist() == ["north", ""]
    assert whole.take(np.array([1])).texts["region"].cells.tolist() == [""]
    assert whole.features.shape == (4, 4)
    with monkeypatch.context() as small:
        small.setattr(module, "CHUNK_ROWS", 2)
        assert read_labelled(path).texts["region"].cells.tolist() == region.cells.tolist()
    calls = read_labelled(path, ["calls"]).texts["calls"]  # a column may be read as both
    assert calls.cells.tolist() == ["1"] * 4


def test_a_text_that_is_not_utf8_is_refused_where_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"calls,minutes,messages,mb_used,is_ultra,region\n1,2,3,4,0,north\n1,2,3,4,1,s\xfcd\n")
    assert read_labelled(path).target.tolist() == [0, 1]  # the control
    with pytest.raises(TableError, match=r"column 'region', row 2: expected text in UTF-8, found 's\\udcfcd'"):
        read_labelled(path, ["region"])
