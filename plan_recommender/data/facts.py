"""Facts about a table of subscribers, for its data card."""

import re
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats

from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.plausibility import find_mistakes
from plan_recommender.data.subscribers import find_doubt, find_id_column
from plan_recommender.model.features import FEATURES, PLANS

Column = npt.NDArray[np.float64]

Kind = Literal["subscriber", "date", "label", "plan", "attribute", "other"]
"""Whose month a row is; when it was; the label, or a plan that equals it in every row; another plan; an attribute of a
person or a place; or unknown."""

_DATE: Final = re.compile(
    r"[0-9]{4}[-/][0-9]{2}([-/][0-9]{2})?([ T][0-9:.]+Z?)?|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2})"
)
_PEOPLE: Final = frozenset(
    {"age", "edad", "birth", "gender", "sex", "sexo", "genero", "region", "province", "provincia", "state", "city",
     "ciudad", "town", "zip", "postcode", "country", "pais", "segment", "segmento", "income", "ingresos", "nationality",
     "language", "idioma", "tenure", "antiguedad"}
)  # fmt: skip
"""Words in the names of columns that hold an attribute of a person or a place."""


class ColumnFacts(BaseModel):
    """Facts about one feature column; statistics leave empty cells out, and `zero_share` is of all rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    unit: str
    description: str
    empty: int = Field(description="cells without a value")
    zero_share: float = Field(description="share of all rows whose value is 0")
    quantiles: list[float] = Field(description="minimum, 5 %, median, 95 %, maximum")
    median_smart: float
    median_ultra: float


class OtherColumn(BaseModel):
    """A column that is neither a feature nor the label, and so not learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Kind = Field(description="what it seems to hold, by its name and its values")
    different: int = Field(description="number of different values")
    first: str = Field(description="of dates that begin with the year, the earliest; otherwise empty")
    last: str = Field(description="of dates that begin with the year, the latest; otherwise empty")


class DataFacts(BaseModel):
    """Facts about a whole table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ultra_share: float
    columns: list[ColumnFacts]
    calls_minutes_correlation: float | None = Field(
        description="rank correlation, over rows that have both; None when one of them is constant"
    )
    repeated_rows: int = Field(description="rows beyond the first of their kind, label included")
    groups: str | None = Field(description="the column that says whose month a row is; None: none was named")
    subscribers: int | None = Field(description="how many it names")
    doubt: str | None = Field(
        description="why months of one subscriber may stand on both sides of a split, without full stop"
    )
    better_groups: str | None = Field(description="the column to name with --groups instead; None: none is known")
    other_columns: list[OtherColumn] = Field(description="in the order of the table")
    mistakes: list[str] = Field(description="what looks like a mistake beside the usual ranges, without full stops")


def describe(table: LabelledTable) -> DataFacts:
    """Describe a table that passed `check_trainable`: every feature has values, and both labels occur."""
    smart, ultra = (np.nanmedian(table.features[table.target == label], axis=0) for label in (0, 1))
    both = ~np.isnan(table.features[:, :2]).any(axis=1)
    rows = np.column_stack([table.features, table.target])
    doubt = find_doubt(table)
    return DataFacts(
        ultra_share=float(table.target.mean()),
        columns=[
            ColumnFacts(
                name=feature.name,
                unit=feature.unit,
                description=feature.description,
                empty=int(np.isnan(column).sum()),
                zero_share=float(np.mean(column == 0)),
                quantiles=np.nanquantile(column, [0, 0.05, 0.5, 0.95, 1]).tolist(),
                median_smart=float(smart[i]),
                median_ultra=float(ultra[i]),
            )
            for i, feature in enumerate(FEATURES)
            for column in [table.features[:, i]]
        ],
        calls_minutes_correlation=_rank_correlation(*table.features[both, :2].T),
        repeated_rows=len(rows) - len(np.unique(rows, axis=0)),
        groups=table.groups,
        subscribers=None if table.subscribers is None else len(np.unique(table.subscribers)),
        doubt=None if doubt is None else doubt.sentence,
        better_groups=None if doubt is None else doubt.better,
        other_columns=_other_columns(table),
        mistakes=find_mistakes(table.features, None),
    )


def _other_columns(table: LabelledTable) -> list[OtherColumn]:
    id_column = table.groups or find_id_column(table)
    found = []
    for name, column in table.texts.items():
        values = [value for value in column.values if value]
        dates = sorted(values) if values and all(_DATE.fullmatch(value) for value in values) else []
        words = set(re.split(r"[\W_]+", name.lower()))
        kind: Kind = "other"
        if name == id_column:
            kind = "subscriber"
        elif dates:
            kind = "date"
        elif set(map(str.lower, values)) == set(map(str.lower, PLANS)):
            ultra = np.array([value.lower() == PLANS[1].lower() for value in column.values])
            kind = "label" if np.array_equal(ultra[column.codes], table.target == 1) else "plan"
        elif words & _PEOPLE:
            kind = "attribute"
        in_order = bool(dates) and dates[0][:4].isdigit()  # dd/mm and mm/dd cannot be told apart
        first, last = (dates[0], dates[-1]) if in_order else ("", "")
        found.append(OtherColumn(name=name, kind=kind, different=len(values), first=first, last=last))
    return found


def _rank_correlation(first: Column, second: Column) -> float | None:
    if min(len(np.unique(first)), len(np.unique(second))) < 2:
        return None
    return float(stats.spearmanr(first, second).statistic)
