"""Text is cut where rows end, whatever the size of blocks; together the blocks are the text."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from plan_recommender.errors import TableError
from plan_recommender.scoring.by_cell import lines_of, read_rows
from plan_recommender.scoring.ordered import in_order
from plan_recommender.scoring.row_blocks import RowBlocks
from tests.scoring import hostile

SOURCE = Path("in.csv")


class Dribble(io.BytesIO):
    """A pipe, which gives a few bytes at a time."""

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(buffer[:7])


def rows_of(text: bytes | bytearray) -> list[list[str]]:
    lines = lines_of(text.decode("utf-8", errors="surrogateescape"))
    return [row.cells for row in read_rows(lines, ",")]


@pytest.mark.parametrize("size", [8, 37, 1000, 1 << 20])
def test_blocks_are_whole_rows_and_together_the_text(size: int) -> None:
    compared = 0
    for seed in range(120):
        content = hostile.make(seed).content
        try:
            blocks = RowBlocks(SOURCE, Dribble(content), ",", size)
            header = blocks.header()
            found = list(blocks)
        except TableError:
            continue
        text = b"".join(bytes(block.text) for block in found)
        assert content.endswith(text)
        assert [row for block in found for row in rows_of(block.text)] == rows_of(text)
        assert header.names == next(
            row for row in csv.reader(lines_of(content.decode("utf-8-sig", errors="surrogateescape")))
            if row and not row[0].startswith("sep=")
        )  # fmt: skip
        assert [block.end for block in found][-1:] == [len(content)][: len(found)]
        compared += len(found)
    assert compared > 100


def test_a_run_that_goes_on_cuts_where_one_run_does() -> None:
    content = b"a,b\n" + b"".join(b"%d,%s\n" % (i, b"x" * (i % 9)) for i in range(300))
    blocks = RowBlocks(SOURCE, io.BytesIO(content), ",", 100)
    blocks.header()
    whole = list(blocks)
    for place, block in enumerate(whole[:-1]):
        resumed = RowBlocks(SOURCE, io.BytesIO(content), ",", 100)
        resumed.header()
        resumed.seek(block.end)
        assert list(resumed) == whole[place + 1 :]


def test_results_come_in_order_and_an_error_after_the_results_before_it() -> None:
    def items() -> list[int]:
        return list(range(40))

    def work(item: int) -> int:
        if item == 30:
            raise TableError("thirty")
        return sum(range(40_000 - item * 1000)) * 0 + item

    for jobs in (1, 2, 5):
        found: list[int] = []
        with pytest.raises(TableError, match="thirty"):
            found.extend(in_order(work, iter(items()), jobs))
        assert found == list(range(30))
