"""What people's files look like: read as they are, read with options, or named with what to do.

The file is long because each format is written by the same helpers, then read, refused or proposed options for.
"""

import argparse
import codecs
import gzip
import io
import os
import shlex
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data import csv_file
from plan_recommender.data.csv_table import LabelledTable, read_features, read_labelled
from plan_recommender.data.table_file import open_table
from plan_recommender.data.table_options import add_table_options, format_of
from plan_recommender.errors import ConfigError, MissingLibraryError, TableError

HEADER = "calls,minutes,messages,mb_used,is_ultra"
FINITE = "expected a finite number that is not negative, or an empty cell"
LINES = [HEADER, "1,2.5,3,4000.25,0", "5,6,,8,1"]
FEATURES = [[1, 2.5, 3, 4000.25], [5, 6, np.nan, 8]]
ES = "Llamadas;Minutos;Mensajes;Datos MB;Plan\n1;2,5;3;4000,25;smart\n5;6;;8; Ultra \n"
ES_COLUMNS = {"calls": "Llamadas", "minutes": "Minutos", "messages": "Mensajes", "mb_used": "Datos MB"}
SPANISH = TableFormat(sep=";", decimal=",", map={**ES_COLUMNS, "is_ultra": "Plan"})
CSV = ("\n".join(LINES) + "\n").encode()
UTF16 = "text in UTF-16: convert it, for example with `iconv -f UTF-16 -t UTF-8`, or save it as CSV UTF-8"
SAVE = "save it as CSV UTF-8 in the program that it comes from"


def write(folder: Path, content: bytes | str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, CSV)
    return file.getvalue()


def _id(value: object) -> str:
    """Name a case without its bytes: an archive holds the time, which differs between processes of pytest-xdist."""
    return value if isinstance(value, str) else type(value).__name__


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    return file.getvalue()


def as_parquet(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(cast(Any, columns)), path)
    return path


def refusal(path: Path, format: TableFormat | None = None) -> str:
    with pytest.raises(TableError) as caught:
        read_labelled(path, format=format or TableFormat())
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ").removesuffix(" (rows are counted from 1 after the header)")


def assert_read(table: LabelledTable) -> None:
    np.testing.assert_array_equal(table.features, FEATURES)
    assert table.target.tolist() == [0, 1]


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "no_suffix"])
@pytest.mark.parametrize(
    ("content", "format"),
    [
        (CSV, TableFormat()),
        (codecs.BOM_UTF8 + CSV, TableFormat()),
        (CSV.replace(b",", b";"), TableFormat(sep=";")),
        (CSV.replace(b",", b"\t"), TableFormat(sep="tab")),
        (CSV.replace(b",", b"|"), TableFormat(sep="|")),
        (CSV.replace(b",", b";").replace(b".", b","), TableFormat(sep=";", decimal=",")),
        (CSV.replace(b"2.5", b'"2,5"').replace(b"4000.25", b'"4000,25"'), TableFormat(decimal=",")),
        (ES, SPANISH),
        (codecs.BOM_UTF8 + ES.replace("\n", "\r\n").encode(), SPANISH),
    ],
    ids=["CSV", "BOM", "semicolon", "tab", "bar", "decimal comma", "quoted decimal comma", "Spanish", "as from Excel"],
)
def test_text_is_read_whatever_its_separator_decimal_sign_and_names_compressed_or_not(
    tmp_path: Path, content: bytes | str, format: TableFormat, name: str
) -> None:
    content = content.encode() if isinstance(content, str) else content
    assert_read(read_labelled(write(tmp_path, content, name), format=format))
    packed = read_labelled(write(tmp_path, gzip.compress(content), name), format=format)
    assert_read(packed)
    np.testing.assert_array_equal(read_features(packed.path, ["messages", "calls"], format), [[3, 1], [np.nan, 5]])


@pytest.mark.parametrize("label", [[0, 1], [False, True], ["Smart", "Ultra"], [0.0, 1.0]], ids=str)
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("number", [pa.float64(), pa.float32(), pa.decimal128(12, 2), pa.string()], ids=str)
def test_parquet_is_read_whatever_the_types(
    tmp_path: Path, number: pa.DataType, decimal: Literal[".", ","], label: list[object]
) -> None:
    doubles = [pa.array(column, pa.float64()) for column in ([1, 5], [2.5, 6], [3, None], [4000.25, 8])]
    columns = [column.cast(number) for column in doubles]
    if number == pa.string():  # text has the decimal sign that it has, numbers have none
        columns = [pc.replace_substring(column, ".", decimal) for column in columns]
    names = HEADER.split(",")[:4]
    path = as_parquet(tmp_path / "t", **dict(zip(names, columns, strict=True)), is_ultra=label, region=["é", None])
    table = read_labelled(path, format=TableFormat(decimal=decimal))
    assert_read(table)
    assert table.texts["region"].cells.tolist() == ["é", ""]


