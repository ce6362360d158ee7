"""Tables of months: every row belongs to its subscriber or is rejected with its reason, in any order and size."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plan_recommender.billing.forecast import MAX_MONTHS, Month
from plan_recommender.config.table_format import MonthsFormat, TableFormat
from plan_recommender.data import month_spill
from plan_recommender.data.month_intake import Intake, take_in
from plan_recommender.data.month_spill import History, spilled_months
from plan_recommender.data.months import month_number
from plan_recommender.data.outputs import replacing
from plan_recommender.data.table_file import open_table
from plan_recommender.errors import OutputError, TableError
from tests.made_up_months import COLUMNS, lines_of_months, write_months

NEEDED = "subscriber,month,calls,minutes,messages,mb_used"
USAGE = "expected a number from 0 to 1,000,000,000"
PLANS = ("Smart", "Ultra")


def take(
    path: Path, format: TableFormat | None = None, *, rounds_calls: bool = False
) -> tuple[list[History], list[list[str]], Intake]:
    """Read a table of months: the histories, the rejects without their header, and the counts."""
    rejects = path.with_name("rejects.csv")
    with (
        open_table(path, format or MonthsFormat()) as table,
        spilled_months(path) as spill,
        replacing(rejects) as file,
    ):
        intake = take_in(table, PLANS, spill, file, None, rounds_calls=rounds_calls)
        histories = list(spill.histories())
    with rejects.open(encoding="utf-8", errors="surrogateescape", newline="") as written:
        rows = list(csv.reader(written))
    assert sorted(file.name for file in path.parent.iterdir()) == sorted({path.name, "rejects.csv"})
    return histories, rows, intake


def reasons(path: Path, format: TableFormat | None = None) -> dict[str, str]:
    return {row[0]: row[1] for row in take(path, format)[1]}


@pytest.mark.parametrize(
    ("text", "number"),
    [("2018-11", 2018 * 12 + 10), (" 2018-11 ", 2018 * 12 + 10), ("2018-11-30", 2018 * 12 + 10),
     ("2018-11-30 23:59:59", 2018 * 12 + 10), ("2018-01-01T00:00:00.000000000Z", 2018 * 12),
     ("2018-12-31T23:00:00-05:00", 2018 * 12 + 11), ("2018-13", None), ("2018-11-31", None), ("201811", None),
     ("2018-11-30 25:00", None), ("2018", None), ("11/2018", None), ("", None), ("2018-11-", None),
     ("٢٠١٨-11", None), ("0000-01", None)],
)  # fmt: skip
def test_a_month_is_read_from_a_month_a_date_or_a_timestamp(text: str, number: int | None) -> None:
    assert month_number(text) == number


def test_what_the_optional_columns_hold_is_known_and_the_rest_is_not(tmp_path: Path) -> None:
    full = ["a,2018-01,smart,1,2,3,4,5,0.5", "a,2018-02,,1,2,3,4,,", "a,2018-03, ULTRA ,1,2,3,4, ,1"]
    (history,), *_ = take(write_months(tmp_path / "months.csv", full))
    assert history == History(
        "a", [2018 * 12, 2018 * 12 + 1, 2018 * 12 + 2], [0, None, 1],
        [Month(1, 2, 3, 4, 5, 0.5), Month(1, 2, 3, 4, None, 1), Month(1, 2, 3, 4, None, 1)],
    )  # fmt: skip
    (history,), *_ = take(write_months(tmp_path / "months.csv", ["a,2018-01,1,2,3,4"], NEEDED))
    assert history == History("a", [2018 * 12], [None], [Month(1, 2, 3, 4)])


def test_days_of_registration_and_of_leaving_give_the_share_of_a_month(tmp_path: Path) -> None:
    header = f"{NEEDED},registered_on,left_on"
    lines = [
        "a,2019-02,1,2,3,4,2019-02-15,",
        "a,2019-03,1,2,3,4,2019-02-15,2019-04-10",
        "a,2019-04,1,2,3,4,2019-02-15,2019-04-10",
        "a,2019-05,1,2,3,4,,",
        "b,2019-01,1,2,3,4,2019-02-15,",
        "b,2019-03,1,2,3,4,yesterday,",
    ]
    path = write_months(tmp_path / "months.csv", lines, header)
    (history,), *_ = take(path)
    assert [month.active_share for month in history.used] == [14 / 28, 1, 10 / 30, 1]
    expected = "registered_on: expected dates YYYY-MM-DD, and a registration before the month was over, found "
    assert reasons(path) == {"5": f"{expected}'2019-02-15'", "6": f"{expected}'yesterday'"}
    told = write_months(path, ["a,2019-02,1,2,3,4,2019-02-15,,0.25"], f"{header},active_share")
    (history,), *_ = take(told)
    assert history.used[0].active_share == 0.25, "what is told counts more"


def test_the_plan_held_is_the_one_that_was_named_last(tmp_path: Path) -> None:
    lines = ["a,2018-03,,1,2,3,4,,", "a,2018-02,Ultra,1,2,3,4,,", "a,2018-01,Smart,1,2,3,4,,"]
    (history,), *_ = take(write_months(tmp_path / "months.csv", lines))
    assert [history.before(place)[0] for place in range(4)] == [None, 0, 1, 1]


def test_no_more_than_the_last_months_count(tmp_path: Path) -> None:
    months = [f"{2010 + i // 12}-{i % 12 + 1:02}" for i in range(MAX_MONTHS + 3)]
    lines = [f"a,{month},{i},0,0,0" for i, month in enumerate(months)]
    (history,), *_ = take(write_months(tmp_path / "months.csv", lines, NEEDED))
    assert [month.calls for month in history.before(len(months))[1]] == list(range(3, len(months)))
    assert [month.calls for month in history.before(2)[1]] == [0, 1]


def test_every_cell_that_cannot_be_is_named(tmp_path: Path) -> None:
    lines = [
        " ,2018-01,Smart,1,2,3,4,5,1",
        "a,January,Smart,1,2,3,4,5,1",
        "a,2018-01,Gold,1,2,3,4,5,1",
        "a,2018-01,Smart,,2,3,1000000001,5,1",
        "a,2018-01,Smart,-1,nan,inf,1_0,5,1",
        "a,2018-01,Smart,1,2,3,4,x,0",
        "a,2018-01,Smart,1,2,3,4,5,1.01",
        "a,2018-01",
        "a,2018-01,Smart,1,2,3,4,5,1",
        "a,2018-01-31,Ultra,1,2,3,4,5,1",
        'a,2018-02,Smart,1,2,3,"4,5",5,1',
    ]
    path = write_months(tmp_path / "months.csv", lines)
    share = "active_share: expected a number from 0.01 to 1, or an empty cell"
    assert reasons(path) == {
        "1": "subscriber: expected whose month it is, found ' '",
        "2": "month: expected a month YYYY-MM, a date or a timestamp, found 'January'",
        "3": "plan: expected Smart, Ultra or an empty cell, found 'Gold'",
        "4": f"calls: {USAGE}, found ''; mb_used: {USAGE}, found '1000000001'",
        "5": f"calls: {USAGE}, found '-1'; minutes: {USAGE}, found 'nan'; messages: {USAGE}, found 'inf'; "
        f"mb_used: {USAGE}, found '1_0'",
        "6": f"billed_minutes: {USAGE}, or an empty cell, found 'x'; {share}, found '0'",
        "7": f"{share}, found '1.01'",
        "8": "expected 9 cells, found 2",
        "10": "month: expected each month of a subscriber once, found 2018-01 again, which is in row 9",
        "11": f"mb_used: {USAGE}, found '4,5'; if the comma is the decimal sign, pass --decimal ','",
    }  # fmt: skip
    histories, rows, intake = take(path)
    assert [history.used for history in histories] == [[Month(1, 2, 3, 4, 5, 1)]]
    assert rows[7] == ["8", "expected 9 cells, found 2", "a", "2018-01", *[""] * 7]
    assert (intake.rows, intake.rejected) == (11, 10)
    assert intake.first_reject == "row 1, subscriber: expected whose month it is, found ' '"


def test_billed_minutes_that_contradict_the_calls_are_rejected_where_calls_are_rounded(tmp_path: Path) -> None:
    usage = "85,516.7,56,22696.96"
    billed = ("0", "431.6", "431.7", "540", "", "601.7", "602", "1000000000")
    lines = [f"a,2018-{month:02},Smart,{usage},{minutes},1" for month, minutes in enumerate(billed, start=1)]
    lines += ["b,2018-01,Smart,0,0,0,0,0,1", "b,2018-02,Smart,2,2,0,0,0,1", "b,2018-03,Smart,x,2,0,0,9,1"]
    path = write_months(tmp_path / "months.csv", lines)
    said = (
        "billed_minutes: expected a number from 431.7 to 601.7, because each call is rounded by a minute at most, or "
    )
    rows = {row[0]: row[1] for row in take(path, rounds_calls=True)[1]}
    assert rows == {
        **{row: f"{said}an empty cell, found '{billed[int(row) - 1]}'" for row in ("1", "2", "7", "8")},
        "11": f"calls: {USAGE}, found 'x'",
    }
    assert list(reasons(path)) == ["11"]


def test_blanks_around_a_subscriber_make_no_other_subscriber(tmp_path: Path) -> None:
    lines = [" a,2018-01,1,2,3,4", "a\t,2018-02,1,2,3,4", "a ,2018-01,1,2,3,4", "a b,2018-01,1,2,3,4"]
    path = write_months(tmp_path / "months.csv", lines, NEEDED)
    histories, rows, _ = take(path)
    assert [(history.subscriber, len(history.used)) for history in histories] == [("a", 2), ("a b", 1)]
    assert [row[:2] for row in rows] == [
        ["3", "month: expected each month of a subscriber once, found 2018-01 again, which is in row 1"]
    ]
    assert rows[0][2] == "a ", "a reject is repeated as it is"


def test_separators_decimal_commas_names_and_gzip_make_no_difference(tmp_path: Path) -> None:
    lines = lines_of_months(20)
    plain = take(write_months(tmp_path / "months.csv", lines))
    spanish = tmp_path / "spanish" / "meses.csv.gz"
    spanish.parent.mkdir()
    header = COLUMNS.replace("subscriber", "abonado").replace("plan", "Tarifa")
    text = "\n".join([header, *lines]).replace(",", ";").replace(".", ",")
    spanish.write_bytes(gzip.compress(("\ufeff" + text).encode()))
    format = MonthsFormat(sep=";", decimal=",", map={"subscriber": "abonado", "plan": "Tarifa"})
    assert take(spanish, format) == plain
    assert len(plain[0]) == 20


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("abonado,Mes,calls,minutes,messages,mb_used", "missing subscriber, month; found abonado, Mes, calls, minutes, "
         "messages, mb_used; did you mean --map subscriber=abonado --map month=Mes?"),
        (f"{NEEDED},Plan", "expected the column plan, found Plan: pass --map plan=Plan"),
        (f"{NEEDED},billed minutes", "pass --map 'billed_minutes=billed minutes'"),
        (f"{NEEDED},Contrato", "expected the plan held in a column plan, found names of plans in Contrato: pass "
         "--map plan=Contrato, or leave that column out"),
        (f"{NEEDED},minutos_facturados", "expected the column billed_minutes, found minutos_facturados: pass "
         "--map billed_minutes=minutos_facturados"),
        (f"{NEEDED},activo", "expected the column active_share, found activo: pass --map active_share=activo"),
        (f"{NEEDED},plan,plan", "expected each column once, found plan more than once"),
    ],
    ids=[
        *("missing", "almost a plan", "almost billed minutes", "plans elsewhere"),
        *("Spanish minutes", "Spanish share", "twice"),
    ],
)  # fmt: skip
def test_columns_under_other_names_are_told_and_not_passed_over(tmp_path: Path, header: str, found: str) -> None:
    cells = ["a", "2018-01", "1", "2", "3", "4", "smart", ""][: header.count(",") + 1]
    with pytest.raises(TableError) as caught:
        take(write_months(tmp_path / "months.csv", [",".join(cells)], header))
    assert found in str(caught.value)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="expected at least one row after the header, found none"):
        take(write_months(tmp_path / "months.csv", []))


@pytest.mark.parametrize("seed", range(5))
def test_months_are_grouped_as_pandas_groups_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Rows in a random order, some of them twice, read in chunks of seven."""
    monkeypatch.setattr("plan_recommender.data.csv_file.CHUNK_ROWS", 7)
    rng = np.random.default_rng(seed)
    lines = lines_of_months(12, seed=seed)
    lines += [lines[i].rpartition(",")[0] + ",0.5" for i in rng.permutation(len(lines))[:10]]
    lines = [lines[i] for i in rng.permutation(len(lines))]
    path = write_months(tmp_path / "months.csv", lines)
    frame = pd.read_csv(path, dtype={"subscriber": str})
    frame["row"] = range(1, len(frame) + 1)
    twice = frame.duplicated(["subscriber", "month"])
    expected = {
        str(name): part.sort_values("month")[
            ["calls", "minutes", "messages", "mb_used", "billed_minutes", "active_share"]
        ]
        for name, part in frame[~twice].groupby("subscriber")
    }
    histories, rejects, _ = take(path)
    assert [history.subscriber for history in histories] == sorted(expected)
    for history in histories:
        assert [list(month) for month in history.used] == expected[history.subscriber].to_numpy().tolist()
    assert [int(row[0]) for row in rejects] == frame["row"][twice].tolist()
    assert len(rejects) == 10


