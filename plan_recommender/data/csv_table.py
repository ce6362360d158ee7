"""Whole tables of subscribers: every cell is checked, and one error names everything that is wrong.

Errors count data rows from 1, without the header; `LabelledTable` counts its rows from 0, like NumPy.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import Row, expected_usage, parse_usage, remedy, shortened
from plan_recommender.data.table_file import open_table
from plan_recommender.data.table_options import AS_USUAL
from plan_recommender.data.table_reader import TableReader
from plan_recommender.errors import TableError
from plan_recommender.model.digests import sha256
from plan_recommender.model.features import FEATURE_NAMES, PLANS, TARGET, FeatureMatrix

EXPECTED_LABEL = f"expected 0 or 1, or {PLANS[0]} or {PLANS[1]}"
EXPECTED_TEXT = "expected text in UTF-8"

MAX_USAGE = 1e15
"""Largest value in a table to learn or measure from; sums of squares of larger ones would overflow."""

_ROWS_NAMED = 10  # numbers of rows that an error lists
_LABELS = {"0": 0, "1": 1, PLANS[0].lower(): 0, PLANS[1].lower(): 1, "false": 0, "true": 1}
"""Labels in lower case; `false` and `true` are what Parquet has for 0 and 1."""

RowNumbers = npt.NDArray[np.int64]
"""Positions of rows in a table, from 0, shape (some rows,)."""


@dataclass(frozen=True)
class TextColumn:
    """A column of text: its different cells without surrounding blanks, and which of them each row has."""

    codes: npt.NDArray[np.int64]
    """Shape (rows,): positions in `values`."""
    values: tuple[str, ...]
    """In the order of their first rows."""

    @property
    def cells(self) -> npt.NDArray[np.object_]:
        """The cells, shape (rows,)."""
        return np.array(self.values, dtype=np.object_)[self.codes]

    def take(self, rows: RowNumbers) -> "TextColumn":
        """Give the column of these rows, in their order, with the same `values`."""
        return TextColumn(self.codes[rows], self.values)


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
    texts: Mapping[str, TextColumn] = field(default_factory=dict)
    """The other columns by their names, in the order of the file; also a label whose name is not `is_ultra`, and a
    feature that was asked for as text."""
    groups: str | None = None
    """Which of `texts` says whose month a row is; None: every row counts as a subscriber of its own."""

    @property
    def subscribers(self) -> RowNumbers | None:
        """A number for the subscriber of each row, shape (rows,); None without `groups`."""
        return None if self.groups is None else self.texts[self.groups].codes

    @property
    def missing(self) -> dict[str, int]:
        """Number of empty cells of each feature."""
        return dict(zip(FEATURE_NAMES, np.isnan(self.features).sum(axis=0).tolist(), strict=True))

    def take(self, rows: RowNumbers) -> Self:
        """Give a table of these rows, in their order; it keeps the path and the SHA-256 of the whole file."""
        texts = {name: column.take(rows) for name, column in self.texts.items()}
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
    texts: dict[str, list[str]]


def read_features(path: Path, columns: Sequence[str] = FEATURE_NAMES, format: TableFormat = AS_USUAL) -> FeatureMatrix:
    """Read feature columns of a whole file, shape (rows, columns), NaN where a cell is empty.

    Args:
        path: of the file.
        columns: names of features; `format` says which columns of the file they are.
        format: how the file is written.

    Raises:
        TableError: the file cannot be read or has no rows, a column is missing, or a cell is not usage up to
            `MAX_USAGE`; every such row is counted, and the first ten are named.
    """
    return _read(path, columns, format)[0]


def read_usage(
    path: Path, columns: Sequence[str] = FEATURE_NAMES, text_columns: Sequence[str] = (), format: TableFormat = AS_USUAL
) -> tuple[FeatureMatrix, Mapping[str, TextColumn]]:
    """Read feature columns of a whole file, as `read_features` does, and as text every other column.

    Args:
        path: of the file.
        columns: names of features.
        text_columns: columns that the file must have, by their names in it, with cells in UTF-8.
        format: how the file is written.

    Raises:
        TableError: as `read_features`; or one of the text columns is missing or not UTF-8.
    """
    features, _, texts = _read(path, columns, format, text_columns, labelled=False)
    return features, texts


def read_labelled(
    path: Path, text_columns: Sequence[str] = (), groups: str | None = None, format: TableFormat = AS_USUAL
) -> LabelledTable:
    """Read a whole labelled table, and as text every column that is neither a feature nor the label.

    Args:
        path: of the file.
        text_columns: columns that the table must have, by their names in the file, with cells in UTF-8.
        groups: one more such column, which says whose month each row is, and has no empty cells.
        format: how the file is written, and in which of its columns the features and the label are.

    Raises:
        TableError: as `read_features`; or a label is neither 0 or 1 nor a plan, or one of these columns is missing or
            not UTF-8, or a cell of `groups` is empty.
    """
    required = [*text_columns, *([groups] if groups is not None and groups not in text_columns else [])]
    features, target, texts = _read(path, FEATURE_NAMES, format, required)
    if groups is not None and "" in texts[groups].values:
        empty = np.flatnonzero(texts[groups].cells == "")
        raise TableError(
            f"{path}: expected the subscriber of every row in column {groups!r} (--groups, data.groups), found "
            f"{len(empty):,} empty cells, the first in row {empty[0] + 1} (rows are counted from 1 after the header)"
        )
    return LabelledTable(path, sha256(path), features, target, texts, groups)


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
    path: Path,
    columns: Sequence[str],
    format: TableFormat,
    text_columns: Sequence[str] | None = None,
    *,
    labelled: bool = True,
) -> tuple[FeatureMatrix, npt.NDArray[np.int64], dict[str, TextColumn]]:
    """Read columns of a whole file; one error names everything that is wrong with it.

    Args:
        path: of the file.
        columns: of numbers.
        format: how the file is written.
        text_columns: of text that has to be UTF-8; None: neither labels nor texts are read.
        labelled: whether labels are read beside texts.

    Returns:
        The columns of shape (rows, columns); the labels of shape (rows,), or (0,) if they are not read; the texts.
    """
    problems = _Problems(path, format.decimal)
    chunks: list[_Chunk] = []
    texts: dict[str, _TextColumnBuilder] = {}
    first_row = 1
    with open_table(path, format) as table:
        for chunk, checks in _parsed_chunks(table, columns, text_columns, labelled and text_columns is not None):
            problems.add(checks, first_row)
            first_row += len(chunk.features)
            for name, cells in chunk.texts.items():
                texts.setdefault(name, _TextColumnBuilder()).add(cells)
            chunk.texts.clear()
            chunks.append(chunk)
    if not chunks:
        raise TableError(f"{path}: expected at least one row after the header, found none")
    problems.raise_if_any()
    return (
        np.concatenate([chunk.features for chunk in chunks]),
        np.concatenate([chunk.labels for chunk in chunks]).astype(np.int64),
        {name: builder.column() for name, builder in texts.items()},
    )


def _parsed_chunks(
    table: TableReader, names: Sequence[str], text_columns: Sequence[str] | None, labelled: bool
) -> Iterator[tuple[_Chunk, list[_Check]]]:
    """Yield the file in chunks, each with the checks of its cells; without `text_columns`, no texts are read."""
    utf8 = text_columns or ()
    columns, target = [table.format.column(name) for name in names], table.format.column(TARGET)
    required = [*columns, *([target] if labelled else []), *utf8]
    positions = dict(zip(required, table.positions(required), strict=True))
    # A label under another name stays a text too: a column `plan` says both what to learn and which plan is held.
    known = [*columns, *([TARGET] if labelled and target == TARGET else [])]
    texts = [] if text_columns is None else _text_columns(table.header, known, utf8)
    positions |= dict(zip(texts, table.positions(texts), strict=True))
    width, decimal = len(table.header), table.format.decimal
    for chunk in table.chunks():
        cells, checks = _cells(chunk.rows, positions, width)
        whole = ~checks[0].wrong  # in the other rows no cell is judged
        features = np.empty((len(chunk), len(columns)))
        for j, name in enumerate(columns):
            features[:, j], wrong = parse_usage(cells[name], decimal)
            too_large = (features[:, j] > MAX_USAGE) & ~wrong & whole
            checks.append(_Check(name, f"expected at most {MAX_USAGE:g}", too_large, cells[name]))
            checks.append(_Check(name, expected_usage(decimal), wrong & whole, cells[name]))
        labels = np.empty(0, dtype=np.bool_)
        if labelled:
            labels, wrong = parse_labels(cells[target], decimal)
            checks.append(_Check(target, EXPECTED_LABEL, wrong & whole, cells[target]))
        for name in utf8:
            wrong = np.array([not _is_text(cell) for cell in cells[name]])
            checks.append(_Check(name, EXPECTED_TEXT, wrong & whole, cells[name]))
        yield _Chunk(features, labels, {name: cells[name] for name in texts}), checks


def parse_labels(cells: list[str], decimal: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Tell which labels are Ultra; returns that, and a mask of the cells that are no label."""
    numbers = np.array([_LABELS.get(cell.strip().lower(), -1) for cell in cells], dtype=np.float64)
    others = np.flatnonzero(numbers < 0)  # 1.0 is a label too
    values, wrong = parse_usage([cells[i] for i in others.tolist()], decimal)
    numbers[others] = np.where(wrong, np.nan, values)
    return numbers == 1, (numbers != 0) & (numbers != 1)