def test_every_double_of_parquet_is_the_same_double(tmp_path: Path) -> None:
    doubles = np.random.default_rng(1).integers(0, 0x7FE0_0000_0000_0000, 2000).view(np.float64)
    doubles = doubles[doubles < 1e15]
    path = as_parquet(tmp_path / "table", **dict.fromkeys(HEADER.split(",")[:4], doubles))
    assert read_features(path).tobytes() == np.column_stack([doubles] * 4).tobytes()


def test_parquet_is_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "CHUNK_ROWS", 3)
    path = as_parquet(tmp_path / "table", a=list(range(7)))
    with open_table(path) as table:
        assert [chunk.rows for chunk in table.chunks()] == [[["0"], ["1"], ["2"]], [["3"], ["4"], ["5"]], [["6"]]]


def test_what_parquet_holds_beside_numbers_becomes_text(tmp_path: Path) -> None:
    days = {"day": pa.array([17_000], pa.date32()), "far": pa.array([10_000_000], pa.date32())}
    path = as_parquet(tmp_path / "table", **days, yes=[True], raw=[b"\xff"], tags=[["a", "b"]])
    with open_table(path) as table:
        (chunk,) = table.chunks()
    assert chunk.rows == [["2016-07-18", "29349-01-26", "true", "\udcff", '["a", "b"]']]


def test_a_cell_that_is_not_usage_is_named_in_parquet_too(tmp_path: Path) -> None:
    path = as_parquet(
        tmp_path / "table", calls=[1, -2], minutes=[np.nan, 1], messages=[1, 1], mb_used=[1, 1], is_ultra=[0, 1]
    )
    assert (
        refusal(path) == f"column 'calls', row 2: {FINITE}, found '-2'; column 'minutes', row 1: {FINITE}, found 'nan'"
    )


def test_without_pyarrow_parquet_is_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_parquet(tmp_path / "table", calls=[1])
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(cast("dict[str, object]", sys.modules), "pyarrow", None)
    with pytest.raises(MissingLibraryError) as caught:
        read_labelled(path)
    assert str(caught.value) == (
        f"{path}: expected the library pyarrow to read Parquet, found none; install it with "
        "`pip install --require-hashes --no-deps -r requirements/training.txt`, or save the table as CSV"
    )
    assert_read(read_labelled(write(tmp_path, CSV)))  # the control: the rest needs none


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (codecs.BOM_UTF16_LE + CSV.decode().encode("utf-16-le"), UTF16),
        (codecs.BOM_UTF16_BE + CSV.decode().encode("utf-16-be"), UTF16),
        (CSV.decode().encode("utf-16-le"), UTF16),
        (CSV.decode().encode("utf-16-be"), UTF16),
        (gzip.compress(CSV.decode().encode("utf-16")), UTF16.replace("UTF-16:", "UTF-16, compressed with gzip:", 1)),
        (zipped("a.csv"), "a zip archive with the file a.csv: unzip it first"),
        (zipped("a.csv", "b.csv"), "a zip archive with 2 files: unzip it first"),
        (zipped("a.csv")[:40], "a zip archive: unzip it first"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook (.xlsx): save the sheet as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "an old Excel workbook (.xls): save the sheet as CSV UTF-8"),
        (b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
         "an OpenDocument spreadsheet (.ods): save the sheet as CSV UTF-8"),
        (b"%PDF-1.7\n%", f"a PDF document: {SAVE}"),
        (b"\x89PNG\r\n\x1a\n", f"a picture (PNG): {SAVE}"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", f"a picture (JPEG): {SAVE}"),
        (b"\n<!DOCTYPE html><table>", f"a web page (HTML): {SAVE}"),
        (b'[{"calls": 1}]', f"JSON: {SAVE}"),
        (tarred(), "a tar archive: unpack it first"),
        (gzip.compress(tarred()), "a tar archive, compressed with gzip: unpack it first"),
        (gzip.compress(gzip.compress(CSV)), "a file compressed twice with gzip: unpack it once"),
        (gzip.compress(b"PAR1"),
         "a Parquet file, compressed with gzip: unpack it first: Parquet is compressed in itself"),
        (b"BZh91AY&SY", "a file compressed with bzip2: unpack it first"),
    ],
    ids=_id,
)  # fmt: skip
def test_what_is_not_read_is_named_with_the_remedy(tmp_path: Path, content: bytes, sentence: str) -> None:
    # The name says nothing: people call a spreadsheet .csv, too.
    assert refusal(write(tmp_path, content)) == f"expected a table as CSV or Parquet, found {sentence}"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            gzip.compress(CSV * 100)[:-20],
            "expected a complete file compressed with gzip, found: Compressed file ended before",
        ),
        (
            gzip.compress(CSV)[:25] + b"\0" * 30,
            "expected a complete file compressed with gzip, found: CRC check failed",
        ),
        (b"PAR1" + bytes(100), "expected a complete Parquet file, found: "),
        (gzip.compress(b""), "expected a header and at least one row, found an empty file"),
    ],
    ids=["cut gzip", "damaged gzip", "damaged Parquet", "empty gzip"],
)
def test_a_damaged_file_is_told_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    assert refusal(write(tmp_path, content)).startswith(sentence)


