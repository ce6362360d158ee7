"""One file scored from its beginning to its end: which rows go where, in which format, and when the outputs appear."""

from __future__ import annotations  # io.BufferedReader takes its parameter only for the types

import csv
import io
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import Row
from plan_recommender.data.compression import packer
from plan_recommender.data.recognise import BOM, Kind, recognise
from plan_recommender.data.table_file import head_of, open_text
from plan_recommender.data.table_output import REJECT_COLUMNS, check_names
from plan_recommender.errors import TableError
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.scoring.answers import Answerer
from plan_recommender.scoring.counts import Counts
from plan_recommender.scoring.first_rows import Result, looked_at
from plan_recommender.scoring.layout import Layout, layout_of
from plan_recommender.scoring.line_scorer import LineScorer
from plan_recommender.scoring.ordered import in_order
from plan_recommender.scoring.outputs import PIPE, Outputs, replaced, resumable
from plan_recommender.scoring.progress import progress
from plan_recommender.scoring.row_blocks import BLOCK_BYTES, Block, Header, RowBlocks

_REASONS_BLOCK_BYTES: Final = 1 << 16
"""Size of a block with reasons, which are a few hundred times as long as a probability."""


class Task(NamedTuple):
    """A file to score."""

    source: Path
    output: Path
    rejects: Path


@dataclass(frozen=True)
class Scoring:
    """How files are scored."""

    answerer: Answerer
    format: TableFormat
    usual: ReferenceProfile | None
    """What the first rows of each file are compared with; None: with nothing."""
    jobs: int = 1
    """Number of threads."""
    run: dict[str, Any] | None = None
    """What the outputs depend on beside the input, as JSON has it; a run goes on where one with the same was killed.
    None: every run begins anew."""
    block_bytes: int = BLOCK_BYTES


def score_file(task: Task, scoring: Scoring) -> Counts:
    """Score a file; the outputs appear when both are complete, unless one of them is standard output.

    Raises:
        TableError: the file cannot be read or scored.
        OutputError: an output cannot be written.
    """
    with _opened(task.source) as (file, kind, head):
        check_names(task.output, task.rejects, parquet=kind == "parquet")
        if kind == "parquet":
            from plan_recommender.scoring.parquet import score_parquet  # its library takes time that text need not

            return score_parquet(task, scoring)
        stream, head = open_text(task.source, file, kind, head)
        return _score_text(task, scoring, _Source(file, stream, kind))


def check_file(task: Task, scoring: Scoring) -> None:
    """Refuse a file that `score_file` would refuse for its format, its columns or the names of its outputs.

    Raises:
        TableError: as `score_file`.
        OutputError: as `score_file`.
    """
    with _opened(task.source) as (file, kind, head):
        check_names(task.output, task.rejects, parquet=kind == "parquet")
        if kind == "parquet":
            from plan_recommender.scoring.parquet import check_parquet

            check_parquet(task, scoring)
        else:
            stream, head = open_text(task.source, file, kind, head)
            blocks = RowBlocks(task.source, stream, scoring.format.sep)
            _layout(task, scoring, blocks, blocks.header())


class Progressing(Protocol):
    """What is read, as far as progress is told of it."""

    def size(self) -> int | None:
        """Give its size in any unit; None if it has none, such as a pipe."""

    def done(self, rows: int) -> int:
        """Give how much of it was read, in the same unit, once so many rows were."""


class _Source(NamedTuple):
    file: io.BufferedReader[Any]
    stream: io.BufferedReader[Any]
    """The text, which may be compressed in the file."""
    kind: Kind

    def size(self) -> int | None:
        return os.fstat(self.file.fileno()).st_size if self.file.seekable() else None

    def done(self, rows: int) -> int:
        return self.file.tell() if self.file.seekable() else 0


@contextmanager
def _opened(source: Path) -> Iterator[tuple[io.BufferedReader[Any], Kind, bytes]]:
    """Open a file, or standard input, and tell what it is by its first bytes, which are not taken."""
    try:
        file = cast("io.BufferedReader[Any]", sys.stdin.buffer if source == PIPE else source.open("rb"))
    except OSError as error:
        raise TableError(f"{source}: expected a readable CSV file, found: {error.strerror}") from error
    try:
        head = head_of(source, file, "a readable CSV file")
        kind = recognise(source, head)
        if kind == "parquet" and source == PIPE:
            raise TableError(f"{source}: expected text, because Parquet is read from its end: name the file")
        yield file, kind, head
    finally:
        if source != PIPE:
            file.close()


