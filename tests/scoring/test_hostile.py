"""Files with random faults of dialect are scored as row by row, at every size of blocks, and keep their bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.scoring import line_scorer, plain_text, row_blocks
from plan_recommender.scoring.answers import Answerer
from plan_recommender.scoring.plain_text import PlainLines
from tests.scoring import hostile

FILES = 200


@pytest.fixture(scope="module")
def check(model: RegisteredModel) -> Callable[[int, Path], None]:
    document = model.document()
    scorer, answerer = Scorer(document), Answerer(document)
    return lambda seed, folder: hostile.check(hostile.make(seed), scorer, answerer, folder)


@pytest.mark.slow
def test_hostile_files_are_scored_as_row_by_row(check: Callable[[int, Path], None], tmp_path: Path) -> None:
    for seed in range(FILES):
        try:
            check(seed, tmp_path)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def every_line_is_plain(block: plain_text.Text, _sep: str) -> PlainLines:
    """A fault: no look at quotes, and none at carriage returns."""
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    return PlainLines(ends if text[-1] == ord("\n") else np.append(ends, len(text)), b"\n")


def no_usage_is_wrong(column: Any, values: npt.NDArray[np.float64]) -> None:
    """A fault: negative and infinite values count as usage."""
    numbers = np.array(column.to_pylist(), dtype=np.float64)
    values[:] = numbers


def differs(check: Callable[[int, Path], None], folder: Path) -> bool:
    try:
        for seed in range(FILES):
            check(seed, folder)
    except Exception:  # a fault may also end in an error of another kind than the comparison's
        return True
    return False


@pytest.mark.parametrize("fault", ["quotes", "values", "bytes"])
def test_the_comparison_finds_a_fault(
    check: Callable[[int, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The control: with a fault that was put in, some of the files differ."""
    if fault == "quotes":
        for module in (plain_text, row_blocks, line_scorer):
            monkeypatch.setattr(module, "plain_lines", every_line_is_plain)
    elif fault == "values":
        monkeypatch.setattr(plain_text, "copy_usage", no_usage_is_wrong)
    else:
        monkeypatch.setattr(line_scorer, "_text", lambda row, sep: sep.join(row.cells).encode(errors="surrogateescape"))
    assert differs(check, tmp_path)