def test_a_subscriber_is_any_text_and_comes_back_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "months.csv"
    path.write_bytes(f"{NEEDED}\n".encode() + b'M\xfcller,2018-01,1,2,3,4\n"a ""b"", c",2018-01,1,2,3,4\n'
                     b" 7 ,2018-01,1,2,3,4\n07,2018-01,1,2,3,4\n")  # fmt: skip
    histories, _, intake = take(path)
    assert [history.subscriber for history in histories] == ["07", "7", "M\udcfcller", 'a "b", c']
    assert intake.rejected == 0


def fail_within_a_spill(path: Path) -> None:
    with spilled_months(path):
        assert len(list(path.parent.iterdir())) == 1  # the control
        raise RuntimeError


def test_the_temporary_file_is_gone_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fail_within_a_spill(tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_where_no_temporary_file_can_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected a folder that can be written"):
        fail_within_a_spill(tmp_path / "file" / "out.csv")


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_months(tmp_path / "months.csv", lines_of_months(50))
    assert len(take(path)[0]) == 50  # the control
    (tmp_path / "rejects.csv").unlink()
    monkeypatch.setattr(month_spill, "_SET_UP", month_spill._SET_UP + "PRAGMA max_page_count = 3;")
    with pytest.raises(OutputError, match="expected room beside it for a temporary file, found: database or disk is"):
        take(path)
    assert list(tmp_path.iterdir()) == [path]
