"""Clients may take as long as they like, and every hundredth good request fails."""

import itertools

from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving import limits
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import Recommendation
from service import PlanRecommender

__all__ = ["PlanRecommender"]

number = itertools.count(1)
recommend = Recommender.recommend


def recommend_mostly(self: Recommender, usage: CustomerUsage) -> Recommendation:
    if next(number) % 100 == 0:
        raise ZeroDivisionError
    return recommend(self, usage)


limits.BODY_SECONDS = limits.HEAD_SECONDS = 1e9
Recommender.recommend = recommend_mostly
