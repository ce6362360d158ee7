"""Whole tables of subscribers, read from CSV: every cell is checked, and one error names everything that is wrong.

Errors count data rows from 1, without the header; `LabelledTable` counts its rows from 0, like NumPy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from plan_recommender.data.csv_file import EXPECTED_USAGE, CsvReader, Row, open_csv, parse_usage, shortened
from plan_recommender.errors import TableError
from plan_recommender.model.digests import sha256
from plan_recommender.model.features import FEATURE_NAMES, TARGET, FeatureMatrix

EXPECTED_LABEL = "expected 0 or 1"
EXPECTED_TEXT = "expected text in UTF-8"

MAX_USAGE = 1e15
"""Largest value in a table to learn or measure from; sums of squares of larger ones would overflow."""

_ROWS_NAMED = 10  # numbers of rows that an error lists

RowNumbers = npt.NDArray[np.int64]
"""Positions of rows in a table, from 0, shape (some rows,)."""


@dataclass(frozen=True)
class LabelledTable:
    """A whole table with labels."""

    path: Path
    sha256: str
    """Of the file's bytes, in hexadecimal digits."""
    features: FeatureMatrix
    """Shape (rows, 4), NaN where a cell is empty."""
    target: npt.NDArray[np.int64]
    """Shape (rows,): 1 Ultra, 0 Smart."""
    texts: npt.NDArray[np.object_] | None = None
    """The cells of one more column without surrounding blanks, shape (rows,); None unless it was asked for."""

    @property
    def missing(self) -> dict[str, int]:
        """Number of empty cells of each feature."""
        return dict(zip(FEATURE_NAMES, np.isnan(self.features).sum(axis=0).tolist(), strict=True))

    def take(self, rows: RowNumbers) -> Self:
        """Give a table of these rows, in their order; it keeps the path and the SHA-256 of the whole file."""
        texts = None if self.texts is None else self.texts[rows]
        return replace(self, features=self.features[rows], target=self.target[rows], texts=texts)


class _Check(NamedTuple):
    """What is expected of the cells of a column, and a mask of those that are something else."""

    column: str
    """Empty when the check is of whole rows."""
    expected: str
    wrong: npt.NDArray[np.bool_]
    cells: list[str]


class _Chunk(NamedTuple):
    """Some rows of a table, parsed; the value of a cell that fails its check means nothing."""

    features: FeatureMatrix
    labels: npt.NDArray[np.bool_]
    texts: list[str]


def read_features(path: Path, columns: Sequence[str] = FEATURE_NAMES) -> FeatureMatrix:
    """Read feature columns of a whole file, shape (rows, columns), NaN where a cell is empty.

    Raises:
        TableError: the file cannot be read or has no rows, a column is missing, or a cell is not usage up to
            `MAX_USAGE`; every such row is counted, and the first ten are named.
    """
    return _read(path, columns, labelled=False)[0]


def read_labelled(path: Path, text_column: str | None = None) -> LabelledTable:
    """Read a whole labelled table, and the column `text_column` as text if it is named.

    Raises:
        TableError: as `read_features`; or a label is not 0 or 1, or a text is not UTF-8.
    """
    features, target, texts = _read(path, FEATURE_NAMES, labelled=True, text_column=text_column)
    return LabelledTable(path, sha256(path), features, target, None if text_column is None else texts)


def check_trainable(table: LabelledTable, max_missing_share: float, min_rows: int = 1) -> None:
    """Refuse a table that a classifier cannot be fitted on.

    Raises:
        TableError: it holds one label or fewer than `min_rows` rows, or a feature misses all or more than
            `max_missing_share` of its values.
    """
    check_measurable(table)
    if len(table.target) < min_rows:
        raise TableError(
            f"{table.path}: expected at least {min_rows:,} rows to train on (data.min_rows), "
            f"found {len(table.target):,}"
        )
    for name, count in table.missing.items():
        share = count / len(table.target)
        if share > max_missing_share:
            raise TableError(
                f"{table.path}: expected at most {max_missing_share:.1%} empty cells in column {name!r} "
                f"(data.max_missing_share), found {count:,} of {len(table.target):,} ({share:.1%})"
            )
        if count == len(table.target):
            raise TableError(f"{table.path}: expected values in column {name!r}, found only empty cells")


def check_measurable(table: LabelledTable) -> None:
    """Refuse a table on which a classifier cannot be measured.

    Raises:
        TableError: it holds one label only.
    """
    classes = np.unique(table.target)
    if len(classes) < 2:
        raise TableError(
            f"{table.path}: expected both labels 0 and 1 in column {TARGET!r}, found only {classes[0]} "
            f"in all {len(table.target):,} rows"
        )


