"""`python -m tools.check_bills`: an operator's bills beside ours."""

from pathlib import Path

import pytest

from tests.conftest import Command
from tools import check_bills
from tools.server import ROOT

HEADER = "calls,minutes,messages,mb_used,billed_minutes,billed_gb,on_smart,on_ultra"
MONTHS = ("85,516.7,56,22696.96,540,23,2288.00,1950", "4,21.5,0,1200,23,2,550,1950")


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    return [
        *("--months", str(tmp_path / "months.csv"), "--tariffs", str(ROOT / "tariffs.yaml")),
        *("--bills", "on_smart", "on_ultra"),
    ]


def test_bills_that_are_the_operators_pass_and_one_that_is_not_is_named(
    command: Command, arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "months.csv").write_text("\n".join([HEADER, *MONTHS]) + "\n")
    same = command(check_bills.main, *arguments)
    assert (same.code, same.err) == (0, "")
    assert "2 months, 2 billed as the operator did" in same.out
    (tmp_path / "months.csv").write_text("\n".join([HEADER, *MONTHS]).replace("2288.00", "2288.01") + "\n")
    other = command(check_bills.main, *arguments)
    assert other.code == 1
    assert "2 months, 1 billed as the operator did" in other.out
    assert "row 1: expected" in other.err
    assert "2288.0" in other.err


def test_a_month_without_numbers_is_named(command: Command, arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "months.csv").write_text(f"{HEADER}\n{MONTHS[0]}\n{MONTHS[1].replace('23,2', '23,')}\n")
    answer = command(check_bills.main, *arguments)
    assert answer.code == 2
    assert "expected numbers in every column that is used, found in row 2" in answer.err
