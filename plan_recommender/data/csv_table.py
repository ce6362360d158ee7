"""CSV files of subscribers: read in chunks, told cell by cell what is usage and what is not.

A row number counts data rows from 1; the header is not counted. An empty cell is a missing value.
"""

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TextIO

import numpy as np
import numpy.typing as npt

from plan_recommender.errors import TableError
from plan_recommender.model.digests import sha256
from plan_recommender.model.features import FEATURE_NAMES, TARGET, FeatureMatrix

CHUNK_ROWS = 50_000
EXPECTED_USAGE = "expected a finite number that is not negative, or an empty cell"
EXPECTED_LABEL = "expected 0 or 1"
EXPECTED_TEXT = "expected text in UTF-8"
MAX_USAGE = 1e15
"""Largest value in a table to learn or measure from; sums of squares of larger ones would overflow."""
_ROWS_NAMED = 10
_CELL_SHOWN = 40  # characters of a cell that an error repeats

Row = list[str]


@dataclass(frozen=True)
class LabelledTable:
    """A whole table: `features` of shape (rows, 4), NaN where a cell is empty, and `target` of shape (rows,).

    `texts` are the cells of one more column, if one was asked for: shape (rows,), stripped.
    """

    path: Path
    sha256: str
    features: FeatureMatrix
    target: npt.NDArray[np.int64]
    texts: npt.NDArray[np.object_] | None = None

    @property
    def missing(self) -> dict[str, int]:
        """Empty cells of each feature."""
        return dict(zip(FEATURE_NAMES, np.isnan(self.features).sum(axis=0).tolist(), strict=True))

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Give the part of the table that has these row numbers, in their order."""
        texts = None if self.texts is None else self.texts[rows]
        return replace(self, features=self.features[rows], target=self.target[rows], texts=texts)


@dataclass(frozen=True)
class CsvReader:
    """An open CSV file: its header, and the rest of it in chunks of whole rows."""

    path: Path
    header: Row
    _rows: Iterator[Row]

    def positions(self, columns: Sequence[str]) -> list[int]:
        """Where the columns stand.

        Raises:
            TableError: one of them is missing or stands twice.
        """
        found = [name.strip() for name in self.header]
        shown = ", ".join(map(readable, found[:_ROWS_NAMED])) + (", …" if len(found) > _ROWS_NAMED else "")
        missing = [name for name in columns if name not in found]
        if missing:
            raise TableError(
                f"{self.path}: expected the columns {', '.join(columns)}; missing {', '.join(missing)}; found {shown}"
            )
        twice = [name for name in columns if found.count(name) > 1]
        if twice:
            raise TableError(f"{self.path}: expected each column once, found {', '.join(twice)} more than once")
        return [found.index(name) for name in columns]

    def chunks(self) -> Iterator[list[Row]]:
        """Yield the rows in order, up to `CHUNK_ROWS` at a time; blank lines are not rows.

        Raises:
            TableError: the file stops being CSV.
        """
        rows = (row for row in self._rows if row)
        while True:
            try:
                chunk = list(itertools.islice(rows, CHUNK_ROWS))
            except (csv.Error, OSError) as error:
                raise TableError(f"{self.path}: expected CSV, found: {error}") from error
            if not chunk:
                return
            yield chunk


@contextmanager
def open_csv(path: Path) -> Iterator[CsvReader]:
    """Open a comma-separated file with a header; bytes that are not UTF-8 are carried along untouched.

    Raises:
        TableError: there is no such file, or it has no header.
    """
    try:
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise TableError(f"{path}: expected a readable CSV file, found: {error.strerror}") from error
    with file:
        yield CsvReader(path, *_split_header(path, file))


def parse_usage(cells: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Turn the cells of one feature into numbers.

    Returns:
        The values, shape (cells,), NaN where a cell is empty; and a mask of the cells that are not usage.
    """
    try:
        values = np.array([float(cell) if cell else math.nan for cell in cells])
    except ValueError:
        values = np.array([_number(cell) for cell in cells])
    suspicious = ~(values >= 0) | np.isinf(values)
    text = "".join(cells)
    if "_" in text or not text.isascii():  # float() reads 1_000 and other scripts' digits, no other program does
        suspicious |= np.array(["_" in cell or not cell.isascii() for cell in cells])
    for i in np.flatnonzero(suspicious).tolist():
        if not cells[i].strip():
            values[i] = math.nan
            suspicious[i] = False
    return values, suspicious


def read_features(path: Path, columns: Sequence[str] = FEATURE_NAMES) -> FeatureMatrix:
    """Read feature columns of a whole file, shape (rows, columns), NaN where a cell is empty.

    Raises:
        TableError: the file, a column or a cell is not what is expected.
    """
    return _read(path, columns, labelled=False)[0]


