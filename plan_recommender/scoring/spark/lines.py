"""Score text on Spark: lines in, the same lines with answers appended out, byte for byte as predict.py writes them.

Spark cuts files anywhere and puts several into one partition. So a row has to be one line, and every file has to begin
with the same header; both are checked, and a job that finds another file fails before any of its output counts.
"""

from __future__ import annotations  # pyarrow has no types, and Broadcast takes no argument when it runs

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import Broadcast, TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import Row, shortened
from plan_recommender.data.csv_file import write_rows
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.tables import ModelDocument, write_document
from plan_recommender.scoring.answers import DECISION_COLUMN, PROBABILITY_COLUMN, Answerer
from plan_recommender.scoring.by_cell import lines_of, read_rows
from plan_recommender.scoring.layout import Layout, layout_of
from plan_recommender.scoring.line_scorer import LineScorer, ScoredBlock
from plan_recommender.scoring.plain_text import plain_lines
from plan_recommender.scoring.spark.frames import REASON, answerer_of

TEXT: Final = "value"
"""The column of text, under the name that Spark gives it."""

REJECTED: Final = "rejected"
"""The column with the number of rows that were rejected."""

REJECTED_TEXT: Final = "rejected_text"
"""The column with their text: the reason, and their own cells."""

_FILE: Final = "file"
"""The column that tells where a file begins: a number of its own for each, 0 where a row is in no first part."""

COUNTS: Final = ("rows", REJECTED, "ultra", *FEATURE_NAMES)
"""Of a block: rows, rejected ones, those recommended Ultra, and missing values of each feature in those scored."""

_SCORED: Final = T.StructType(
    [
        T.StructField(TEXT, T.StringType()),
        T.StructField(REJECTED_TEXT, T.StringType()),
        T.StructField(REASON, T.StringType()),
        *(T.StructField(name, T.LongType()) for name in COUNTS),
    ]
)
_PARQUET: Final = b"PAR1"  # what a file begins with
_BOM: Final = "\ufeff"
_SAMPLE_ROWS: Final = 100


@dataclass(frozen=True)
class Heading:
    """The first line of every file."""

    line: str
    """Without the end of the line, and without a byte order mark; bytes that are not UTF-8 are surrogates."""
    layout: Layout

    @property
    def end(self) -> str:
        """What stands before the line feed."""
        return self.layout.newline.decode()[:-1]

    @property
    def written(self) -> bytes:
        """The first line of every file that is written, without its line feed."""
        sep = self.layout.sep
        return _encoded(f"{self.line}{sep}{DECISION_COLUMN}{sep}{PROBABILITY_COLUMN}{self.end}")


def read_lines(spark: SparkSession, inputs: Sequence[str]) -> DataFrame:
    """Read text files as lines, in the bytes that they have, with the column that tells where a file begins."""
    lines = spark.read.option("lineSep", "\n").text(list(inputs))
    begins = F.col("_metadata.file_block_start") == 0
    return lines.select(TEXT, F.when(begins, F.xxhash64("_metadata.file_path")).otherwise(0).alias(_FILE))


def heading_of(lines: DataFrame, format: TableFormat, name: str) -> Heading:
    """Read the header of one of the files.

    Args:
        lines: of `read_lines`.
        format: how the text is written.
        name: what an error calls the files.

    Raises:
        TableError: there is no header, or it lacks a usage column.
    """
    first = _bytes_of(lines.where(F.col(_FILE) != 0).limit(1 + _SAMPLE_ROWS).toArrow().column(TEXT))
    if not first or not first[0].strip():
        raise TableError(f"{name}: expected a header as the first line of each file, found none")
    if first[0].startswith(_PARQUET):
        raise TableError(f"{name}: expected CSV, found Parquet; leave out --format csv")
    line = _decoded(first[0]).removeprefix(_BOM).removesuffix("\r")
    if "\r" in line:
        raise TableError(
            f"{name}: expected lines that end with LF or CR LF on Spark, found CR alone; predict.py reads such files"
        )
    row = next(read_rows([line], format.sep))
    if row.text.count('"') and _goes_on(_encoded(line), format.sep):
        raise TableError(f"{name}: expected a header of one line, found one that ends inside quotes")

    def sample() -> list[Row]:
        return [row.cells for row in read_rows([_decoded(each) + "\n" for each in first[1:]], format.sep)]

    newline = b"\r\n" if first[0].endswith(b"\r") else b"\n"
    new = [DECISION_COLUMN, PROBABILITY_COLUMN]
    return Heading(line, layout_of(name, row.cells, sample, format, new, newline))