@pytest.mark.parametrize(
    ("content", "format", "sentence"),
    [
        (CSV.replace(b",", b";"), TableFormat(),
         "expected comma-separated columns, found a header with ';': pass --sep ';'"),
        (CSV.replace(b",", b";").replace(b".", b","), TableFormat(),
         "expected comma-separated columns, found a header with ';': pass --sep ';' --decimal ','"),
        (CSV.replace(b",", b"\t"), TableFormat(),
         "expected comma-separated columns, found a header with tabs: pass --sep tab"),
        (CSV, TableFormat(sep=";"), "expected semicolon-separated columns, found a header with ',': pass --sep ','"),
        (CSV.replace(b",", b"|"), TableFormat(sep="tab"),
         "expected tab-separated columns, found a header with '|': pass --sep '|'"),
        (ES, TableFormat(),
         "expected comma-separated columns, found a header with ';': pass --sep ';' --decimal ',' --map calls=Llamadas "
         "--map minutes=Minutos --map messages=Mensajes --map 'mb_used=Datos MB' --map is_ultra=Plan"),
        (b'"calls";"minutes";"x,y"\n1;2;3\n', TableFormat(),
         "expected comma-separated columns, found a header with ';': pass --sep ';'"),
    ],
    ids=_id,
)  # fmt: skip
def test_another_separator_is_recognised_with_the_options_to_pass(
    tmp_path: Path, content: bytes | str, format: TableFormat, sentence: str
) -> None:
    assert refusal(write(tmp_path, content), format) == sentence


def test_the_options_that_are_proposed_are_those_that_work(tmp_path: Path) -> None:
    path = write(tmp_path, ES)
    assert refusal(path).endswith("--map 'mb_used=Datos MB' --map is_ultra=Plan")
    assert_read(read_labelled(path, format=SPANISH))


def test_a_decimal_comma_without_the_option_is_told_with_the_option(tmp_path: Path) -> None:
    path = write(tmp_path, CSV.replace(b",", b";").replace(b".", b","))
    assert refusal(path, TableFormat(sep=";")) == (
        f"column 'minutes', row 1: {FINITE}, found '2,5'; column 'mb_used', row 1: {FINITE}, found '4000,25'; "
        "if the comma is the decimal sign, pass --decimal ','"
    )
    assert "--decimal" not in refusal(write(tmp_path, CSV.replace(b"2.5", b"x")))  # the control


@pytest.mark.parametrize("cell", ["1.5", "1_5", "1,2,3", "x"])
def test_with_a_decimal_comma_a_point_is_not_taken_for_anything(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path, f"calls;minutes;messages;mb_used;is_ultra\n{cell};2;3;4;0\n")
    assert refusal(path, TableFormat(sep=";", decimal=",")) == (
        "column 'calls', row 1: expected a finite number with a decimal comma that is not negative, or an empty cell, "
        f"found {cell!r}"
    )


WITHOUT = "write the numbers without it (in a spreadsheet, cell format 0.00)"
DECIMAL = "if the comma is the decimal sign, pass --decimal ','"


