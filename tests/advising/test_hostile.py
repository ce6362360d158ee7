"""Tables with random faults, in any order, are advised on as row by row, at every size of blocks and ranges."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from plan_recommender.advising import cells, reading
from plan_recommender.advising.arrays import offsets
from plan_recommender.advising.month_batch import NO_PLAN
from tests.advising import hostile
from tests.made_up_months import adviser

TABLES = 120


def differing(folder: Path, seeds: range) -> int | None:
    """Give the first seed whose outputs differ."""
    for seed in seeds:
        table = hostile.make(seed)
        expected = hostile.expected(table, folder, adviser())
        if hostile.refusal_or_bytes(table, folder, adviser()) != expected:
            return seed
    return None


@pytest.mark.slow
def test_hostile_tables_are_advised_on_as_row_by_row(tmp_path: Path) -> None:
    assert differing(tmp_path, range(TABLES)) is None


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["order", "blanks", "odd rows", "plan"])
def test_the_comparison_finds_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """The control: with a fault that was put in, some of the tables differ."""
    if fault == "order":  # of two rows for the same month, any one is rejected
        monkeypatch.setattr("numpy.argsort", lambda keys, kind: np.lexsort((-np.arange(len(keys)), keys)))
    elif fault == "blanks":
        monkeypatch.setattr(cells, "_stripped", lambda column: (column, offsets(column)[1:] > offsets(column)[:-1]))
    elif fault == "odd rows":
        monkeypatch.setattr(reading, "judge", lambda *given, **rest: judged_as_certain(cells.judge(*given, **rest)))
    else:
        monkeypatch.setattr(cells, "_plan", lambda text, plans: NO_PLAN)
    with suppress(IndexError, ValueError, KeyError, RuntimeWarning):  # a fault may also end in an error of its own
        assert differing(tmp_path, range(TABLES)) is not None


def judged_as_certain(judged: cells.Judged) -> cells.Judged:
    return judged._replace(certain=np.ones(len(judged.months), dtype=np.bool_))
