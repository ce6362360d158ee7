"""The section on warehouses: its figures are those that were measured, and it stands beside the one on files."""

from dataclasses import replace

import pytest

from benchmark.page import section_of, with_section
from benchmark.warehouse_page import COPIES, Measured, Run, write_section

GOOD = Measured(
    rows=1_000_000,
    row_bytes=37.0,
    rounds=3,
    runs={name: [Run(2.0, 3.0), Run(1.0, 2.5), Run(1.5, 9.0)] for name in COPIES},
    conditions="a day, a commit, a machine",
)


def test_the_section_says_what_was_measured_and_which_goals_were_kept() -> None:
    section, kept = write_section(replace(GOOD, runs=GOOD.runs | {"Spark, CSV scored": [Run(1.65, 2.0)]}))
    assert kept
    assert "| duckdb, scored with SQL | 1.50 | 1.00 | 666,667 | 3.00 |" in section
    assert "| Spark, CSV scored | 1.65 | 1.10 | 606,061 | 2.00 |" in section
    assert "| duckdb: millions of rows scored with SQL in a CPU second, ≥ 0.5 | 0.667 | kept |" in section
    assert "| Spark: CPU seconds of CSV scored to CSV copied, ≤ 1.2 | 1.1 | kept |" in section


@pytest.mark.parametrize("contender", ["duckdb, scored with SQL", "Spark, CSV scored"])
def test_a_slow_contender_misses_a_goal(contender: str) -> None:
    section, kept = write_section(replace(GOOD, runs=GOOD.runs | {contender: [Run(2.1, 1.0)]}))
    assert not kept
    assert section.count("| missed |") == 1


def test_every_section_takes_the_place_of_its_own() -> None:
    page = with_section(with_section("# Benchmark\n", "files", "of files\n"), "warehouse", "first\n")
    again = with_section(page, "warehouse", "second\n")
    assert again == page.replace("first", "second")
    assert "of files" in section_of(again, "files")
    assert "second" in section_of(again, "warehouse")
