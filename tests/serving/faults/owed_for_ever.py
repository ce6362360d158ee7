"""Clients may owe the rest of a request for ever, and the supervisor gives a worker a minute to stop."""

from plan_recommender.serving import limits
from plan_recommender.serving.patches import supervisor
from service import PlanRecommender

__all__ = ["PlanRecommender"]

limits.BODY_SECONDS = limits.HEAD_SECONDS = 1e9
supervisor._STOP_SECONDS = 60  # type: ignore[misc]  # the fault: another constant
