"""What subscribers would save, and the operator's revenue change, if everybody advised to switch did.

All sums are exact whole numbers of the smallest unit. They follow from expected bills, with usage that does not change;
they say nothing of who would follow an advice or leave because of it.

Only subscribers whose plan is known count: who holds none pays nothing yet, and is told apart. Light, medium and heavy
users are thirds of them by the mean data of their past months. Thirds are known only at the end, so the sums are kept
for fine ranges of data use, each at most 1/64 wide of its lower end, and joined then.
"""

from typing import Final, NamedTuple

from plan_recommender.billing.advice import Advice
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.model.threshold import SEGMENTS

USUAL_CHURN: Final = 0.06
"""Churn of the controls that a design assumes, unless it is told another (0 to 1): see docs/campaign.md."""

_LEADING_BITS: Final = 7
"""Bits of whole megabytes that tell ranges of data use apart; there are 64 ranges up to each doubling."""


class Figures(NamedTuple):
    """Sums over some subscribers; money is in smallest units per month."""

    subscribers: int = 0
    switches: int = 0
    """Those who are advised to switch."""
    saving: int = 0
    """What they are expected to save together."""
    before: int = 0
    """Expected bills on the plans held."""
    after: int = 0
    """Expected bills if all of them switched."""
    cheapest_before: int = 0
    """Subscribers on a plan on which no other is expected to cost less."""
    cheapest_after: int = 0
    """The same if all of them switched."""

    @property
    def revenue_change(self) -> int:
        """What the operator would earn more each month (smallest units): less than 0 where subscribers save."""
        return self.after - self.before

    def plus(self, other: "Figures") -> "Figures":
        """Add the figures of other subscribers."""
        return Figures(*map(int.__add__, self, other))


class Segment(NamedTuple):
    """Subscribers of similar use of data."""

    name: str
    least: int
    """Mean of the past months from which a subscriber belongs to it (MB per month); they are below the next one's."""
    figures: Figures


class Economics(NamedTuple):
    """The figures of a file, of everybody who holds a plan."""

    everybody: Figures
    by_plan: list[tuple[str, Figures]]
    """In the order of the tariffs; plans that nobody holds are left out."""
    by_segment: list[Segment]
    """Light, medium and heavy; a segment without subscribers is left out."""
    without_plan: int
    """Subscribers who hold no plan, or whose plan is not known. No figure counts them."""


class Ledger:
    """Sums up advice; it holds the sums of each plan and range of data use, and no subscriber."""

    def __init__(self, tariffs: Tariffs) -> None:
        self._names = tariffs.names
        self._sums: dict[tuple[int, int], list[int]] = {}
        self._without_plan = 0

    def add(self, advice: Advice, mb_used: float) -> None:
        """Count one subscriber.

        Args:
            advice: by the tariffs of the ledger.
            mb_used: mean data of the past months (MB per month), at least 0.
        """
        if advice.held is None:
            self._without_plan += 1
            return
        key = (advice.held, _range_of(mb_used))
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = [0] * len(Figures._fields)
        before, after = advice.plans[advice.held].expected, advice.plans[advice.advised].expected
        least = min(plan.expected for plan in advice.plans)
        sums[0] += 1
        sums[1] += advice.kind == "switch"
        sums[2] += advice.saving.expected
        sums[3] += before
        sums[4] += after
        sums[5] += before == least
        sums[6] += after == least

    def economics(self) -> Economics:
        """Give the figures of everybody who was counted."""
        by_plan: dict[int, Figures] = {}
        by_range: dict[int, Figures] = {}
        everybody = Figures()
        for (plan, least), sums in sorted(self._sums.items()):
            figures = Figures(*sums)
            by_plan[plan] = by_plan.get(plan, Figures()).plus(figures)
            by_range[least] = by_range.get(least, Figures()).plus(figures)
            everybody = everybody.plus(figures)
        return Economics(
            everybody=everybody,
            by_plan=[(self._names[plan], figures) for plan, figures in by_plan.items()],
            by_segment=_thirds(by_range, everybody.subscribers),
            without_plan=self._without_plan,
        )


def _thirds(by_range: dict[int, Figures], subscribers: int) -> list[Segment]:
    """Join ranges to thirds: a range belongs to the third in which the middle one of its subscribers is."""
    segments: dict[int, Segment] = {}
    below = 0
    for least, figures in sorted(by_range.items()):
        third = 3 * (2 * below + figures.subscribers) // (2 * subscribers)
        name = SEGMENTS[third]
        had = segments.get(third, Segment(name, least, Figures()))
        segments[third] = Segment(name, had.least, had.figures.plus(figures))
        below += figures.subscribers
    return list(segments.values())


def _range_of(mb_used: float) -> int:
    """Give the lower end of the range that a use of data belongs to: whole MB of which the leading bits are kept."""
    whole = int(mb_used)
    dropped = max(0, whole.bit_length() - _LEADING_BITS)
    return whole >> dropped << dropped
