"""The second half of advising: range after range of the subscribers is gathered, advised, and written."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from plan_recommender.advising.advice_table import ManyAdviceTable
from plan_recommender.advising.arrays import arrow, numbers
from plan_recommender.advising.month_batch import NO_PLAN, USED, Sorted
from plan_recommender.advising.runs import RunReader, Slices
from plan_recommender.billing.advice import Kind
from plan_recommender.billing.advice_many import KINDS, ManyAdvice, ManyAdviser
from plan_recommender.billing.forecast import MAX_MONTHS
from plan_recommender.billing.many_months import ManyMonths

_Rows = npt.NDArray[np.int64]


class Cut(NamedTuple):
    """Asks where the ranges of subscribers begin in a run."""

    run: int
    borders: Sequence[bytes]


class Range(NamedTuple):
    """Asks for the advice to a range of subscribers."""

    slices: Slices
    with_people: bool = False
    """Whether a campaign needs to know them one by one; then the lines are not joined."""
    only_people: bool = False
    """Whether nothing else is needed."""


class People(NamedTuple):
    """The subscribers of a range, for a campaign."""

    names: list[str]
    advice: ManyAdvice
    mb_used: list[float]
    """Mean data of the months that count (MB per month)."""
    reasons: list[str]
    """Empty where only the others are needed."""

    def kinds(self) -> list[Kind]:
        """Give the kind of each advice."""
        return [KINDS[kind] for kind in self.advice.kind.tolist()]


class Answered(NamedTuple):
    """The advice to a range of subscribers."""

    output: list[Any]
    """What is written of it: bytes; lines, if they are not joined; or a record batch."""
    counts: Counter[str]
    """Subscribers by the kind of advice, and under `saving` what the switches are expected to save (smallest units)."""
    rows: int
    """Months of the range, without those that were there before."""
    again: _Rows
    """Places of rows whose month was there before, each with the place of that row, shape (rows, 2)."""
    people: People | None


class Answerer:
    """Answers for ranges of subscribers, in any process."""

    def __init__(
        self,
        runs: RunReader,
        adviser: ManyAdviser,
        table: ManyAdviceTable,
        *,
        as_batches: bool,
        pack: Callable[[bytes], bytes] | None,
    ) -> None:
        """Take what answers are made of.

        Args:
            runs: the months.
            adviser: advises.
            table: writes rows.
            as_batches: whether the output is record batches, and not text.
            pack: compresses text; None: it is not compressed.
        """
        self._runs = runs
        self._adviser = adviser
        self._table = table
        self._as_batches = as_batches
        self._pack = pack

    def work(self, asked: Cut | Range) -> Any:
        """Do what is asked: `RunReader.cut` or `answer`."""
        return self._runs.cut(*asked) if isinstance(asked, Cut) else self.answer(asked)

    def answer(self, asked: Range) -> Answered:
        """Advise a range of subscribers.

        Raises:
            TableError: the output is record batches, and a subscriber is not written in UTF-8.
        """
        found = self._runs.gather(asked.slices)
        held, months = histories(found)
        advice = self._adviser.advise(held, months)
        names = found.batch.column(0).take(arrow(found.starts, pa.int64()))
        output: list[Any] = []
        if not asked.only_people:
            output = self._written(names, advice, joined=not asked.with_people)
        people = self._people(names, advice, months, asked) if asked.with_people else None
        counts = Counter(dict(zip(KINDS, np.bincount(advice.kind, minlength=len(KINDS)).tolist(), strict=True)))
        counts["saving"] = int(advice.saving.expected[advice.kind == KINDS.index("switch")].sum())
        return Answered(output, counts, found.batch.num_rows, found.again, people)

    def _written(self, names: Any, advice: ManyAdvice, *, joined: bool) -> list[Any]:
        if self._as_batches:
            return [self._table.batch(names, advice)]
        lines = self._table.lines(names, advice)
        if not joined:
            return lines
        text = "".join(lines).encode(errors="surrogateescape")
        return [text if self._pack is None else self._pack(text)]

    def _people(self, names: Any, advice: ManyAdvice, months: ManyMonths, asked: Range) -> People:
        used = months.mb_used.tolist()
        ends = months.ends.tolist()
        means = [fmean(used[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        texts = [name.decode(errors="surrogateescape") for name in names.to_pylist()]
        reasons = [] if asked.only_people else list(self._table.sentences.many(advice))
        return People(texts, advice, means, reasons)


def histories(found: Sorted) -> tuple[_Rows, ManyMonths]:
    """Give for each subscriber the plan that was named last, and the latest months, at most `MAX_MONTHS`."""
    batch, starts, _ = found
    ends = np.append(starts[1:], batch.num_rows)
    plans = numbers(batch.column(3), np.int16)
    named = np.maximum.accumulate(np.where(plans != NO_PLAN, np.arange(len(plans)), -1))[ends - 1]
    held = np.where(named >= starts, plans[named], NO_PLAN).astype(np.int64)
    columns = [numbers(batch.column(name), np.float64) for name in USED]
    counts = ends - starts
    if (counts > MAX_MONTHS).any():
        from_the_end = np.repeat(ends, counts) - np.arange(len(plans))
        columns = [column[from_the_end <= MAX_MONTHS] for column in columns]
        counts = np.minimum(counts, MAX_MONTHS)
    return held, ManyMonths._make([*columns, np.cumsum(counts)])
