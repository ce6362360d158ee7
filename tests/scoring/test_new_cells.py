"""New cells: the text of many answers at once is the text that `repr` and the csv module write one by one."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_recommender.scoring.answers import Answers
from plan_recommender.scoring.new_cells import new_cells

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)
EDGES = [1e-4, np.nextafter(1e-4, 0), 9.9e-05, 1e-5, 1e-7, 1e-300, 5e-324, 0.5, np.nextafter(1.0, 0), 0.1, 1 / 3]


def written(probabilities: list[float], sep: str, decimal: str, reasons: list[str] | None = None) -> list[bytes]:
    values = np.array(probabilities)
    cells = new_cells(Answers((values >= 0.5).astype(np.int64), values, reasons), sep, decimal)
    return [b"".join(row) for row in zip(*(column.to_pylist() for column in cells), strict=True)]


def expected(probabilities: list[float], sep: str, decimal: str) -> list[bytes]:
    return [f"{sep}{int(p >= 0.5)}{sep}{repr(p).replace('.', decimal)}".encode() for p in probabilities]


@pytest.mark.parametrize(("sep", "decimal"), [(",", "."), (";", ","), ("\t", "."), ("|", ",")])
def test_probabilities_are_written_as_repr_writes_them(sep: str, decimal: str) -> None:
    many = np.random.default_rng(7).uniform(0, 1, 20_000) ** np.repeat([1, 4, 40], [10_000, 5_000, 5_000])
    probabilities = [*map(float, EDGES), *many.tolist()]
    assert written(probabilities, sep, decimal) == expected(probabilities, sep, decimal)
    assert min(probabilities) < 1e-5 < max(probabilities)


@PROPERTY
@given(st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), max_size=5))
def test_any_probabilities_are(probabilities: list[float]) -> None:
    assert written(probabilities, ",", ".") == expected(probabilities, ",", ".")


@pytest.mark.parametrize("sep", [",", ";"])
def test_reasons_are_quoted_as_the_csv_module_quotes_them(sep: str) -> None:
    reasons = ["plain", "a, b", "a; b", 'say "x"', '"', "Zoë"]
    file = io.StringIO()
    csv.writer(file, delimiter=sep, lineterminator="\n").writerows([["", reason] for reason in reasons])
    tails = [line.encode() for line in file.getvalue().splitlines()]
    found = written([0.25] * len(reasons), sep, ".", reasons)
    assert found == [f"{sep}0{sep}0.25".encode() + tail for tail in tails]
