"""The table of advice for many subscribers at once, typed or as text: the cells are those of `data/advice_table.py`."""

import csv
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from plan_recommender.advising.arrays import arrow, booleans
from plan_recommender.billing.advice import Adviser
from plan_recommender.billing.advice_many import KINDS, ManyAdvice
from plan_recommender.billing.bill import Whole
from plan_recommender.billing.wording import Sentences
from plan_recommender.campaign.groups import Group
from plan_recommender.data.advice_table import AdviceTable
from plan_recommender.data.csv_file import write_rows
from plan_recommender.errors import TableError
from plan_recommender.model.languages import Language
from plan_recommender.scoring.new_cells import text_array

GROUP: Final = "group"

_DIGITS: Final = 18
"""Digits of an amount; those of a bill are fewer."""


class ManyAdviceTable:
    """The columns of the table, and the rows of many subscribers."""

    def __init__(
        self, adviser: Adviser, language: Language, sep: str = ",", decimal: str = ".", *, with_groups: bool = False
    ) -> None:
        """Take what rows are written with.

        Args:
            adviser: who gives the advice.
            language: of the sentences.
            sep: what separates the cells of text.
            decimal: decimal sign of the numbers in text.
            with_groups: whether the last column is the group of a campaign, which `with_group` adds to lines.
        """
        tariffs = adviser.tariffs
        self.sentences = Sentences(tariffs, adviser.policy, language)
        """Says the reasons."""
        self._sep, self._decimal = sep, decimal
        self._plans = list(tariffs.names)
        self._amount = pa.decimal128(_DIGITS, tariffs.decimals)
        self.columns = AdviceTable(tariffs, adviser.policy, with_groups=with_groups).columns
        """Names of the columns."""

    @property
    def schema(self) -> Any:
        """The types of the columns: text, amounts of the currency with its decimals, p_saves, months, and a boolean."""
        kinds = dict.fromkeys(self.columns, self._amount) | dict.fromkeys(
            ("subscriber", "plan", "advice", "advised_plan", "reason", GROUP), pa.string()
        )
        kinds |= {"p_saves": pa.float64(), "estimated_minutes": pa.bool_(), "months": pa.int64()}
        return pa.schema([(name, kinds[name]) for name in self.columns])

    def batch(self, subscribers: Any, advice: ManyAdvice) -> Any:
        """Arrange advice as a `pyarrow.RecordBatch` of `schema`, without the column of groups.

        Args:
            subscribers: an Arrow array of bytes.
            advice: for each of them.

        Raises:
            TableError: a subscriber is not written in UTF-8, which Parquet has for text.
        """
        try:
            named = subscribers.cast(pa.string())
        except pa.ArrowInvalid as error:
            raise TableError(
                "expected subscribers in UTF-8 for an output in Parquet, found other bytes: name one that ends in .csv"
            ) from error
        columns = [named, *self._middle(advice), text_array(list(self.sentences.many(advice)))]
        schema = self.schema
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(list(schema)[: len(columns)]))

    def lines(self, subscribers: Any, advice: ManyAdvice) -> list[str]:
        """Write advice as lines of text, with amounts that are exact and have the currency's decimals.

        Of a table with groups, the last cell of each line is empty; `with_group` fills it.

        Args:
            subscribers: an Arrow array of bytes.
            advice: for each of them.
        """
        names = [name.decode(errors="surrogateescape") for name in subscribers.to_pylist()]
        columns: list[Any] = [names]
        for column in self._middle(advice):
            if pa.types.is_boolean(column.type):
                column = chosen(["no", "yes"], advice.estimated.astype(np.int64))
            texts = column.cast(pa.string())
            if self._decimal != "." and (pa.types.is_decimal(column.type) or pa.types.is_floating(column.type)):
                texts = pc.replace_substring(texts, ".", self._decimal)
            columns.append(texts.to_pylist())
        columns.append(list(self.sentences.many(advice)))
        if self.columns[-1] == GROUP:
            columns.append([""] * len(names))
        lines = _Lines()
        if "\r" in "".join(names):
            write_rows(lines, [[cell or "" for cell in row] for row in zip(*columns, strict=True)], self._sep)
        else:
            csv.writer(lines, delimiter=self._sep, lineterminator="\n").writerows(zip(*columns, strict=True))
        return lines.written

    def _middle(self, advice: ManyAdvice) -> list[Any]:
        """Arrange what stands between the subscriber and the reason."""
        saving = advice.saving
        plans = advice.plans
        of_plans = (
            self._amounts(amounts[i])
            for i in range(len(self._plans))
            for amounts in (advice.last, plans.expected, plans.low, plans.high)
        )
        return [
            chosen(self._plans, advice.held),
            chosen(list(KINDS), advice.kind),
            chosen(self._plans, advice.advised),
            *(self._amounts(amounts) for amounts in saving[:3]),
            arrow(saving.p_saves, pa.float64()),
            *of_plans,
            booleans(advice.estimated),
            arrow(advice.months, pa.int64()),
        ]

    def _amounts(self, units: Whole) -> Any:
        wide = np.empty((len(units), 2), np.int64)  # a decimal of Arrow is a whole number of 16 bytes
        wide[:, 0] = units
        wide[:, 1] = units >> 63
        return pa.Array.from_buffers(self._amount, len(units), [None, pa.py_buffer(wide)])


class _Lines:
    """Takes what csv writes, row by row."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.write = self.written.append


def with_group(line: str, group: Group | str) -> str:
    """Fill the last cell of a line of `ManyAdviceTable.lines`, which is empty."""
    return f'{line[:-2]}{group}"\n' if line.endswith('"\n') else f"{line[:-1]}{group}\n"


def chosen(texts: list[str], places: npt.NDArray[np.int64]) -> Any:
    """Make an Arrow array of the texts at these places, with a null where the place is -1, such as `NO_PLAN`."""
    known = places >= 0
    if known.all():
        return text_array(texts).take(arrow(places, pa.int64()))
    buffers = [pa.py_buffer(np.packbits(known, bitorder="little")), pa.py_buffer(np.ascontiguousarray(places))]
    return text_array(texts).take(pa.Array.from_buffers(pa.int64(), len(places), buffers))