def score_lines(lines: DataFrame, document: ModelDocument, heading: Heading) -> DataFrame:
    """Score lines, in blocks.

    Args:
        lines: of `read_lines`.
        document: the model; it is broadcast.
        heading: of every file.

    Returns:
        For each block the text of the lines that were scored and of those that were rejected, each null if there are
        none, without the last line's end; the reason of the first reject; and counts. The first text of a partition
        begins with a header.
    """
    broadcast = lines.sparkSession.sparkContext.broadcast(write_document(document))

    def scored(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _scored(batches, broadcast, heading)

    return lines.mapInArrow(scored, _SCORED)


def score_first_lines(lines: DataFrame, document: ModelDocument, heading: Heading, rows: int) -> ScoredBlock | None:
    """Score some lines here, to look at them before a job runs; None if there are only headers."""
    (batch,) = lines.limit(rows + 1).toArrow().combine_chunks().to_batches()
    scorer = LineScorer(Answerer(document), heading.layout)
    return next((_score(scorer, block) for block in _Blocks(heading).of([batch])), None)


def _scored(
    batches: Iterator[pa.RecordBatch], document: Broadcast[bytes], heading: Heading
) -> Iterator[pa.RecordBatch]:
    scorer = LineScorer(answerer_of(document.value), heading.layout)
    output_begins = rejects_begin = True
    for block in _Blocks(heading).of(batches):
        scored = _score(scorer, block)
        text = b"".join([heading.written + b"\n" if output_begins else b"", *scored.output])[:-1]
        output_begins = output_begins and not scored.output
        rejected = None
        if scored.rejects:
            first: list[Row] = [[REASON, *heading.layout.header]] if rejects_begin else []
            rejects_begin = False
            rejected = _written([*first, *([reject.reason, *reject.cells] for reject in scored.rejects)], heading)
        yield _row(text if scored.output else None, rejected, scored)
    if output_begins and _is_first():  # Spark writes a file of the first partition, whatever it has
        yield _row(heading.written, None, None)


def _score(scorer: LineScorer, block: bytes) -> ScoredBlock:
    try:
        return scorer.score(block)
    except csv.Error as error:
        raise TableError(f"expected CSV, found: {error}") from error


class _Blocks:
    """Turns lines into blocks of text without the headers."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._file = 0

    def of(self, batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch]) -> Iterator[bytes]:
        """Yield a block for the lines of each batch, if there are any but headers.

        Raises:
            TableError: a file begins otherwise, or a row has more than one line.
        """
        for batch in filter(len, batches):
            lines = batch.column(0)
            kept = self._without_headers(lines, batch.column(1).to_numpy())
            block = _joined(kept)
            self._require_rows(block)
            if block:
                yield block

    def _without_headers(self, lines: pa.Array, files: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
        changes = np.flatnonzero(np.diff(files, prepend=self._file))
        self._file = int(files[-1])
        begins = [i for i in changes.tolist() if files[i]]
        if not begins:
            return lines
        for i in begins:
            found = _decoded(_bytes_of(lines.slice(i, 1))[0]).removeprefix(_BOM).removesuffix("\r")
            if found != self._heading.line:
                raise TableError(
                    f"expected the header {shortened(self._heading.line)} as the first line of each file, found "
                    f"{shortened(found)}"
                )
        bounds = [-1, *begins, len(lines)]
        return pa.concat_arrays([lines.slice(a + 1, b - a - 1) for a, b in itertools.pairwise(bounds)])

    def _require_rows(self, block: bytes) -> None:
        sep = self._heading.layout.sep
        if b'"' in block and plain_lines(block, sep) is None and _goes_on(block, sep):
            raise TableError(
                "expected rows of one line on Spark, found a cell in quotes that goes on in the next line; "
                "predict.py reads such files"
            )


def _goes_on(block: bytes, sep: str) -> bool:
    """Whether a row has more than one line, or does not end.

    Raises:
        TableError: a row is not CSV.
    """
    try:
        return any(row.is_open or "\n" in row.text for row in read_rows(lines_of(_decoded(block)), sep))
    except csv.Error as error:
        raise TableError(f"expected CSV, found: {error}") from error


def _joined(lines: pa.Array) -> bytes:
    """Put lines together, each with a line feed."""
    if not len(lines):
        return b""
    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines.view(pa.binary()))
    content: bytes = pc.binary_join(whole, b"\n")[0].as_py()
    return content + b"\n"


def _row(text: bytes | None, rejected: bytes | None, scored: ScoredBlock | None) -> pa.RecordBatch:
    counts, reason = [0] * len(COUNTS), None
    if scored is not None:
        counts = [scored.rows, len(scored.rejects), scored.ultra, *scored.missing]
        reason = scored.rejects[0].reason if scored.rejects else None
    # Arrow's text may hold any bytes here; Spark writes them as they are.
    texts = [pa.array([content], pa.binary()).view(pa.string()) for content in (text, rejected)]
    arrays = [*texts, pa.array([reason], pa.string()), *(pa.array([count], pa.int64()) for count in counts)]
    return pa.RecordBatch.from_arrays(arrays, names=_SCORED.names)


def _written(rows: list[Row], heading: Heading) -> bytes:
    file = io.StringIO(newline="")
    write_rows(file, rows, heading.layout.sep)
    return _encoded(file.getvalue().removesuffix("\n"))


def _is_first() -> bool:
    context = TaskContext.get()
    return context is not None and context.partitionId() == 0


def _bytes_of(lines: Any) -> list[bytes]:
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    found: list[bytes] = lines.view(pa.binary()).to_pylist()
    return found


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", errors="surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")
