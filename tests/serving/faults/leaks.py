"""Every prediction leaves two kilobytes behind, every hundredth an open file, and every ten thousandth fails."""

import itertools
import os

from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import Recommendation
from service import PlanRecommender

__all__ = ["PlanRecommender"]

number = itertools.count(1)
left: list[object] = []
recommend = Recommender.recommend


def recommend_and_keep(self: Recommender, usage: CustomerUsage) -> Recommendation:
    count = next(number)
    left.append(bytearray(2000))
    if count % 100 == 0:
        left.append(os.open(os.devnull, os.O_RDONLY))
    if count % 10_000 == 0:
        raise ZeroDivisionError
    return recommend(self, usage)


Recommender.recommend = recommend_and_keep
