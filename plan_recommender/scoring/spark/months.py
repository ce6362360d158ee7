"""Advise the subscribers of a Spark DataFrame of months: one row for each, as advise.py advises.

Spark sorts the months by subscriber within its partitions, on disk where memory is short; a Python worker then reads
one subscriber after the other.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import Broadcast
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql import types as T

from plan_recommender.billing.advice import Adviser
from plan_recommender.billing.forecast import Month
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.config.table_format import MonthsFormat
from plan_recommender.data.advice_table import AdviceTable
from plan_recommender.data.cells import Row
from plan_recommender.data.month_rows import MonthReader
from plan_recommender.data.month_spill import History
from plan_recommender.data.parquet_file import batch_as_text
from plan_recommender.data.table_reader import Chunk, TableReader
from plan_recommender.errors import TableError
from plan_recommender.model.languages import Language
from plan_recommender.scoring.spark.frames import REASON

ADVICE: Final = "advice"
"""The column of the advice that says its kind."""

_SOURCE: Final = "source"
"""The row as it came, in one column, so that none of its names can clash with those below."""

_MONTH: Final = (
    T.StructField("subscriber", T.BinaryType()),
    T.StructField("month", T.IntegerType()),
    T.StructField("plan", T.IntegerType()),
    *(T.StructField(name, T.DoubleType()) for name in Month._fields),
)
_REPEATED: Final = "repeated"
_AMOUNT_DIGITS: Final = 18
_BATCH_ROWS: Final = 2_000
_SAMPLE_ROWS: Final = 100

_Months = list[tuple[Any, ...]]
"""The months of one subscriber, sorted: the values of `_MONTH`, and whatever stands behind them."""


@dataclass(frozen=True)
class _Rows(TableReader):
    """A table whose rows are in memory."""

    rows: Sequence[Row]

    def chunks(self) -> Iterator[Chunk]:
        yield Chunk(list(self.rows))

    def _sample(self) -> list[Row]:
        return list(self.rows)


@dataclass(frozen=True)
class MonthsJob:
    """What months are read and advised with."""

    adviser: Adviser
    format: MonthsFormat
    language: Language = "en"

    @property
    def tariffs(self) -> Tariffs:
        """The tariffs that the adviser has."""
        return self.adviser.tariffs

    @cached_property
    def table(self) -> AdviceTable:
        """Who writes the advice as cells."""
        return AdviceTable(self.tariffs, self.adviser.policy, language=self.language)

    def reader(self, names: Sequence[str], first: Sequence[Row] = (), where: str = "the months") -> MonthReader:
        """Give who reads rows with these columns as months; some rows help to say in an error what could be meant.

        Raises:
            TableError: the columns are not those of a table of months.
        """
        table = _Rows(Path(where), self.format, list(names), False, first)
        return MonthReader(table, self.tariffs.names, rounds_calls=self.tariffs.rounds_calls)


@dataclass
class Observed:
    """What is counted while the advice is computed."""

    read: Observation
    """`rows`, and `rejected` of them."""
    advised: Observation
    """`rejected`, because another row is about the same month, and the number of subscribers by the kind of advice."""


def advise(frame: DataFrame, job: MonthsJob, observed: Observed | None = None) -> DataFrame:
    """Advise every subscriber of a DataFrame of months, in no particular order.

    The columns are those of advise.py; amounts are decimal numbers, and a plan that is not known is null. Of rows for
    the same month of a subscriber that say the same, one counts; of rows that differ none does, because rows on Spark
    have no order by which one of them would be the first.

    Args:
        frame: a row for each month of a subscriber.
        job: what it is advised with; it is broadcast.
        observed: is filled when the result is computed.

    Raises:
        TableError: the columns are not those of a table of months.
    """
    months = _read(frame, job)
    if observed is not None:
        rejected = F.count(REASON)
        months = months.observe(observed.read, F.count(F.lit(1)).alias("rows"), rejected.alias("rejected"))
    broadcast = frame.sparkSession.sparkContext.broadcast(job)

    def advised(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _advised(batches, broadcast.value)

    months = months.where(F.col(REASON).isNull()).drop(_SOURCE, REASON)
    schema = T.StructType([*_advice_fields(job), T.StructField(_REPEATED, T.IntegerType())])
    advice = _by_subscriber(months).mapInArrow(advised, schema)
    if observed is not None:
        kinds = [F.count(F.when(F.col(ADVICE) == kind, 1)).alias(kind) for kind in ("keep", "switch", "choose")]
        saving = F.sum(F.when(F.col(ADVICE) == "switch", F.col("expected_saving")))
        repeated = F.sum(_REPEATED).alias("rejected")
        advice = advice.observe(observed.advised, repeated, saving.alias("saving"), *kinds)
    return advice.where(F.col(ADVICE).isNotNull()).drop(_REPEATED)


def rejected_months(frame: DataFrame, job: MonthsJob) -> DataFrame:
    """Give the rows of a DataFrame of months that `advise` does not count, as they are, with the column `reason`.

    Raises:
        TableError: the columns are not those of a table of months.
    """
    months = _read(frame, job)
    schema = T.StructType([months.schema[_SOURCE], months.schema[REASON]])
    broken = months.where(F.col(REASON).isNotNull()).select(_SOURCE, REASON)
    fitting = months.where(F.col(REASON).isNull()).select(*(field.name for field in _MONTH), _SOURCE)
    return broken.unionByName(_by_subscriber(fitting).mapInArrow(_repeated, schema)).select(f"{_SOURCE}.*", REASON)


def first_rows(frame: DataFrame, rows: int) -> list[Row]:
    """Fetch the first rows of a DataFrame as text, as `advise` reads them."""
    return [
        row
        for batch in frame.limit(rows).toArrow().to_batches()
        for row in batch_as_text(
            pa.RecordBatch.from_arrays([*map(_in_utc, batch.columns)], names=batch.schema.names), "."
        )
    ]


def _read(frame: DataFrame, job: MonthsJob) -> DataFrame:
    """Read every row as a month, or as the reason why it is none."""
    names = frame.columns
    if REASON in names:
        raise TableError(f"expected no column named {REASON}, which rejects get")
    job.reader(names, first_rows(frame, _SAMPLE_ROWS))  # refuses other columns before anything runs
    rows = frame.select(F.struct("*").alias(_SOURCE))
    schema = T.StructType([*_MONTH, T.StructField(REASON, T.StringType()), rows.schema[_SOURCE]])
    broadcast = frame.sparkSession.sparkContext.broadcast(job)

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _months(batches, broadcast, names)

    return rows.mapInArrow(read, schema)


def _by_subscriber(months: DataFrame) -> DataFrame:
    return months.repartition("subscriber").sortWithinPartitions("subscriber", "month")


def _months(
    batches: Iterator[pa.RecordBatch], job: "Broadcast[MonthsJob]", names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    reader = job.value.reader(names)
    for batch in batches:
        source = batch.column(0)
        columns = [_in_utc(column) for column in source.flatten()]
        divided = reader.divide(batch_as_text(pa.RecordBatch.from_arrays(columns, names=list(names)), "."))
        nothing: list[Any] = [None] * (len(_MONTH) + 1)
        rows = [nothing] * len(batch)
        for i, month in divided.months.items():
            subscriber = month.subscriber.encode(errors="surrogateescape")
            rows[i] = [subscriber, month.month, month.plan, *month.used, None]
        for i, reason in divided.reasons.items():
            rows[i] = [*nothing[:-1], reason]
        fields = pa.schema([*_arrow_fields(_MONTH), pa.field(REASON, pa.string())])
        arrays = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), fields, strict=True)]
        yield pa.RecordBatch.from_arrays([*arrays, source], names=[*fields.names, _SOURCE])


def _advised(batches: Iterator[pa.RecordBatch], job: MonthsJob) -> Iterator[pa.RecordBatch]:
    fields = pa.schema([*_arrow_fields(_advice_fields(job)), pa.field(_REPEATED, pa.int32())])
    for group in _in_groups(_advised_subscribers(batches, job)):
        arrays = [pa.array(values, field.type) for values, field in zip(zip(*group, strict=True), fields, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, names=fields.names)


def _advised_subscribers(batches: Iterator[pa.RecordBatch], job: MonthsJob) -> Iterator[list[Any]]:
    """Yield the advice of every subscriber as values, and how many rows were repeated."""
    width = len(job.table.columns)
    for name, months in _subscribers(batches):
        kept, repeated = _told_apart(months)
        if not kept:
            yield [*([None] * width), len(repeated)]
            continue
        subscriber = name.decode(errors="surrogateescape")
        history = History(
            subscriber, [row[1] for row in kept], [row[2] for row in kept], [Month(*row[3:9]) for row in kept]
        )
        held, used = history.before(len(kept))
        cells = job.table.row(subscriber, job.adviser.advise(held, used))
        yield [*map(_value, _advice_fields(job), cells), len(repeated)]


def _repeated(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of which `_told_apart` says that they do not count, as they came, with the reason."""
    for _, months in _subscribers(batches):
        rows = _told_apart(months)[1]
        if rows:
            sources = pa.concat_arrays([row[-1] for row, _ in rows])
            reasons = pa.array([reason for _, reason in rows], pa.string())
            yield pa.RecordBatch.from_arrays([sources, reasons], names=[_SOURCE, REASON])


