"""Tables of months advised on, from their first rows to complete outputs."""

from __future__ import annotations  # pyarrow has no types

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from plan_recommender.advising.advice_table import ManyAdviceTable, chosen, with_group
from plan_recommender.advising.answers import Answered, Answerer, Cut, People, Range
from plan_recommender.advising.intake import Intake, Taker, take_in
from plan_recommender.advising.marks import Marks
from plan_recommender.advising.month_batch import BLOCK
from plan_recommender.advising.reading import BlockReader
from plan_recommender.advising.rejects import FILE_COLUMN, Rejects
from plan_recommender.advising.runs import RANGE_ROWS, RunReader, Slices, borders, months_folder, slices_of
from plan_recommender.advising.sources import BLOCK_BYTES, Source, first_rows, opened
from plan_recommender.advising.workers import Map, working
from plan_recommender.billing.advice import Adviser
from plan_recommender.billing.advice_many import ManyAdviser
from plan_recommender.campaign.export import ContactList, contact_list
from plan_recommender.campaign.groups import Group
from plan_recommender.campaign.selection import Campaign
from plan_recommender.config.table_format import MonthsFormat, TableFormat
from plan_recommender.data.advice_table import exact_amount
from plan_recommender.data.compression import packer
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.month_rows import MonthReader
from plan_recommender.data.table_file import open_table
from plan_recommender.data.table_output import REJECT_COLUMNS
from plan_recommender.model.languages import Language
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.scoring.outputs import PIPE, Outputs, replaced
from plan_recommender.scoring.progress import progress

_ROW_GROUP: Final = 1 << 15
"""Rows of a row group in Parquet, about."""

_GROUPS: Final[tuple[Group, ...]] = get_args(Group)

_FEW_BLOCKS: Final = 4
"""So few blocks are advised on sooner in one process than others begin: they take a quarter of a second."""

Groups = list[Group | Literal[""]]


@dataclass(frozen=True)
class Advising:
    """How tables are advised on."""

    adviser: Adviser
    format: TableFormat = field(default_factory=MonthsFormat)
    usual: ReferenceProfile | None = None
    """What the first rows of each table are compared with; None: with nothing."""
    language: Language = "en"
    """Of the sentences."""
    campaign: Campaign | None = None
    contacts: Path | None = None
    """Where the list of the campaign's contacts is written; None: nowhere."""
    origin: dict[str, str] = field(default_factory=dict)
    """What an output in Parquet says of itself in its metadata."""
    jobs: int = 1
    """Number of processes."""
    block_bytes: int = BLOCK_BYTES
    range_rows: int = RANGE_ROWS


@dataclass
class Advised:
    """What became of the rows, and of the subscribers."""

    rows: int
    rejected: int
    first_reject: str | None
    """Which row was rejected first, and why."""
    counts: Counter[str]
    """Subscribers by the kind of advice, and under `saving` what the switches are expected to save (smallest units)."""


def advise_files(sources: Sequence[Path], output: Path, rejects: Path, advising: Advising) -> Advised:
    """Advise every subscriber of some tables; the outputs appear when they are complete.

    There is one row a subscriber, sorted by the bytes of the subscriber. Standard output is written at once.

    Args:
        sources: the tables, with the same columns; `PIPE` is standard input.
        output: the table of advice, Parquet if the name ends in .parquet, otherwise text; or `PIPE`.
        rejects: text, for the rows that are no months.
        advising: how.

    Raises:
        TableError: a table cannot be read, or its first rows look mistaken beside what is usual.
        OutputError: a file cannot be written.
    """
    with (
        replaced(output, rejects, advising.format.sep) as outputs,
        months_folder(None if output == PIPE else output) as folder,
        opened(sources, advising.format, folder) as tables,
    ):
        return _Run(tables, folder, outputs, output, advising).advised()