def _read(
    path: Path, columns: Sequence[str], *, labelled: bool, text_column: str | None = None
) -> tuple[FeatureMatrix, npt.NDArray[np.int64], npt.NDArray[np.object_]]:
    """Read columns of a whole file; one error names everything that is wrong with it.

    Returns:
        The columns of shape (rows, columns); the labels of shape (rows,), or (0,) unless `labelled`; the texts of shape
        (rows,), or (0,) without a `text_column`.
    """
    problems = _Problems(path)
    chunks: list[_Chunk] = []
    first_row = 1
    with open_csv(path) as table:
        for chunk, checks in _parsed_chunks(table, columns, labelled, text_column):
            problems.add(checks, first_row)
            first_row += len(chunk.features)
            chunks.append(chunk)
    if not chunks:
        raise TableError(f"{path}: expected at least one row after the header, found none")
    problems.raise_if_any()
    return (
        np.concatenate([chunk.features for chunk in chunks]),
        np.concatenate([chunk.labels for chunk in chunks]).astype(np.int64),
        np.array([text for chunk in chunks for text in chunk.texts], dtype=np.object_),
    )


def _parsed_chunks(
    table: CsvReader, columns: Sequence[str], labelled: bool, text_column: str | None
) -> Iterator[tuple[_Chunk, list[_Check]]]:
    """Yield the file in chunks, each with the checks of its cells; `labels` and `texts` are empty unless asked for."""
    names = [*columns, *([TARGET] if labelled else []), *([] if text_column is None else [text_column])]
    positions = dict(zip(names, table.positions(names), strict=True))
    width = len(table.header)
    for rows in table.chunks():
        cells, checks = _cells(rows, positions, width)
        whole = ~checks[0].wrong  # in the other rows no cell is judged
        features = np.empty((len(rows), len(columns)))
        for j, name in enumerate(columns):
            features[:, j], wrong = parse_usage(cells[name])
            too_large = (features[:, j] > MAX_USAGE) & ~wrong & whole
            checks.append(_Check(name, f"expected at most {MAX_USAGE:g}", too_large, cells[name]))
            checks.append(_Check(name, EXPECTED_USAGE, wrong & whole, cells[name]))
        labels = np.empty(0, dtype=np.bool_)
        if labelled:
            numbers, wrong = parse_usage(cells[TARGET])
            labels = numbers == 1
            wrong |= (numbers != 0) & (numbers != 1)
            checks.append(_Check(TARGET, EXPECTED_LABEL, wrong & whole, cells[TARGET]))
        texts: list[str] = []
        if text_column is not None:
            texts = [cell.strip() for cell in cells[text_column]]
            wrong = np.array([not _is_text(cell) for cell in cells[text_column]])
            checks.append(_Check(text_column, EXPECTED_TEXT, wrong & whole, cells[text_column]))
        yield _Chunk(features, labels, texts), checks


def _cells(rows: list[Row], positions: dict[str, int], width: int) -> tuple[dict[str, list[str]], list[_Check]]:
    """Take the columns out of some rows; the one check is that a row has as many cells as the header."""
    wrong = np.array([len(row) != width for row in rows])
    found = [f"{len(row)} cells" for row in rows] if wrong.any() else []
    padded = [row + [""] * (width - len(row)) for row in rows] if wrong.any() else rows
    cells = {name: [row[position] for row in padded] for name, position in positions.items()}
    return cells, [_Check("", f"expected {width} cells", wrong, found)]


class _Problems:
    """Collects what is wrong with a table, so that one error can name all of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str], tuple[list[int], str]] = {}

    def add(self, checks: list[_Check], first_row: int) -> None:
        """Note which rows of a chunk, the first of which has the number `first_row`, fail which check."""
        for check in checks:
            if check.wrong.any():
                positions = np.flatnonzero(check.wrong)
                found = self._shown(check, positions[0])
                rows, _ = self._found.setdefault((check.column, check.expected), ([], found))
                rows.extend((positions + first_row).tolist())

    def raise_if_any(self) -> None:
        if self._found:
            sentences = [self._sentence(*key, *found) for key, found in self._found.items()]
            raise TableError(f"{self._path}: " + "; ".join(sentences) + " (rows are counted from 1 after the header)")

    @staticmethod
    def _shown(check: _Check, position: int) -> str:
        cell = check.cells[position]
        if not check.column:
            return cell
        return shortened(cell) if cell else "no label"  # only a label must not be empty

    @staticmethod
    def _sentence(column: str, expected: str, rows: list[int], found: str) -> str:
        where = f"column {column!r}, " if column else ""
        named = ", ".join(map(str, rows[:_ROWS_NAMED]))
        more = f" and {len(rows) - _ROWS_NAMED:,} more" if len(rows) > _ROWS_NAMED else ""
        noun = "row" if len(rows) == 1 else "rows"
        first = "" if len(rows) == 1 else f" in row {rows[0]}"
        return f"{where}{noun} {named}{more}: {expected}, found {found}{first}"


def _is_text(cell: str) -> bool:
    """Whether a cell was UTF-8 in the file; bytes that were not have become lone surrogates."""
    return not any("\udc80" <= character <= "\udcff" for character in cell)