def _subscribers(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[bytes, _Months]]:
    """Yield the months of every subscriber; a source stands behind them as an array of one row, without a copy."""
    for name, months in itertools.groupby(itertools.chain.from_iterable(map(_rows, batches)), key=itemgetter(0)):
        yield name, list(months)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    values = [batch.column(field.name).to_pylist() for field in _MONTH]
    if _SOURCE in batch.schema.names:
        source = batch.column(_SOURCE)
        values.append([source.slice(i, 1) for i in range(len(batch))])
    return zip(*values, strict=True)


def _told_apart(months: _Months) -> tuple[_Months, list[tuple[tuple[Any, ...], str]]]:
    """Tell the months that count from the others, with the reason."""
    kept, repeated = [], []
    for month, group in itertools.groupby(months, key=itemgetter(1)):
        rows = list(group)
        said = f"{month // 12:04}-{month % 12 + 1:02}"
        found = f"month: expected each month of a subscriber once, found {said}"
        if len({row[2:9] for row in rows}) == 1:
            kept.append(rows[0])
            repeated += [(row, f"{found} again") for row in rows[1:]]
        else:
            repeated += [(row, f"{found} in {len(rows)} rows that differ, so that none of them counts") for row in rows]
    return kept, repeated


def _in_groups(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    while group := list(itertools.islice(rows, _BATCH_ROWS)):
        yield group


def _in_utc(column: pa.Array) -> pa.Array:
    """Give moments as advise.py reads them from Parquet: in UTC, whatever the time zone of the session."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return pc.cast(column, pa.timestamp(column.type.unit, tz="UTC"))
    return column


def _advice_fields(job: MonthsJob) -> list[T.StructField]:
    text: set[str] = {"subscriber", "plan", ADVICE, "advised_plan", "estimated_minutes", REASON}
    other: dict[str, T.DataType] = {"p_saves": T.DoubleType(), "months": T.IntegerType()}
    amount = T.DecimalType(_AMOUNT_DIGITS, job.tariffs.decimals)
    return [
        T.StructField(name, T.StringType() if name in text else other.get(name, amount)) for name in job.table.columns
    ]


def _value(field: T.StructField, cell: str) -> str | float | int | Decimal | None:
    """Read a cell of the table of advice as what its column holds."""
    if isinstance(field.dataType, T.StringType):
        return cell or None
    if isinstance(field.dataType, T.DoubleType):
        return float(cell)
    return int(cell) if isinstance(field.dataType, T.IntegerType) else Decimal(cell)


def _arrow_fields(fields: Sequence[T.StructField]) -> list[pa.Field]:
    return [pa.field(field.name, _arrow_type(field.dataType)) for field in fields]


def _arrow_type(kind: T.DataType) -> pa.DataType:
    if isinstance(kind, T.DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    kinds: dict[T.DataType, pa.DataType] = {
        T.IntegerType(): pa.int32(), T.DoubleType(): pa.float64(), T.BinaryType(): pa.binary()
    }  # fmt: skip
    return kinds.get(kind, pa.string())
