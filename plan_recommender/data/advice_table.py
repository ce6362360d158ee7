"""The table of advice: one row a subscriber; `advising/advice_table.py` writes the rows of many at once."""

from collections.abc import Sequence
from typing import Final

from plan_recommender.billing.advice import Advice, AdvicePolicy
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.billing.wording import sentence
from plan_recommender.data.cells import Row
from plan_recommender.model.languages import Language

_FIRST: Final = (
    *("subscriber", "plan", "advice", "advised_plan"),
    *("expected_saving", "saving_low", "saving_high", "p_saves"),
)
_OF_PLAN: Final = ("last", "expected", "low", "high")
_LAST: Final = ("estimated_minutes", "months", "reason")
_GROUP: Final = "group"


class AdviceTable:
    """The columns of the table, and the row of each subscriber."""

    def __init__(
        self,
        tariffs: Tariffs,
        policy: AdvicePolicy,
        decimal: str = ".",
        *,
        with_groups: bool = False,
        language: Language = "en",
    ) -> None:
        """Take what rows are written with.

        Args:
            tariffs: those that the advice was given by.
            policy: the one that the advice was given by.
            decimal: decimal sign of the numbers.
            with_groups: whether the last column is the group of a campaign.
            language: of the sentences.
        """
        self._tariffs = tariffs
        self._policy = policy
        self._decimal = decimal
        of_plans = [f"{what}_{name.lower()}" for name in tariffs.names for what in _OF_PLAN]
        self.columns: Row = [*_FIRST, *of_plans, *_LAST, *([_GROUP] if with_groups else [])]
        self._with_groups = with_groups
        self._language = language

    def row(self, subscriber: str, advice: Advice, group: str = "") -> Row:
        """Write the advice for one subscriber, with amounts that are exact and have the currency's decimals.

        Args:
            subscriber: as the table of months writes it.
            advice: for this subscriber.
            group: in the campaign; empty: takes no part.
        """
        names = self._tariffs.names
        saving = advice.saving
        amounts = [saving.expected, saving.low, saving.high]
        of_plans = [
            (last.total, plan.expected, plan.low, plan.high)
            for last, plan in zip(advice.last_bills, advice.plans, strict=True)
        ]
        return [
            subscriber,
            "" if advice.held is None else names[advice.held],
            advice.kind,
            names[advice.advised],
            *self._amounts(amounts),
            f"{saving.p_saves:.6g}".replace(".", self._decimal),
            *(cell for amounts in of_plans for cell in self._amounts(amounts)),
            "yes" if advice.estimated else "no",
            str(advice.months),
            sentence(advice, self._tariffs, self._policy, self._language),
            *([group] if self._with_groups else []),
        ]

    def _amounts(self, units: Sequence[int]) -> Row:
        return [exact_amount(amount, self._tariffs.decimals, self._decimal) for amount in units]


def exact_amount(units: int, decimals: int, decimal: str = ".") -> str:
    """Write an amount of smallest units in the currency: -5 with two decimals is -0.05."""
    whole, rest = divmod(abs(units), 10**decimals)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}{decimal}{rest:0{decimals}d}" if decimals else f"{sign}{whole}"
