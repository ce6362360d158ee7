"""The jobs: from a folder of files to a folder with the answers, the rejects, and what they were made with.

What a job leaves in its folder, beside the files of Spark:

- `_rejects`, if rows were rejected: these rows as they came, with the column `reason`;
- `_model`, last of all, so that a folder without it is not complete: a line of JSON with the model and the counts.

Spark and other readers of such folders pass over names that begin with `_`.
"""

import json
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.plausibility import refuse_mistakes
from plan_recommender.errors import OutputError, PlanRecommenderError, TableError
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.model.tables import ModelDocument
from plan_recommender.scoring.answers import DECISION_COLUMN, PROBABILITY_COLUMN, Answerer
from plan_recommender.scoring.arrow_scorer import ArrowScorer
from plan_recommender.scoring.first_rows import FIRST_ROWS
from plan_recommender.scoring.layout import Layout
from plan_recommender.scoring.line_scorer import ScoredBlock
from plan_recommender.scoring.spark.frames import REASON, column, may_be_rejected, score, usage_layout
from plan_recommender.scoring.spark.lines import (
    COUNTS,
    REJECTED,
    REJECTED_TEXT,
    TEXT,
    heading_of,
    read_lines,
    score_first_lines,
    score_lines,
)
from plan_recommender.scoring.spark.months import ADVICE, MonthsJob, Observed, advise, first_rows, rejected_months
from plan_recommender.scoring.spark.shipped import ship
from plan_recommender.scoring.spark.tally import new_tally

REJECTS: Final = "_rejects"
FACTS: Final = "_model"
METADATA_KEY: Final = "plan_recommender"
"""The key under which the metadata of a column of the answers say what they were made with."""

_OF_EXECUTOR: Final = re.compile(r"^plan_recommender\.errors\.TableError: (.*)$", re.MULTILINE)
"""Our own error in what Spark tells of a Python worker."""

_NO_PARQUET: Final = re.compile(r"(\S+) is not a Parquet file")

_USUAL_LOG: Final = "WARN"
"""The log level of PySpark where `spark.log.level` says nothing."""

_SHOWN: Final = 600  # characters of an error of Spark


@dataclass(frozen=True)
class Files:
    """What a job reads and writes."""

    inputs: Sequence[str]
    output: str

    @property
    def name(self) -> str:
        """What errors call the input."""
        return ", ".join(self.inputs)


@dataclass(frozen=True)
class Outcome:
    """What became of the rows."""

    rows: int
    rejected: int
    counts: dict[str, int]
    """For scores: rows of each plan (`ultra`), and how many values were imputed, by feature. For advice: subscribers by
    the kind of advice, and what the switches are expected to save under `saving` (currency)."""
    reject: str | None
    """The reason of one of the rejects."""

    @property
    def accepted(self) -> int:
        """Rows that were not rejected."""
        return self.rows - self.rejected


@contextmanager
def session() -> Iterator[SparkSession]:
    """Take the session that is there, or start one and stop it afterwards; its executors can import the package."""
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)  # none is used
    running = SparkSession.getActiveSession()
    if SparkConf().get("spark.master", "local").startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # instead of the python3 of PATH
    spark = running or SparkSession.builder.appName("plan_recommender").getOrCreate()
    try:
        ship(spark)
        yield spark
    finally:
        if running is None:
            spark.stop()


