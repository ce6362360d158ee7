"""The worker always finds that too many requests wait, and Python's garbage collector is off."""

import gc

from plan_recommender.serving import overload
from service import PlanRecommender

__all__ = ["PlanRecommender"]

gc.disable()
overload.Queue.admits = lambda self: False
