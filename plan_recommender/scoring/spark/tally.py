"""What is counted while Spark scores, batch by batch in the Python workers: an aggregate of Spark counts row by row."""

from __future__ import annotations  # Accumulator takes no argument when it runs

from typing import NamedTuple

from pyspark import Accumulator, AccumulatorParam
from pyspark.sql import SparkSession

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.scoring.line_scorer import ScoredBlock


class Tally(NamedTuple):
    """Numbers of rows."""

    rows: int = 0
    rejected: int = 0
    ultra: int = 0
    missing: tuple[int, ...] = (0,) * len(FEATURE_NAMES)
    """Scored rows in which each feature is missing."""


def tally_of(block: ScoredBlock) -> Tally:
    """Count a block, or a batch."""
    return Tally(block.rows, len(block.rejects), block.ultra, tuple(block.missing))


def new_tally(spark: SparkSession) -> Accumulator[Tally]:
    """Begin to count.

    Spark adds what a task has counted when it succeeds, and once: this holds for work that no shuffle follows.
    """
    return spark.sparkContext.accumulator(Tally(), _Sum())


class _Sum(AccumulatorParam[Tally]):
    def zero(self, value: Tally) -> Tally:
        return Tally()

    def addInPlace(self, value1: Tally, value2: Tally) -> Tally:  # noqa: N802  # Spark's name
        return Tally(
            value1.rows + value2.rows,
            value1.rejected + value2.rejected,
            value1.ultra + value2.ultra,
            tuple(a + b for a, b in zip(value1.missing, value2.missing, strict=True)),
        )
