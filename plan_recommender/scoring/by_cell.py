"""Rows cell by cell, by Python's csv module and `parse_usage`: what decides wherever text is not plain."""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from plan_recommender.data.cells import (
    Row,
    expected_usage,
    fitted,
    parse_usage,
    remedy,
    shortened,
    wrong_width,
)
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.scoring.layout import Layout


class Reject(NamedTuple):
    """A row that is no usage."""

    row: int
    """Its number in the block, from 0."""
    reason: str
    cells: Row
    """As many as the header has."""


class TextRow(NamedTuple):
    """A row, and the text that it was read from."""

    cells: Row
    text: str
    end: str
    """What ends the row; empty at the end of a file without one."""
    is_open: bool
    """Whether a cell was still in quotes where the text ended, so that more text would belong to it."""
    lines: int
    """Number of lines up to the end of the row, from the first line of the text."""


def lines_of(text: str) -> list[str]:
    """Split text where Python's text files do: at CR, LF and CR LF, which stay at the ends of the lines."""
    return list(io.StringIO(text, newline=""))


def read_rows(lines: list[str], sep: str) -> Iterator[TextRow]:
    """Read rows from lines as Python's csv module reads them; lines without any character are no rows.

    Raises:
        csv.Error: the module does not accept a row, for instance because of a cell of more than 131,072 characters.
    """
    supply = _Supply(lines)
    reader = csv.reader(supply, delimiter=sep)
    last = 0
    for cells in reader:
        first, last = last, reader.line_num
        if cells:
            text = "".join(lines[first:last])
            content = text if supply.is_empty else text.removesuffix("\n").removesuffix("\r")
            yield TextRow(cells, content, text[len(content) :], supply.is_empty, last)


class _Supply:
    """Lines for a csv reader, which asks for one more only if a cell in quotes goes on."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = iter(lines)
        self.is_empty = False

    def __iter__(self) -> "_Supply":
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.is_empty = True
            raise StopIteration
        return line


def divide(rows: list[Row], layout: Layout) -> tuple[list[int], FeatureMatrix, list[Reject]]:
    """Divide rows: the positions of those that are usage, their features of shape (rows, 4), and the others."""
    width, decimal = layout.width, layout.decimal
    reasons: dict[int, list[str]] = {i: [wrong_width(row, width)] for i, row in enumerate(rows) if len(row) != width}
    whole = [i for i in range(len(rows)) if i not in reasons]
    features = np.empty((len(whole), len(FEATURE_NAMES)))
    remedies: dict[int, dict[str, None]] = {}
    for j, position in enumerate(layout.positions):
        cells = [rows[i][position] for i in whole]
        features[:, j], bad = parse_usage(cells, decimal)
        for k in np.flatnonzero(bad).tolist():
            name = layout.header[position].strip()
            reasons.setdefault(whole[k], []).append(f"{name}: {expected_usage(decimal)}, found {shortened(cells[k])}")
            if what_helps := remedy(cells[k], decimal):
                remedies.setdefault(whole[k], {})[what_helps] = None
    usable = np.array([i not in reasons for i in whole], dtype=bool)
    kept = [i for i, fits in zip(whole, usable, strict=True) if fits]
    sentences = {i: "; ".join([*found, *remedies.get(i, ())]) for i, found in reasons.items()}
    rejects = [Reject(i, sentences[i], fitted(rows[i], width)) for i in sorted(sentences)]
    return kept, features[usable], rejects
