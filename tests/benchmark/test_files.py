"""The section on files: its figures are those that were measured, and a process is measured as a whole."""

import sys
from dataclasses import replace

import pytest

from benchmark.files_page import OURS, Measured, write_section
from benchmark.page import section_of, with_section
from benchmark.process import Taken, take
from plan_recommender.errors import PlanRecommenderError
from tools.server import ROOT

OTHERS = ("pyarrow, text copied", "Python csv, copied", "pyarrow, Parquet copied", "pandas and scikit-learn")


def taken(cpu: float, seconds: float = 1.0, mib: float = 100.0) -> Taken:
    return Taken(cpu, seconds, [(0.0, 10.0), (seconds / 2, mib)])


GOOD = Measured(
    rows=1_000_000,
    few=100_000,
    row_bytes=37.0,
    rounds=3,
    taken={name: [taken(0.5, 2.0), taken(0.4), taken(0.6, 9.0)] for name in (*OURS, *OTHERS)}
    | {
        "Python csv, copied": [taken(2.0)],
        "predict.py, two jobs": [taken(0.6, 1.2)],
        "predict.py, 100 rows": [taken(0.4, 0.24)],
    },
    long=100_000_000,
    memory=taken(40.0, 20.0, 120.0),
    conditions="a day, a commit, a machine",
    seed=False,
)


def test_the_section_says_what_was_measured_and_which_goals_were_kept() -> None:
    section, kept = write_section(GOOD)
    assert kept
    assert "| predict.py | 0.50 | 500 | 2.00 | 100 |" in section
    assert "| CSV: CPU seconds of pyarrow's text copy to ours, ≥ 0.6 | 1 | kept |" in section
    assert "| CSV: our CPU seconds to those of Python csv's copy, ≤ 0.45 | 0.25 | kept |" in section
    assert "of two jobs on two cores to that of one on one, once started, ≥ 1.7 | 1.83 | kept |" in section
    assert "in every tenth of the time (MiB): 10, 0, 0, 0, 0, 120, 0, 0, 0, 0." in section


@pytest.mark.parametrize("contender", ["predict.py", "predict.py, Parquet", "predict.py, 100 rows"])
def test_a_slow_contender_misses_a_goal(contender: str) -> None:
    slow = replace(GOOD, taken=GOOD.taken | {contender: [taken(1.0, 0.24 if "100" in contender else 2.0)]})
    section, kept = write_section(slow)
    assert not kept
    assert section.count("| missed |") == (2 if contender == "predict.py" else 1)


def test_two_jobs_are_not_judged_by_rounds_in_which_others_took_the_cores() -> None:
    quiet, disturbed = taken(0.6, 1.2), replace(taken(0.6, 9.0), others=0.9)
    name = "predict.py, two jobs"
    assert write_section(replace(GOOD, taken=GOOD.taken | {name: [disturbed, quiet, disturbed]}))[1]
    section, kept = write_section(replace(GOOD, taken=GOOD.taken | {name: [disturbed]}))
    assert kept
    assert "≥ 1.7: other processes took the cores in every round | | not measured |" in section


def test_memory_counts_wherever_it_was() -> None:
    assert not write_section(replace(GOOD, memory=taken(40.0, 20.0, 151.0)))[1]
    assert not write_section(replace(GOOD, taken=GOOD.taken | {"predict.py --explain": [taken(1.0, 1.0, 151.0)]}))[1]


def test_the_section_takes_the_place_of_the_one_before() -> None:
    page = with_section("# Benchmark\n\nServers.\n", "files", "first\n")
    again = with_section(page, "files", "second\n")
    assert again == page.replace("first", "second")
    assert section_of(again, "files").count("second") == 1
    assert section_of("# Benchmark\n", "files") == ""


@pytest.mark.slow
def test_a_process_is_measured_with_its_memory_and_its_processor_time() -> None:
    busy = (
        "import time; kept = b'x' * 80_000_000; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    )
    small, large = (take([sys.executable, "-c", program], {0}, ROOT) for program in ("pass", busy))
    assert large.peak_mib > small.peak_mib + 70
    assert small.cpu_seconds + 0.25 < large.cpu_seconds < 2
    with pytest.raises(PlanRecommenderError, match=r"(?s)expected exit code 0, found .*ZeroDivisionError"):
        take([sys.executable, "-c", "1 / 0"], {0}, ROOT)
