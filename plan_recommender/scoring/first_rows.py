"""The first rows of a file are looked at for mistakes before any answer is given out."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from plan_recommender.data.plausibility import refuse_mistakes
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.scoring.line_scorer import ScoredBlock

FIRST_ROWS: Final = 50_000
"""So many rows are looked at, including those that are rejected."""


class Result(NamedTuple):
    """A part of a file that was scored."""

    end: int
    """How much of the text was scored (bytes); 0 where a run could not go on."""
    block: ScoredBlock


def looked_at(results: Iterator[Result], path: Path, usual: ReferenceProfile | None) -> Iterator[Result]:
    """Yield results, the first ones only once all of the first rows are known and look like what is usual.

    Args:
        results: of a whole file, in its order.
        path: of the file, for the error.
        usual: of the registered model; None: nothing is looked at.

    Raises:
        TableError: the first rows look mistaken.
    """
    if usual is None:
        yield from results
        return
    held: list[Result] = []
    rows = 0
    for result in results:
        held.append(result)
        rows += result.block.rows
        if rows >= FIRST_ROWS:
            break
    if rows:
        _refuse_mistakes([result.block for result in held], path, usual)
    yield from chain(held, results)


def _refuse_mistakes(blocks: list[ScoredBlock], path: Path, usual: ReferenceProfile) -> None:
    features, unread, left = [], [], FIRST_ROWS
    for block in blocks:
        rejects = [reject for reject in block.rejects if reject.row < left]
        unread += rejects
        features.append(block.features[: min(block.rows, left) - len(rejects)])
        left -= min(block.rows, left)
    refuse_mistakes(path, np.concatenate(features), usual, unread=(len(unread), unread[0].reason if unread else ""))
