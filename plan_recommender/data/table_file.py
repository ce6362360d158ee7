"""Open a table, whatever the format of its file: text, also compressed with gzip or zstd, or Parquet."""

from __future__ import annotations  # io.BufferedReader takes its parameter only for the types

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.compression import unpacked
from plan_recommender.data.csv_file import UNREADABLE, read_csv
from plan_recommender.data.parquet_file import read_parquet
from plan_recommender.data.recognise import BOM, HEAD_BYTES, Kind, recognise
from plan_recommender.data.table_options import AS_USUAL
from plan_recommender.data.table_reader import TableReader
from plan_recommender.errors import TableError


@contextmanager
def open_table(path: Path, format: TableFormat = AS_USUAL) -> Iterator[TableReader]:
    """Open a table and read its header.

    What a file is, is told by its first bytes and not by its name. A file that cannot be sought in, such as a pipe, can
    be read unless it is Parquet.

    Args:
        path: of the file.
        format: how it is written, if it is text; how its numbers are written as text, if it is Parquet.

    Raises:
        TableError: the file cannot be read, or is none of these.
        MissingLibraryError: it is Parquet, and the library to read it is not installed.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise TableError(f"{path}: expected a readable CSV file, found: {error.strerror}") from error
    with file:
        head = head_of(path, file, "a readable CSV file")
        kind = recognise(path, head)
        if kind == "parquet":
            with read_parquet(path, format) as table:
                yield table
        else:
            stream, head = open_text(path, file, kind, head)
            yield read_csv(path, cast(BinaryIO, stream), format, head.startswith(BOM))


def open_text(
    path: Path, file: io.BufferedReader[Any], kind: Kind, head: bytes
) -> tuple[io.BufferedReader[Any], bytes]:
    """Open the text of a file, which may be compressed in it; returns it with its first bytes, which are not taken.

    Args:
        path: of the file, for errors.
        file: open at its beginning.
        kind: what the file is, as `recognise` tells it of `head`.
        head: the first bytes of the file.

    Raises:
        TableError: the file is damaged, or what is compressed in it is no text.
    """
    if kind == "text":
        return file, head
    stream = unpacked(cast(BinaryIO, file), kind)
    head = head_of(path, stream, f"a complete file compressed with {kind}")
    recognise(path, head, inside=kind)
    return stream, head


def head_of(path: Path, stream: io.BufferedReader[Any], expected: str) -> bytes:
    """Look at the first bytes of a file without taking them."""
    try:
        return stream.peek(HEAD_BYTES)[:HEAD_BYTES]
    except UNREADABLE as error:
        raise TableError(f"{path}: expected {expected}, found: {error}") from error
