"""How common usage is among the subscribers of each plan: the training rows beside each bin of a feature.

The rows of a table are months. What is said of a value is said of all values in its bin, because the model answers the
same for all of them.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from plan_recommender.model.tables import FeatureTable

FEW_ROWS: Final = 30
"""Fewer training rows than this are too few to trust what the model says about them.

Where 30 % of 30 rows are on Ultra, the 95 % interval of that share is 0.14 to 0.46 (by its standard error, 8 points):
about as wide as all that usage tells about the plan in the rest of the table.
"""

SIMILAR_SHARE: Final = 0.1
"""Share of the training rows that usage in the middle of the table is compared with."""


_FAR_FROM_TYPICAL: Final = 0.25


@dataclass(frozen=True, slots=True)
class Region:
    """The bins from `first` to `last` of a feature, and the training rows in them whose value is known."""

    first: int
    last: int
    smart: int
    """Rows on Smart."""
    ultra: int
    """Rows on Ultra."""
    few: bool
    """Whether fewer than `FEW_ROWS` rows have usage as low, or as high, as in the bin that the region was made for; or
    one of the plans has fewer rows in all."""
    low: bool
    """Whether at most a quarter of the rows have usage as low as in that bin."""
    high: bool
    """Whether at most a quarter of the rows have usage as high as in that bin."""

    @property
    def rows(self) -> int:
        """Rows on either plan."""
        return self.smart + self.ultra


def regions(feature: FeatureTable) -> list[Region]:
    """Find, for each bin, the training rows whose usage is like that in the bin.

    In the lowest and in the highest tenth of the table they are the rows at or beyond the bin. Elsewhere they are those
    of the bin and of its neighbours, as many on each side, up to a tenth of the table. A bin that has more is alone.
    """
    known = [smart + ultra for smart, ultra in zip(feature.smart_rows, feature.ultra_rows, strict=True)]
    below = list(accumulate(known))  # each with its own bin
    total = below[-1]
    few_of_a_plan = min(sum(feature.smart_rows), sum(feature.ultra_rows)) < FEW_ROWS
    target = max(total * SIMILAR_SHARE, FEW_ROWS)
    found = []
    for b, rows in enumerate(known):
        above = total - below[b] + rows
        first, last = (0, b) if below[b] <= above else (b, len(known) - 1)
        if min(below[b], above) > target:
            first, last = _around(known, b, target)
        smart, ultra = sum(feature.smart_rows[first : last + 1]), sum(feature.ultra_rows[first : last + 1])
        few = few_of_a_plan or min(below[b], above) < FEW_ROWS
        low, high = (beyond <= total * _FAR_FROM_TYPICAL for beyond in (below[b], above))
        found.append(Region(first, last, smart, ultra, few, low, high))
    return found


def _around(known: list[int], b: int, target: float) -> tuple[int, int]:
    """Extend a bin on the side on which fewer rows were added so far, until it has at least `target` rows."""
    first, last = b, b
    low, high = 0, 0
    while low + known[b] + high < target:
        if first > 0 and (low <= high or last == len(known) - 1):
            first -= 1
            low += known[first]
        else:
            last += 1
            high += known[last]
    return first, last
