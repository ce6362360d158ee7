"""Score a Spark DataFrame: every row with the answer of the scorer, or with the reason why it has none.

What runs on the executors needs NumPy, pyarrow, orjson and pydantic, and imports neither BentoML nor anything of the
service.
"""

from __future__ import annotations  # pyarrow has no types, and Broadcast takes no argument when it runs

from collections.abc import Iterator
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark import Accumulator, Broadcast
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.parquet_file import batch_as_text
from plan_recommender.model.tables import ModelDocument, read_document, write_document
from plan_recommender.scoring.answers import DECISION_COLUMN, PROBABILITY_COLUMN, Answerer
from plan_recommender.scoring.arrow_scorer import ArrowScorer
from plan_recommender.scoring.layout import Layout, layout_of
from plan_recommender.scoring.spark.tally import Tally, tally_of

REASON: Final = "reason"

_NEW: Final = (
    T.StructField(DECISION_COLUMN, T.LongType()),
    T.StructField(PROBABILITY_COLUMN, T.DoubleType()),
    T.StructField(REASON, T.StringType()),
)
_NUMBERS: Final = (T.IntegralType, T.FloatType, T.DoubleType, T.DecimalType)
_MAX_USAGE: Final = float(np.finfo(np.float64).max)
_SAMPLE_ROWS: Final = 100


def score(
    frame: DataFrame,
    document: ModelDocument,
    format: TableFormat | None = None,
    name: str = "the table",
    tally: Accumulator[Tally] | None = None,
) -> DataFrame:
    """Score every row of a DataFrame, whose columns stay as they are.

    Three columns are added: `pred_is_ultra` and `proba_is_ultra`, with the bits that predict.py writes, and `reason`.
    A null in a usage column is imputed as predict.py does it. A row with what is not usage has nulls in the first two
    and in the third what predict.py says of it; in every other row the third is null.

    Args:
        frame: with the four usage columns.
        document: the model; it is broadcast.
        format: the names of the usage columns; None: they are the project's.
        name: what an error calls the table.
        tally: is added to when the result is computed.

    Raises:
        TableError: a usage column is missing, or a new column is there already.
    """
    layout = usage_layout(frame, format, name)
    broadcast = frame.sparkSession.sparkContext.broadcast(write_document(document))

    def answered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _answered(batches, broadcast, layout, tally)

    by_position = frame.toDF(*map(str, range(len(frame.columns))))  # mapInArrow quotes no name
    return by_position.mapInArrow(answered, T.StructType([*frame.schema, *_NEW]))


def usage_layout(frame: DataFrame, format: TableFormat | None = None, name: str = "the table") -> Layout:
    """Find the usage columns of a DataFrame that is to be scored.

    Raises:
        TableError: one is missing, or a column that scoring adds is there already.
    """

    def sample() -> list[list[str]]:
        return [row for batch in frame.limit(_SAMPLE_ROWS).toArrow().to_batches() for row in batch_as_text(batch, ".")]

    return layout_of(name, frame.columns, sample, format or TableFormat(), [field.name for field in _NEW])


def may_be_rejected(frame: DataFrame, layout: Layout) -> Column:
    """Write a condition for Spark to evaluate without Python: it holds for every row that scoring rejects.

    Where the usage columns are numbers, it holds for no other row.
    """
    condition = F.lit(False)
    for position in layout.positions:
        field = frame.schema[position]
        usage = column(field.name).cast("double").between(0.0, _MAX_USAGE)
        condition |= F.coalesce(~usage, F.lit(False)) if isinstance(field.dataType, _NUMBERS) else F.lit(True)
    return condition


def column(name: str) -> Column:
    """Name a column of a DataFrame, whatever signs its name has."""
    return F.col("`" + name.replace("`", "``") + "`")


def _answered(
    batches: Iterator[pa.RecordBatch], document: Broadcast[bytes], layout: Layout, tally: Accumulator[Tally] | None
) -> Iterator[pa.RecordBatch]:
    scorer = ArrowScorer(answerer_of(document.value), layout)
    for batch in filter(len, batches):
        scored = scorer.score(batch)
        if tally is not None:
            tally.add(tally_of(scored))
        for answers in scored.output:
            yield _with(answers, pa.nulls(len(answers), pa.string()))
        if scored.rejects:
            rejected = batch.take(pa.array([reject.row for reject in scored.rejects], pa.int64()))
            nothing = [pa.nulls(len(rejected), pa.int64()), pa.nulls(len(rejected), pa.float64())]
            yield _with(rejected, *nothing, pa.array([reject.reason for reject in scored.rejects], pa.string()))


@cache
def answerer_of(document: bytes) -> Answerer:
    """Read a document once in a Python worker, which Spark uses for many tasks."""
    return Answerer(read_document(document))


def _with(batch: pa.RecordBatch, *new: pa.Array) -> pa.RecordBatch:
    names = [*batch.schema.names, *(field.name for field in _NEW[-len(new) :])]
    return pa.RecordBatch.from_arrays([*batch.columns, *new], names=names)