class _Run:
    """One run of `advise_files`."""

    def __init__(self, tables: list[Source], folder: Path, outputs: Outputs, output: Path, advising: Advising) -> None:
        adviser, format = advising.adviser, advising.format
        campaign = advising.campaign
        self._tables = tables
        self._folder = folder
        self._outputs = outputs
        self._advising = advising
        self._campaign = campaign
        self._as_parquet = output.suffix.lower() == ".parquet"
        self._pack = packer(output)
        self._table = ManyAdviceTable(
            adviser, advising.language, format.sep, format.decimal, with_groups=campaign is not None
        )  # fmt: skip
        self._reader = _block_reader(tables, advising)
        self._marks = Marks(folder)
        size = sum(table.status[0] for table in tables)
        self._jobs = advising.jobs if size > _FEW_BLOCKS * advising.block_bytes else 1
        self._size = size

    def advised(self) -> Advised:
        self._begin_rejects()
        intake = self._take_in()
        counts = self._answer(intake)
        rejects = Rejects(self._tables, self._reader, intake, self._marks)
        rejects.write(self._advising.format, self._advising.block_bytes, self._outputs.rejects.write)
        return Advised(self._marks.rows, self._marks.count, rejects.first, counts)

    def _begin_rejects(self) -> None:
        first = self._tables[0]
        file = [FILE_COLUMN] if len(self._tables) > 1 else []
        self._outputs.rejects.write([[*file, *REJECT_COLUMNS, *first.header]], bom=first.bom)

    def _take_in(self) -> Intake:
        taker = Taker(self._reader, self._tables, self._folder)
        with working(taker.take, self._jobs) as take, progress(self._size) as report:
            return take_in(
                self._tables, self._advising.format, take, self._marks, self._advising.usual, report,
                self._advising.block_bytes,
            )  # fmt: skip

    def _answer(self, intake: Intake) -> Counter[str]:
        answerer = Answerer(
            RunReader(intake.runs), ManyAdviser(self._advising.adviser), self._table,
            as_batches=self._as_parquet, pack=self._pack,
        )  # fmt: skip
        starts = borders(intake.runs, self._advising.range_rows)
        with working(answerer.work, self._jobs) as work, ExitStack() as stack:
            cuts = np.array(list(work(Cut(run, starts) for run in range(len(intake.runs)))))
            slices = [each for each in (slices_of(cuts, i) for i in range(len(starts) + 1)) if each.rows]
            contacts = None
            if self._campaign is not None and self._advising.contacts is not None:
                currency = self._advising.adviser.tariffs.currency
                contacts = stack.enter_context(contact_list(self._advising.contacts, self._campaign.name, currency))
            if self._campaign is not None and self._campaign.is_limited:  # who is contacted depends on everybody
                for answered in self._ranges(work, slices, only_people=True):
                    _add(self._campaign, answered.people)
            write = self._begin_output(stack)
            counts: Counter[str] = Counter()
            for answered in self._ranges(work, slices):
                self._marks.mark(_rows_of(answered.again, intake))
                counts.update(answered.counts)
                write(self._grouped(answered, contacts))
        return counts

    def _ranges(self, work: Map[Any, Any], slices: list[Slices], *, only_people: bool = False) -> Iterator[Answered]:
        with_people = self._campaign is not None
        with progress(sum(each.rows for each in slices)) as report:
            done = 0
            for answered in work(Range(each, with_people, only_people) for each in slices):
                done += answered.rows
                report(done, answered.rows)
                yield answered

    def _begin_output(self, stack: ExitStack) -> Callable[[list[Any]], object]:
        """Write what stands before the rows; returns what writes rows."""
        file = self._outputs.output
        if self._as_parquet:
            return stack.enter_context(_Parquet(file, self._table.schema.with_metadata(self._advising.origin))).write
        text = io.StringIO(newline="")
        text.write("\ufeff" if self._tables[0].bom else "")
        write_rows(text, [self._table.columns], self._advising.format.sep)
        header = text.getvalue().encode(errors="surrogateescape")
        file.write(header if self._pack is None else self._pack(header))
        return file.writelines

    def _grouped(self, answered: Answered, contacts: ContactList | None) -> list[Any]:
        """Say who of a range is in which group of the campaign, if there is one; returns what is written."""
        if self._campaign is None or answered.people is None:
            return answered.output
        if not self._campaign.is_limited:
            _add(self._campaign, answered.people)
        groups = _assign(self._campaign, answered.people)
        if contacts is not None:
            self._list(contacts, groups, answered.people)
        if self._as_parquet:
            return [_with_groups(batch, groups, self._table.schema) for batch in answered.output]
        lines = [with_group(line, group) for line, group in zip(answered.output, groups, strict=True)]
        text = "".join(lines).encode(errors="surrogateescape")
        return [text if self._pack is None else self._pack(text)]

    def _list(self, contacts: ContactList, groups: Groups, people: People) -> None:
        tariffs = self._advising.adviser.tariffs
        for group, name, advice, reason in zip(groups, people.names, people.advice.each(), people.reasons, strict=True):
            if group == "contact" and advice.held is not None:
                saving = exact_amount(advice.saving.expected, tariffs.decimals)
                held, advised = tariffs.names[advice.held], tariffs.names[advice.advised]
                contacts.add(group, name, held, advised, saving, reason)


class _Parquet:
    """Writes record batches as Parquet, some of them together as a row group."""

    def __init__(self, file: Any, schema: Any) -> None:
        self._writer = pq.ParquetWriter(file, schema)
        self._schema = schema
        self._waiting: list[Any] = []

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed is None:
            self._write()
        self._writer.close()

    def write(self, batches: list[Any]) -> None:
        """Write batches, now or later."""
        self._waiting += batches
        if sum(batch.num_rows for batch in self._waiting) >= _ROW_GROUP:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            batches = [batch.replace_schema_metadata(self._schema.metadata) for batch in self._waiting]
            self._writer.write_table(pa.Table.from_batches(batches), row_group_size=2 * _ROW_GROUP)
        self._waiting = []


def _block_reader(tables: Sequence[Source], advising: Advising) -> BlockReader:
    """Find the columns, and refuse tables that seem to have them under other names."""
    tariffs, format = advising.adviser.tariffs, advising.format
    readers = []
    for source in tables:
        with open_table(source.file, format) as table:
            named = replace(table, path=source.path)
            reader = MonthReader(named, tariffs.names, rounds_calls=tariffs.rounds_calls)
        if "plan" not in reader.positions:
            reader.require_plans_read(first_rows(source, format))
        readers.append(reader)
    return BlockReader(readers[0], len(tables[0].header), format.sep, format.decimal)


def _rows_of(places: npt.NDArray[np.int64], intake: Intake) -> npt.NDArray[np.int64]:
    """Turn places into rows, counted from 0 over all tables."""
    return intake.blocks[places // BLOCK] + places % BLOCK


def _add(campaign: Campaign, people: People | None) -> None:
    if people is not None:
        for name, advice, mb_used in zip(people.names, people.advice.each(), people.mb_used, strict=True):
            campaign.add(name, advice, mb_used)


def _assign(campaign: Campaign, people: People) -> Groups:
    kinds, savings = people.kinds(), people.advice.saving.expected.tolist()
    return [campaign.assign(*each) for each in zip(people.names, kinds, savings, strict=True)]


def _with_groups(batch: Any, groups: Groups, schema: Any) -> Any:
    places = np.array([_GROUPS.index(group) if group else -1 for group in groups], np.int64)
    return pa.RecordBatch.from_arrays([*batch.columns, chosen(list(_GROUPS), places)], schema=schema)
