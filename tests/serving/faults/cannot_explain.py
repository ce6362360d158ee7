"""/explain fails, with a message of two lines and a control character."""

from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import Explanation
from service import PlanRecommender

__all__ = ["PlanRecommender"]


def fail(self: Recommender, usage: CustomerUsage) -> Explanation:
    raise RuntimeError("one line\nanother \x1b[31m")


Recommender.explain = fail
