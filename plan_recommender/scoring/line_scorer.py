"""A block of lines in, the same lines with answers appended out: every byte of the other columns stays as it was."""

import csv
import io
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.scoring.answers import Answerer, Answers, missing_values
from plan_recommender.scoring.by_cell import Reject, TextRow, divide, lines_of, read_rows
from plan_recommender.scoring.layout import Layout
from plan_recommender.scoring.new_cells import binary_array, new_cells
from plan_recommender.scoring.plain_text import PlainLines, PlainReader, Text, pieces, plain_lines

_ROWS: Final = 4_096
"""So many rows are held as cells at once, which take ten times the memory of their text."""


@dataclass(frozen=True, slots=True)
class ScoredBlock:
    """The answers for a block, or for a batch."""

    rows: int
    """Of the block, scored and rejected."""
    output: list[Any]
    """What is written of it in order: for lines, bytes and buffers of bytes; for a record batch, record batches."""
    rejects: list[Reject]
    features: FeatureMatrix
    """Of the rows that were scored, shape (scored rows, 4), NaN where a value is missing."""
    ultra: int
    """Number of rows that are recommended Ultra."""
    missing: list[int]
    """Number of missing values of each feature among the rows that were scored."""


class LineScorer:
    """Scores lines of one table. Calls do not depend on each other and may run in several threads."""

    def __init__(self, answerer: Answerer, layout: Layout) -> None:
        """Take what answers, and how the table is laid out."""
        self._answerer = answerer
        self._layout = layout
        self._plain = PlainReader(layout)

    def score(self, block: Text) -> ScoredBlock:
        """Score a block of whole rows.

        Each row that is usage is in the output with its new cells before its line's end. Line ends stay as they are; a
        last row without one gets that of the layout. Lines without any character are dropped.

        Args:
            block: begins with a row and ends with one; the bytes need not be UTF-8.

        Raises:
            csv.Error: Python's csv module does not accept a row.
        """
        scored = self._score_plain(block)
        if scored is not None:
            return scored
        if plain_lines(block, self._layout.sep) is None:
            return self._score_by_cell(block)
        return _together([self._score_plain(piece) or self._score_by_cell(piece) for piece in pieces(block)])

    def _score_plain(self, block: Text) -> ScoredBlock | None:
        found = self._plain.read(block)
        if found is None:
            return None
        lines, features = found
        answers = self._answerer.answer(features)
        return self._scored(len(features), self._appended(block, lines, answers), [], features, answers)

    def _appended(self, block: Text, lines: PlainLines, answers: Answers) -> list[Any]:
        """Append new cells: element i of the lines is what ends line i - 1, and line i without its end."""
        if not len(lines.ends):
            return []
        offsets = np.zeros(len(lines.ends) + 1, np.int32)
        offsets[1:] = lines.ends
        decisions, probabilities, *reasons = new_cells(answers, self._layout.sep, self._layout.decimal)
        # The last argument separates the others: to copy two parts and what is between takes less than to copy three.
        joined = pc.binary_join_element_wise(binary_array(offsets, block), probabilities, decisions)
        if reasons:
            joined = pc.binary_join_element_wise(joined, *reasons, _NOTHING)
        _, ends, content = joined.buffers()
        size = np.frombuffer(ends, np.int32, 1, 4 * len(joined))[0]
        end = bytes(block[offsets[-1] :]) or self._layout.newline
        return [content.slice(0, int(size)), end]

    def _score_by_cell(self, block: Text) -> ScoredBlock:
        lines = lines_of(bytes(block).decode("utf-8", errors="surrogateescape"))
        rows = read_rows(lines, self._layout.sep)
        return _together([self._score_rows(some) for some in iter(lambda: list(islice(rows, _ROWS)), [])])

    def _score_rows(self, rows: list[TextRow]) -> ScoredBlock:
        layout = self._layout
        kept, features, rejects = divide([row.cells for row in rows], layout)
        answers = self._answerer.answer(features)
        texts = [column.to_pylist() for column in new_cells(answers, layout.sep, layout.decimal)]
        output = [
            _text(rows[i], layout.sep) + b"".join(cells) + (rows[i].end.encode() or layout.newline)
            for i, cells in zip(kept, zip(*texts, strict=True), strict=True)
        ]
        return self._scored(len(rows), [b"".join(output)] if output else [], rejects, features, answers)

    @staticmethod
    def _scored(
        rows: int, output: list[Any], rejects: list[Reject], features: FeatureMatrix, answers: Answers
    ) -> ScoredBlock:
        ultra = int(np.count_nonzero(answers.decisions))
        return ScoredBlock(rows, output, rejects, features, ultra, missing_values(features))


_NOTHING: Final = binary_array(np.zeros(2, np.int32), b"")[0]
"""An Arrow scalar without a byte, which stands between the parts of a joined line."""


def _together(parts: list[ScoredBlock]) -> ScoredBlock:
    rejects, first = [], 0
    for part in parts:
        rejects += [reject._replace(row=first + reject.row) for reject in part.rejects]
        first += part.rows
    return ScoredBlock(
        first,
        [piece for part in parts for piece in part.output],
        rejects,
        np.concatenate([np.empty((0, len(FEATURE_NAMES))), *(part.features for part in parts)]),
        sum(part.ultra for part in parts),
        [sum(part.missing[i] for part in parts) for i in range(len(FEATURE_NAMES))],
    )


def _text(row: TextRow, sep: str) -> bytes:
    """Give the text of a row, to which cells can be appended."""
    text = row.text
    if row.is_open:  # what is appended would belong to the cell in quotes
        written = io.StringIO(newline="")
        csv.writer(written, delimiter=sep, lineterminator="", quoting=csv.QUOTE_ALL).writerow(row.cells)
        text = written.getvalue()
    return text.encode("utf-8", errors="surrogateescape")