def _text_columns(header: Row, known: Sequence[str], required: Sequence[str]) -> list[str]:
    """Name the columns to read as text: those of the header that no other column is called like, and the required."""
    names = [name.strip() for name in header]
    others = [name for name in names if name not in known and name and names.count(name) == 1]
    return [*others, *(name for name in required if name not in others)]


class _TextColumnBuilder:
    """Builds a column from the cells of one chunk after the other."""

    def __init__(self) -> None:
        self._codes: list[npt.NDArray[np.int64]] = []
        self._code_of: dict[str, int] = {}

    def add(self, cells: list[str]) -> None:
        code_of = self._code_of
        codes = [code_of.setdefault(cell.strip(), len(code_of)) for cell in cells]
        self._codes.append(np.array(codes, dtype=np.int64))

    def column(self) -> TextColumn:
        return TextColumn(np.concatenate(self._codes), tuple(self._code_of))


def _cells(rows: list[Row], positions: dict[str, int], width: int) -> tuple[dict[str, list[str]], list[_Check]]:
    """Take the columns out of some rows; the one check is that a row has as many cells as the header."""
    wrong = np.array([len(row) != width for row in rows])
    found = [f"{len(row)} cells" for row in rows] if wrong.any() else []
    padded = [row + [""] * (width - len(row)) for row in rows] if wrong.any() else rows
    cells = {name: [row[position] for row in padded] for name, position in positions.items()}
    return cells, [_Check("", f"expected {width} cells", wrong, found)]


class _Problems:
    """Collects what is wrong with a table, so that one error can name all of it."""

    def __init__(self, path: Path, decimal: str) -> None:
        self._path = path
        self._decimal = decimal
        self._remedies: list[str] = []
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
            what_helps = dict.fromkeys(filter(None, self._remedies))
            counted = " (rows are counted from 1 after the header)"
            raise TableError(f"{self._path}: {'; '.join([*sentences, *what_helps])}{counted}")

    def _shown(self, check: _Check, position: int) -> str:
        cell = check.cells[position]
        if not check.column:
            return cell
        if not cell:
            return "no label"  # only a label must not be empty
        self._remedies.append(remedy(cell, self._decimal))
        return shortened(cell)

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
