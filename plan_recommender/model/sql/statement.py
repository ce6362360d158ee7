"""Write a model's document as one SQL query, whose probabilities have the same bits as those of the scorer.

The query is a chain of common table expressions: usage, bins, log-odds, probability. A bin is found by a balanced tree
of CASE; the numbers of the maps are looked up in lists, as whole multiples of `STEP`, so that their sum is exact
whatever the engine adds first; the probability is the logistic function as model/logistic.py defines it.

Every floating-point number is written with an exponent: without one, engines read it as a decimal number.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np

from plan_recommender.errors import ConfigError
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.logistic import INVERSE_LN2, LN2_HIGH, LN2_LOW, ROUNDING
from plan_recommender.model.scorer import merged_maps
from plan_recommender.model.tables import STEP, FeatureTable, ModelDocument

Dialect = Literal["duckdb", "spark", "bigquery"]
DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)

MAX_USAGE: Final = float(np.finfo(np.float64).max)
"""Larger than it is only infinity, which no usage is."""

LINE: Final = 120

_QUOTED: Final = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`")
_OTHER_QUOTES: Final = re.compile(r"\\|\$|'''|\"\"\"")
"""What some engine takes for a sign that quotes end elsewhere: escapes, dollar quotes, triple quotes."""

INPUT: Final = "plan_recommender_input"
"""The name of the table within the query: a column of that name would be read in place of the row."""

_EVEN: Final = "(((s + 840e0) * s + 75600e0) * s + 665280e0)"
_ODD: Final = "(((42e0 * s + 10080e0) * s + 332640e0) * r)"
"""The two parts of the numerator that model/logistic.py describes."""


@dataclass(frozen=True)
class _Writing:
    """How an engine writes what SQL leaves open."""

    quote: str
    double: str
    whole: str
    row: str
    """The whole row of the table `INPUT`, as one value."""
    list: Callable[[str, str], str]
    """A list of numbers, from the numbers with commas and their type."""
    at: Callable[[str, str], str]
    """The element of a list at a position that is counted from 0 and is not NULL."""


_WRITINGS: Final[dict[Dialect, _Writing]] = {
    "duckdb": _Writing('"', "DOUBLE", "BIGINT", INPUT, "[{0}]".format, "{}[{} + 1]".format),
    "spark": _Writing(  # whose analysis takes 5 times as long with a literal for every number
        "`", "DOUBLE", "BIGINT", f"struct({INPUT}.*)", "CAST(SPLIT('{0}', ',') AS ARRAY<{1}>)".format, "{}[{}]".format
    ),
    "bigquery": _Writing("`", "FLOAT64", "INT64", INPUT, "[{0}]".format, "{}[ORDINAL({} + 1)]".format),
}  # fmt: skip


@dataclass(frozen=True)
class Query:
    """What a query is written for."""

    dialect: Dialect
    table: str
    """The name of the table, as it is written in SQL: quoted where its engine wants quotes."""
    columns: dict[str, str] = field(default_factory=dict)
    """The columns of the table that hold features under other names than the project's."""
    impute: bool = False
    """Whether a missing value is scored in the bin of the median, as predict.py does; otherwise it gets no score."""


def write_query(document: ModelDocument, query: Query) -> str:
    """Write the query: every row of the table with all its columns, `pred_is_ultra` and `proba_is_ultra`.

    Both are NULL for a row in which a feature is not usage (negative, infinite or not a number), and, unless missing
    values are imputed, for a row in which one is missing.

    Raises:
        ConfigError: the name of the table or of a column cannot be written.
    """
    return _Writer(document, query).write()


