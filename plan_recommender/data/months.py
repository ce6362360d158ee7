"""Calendar months: their numbers, their days, and the share of them on which somebody was a subscriber."""

import calendar
import functools
import re
from datetime import date, datetime
from typing import Final

_MONTH: Final = re.compile(r"([0-9]{4}-[0-9]{2})(-[0-9]{2}(?:[T ].+)?)?")


@functools.lru_cache(maxsize=4096)
def month_number(text: str) -> int | None:
    """Turn `YYYY-MM`, a date or a timestamp into calendar months since the year 0; None if it is none of them."""
    match = _MONTH.fullmatch(text.strip())
    if match is None:
        return None
    try:
        first = date.fromisoformat(f"{match[1]}-01")
        if match[2] is not None:
            datetime.fromisoformat(match[0])  # the whole of it must be possible
    except ValueError:
        return None
    return first.year * 12 + first.month - 1


def days_in(month: int) -> int:
    """Count the days of a month (calendar months since the year 0)."""
    return calendar.monthrange(month // 12, month % 12 + 1)[1]


def share_by_dates(month: int, registered_on: str, left_on: str) -> float:
    """Compute the share of the days of a month from the day of registration to the day of leaving, both included.

    A month that begins after the day of leaving counts as whole: if a file has it, the subscriber was there after all.
    """
    start, days = date(month // 12, month % 12 + 1, 1).toordinal(), days_in(month)
    first = max(date.fromisoformat(registered_on).toordinal() - start, 0)
    end = date.fromisoformat(left_on).toordinal() - start + 1 if left_on else days
    return ((min(end, days) if end > 0 else days) - first) / days