@pytest.mark.parametrize(
    ("decimal", "cell", "what_helps"),
    [
        (",", "1.234,56", f"the point separates thousands: {WITHOUT}"),
        (",", "1.234.567", f"the point separates thousands: {WITHOUT}"),
        (",", "1.234", f"if the point separates thousands, {WITHOUT}"),
        (
            ",",
            "1,234.5",
            f"the comma separates thousands: {WITHOUT}; the point is the decimal sign then: leave out --decimal ','",
        ),
        (".", "1,234.5", f"the comma separates thousands: {WITHOUT}"),
        (".", "1,234,567", f"the comma separates thousands: {WITHOUT}"),
        (".", "1,234", f"{DECIMAL}; if it separates thousands, {WITHOUT}"),
        (".", "1.234,56", f"the point separates thousands: {WITHOUT}; {DECIMAL}"),
        (".", "1 000", f"the blank separates thousands: {WITHOUT}"),
        (".", "1\u00a0234.5", f"the blank separates thousands: {WITHOUT}"),
        (".", "1'234.5", f"the apostrophe separates thousands: {WITHOUT}"),
        (".", "12,34.5", ""),  # none of these
        (".", "1.234.5", ""),
    ],
)
def test_separated_thousands_are_named_with_the_remedy(
    tmp_path: Path, decimal: Literal[".", ","], cell: str, what_helps: str
) -> None:
    path = write(tmp_path, f"calls|minutes|messages|mb_used|is_ultra\n1|2|3|{cell}|0\n1|2|3|4|1\n")
    message = refusal(path, TableFormat(sep="|", decimal=decimal))
    assert message.endswith(f"or an empty cell, found {cell!r}" + (f"; {what_helps}" if what_helps else ""))
    assert "thousands" not in refusal(write(tmp_path, CSV.replace(b"2.5", b"x")))  # the control


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", "\ufeffsep=;"])
def test_a_line_that_tells_excel_the_separator_is_passed_over(tmp_path: Path, line: str) -> None:
    semicolons = CSV.decode().replace(",", ";")
    path = write(tmp_path, f"{line}\n{semicolons}")
    assert_read(read_labelled(path, format=TableFormat(sep=";")))
    assert refusal(path) == "expected comma-separated columns, found a header with ';': pass --sep ';'"
    longer = write(tmp_path, f"{line}x\n{semicolons}")  # a header like any other
    assert "; missing calls, minutes, messages, mb_used, is_ultra; found " in refusal(longer, TableFormat(sep=";"))


@pytest.mark.parametrize(
    ("header", "suggested"),
    [
        ("Calls,MINUTES,Messages,Mb_Used,Is_Ultra", "calls=Calls minutes=MINUTES messages=Messages mb_used=Mb_Used "
         "is_ultra=Is_Ultra"),
        ("calls,minutes,messages,MB Used,is ultra", "'mb_used=MB Used' 'is_ultra=is ultra'"),
        ("calls,minutes,messages,mbUsed,es_ultra", "mb_used=mbUsed is_ultra=es_ultra"),
        ("llamadas,minutos,mensajes,megas,es_ultra", "calls=llamadas minutes=minutos messages=mensajes mb_used=megas "
         "is_ultra=es_ultra"),
        ("n_llamadas,Minutos,SMS,datos,ES ULTRA", "calls=n_llamadas minutes=Minutos messages=SMS mb_used=datos "
         "'is_ultra=ES ULTRA'"),
        ("Número de llamadas,call_minutes,sms,mb_usados,es_ultra", "'calls=Número de llamadas' minutes=call_minutes "
         "messages=sms mb_used=mb_usados is_ultra=es_ultra"),
    ],
)  # fmt: skip
def test_columns_under_other_names_are_suggested_and_not_taken(tmp_path: Path, header: str, suggested: str) -> None:
    message = refusal(write(tmp_path, f"{header}\n1,2,3,4,0\n"))
    options = [f"--map {shlex.quote(option)}" for option in shlex.split(suggested)]
    assert message.endswith(f"; did you mean {' '.join(options)}?")


@pytest.mark.parametrize("header", ["gb_used", "gigas", "GB", "x", "mb_used_last_year"])
def test_what_may_be_something_else_is_not_suggested(tmp_path: Path, header: str) -> None:
    assert "did you mean" not in refusal(write(tmp_path, f"calls,minutes,messages,{header},is_ultra\n1,2,3,4,0\n"))


@pytest.mark.parametrize(
    ("cells", "suggested"),
    [(["smart", "Ultra"], True), ([" SMART ", "", "smart"], True), (["surf", "ultimate"], False), ([""], False)],
)
def test_a_column_of_plans_is_suggested_as_the_label(tmp_path: Path, cells: list[str], suggested: bool) -> None:
    rows = "".join(f"1,2,3,4,{cell}\n" for cell in cells)
    path = write(tmp_path, f"calls,minutes,messages,mb_used,plan\n{rows}")
    found = "calls, minutes, messages, mb_used, plan"
    sentence = f"expected the columns {HEADER.replace(',', ', ')}; missing is_ultra; found {found}"
    assert refusal(path) == sentence + ("; did you mean --map is_ultra=plan?" if suggested else "")


