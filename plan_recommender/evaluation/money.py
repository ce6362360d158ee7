"""What contacting subscribers about another plan is worth in money, under the operator's assumptions.

Value comes from moving somebody who is on Smart to Ultra; a subscriber who is on Ultra already is worth no contact.
So the plan held has to be known, from a column of the table. What a contact changes is in no table: the amounts are
assumptions (section `money` of the configuration), and so is that the probability of Ultra is the chance that a
contacted subscriber fits Ultra and moves there, or stays there.
"""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.config.settings import ComparisonSettings, MoneySettings
from plan_recommender.data.csv_table import LabelledTable, RowNumbers
from plan_recommender.evaluation.comparison import mean_interval
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.model.features import PLANS

PER = 1000
"""Amounts and counts are given per this many subscribers."""

_THRESHOLDS = np.arange(101) / 100

_Amounts = npt.NDArray[np.float64]


class ImpactRow(BaseModel):
    """The expected result of one way to decide; counts and amounts per 1,000 rows and month."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: Annotated[float, Field(description="probability of Ultra from which Ultra is recommended")]
    to_ultra: Annotated[float, Field(description="contacts of subscribers on Smart who are recommended Ultra")]
    to_smart: Annotated[float, Field(description="contacts of subscribers on Ultra who are recommended Smart")]
    gross: Annotated[float, Field(description="what those who move to Ultra are expected to pay more")]
    cost: Annotated[float, Field(description="contacts, those who leave, and what those who move to Smart pay less")]
    net: Annotated[float, Field(description="gross less cost")]


class BusinessImpact(BaseModel):
    """The expected result of a set of decisions, and of all thresholds on the same rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str
    plan_held: Annotated[str, Field(description="the column that says which plan a subscriber holds")]
    assumptions: Annotated[dict[str, str | int | float], Field(description="section `money` of the configuration")]
    break_even: Annotated[float, Field(description="probability from which a contact of somebody on Smart pays")]
    at_threshold: Annotated[ImpactRow, Field(description="the decisions that were measured")]
    net_low: Annotated[float, Field(description="lower end of the bootstrap interval of its net, by subscriber")]
    net_high: Annotated[float, Field(description="upper end of it")]
    curve: Annotated[list[ImpactRow], Field(description="thresholds 0.00, 0.01 to 1.00")]


def plans_held(table: LabelledTable, money: MoneySettings) -> Labels | None:
    """Read which plan each subscriber holds, shape (rows,): 1 Ultra, 0 Smart.

    None if the table has no column `money.plan_held`, or the column holds anything but the names of the two plans.
    """
    column = table.texts.get(money.plan_held)
    if column is None:
        return None
    names = [name.lower() for name in PLANS]
    values = [value.lower() for value in column.values]
    if not set(values) <= set(names):
        return None
    return np.array([names.index(value) for value in values], dtype=np.int64)[column.codes]


def break_even_probability(money: MoneySettings) -> float:
    """Probability of Ultra (0 to 1) above which the expected profit of contacting a subscriber on Smart is positive.

    At probability p the profit is p (uplift - contact) - (1 - p) (contact + churn), which is 0 at
    (contact + churn) / (uplift + churn) (Elkan 2001, "The foundations of cost-sensitive learning"). It is 1 if no
    probability makes a contact profitable.
    """
    at_stake = money.uplift_per_month + money.churn_cost
    if at_stake == 0:
        return 1.0
    return min(1.0, (money.contact_cost + money.churn_cost) / at_stake)


def measure_impact(
    probabilities: Probabilities,
    decisions: Labels,
    held: Labels,
    threshold: float,
    money: MoneySettings,
    seed: int,
    subscribers: RowNumbers | None = None,
) -> BusinessImpact:
    """Compute the expected result of decisions in money, and that of every threshold from 0 to 1 in steps of 0.01.

    A subscriber is contacted who holds another plan than the one recommended. With probability p of Ultra, a contact of
    somebody on Smart brings the uplift with chance p and loses the subscriber with chance 1 - p. One of somebody on
    Ultra gives the uplift up with chance 1 - p, and brings nothing. Every contact has its cost.

    Args:
        probabilities: of Ultra, 0 to 1, shape (rows,).
        decisions: 1 where Ultra is recommended, shape (rows,); `at_threshold` is their result.
        held: 1 where Ultra is held, shape (rows,).
        threshold: the number that `at_threshold` shows; the result does not depend on it.
        money: the operator's assumptions, the number of resamples and the confidence.
        seed: draws the resamples.
        subscribers: a number for the subscriber of each row, shape (rows,); None: every row is one of its own.
    """
    gross = probabilities * money.uplift_per_month
    leaving = money.contact_cost + (1 - probabilities) * money.churn_cost
    moving_down = money.contact_cost + (1 - probabilities) * money.uplift_per_month

    def row(shown: float, recommended: Labels) -> tuple[ImpactRow, _Amounts]:
        up, down = (recommended > held), (recommended < held)
        earned, spent = gross * up, leaving * up + moving_down * down
        means = {"to_ultra": up, "to_smart": down, "gross": earned, "cost": spent, "net": earned - spent}
        amounts = {name: PER * float(values.sum()) / len(held) for name, values in means.items()}
        return ImpactRow(threshold=shown, **amounts), earned - spent

    at_threshold, nets = row(threshold, decisions)
    owners = np.arange(len(nets)) if subscribers is None else subscribers
    sampling = ComparisonSettings(bootstrap_samples=money.bootstrap_samples, confidence=money.confidence)
    low, high = mean_interval(nets, owners, sampling, seed)
    return BusinessImpact(
        currency=money.currency,
        plan_held=money.plan_held,
        assumptions=money.model_dump(),
        break_even=break_even_probability(money),
        at_threshold=at_threshold,
        net_low=PER * low,
        net_high=PER * high,
        curve=[row(float(t), (probabilities >= t).astype(np.int64))[0] for t in _THRESHOLDS],
    )