def read_labelled(path: Path, text_column: str | None = None) -> LabelledTable:
    """Read a whole labelled table, and the column `text_column` as text if it is named.

    Raises:
        TableError: the file, a column or a cell is not what is expected.
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


def write_rows(file: TextIO, rows: list[Row]) -> None:
    """Write rows as comma-separated lines that read back as the same cells."""
    # With this line ending, Python's writer leaves a carriage return in a cell unquoted, and readers see a new row.
    returns = any("\r" in cell for row in rows for cell in row)
    csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL).writerows(rows)


def shortened(cell: str) -> str:
    """Show a cell in an error, its beginning if it is long."""
    return repr(cell) if len(cell) <= _CELL_SHOWN else f"{cell[:_CELL_SHOWN]!r}… ({len(cell):,} characters)"


def readable(name: str) -> str:
    """Show a name as it is, or shortened and escaped where it would break a line."""
    return name if name.isprintable() and len(name) <= _CELL_SHOWN else shortened(name)


def _split_header(path: Path, file: TextIO) -> tuple[Row, Iterator[Row]]:
    rows = csv.reader(file)
    try:
        header = next(filter(None, rows), None)  # blank lines are not rows
    except (csv.Error, OSError) as error:
        raise TableError(f"{path}: expected CSV, found: {error}") from error
    if not header:
        raise TableError(f"{path}: expected a header and at least one row, found an empty file")
    return header, rows


def _read(
    path: Path, columns: Sequence[str], *, labelled: bool, text_column: str | None = None
) -> tuple[FeatureMatrix, npt.NDArray[np.int64], npt.NDArray[np.object_]]:
    features: list[FeatureMatrix] = []
    labels: list[npt.NDArray[np.bool_]] = []
    texts: list[str] = []
    problems = _Problems(path)
    first_row = 1
    with open_csv(path) as table:
        names = [*columns, *([TARGET] if labelled else []), *([] if text_column is None else [text_column])]
        place = dict(zip(names, table.positions(names), strict=True))
        for chunk in table.chunks():
            whole = np.array([len(row) == len(table.header) for row in chunk])
            for i, row in enumerate(chunk):
                if len(row) != len(table.header):
                    problems.add("", f"expected {len(table.header)} cells", first_row + i, f"{len(row)} cells")
                    row.extend([""] * len(table.header))
            values = np.empty((len(chunk), len(columns)))
            for j, name in enumerate(columns):
                cells = [row[place[name]] for row in chunk]
                values[:, j], bad = parse_usage(cells)
                for i in np.flatnonzero((values[:, j] > MAX_USAGE) & ~bad & whole).tolist():
                    problems.add(name, f"expected at most {MAX_USAGE:g}", first_row + i, shortened(cells[i]))
                for i in np.flatnonzero(bad & whole).tolist():
                    problems.add(name, EXPECTED_USAGE, first_row + i, shortened(cells[i]))
            features.append(values)
            if labelled:
                cells = [row[place[TARGET]] for row in chunk]
                target, bad = parse_usage(cells)
                for i in np.flatnonzero((bad | (target != 0) & (target != 1)) & whole).tolist():
                    problems.add(TARGET, EXPECTED_LABEL, first_row + i, shortened(cells[i]) if cells[i] else "no label")
                labels.append(target == 1)
            if text_column is not None:
                cells = [row[place[text_column]] for row in chunk]
                for i in (i for i, cell in enumerate(cells) if whole[i] and not _is_text(cell)):
                    problems.add(text_column, EXPECTED_TEXT, first_row + i, shortened(cells[i]))
                texts.extend(cell.strip() for cell in cells)
            first_row += len(chunk)
    if first_row == 1:
        raise TableError(f"{path}: expected at least one row after the header, found none")
    problems.raise_if_any()
    whole_target = np.concatenate(labels).astype(np.int64) if labelled else np.empty(0, np.int64)
    return np.concatenate(features), whole_target, np.array(texts, dtype=np.object_)


class _Problems:
    """Collects what is wrong with a table, so that one error can name it all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str], tuple[list[int], str]] = {}

    def add(self, column: str, expected: str, row: int, found: str) -> None:
        rows, _ = self._found.setdefault((column, expected), ([], found))
        rows.append(row)

    def raise_if_any(self) -> None:
        if self._found:
            sentences = [self._sentence(*key, *found) for key, found in self._found.items()]
            raise TableError(f"{self._path}: " + "; ".join(sentences) + " (rows are counted from 1 after the header)")

    @staticmethod
    def _sentence(column: str, expected: str, rows: list[int], found: str) -> str:
        where = f"column {column!r}, " if column else ""
        named = ", ".join(map(str, rows[:_ROWS_NAMED]))
        more = f" and {len(rows) - _ROWS_NAMED:,} more" if len(rows) > _ROWS_NAMED else ""
        noun = "row" if len(rows) == 1 else "rows"
        first = "" if len(rows) == 1 else f" in row {rows[0]}"
        return f"{where}{noun} {named}{more}: {expected}, found {found}{first}"


def _is_text(cell: str) -> bool:
    """Tell whether a cell was UTF-8: bytes that are not are carried along as lone surrogates."""
    return not any("\udc80" <= character <= "\udcff" for character in cell)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