def score_files(
    spark: SparkSession,
    files: Files,
    document: ModelDocument,
    format: TableFormat,
    usual: ReferenceProfile | None,
    facts: Mapping[str, Any],
) -> Outcome:
    """Score the rows of Parquet files.

    Args:
        spark: runs it.
        files: what is read and written.
        document: the model.
        format: the names of the usage columns.
        usual: what the first rows are compared with; None: nothing.
        facts: what the answers say that they were made with.

    Raises:
        TableError: the files cannot be read or scored, or their first rows look mistaken beside what is usual.
        OutputError: the folder of the output is there already, or cannot be written.
    """
    with _explained(files):
        with _quiet(spark):
            frame = spark.read.parquet(*files.inputs)
        layout = usage_layout(frame, format, files.name)
        if usual is not None:
            _look_at(frame, layout, document, files, usual)
        tally, is_scored = new_tally(spark), F.col(REASON).isNull()
        answers = score(frame, document, format, files.name, tally).where(is_scored).drop(REASON)
        answers.withMetadata(PROBABILITY_COLUMN, {METADATA_KEY: dict(facts)}).write.parquet(files.output)
        counts = tally.value._asdict() | dict(zip(FEATURE_NAMES, tally.value.missing, strict=True))
        suspicious = score(frame.where(may_be_rejected(frame, layout)), document, format, files.name)
        rejected = suspicious.where(~is_scored).drop(DECISION_COLUMN, PROBABILITY_COLUMN)
        return _finished(spark, files, counts, _Rejects(rejected), facts)


def score_text_files(
    spark: SparkSession,
    files: Files,
    document: ModelDocument,
    format: TableFormat,
    usual: ReferenceProfile | None,
    facts: Mapping[str, Any],
) -> Outcome:
    """Score the lines of text files, as `score_files` says; the output is text with a header in each file."""
    with _explained(files):
        with _quiet(spark):
            lines = read_lines(spark, files.inputs)
        heading = heading_of(lines, format, files.name)
        if usual is not None:
            first = score_first_lines(lines, document, heading, FIRST_ROWS)
            if first is None:
                raise _nothing(files)
            _refuse_mistakes(files, first, usual)
        blocks, seen = score_lines(lines, document, heading), Observation()
        counted = blocks.observe(seen, *(F.sum(name).alias(name) for name in COUNTS))
        counted.where(F.col(TEXT).isNotNull()).select(TEXT).write.text(files.output)
        counts = {name: int(value or 0) for name, value in seen.get.items()}
        rejected = blocks.where(F.col(REJECTED_TEXT).isNotNull())
        return _finished(spark, files, counts, _Rejects(rejected, F.sum(REJECTED), REJECTED_TEXT), facts)


def advise_files(
    spark: SparkSession, files: Files, job: MonthsJob, usual: ReferenceProfile | None, facts: Mapping[str, Any]
) -> Outcome:
    """Advise the subscribers of Parquet files of months; arguments and errors are those of `score_files`."""
    with _explained(files):
        with _quiet(spark):
            frame = spark.read.parquet(*files.inputs)
        rows = first_rows(frame, FIRST_ROWS)
        reader = job.reader(frame.columns, rows, files.name)
        reader.require_plans_read(rows)
        if usual is not None:
            refuse_mistakes(files.name, reader.divide(rows).features(), usual)
        seen = Observed(Observation(), Observation())
        advice = advise(frame, job, seen)
        advice.withMetadata(ADVICE, {METADATA_KEY: dict(facts)}).write.parquet(files.output)
        read, advised = seen.read.get, seen.advised.get
        counts = {name: int(value or 0) for name, value in {**advised, **read}.items() if name != "saving"}
        counts["rejected"] += int(advised["rejected"] or 0)
        counts["saving"] = int((advised["saving"] or 0) * 10**job.tariffs.decimals)
        return _finished(spark, files, counts, _Rejects(rejected_months(frame, job)), facts)


def _look_at(frame: DataFrame, layout: Layout, document: ModelDocument, files: Files, usual: ReferenceProfile) -> None:
    """Refuse files whose first rows look mistaken."""
    used = frame.select(*(column(layout.header[position]) for position in layout.positions))
    (batch,) = _batches(used.limit(FIRST_ROWS), files)
    scorer = ArrowScorer(Answerer(document), Layout(used.columns, [*range(len(used.columns))]))
    _refuse_mistakes(files, scorer.score(batch), usual)


def _refuse_mistakes(files: Files, scored: ScoredBlock, usual: ReferenceProfile) -> None:
    reason = scored.rejects[0].reason if scored.rejects else ""
    refuse_mistakes(files.name, scored.features, usual, unread=(len(scored.rejects), reason))


