"""A record batch in, the same batch with columns of answers out: the other columns keep their types and values."""

from typing import Any

import numpy as np
import pyarrow as pa

from plan_recommender.data.cells import parse_usage
from plan_recommender.data.parquet_file import batch_as_text, column_as_text
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.scoring.answers import Answerer, Answers, missing_values
from plan_recommender.scoring.by_cell import divide
from plan_recommender.scoring.layout import Layout
from plan_recommender.scoring.line_scorer import ScoredBlock
from plan_recommender.scoring.new_cells import text_array
from plan_recommender.scoring.usage import NUMBERS, copy_usage


class ArrowScorer:
    """Scores record batches of one table. Calls do not depend on each other and may run in several threads."""

    def __init__(self, answerer: Answerer, layout: Layout) -> None:
        """Take what answers, and which columns are the features."""
        self._answerer = answerer
        self._layout = layout

    def schema(self, schema: Any) -> Any:
        """Give the schema of the output for the schema of the input; its metadata stay."""
        for name, kind in zip(self._answerer.columns, (pa.int64(), pa.float64(), pa.string()), strict=False):
            schema = schema.append(pa.field(name, kind))
        return schema

    def score(self, batch: Any) -> ScoredBlock:
        """Score a `pyarrow.RecordBatch`; the output holds one batch, of the rows that are usage, or none.

        Raises:
            TableError: a row is rejected, or a feature is text, and values cannot be written as text.
        """
        rows = batch.num_rows
        columns = np.empty((len(FEATURE_NAMES), rows))
        wrong = np.zeros(rows, dtype=np.bool_)
        for values, position in zip(columns, self._layout.positions, strict=True):
            column = batch.column(position)
            if str(column.type) in NUMBERS:
                found = copy_usage(column, values)
            else:
                cells = column_as_text(self._layout.header[position], column, self._layout.decimal)
                values[:], found = parse_usage(cells, self._layout.decimal)
            if found is not None:
                wrong |= found
        rejects, features = [], columns.T
        if wrong.any():
            places = np.flatnonzero(wrong)
            texts = batch_as_text(batch.take(pa.array(places)), self._layout.decimal)
            rejects = [
                reject._replace(row=int(places[reject.row])) for reject in divide(texts, self._layout)[2]
            ]  # fmt: skip
            batch, features = batch.filter(pa.array(~wrong)), columns[:, ~wrong].T
        answers = self._answerer.answer(features)
        output = [self._with_answers(batch, answers)] if len(features) else []
        return ScoredBlock(
            rows, output, rejects, features, int(np.count_nonzero(answers.decisions)), missing_values(features)
        )

    def _with_answers(self, batch: Any, answers: Answers) -> Any:
        columns = [
            pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
            for kind, values in ((pa.int64(), answers.decisions), (pa.float64(), answers.probabilities))
        ]
        if answers.reasons is not None:
            columns.append(text_array(answers.reasons))
        return pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=self.schema(batch.schema))