class _Writer:
    def __init__(self, document: ModelDocument, query: Query) -> None:
        if not query.table.strip() or any(mark in _outside_quotes(query.table) for mark in (";", "--", "/*", "\n")):
            raise ConfigError(
                f"expected the name of a table as SQL writes it, or a query in brackets, in one line and outside its "
                f"quotes without semicolons and comments, found {query.table!r}"
            )
        self._document, self._query = document, query
        self._as = _WRITINGS[query.dialect]
        self._maps = {
            (FEATURE_NAMES[i], FEATURE_NAMES[j]): np.rint(values / STEP).astype(np.int64)
            for (i, j), values in merged_maps(document).items()
        }
        self._bins = {feature.name: len(feature.cuts) + 1 for feature in document.features}

    def write(self) -> str:
        kept = ["source", "usable", "threshold"]
        steps = {
            "given": [f"{self._as.row} AS source", *map(self._given, FEATURE_NAMES)],
            "binned": [
                "source",
                f"{' AND '.join(map(self._is_usage, FEATURE_NAMES))} AS usable",
                f"{self._threshold()} AS threshold",
                *map(self._bin, self._document.features),
            ],
            "summed": [*kept, self._log_odds()],
            "halved": [*kept, "z", _nearest_halvings()],
            "reduced": [*kept, "z", "k", f"k * {number(LN2_HIGH)} - ABS(z) + k * {number(LN2_LOW)} AS r"],
            "squared": [*kept, "z", "k", "r", "r * r AS s"],
            "divided": [*kept, "z", f"{_EVEN} - {_ODD} AS large", f"({_EVEN} + {_ODD}) * {self._halving()} AS small"],
            "answered": [*kept, "CASE WHEN z < 0e0 THEN small ELSE large END / (large + small) AS probability"],
        }
        source, chain = f"{self._query.table} AS {INPUT}", []
        for name, columns in steps.items():
            chain.append(f"{name} AS (\n{_select(columns, source)}\n)")
            source = name
        decision = "CASE WHEN usable THEN CASE WHEN probability >= threshold THEN 1 ELSE 0 END END AS pred_is_ultra"
        answers = ["source.*", decision, "CASE WHEN usable THEN probability END AS proba_is_ultra"]
        return f"WITH {', '.join(chain)}\n{_select(answers, source)}\n"

    def _given(self, name: str) -> str:
        column = self._quoted(self._query.columns.get(name, name))
        return f"CAST({INPUT}.{column} AS {self._as.double}) AS {name}"

    def _is_usage(self, name: str) -> str:
        usage = f"{name} >= 0e0 AND {name} <= {number(MAX_USAGE)}"
        return f"({name} IS NULL OR {usage})" if self._query.impute else usage

    def _bin(self, feature: FeatureTable) -> str:
        """Write the bin of a value, which is never NULL: what Spark 4 finds in a list at NULL is 0, not NULL."""
        tree = _tree(feature.name, feature.cuts, 0)
        return f"CASE WHEN {feature.name} IS NULL THEN {feature.missing_bin} ELSE {tree} END AS {feature.name}"

    def _threshold(self) -> str:
        threshold = self._document.threshold
        if threshold.segments is None:
            return number(threshold.value)
        name, (medium, heavy) = threshold.segments.feature, threshold.segments.bounds
        of_light, of_medium, of_heavy = map(number, threshold.segments.thresholds)
        return (
            f"CASE WHEN {name} IS NULL THEN {number(threshold.value)} WHEN {name} < {number(medium)} THEN {of_light} "
            f"WHEN {name} < {number(heavy)} THEN {of_medium} ELSE {of_heavy} END"
        )

    def _log_odds(self) -> str:
        terms = []
        for (first, second), values in self._maps.items():
            numbers = ", ".join(map(str, values.ravel().tolist()))
            terms.append(
                self._as.at(self._as.list(numbers, self._as.whole), f"{first} * {self._bins[second]} + {second}")
            )
        return f"CAST({' + '.join(terms)} AS {self._as.double}) * {number(STEP)} AS z"

    def _halving(self) -> str:
        """Look up 2**-k, for every k that log-odds of this document can need."""
        largest = sum(int(np.abs(values).max()) for values in self._maps.values()) * STEP
        powers = ", ".join(number(0.5**k) for k in range(int(largest * INVERSE_LN2) + 2))
        return self._as.at(self._as.list(powers, self._as.double), f"CAST(k AS {self._as.whole})")

    def _quoted(self, column: str) -> str:
        quote = self._as.quote
        if not column.isprintable() or (self._query.dialect == "bigquery" and quote in column):
            raise ConfigError(f"expected the name of a column as SQL writes it, found {column!r}")
        return f"{quote}{column.replace(quote, quote * 2)}{quote}"


def number(value: float) -> str:
    """Write a double so that every engine reads the same double, and not a decimal number: 0.5 is 0.5e0."""
    text = repr(float(value))
    return text.replace("e+", "e") if "e" in text else f"{text}e0"


def _outside_quotes(table: str) -> str:
    """Leave strings and quoted names out, or nothing where engines may differ in where they end."""
    return table if _OTHER_QUOTES.search(table) else _QUOTED.sub("", table)


def _tree(name: str, cuts: Sequence[float], first: int) -> str:
    """Write the bin of a value by bisection; the first of the bins is `first`."""
    if not cuts:
        return str(first)
    middle = (len(cuts) - 1) // 2
    below, above = _tree(name, cuts[:middle], first), _tree(name, cuts[middle + 1 :], first + middle + 1)
    return f"CASE WHEN {name} <= {number(cuts[middle])} THEN {below} ELSE {above} END"


def _nearest_halvings() -> str:
    return f"ABS(z) * {number(INVERSE_LN2)} + {number(ROUNDING)} - {number(ROUNDING)} AS k"


def _select(columns: Sequence[str], source: str) -> str:
    """Write a SELECT with lines of at most `LINE` characters; a line breaks where a blank is."""
    lines = ["SELECT"]
    for column in columns:
        line = " "
        for word in column.split(" "):
            if len(line) + 1 + len(word) > LINE:
                lines.append(line)
                line = "   "
            line += f" {word}"
        lines.append(f"{line},")
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join([*lines, f"FROM {source}"])
