"""The rows of a table of months: whose month each is, when, on which plan, and what was used; or why it is none."""

from collections.abc import Sequence
from math import isnan
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.billing.forecast import Month
from plan_recommender.billing.given_minutes import billed_bounds
from plan_recommender.billing.tariffs import MAX_USAGE, MIN_ACTIVE_SHARE
from plan_recommender.config.table_format import MONTHS_COLUMNS
from plan_recommender.data.cells import (
    Row,
    parse_usage,
    readable,
    remedy,
    shortened,
    wrong_width,
)
from plan_recommender.data.columns import require_no_similar
from plan_recommender.data.months import month_number, share_by_dates
from plan_recommender.data.table_options import map_option
from plan_recommender.data.table_reader import TableReader
from plan_recommender.errors import TableError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

_REQUIRED: Final = MONTHS_COLUMNS[:-3]
_OPTIONAL: Final = MONTHS_COLUMNS[-3:]

DATES: Final = ("registered_on", "left_on")
"""Columns from which the share of active days follows where no column has it."""

Values = npt.NDArray[np.float64]


class MonthRow(NamedTuple):
    """One month of one subscriber."""

    subscriber: str
    """As it is written, without blanks around it: lists of exclusions, outcomes and the draw of groups ignore them."""
    month: int
    """Calendar months since the year 0."""
    plan: int | None
    """The plan held, as its place in the tariffs; None: not known."""
    used: Month


class Divided(NamedTuple):
    """The rows of a chunk; keys are positions in it, in ascending order."""

    months: dict[int, MonthRow]
    reasons: dict[int, str]
    """Why the others are no months."""

    def features(self) -> FeatureMatrix:
        """Arrange the usage of the months, shape (months, 4), columns in the order of `FEATURE_NAMES`."""
        used = [row.used[: len(FEATURE_NAMES)] for row in self.months.values()]
        return np.array(used, dtype=np.float64).reshape(-1, len(FEATURE_NAMES))


