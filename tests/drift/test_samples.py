"""The current sample of drift.py may be a folder of the prediction log."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import drift
from plan_recommender.data.csv_table import read_features
from plan_recommender.drift.samples import read_sample
from tests.conftest import Command
from tests.logged import line, write_log
from tools.server import ROOT

DATA = ROOT / "users_behavior.csv"
Table = Callable[..., Path]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Rows of the shipped table as if their predictions had been logged in two weeks; the second has twice the data."""
    rows = read_features(DATA)[:2000]
    first = [line(row.tolist(), days=i / 500) for i, row in enumerate(rows)]
    second = [line((row * [1, 1, 1, 2]).tolist(), days=7 + i / 500) for i, row in enumerate(rows)]
    return write_log(tmp_path / "log", *first, *second)


def test_a_log_is_judged_as_the_table_of_its_rows_would_be(
    command: Command, log: Path, table: Table, tmp_path: Path
) -> None:
    rows = read_sample(log).features
    same = table(*(",".join([*map(repr, row), "0"]) for row in rows.tolist()))
    reports = []
    for current in (log, same):
        out = tmp_path / f"{current.name}.json"
        answer = command(drift.main, "--ref", DATA, "--cur", current, "--out", out)
        assert answer.code == 1
        reports.append(json.loads(out.read_text()))
    assert reports[0] == reports[1]
    assert reports[0]["current_rows"] == 4000


def test_times_choose_the_week_that_is_judged(command: Command, log: Path, tmp_path: Path) -> None:
    def judged(*times: str) -> tuple[int, str]:
        answer = command(drift.main, "--ref", DATA, "--cur", log, "--out", tmp_path / "report.json", *times)
        return answer.code, answer.out.splitlines()[0]

    week = "2,000 predictions by 1 model, from 2026-11-"
    assert judged("--until", "2026-11-08") == (0, f"{log}: {week}02 08:00 to 2026-11-06 07:57 UTC")
    assert judged("--since", "2026-11-09T08:00") == (1, f"{log}: {week}09 08:00 to 2026-11-13 07:57 UTC")
    assert judged("--since", "2026-11-09T08:00+00:00")[0] == 1
    assert judged("--since", "2026-11-09T10:00+02:00", "--until", "2026-11-11")[1].startswith(f"{log}: 834 predictions")


def test_what_was_left_out_is_said(command: Command, log: Path, tmp_path: Path) -> None:
    write_log(log, line(), "{}", line()[:40], name="20261120T000000.000000Z-1-0c", end="")
    answer = command(drift.main, "--ref", DATA, "--cur", log, "--out", tmp_path / "report.json")
    assert answer.out.splitlines()[0].endswith(
        "UTC; left out 1 last line that breaks off; left out 1 damaged line, the first in line 2 of "
        "predictions-20261120T000000.000000Z-1-0c.jsonl"
    )


def test_features_are_those_that_are_named(log: Path) -> None:
    everything, some = read_sample(log), read_sample(log, ["mb_used", "calls"])
    assert np.array_equal(some.features, everything.features[:, [3, 0]])
    assert everything.log is not None
    assert read_sample(DATA, ["calls"]).log is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--cur", str(DATA), "--since", "2026-11-01"], "--since and --until: expected a folder of the prediction log"),
        (["--cur", "LOG", "--since", "2027-01-01"], "expected at least one prediction since 2027-01-01T00:00:00+00:00"),
        (["--cur", "LOG", "--since", "yesterday"], "expected a date such as 2026-11-01, or one with a time"),
        (["--cur", "EMPTY"], "expected files predictions-*.jsonl of the service's prediction log, found none"),
    ],
)
def test_what_cannot_be_read_is_exit_code_2(
    command: Command, log: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"LOG": str(log), "EMPTY": str(tmp_path / "empty")}
    out = tmp_path / "report.json"
    answer = command(drift.main, "--ref", DATA, "--out", out, *(places.get(word, word) for word in arguments))
    assert answer.code == 2
    assert sentence in answer.err
    assert not out.exists()
