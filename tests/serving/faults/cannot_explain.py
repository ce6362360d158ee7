"""/explain fails, with a message of two lines and a control character."""

from typing import Any, cast

from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving.schemas import Explanation
from service import PlanRecommender

__all__ = ["PlanRecommender"]


def fail(self: object, usage: CustomerUsage) -> Explanation:
    raise RuntimeError("one line\nanother \x1b[31m")


cast(Any, PlanRecommender).inner.explain.func = fail