def _layout(task: Task, scoring: Scoring, blocks: RowBlocks, header: Header) -> Layout:
    columns = scoring.answerer.columns
    return layout_of(task.source, header.names, blocks.sample, scoring.format, columns, header.newline)


def _score_text(task: Task, scoring: Scoring, source: _Source) -> Counts:
    format, size = scoring.format, scoring.block_bytes
    if scoring.answerer.gives_reasons:
        size = min(size, _REASONS_BLOCK_BYTES)
    blocks = RowBlocks(task.source, source.stream, format.sep, size)
    header = blocks.header()
    layout = _layout(task, scoring, blocks, header)
    with open_outputs(task, scoring) as outputs:
        if outputs.resumed is None:
            names = [name.encode() for name in scoring.answerer.columns]
            line = format.sep.encode().join([header.text, *names]) + header.newline
            pack = packer(task.output)
            outputs.output.write(line if pack is None else pack(line))
            write_rejects_header(outputs, header.names, bom=header.text.startswith(BOM))
        elif not outputs.resumed.done:
            blocks.seek(outputs.resumed.end)
        work = _work(task, scoring, layout, can_go_on=source.kind == "text")
        results = in_order(work, iter(blocks), scoring.jobs)
        return write_results(task, scoring, results, outputs, outputs.output.writelines, source)


def _work(task: Task, scoring: Scoring, layout: Layout, *, can_go_on: bool) -> Callable[[Block], Result]:
    """Make what a thread does with a block: score it and, where that is wanted, compress it."""
    scorer, pack = LineScorer(scoring.answerer, layout), packer(task.output)

    def work(block: Block) -> Result:
        try:
            scored = scorer.score(block.text)
        except csv.Error as error:
            raise TableError(f"{task.source}: expected CSV, found: {error}") from error
        if pack is not None and scored.output:
            scored = replace(scored, output=[pack(b"".join(scored.output))])
        return Result(block.end if can_go_on else 0, scored)

    return work


def open_outputs(task: Task, scoring: Scoring) -> AbstractContextManager[Outputs]:
    """Open the outputs of a file, so that a run goes on where one was killed, if that is wanted and possible."""
    if scoring.run is None or PIPE in (task.source, task.output):
        return replaced(task.output, task.rejects, scoring.format.sep)
    status = task.source.stat()
    source = {"path": str(task.source.resolve()), "size": status.st_size, "modified": status.st_mtime_ns}
    run = {**scoring.run, "source": source, "rejects": str(task.rejects.resolve())}
    return resumable(task.output, task.rejects, scoring.format.sep, run)


def write_rejects_header(outputs: Outputs, header: Row, *, bom: bool = False) -> None:
    """Begin the file of rejects."""
    outputs.rejects.write([[*REJECT_COLUMNS, *header]], bom=bom)


def write_results(
    task: Task,
    scoring: Scoring,
    results: Iterator[Result],
    outputs: Outputs,
    write: Callable[[list[Any]], object],
    source: Progressing,
) -> Counts:
    """Write the results of a whole file, in its order, once its first rows have been looked at.

    Raises:
        TableError: the file has no rows, or its first rows look mistaken.
    """
    if outputs.resumed is not None and outputs.resumed.done:
        return outputs.resumed.counts
    counts, usual = Counts(), scoring.usual
    if outputs.resumed is not None:
        counts, usual = replace(outputs.resumed.counts, earlier=outputs.resumed.counts.rows), None
    with closing(cast("Generator[Result]", results)), progress(source.size()) as report:
        for end, block in looked_at(results, task.source, usual):
            write(block.output)
            if block.rejects:
                numbered = [[str(counts.rows + 1 + row), reason, *cells] for row, reason, cells in block.rejects]
                outputs.rejects.write(numbered)
            counts.add(block)
            outputs.advance(end, counts)
            report(source.done(counts.rows), block.rows)
    if not counts.rows:
        raise TableError(f"{task.source}: expected at least one row after the header, found none")
    outputs.counts = counts
    return counts
