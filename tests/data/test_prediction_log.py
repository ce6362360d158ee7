"""A folder of the prediction log is read line by line; what is no line of it is counted, and never guessed."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from plan_recommender.data.prediction_log import read_log
from plan_recommender.errors import TableError
from tests.logged import MONDAY, line, write_log


def test_every_value_is_the_one_that_was_written(tmp_path: Path) -> None:
    write_log(tmp_path, line((1, 0.1 + 0.2, 3, 5e-324), 1 / 3, "a", model="m:1"), line(days=1, model="m:2"))
    write_log(tmp_path, line(probability=0.75, days=2, model="m:1"), name="20261104T080000.000000Z-2-0b")
    found = read_log(tmp_path)
    assert found.features[0].tolist() == [1, 0.1 + 0.2, 3, 5e-324]
    assert found.probabilities.tolist() == [1 / 3, 0.25, 0.75]
    assert found.predictions.tolist() == [0, 0, 1]
    assert found.references == ["a", None, None]
    assert found.models.cells.tolist() == ["m:1", "m:2", "m:1"]
    assert found.times.tolist() == [(MONDAY + timedelta(days=days)).timestamp() for days in range(3)]
    assert found.left_out == (0, 0, "", 0)
    assert found.sentence == (f"{tmp_path}: 3 predictions by 2 models, from 2026-11-02 08:00 to 2026-11-04 08:00 UTC")


def test_since_counts_and_until_does_not(tmp_path: Path) -> None:
    write_log(tmp_path, *(line(days=days, reference=str(days)) for days in range(5)))
    day = timedelta(days=1)
    assert read_log(tmp_path, since=MONDAY + day).references == ["1", "2", "3", "4"]
    assert read_log(tmp_path, until=MONDAY + 3 * day).references == ["0", "1", "2"]
    assert read_log(tmp_path, MONDAY + day, MONDAY + 3 * day).references == ["1", "2"]
    with pytest.raises(TableError, match=r"one prediction since 2026-11-12T08:00:00\+00:00, found none in 1 f"):
        read_log(tmp_path, since=MONDAY + 10 * day)


def test_a_torn_last_line_is_counted_wherever_it_breaks_off(tmp_path: Path) -> None:
    whole = line(reference="torn")
    for cut in range(1, len(whole)):
        write_log(tmp_path, line(), whole[:cut], end="")
        found = read_log(tmp_path)
        assert (len(found.times), found.left_out) == (1, (1, 0, "", 0)), cut
    assert found.sentence.endswith("; left out 1 last line that breaks off")
    write_log(tmp_path, line(), whole, end="")  # the control: a line that lacks only its end is whole
    assert (read_log(tmp_path).references, read_log(tmp_path).left_out.torn) == ([None, "torn"], 0)


@pytest.mark.parametrize(
    "damaged",
    [
        "", "{}", "not JSON", line()[:50], "\0" * 100, line(probability=1.5), line((-1, 2, 3, 4)), line(prediction=2),
        line().replace("Z", "", 1), line().replace("85.0", "NaN"), line().replace("85.0", '"85"'), f"{line()}{line()}",
        "\udc80".encode("utf-8", "surrogateescape").decode("latin-1") + line(),
    ],
)  # fmt: skip
def test_a_damaged_line_is_counted_and_named_and_the_others_are_read(tmp_path: Path, damaged: str) -> None:
    write_log(tmp_path, line(reference="a"), damaged, line(reference="b"))
    found = read_log(tmp_path)
    assert found.references == ["a", "b"]
    assert found.left_out == (0, 1, "line 2 of predictions-20261102T080000.000000Z-1-0a.jsonl", 0)
    assert "; left out 1 damaged line, the first in line 2 of predictions-" in found.sentence


def test_a_prediction_counts_once_however_often_its_line_is_there(tmp_path: Path) -> None:
    first = [line(reference=str(i), id=f"x-{i}") for i in range(3)]
    write_log(tmp_path, *first)
    write_log(tmp_path, line(reference="3"), *first, name="20261103T080000.000000Z-1-copied")
    found = read_log(tmp_path)
    assert found.references == ["0", "1", "2", "3"]
    assert len(found.features) == len(found.probabilities) == len(found.models.codes) == 4
    assert found.left_out.repeated == 3
    assert found.sentence.endswith("; left out 3 lines with an id that an earlier line has")


def test_names_that_a_later_version_may_add_are_ignored(tmp_path: Path) -> None:
    write_log(tmp_path, line(reference="a").replace('"prediction"', '"tariffs":"x","prediction"'))
    assert read_log(tmp_path).references == ["a"]


def test_a_folder_without_a_log_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text(line())
    with pytest.raises(TableError, match=r"files predictions-\*\.jsonl of the service's prediction log, found"):
        read_log(tmp_path)


def test_many_lines_are_held_as_columns(tmp_path: Path) -> None:
    write_log(tmp_path, *(line((i, 1, 2, 3), reference=f"subscriber-{i}") for i in range(20_000)))
    found = read_log(tmp_path)
    assert found.features[:, 0].tolist() == list(range(20_000))
    held = found.features.base
    assert held is not None
    assert sum(array.nbytes for array in (held, found.times, found.predictions, found.models.codes)) < 80 * 20_000
    assert np.all(np.diff(found.times) == 0)