@dataclass(frozen=True)
class _Rejects:
    """What is written of the rows that were rejected, once they are known to be there."""

    frame: DataFrame
    """With the column `reason`."""
    number: Column = field(default_factory=lambda: F.count(F.lit(1)))
    """Of rows that were rejected."""
    text: str | None = None
    """The column with their text, if text is written."""

    def write(self, place: str) -> tuple[int, str]:
        """Write them, and return how many they are, and the reason of one of them."""
        seen = Observation()
        first = F.first(REASON, ignorenulls=True).alias("reason")
        observed = self.frame.observe(seen, self.number.alias("rows"), first)
        if self.text is not None:
            observed.select(self.text).write.text(place)
        else:
            others = [column(name) for name in self.frame.columns if name != REASON]
            observed.select(REASON, *others).write.parquet(place)
        return int(seen.get["rows"] or 0), str(seen.get["reason"])


def _finished(
    spark: SparkSession, files: Files, counts: dict[str, int], rejects: _Rejects, facts: Mapping[str, Any]
) -> Outcome:
    """Write the rejects, if there are any, and then what the answers were made with."""
    if not counts["rows"]:
        raise _nothing(files)
    reason = None
    if counts["rejected"]:
        found, reason = rejects.write(f"{files.output}/{REJECTS}")
        if found != counts["rejected"]:
            raise TableError(
                f"{files.name}: expected files that stay as they are, found {counts['rejected']:,} rows to reject and "
                f"then {found:,}: delete {files.output} and run the job again when nobody writes the input"
            )
    outcome = {**facts, "input": list(files.inputs), "rows": counts["rows"], "rejected": counts["rejected"]}
    line = json.dumps(outcome, ensure_ascii=False)
    spark.createDataFrame([(line,)], "value string").coalesce(1).write.text(f"{files.output}/{FACTS}")
    return Outcome(counts.pop("rows"), counts.pop("rejected"), counts, reason)


def _batches(frame: DataFrame, files: Files) -> list[Any]:
    """Fetch all rows as record batches, of which there is at least one."""
    batches: list[Any] = frame.toArrow().combine_chunks().to_batches()
    if not batches:
        raise _nothing(files)
    return batches


def _nothing(files: Files) -> TableError:
    return TableError(f"{files.name}: expected at least one row, found none")


@contextmanager
def _explained(files: Files) -> Iterator[None]:
    """Turn an error of Spark into one sentence."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise _sentence(files, error) from error


def _sentence(files: Files, error: PySparkException | Py4JJavaError) -> PlanRecommenderError:
    whole = str(error)
    condition, message = "", whole.partition("\n\tat ")[0]
    if isinstance(error, PySparkException):
        condition, message = error.getCondition() or "", error.getMessage() or whole
    found = " ".join(message.split())[:_SHOWN]
    if of_executor := _OF_EXECUTOR.search(whole):
        return TableError(f"{files.name}: {of_executor[1]}")
    if condition == "PATH_ALREADY_EXISTS":
        return OutputError(
            f"{files.output}: expected a folder that is not there yet, found one; name another, or delete it"
        )
    if condition == "PATH_NOT_FOUND":
        return TableError(f"{files.name}: expected files that Spark can read, found none: {found}")
    if no_parquet := _NO_PARQUET.search(whole):
        return TableError(
            f"{files.name}: expected Parquet, found {no_parquet[1]}, which is none; if it is CSV, pass --format csv, "
            f"or, for months to advise on, use advise.py"
        )
    return TableError(f"{files.name}: expected files that Spark can read, and rows that it can score, found: {found}")


@contextmanager
def _quiet(spark: SparkSession) -> Iterator[None]:
    """Keep the log of a Spark on this machine to itself, whose traces would bury the sentence about the input."""
    context = spark.sparkContext
    if not re.match(r"local(\[|$)", context.master or ""):
        yield
        return
    context.setLogLevel("OFF")
    try:
        yield
    finally:
        context.setLogLevel(context.getConf().get("spark.log.level") or _USUAL_LOG)
