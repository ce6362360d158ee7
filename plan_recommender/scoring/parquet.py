"""One Parquet file scored: read, scored and written batch by batch, as Parquet or as text."""

from __future__ import annotations  # pyarrow has no types

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from plan_recommender.data.compression import packer
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.parquet_file import ParquetReader, batch_as_text, read_parquet
from plan_recommender.errors import TableError
from plan_recommender.scoring.answers import PROBABILITY_COLUMN
from plan_recommender.scoring.arrow_scorer import ArrowScorer
from plan_recommender.scoring.counts import Counts
from plan_recommender.scoring.files import Scoring, Task, open_outputs, write_rejects_header, write_results
from plan_recommender.scoring.first_rows import Result
from plan_recommender.scoring.layout import Layout, layout_of
from plan_recommender.scoring.ordered import ahead, in_order
from plan_recommender.scoring.outputs import Outputs

_BATCH_CELLS: Final = 1 << 19
_MAX_BATCH_ROWS: Final = 1 << 15
_MAX_REASONS_ROWS: Final = 1 << 12
_READ_AHEAD: Final = 2


def score_parquet(task: Task, scoring: Scoring) -> Counts:
    """Score a Parquet file, as `files.score_file` says.

    Raises:
        TableError: the file cannot be read or scored.
        OutputError: an output cannot be written.
    """
    with read_parquet(task.source, scoring.format) as table, open_outputs(task, scoring) as outputs:
        layout = _layout(task, scoring, table)
        if outputs.resumed is None:
            write_rejects_header(outputs, table.header)
        scorer = ArrowScorer(scoring.answerer, layout)
        batches = _batches(table, scoring)
        schema = scorer.schema(table.file.schema_arrow)
        with ExitStack() as stack:
            if task.output.suffix.lower() == ".parquet":
                writer = stack.enter_context(_writer(outputs, schema))
                results = in_order(_work(task, scorer), batches, scoring.jobs)
                return write_results(task, scoring, results, outputs, _writing(writer), _Read(table))
            to_text = _to_text(task, scoring, outputs, schema.names)
            results = in_order(_work(task, scorer, to_text), batches, scoring.jobs)
            return write_results(task, scoring, results, outputs, outputs.output.writelines, _Read(table))


def check_parquet(task: Task, scoring: Scoring) -> None:
    """Refuse a file whose columns `score_parquet` would refuse.

    Raises:
        TableError: it would.
    """
    with read_parquet(task.source, scoring.format) as table:
        _layout(task, scoring, table)


class _Read:
    """How far a file was read, in rows."""

    def __init__(self, table: ParquetReader) -> None:
        self._rows: int = table.file.metadata.num_rows

    def size(self) -> int | None:
        return self._rows

    def done(self, rows: int) -> int:
        return rows


def _layout(task: Task, scoring: Scoring, table: ParquetReader) -> Layout:
    return layout_of(task.source, table.header, table.sample, scoring.format, scoring.answerer.columns)


def _batches(table: ParquetReader, scoring: Scoring) -> Iterator[Any]:
    most = _MAX_REASONS_ROWS if scoring.answerer.gives_reasons else _MAX_BATCH_ROWS
    batches = table.batches(min(most, max(_BATCH_CELLS // len(table.header), 1)))
    return batches if scoring.jobs == 1 else ahead(batches, _READ_AHEAD)


def _writer(outputs: Outputs, schema: Any) -> Any:
    nested = any(pa.types.is_nested(field.type) for field in schema)
    # No two probabilities are alike, so that a dictionary of them would be made for nothing.
    in_dictionary = True if nested else [name for name in schema.names if name != PROBABILITY_COLUMN]
    return pq.ParquetWriter(outputs.output, schema, use_dictionary=in_dictionary)


def _writing(writer: Any) -> Callable[[list[Any]], object]:
    def write(batches: list[Any]) -> None:
        for batch in batches:
            writer.write_batch(batch)

    return write


def _work(
    task: Task, scorer: ArrowScorer, then: Callable[[list[Any]], list[Any]] | None = None
) -> Callable[[Any], Result]:
    """Make what a thread does with a batch."""

    def work(batch: Any) -> Result:
        try:
            scored = scorer.score(batch)
            return Result(0, scored if then is None else replace(scored, output=then(scored.output)))
        except TableError as error:
            raise TableError(f"{task.source}: {error}") from error

    return work


def _to_text(task: Task, scoring: Scoring, outputs: Outputs, names: list[str]) -> Callable[[list[Any]], list[bytes]]:
    """Begin text with a header; returns what writes batches as lines."""
    pack, sep, decimal = packer(task.output), scoring.format.sep, scoring.format.decimal

    def packed(rows: list[list[str]]) -> bytes:
        text = io.StringIO(newline="")
        write_rows(text, rows, sep)
        content = text.getvalue().encode("utf-8", errors="surrogateescape")
        return content if pack is None else pack(content)

    if outputs.resumed is None:
        outputs.output.write(packed([names]))
    return lambda batches: [packed(batch_as_text(batch, decimal)) for batch in batches]
