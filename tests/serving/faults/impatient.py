"""The worker waits for a client for one second, not for ten."""

from plan_recommender.serving import connection, limits
from service import PlanRecommender
from tests.serving.faults import SHORT_SECONDS

__all__ = ["PlanRecommender"]

limits.HEAD_SECONDS = SHORT_SECONDS
connection._LOOK_SECONDS = 0.1  # type: ignore[misc]  # the fault: another constant
