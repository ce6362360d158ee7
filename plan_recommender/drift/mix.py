"""What samples are composed of, such as whole and partial months, held fixed: is it the mix that has changed, or use?

Every subscriber may behave as before, and yet a sample looks otherwise because it has more partial months in it. The
reference is then weighted so that its mix is that of the current sample (post-stratification), and compared again.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.stats import chi2

from plan_recommender.data.cells import parse_usage
from plan_recommender.data.csv_table import TextColumn
from plan_recommender.errors import TableError
from plan_recommender.monitoring.layout import Layout

Values = npt.NDArray[np.float64]

MAX_STRATA: Final = 50
_WHOLE: Final = 0.9999
_SHARE: Final = "active_share"


class MixChange(BaseModel):
    """How the composition of the current sample differs from that of the reference."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    strata: list[str]
    reference_shares: list[float]
    current_shares: list[float]
    p_value: float
    """That chance makes the mix differ so much; as if every row were of another subscriber."""
    drifted: list[str] | None
    """What has drifted where the mix is held fixed; None: it cannot be, as the reference lacks some stratum."""

    @property
    def explains(self) -> bool:
        """Whether nothing has drifted once the mix is held fixed."""
        return self.drifted == []


@dataclass(frozen=True)
class Mix:
    """The strata of the rows of both samples."""

    column: str
    strata: list[str]
    reference: npt.NDArray[np.int64]
    """Position in `strata` of each row of the reference."""
    current: npt.NDArray[np.int64]
    """The same for the current sample."""

    @classmethod
    def of(cls, column: str, reference: TextColumn, current: TextColumn) -> Self:
        """Take the strata of a column; shares of active days are whole or partial months, other cells as they are.

        Raises:
            TableError: a share of active days is not above 0 and at most 1, or there are more than `MAX_STRATA`.
        """
        if column == _SHARE:
            return cls(column, ["partial months", "whole months"], _whole(reference), _whole(current))
        strata = sorted({*reference.values, *current.values})
        if len(strata) > MAX_STRATA:
            raise TableError(
                f"column {column!r}: expected at most {MAX_STRATA} different cells to hold a mix fixed, found "
                f"{len(strata):,}; name a column with fewer, such as tenure in years"
            )
        place = {name: i for i, name in enumerate(strata)}
        before, now = (
            np.array([place[value] for value in texts.values], dtype=np.int64)[texts.codes]
            for texts in (reference, current)
        )
        return cls(column, strata, before, now)

    def held_fixed(self, layout: Layout, counts_of: list[Values]) -> Values | None:
        """Weight the reference's counts by stratum, each of shape (cells,), so that the mix is the current one.

        They are as many rows as a sample of this mix would need to know as much; None if a stratum has no rows.
        """
        before, now = self.rows
        share = now / now.sum()
        if ((before == 0) & (now > 0)).any():
            return None
        some = now > 0
        rows = 1 / float(np.sum(share[some] ** 2 / before[some]))
        weighted: Values = sum(
            (rows * share[s] * counts_of[s] / before[s] for s in np.flatnonzero(some)), start=np.zeros(layout.cells)
        )
        return weighted

    @property
    def rows(self) -> tuple[Values, Values]:
        """Rows of each stratum, in the reference and in the current sample."""
        before, now = (
            np.bincount(s, minlength=len(self.strata)).astype(np.float64) for s in (self.reference, self.current)
        )
        return before, now

    def change(self, drifted: list[str] | None) -> MixChange:
        """Describe the change of the mix, beside what has drifted where it is held fixed."""
        before, now = self.rows
        pooled = (before + now) / (before.sum() + now.sum())
        some = pooled > 0
        expected = np.stack([before.sum() * pooled, now.sum() * pooled])[:, some]
        statistic = float((((np.stack([before, now])[:, some] - expected) ** 2) / expected).sum())
        return MixChange(
            column=self.column,
            strata=self.strata,
            reference_shares=(before / before.sum()).tolist(),
            current_shares=(now / now.sum()).tolist(),
            p_value=float(chi2.sf(statistic, int(some.sum()) - 1)) if some.sum() > 1 else 1.0,
            drifted=drifted,
        )


def _whole(column: TextColumn) -> npt.NDArray[np.int64]:
    """1 where a month is whole, else 0; an empty cell is a whole month, as for the forecast of bills."""
    shares, wrong = parse_usage([(cell or "1").replace(",", ".") for cell in column.values], ".")
    wrong |= ~((shares > 0) & (shares <= 1))
    if wrong.any():
        first = column.values[int(np.flatnonzero(wrong)[0])]
        raise TableError(
            f"column {_SHARE!r}: expected shares of active days above 0 and at most 1, or empty cells, found {first!r}"
        )
    return (shares >= _WHOLE).astype(np.int64)[column.codes]