def test_a_label_may_be_the_name_of_a_plan_and_nothing_else(tmp_path: Path) -> None:
    lines = [f"1,2,3,4,{cell},north" for cell in ("Smart", "ULTRA", " ultra ", "0", "1.0", "TRUE")]
    path = write(tmp_path, "\n".join(["calls,minutes,messages,mb_used,plan,region", *lines]) + "\n")
    table = read_labelled(path, format=TableFormat(map={"is_ultra": "plan"}))
    assert table.target.tolist() == [0, 1, 1, 0, 1, 1]
    assert list(table.texts) == ["plan", "region"]  # the label too, which says which plan is held
    path.write_text(path.read_text().replace("ULTRA", "ultimate"))
    message = refusal(path, TableFormat(map={"is_ultra": "plan"}))
    assert message == "column 'plan', row 2: expected 0 or 1, or Smart or Ultra, found 'ultimate'"


def test_a_mapped_column_counts_and_not_one_of_the_usual_name(tmp_path: Path) -> None:
    path = write(tmp_path, "calls,minutes,messages,mb_used,is_ultra,call_minutes\n1,2,3,4,0,60\n1,2,3,4,1,70\n")
    table = read_labelled(path, format=TableFormat(map={"minutes": "call_minutes"}))
    assert table.features.tolist() == [[1, 60, 3, 4], [1, 70, 3, 4]]
    assert table.texts["minutes"].cells.tolist() == ["2", "2"]
    swapped = read_labelled(path, format=TableFormat(map={"calls": "minutes", "minutes": "calls"}))
    assert swapped.features.tolist() == [[2, 1, 3, 4]] * 2
    assert refusal(path, TableFormat(map={"minutes": "Call Minutes"})) == (
        "expected the columns calls, Call Minutes, messages, mb_used, is_ultra; missing Call Minutes; found calls, "
        "minutes, messages, mb_used, is_ultra, call_minutes; did you mean --map minutes=call_minutes?"
    )


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(CSV),))
    writer.start()
    np.testing.assert_array_equal(read_features(pipe), FEATURES)
    writer.join()


Format = Callable[..., TableFormat]


@pytest.fixture
def given() -> Format:
    """The format that options of a command describe."""

    def parse(*arguments: str, base: TableFormat | None = None) -> TableFormat:
        parser = argparse.ArgumentParser()
        add_table_options(parser)
        return format_of(parser.parse_args(arguments), base or TableFormat())

    return parse


def test_options_replace_what_the_configuration_says_one_by_one(given: Format) -> None:
    assert given() == TableFormat()
    assert given("--sep", "\\t").sep == given("--sep", "tab").sep == given("--sep", "\t").sep == "\t"
    base = TableFormat(sep=";", decimal=",", map={"calls": "c", "minutes": "m"})
    assert given(base=base) == base
    assert given("--decimal", ".", "--map", " minutes = call minutes", base=base) == TableFormat(
        sep=";", decimal=".", map={"calls": "c", "minutes": "call minutes"}
    )
    assert given("--map", "minutes=a=b").map == {"minutes": "a=b"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sep", ""], "--sep: expected one character that no number and no name contains, such as ; or |, or the "
         "word tab, found ''"),
        (["--sep", "a"], "--sep: expected one character"),
        (["--sep", ";;"], "--sep: expected one character"),
        (["--sep", '"'], "--sep: expected one character"),
        (["--sep", "."], "--sep: expected one character"),
        (["--map", "minutes"], "--map: expected FEATURE=COLUMN with FEATURE one of calls, minutes, messages, mb_used, "
         "is_ultra, found 'minutes'"),
        (["--map", "minutes="], "--map: expected FEATURE=COLUMN"),
        (["--map", "Minutos=minutes"], "--map: expected FEATURE=COLUMN with FEATURE one of calls, minutes, messages, "
         "mb_used, is_ultra, found 'Minutos=minutes'; did you mean --map minutes=Minutos?"),
        (["--map", "calls=a", "--map", "calls=b"], "--map: expected each feature once, found calls more than once"),
        (["--map", "calls=minutes"], "--map: expected a column of its own for each name, found minutes for "
         "more than one"),
    ],
)  # fmt: skip
def test_impossible_options_are_refused_in_one_sentence(given: Format, arguments: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given(*arguments)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_header_in_latin_1_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("Llamadas,Duración,Mensajes,Megas,is_ultra\n1,2,3,4,0\n".encode("latin-1"))
    with pytest.raises(TableError, match=r"as Latin-1 and Windows-1252 have them .* `iconv -f WINDOWS-1252 -t UTF-8`"):
        read_labelled(path)