class MonthReader:
    """Reads the rows of one open table as months."""

    def __init__(self, table: TableReader, plans: Sequence[str] | None, *, rounds_calls: bool = False) -> None:
        """Find the columns.

        Args:
            table: just opened.
            plans: names of the plans, in the order of the tariffs; None: any text in the column of the plan is one.
            rounds_calls: whether the tariffs round each call up, so that billed minutes have to fit the calls.

        Raises:
            TableError: a column that is needed is missing, or one that is used is there more than once.
        """
        present = [column.strip() for column in table.header]
        optional = [name for name in _OPTIONAL if table.format.column(name) in present or name in table.format.map]
        # An operator's file often has the days of registration and of leaving instead of the share.
        by_dates = "active_share" not in optional and set(DATES) <= set(present)
        names = [*_REQUIRED, *optional, *(DATES if by_dates else ())]
        positions = table.positions([table.format.column(name) for name in names])
        taken = [table.format.column(name) for name in names]
        free = [column for column in present if column not in taken]
        require_no_similar(table.path, free, [name for name in _OPTIONAL if name not in optional])
        self._positions = dict(zip(names, positions, strict=True))
        self._header = [table.header[position].strip() for position in positions]
        self._table = table
        self._width = len(table.header)
        self._decimal = table.format.decimal
        self._rounds_calls = rounds_calls
        self._any_plan = plans is None
        self._plans = {name.casefold(): i for i, name in enumerate(plans or ())}
        self._expected_plan = f"expected {', '.join(plans or ())} or an empty cell"

    @property
    def plans(self) -> list[str]:
        """Names of the plans in lower case, by the places that the months have."""
        return list(self._plans)

    @property
    def positions(self) -> dict[str, int]:
        """The columns that are read, by the project's names for them: positions in a row, counted from 0."""
        return dict(self._positions)

    @property
    def rounds_calls(self) -> bool:
        """Whether billed minutes have to fit the calls."""
        return self._rounds_calls

    def divide(self, rows: Sequence[Row]) -> Divided:
        """Tell the rows of a chunk that are months from the others."""
        reasons: dict[int, list[str]] = {
            i: [wrong_width(row, self._width)] for i, row in enumerate(rows) if len(row) != self._width
        }
        whole = [i for i in range(len(rows)) if i not in reasons]
        cells = {name: [rows[i][position] for i in whole] for name, position in self._positions.items()}
        remedies: dict[int, dict[str, None]] = {}

        def reject(k: int, name: str, expected: str) -> None:
            found = shortened(cells[name][k])
            reasons.setdefault(whole[k], []).append(f"{self._shown(name)}: {expected}, found {found}")

        for k in (k for k, cell in enumerate(cells["subscriber"]) if not cell.strip()):
            reject(k, "subscriber", "expected whose month it is")
        months = [month_number(cell) for cell in cells["month"]]
        for k in (k for k, month in enumerate(months) if month is None):
            reject(k, "month", "expected a month YYYY-MM, a date or a timestamp")
        values: dict[str, list[float]] = {}
        for name in (*FEATURE_NAMES, "billed_minutes", "active_share"):
            if name not in cells:
                continue
            numbers, bad = self._numbers(name, cells[name])
            values[name] = numbers.tolist()
            for k in np.flatnonzero(bad).tolist():
                reject(k, name, self._expected(name))
                if what_helps := remedy(cells[name][k], self._decimal):
                    remedies.setdefault(whole[k], {})[what_helps] = None
        if self._rounds_calls and "billed_minutes" in values:
            columns = (values[name] for name in ("calls", "minutes", "billed_minutes"))
            for k, (calls, minutes, billed) in enumerate(zip(*columns, strict=True)):
                bounds = billed_bounds(calls, minutes)
                if not isnan(billed) and whole[k] not in reasons and not bounds.hold(billed):
                    why = "because each call is rounded by a minute at most"
                    reject(k, "billed_minutes", f"expected a number {bounds}, {why}, or an empty cell")
        if DATES[0] in cells:
            values["active_share"] = [1.0] * len(whole)
            for k, (month, registered_on, left_on) in enumerate(zip(months, *(cells[d] for d in DATES), strict=True)):
                share = 0.0 if month is None else _share(month, registered_on.strip(), left_on.strip())
                values["active_share"][k] = share
                if share <= 0 and month is not None:
                    reject(k, DATES[0], "expected dates YYYY-MM-DD, and a registration before the month was over")
        plans: list[int | None] = [None] * len(whole)
        for k, cell in enumerate(cells.get("plan", [])):
            name = cell.strip().casefold()
            if self._any_plan and name:
                self._plans.setdefault(name, len(self._plans))
            plans[k] = self._plans.get(name)
            if name and plans[k] is None:
                reject(k, "plan", self._expected_plan)
        found = {}
        used = _used(values, len(whole))
        for k, i in enumerate(whole):
            month = months[k]
            if i not in reasons and month is not None:
                found[i] = MonthRow(cells["subscriber"][k].strip(), month, plans[k], used[k])
        return Divided(found, {i: "; ".join([*reasons[i], *remedies.get(i, ())]) for i in sorted(reasons)})

    def require_plans_read(self, rows: Sequence[Row]) -> None:
        """Refuse a table without a column for the plan held if some rows show that another column holds it.

        Raises:
            TableError: it would be read as if nobody's plan were known.
        """
        if "plan" in self._positions:
            return
        for position, column in enumerate(self._table.header):
            cells = {row[position].strip().casefold() for row in rows if len(row) == self._width} - {""}
            if cells and cells <= self._plans.keys():
                raise TableError(
                    f"{self._table.path}: expected the plan held in a column plan, found names of plans in "
                    f"{readable(column.strip())}: pass {map_option('plan', column.strip())}, or leave that column out"
                )

    def _numbers(self, name: str, cells: list[str]) -> tuple[Values, npt.NDArray[np.bool_]]:
        """Read a column of numbers; returns them and a mask of those that cannot be."""
        values, bad = parse_usage(cells, self._decimal)
        if name == "active_share":
            return values, bad | (values < MIN_ACTIVE_SHARE) | (values > 1)
        bad |= values > MAX_USAGE
        return values, bad | np.isnan(values) if name in FEATURE_NAMES else bad

    def _expected(self, name: str) -> str:
        number = "a number with a decimal comma" if self._decimal == "," else "a number"
        if name == "active_share":
            return f"expected {number} from {MIN_ACTIVE_SHARE:g} to 1, or an empty cell"
        empty = "" if name in FEATURE_NAMES else ", or an empty cell"
        return f"expected {number} from 0 to {MAX_USAGE:,.0f}{empty}"

    def _shown(self, name: str) -> str:
        return self._header[list(self._positions).index(name)]


def _share(month: int, registered_on: str, left_on: str) -> float:
    """Compute the share of active days; 0 if a date is none, or the month was over before the registration."""
    try:
        return share_by_dates(month, registered_on, left_on) if registered_on else 1.0
    except ValueError:
        return 0.0


def _used(values: dict[str, list[float]], rows: int) -> list[Month]:
    """Put the quantities of each month together; an empty share of days is a whole month."""
    nothing = [np.nan] * rows
    billed, shares = values.get("billed_minutes", nothing), values.get("active_share", nothing)
    columns = [values[name] for name in FEATURE_NAMES]
    return [
        Month(calls, minutes, messages, mb_used, None if isnan(known) else known, 1.0 if isnan(share) else share)
        for calls, minutes, messages, mb_used, known, share in zip(*columns, billed, shares, strict=True)
    ]
