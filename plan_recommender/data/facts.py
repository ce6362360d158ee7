"""Facts about a table of subscribers, for its data card."""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats

from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.model.features import FEATURES

Column = npt.NDArray[np.float64]


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


class DataFacts(BaseModel):
    """Facts about a whole table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ultra_share: float
    columns: list[ColumnFacts]
    calls_minutes_correlation: float | None = Field(
        description="rank correlation, over rows that have both; None when one of them is constant"
    )
    repeated_rows: int = Field(description="rows beyond the first of their kind, label included")


def describe(table: LabelledTable) -> DataFacts:
    """Describe a table that passed `check_trainable`: every feature has values, and both labels occur."""
    smart, ultra = (np.nanmedian(table.features[table.target == label], axis=0) for label in (0, 1))
    both = ~np.isnan(table.features[:, :2]).any(axis=1)
    rows = np.column_stack([table.features, table.target])
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
    )


def _rank_correlation(first: Column, second: Column) -> float | None:
    if min(len(np.unique(first)), len(np.unique(second))) < 2:
        return None
    return float(stats.spearmanr(first, second).statistic)
