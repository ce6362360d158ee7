"""The tables of months that are read: files of equal columns, one after the other, each of which can be read twice."""

from __future__ import annotations  # io.BufferedReader takes its parameter only for the types

import io
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import Row, readable
from plan_recommender.data.parquet_file import read_parquet
from plan_recommender.data.recognise import BOM, Kind, recognise
from plan_recommender.data.table_file import head_of, open_table, open_text
from plan_recommender.errors import TableError
from plan_recommender.scoring.outputs import PIPE
from plan_recommender.scoring.row_blocks import RowBlocks

BLOCK_BYTES: Final = 1 << 21
BATCH_ROWS: Final = 1 << 15

_UNREADABLE: Final = "a readable CSV file"


class Source(NamedTuple):
    """A table of months."""

    path: Path
    """As the user named it."""
    file: Path
    """Where it can be read any number of times."""
    kind: Kind
    header: Row
    bom: bool
    status: tuple[int, int]
    """Size and time of the last change, by which a file is known not to have changed."""


class Progressed(NamedTuple):
    """A part of a table, and how much of its file was read up to its end (bytes)."""

    part: Any
    """A `bytearray` of whole rows of text, or a `pyarrow.RecordBatch`."""
    done: int


@contextmanager
def opened(paths: Sequence[Path], format: TableFormat, folder: Path) -> Iterator[list[Source]]:
    """Open tables that have the same columns.

    Standard input, and what else cannot be read twice, is copied into the folder first.

    Args:
        paths: of the files; `PIPE` is standard input.
        format: how they are written, if they are text.
        folder: for copies.

    Raises:
        TableError: a file cannot be read, or its columns are others than those of the first one.
    """
    sources = [_source(path, format, folder / f"input-{i}") for i, path in enumerate(paths)]
    first = sources[0]
    for other in sources[1:]:
        if [name.strip() for name in other.header] != [name.strip() for name in first.header]:
            raise TableError(
                f"{other.path}: expected the columns of {first.path}, in the same order ({_names(first.header)}), "
                f"found {_names(other.header)}"
            )
    yield sources


def parts(source: Source, format: TableFormat, block_bytes: int) -> Iterator[Progressed]:
    """Yield the rows of a table in parts, which are the same whenever it is read.

    Raises:
        TableError: the file cannot be read to its end, or has changed since it was opened.
    """
    try:
        status = _status(source.file)
    except OSError as error:
        raise TableError(f"{source.path}: expected {_UNREADABLE}, found: {error.strerror}") from error
    if status != source.status:
        raise TableError(f"{source.path}: expected a file that does not change while it is read, found that it did")
    if source.kind == "parquet":
        yield from _batches(source, format)
        return
    with source.file.open("rb") as file:
        stream, _ = open_text(source.path, file, source.kind, head_of(source.path, file, _UNREADABLE))
        blocks = RowBlocks(source.path, stream, format.sep, block_bytes)
        blocks.header()
        for block in blocks:
            yield Progressed(block.text, file.tell())


def first_rows(source: Source, format: TableFormat) -> list[Row]:
    """Give the first rows of a table, as many as `open_table` reads at once."""
    with open_table(source.file, format) as table:
        return next((chunk.rows for chunk in table.chunks()), [])


def _batches(source: Source, format: TableFormat) -> Iterator[Progressed]:
    with read_parquet(source.file, format) as table:
        rows = table.file.metadata.num_rows
        done = 0
        for batch in table.batches(BATCH_ROWS):
            done += batch.num_rows
            yield Progressed(batch, source.status[0] * done // rows)


def _source(path: Path, format: TableFormat, copy: Path) -> Source:
    try:
        file = _lasting(path, copy)
        status = _status(file)
        with file.open("rb") as stream:
            head = head_of(path, stream, _UNREADABLE)
            kind = recognise(path, head)
            header, bom = _header(path, file, stream, kind, head, format)
    except OSError as error:
        raise TableError(f"{path}: expected {_UNREADABLE}, found: {error.strerror}") from error
    return Source(path, file, kind, header, bom, status)


def _lasting(path: Path, copy: Path) -> Path:
    """Give a file that can be read twice: the file itself, or a copy of what comes through a pipe."""
    if path != PIPE and stat.S_ISREG(path.stat().st_mode):
        return path
    with copy.open("wb") as into:
        if path == PIPE:
            shutil.copyfileobj(sys.stdin.buffer, into)
        else:
            with path.open("rb") as pipe:
                shutil.copyfileobj(pipe, into)
    return copy


def _header(
    path: Path, file: Path, stream: io.BufferedReader[Any], kind: Kind, head: bytes, format: TableFormat
) -> tuple[Row, bool]:
    if kind == "parquet":
        with read_parquet(file, format) as table:
            return table.header, False
    text, _ = open_text(path, stream, kind, head)
    header = RowBlocks(path, cast(Any, text), format.sep).header()
    return header.names, header.text.startswith(BOM)


def _status(file: Path) -> tuple[int, int]:
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns


def _names(header: Row) -> str:
    return ", ".join(readable(name.strip()) for name in header)
